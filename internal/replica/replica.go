// Package replica answers verifications from memory.
//
// A [Replica] holds every key that is not yet purged, usable or not, as of one
// committed change. It follows the change log of a [Feed], and is replaced whole
// at each change: one atomic pointer leads to all that a decision reads, and
// nothing that can be reached from it is written again. A replica that cannot
// know whether it has heard of every revocation is stale and says so; it never
// guesses.
package replica

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Options says what a replica needs from outside.
type Options struct {
	Now  func() time.Time // nil: [time.Now]
	Log  *slog.Logger     // nil: nothing is logged
	Node string           // the name of this node, for receipts

	Version string // of the program, for lists of nodes

	// Clock reads both clocks of the machine. Without it there are no leases:
	// this process is the only one that answers, and the replica is stale only
	// when it cannot follow. With it the replica answers only under a [Lease].
	Clock func() Instant

	// Tail is how many batches of changes are kept for those who follow this
	// replica, and have fallen behind or come back. Zero: nobody follows it.
	Tail int

	// Publishing is for tests, which hold a publisher back in it: it is called
	// when a state is made and not yet put in the place of the one before.
	Publishing func()
}

// Replica is every key, as of one change. It is safe for concurrent use.
type Replica struct {
	now        func() time.Time
	log        *slog.Logger
	node       string
	version    string
	clock      func() Instant // nil: there are no leases
	publishing func()
	tail       int

	incarnation string // of a node that is alone
	started     time.Time

	current atomic.Pointer[state] // never nil
	level   atomic.Pointer[time.Time]
	kicked  chan struct{} // holds one kick for Follow

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed at the next publication
}

var errNotLoaded = errors.New("nothing has been loaded yet")

// New returns a replica that is stale until it has loaded.
func New(o Options) *Replica {
	r := &Replica{
		now: o.Now, log: o.Log, node: o.Node, version: o.Version, clock: o.Clock, publishing: o.Publishing, tail: o.Tail,
		incarnation: newIncarnation(),
		kicked:      make(chan struct{}, 1),
		changed:     make(chan struct{}),
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.publishing == nil {
		r.publishing = func() {}
	}
	r.started = r.now()
	r.current.Store(&state{stale: errNotLoaded, tables: newTables()})
	return r
}

// Ready returns nil when verifications are answered, else an error of kind
// [iam.Stale] that wraps the reason why not.
func (r *Replica) Ready() error { return r.View().Ready() }

// Position returns the last change that was applied.
func (r *Replica) Position() iam.Position { return r.current.Load().position }

// Size returns how many keys and principals there are, the ended ones included, and
// sessions among the keys until they are over.
func (r *Replica) Size() (keys, principals int) {
	s := r.current.Load()
	return int(s.keys.rows.len - s.keys.spares), int(s.principals.rows.len)
}

// Lag returns for how long the feed may have had changes that this replica does
// not: the time since the last answer that had nothing more was asked for. It is
// zero before the first.
func (r *Replica) Lag() time.Duration {
	if at := r.level.Load(); at != nil {
		return r.now().Sub(*at)
	}
	return 0
}

// publish puts a state in the place of the one that it was derived from, and
// reports whether that was still the current one.
func (r *Replica) publish(old, next *state) bool {
	r.publishing()
	if !r.current.CompareAndSwap(old, next) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.changed)
	r.changed = make(chan struct{})
	return true
}

// Published returns a channel that is closed at the next publication.
func (r *Replica) Published() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}
