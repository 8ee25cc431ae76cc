package iam

import (
	"crypto/sha256"
	"time"

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
	Permissions Permissions // effective: role and limit together
	Source      audit.Source
	RequestID   string
	Idempotency *Idempotency // nil: the call has no Idempotency-Key
	IfMatch     *int64       // the Version that a change requires, or nil

	internal string // not empty: Postern itself, and why
}

// Idempotency names a call that may be made twice and is done once.
type Idempotency struct {
	Key   string            // the header's value, 1 to 255 characters
	Scope string            // calling key, method and resolved path
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

// Receipt is the proof of a change: which number it has, which nodes confirmed
// that they know of it, and how long that took.
type Receipt struct {
	ID          ReceiptID
	Revision    int64
	DecidedAt   time.Time
	KeysStopped int64
	Confirmed   bool
	By          string // acked, expired or bounded
	Durability  string // quorum or local: a failover can undo this
	Nodes       ReceiptNodes
	Took        time.Duration // from the commit to the confirmation
}

// What a change that was confirmed survives.
const (
	Quorum = "quorum" // a failover, if the standby that takes over is one that had to hear
	Local  = "local"  // a crash of the one server; a failover can undo it
)

// ReceiptNodes says which nodes a receipt rests on.
type ReceiptNodes struct {
	Total     int64
	Confirmed int64
	Expired   []string
	Bounded   []string
	Waiting   []WaitingNode
}

// WaitingNode is a node that has not confirmed yet, and for how much longer it
// could still answer.
type WaitingNode struct {
	Name      string
	LeaseLeft time.Duration
}
