package fence

import (
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

	// Acknowledge says over the same connection what this process answers from, or from
	// later. It does not wait, and nil does not say that it was heard. Where only a
	// question acknowledges it is an error.
	Acknowledge(at iam.Position) error
}

// Verifier is a process outside the server that answers from memory: it follows a
// parent, and answers under what that gives it. It is safe for concurrent use.
type Verifier struct {
	replica *replica.Replica
	parent  Parent
	clock   Clock
	wanted  time.Duration
	acks    bell          // rings when there is something to acknowledge, and for whoever wants a sub-lease now
	pings   int64         // used by keep alone, as what follows
	last    time.Duration // how long the last sub-lease was

	pinged time.Duration // when the last question was sent, on the monotonic clock
	told   int64         // the change that it acknowledged
	ahead  bool          // of what it was last given to load

	mu      sync.Mutex // guards what follows
	closed  bool
	trouble error // why the last attempt to get one failed; nil: it did not
}

var (
	errClosed   = errors.New("it was closed")
	errNotAsked = errors.New("it has not asked for a sub-lease yet")
)

// NewVerifier returns a verifier that does nothing yet. Its replica has the clock's
// Now as its Clock.
func NewVerifier(r *replica.Replica, p Parent, clock Clock) *Verifier {
	return &Verifier{
		replica: r, parent: p, clock: clock, wanted: longestGrant, last: longestGrant, acks: newBell(), trouble: errNotAsked,
	}
}

// Run follows the parent until ctx ends. Whoever hears of changes from it calls
// [replica.Replica.Kick], so that they are not looked for every 200 ms alone.
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
	soonestAsk  = 100 * time.Millisecond // for those who wait for one: at most ten a second, however many
)

// keep asks for one sub-lease after the other, and acknowledges meanwhile.
func (v *Verifier) keep(ctx context.Context) {
	for ctx.Err() == nil {
		err := v.renew(ctx)
		if errors.Is(err, errClosed) {
			return
		}
		if errors.Is(err, replica.ErrTooOld) || errors.Is(err, iam.Diverged) {
			v.replica.Fail(err) // the next attempt loads
		}
		v.note(err)
		v.rest(ctx)
		v.pause(ctx)
	}
}

// rest waits until the next question is due, or something needs one, and acknowledges
// meanwhile.
func (v *Verifier) rest(ctx context.Context) {
	due := v.clock.Now().Monotonic + max(v.last/8, soonestPing)
	for ctx.Err() == nil {
		left := due - v.clock.Now().Monotonic
		if left <= 0 {
			return
		}
		v.clock.Sleep(ctx, left, v.acks)
		if !v.acknowledge() {
			return
		}
	}
}

// acknowledge says what this process answers from, unless it has said so before. It
// returns false when a question has to: this process has no sub-lease, which somebody may
// wait for, or there is no other way.
func (v *Verifier) acknowledge() bool {
	if v.replica.Ready() != nil {
		return false
	}
	at := v.replica.Standing()
	if !at.Fit || at.Position.Seq <= v.told {
		return at.Fit
	}
	if err := v.parent.Acknowledge(at.Position); err != nil {
		return false
	}
	v.told = at.Position.Seq
	return true
}

// pause keeps those who wait for a sub-lease from asking for one too often. It holds
// up no acknowledgement.
func (v *Verifier) pause(ctx context.Context) {
	for ctx.Err() == nil && v.replica.Position().Seq <= v.told {
		left := soonestAsk - (v.clock.Now().Monotonic - v.pinged)
		if left <= 0 {
			return
		}
		v.clock.Sleep(ctx, left, v.acks)
	}
}

// renew takes up a sub-lease, once this process answers from what it rests on.
func (v *Verifier) renew(ctx context.Context) error {
	if !v.replica.Standing().Fit {
		if err := v.load(ctx); err != nil {
			return err
		}
	}
	was := v.replica.Standing() // first: a fence from here on voids the answer
	if v.ended() {
		return errClosed
	}
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
	if err := v.reach(limited, g.At.Seq); err != nil {
		return err
	}
	if at := v.replica.Position(); at.Seq == g.At.Seq && at.Chain != g.At.Chain {
		return fmt.Errorf("%w: revision %d", iam.Diverged, at.Seq)
	}
	v.last = g.For
	length := g.For * 4 / 5
	return v.replica.Extend(was.Epoch, replica.Lease{Sent: sent, Strict: length, Bounded: length, Time: g.Time}, g.At.Seq)
}

// load loads. What is of before what this process has seen is not taken in: either the
// parent has not come so far, or the log has lost it. The parent is asked which of the
// two, over and over, and nothing is loaded before it has said.
func (v *Verifier) load(ctx context.Context) error {
	at := v.replica.Position()
	v.pinged, v.told = v.clock.Now().Monotonic, at.Seq // neither this nor a snapshot is asked for too often
	if v.ahead {
		limited, cancel := v.clock.Limit(ctx, max(v.last/4, leastWait))
		defer cancel()
		v.pings++
		_, err := v.parent.Renew(limited, replica.Ping{N: v.pings, At: at, Wanted: time.Millisecond})
		switch {
		case errors.Is(err, iam.Diverged): // keep has the next attempt load whatever there is
			v.ahead = false
			return err
		case err != nil && !errors.Is(err, replica.ErrTooOld):
			return err // it has not said
		}
	}
	err := v.replica.Load(ctx, v.parent)
	v.ahead = errors.Is(err, replica.ErrBehind)
	return err
}

func (v *Verifier) note(trouble error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.trouble = trouble
}

// reach applies changes until one is among them, which the parent may still be telling.
func (v *Verifier) reach(ctx context.Context, seq int64) error {
	for v.replica.Position().Seq < seq {
		published := v.replica.Published() // before the look, so that nothing is missed in between
		if err := v.replica.CatchUp(ctx, v.parent); err != nil {
			return err
		}
		v.acks.ring()
		switch {
		case v.replica.Position().Seq >= seq:
			return nil
		case ctx.Err() != nil:
			return iam.Errorf(iam.Unavailable, "revision %d has not come, which a sub-lease was given on", seq)
		}
		v.clock.Sleep(ctx, patience, published)
	}
	return nil
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
