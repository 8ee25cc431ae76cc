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

// Alone is this process where it is the only one that answers from a database, and
// needs no lease for that: what it has applied is all there is, and what the verifiers
// outside know that follow it. It is safe for concurrent use.
type Alone struct {
	*replica.Replica
	clock    Clock
	children *Children
	quiet    time.Duration // on the monotonic clock, until when verifiers may answer that followed an earlier process

	mu      sync.Mutex // guards what follows
	settled replica.Standing
	changed chan struct{} // closed when it is worth to look again
}

// NewAlone returns the fence of the only process that answers. Its replica has no
// Clock. Those that followed an earlier process, which ended without a word, may go on
// for as long as lingering.
func NewAlone(r *replica.Replica, clock Clock, lingering time.Duration) *Alone {
	a := &Alone{
		Replica: r, clock: clock, children: NewChildren(r, clock),
		quiet: clock.Now().Monotonic + lingering, changed: make(chan struct{}),
	}
	a.children.settled = a.wake
	return a
}

// Children returns the verifiers outside the server that follow this process.
func (a *Alone) Children() *Children { return a.children }

var _ iam.Fence = (*Alone)(nil)

// Begin begins to wait until neither this process nor a verifier that follows it can
// answer from before change seq. It implements [iam.Fence].
func (a *Alone) Begin(seq int64) iam.Waiting {
	return aloneWait{a, seq, a.clock.Now(), a.Replica.Begin(seq)}
}

type aloneWait struct {
	*Alone
	seq   int64
	begun replica.Instant
	own   iam.Waiting
}

// Close implements [iam.Waiting].
func (w aloneWait) Close() { w.own.Close() }

// Wait implements [iam.Waiting].
func (w aloneWait) Wait(ctx context.Context) (iam.Receipt, error) {
	receipt, err := w.own.Wait(ctx)
	for err == nil {
		changed := w.watch() // before the look, so that nothing is missed in between
		left := w.left(w.seq)
		receipt.Took = w.clock.Now().Monotonic - w.begun.Monotonic
		switch {
		case left == 0:
			return receipt, nil
		case ctx.Err() != nil:
			receipt.Confirmed, receipt.By = false, ""
			receipt.Nodes.Confirmed, receipt.Nodes.Waiting = 0, []iam.WaitingNode{{Name: w.Name(), LeaseLeft: left}}
			return receipt, fmt.Errorf("%w: %w", iam.Errorf(iam.Unconfirmed,
				"revision %d is recorded, and not every verifier is known to have applied it yet", w.seq), context.Cause(ctx))
		}
		w.clock.Sleep(ctx, left, changed)
	}
	return receipt, err
}

// left returns zero when nobody can answer from before a change, which this process
// has applied, else for how long it can be worth to wait for the next look.
func (a *Alone) left(seq int64) time.Duration {
	if early := a.quiet - a.clock.Now().Monotonic; early > 0 {
		return early
	}
	view := a.View()
	was := view.Standing()
	at, known := a.children.settle(view)
	a.mu.Lock()
	if a.settled.Epoch != was.Epoch {
		a.settled = replica.Standing{Epoch: was.Epoch}
	}
	if known && at.Seq > a.settled.Position.Seq {
		a.settled.Position = at
		a.ring()
	}
	over := a.settled.Position.Seq >= seq
	a.mu.Unlock()
	if over {
		return 0
	}
	return a.children.left(longestGrant)
}

// watch returns a channel that is closed when it is worth to look again.
func (a *Alone) watch() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// wake has those who wait look again.
func (a *Alone) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ring()
}

// ring wakes those who watch. a.mu is held.
func (a *Alone) ring() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// Leave ends this process as one that others follow: it gives nothing any more, then
// calls drain, which returns when every request in flight has been answered, and waits
// until no verifier can answer. When that fails, whoever has the database next has to
// wait for them: see [NewAlone].
func (a *Alone) Leave(ctx context.Context, drain func(context.Context) error) error {
	a.children.stop()
	if err := errors.Join(drain(ctx), a.children.Leave(ctx)); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}
