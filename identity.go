package postern

import (
	"context"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Identity is whose key was verified. Its texts share the memory of the verifier:
// keep it for as long as a request lasts, and its ids for longer.
type Identity struct {
	Principal PrincipalRef
	Workspace WorkspaceRef
	Key       KeyRef
	Role      RoleRef
	Revision  int64 // the change that the answer takes into account, and all before it

	// FreshFor is for how long, counted from when Verify returned, nothing can be
	// taken back unseen from what the answer says: while it lasts, no revocation of
	// the key has returned that this verifier had not heard of. Somebody who holds
	// an answer for longer, as a long stream does, asks again before it is over.
	FreshFor time.Duration
}

// PrincipalRef is who holds a key.
type PrincipalRef struct {
	ID   string // such as sa_01kav…
	Type string // service_account or member
	Name string
}

// WorkspaceRef is the tenant that a key belongs to.
type WorkspaceRef struct{ ID, Slug string }

// RoleRef is the role of a key's holder. The name of one that was deleted is empty.
type RoleRef struct{ ID, Name string }

// KeyRef is a key, and nothing that opens anything.
type KeyRef struct {
	ID        KeyID
	Name      string
	ExpiresAt time.Time // zero: never
}

// KeyID is the id of a key. Its text is made when it is needed.
type KeyID [16]byte

// String returns the id as the API writes it, or an empty text for none.
func (id KeyID) String() string {
	if id == (KeyID{}) {
		return ""
	}
	return iam.FormatID(iam.KeyPrefix, id)
}

// MarshalText implements [encoding.TextMarshaler].
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// describe fills in what a verdict says of a key that was found.
func (id *Identity) describe(v *replica.Verdict) {
	id.Revision = v.Revision
	if !v.KeyFound {
		return
	}
	id.Principal = PrincipalRef{ID: string(v.Principal.ID), Type: string(v.Principal.Type), Name: v.Principal.Name}
	id.Workspace = WorkspaceRef{ID: string(v.Workspace.ID), Slug: v.Workspace.Slug}
	id.Key = KeyRef{ID: v.Key.ID, Name: v.Key.Name}
	if v.Key.ExpiresAt != 0 {
		id.Key.ExpiresAt = time.UnixMicro(v.Key.ExpiresAt).UTC()
	}
	id.Role = RoleRef{ID: string(v.Role.ID), Name: v.Role.Name}
}

type identityKey struct{}

// FromContext returns whose key let a request through, and whether [Require] did.
func FromContext(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(*Identity)
	if !ok {
		return Identity{}, false
	}
	return *id, true
}

// NewContext returns a context that tells [FromContext] whose key was verified, for
// doors of other kinds than [Require].
func NewContext(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, &id)
}
