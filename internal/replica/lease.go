package replica

import (
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Instant is one reading of both clocks of a machine, taken together.
type Instant struct {
	Monotonic time.Duration // since some moment; it may stand still while the machine is suspended
	Wall      time.Duration // since 1970; somebody may set it
}

// Since returns how much time has passed since an earlier reading: the larger of
// what the two clocks say. Setting the wall clock can end a lease early, and
// never lengthens one; a machine that was suspended finds its leases over.
func (i Instant) Since(earlier Instant) time.Duration {
	return max(i.Monotonic-earlier.Monotonic, i.Wall-earlier.Wall)
}

// Lease is the right to answer from memory, as the database gave it with one
// answer to one write. It counts from when that write was sent: what was
// committed before then, the answer told of.
type Lease struct {
	Sent    Instant
	Strict  time.Duration // for how long after Sent everything is answered
	Bounded time.Duration // for how long keys that are known still are; at least Strict
	Time    time.Time     // the database's, as the answer told it
}

// standing says what may be answered from a state.
type standing uint8

const (
	nothing    standing = iota // the lease is over, or there never was one
	knownKeys                  // the node is a bounded one, and past the strict part of its lease
	everything                 // unknown keys included: they are not found
)

func (l Lease) standing(now Instant) standing {
	switch passed := now.Since(l.Sent); {
	case passed < l.Strict:
		return everything
	case passed < l.Bounded:
		return knownKeys
	}
	return nothing
}

// Clocks gain or lose less than 8.3 % on one another within a lease; this much of
// what the own clock shows has passed at least, in thousandths.
const slowest = 917

// micros returns the latest that the time of the database can be, in microseconds
// since 1970: a key that expires by it ends early, and never late.
func (l Lease) micros(now Instant) int64 {
	return l.Time.UnixMicro() + now.Since(l.Sent).Microseconds()*1000/slowest + 1
}

// latest returns the latest that the time of the database can be while the lease
// lives, in microseconds since 1970.
func (l Lease) latest() int64 { return l.Time.UnixMicro() + l.Bounded.Microseconds()*1000/slowest + 1 }

// leased reports whether this replica answers only under a lease. Otherwise its
// process is the only one that answers, and what it has applied is all there is.
func (r *Replica) leased() bool { return r.clock != nil }

// read returns what the clocks show, where a lease depends on it.
func (r *Replica) read() Instant {
	if r.clock == nil {
		return Instant{}
	}
	return r.clock()
}

// standing says what may be answered from a state at a moment.
func (r *Replica) standing(s *state, now Instant) standing {
	switch {
	case s.stale != nil:
		return nothing
	case !r.leased():
		return everything
	}
	return s.lease.standing(now)
}

// Standing is what a replica is at a moment, for whoever asks for a lease.
type Standing struct {
	Position iam.Position
	Epoch    uint64 // how often the replica was fenced
	Fit      bool   // false: it must load before it can answer
}

// Standing returns what the replica is now, all of one moment.
func (r *Replica) Standing() Standing { return r.View().Standing() }

var (
	errVoid      = errors.New("the replica was fenced after it was asked for")
	errBehind    = errors.New("the replica has not applied what the lease was given on")
	errNoLease   = errors.New("its lease is over, and the database has not renewed it")
	errOvertaken = errors.New("changes came faster than the answer could be made")
)

// Extend publishes a lease that was asked for in an epoch, on the condition that
// the replica answers from change least or a later one. A lease that was asked
// for before the present one changes nothing.
func (r *Replica) Extend(epoch uint64, l Lease, least int64) error {
	for {
		old := r.current.Load()
		switch {
		case old.stale != nil:
			return fmt.Errorf("take up a lease: %w", old.stale)
		case old.epoch != epoch:
			return fmt.Errorf("take up a lease: %w", errVoid)
		case old.position.Seq < least:
			return fmt.Errorf("take up a lease: %w", errBehind)
		case l.Sent.Monotonic < old.lease.Sent.Monotonic:
			return nil
		}
		next := *old
		next.lease, next.micros = l, max(old.micros, l.Time.UnixMicro())
		if r.publish(old, &next) {
			return nil
		}
	}
}

// Fence ends the lease at once, and voids every lease that was asked for and has
// not come. What the replica knows stays.
func (r *Replica) Fence() {
	for {
		old := r.current.Load()
		next := *old
		next.lease = Lease{}
		next.epoch++
		if r.publish(old, &next) {
			return
		}
	}
}

// Fail fences the replica for a reason that only loading anew mends.
func (r *Replica) Fail(cause error) {
	for !r.stop(r.current.Load(), cause) {
	}
}

// LeaseAge returns how long ago the present lease was asked for, which is how old
// the news can be that an answer rests on, and false when there is none.
func (r *Replica) LeaseAge() (time.Duration, bool) {
	s, now := r.current.Load(), r.read()
	if !r.leased() || r.standing(s, now) == nothing {
		return 0, false
	}
	return now.Since(s.lease.Sent), true
}
