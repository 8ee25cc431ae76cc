package replica

import (
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// A replica outside the server answers under a sub-lease, which the server that it
// follows gives it out of what is left of its own lease. Package fence has the rules.

// Ping is a question for a sub-lease.
type Ping struct {
	N      int64         // the answer repeats it: whoever asked counts from when it sent this one
	At     iam.Position  // what it answers from: all before is acknowledged
	Wanted time.Duration // for how long
}

// Grant is a sub-lease. It may be used once its holder answers from change At.Seq, or a
// later one.
type Grant struct {
	N    int64
	At   iam.Position
	For  time.Duration
	Time time.Time // the latest that the time of the database can be
}

// Why a verifier that follows gets no sub-lease, besides those of [View.Knows] and
// [iam.Stale], when there is nothing to give.
const (
	ErrNoFollower = iam.Kind("no_follower") // there is no such connection, or it has ended
	ErrSetAside   = iam.Kind("set_aside")   // it, or others of the same owner or tenant, let sub-leases run out on changes
)

// Entrant is a verifier that begins to follow a server over a connection.
type Entrant struct {
	Name    string // what it calls itself, as others may too
	Process string // tells one process from all others, over all its connections
	Owner   string // what one verifier does is held against all of the same owner, and to a degree
	Tenant  string // against all of the same tenant
	Scope   Scope
}

// Follower is what a server knows of a connection of a verifier that follows it.
type Follower struct {
	ID       string // of the connection
	Name     string // what the verifier calls itself
	Process  string // the same over all connections of one process
	Scope    Scope
	Since    time.Time     // when the connection began
	Acked    int64         // it answers from this change or a later one, or not at all; 0: it has said nothing yet
	Lag      int64         // changes that it has not acknowledged, whether they say anything to it or not
	Left     time.Duration // of its sub-leases
	Heard    time.Time     // when it last asked for one; zero: it has not
	SetAside bool          // it gets none until it has caught up, or for a while
}

// Followers sum up the verifiers that follow a server, for metrics.
type Followers struct {
	Count    int           // connections that have not ended
	SetAside int           // of them, those that get no sub-lease
	Blocking time.Duration // for how long, at most, what waits to be acknowledged can go on waiting for them
	Held     time.Duration // for how long, at most, one of them may answer, also of those whose connection has ended
}
