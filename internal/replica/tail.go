package replica

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// batch is what was published at once.
type batch struct {
	from, to iam.Position
	changes  []iam.Change
	reach    reach
}

// lengthen returns the tail of the state that follows old by changes.
func (r *Replica) lengthen(old, next *state, changes []iam.Change) []batch {
	if r.tail == 0 {
		return nil
	}
	kept := old.tail[max(0, len(old.tail)-r.tail+1):]
	return append(slices.Clip(kept), batch{ // clipped, for others append to it too
		old.position, next.position, changes, reachOf(old, next, changes),
	})
}

// Position returns the last change that the view takes into account.
func (v View) Position() iam.Position { return v.state.position }

// Epoch returns how often the replica had been fenced.
func (v View) Epoch() uint64 { return v.state.epoch }

// Standing returns what the replica was, as [Replica.Standing] does.
func (v View) Standing() Standing {
	return Standing{Position: v.state.position, Epoch: v.state.epoch, Fit: v.state.stale == nil}
}

// ErrTooOld says that a replica does not keep what led from a position to where it
// is: whoever follows it has to load.
const ErrTooOld = iam.Kind("too_old")

// After returns what leads from an earlier position to the view's, as far as a scope
// sees it: every change, with only the records that are the scope's own, and never a
// session. It fails as [View.Knows] does, and with the kind [ErrTooOld] also when
// something has moved from one workspace to another, which can only be told whole.
func (v View) After(from iam.Position, sc Scope) (changes []iam.Change, at iam.Position, err error) {
	first, err := v.place(from)
	if err != nil {
		return nil, from, err
	}
	for _, b := range v.state.tail[first:] {
		if b.reach.moved && !sc.any {
			return nil, from, fmt.Errorf("%w: after revision %d something has moved to another workspace", ErrTooOld, b.from.Seq)
		}
		for _, c := range b.changes {
			changes = append(changes, v.state.narrow(c, sc, b.reach))
		}
	}
	return changes, v.state.position, nil
}

// Knows returns nil when a position is the view's or led to it. It fails with the
// kind [ErrTooOld] when what led from there is not kept, with [iam.Unavailable] when
// the position is ahead of the view, so that nothing can be known of it yet, and with
// [iam.Diverged] when it is of another log.
func (v View) Knows(at iam.Position) error {
	_, err := v.place(at)
	return err
}

// place returns which batch of the tail begins at a position, or how many there are.
func (v View) place(from iam.Position) (first int, err error) {
	here := v.state.position
	if v.state.stale != nil {
		return 0, iam.Errorf(iam.Unavailable, "nothing is known here")
	}
	if from.Seq > here.Seq {
		return 0, iam.Errorf(iam.Unavailable, "revision %d has not come here yet", from.Seq)
	}
	known, first := here, len(v.state.tail)
	for i, b := range v.state.tail {
		if b.from.Seq == from.Seq {
			known, first = b.from, i
		}
	}
	switch {
	case known.Seq != from.Seq:
		return 0, fmt.Errorf("%w: revision %d", ErrTooOld, from.Seq)
	case known.Chain != from.Chain:
		return 0, fmt.Errorf("%w: revision %d", iam.Diverged, from.Seq)
	}
	return first, nil
}

// Doubt is a position that is ahead of a replica, and when it was first heard of.
type Doubt struct {
	At    iam.Position
	since Instant
	began time.Time
}

// Doubts returns a doubt about a position.
func (r *Replica) Doubts(at iam.Position) Doubt { return Doubt{at, r.read(), r.now()} }

// Lost reports whether the log has lost a position that was there once: what this
// replica has asked for since the doubt arose did not lead there. Only the answer to a
// renewal says so, which rests on a write; without leases, and so alone on its
// database, any that had nothing more.
func (r *Replica) Lost(d Doubt) bool {
	level := r.level.Load() // before the view, which has what was heard then
	s := r.current.Load()
	switch {
	case s.stale != nil || d.At.Seq <= s.position.Seq:
		return false
	case r.leased():
		return s.lease.Sent.Monotonic > d.since.Monotonic
	}
	return level != nil && level.After(d.began)
}

// Touches reports whether any change after one number and up to another says
// something that a scope sees. What the view does not keep is taken to.
func (v View) Touches(sc Scope, after, upTo int64) bool {
	s := v.state
	if after >= upTo {
		return false
	}
	if s.stale != nil || upTo > s.position.Seq || len(s.tail) == 0 || s.tail[0].from.Seq > after {
		return true
	}
	for i := len(s.tail) - 1; i >= 0 && s.tail[i].to.Seq > after; i-- {
		if b := s.tail[i]; b.from.Seq < upTo && b.reach.touches(sc) {
			return true
		}
	}
	return false
}

// Strict returns for how much longer everything may be answered from the view, by the
// clocks at a moment: zero or less when nothing may, and for as long as one can think
// of without leases.
func (v View) Strict(now Instant) time.Duration {
	switch {
	case v.state.stale != nil:
		return 0
	case !v.replica.leased():
		return math.MaxInt64
	}
	return v.state.lease.Strict - now.Since(v.state.lease.Sent)
}

// Time returns the latest that the time of the database can be at a moment.
func (v View) Time(now Instant) time.Time { return time.UnixMicro(v.micros(now)).UTC() }
