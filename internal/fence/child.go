package fence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Parent is what a verifier outside the server follows. Errors of kind
// [iam.Unavailable] and ended contexts say that it could not be asked.
type Parent interface {
	replica.Feed

	// Renew acknowledges, and asks for a sub-lease, over one connection.
	Renew(ctx context.Context, p replica.Ping) (replica.Grant, error)
}

// Verifier is a process outside the server that answers from memory: it follows a
// parent, and answers under what that gives it. It is safe for concurrent use.
type Verifier struct {
	replica *replica.Replica
	parent  Parent
	clock   Clock
	wanted  time.Duration
	acks    bell // rings when there is something to acknowledge
	pings   int64
	last    time.Duration // how long the last sub-lease was

	pinged time.Duration // when the last question was sent, on the monotonic clock
	told   int64         // the change that it acknowledged
}

// NewVerifier returns a verifier that does nothing yet. Its replica has the clock's
// Now as its Clock.
func NewVerifier(r *replica.Replica, p Parent, clock Clock) *Verifier {
	return &Verifier{replica: r, parent: p, clock: clock, wanted: longestGrant, last: longestGrant, acks: newBell()}
}

// Run follows the parent until ctx ends.
func (v *Verifier) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, part := range v.parts() {
		running.Go(func() { part(ctx) })
	}
	running.Wait()
}

func (v *Verifier) parts() []func(context.Context) {
	return []func(context.Context){v.keep, v.follow}
}

const (
	patience    = time.Second            // for what a parent knows
	leastWait   = 200 * time.Millisecond // for a sub-lease; a quarter of the last one if that is longer
	soonestPing = 50 * time.Millisecond
)

// keep asks for one sub-lease after the other, and at once when there is something
// to acknowledge.
func (v *Verifier) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := v.renew(ctx); errors.Is(err, replica.ErrTooOld) || errors.Is(err, iam.Diverged) {
			v.replica.Fail(err) // the next attempt loads
		}
		v.clock.Sleep(ctx, max(v.last/8, soonestPing), v.acks)
		v.pause(ctx)
	}
}

// pause keeps those who wait for a sub-lease from asking for one too often. It holds
// up no acknowledgement.
func (v *Verifier) pause(ctx context.Context) {
	for ctx.Err() == nil && v.replica.Position().Seq <= v.told {
		left := soonestPing - (v.clock.Now().Monotonic - v.pinged)
		if left <= 0 {
			return
		}
		v.clock.Sleep(ctx, left, v.acks)
	}
}

// Await returns nil when it is worth to look again whether this process answers, after
// a look that began at a moment or later and came to nothing. It asks for a sub-lease,
// and waits a little for it. After [replica.Patience] the error is of kind [iam.Stale].
func (v *Verifier) Await(ctx context.Context, since replica.Instant) error {
	published := v.replica.Published() // before the look, so that nothing is missed in between
	err := v.replica.Ready()
	left := replica.Patience - (v.clock.Now().Monotonic - since.Monotonic)
	switch {
	case left <= 0 || ctx.Err() != nil:
		return cmp.Or(err, errOvertaken)
	case err == nil:
		return nil
	}
	v.acks.ring()
	v.clock.Sleep(ctx, left, published)
	return nil
}

// errOvertaken says that changes came faster than an answer could be made.
var errOvertaken = fmt.Errorf("%w: changes came faster than the answer could be made", iam.Stale)

// renew takes up a sub-lease, once this process answers from what it rests on.
func (v *Verifier) renew(ctx context.Context) error {
	if !v.replica.Standing().Fit {
		if err := v.replica.Load(ctx, v.parent); err != nil {
			return err
		}
	}
	was := v.replica.Standing()
	sent := v.clock.Now() // before the question: the parent counts from later
	v.pinged, v.told = sent.Monotonic, was.Position.Seq
	v.pings++
	limited, cancel := v.clock.Limit(ctx, max(v.last/4, leastWait))
	defer cancel()
	g, err := v.parent.Renew(limited, replica.Ping{N: v.pings, At: was.Position, Wanted: v.wanted})
	switch {
	case err != nil:
		return err
	case g.N != v.pings:
		return fmt.Errorf("the answer to question %d came for question %d", g.N, v.pings)
	}
	if v.replica.Position().Seq < g.At.Seq {
		if err := v.replica.CatchUp(limited, v.parent); err != nil {
			return err
		}
		v.acks.ring()
	}
	if at := v.replica.Position(); at.Seq == g.At.Seq && at.Chain != g.At.Chain {
		return fmt.Errorf("%w: revision %d", iam.Diverged, at.Seq)
	}
	v.last = g.For
	length := g.For * 4 / 5
	return v.replica.Extend(was.Epoch, replica.Lease{Sent: sent, Strict: length, Bounded: length, Time: g.Time}, g.At.Seq)
}

// follow applies changes as the parent tells of them.
func (v *Verifier) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if before := v.replica.Standing(); before.Fit {
			limited, cancel := v.clock.Limit(ctx, patience)
			_ = v.replica.CatchUp(limited, v.parent) // keep finds out what it means
			cancel()
			if v.replica.Position().Seq > before.Position.Seq {
				v.acks.ring()
			}
		}
		v.clock.Sleep(ctx, pollEvery, v.replica.Kicked())
	}
}
