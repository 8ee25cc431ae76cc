package iam

import (
	"crypto/sha256"

	"github.com/posternhq/postern/internal/audit"
)

// The kinds of principal, as package audit names them.
const (
	MemberType         = audit.Member
	ServiceAccountType = audit.ServiceAccount
)

// Caller is who is asking: the principal and the key behind a request, what they
// may do as this node knows it, and where the request came from. Every method of
// [Service] takes one, so that no code path can forget to ask.
//
// What a Caller may do decides about reading. About changing, the rows decide,
// as they are inside the transaction.
type Caller struct {
	Workspace   Ref[WorkspaceID] // Name is the slug
	System      bool             // the workspace is the one that operates the deployment
	Principal   Principal
	Key         Ref[KeyID]
	Session     SignInID    // instead of a key, of a person who signed in
	Permissions Permissions // effective: role and limit together
	Source      audit.Source
	RequestID   string
	Idempotency *Idempotency // nil: the call has no Idempotency-Key
	IfMatch     *int64       // the Version that a change requires, or nil
	Prefer      Preference   // how to wait until a change is confirmed

	internal string // not empty: Postern itself, and why
}

// Idempotency names a call that may be made twice and is done once.
type Idempotency struct {
	Key   string            // the header's value, 1 to 255 characters
	Scope string            // calling key or session, method and resolved path
	Body  [sha256.Size]byte // SHA-256 of the body
}

// Internal returns the caller for what Postern does by itself, such as
// initialisation. why stands in the audit log as the actor's name.
func Internal(why string, source audit.Source) Caller {
	return Caller{internal: why, Source: source}
}

func (c Caller) actor() audit.Actor {
	if c.internal != "" {
		return audit.Actor{Type: audit.System, ID: string(audit.System), Name: c.internal}
	}
	if c.Principal.ID == "" {
		return audit.Actor{Type: audit.Anonymous, ID: string(audit.Anonymous), Name: "Anonymous"}
	}
	return c.Principal.actor()
}

// createdBy is the caller as the maker of something.
func (c Caller) createdBy() Actor { return Actor{Actor: c.actor(), State: Active} }

// own names the caller's own workspace in a path.
const own = "-"

// resolve returns the id of the workspace that a path names: the caller's own by
// "-", its id or its slug. Any other is not found.
func (c Caller) resolve(ref string) (WorkspaceID, error) {
	if ref == own || ref == string(c.Workspace.ID) || ref == c.Workspace.Name {
		return c.Workspace.ID, nil
	}
	return "", Errorf(NotFound, "no such workspace")
}
