// Package fence keeps the promise of strict revocation over many nodes: once a
// change has returned, no node answers from before it.
//
// Each node holds a lease in the database and answers from memory only while the
// lease lives. The lease is renewed by a write, and counts from when that write
// was sent; its answer names the last change, and the node takes the lease up only
// once it has applied that change. Whoever makes a change waits until every node
// has acknowledged it, or for as long as a node that has not may go on answering.
//
// Why it holds: a node answers from change u only under a lease that was sent at
// s, on a head of at most u, and less than 0.8·TTL ago. A change k above u was
// committed after s, for otherwise the head would have told of it. Clocks run
// within ±8.3 % of true time, so that the lease ends within 0.873·TTL of s, and
// whoever waits waits at least 0.923·TTL from the commit of k, which is later.
//
// docs/consistency.md tells what this means for whoever runs it.
package fence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Database is where the nodes of a deployment meet; store.Nodes is it. Errors of
// kind [iam.Unavailable] and ended contexts say that it could not be asked. Only
// an answer whose command has completed may be returned.
type Database interface {
	replica.Feed

	// Join writes a row that was not there. After an error it may be there.
	Join(ctx context.Context, row iam.NodeRow) error
	// Renew moves a row's counter on, in one statement that also reads the head.
	// A server that cannot commit must not answer it. When the row is gone, the
	// error is of kind [iam.NotFound].
	Renew(ctx context.Context, incarnation string) (iam.Renewal, error)
	// Ack raises a row's acknowledgement to a change, provided that the server
	// that it is written to has that very change; [iam.Diverged] says that it has
	// another there. A server that cannot commit must not answer it, also when it
	// shows the acknowledgement already. When the row is gone, the error is of kind [iam.NotFound].
	Ack(ctx context.Context, incarnation string, at iam.Position) error
	// Lagging returns all rows as they were at some moment after it was called,
	// from a server that could commit at some moment after change seq was.
	Lagging(ctx context.Context, incarnation string, seq int64) (iam.Roll, error)
	// All returns all rows as some server has them.
	All(ctx context.Context) (iam.Roll, error)
	// Reap removes a row whose counter has not moved from a value, and reports
	// whether it did.
	Reap(ctx context.Context, incarnation string, counter int64) (removed bool, err error)
	// Trim removes what every node has acknowledged from the log, but for the
	// last keep changes.
	Trim(ctx context.Context, keep int64) error
	// Leave removes the caller's own row, and reports whether it was there.
	Leave(ctx context.Context, incarnation string) (removed bool, err error)
	// Listen calls heard when there may be changes, until ctx or the connection
	// ends. Nothing depends on it but how soon they are seen.
	Listen(ctx context.Context, heard func()) error
}

// Options says what a node is and what it needs.
type Options struct {
	Name     string
	Version  string
	Reporter string        // the id under which the process reports how keys are used; empty: it accepts none
	TTL      time.Duration // 1 to 60 s
	Bounded  time.Duration // for how much longer it may answer without the database; 0: not at all
	Local    bool          // go on where a failover can undo what was confirmed

	Replica  *replica.Replica // with the clock's Now as its Clock
	Database Database
	Clock    Clock
	Random   io.Reader    // of cryptographic quality
	Log      *slog.Logger // nil: nothing is logged
	Journal  Journal      // nil: nobody is told what happens to nodes
}

// The least and the greatest TTL of a node.
const (
	MinTTL = time.Second
	MaxTTL = time.Minute
)

// Node is this process among those that answer from one database. It is safe for
// concurrent use.
type Node struct {
	name, version string
	reporter      string
	ttl, bounded  time.Duration
	local         bool

	replica *replica.Replica
	db      Database
	clock   Clock
	random  io.Reader
	log     *slog.Logger
	journal Journal

	renewal bell // asks for a renewal now
	acked   bell // rings after an acknowledgement
	waiting bell // rings when somebody begins to wait

	children *Children
	roll     *roll

	mu      sync.Mutex // guards what follows
	row     member
	leaving bool
	waiters []*waiter
	view    outlook
	alarms  iam.Alarms
	lost    bool  // the database has lost changes, and nothing was loaded since
	failure error // of the last attempt to get a lease; nil: it got one

	answered bool   // after that attempt, as far as it was reported
	last     tenure // as far as the journal was told
	rested   string // what the leases of the last incarnation rested on
}

// member is what a node knows of its own row. It is zero when there is none.
type member struct {
	incarnation string
	acked       int64
	authority   iam.Authority // who answered its first renewal; zero: nobody has
	joined      time.Time     // the database's time then
	durability  string        // what its leases rest on
}

// New returns a node that does nothing yet.
func New(o Options) (*Node, error) {
	switch {
	case o.Replica == nil || o.Database == nil || o.Clock == nil || o.Random == nil:
		return nil, errors.New("fence: a replica, a database, a clock and randomness are needed")
	case o.TTL < MinTTL || o.TTL > MaxTTL:
		return nil, fmt.Errorf("fence: a lease of %v is not between %v and %v", o.TTL, MinTTL, MaxTTL)
	case o.Bounded < 0:
		return nil, fmt.Errorf("fence: a bound of %v is in the past", o.Bounded)
	}
	n := &Node{
		name: o.Name, version: o.Version, reporter: o.Reporter, ttl: o.TTL, bounded: o.Bounded, local: o.Local,
		replica: o.Replica, db: o.Database, clock: o.Clock, random: o.Random, log: o.Log, journal: o.Journal,
		renewal: newBell(), acked: newBell(), waiting: newBell(), roll: newRoll(),
		children: NewChildren(o.Replica, o.Clock),
		view:     outlook{longest: o.TTL, seen: map[string]sighting{}},
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.journal == nil {
		n.journal = nobody{}
	}
	return n, nil
}

// Run is a node until ctx ends: it joins, renews its lease, follows the log,
// looks on behalf of those who wait, removes the rows of nodes that are dead, and
// keeps the log short. It does not leave: see [Node.Leave].
func (n *Node) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, part := range n.parts() {
		running.Go(func() { part(ctx) })
	}
	running.Wait()
}

// parts are what a node does, each until its context ends.
func (n *Node) parts() []func(context.Context) {
	return []func(context.Context){n.keep, n.follow, n.listen, n.look, n.reap, n.trim}
}

// Children returns the verifiers outside the server that follow this node.
func (n *Node) Children() *Children { return n.children }

// Ready returns nil while verifications are answered, else an error of kind
// [iam.Stale] that wraps the reason why not.
func (n *Node) Ready() error { return n.replica.Ready() }

// Trouble returns why the last attempt to get a lease failed, or nil when it did
// not. [ErrRefused] says that somebody has to change the database's settings.
func (n *Node) Trouble() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failure
}

// me returns what the node knows of its own row.
func (n *Node) me() member {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.row
}

// limited returns a context for one question to the database: long enough for a
// slow answer, and short enough that a lease survives one that never comes.
func (n *Node) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return n.clock.Limit(ctx, min(n.ttl*2/5, 1500*time.Millisecond))
}

// passing reports whether an error says only that the database could not be asked.
func passing(err error) bool {
	return errors.Is(err, iam.Unavailable) || errors.Is(err, iam.Unknown) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
