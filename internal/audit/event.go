// Package audit says what an event of the audit log is, how it is written down
// so that it can be checked years later, and how it leaves as JSON lines or CSV.
package audit

import "time"

// Event is one line of a workspace's audit log: who did what to what, with which
// outcome, from where. Once written it never changes.
type Event struct {
	ID        string // evt_…
	Workspace string // ws_…
	Seq       int64  // counts the workspace's events from 1, without gaps
	At        time.Time
	Actor     Actor
	Key       *Ref // the key that was used; nil when there was none
	Action    string
	Target    Target
	Outcome   Outcome
	Reason    string // why it was refused, or the reason that the caller gave
	Source    Source
	RequestID string
	Before    Fields // what changed, as it was; nil when nothing was there
	After     Fields // what changed, as it became
}

// ActorType says what kind of principal acted.
type ActorType string

// The kinds of actor.
const (
	Member         ActorType = "member"
	ServiceAccount ActorType = "service_account"
	System         ActorType = "system"    // initialisation, expiry, rotation that ends by itself
	Anonymous      ActorType = "anonymous" // nobody had signed in yet
)

// Actor names who acted: by id, and by type and name as they were at the time.
type Actor struct {
	Type ActorType
	ID   string
	Name string
}

// Ref names a thing by its id and its name at the time.
type Ref struct {
	ID   string
	Name string
}

// Target names what was acted on.
type Target struct {
	Type string // service_account, key, member, role, workspace, …
	ID   string
	Name string
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes. There is no third: an attempt whose end is unknown has no event
// until its transaction is found to have been committed.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
)

// Source says where a call came from.
type Source struct {
	IP        string
	UserAgent string
	Node      string // the name of the node that was asked
}

// Fields are the members of an object before or after a change, by their names
// in the API. Values are nil, bool, int64, string, []string, map[string]string
// or Fields; anything else cannot be encoded, nor an integer beyond 2^53-1. They
// never hold a secret or a hash.
type Fields map[string]any
