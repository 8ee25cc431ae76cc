package iam

import (
	"context"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

const (
	expiringWithin = 14 * day // of keys that are counted
	unusedFor      = 90 * day
	urgentWithin   = 3 * day // of keys that are used, and named
	lately         = 7 * day
	unsettledFor   = time.Hour // how far back revocations are looked at
	maxConcerned   = 100
)

// Overview is what there is in a workspace and what in it needs attention. What the
// caller may not read is nil, and named in Hidden.
type Overview struct {
	At        time.Time
	Accounts  *AccountNumbers
	Keys      *KeyNumbers
	Traffic   *Traffic // of the workspace, in the last 24 hours
	Seats     *Seats
	Attention []Concern // the most urgent first
	Hidden    []Hidden
}

// AccountNumbers counts service accounts.
type AccountNumbers struct{ Active, Paused int64 }

// KeyNumbers counts keys that work.
type KeyNumbers struct {
	Active       int64
	Expiring     int64 // within 14 days
	Unused       int64 // for 90 days
	NeverUsed    int64
	NeverExpires int64
}

// Hidden is a part of an overview that the caller may not see.
type Hidden struct {
	Part  string
	Needs Permission
}

// ConcernCode says why something needs attention.
type ConcernCode string

// Why something needs attention, the most urgent first.
const (
	RevocationUnconfirmed ConcernCode = "revocation_unconfirmed"  // a node may still accept what was taken away
	RotationReady         ConcernCode = "rotation_ready"          // its old key can be revoked
	KeyExpiringInUse      ConcernCode = "key_expiring_in_use"     // within 3 days, and it was used in the last 7
	MemberKeyMachineLike  ConcernCode = "member_key_machine_like" // a service account should do that
	AccountTooPowerful    ConcernCode = "account_too_powerful"    // see [NeedsLessPower]
	AccountWithoutOwner   ConcernCode = "account_without_owner"   // see [NeedsOwner]
	AccountWithoutKeys    ConcernCode = "account_without_keys"    // see [NeedsKeys]
)

// Concern is something that needs attention.
type Concern struct {
	Code  ConcernCode
	About []Concerned
	More  bool // than are named
}

// Concerned is a thing that needs attention.
type Concerned struct {
	Target    audit.Target
	Principal Ref[PrincipalID] // that owns it; empty: it is one, or has none
	At        time.Time        // when a key expires, a rotation began, a change was decided; zero: it says nothing
}

// Overview returns what there is in a workspace and what in it needs attention, as
// far as the caller may read it.
func (s *Service) Overview(ctx context.Context, c Caller, ws string) (Overview, error) {
	in, err := c.resolve(ws)
	if err != nil {
		return Overview{}, err
	}
	o := Overview{At: s.Now()}
	for _, p := range []struct {
		name  string
		needs Permission
		read  func(context.Context, WorkspaceID, *Overview) error
	}{
		{"service_accounts", ReadAccounts, s.countAccounts},
		{"keys", ReadKeys, s.countKeys},
		{"requests_24h", ReadKeys, s.countRequests},
		{"seats", ReadMembers, s.countSeats},
	} {
		if !c.sees(p.needs) {
			o.Hidden = append(o.Hidden, Hidden{p.name, p.needs})
		} else if err := p.read(ctx, in, &o); err != nil {
			return o, err
		}
	}
	for _, k := range s.concerns() {
		if !c.sees(k.needs) {
			o.Hidden = append(o.Hidden, Hidden{string(k.code), k.needs})
			continue
		}
		found := Concern{Code: k.code}
		if found.About, found.More, err = k.find(ctx, in, o.At); err != nil {
			return o, err
		}
		if len(found.About) > 0 {
			o.Attention = append(o.Attention, found)
		}
	}
	return o, nil
}

func (c Caller) sees(p Permission) bool { return c.internal != "" || c.Permissions.Allow(p) }

func (s *Service) countAccounts(ctx context.Context, ws WorkspaceID, o *Overview) (err error) {
	o.Accounts = &AccountNumbers{}
	if o.Accounts.Active, err = s.Store.CountServiceAccounts(ctx, ws, AccountFilter{State: Active}); err != nil {
		return err
	}
	o.Accounts.Paused, err = s.Store.CountServiceAccounts(ctx, ws, AccountFilter{State: Paused})
	return err
}

func (s *Service) countKeys(ctx context.Context, ws WorkspaceID, o *Overview) error {
	n, err := s.numbers.of(ctx, ws, o.At, func(ctx context.Context) (KeyNumbers, error) {
		return s.Store.KeyNumbers(ctx, ws, o.At, o.At.Add(expiringWithin), o.At.Add(-unusedFor))
	})
	o.Keys = &n
	return err
}

func (s *Service) countRequests(ctx context.Context, ws WorkspaceID, o *Overview) error {
	t, err := s.traffic(ctx, ws, []string{string(ws)}, Span{Step: time.Hour}.settled(o.At))
	o.Traffic = &t
	return err
}

func (s *Service) countSeats(ctx context.Context, ws WorkspaceID, o *Overview) error {
	seats, err := s.Store.Seats(ctx, ws, o.At)
	o.Seats = &seats
	return err
}

// concern is one sort of thing that needs attention.
type concern struct {
	code  ConcernCode
	needs Permission
	find  func(ctx context.Context, ws WorkspaceID, now time.Time) (about []Concerned, more bool, err error)
}

// concerns lists what is looked for, the most urgent first.
func (s *Service) concerns() []concern {
	keys := func(filter func(now time.Time) KeyFilter) func(context.Context, WorkspaceID, time.Time) ([]Concerned, bool, error) {
		return func(ctx context.Context, ws WorkspaceID, now time.Time) ([]Concerned, bool, error) {
			f := filter(now)
			f.State, f.Now = Active, now
			list, err := s.Store.Keys(ctx, ws, f, Page{Limit: maxConcerned, Sort: "expires_at"})
			return eachConcerned(list, err, concernedKey)
		}
	}
	accounts := func(what Needed) func(context.Context, WorkspaceID, time.Time) ([]Concerned, bool, error) {
		return func(ctx context.Context, ws WorkspaceID, _ time.Time) ([]Concerned, bool, error) {
			need, err := s.settled(ctx, ws, Need{What: what})
			if err != nil {
				return nil, false, err
			}
			list, err := s.Store.ServiceAccounts(ctx, ws, AccountFilter{Need: need}, Page{Limit: maxConcerned})
			return eachConcerned(list, err, concernedAccount)
		}
	}
	return []concern{
		{RevocationUnconfirmed, ReadAudit, s.unconfirmed},
		{RotationReady, ReadKeys, s.readyRotations},
		{KeyExpiringInUse, ReadKeys, keys(func(now time.Time) KeyFilter {
			return KeyFilter{ExpiresBefore: now.Add(urgentWithin), UsedSince: now.Add(-lately)}
		})},
		{MemberKeyMachineLike, ReadKeys, keys(func(time.Time) KeyFilter { return KeyFilter{MachineLike: true} })},
		{AccountTooPowerful, ReadAccounts, accounts(NeedsLessPower)},
		{AccountWithoutOwner, ReadAccounts, accounts(NeedsOwner)},
		{AccountWithoutKeys, ReadAccounts, accounts(NeedsKeys)},
	}
}

func eachConcerned[T any](list List[T], err error, as func(T) Concerned) (all []Concerned, more bool, _ error) {
	for _, item := range list.Items {
		all = append(all, as(item))
	}
	return all, list.Next != nil, err
}

func concernedKey(k Key) Concerned {
	return Concerned{Target: k.target(), Principal: Ref[PrincipalID]{k.Principal.ID, k.Principal.Name}, At: k.ExpiresAt}
}

func concernedAccount(a ServiceAccount) Concerned { return Concerned{Target: a.target()} }

func (s *Service) readyRotations(ctx context.Context, ws WorkspaceID, _ time.Time) ([]Concerned, bool, error) {
	list, err := s.Store.Rotations(ctx, ws, RotationFilter{State: Ready, Open: true}, Page{Limit: maxConcerned})
	return eachConcerned(list, err, func(r Rotation) Concerned {
		return Concerned{Target: r.target(), Principal: Ref[PrincipalID]{r.Principal.ID, r.Principal.Name}, At: r.StartedAt}
	})
}

// unconfirmed returns the recent changes that stopped keys and that a node has not
// applied which may still answer. Mostly there is no such node.
func (s *Service) unconfirmed(ctx context.Context, ws WorkspaceID, now time.Time) ([]Concerned, bool, error) {
	nodes, err := s.Roster.Nodes(ctx)
	if err != nil {
		return nil, false, err
	}
	behind, lagging := int64(0), false
	for _, n := range nodes {
		if n.Lag > 0 && (!n.Leased() || n.LeaseLeft > 0) && (!lagging || n.Acked < behind) {
			behind, lagging = n.Acked, true
		}
	}
	if !lagging {
		return nil, false, nil
	}
	found, err := s.Store.StoppingReceipts(ctx, ws, behind, now.Add(-unsettledFor), maxConcerned+1)
	list := List[Receipt]{Items: found[:min(len(found), maxConcerned)]}
	if len(found) > maxConcerned {
		list.Next = []string{""}
	}
	return eachConcerned(list, err, func(r Receipt) Concerned {
		return Concerned{Target: audit.Target{Type: "receipt", ID: string(r.ID)}, At: r.DecidedAt}
	})
}
