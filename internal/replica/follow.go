package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Feed is where a replica gets its state from; an [iam.Store] is one, and says
// what the two promise.
//
// Changes fails with the kind [iam.Unavailable] when it could not ask, and will
// be asked again. Any other failure means that there may be changes that this
// program cannot take in.
type Feed interface {
	Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error)
	Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error)
}

const (
	pollEvery   = 200 * time.Millisecond
	longestWait = 5 * time.Second // between two attempts to load
	askFor      = 5 * time.Second // at most, for one batch of changes
	batchLen    = 1000            // changes that are published at once, at most
)

// Load puts a snapshot in the place of what the replica has, unless that is fit
// to answer and as new. What this replica has once seen revoked or removed stays
// so, whatever the snapshot says: both are final, and only a log that lost
// changes can take them back.
func (r *Replica) Load(ctx context.Context, feed Feed) error {
	d := begin(newTables())
	at, err := feed.Snapshot(ctx, d)
	if err != nil {
		return fmt.Errorf("load snapshot: %w", err)
	}
	for {
		old := r.current.Load()
		if old.stale == nil && old.position.Seq >= at.Seq {
			return nil
		}
		if at.Seq < old.position.Seq && !errors.Is(old.stale, iam.Diverged) {
			return fmt.Errorf("load snapshot: it is at revision %d, and %d was seen before", at.Seq, old.position.Seq)
		}
		d.keepEnded(old)
		if r.publish(old, d.finish(later(at, old.position.Time))) {
			keys, principals := r.Size()
			r.log.Info("replica loaded", "revision", at.Seq, "keys", keys, "principals", principals)
			return nil
		}
	}
}

// Apply takes in the change that follows the last one applied, and leads to the
// given position. A gap, or anything that it does not understand, is an error
// that makes the replica stale until a load succeeds. A change that was applied
// before is an error too, and no more.
func (r *Replica) Apply(c iam.Change, at iam.Position) error {
	for {
		old := r.current.Load()
		if old.stale != nil {
			return fmt.Errorf("apply change %d: %w: %w", c.Seq, iam.Stale, old.stale)
		}
		if c.Seq <= old.position.Seq {
			return fmt.Errorf("apply change %d: revision %d is applied already", c.Seq, old.position.Seq)
		}
		if current, err := r.advance(old, []iam.Change{c}, at); current {
			return err
		}
	}
}

// advance publishes what follows old by changes, all at once; or makes the
// replica stale when that cannot be understood. When old is no longer the
// current state it does neither and returns false.
func (r *Replica) advance(old *state, changes []iam.Change, at iam.Position) (current bool, err error) {
	next, err := old.after(changes, at)
	if err != nil {
		return r.stop(old, err), fmt.Errorf("apply changes: %w", err)
	}
	return r.publish(old, next), nil
}

// stop makes the replica stale if its state is still the one that the cause is
// about.
func (r *Replica) stop(old *state, cause error) bool {
	stopped := r.publish(old, old.because(cause))
	if stopped {
		r.log.Error("replica is stale: nothing is answered until it has loaded anew",
			"revision", old.position.Seq, "error", cause)
	}
	return stopped
}

// Follow keeps the replica up to date until ctx ends, then returns nil. It asks
// the feed every 200 ms and whenever [Replica.Wait] waits, and loads anew when
// the replica is stale, at the beginning too.
func (r *Replica) Follow(ctx context.Context, feed Feed) error {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	reload := pollEvery
	failing := false
	for {
		err := r.catchUp(ctx, feed)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			r.log.Warn("replica cannot follow", "revision", r.Position().Seq, "error", err)
		}
		failing = err != nil
		pause := pollEvery
		if r.Ready() != nil {
			pause, reload = reload, min(2*reload, longestWait)
		} else if err == nil {
			reload = pollEvery
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-r.kicked:
		case <-timer.C:
		}
	}
}

// catchUp loads if it must, and applies all that the feed has.
func (r *Replica) catchUp(ctx context.Context, feed Feed) error {
	if r.Ready() != nil {
		if err := r.Load(ctx, feed); err != nil {
			return err
		}
	}
	for {
		level, err := r.fetch(ctx, feed)
		if err != nil || level {
			return err
		}
	}
}

// fetch applies the next batch of changes and reports whether it was the last.
func (r *Replica) fetch(ctx context.Context, feed Feed) (level bool, err error) {
	old := r.current.Load()
	asked := r.now()
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	changes, at, err := feed.Changes(ctx, old.position, batchLen)
	if err != nil {
		if !passing(err) {
			r.stop(old, err)
		}
		return false, fmt.Errorf("ask for changes after %d: %w", old.position.Seq, err)
	}
	if len(changes) > 0 {
		current, err := r.advance(old, changes, at)
		if !current {
			return false, nil // somebody else moved on: ask again from there
		}
		if err != nil {
			return false, err
		}
	}
	if len(changes) < batchLen {
		r.level.Store(&asked)
		return true, nil
	}
	return false, nil
}

// passing reports whether an error says that the feed could not be asked, and
// nothing about what it would have answered.
func passing(err error) bool {
	return errors.Is(err, iam.Unavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// kick has Follow ask the feed at once.
func (r *Replica) kick() {
	select {
	case r.kicked <- struct{}{}:
	default: // it was kicked and has not begun to ask
	}
}
