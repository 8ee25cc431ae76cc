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

// ErrBehind says that a snapshot is of before what the replica has seen.
const ErrBehind = iam.Kind("behind")

// Load puts a snapshot in the place of what the replica has, unless that is fit
// to answer and as new. What this replica has once seen revoked or removed stays
// so, whatever the snapshot says: both are final, and only a log that lost
// changes can take them back. A feed that falls silent for ten seconds is given up. A
// snapshot of before what the replica has seen is [ErrBehind], unless it is known that
// the log has lost that.
func (r *Replica) Load(ctx context.Context, feed Feed) error {
	d := begin(newTables())
	at, err := snapshot(ctx, feed, d)
	if err != nil {
		return fmt.Errorf("load snapshot: %w", err)
	}
	for {
		old := r.current.Load()
		if old.stale == nil && old.position.Seq >= at.Seq {
			return nil
		}
		if at.Seq < old.position.Seq && !errors.Is(old.stale, iam.Diverged) {
			return fmt.Errorf("load snapshot: %w: it is at revision %d, and %d was seen before", ErrBehind, at.Seq, old.position.Seq)
		}
		kept := d.keepEnded(old)
		next := d.finish(later(at, old.position.Time))
		next.epoch, next.micros = old.epoch, max(old.micros, next.micros)
		if r.publish(old, next) {
			r.loaded(next, kept)
			return nil
		}
	}
}

func (r *Replica) loaded(s *state, kept int) {
	r.log.Info("replica loaded", "revision", s.position.Seq, "keys", s.keys.rows.len-s.keys.spares, "principals", s.principals.rows.len)
	if kept > 0 {
		r.log.Error("the database has forgotten the end of keys or principals: they stay denied here, and nowhere else",
			"revision", s.position.Seq, "count", kept)
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
	next.tail = r.lengthen(old, next, changes)
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
// the feed every 200 ms and whenever somebody waits for a change, and loads anew when
// the replica is stale, at the beginning too.
func (r *Replica) Follow(ctx context.Context, feed Feed) error {
	feed = hurried{feed}
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	reload := pollEvery
	failing := false
	for {
		err := r.follow(ctx, feed)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			r.log.Warn("replica cannot follow", "revision", r.Position().Seq, "error", err)
		}
		failing = err != nil
		pause := pollEvery
		if !r.Standing().Fit {
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

// hurried is a feed whose changes come soon or not at all.
type hurried struct{ Feed }

func (f hurried) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return f.Feed.Changes(ctx, after, limit)
}

// follow loads if it must, and applies all that the feed has.
func (r *Replica) follow(ctx context.Context, feed Feed) error {
	if !r.Standing().Fit {
		if err := r.Load(ctx, feed); err != nil {
			return err
		}
	}
	return r.CatchUp(ctx, feed)
}

// CatchUp applies all that the feed has. Several may do it at the same time. What
// it does not understand, and a log that is not the one it followed, make the
// replica unfit until it has loaded.
func (r *Replica) CatchUp(ctx context.Context, feed Feed) error {
	for {
		level, err := r.fetch(ctx, feed)
		if err != nil || level {
			return err
		}
	}
}

// fetch applies the next batch of changes and reports whether it was the last.
func (r *Replica) fetch(ctx context.Context, feed Feed) (level bool, err error) {
	from := r.current.Load()
	if from.stale != nil {
		return false, fmt.Errorf("%w: %w", iam.Stale, from.stale)
	}
	asked := r.now()
	changes, at, err := feed.Changes(ctx, from.position, batchLen)
	if err != nil {
		if !passing(err) {
			r.stopFrom(from, err)
		}
		return false, fmt.Errorf("ask for changes after %d: %w", from.position.Seq, err)
	}
	if len(changes) > 0 {
		if current, err := r.take(from, changes, at); !current || err != nil {
			return false, err // not current: somebody else moved on, ask again from there
		}
	}
	if len(changes) < batchLen {
		r.level.Store(&asked)
		return true, nil
	}
	return false, nil
}

// take applies changes that were asked for from the position of a state. A lease
// that was published meanwhile does not matter to them.
func (r *Replica) take(from *state, changes []iam.Change, at iam.Position) (current bool, err error) {
	for {
		old := r.current.Load()
		if !old.follows(from) {
			return false, nil
		}
		if current, err := r.advance(old, changes, at); current {
			return true, err
		}
	}
}

// stopFrom makes the replica stale for a reason found in what follows a state.
func (r *Replica) stopFrom(from *state, cause error) {
	for {
		old := r.current.Load()
		if !old.follows(from) || r.stop(old, cause) {
			return
		}
	}
}

// follows reports whether what was asked for from another state still follows on
// this one: they differ in the lease at most.
func (s *state) follows(from *state) bool {
	return s.stale == nil && s.position.Seq == from.position.Seq && s.position.Chain == from.position.Chain
}

// passing reports whether an error says that the feed could not be asked, and
// nothing about what it would have answered.
func passing(err error) bool {
	return errors.Is(err, iam.Unavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Kick says that there may be news: whoever follows asks the feed at once.
func (r *Replica) Kick() {
	select {
	case r.kicked <- struct{}{}:
	default: // it was kicked and has not begun to ask
	}
}

// Kicked returns a channel that holds one kick for whoever follows.
func (r *Replica) Kicked() <-chan struct{} { return r.kicked }
