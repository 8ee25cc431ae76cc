package fence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Children are the verifiers outside the server that follow this process. Each
// answers from memory under a sub-lease, which this process gives out of what is
// left of its own right to answer, and never for long. A change is not known here,
// as far as others are told, before no child can answer from before it: no child, that
// is, to whose scope the change, or one before it, says anything.
//
// Why it holds: a child counts a sub-lease from when it sent the question, on its own
// clocks, and uses four fifths of it; this process counts the whole from when it
// wrote it down, which is later. And it writes it down before it looks whether it
// still answers from what the sub-lease rests on: whoever publishes a change and
// looks for sub-leases after that finds it, or it is not given.
type Children struct {
	clock   Clock
	replica *replica.Replica
	free    bell   // rings when nobody may hold a sub-lease any more that somebody did
	settled func() // called, with mu held, when what was waited for need not be any more

	mu       sync.Mutex // guards what follows
	open     map[string]*child
	conducts map[string]*conduct // of owners and tenants
	leaving  bool
	pending  replica.Standing // what is being waited for; zero: nothing is

	giving func() // for tests, which hold a sub-lease back in it, before it is written down
}

// child is one connection of a verifier. What a connection was given ends with an
// acknowledgement over it, or with time, whatever becomes of the connection.
type child struct {
	replica.Entrant
	owner  *conduct // what is held against it
	tenant *conduct
	began  time.Duration // on the monotonic clock, when the connection did
	since  time.Duration // the same on the wall clock
	heard  time.Duration // on the wall clock, when it last asked; 0: it has not
	epoch  uint64        // of the replica, in which it acknowledged; what it did in another counts for nothing
	acked  int64
	given  []subLease
	doubt  replica.Doubt // about where it says it is, when this process has not come so far
	gone   bool          // the connection has ended
	owes   int64         // the change that it let a sub-lease run out on, until it has it
	waited bool          // a change had to wait for that
}

// subLease says until when, on the monotonic clock, a child may answer from a change.
type subLease struct {
	epoch uint64 // of the replica: after a fence the numbers may be those of another log
	seq   int64
	end   time.Duration
}

const (
	longestGrant = 2 * time.Second
	mostGiven    = 64 // sub-leases that a connection has at a time; one that asks as it should has 40
)

// NewChildren returns the children of a process that answers from a replica.
func NewChildren(r *replica.Replica, clock Clock) *Children {
	return &Children{
		clock: clock, replica: r, free: newBell(), settled: r.Kick,
		open: map[string]*child{}, conducts: map[string]*conduct{}, giving: func() {},
	}
}

// Enter begins a connection. Its id is new, and of nobody else. It hears, and is waited
// for, as far as its scope goes.
func (c *Children) Enter(id string, who replica.Entrant) {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep()
	c.open[id] = &child{
		Entrant: who, began: now.Monotonic, since: now.Wall,
		owner: c.conductOf("owner "+who.Owner, forgivenOfOne), tenant: c.conductOf("tenant "+who.Tenant, forgivenOfAll),
	}
}

// Exit ends a connection. What was given over it stays until its time is over,
// unless the child says that it uses it no more.
func (c *Children) Exit(id string, goodbye bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, there := c.open[id]
	if !there {
		return
	}
	ch.gone = true
	if goodbye {
		ch.given = nil
	}
	c.wake()
}

// Renew takes down what a child acknowledges and gives it a sub-lease. Its caller has
// verified the key of the connection just before. Errors of package replica say that
// the child cannot go on from where it is; those of kind [iam.Stale], that this
// process has nothing to give.
func (c *Children) Renew(id string, p replica.Ping) (replica.Grant, error) {
	if err := c.hear(id, p.At); err != nil {
		return replica.Grant{}, err
	}
	for {
		v, now := c.replica.View(), c.clock.Now()
		length := min(p.Wanted, longestGrant, v.Strict(now))
		if err := v.Knows(p.At); err != nil {
			return replica.Grant{}, c.doubted(id, p.At, err)
		}
		if length <= 0 {
			return replica.Grant{}, fmt.Errorf("%w: there is no lease to give a part of", iam.Stale)
		}
		c.giving()
		given, err := c.write(id, subLease{v.Epoch(), v.Seq(), now.Monotonic + length})
		if err != nil {
			return replica.Grant{}, err
		}
		if c.replica.Still(v) {
			return replica.Grant{N: p.N, At: v.Position(), For: length, Time: v.Time(now)}, nil
		}
		c.strike(id, given) // it was given to nobody
	}
}

// Acknowledge takes down what a child answers from, which wants no answer. What this
// process does not know of acknowledges nothing.
func (c *Children) Acknowledge(id string, at iam.Position) { _ = c.hear(id, at) }

// doubted returns why a child cannot go on from where it is. Where this process has not
// come so far it may yet come there; once it has heard, since the child first said so,
// that there is no more, it will not.
func (c *Children) doubted(id string, at iam.Position, why error) error {
	if !errors.Is(why, iam.Unavailable) {
		return why
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, there := c.open[id]
	switch {
	case !there || ch.gone:
		return replica.ErrNoFollower
	case ch.doubt.At.Seq != at.Seq || ch.doubt.At.Chain != at.Chain:
		ch.doubt = c.replica.Doubts(at)
	case c.replica.Lost(ch.doubt):
		return fmt.Errorf("%w: the log has lost revision %d", iam.Diverged, at.Seq)
	}
	return why
}

// hear takes down an acknowledgement.
func (c *Children) hear(id string, at iam.Position) error {
	v := c.replica.View()
	if v.Knows(at) != nil {
		return nil // of what it has, nothing is known here: it acknowledges nothing
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, there := c.open[id]
	if !there || ch.gone {
		return replica.ErrNoFollower
	}
	ch.heard = c.clock.Now().Wall
	if ch.epoch != v.Epoch() {
		ch.epoch, ch.acked, ch.owes = v.Epoch(), 0, 0
	}
	if at.Seq > ch.acked {
		ch.acked = at.Seq
		c.wake()
	}
	return nil
}

// write notes what is about to be given.
func (c *Children) write(id string, given subLease) (subLease, error) {
	now := c.clock.Now().Monotonic
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, there := c.open[id]
	if there {
		ch.expire(now, c.replica.View(), c.pending)
	}
	switch {
	case !there || ch.gone:
		return subLease{}, replica.ErrNoFollower
	case c.leaving:
		return subLease{}, fmt.Errorf("%w: it is leaving", iam.Stale)
	case ch.setAside(now), len(ch.given) >= mostGiven:
		return subLease{}, replica.ErrSetAside
	}
	ch.given = append(ch.given, given)
	return given, nil
}

// strike takes back what was not sent.
func (c *Children) strike(id string, given subLease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, there := c.open[id]; there {
		if i := slices.Index(ch.given, given); i >= 0 {
			ch.given = slices.Delete(ch.given, i, i+1)
			c.wake()
		}
	}
}

// stop has nothing given any more.
func (c *Children) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
}

// Leave gives nothing any more, and returns when no child can answer: each has said
// goodbye or its sub-leases are over.
func (c *Children) Leave(ctx context.Context) error {
	c.stop()
	for {
		longest := c.Sum().Held
		if longest <= 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for verifiers: %w", context.Cause(ctx))
		}
		c.clock.Sleep(ctx, longest, c.free)
	}
}
