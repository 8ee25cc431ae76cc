// Package iam holds Postern's nouns and its rules: what a workspace, a member, a
// service account, a role and a key are, who may do what to them, and what is
// written down when they do.
//
// It knows nothing of SQL, HTTP or files. The packages that do import it, never
// the other way round. Every change in the system goes through one function,
// [do]; reading it tells that nothing is done unchecked, nothing unlogged, and
// nothing answered before it is true.
package iam

import (
	"net/netip"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// State says whether a thing may be used.
type State string

// The states. Accounts are active, paused or inactive; keys are active, paused,
// expired or revoked; members are active or removed; workspaces are active or
// paused; invitations are pending, accepted, cancelled or expired. Those of
// rotations are in rotations.go.
const (
	Active    State = "active"
	Paused    State = "paused"
	Inactive  State = "inactive" // revoked, for good
	Expired   State = "expired"
	Revoked   State = "revoked"
	Removed   State = "removed"
	Pending   State = "pending"
	Accepted  State = "accepted"
	Cancelled State = "cancelled"
)

// PrincipalType says what a principal is.
type PrincipalType = audit.ActorType

// Actor names a principal together with its state as it is now.
type Actor struct {
	audit.Actor
	State State
}

// Ref names a noun by id and name.
type Ref[ID ~string] struct {
	ID   ID
	Name string
}

// Workspace is the tenant. Everything else belongs to exactly one.
type Workspace struct {
	ID        WorkspaceID
	Name      string
	Slug      string // unique in the deployment, never changed
	System    bool   // its principals operate the deployment; there is one
	Paused    bool
	Policy    Policy
	CreatedAt time.Time
	Version   int64 // the revision that last changed it
}

// State returns active or paused.
func (w Workspace) State() State {
	if w.Paused {
		return Paused
	}
	return Active
}

// ServiceAccount is a principal that is not a person.
type ServiceAccount struct {
	ID           PrincipalID
	Workspace    WorkspaceID
	Name         string // unique in the workspace, also among the revoked
	Description  string
	Owner        string // the responsible team's name, as text
	Role         Ref[RoleID]
	Pauses       Pauses
	Metadata     map[string]string
	CreatedAt    time.Time
	CreatedBy    Actor
	CreatedByKey KeyID       // empty when no key was used
	Revoked      *Revocation // final
	Keys         KeyCounts
	LastUse      *LastUse // of any of its keys; nil: none was ever accepted
	Version      int64
}

// State returns active, paused or inactive.
func (a ServiceAccount) State() State {
	switch {
	case a.Revoked != nil:
		return Inactive
	case a.Pauses != "":
		return Paused
	}
	return Active
}

// KeyCounts counts the keys that a principal owns. Active means usable now.
type KeyCounts struct {
	Active int64
	Total  int64
}

// Revocation is the end of an account or a key.
type Revocation struct {
	At     time.Time
	By     Actor
	Reason string
	Note   string
}

// Person is one sign-in identity, a member of any number of workspaces.
type Person struct {
	ID        PersonID
	Email     string // lower case
	Name      string
	CreatedAt time.Time
}

// Member is a person in one workspace.
type Member struct {
	ID        PrincipalID
	Workspace WorkspaceID
	Person    Person
	Name      string
	Role      Ref[RoleID]
	RemovedAt time.Time // zero while a member
	CreatedAt time.Time
	Keys      KeyCounts
	Version   int64
}

// State returns active or removed.
func (m Member) State() State {
	if m.RemovedAt.IsZero() {
		return Active
	}
	return Removed
}

// Key is what is kept of an API key. The value itself is shown once, when it is
// made, and is kept nowhere; Hash is what remains of it.
type Key struct {
	ID              KeyID
	Workspace       WorkspaceID
	Principal       Principal
	Name            string         // unique among the principal's keys
	Hash            token.Hash     `json:"-"`
	Hint            string         // prefix, first and last four characters
	Limit           *Permissions   // nil: all that the role allows
	AllowedNetworks []netip.Prefix // nil: from anywhere
	ExpiresAt       time.Time      // zero: never
	Pauses          Pauses
	Metadata        map[string]string
	CreatedAt       time.Time
	CreatedBy       Actor
	CreatedByKey    KeyID
	Replaces        KeyID      // that it was made to take the place of, by a rotation
	Rotation        RotationID // that is under way and that it takes part in
	Revoked         *Revocation
	LastUse         *LastUse // nil: it was never accepted
	Version         int64
}

// State returns the state of the key at a time: revoked when it or its owner has
// ended, then paused, then expired, else active.
func (k Key) State(now time.Time) State {
	switch {
	case k.Revoked != nil || k.Principal.State == Inactive || k.Principal.State == Removed:
		return Revoked
	case k.Pauses != "":
		return Paused
	case k.expired(now):
		return Expired
	}
	return Active
}

func (k Key) expired(now time.Time) bool { return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) }

// allowsIP reports whether a key may be used from an address, as text.
func (k Key) allowsIP(ip string) bool {
	if k.AllowedNetworks == nil {
		return true
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	for _, n := range k.AllowedNetworks {
		if n.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// Effective returns what the key can do: its owner's role and its limit together.
func (k Key) Effective() Permissions {
	if k.Limit == nil {
		return k.Principal.Role.Permissions
	}
	return k.Principal.Role.Permissions.Intersect(*k.Limit)
}

// Principal is a member or a service account, as far as deciding needs it.
type Principal struct {
	ID        PrincipalID
	Type      PrincipalType
	Workspace WorkspaceID
	Name      string
	State     State // active, paused, inactive or removed
	Role      PrincipalRole
}

// PrincipalRole is the role that a principal has, and what it allows.
type PrincipalRole struct {
	ID          RoleID
	Name        string
	Permissions Permissions
}

// gone reports whether the principal has ended for good.
func (p Principal) gone() bool { return p.State == Inactive || p.State == Removed }

func (p Principal) actor() audit.Actor {
	return audit.Actor{Type: p.Type, ID: string(p.ID), Name: p.Name}
}

// Role is a named set of permissions.
type Role struct {
	ID              RoleID
	Workspace       WorkspaceID
	Name            string // lower case, unique in the workspace
	Title           string
	Description     string
	BuiltIn         bool
	Permissions     Permissions
	Members         int64 // that are not removed
	ServiceAccounts int64 // that are not revoked
	CreatedAt       time.Time
	Version         int64
}

// Invitation is a membership offered to an address. While it is pending it holds
// a seat.
type Invitation struct {
	ID           InvitationID
	Workspace    WorkspaceID
	Email        string
	Role         Ref[RoleID]
	TokenHash    token.Hash `json:"-"`
	InvitedBy    Actor
	InvitedByKey KeyID
	InvitedFrom  WorkspaceID // where that key lives; empty: in the same workspace
	CreatedAt    time.Time
	ExpiresAt    time.Time
	AcceptedAt   time.Time // zero until accepted
	CancelledAt  time.Time // zero unless cancelled
	Version      int64
}

// State returns pending, accepted, cancelled or expired at a time.
func (i Invitation) State(now time.Time) State {
	switch {
	case !i.AcceptedAt.IsZero():
		return Accepted
	case !i.CancelledAt.IsZero():
		return Cancelled
	case !now.Before(i.ExpiresAt):
		return Expired
	}
	return Pending
}

// PermissionType is one of the product's own types and what can be done with it.
type PermissionType struct {
	Type    string
	Title   string
	Actions []string
}

// Seats counts who holds one. Only people do.
type Seats struct {
	Used    int64  // members that are not removed
	Pending int64  // invitations that may still be accepted
	Limit   *int64 // nil: no limit
}

// free reports whether one more person may be invited.
func (s Seats) free() bool { return s.Limit == nil || s.Used+s.Pending < *s.Limit }

// Pauses is a set of reasons for which something is paused, as a sorted list of
// words with commas between them. What it is on works when the set is empty.
type Pauses string

// The reasons for which a key or an account is paused.
const (
	ByPerson = "person" // somebody asked for it
	ByTrial  = "trial"  // a rotation tries to do without the key, for a while
)

// With returns the set with a reason added.
func (p Pauses) With(reason string) Pauses {
	if p.Has(reason) {
		return p
	}
	if p == "" {
		return Pauses(reason)
	}
	if reasons := string(p); reason < reasons {
		return Pauses(reason + "," + reasons)
	}
	return Pauses(string(p) + "," + reason)
}

// Without returns the set with a reason taken out.
func (p Pauses) Without(reason string) Pauses {
	var kept []string
	for r := range strings.SplitSeq(string(p), ",") {
		if r != reason {
			kept = append(kept, r)
		}
	}
	return Pauses(strings.Join(kept, ","))
}

// Has reports whether the set holds a reason.
func (p Pauses) Has(reason string) bool {
	for r := range strings.SplitSeq(string(p), ",") {
		if r == reason {
			return true
		}
	}
	return false
}
