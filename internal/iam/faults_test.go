package iam_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// point is a place in the course of a call at which a test may step in.
type point string

const (
	beforeChange point = "before the change"             // about to ask for a number
	numbered     point = "after the first statement"     // it has its number, nothing is decided
	decided      point = "before the commit"             // all is decided and written
	committed    point = "after the commit"              // the service does not know it yet
	beforeNote   point = "before the note"               // a refused attempt is about to be written
	noted        point = "after the note was committed"  // the service does not know it yet
	waiting      point = "before the wait at the fence"  // the change is durable
	confirmed    point = "after the fence has confirmed" // about to be answered
)

// faults are what calls meet at these points. The first call that comes to a
// point takes away what was put there.
type faults struct {
	mu        sync.Mutex // guards what follows
	at        map[point]func() error
	statement func(name string) error // nil: none fails
	known     *iam.Evidence           // nil: what the store knows
}

// know has everybody find that something is known of how any two keys are used.
func (f *faults) know(e iam.Evidence) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = &e
}

// evidence returns what is known of how two keys are used.
func (f *faults) evidence(ctx context.Context, from iam.Reader, ws iam.WorkspaceID, old, fresh iam.KeyID) (iam.Evidence, error) {
	f.mu.Lock()
	known := f.known
	f.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	return from.Evidence(ctx, ws, old, fresh)
}

// put has the next call at a point run meet, whose error is what it gets there.
func (f *faults) put(p point, meet func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		f.at = map[point]func() error{}
	}
	f.at[p] = meet
}

// fail has the next call at a point fail.
func (f *faults) fail(p point, err error) { f.put(p, func() error { return err }) }

// hold holds the next call at a point. The channel is closed when it is there.
func (f *faults) hold(p point) (there <-chan struct{}, release func()) {
	arrived, released := make(chan struct{}), make(chan struct{})
	f.put(p, func() error {
		close(arrived)
		<-released
		return nil
	})
	return arrived, sync.OnceFunc(func() { close(released) })
}

// each has every statement of a change or a note ask meet first, by the name of
// the method. Nil ends that.
func (f *faults) each(meet func(name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statement = meet
}

func (f *faults) meet(p point) error {
	f.mu.Lock()
	do := f.at[p]
	delete(f.at, p)
	f.mu.Unlock()
	if do == nil {
		return nil
	}
	return do()
}

func (f *faults) ask(name string) error {
	f.mu.Lock()
	do := f.statement
	f.mu.Unlock()
	if do == nil {
		return nil
	}
	return do(name)
}

// faultyFence is a fence with faults.
type faultyFence struct {
	iam.Fence
	*faults
}

func (f faultyFence) Begin(seq int64) iam.Waiting {
	return faultyWaiting{f.Fence.Begin(seq), seq, f.faults}
}

type faultyWaiting struct {
	iam.Waiting
	seq int64
	*faults
}

func (f faultyWaiting) Wait(ctx context.Context) (iam.Receipt, error) {
	if err := f.meet(waiting); err != nil {
		return iam.Receipt{Revision: f.seq}, err
	}
	receipt, err := f.Waiting.Wait(ctx)
	if err != nil {
		return receipt, err
	}
	return receipt, f.meet(confirmed)
}

// faultyStore is a store with faults.
type faultyStore struct {
	iam.Store
	*faults
}

func (s faultyStore) Change(ctx context.Context, first iam.First, fn func(iam.Tx) (iam.Change, error)) (iam.Commit, error) {
	if err := s.meet(beforeChange); err != nil {
		return iam.Commit{}, err
	}
	commit, err := s.Store.Change(ctx, first, func(tx iam.Tx) (iam.Change, error) {
		if err := s.meet(numbered); err != nil {
			return iam.Change{}, err
		}
		change, err := fn(faultyTx{tx, s.faults})
		if err != nil {
			return change, err
		}
		return change, s.meet(decided)
	})
	if err != nil {
		return commit, err
	}
	if err := s.meet(committed); err != nil {
		return iam.Commit{}, err
	}
	return commit, nil
}

func (s faultyStore) Evidences(ctx context.Context, ws iam.WorkspaceID, pairs [][2]iam.KeyID) ([]iam.Evidence, error) {
	s.faults.mu.Lock()
	known := s.faults.known
	s.faults.mu.Unlock()
	if known != nil {
		return slices.Repeat([]iam.Evidence{*known}, len(pairs)), nil
	}
	return s.Store.Evidences(ctx, ws, pairs)
}

func (s faultyStore) Evidence(ctx context.Context, ws iam.WorkspaceID, old, fresh iam.KeyID) (iam.Evidence, error) {
	return s.evidence(ctx, s.Store, ws, old, fresh)
}

func (s faultyStore) Note(ctx context.Context, fn func(iam.NoteTx) error) error {
	if err := s.meet(beforeNote); err != nil {
		return err
	}
	if err := s.Store.Note(ctx, func(tx iam.NoteTx) error { return fn(faultyNote{tx, s.faults}) }); err != nil {
		return err
	}
	return s.meet(noted)
}

// faultyNote is a note with faults at each of its statements, which end with
// their context, as those of any store may.
type faultyNote struct {
	iam.NoteTx
	*faults
}

func (n faultyNote) AppendEvent(ctx context.Context, e audit.Event) error {
	return write(n.faults, "AppendEvent", func() error { return errors.Join(ctx.Err(), n.NoteTx.AppendEvent(ctx, e)) })
}

func (n faultyNote) Remember(ctx context.Context, r iam.Replay) error {
	return write(n.faults, "Remember", func() error { return errors.Join(ctx.Err(), n.NoteTx.Remember(ctx, r)) })
}

func (n faultyNote) ConfirmReceipt(ctx context.Context, r iam.Receipt) error {
	return write(n.faults, "ConfirmReceipt", func() error { return errors.Join(ctx.Err(), n.NoteTx.ConfirmReceipt(ctx, r)) })
}

// faultyTx is a transaction with faults at each of its statements.
type faultyTx struct {
	iam.Tx
	*faults
}

func read[T any](f *faults, name string, statement func() (T, error)) (T, error) {
	if err := f.ask(name); err != nil {
		var none T
		return none, err
	}
	return statement()
}

func write(f *faults, name string, statement func() error) error {
	if err := f.ask(name); err != nil {
		return err
	}
	return statement()
}

func (x faultyTx) Workspace(ctx context.Context, ref string) (iam.Workspace, error) {
	return read(x.faults, "Workspace", func() (iam.Workspace, error) { return x.Tx.Workspace(ctx, ref) })
}

func (x faultyTx) ServiceAccount(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.ServiceAccount, error) {
	return read(x.faults, "ServiceAccount", func() (iam.ServiceAccount, error) { return x.Tx.ServiceAccount(ctx, ws, ref) })
}

func (x faultyTx) Member(ctx context.Context, ws iam.WorkspaceID, id iam.PrincipalID) (iam.Member, error) {
	return read(x.faults, "Member", func() (iam.Member, error) { return x.Tx.Member(ctx, ws, id) })
}

func (x faultyTx) Members(ctx context.Context, ws iam.WorkspaceID, f iam.MemberFilter, p iam.Page) (iam.List[iam.Member], error) {
	return read(x.faults, "Members", func() (iam.List[iam.Member], error) { return x.Tx.Members(ctx, ws, f, p) })
}

func (x faultyTx) OwnersByEmail(ctx context.Context, email string) ([]iam.Member, error) {
	return read(x.faults, "OwnersByEmail", func() ([]iam.Member, error) { return x.Tx.OwnersByEmail(ctx, email) })
}

func (x faultyTx) ActiveOwners(ctx context.Context, ws iam.WorkspaceID) (int64, error) {
	return read(x.faults, "ActiveOwners", func() (int64, error) { return x.Tx.ActiveOwners(ctx, ws) })
}

func (x faultyTx) Principal(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.Principal, error) {
	return read(x.faults, "Principal", func() (iam.Principal, error) { return x.Tx.Principal(ctx, ws, ref) })
}

func (x faultyTx) Role(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.Role, error) {
	return read(x.faults, "Role", func() (iam.Role, error) { return x.Tx.Role(ctx, ws, ref) })
}

func (x faultyTx) Key(ctx context.Context, ws iam.WorkspaceID, id iam.KeyID) (iam.Key, error) {
	return read(x.faults, "Key", func() (iam.Key, error) { return x.Tx.Key(ctx, ws, id) })
}

func (x faultyTx) Keys(ctx context.Context, ws iam.WorkspaceID, f iam.KeyFilter, p iam.Page) (iam.List[iam.Key], error) {
	return read(x.faults, "Keys", func() (iam.List[iam.Key], error) { return x.Tx.Keys(ctx, ws, f, p) })
}

func (x faultyTx) Evidence(ctx context.Context, ws iam.WorkspaceID, old, fresh iam.KeyID) (iam.Evidence, error) {
	return read(x.faults, "Evidence", func() (iam.Evidence, error) { return x.evidence(ctx, x.Tx, ws, old, fresh) })
}

func (x faultyTx) Rotation(ctx context.Context, ws iam.WorkspaceID, id iam.RotationID) (iam.Rotation, error) {
	return read(x.faults, "Rotation", func() (iam.Rotation, error) { return x.Tx.Rotation(ctx, ws, id) })
}

func (x faultyTx) InsertRotation(ctx context.Context, r iam.Rotation) error {
	return write(x.faults, "InsertRotation", func() error { return x.Tx.InsertRotation(ctx, r) })
}

func (x faultyTx) UpdateRotation(ctx context.Context, r iam.Rotation) error {
	return write(x.faults, "UpdateRotation", func() error { return x.Tx.UpdateRotation(ctx, r) })
}

func (x faultyTx) Invitation(ctx context.Context, ws iam.WorkspaceID, id iam.InvitationID) (iam.Invitation, error) {
	return read(x.faults, "Invitation", func() (iam.Invitation, error) { return x.Tx.Invitation(ctx, ws, id) })
}

func (x faultyTx) InvitationByToken(ctx context.Context, hash token.Hash) (iam.Invitation, error) {
	return read(x.faults, "InvitationByToken", func() (iam.Invitation, error) { return x.Tx.InvitationByToken(ctx, hash) })
}

func (x faultyTx) Seats(ctx context.Context, ws iam.WorkspaceID, now time.Time) (iam.Seats, error) {
	return read(x.faults, "Seats", func() (iam.Seats, error) { return x.Tx.Seats(ctx, ws, now) })
}

func (x faultyTx) PersonByEmail(ctx context.Context, email string) (iam.Person, error) {
	return read(x.faults, "PersonByEmail", func() (iam.Person, error) { return x.Tx.PersonByEmail(ctx, email) })
}

func (x faultyTx) PermissionTypes(ctx context.Context, ws iam.WorkspaceID) ([]iam.PermissionType, error) {
	return read(x.faults, "PermissionTypes", func() ([]iam.PermissionType, error) { return x.Tx.PermissionTypes(ctx, ws) })
}

func (x faultyTx) Invitations(ctx context.Context, ws iam.WorkspaceID, f iam.InvitationFilter, p iam.Page) (iam.List[iam.Invitation], error) {
	return read(x.faults, "Invitations", func() (iam.List[iam.Invitation], error) { return x.Tx.Invitations(ctx, ws, f, p) })
}

func (x faultyTx) AppendEvent(ctx context.Context, e audit.Event) error {
	return write(x.faults, "AppendEvent", func() error { return x.Tx.AppendEvent(ctx, e) })
}

func (x faultyTx) Remember(ctx context.Context, r iam.Replay) error {
	return write(x.faults, "Remember", func() error { return x.Tx.Remember(ctx, r) })
}

func (x faultyTx) InsertReceipt(ctx context.Context, r iam.Receipt) error {
	return write(x.faults, "InsertReceipt", func() error { return x.Tx.InsertReceipt(ctx, r) })
}

func (x faultyTx) InsertWorkspace(ctx context.Context, ws iam.Workspace) error {
	return write(x.faults, "InsertWorkspace", func() error { return x.Tx.InsertWorkspace(ctx, ws) })
}

func (x faultyTx) UpdateWorkspace(ctx context.Context, ws iam.Workspace) error {
	return write(x.faults, "UpdateWorkspace", func() error { return x.Tx.UpdateWorkspace(ctx, ws) })
}

func (x faultyTx) InsertPerson(ctx context.Context, p iam.Person) error {
	return write(x.faults, "InsertPerson", func() error { return x.Tx.InsertPerson(ctx, p) })
}

func (x faultyTx) InsertServiceAccount(ctx context.Context, a iam.ServiceAccount) error {
	return write(x.faults, "InsertServiceAccount", func() error { return x.Tx.InsertServiceAccount(ctx, a) })
}

func (x faultyTx) UpdateServiceAccount(ctx context.Context, a iam.ServiceAccount) error {
	return write(x.faults, "UpdateServiceAccount", func() error { return x.Tx.UpdateServiceAccount(ctx, a) })
}

func (x faultyTx) InsertMember(ctx context.Context, m iam.Member) error {
	return write(x.faults, "InsertMember", func() error { return x.Tx.InsertMember(ctx, m) })
}

func (x faultyTx) UpdateMember(ctx context.Context, m iam.Member) error {
	return write(x.faults, "UpdateMember", func() error { return x.Tx.UpdateMember(ctx, m) })
}

func (x faultyTx) InsertRole(ctx context.Context, r iam.Role) error {
	return write(x.faults, "InsertRole", func() error { return x.Tx.InsertRole(ctx, r) })
}

func (x faultyTx) UpdateRole(ctx context.Context, r iam.Role) error {
	return write(x.faults, "UpdateRole", func() error { return x.Tx.UpdateRole(ctx, r) })
}

func (x faultyTx) DeleteRole(ctx context.Context, ws iam.WorkspaceID, id iam.RoleID) error {
	return write(x.faults, "DeleteRole", func() error { return x.Tx.DeleteRole(ctx, ws, id) })
}

func (x faultyTx) InsertKey(ctx context.Context, k iam.Key) error {
	return write(x.faults, "InsertKey", func() error { return x.Tx.InsertKey(ctx, k) })
}

func (x faultyTx) UpdateKey(ctx context.Context, k iam.Key) error {
	return write(x.faults, "UpdateKey", func() error { return x.Tx.UpdateKey(ctx, k) })
}

func (x faultyTx) InsertInvitation(ctx context.Context, i iam.Invitation) error {
	return write(x.faults, "InsertInvitation", func() error { return x.Tx.InsertInvitation(ctx, i) })
}

func (x faultyTx) UpdateInvitation(ctx context.Context, i iam.Invitation) error {
	return write(x.faults, "UpdateInvitation", func() error { return x.Tx.UpdateInvitation(ctx, i) })
}

func (x faultyTx) ReplacePermissionTypes(ctx context.Context, ws iam.WorkspaceID, types []iam.PermissionType) error {
	return write(x.faults, "ReplacePermissionTypes", func() error { return x.Tx.ReplacePermissionTypes(ctx, ws, types) })
}

func (x faultyTx) Descendants(ctx context.Context, ws iam.WorkspaceID, id iam.KeyID) ([]iam.Key, []iam.ServiceAccount, error) {
	if err := x.ask("Descendants"); err != nil {
		return nil, nil, err
	}
	return x.Tx.Descendants(ctx, ws, id)
}
