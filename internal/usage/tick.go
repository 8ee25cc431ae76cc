package usage

import "math"

// tick is a moment in a side, in microseconds after the side was opened, and one more;
// zero is never.
type tick uint32

const tickLength moment = 1000 // nanoseconds

// aligned returns the last moment at the beginning of a microsecond, up to one.
func aligned(at moment) moment { return (at-1)/tickLength*tickLength + 1 }

// tick returns the first tick that is not before a moment, as long as there are such:
// nobody looks at a side for an hour only where something has stopped.
func (s *side) tick(at moment) (t tick, ok bool) {
	since := (at-s.opened+tickLength-1)/tickLength + 1
	return tick(since), 0 < since && since <= math.MaxUint32
}

// moment returns when a tick was.
func (s *side) moment(t tick) moment {
	if t == 0 {
		return 0
	}
	return s.opened + moment(t-1)*tickLength
}
