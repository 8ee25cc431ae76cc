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
// as far as others are told, before no child can answer from before it.
//
// Why it holds: a child counts a sub-lease from when it sent the question, on its own
// clocks, and uses four fifths of it; this process counts the whole from when it
// wrote it down, which is later. And it writes it down before it looks whether it
// still answers from what the sub-lease rests on: whoever publishes a change and
// looks for sub-leases after that finds it, or it is not given.
type Children struct {
	clock   Clock
	replica *replica.Replica
	free    bell // rings when nobody may hold a sub-lease any more that somebody did

	mu      sync.Mutex // guards what follows
	open    map[string]*child
	leaving bool
	pending replica.Standing // what is being waited for; zero: nothing is

	giving func() // for tests, which hold a sub-lease back in it, before it is written down
}

// child is one connection of a verifier. What a connection was given ends with an
// acknowledgement over it, or with time, whatever becomes of the connection.
type child struct {
	name    string
	epoch   uint64 // of the replica, in which it acknowledged; what it did in another counts for nothing
	acked   int64
	given   []subLease
	gone    bool          // the connection has ended
	owes    int64         // the change that it let a sub-lease run out on, until it has it
	strikes int           // how often it did
	barred  time.Duration // until when it gets nothing
	known   time.Duration // until when it is remembered what it did
}

// subLease says until when, on the monotonic clock, a child may answer from a change.
type subLease struct {
	epoch uint64 // of the replica: after a fence the numbers may be those of another log
	seq   int64
	end   time.Duration
}

// behind reports whether a child can answer from before a change by a sub-lease, as
// long as that lasts.
func (ch *child) behind(s subLease, epoch uint64, seq int64) bool {
	return (s.epoch != epoch || s.seq < seq) && (ch.epoch != epoch || ch.acked < seq)
}

// Ping is a question for a sub-lease.
type Ping struct {
	N      int64         // the answer repeats it: the child counts from when it sent this one
	At     iam.Position  // what the child answers from: all before is acknowledged
	Wanted time.Duration // for how long
}

// Grant is a sub-lease. A child may use it once it answers from change At.Seq, or a
// later one.
type Grant struct {
	N    int64
	At   iam.Position
	For  time.Duration
	Time time.Time // the latest that the time of the database can be
}

const (
	longestGrant = 2 * time.Second
	mostStrikes  = 3           // sub-leases that ran out on a change
	barredFor    = time.Minute // after that
)

// Why a child gets no sub-lease.
var (
	ErrNoChild  = errors.New("there is no such connection")
	ErrSetAside = errors.New("it let a sub-lease run out on a change, and has not caught up, or too often")
)

// NewChildren returns the children of a process that answers from a replica.
func NewChildren(r *replica.Replica, clock Clock) *Children {
	return &Children{clock: clock, replica: r, free: newBell(), open: map[string]*child{}, giving: func() {}}
}

// Enter begins a connection. Its id is new, and of nobody else; its name is the
// verifier's, over all its connections.
func (c *Children) Enter(id, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep()
	fresh := &child{name: name}
	for _, other := range c.open {
		if other.name == name && other.strikes >= fresh.strikes { // what it did over another connection
			fresh.strikes, fresh.barred, fresh.known = other.strikes, max(fresh.barred, other.barred), other.known
		}
	}
	c.open[id] = fresh
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
func (c *Children) Renew(id string, p Ping) (Grant, error) {
	if err := c.hear(id, p.At); err != nil {
		return Grant{}, err
	}
	for {
		v, now := c.replica.View(), c.clock.Now()
		length := min(p.Wanted, longestGrant, v.Strict(now))
		if length <= 0 {
			return Grant{}, fmt.Errorf("%w: there is no lease to give a part of", iam.Stale)
		}
		if err := v.Knows(p.At); err != nil {
			return Grant{}, err
		}
		c.giving()
		given, err := c.write(id, subLease{v.Epoch(), v.Seq(), now.Monotonic + length})
		if err != nil {
			return Grant{}, err
		}
		if c.replica.Still(v) {
			return Grant{N: p.N, At: v.Position(), For: length, Time: v.Time(now)}, nil
		}
		c.strike(id, given) // it was given to nobody
	}
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
		return ErrNoChild
	}
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
	c.sweepAt(now)
	ch, there := c.open[id]
	switch {
	case !there || ch.gone:
		return subLease{}, ErrNoChild
	case c.leaving:
		return subLease{}, fmt.Errorf("%w: it is leaving", iam.Stale)
	case ch.acked < ch.owes || now < ch.barred:
		return subLease{}, ErrSetAside
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
		}
	}
}

// settle returns from which position on no child can answer from before it, as far
// as to where the replica is, and true, or false when that is not known of more than
// before. What it waits for stays the same until it is so: changes may come faster
// than the slowest child.
func (c *Children) settle(was replica.Standing) (iam.Position, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep()
	if c.pending.Epoch != was.Epoch || c.pending.Position.Seq == 0 {
		c.pending = was
	}
	if c.blocks(c.pending) > 0 {
		return iam.Position{}, false
	}
	done := c.pending.Position
	if c.blocks(was) > 0 {
		c.pending = was
		return done, true
	}
	c.pending = replica.Standing{}
	return was.Position, true
}

// blocks returns for how long somebody can answer from before a change, by what was
// given and not acknowledged, or zero. c.mu is held, and nothing is over.
func (c *Children) blocks(at replica.Standing) (longest time.Duration) {
	now := c.clock.Now().Monotonic
	for _, ch := range c.open {
		for _, s := range ch.given {
			if ch.behind(s, at.Epoch, at.Position.Seq) {
				longest = max(longest, s.end-now)
			}
		}
	}
	return longest
}

// sweep forgets what is over. c.mu is held.
func (c *Children) sweep() { c.sweepAt(c.clock.Now().Monotonic) }

func (c *Children) sweepAt(now time.Duration) {
	for id, ch := range c.open {
		ch.expire(now, c.pending)
		if ch.gone && len(ch.given) == 0 && now >= ch.known {
			delete(c.open, id)
		}
	}
}

// expire forgets the sub-leases that are over. A child that has let all of them run
// out on the change that is waited for, if one is, is set aside.
func (ch *child) expire(now time.Duration, waited replica.Standing) {
	if now >= ch.known {
		ch.strikes = 0
	}
	held := func(s subLease) bool {
		return s.epoch == waited.Epoch && ch.behind(s, waited.Epoch, waited.Position.Seq)
	}
	before := slices.ContainsFunc(ch.given, held)
	ch.given = slices.DeleteFunc(ch.given, func(s subLease) bool { return now >= s.end })
	if !before || slices.ContainsFunc(ch.given, held) || ch.owes >= waited.Position.Seq {
		return
	}
	ch.owes, ch.known = waited.Position.Seq, now+barredFor
	if ch.strikes++; ch.strikes >= mostStrikes {
		ch.strikes, ch.barred = 0, now+barredFor
	}
}

// left returns for how long what is waited for can go on waiting, at most most.
func (c *Children) left(most time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if longest := c.blocks(c.pending); c.pending.Position.Seq > 0 && longest > 0 {
		return min(most, longest)
	}
	return most
}

// wake has whoever waits look again. c.mu is held.
func (c *Children) wake() {
	if c.pending.Position.Seq != 0 {
		c.replica.Kick()
	}
	c.free.ring()
}

// Leave gives nothing any more, and returns when no child can answer: each has said
// goodbye or its sub-leases are over.
func (c *Children) Leave(ctx context.Context) error {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	for {
		c.mu.Lock()
		now := c.clock.Now().Monotonic
		var longest time.Duration
		for _, ch := range c.open {
			for _, s := range ch.given {
				longest = max(longest, s.end-now)
			}
		}
		c.mu.Unlock()
		if longest <= 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for verifiers: %w", context.Cause(ctx))
		}
		c.clock.Sleep(ctx, longest, c.free)
	}
}
