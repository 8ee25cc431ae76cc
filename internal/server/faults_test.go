package server_test

import (
	"context"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// faults is the real store and the real fence, which can be made to fail, to
// fail after succeeding, or to be held back.
type faults struct {
	iam.Store

	mu     sync.Mutex // guards what follows
	roster iam.Roster
	fence  iam.Fence
	asked  func() error
	change func() error
	waited func() error
}

// set replaces what happens before the store is asked, before it changes
// anything, and after the fence has confirmed. Nil is nothing.
func (f *faults) set(asked, change, waited func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.change, f.waited = asked, change, waited
}

func (f *faults) run(pick func() func() error) error {
	f.mu.Lock()
	hook := pick()
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook()
}

func (f *faults) ask() error { return f.run(func() func() error { return f.asked }) }

// behind puts another fence in the place of the real one.
func (f *faults) behind(fence iam.Fence) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fence = fence
}

// never is a fence that nobody gets past.
type never struct{}

// Begin implements iam.Fence.
func (n never) Begin(seq int64) iam.Waiting { return iam.WaitFunc(n.wait).Begin(seq) }

func (never) wait(ctx context.Context, seq int64) (iam.Receipt, error) {
	<-ctx.Done()
	return iam.Receipt{Revision: seq, By: "acked", Durability: "local"}, iam.Errorf(iam.Unconfirmed, "revision %d is recorded", seq)
}

// Begin implements iam.Fence, with whichever fence there is each time somebody waits.
func (f *faults) Begin(seq int64) iam.Waiting { return iam.WaitFunc(f.wait).Begin(seq) }

func (f *faults) wait(ctx context.Context, seq int64) (iam.Receipt, error) {
	f.mu.Lock()
	fence := f.fence
	f.mu.Unlock()
	receipt, err := iam.Await(ctx, fence, seq)
	if failed := f.run(func() func() error { return f.waited }); failed != nil {
		receipt.Confirmed = false
		return receipt, failed
	}
	return receipt, err
}

func (f *faults) Change(ctx context.Context, first iam.First, fn func(iam.Tx) (iam.Change, error)) (iam.Commit, error) {
	if err := f.run(func() func() error { return f.change }); err != nil {
		return iam.Commit{}, err
	}
	if err := f.ask(); err != nil {
		return iam.Commit{}, err
	}
	return f.Store.Change(ctx, first, fn)
}

func (f *faults) Note(ctx context.Context, fn func(iam.NoteTx) error) error {
	if err := f.ask(); err != nil {
		return err
	}
	return f.Store.Note(ctx, fn)
}

func (f *faults) Workspace(ctx context.Context, ref string) (iam.Workspace, error) {
	return asking(f, func() (iam.Workspace, error) { return f.Store.Workspace(ctx, ref) })
}

func (f *faults) Workspaces(ctx context.Context, w iam.WorkspaceFilter, p iam.Page) (iam.List[iam.Workspace], error) {
	return asking(f, func() (iam.List[iam.Workspace], error) { return f.Store.Workspaces(ctx, w, p) })
}

func (f *faults) ServiceAccount(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.ServiceAccount, error) {
	return asking(f, func() (iam.ServiceAccount, error) { return f.Store.ServiceAccount(ctx, ws, ref) })
}

func (f *faults) ServiceAccounts(ctx context.Context, ws iam.WorkspaceID, a iam.AccountFilter, p iam.Page) (iam.List[iam.ServiceAccount], error) {
	return asking(f, func() (iam.List[iam.ServiceAccount], error) { return f.Store.ServiceAccounts(ctx, ws, a, p) })
}

func (f *faults) Member(ctx context.Context, ws iam.WorkspaceID, id iam.PrincipalID) (iam.Member, error) {
	return asking(f, func() (iam.Member, error) { return f.Store.Member(ctx, ws, id) })
}

func (f *faults) Members(ctx context.Context, ws iam.WorkspaceID, m iam.MemberFilter, p iam.Page) (iam.List[iam.Member], error) {
	return asking(f, func() (iam.List[iam.Member], error) { return f.Store.Members(ctx, ws, m, p) })
}

func (f *faults) Seats(ctx context.Context, ws iam.WorkspaceID, now time.Time) (iam.Seats, error) {
	return asking(f, func() (iam.Seats, error) { return f.Store.Seats(ctx, ws, now) })
}

func (f *faults) Principal(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.Principal, error) {
	return asking(f, func() (iam.Principal, error) { return f.Store.Principal(ctx, ws, ref) })
}

func (f *faults) Role(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.Role, error) {
	return asking(f, func() (iam.Role, error) { return f.Store.Role(ctx, ws, ref) })
}

func (f *faults) Roles(ctx context.Context, ws iam.WorkspaceID, r iam.RoleFilter, p iam.Page) (iam.List[iam.Role], error) {
	return asking(f, func() (iam.List[iam.Role], error) { return f.Store.Roles(ctx, ws, r, p) })
}

func (f *faults) Key(ctx context.Context, ws iam.WorkspaceID, id iam.KeyID) (iam.Key, error) {
	return asking(f, func() (iam.Key, error) { return f.Store.Key(ctx, ws, id) })
}

func (f *faults) Keys(ctx context.Context, ws iam.WorkspaceID, k iam.KeyFilter, p iam.Page) (iam.List[iam.Key], error) {
	return asking(f, func() (iam.List[iam.Key], error) { return f.Store.Keys(ctx, ws, k, p) })
}

func (f *faults) Rotation(ctx context.Context, ws iam.WorkspaceID, id iam.RotationID) (iam.Rotation, error) {
	return asking(f, func() (iam.Rotation, error) { return f.Store.Rotation(ctx, ws, id) })
}

func (f *faults) Rotations(ctx context.Context, ws iam.WorkspaceID, r iam.RotationFilter, p iam.Page) (iam.List[iam.Rotation], error) {
	return asking(f, func() (iam.List[iam.Rotation], error) { return f.Store.Rotations(ctx, ws, r, p) })
}

func (f *faults) Invitations(ctx context.Context, ws iam.WorkspaceID, i iam.InvitationFilter, p iam.Page) (iam.List[iam.Invitation], error) {
	return asking(f, func() (iam.List[iam.Invitation], error) { return f.Store.Invitations(ctx, ws, i, p) })
}

func (f *faults) PermissionTypes(ctx context.Context, ws iam.WorkspaceID) ([]iam.PermissionType, error) {
	return asking(f, func() ([]iam.PermissionType, error) { return f.Store.PermissionTypes(ctx, ws) })
}

func (f *faults) Event(ctx context.Context, ws iam.WorkspaceID, id iam.EventID) (iam.AuditEvent, error) {
	return asking(f, func() (iam.AuditEvent, error) { return f.Store.Event(ctx, ws, id) })
}

func (f *faults) Events(ctx context.Context, ws iam.WorkspaceID, e iam.EventFilter, p iam.Page) (iam.List[iam.AuditEvent], error) {
	return asking(f, func() (iam.List[iam.AuditEvent], error) { return f.Store.Events(ctx, ws, e, p) })
}

func (f *faults) Register(ctx context.Context, r iam.Reporter) (time.Time, error) {
	return asking(f, func() (time.Time, error) { return f.Store.Register(ctx, r) })
}

func (f *faults) Report(ctx context.Context, r iam.UsageReport, first func(iam.NoteTx, []iam.Key) error) (time.Time, error) {
	return asking(f, func() (time.Time, error) { return f.Store.Report(ctx, r, first) })
}

func (f *faults) UsageSubjects(ctx context.Context, ws iam.WorkspaceID, ids []string) ([]string, error) {
	return asking(f, func() ([]string, error) { return f.Store.UsageSubjects(ctx, ws, ids) })
}

// Nodes implements iam.Roster.
func (f *faults) Nodes(ctx context.Context) ([]iam.NodeStatus, error) {
	f.mu.Lock()
	r := f.roster
	f.mu.Unlock()
	return asking(f, func() ([]iam.NodeStatus, error) { return r.Nodes(ctx) })
}

// are replaces the nodes that there are.
func (f *faults) are(nodes ...iam.NodeStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roster = roster(nodes)
}

func (f *faults) Receipt(ctx context.Context, ws iam.WorkspaceID, id iam.ReceiptID) (iam.Receipt, error) {
	return asking(f, func() (iam.Receipt, error) { return f.Store.Receipt(ctx, ws, id) })
}

func (f *faults) SignInByHash(ctx context.Context, cookie token.Hash) (iam.SignIn, error) {
	return asking(f, func() (iam.SignIn, error) { return f.Store.SignInByHash(ctx, cookie) })
}

func (f *faults) Initialized(ctx context.Context) (bool, error) {
	return asking(f, func() (bool, error) { return f.Store.Initialized(ctx) })
}

func (f *faults) KeepTicket(ctx context.Context, k iam.Ticket, life time.Duration) (iam.Ticket, error) {
	return asking(f, func() (iam.Ticket, error) { return f.Store.KeepTicket(ctx, k, life) })
}

func (f *faults) KeepDevice(ctx context.Context, d iam.Device, life time.Duration) (iam.Device, error) {
	return asking(f, func() (iam.Device, error) { return f.Store.KeepDevice(ctx, d, life) })
}

func (f *faults) CountGuess(ctx context.Context, buckets map[string]iam.Guessing) (time.Time, error) {
	return asking(f, func() (time.Time, error) { return f.Store.CountGuess(ctx, buckets) })
}

func asking[T any](f *faults, read func() (T, error)) (T, error) {
	if err := f.ask(); err != nil {
		var none T
		return none, err
	}
	return read()
}
