package replica

import (
	"net/netip"

	"github.com/posternhq/postern/internal/iam"
)

// Code says how a verification ended.
type Code uint8

// The codes. Of several that apply, the first of this order is told, except that
// a replica that is stale tells nothing else. Zero is no code: a verdict that
// nobody filled in is not a valid one.
const (
	Valid             Code = iota + 1
	NotFound               // no such key, or not in the scope asked about
	Revoked                // the key itself was revoked
	PrincipalInactive      // its owner was revoked or removed
	Paused                 // the key, its owner or the workspace is paused
	Expired                // its time is over
	NetworkDenied          // it may not be used from there, or nobody said from where
	PermissionDenied       // it may be used, but not for all that was asked
	Stale                  // this node cannot know
)

// String returns the code as the API writes it.
func (c Code) String() string {
	switch c {
	case Valid:
		return "valid"
	case NotFound:
		return "not_found"
	case Revoked:
		return "revoked"
	case PrincipalInactive:
		return "principal_inactive"
	case Paused:
		return "paused"
	case Expired:
		return "expired"
	case NetworkDenied:
		return "network_denied"
	case PermissionDenied:
		return "permission_denied"
	}
	return "stale"
}

// Verdict is the answer to a verification. Its texts share the memory of the
// state that gave it. When Code is NotFound or Stale, all else but Revision is
// zero.
type Verdict struct {
	Code      Code
	KeyFound  bool
	Revision  int64 // the last change that it takes into account
	Key       Key
	Principal Principal
	Workspace Workspace
	Role      Role

	head    uint64           // of the key's hash
	allowed uint64           // bit i: Query.Permissions[i]
	role    *iam.Permissions // nil: none
	limit   *iam.Permissions // nil: all that the role allows
}

// Key is what a verdict says of the key.
type Key struct {
	ID        [16]byte // see [Verdict.KeyID]
	Name      string
	ExpiresAt int64 // microseconds since 1970; 0: never
	Session   bool  // it is a session: ID is that of a sign-in
}

// Principal is what a verdict says of the key's owner.
type Principal struct {
	ID    iam.PrincipalID
	Type  iam.PrincipalType
	Name  string
	State iam.State // active, paused, inactive or removed
}

// Workspace is what a verdict says of the owner's workspace.
type Workspace struct {
	ID     iam.WorkspaceID
	Slug   string
	System bool
	Reveal bool // doors may tell the holder why
}

// Role is what a verdict says of the owner's role. The name of one that was
// deleted is empty.
type Role struct {
	ID   iam.RoleID
	Name string
}

// KeyID returns the key's id, or an empty one when no key was found.
func (v Verdict) KeyID() iam.KeyID {
	if !v.KeyFound || v.Key.Session {
		return ""
	}
	return iam.KeyID(iam.FormatID(iam.KeyPrefix, v.Key.ID))
}

// AppendKeyID appends the key's id to dst, or nothing when no key was found. It
// does not allocate when dst has room.
func (v Verdict) AppendKeyID(dst []byte) []byte {
	if !v.KeyFound {
		return dst
	}
	return iam.AppendID(dst, iam.KeyPrefix, v.Key.ID)
}

// SignInID returns the id of the sign-in that a session is of, or an empty one.
func (v Verdict) SignInID() iam.SignInID {
	if !v.KeyFound || !v.Key.Session {
		return ""
	}
	return iam.SignInID(iam.FormatID(iam.SignInPrefix, v.Key.ID))
}

// Allows returns the decision about Query.Permissions[i], for i below 64. A key
// that may not be used at all is allowed nothing.
func (v Verdict) Allows(i int) bool { return i >= 0 && v.allowed>>i&1 == 1 }

// Effective returns what the key can do: its owner's role and its limit
// together. Whether the key may be used is another question.
func (v Verdict) Effective() iam.Permissions {
	switch {
	case v.role == nil:
		return iam.Permissions{}
	case v.limit == nil:
		return *v.role
	}
	return v.role.Intersect(*v.limit)
}

// Use returns the use that the verdict was given on, from where and with what.
func (v *Verdict) Use(ip netip.Addr, agent string, asked []string) iam.Use {
	return iam.Use{
		Key: v.Key.ID, HashHead: v.head, Principal: v.Principal.ID, Workspace: v.Workspace.ID, OK: v.Code == Valid,
		IP: ip, UserAgent: agent, Asked: asked,
	}
}

// Caller returns who holds the key, for the calls that are made with it. It is
// for the reader of a verdict to see that the key may be used.
func (v Verdict) Caller() iam.Caller {
	held := iam.PrincipalRole{ID: v.Role.ID, Name: v.Role.Name}
	if v.role != nil {
		held.Permissions = *v.role
	}
	return iam.Caller{
		Workspace: iam.Ref[iam.WorkspaceID]{ID: v.Workspace.ID, Name: v.Workspace.Slug},
		System:    v.Workspace.System,
		Principal: iam.Principal{
			ID: v.Principal.ID, Type: v.Principal.Type, Workspace: v.Workspace.ID,
			Name: v.Principal.Name, State: v.Principal.State, Role: held,
		},
		Key:         iam.Ref[iam.KeyID]{ID: v.KeyID(), Name: v.Key.Name},
		Session:     v.SignInID(),
		Permissions: v.Effective(),
	}
}
