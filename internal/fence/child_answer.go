package fence

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Answer calls encode with a view until what it encoded may be used, and then returns
// nil. Without a sub-lease it asks for one and waits for [replica.Patience]; after that
// the error is of kind [iam.Stale]. encode must begin anew each time.
func (v *Verifier) Answer(ctx context.Context, encode func(replica.View)) error {
	for arrived := v.clock.Now(); ; {
		err := v.replica.Answer(ctx, encode)
		if !errors.Is(err, iam.Stale) {
			return err
		}
		if err := v.Await(ctx, arrived); err != nil {
			return err
		}
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
	case left <= 0 || ctx.Err() != nil || v.ended():
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

// Ready returns nil while it answers, else an error of kind [iam.Stale] that wraps the
// reason why not.
func (v *Verifier) Ready() error {
	err := v.replica.Ready()
	if err == nil {
		return nil
	}
	if trouble := v.Trouble(); trouble != nil {
		return fmt.Errorf("%w: %w", err, trouble)
	}
	return err
}

// Trouble returns why the last attempt to get a sub-lease failed, or nil when it did
// not.
func (v *Verifier) Trouble() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return errClosed
	}
	return v.trouble
}

// ended reports whether it was closed.
func (v *Verifier) ended() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closed
}

// Close has it answer nothing from here on, and take up no sub-lease. Once it has
// returned, and what had been answered before has been used, the parent may be told
// that nobody need wait for this process: goodbye. [Verifier.Run] ends by its context.
func (v *Verifier) Close() {
	v.mu.Lock()
	v.closed = true // before the fence: see renew
	v.mu.Unlock()
	v.replica.Fence()
	v.acks.ring()
}
