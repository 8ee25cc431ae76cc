package usage

import (
	"math/bits"
	"sync/atomic"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/prefetch"
)

// side is one of the two that uses are counted into. While it is live, many count
// at the same time; what is written without an atomic is written before its
// number can be found. A key, source or ask that lost the race for its slot stays
// behind with nothing counted.
type side struct {
	gates [16]gate
	sizes sizes
	bell  bell // rings before the side is full

	opened moment        // no later than the first use
	minute atomic.Uint32 // of some use, the first of two that the side can count in; 0: there was none

	keys   []keyCount
	owners []owner // of the keys, apart from them so that the collector passes the keys over
	byHash index

	details  []detail
	byDetail index

	agents, asks *texts // shared with the other side

	_           [64]byte      // who adds a key takes the line of what follows from all others
	usedKeys    atomic.Uint32 // numbers that were given out, and those that would have been
	usedDetails atomic.Uint32
	dropped     atomic.Int64 // details that there was no room for
	_           [64]byte
}

// gate counts those who are inside, and the uses that were counted inside, in one
// number. Each has a cache line of its own.
type gate struct {
	state atomic.Int64
	_     [56]byte
}

const aUse = 1 << 24 // more than can be inside at the same time

func (g *gate) enter()        { g.state.Add(1) }
func (g *gate) leave()        { g.state.Add(-1) }
func (g *gate) leaveWithUse() { g.state.Add(aUse - 1) }
func (g *gate) empty() bool   { return g.state.Load()%aUse == 0 }
func (g *gate) takeUses() int64 {
	n := g.state.Load() / aUse
	g.state.Add(-n * aUse) // somebody may look in meanwhile
	return n
}

// gate returns the gate for uses of a key.
func (s *side) gate(key [16]byte) *gate { return &s.gates[key[15]&15] }

// bell asks for a look. Rings that nobody has answered yet are one.
type bell chan struct{}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default: // it rings already
	}
}

// sizes is how much a side has room for, in powers of two.
type sizes struct{ keys, details int }

const (
	leastKeys    = 1 << 12
	leastDetails = 1 << 13
)

// within returns sizes that are no smaller than is worth it, and no larger than
// the limits.
func (z sizes) within(l Limits) sizes {
	power := func(n int) int { return 1 << bits.Len(uint(n-1)) }
	return sizes{min(power(max(z.keys, leastKeys)), l.Keys), min(power(max(z.details, leastDetails)), l.Details)}
}

func newSide(z sizes, b bell) *side {
	return &side{
		sizes: z, bell: b,
		keys: make([]keyCount, z.keys), owners: make([]owner, z.keys), byHash: newIndex(z.keys),
		details: make([]detail, z.details), byDetail: newIndex(z.details),
	}
}

// wanted returns how large the next side should be: twice what this one needed, so
// that it is not full before the next look, and not smaller before much less is
// enough.
func (s *side) wanted(l Limits) sizes {
	size := func(used, now int) int {
		if used > now/2 || used < now/32 {
			return 2 * used
		}
		return now
	}
	return sizes{size(int(s.usedKeys.Load()), s.sizes.keys), size(int(s.usedDetails.Load()), s.sizes.details)}.within(l)
}

// nearlyFull reports whether so many of a size are used that it is time for a look.
func nearlyFull(used uint32, size int) bool { return int(used) > size/4*3 }

// open makes an empty side ready to be live.
func (s *side) open(at moment, agents, asks *texts) {
	s.opened, s.agents, s.asks = at, agents, asks
}

// reset empties a side that nobody counts into.
func (s *side) reset() {
	keys, details := min(int(s.usedKeys.Load()), len(s.keys)), min(int(s.usedDetails.Load()), len(s.details))
	clear(s.keys[:keys])
	clear(s.owners[:keys])
	clear(s.details[:details])
	s.byHash.reset()
	if details > 0 {
		s.byDetail.reset()
	}
	s.usedKeys.Store(0)
	s.usedDetails.Store(0)
	s.dropped.Store(0)
	s.minute.Store(0)
	s.agents, s.asks = nil, nil
}

// count counts a use, or returns false and has counted nothing.
func (s *side) count(u *iam.Use, minute uint32, at moment) bool {
	which, inTime := s.whichMinute(minute)
	when, early := s.tick(at)
	if !inTime || !early {
		return false
	}
	n, free := s.lookForKey(u.Key, u.HashHead)
	if free != nil {
		if n = s.newKey(u, which, when); n == 0 {
			return false
		}
		have := s.enroll(n, free, u.HashHead)
		if have == n {
			s.tellRest(n, u, when)
			return true
		}
		n = have
	}
	if n == 0 {
		return false
	}
	k := &s.keys[n-1]
	k.minutes[which].add(u.OK)
	if !s.source(n, u, when) {
		k.untold.note(u.OK, when)
		s.dropped.Add(1)
	}
	if !s.ask(n, u, when) {
		s.dropped.Add(1)
	}
	return true
}

// whichMinute returns which of the two minutes of a side a minute is. It is false for
// any other: nobody has looked at the side for as long as that.
func (s *side) whichMinute(minute uint32) (which uint32, ok bool) {
	first := s.minute.Load()
	if first == 0 {
		s.minute.CompareAndSwap(0, minute)
		first = s.minute.Load()
	}
	return minute - first, minute-first < 2
}

// lookForKey returns the number of a key, or the slot that is free for it. It returns
// neither when there is no room.
func (s *side) lookForKey(id [16]byte, hash uint64) (n uint32, free *atomic.Uint32) {
	for try := range longestProbe {
		slot := s.byHash.slot(hash, try)
		entry := slot.Load()
		if entry == 0 {
			return 0, slot
		}
		if n := s.byHash.number(hash, entry); n != 0 && s.keys[n-1].id == id {
			return n, nil
		}
	}
	return 0, nil
}

// enroll makes n the number that its key is found by, unless somebody has made it
// another meanwhile: then nothing was counted with n. It returns the number that the key
// is found by, or 0 when there is no room.
func (s *side) enroll(n uint32, free *atomic.Uint32, hash uint64) uint32 {
	id := s.keys[n-1].id
	entry := s.byHash.entry(hash, n)
	var have uint32
	for free != nil {
		if free.CompareAndSwap(0, entry) {
			return n
		}
		have, free = s.lookForKey(id, hash)
	}
	s.keys[n-1] = keyCount{}
	return have
}

// newKey returns the number of a new key with its first use counted, or 0 when there is
// no room. Nobody finds the key yet, so that it is written as any memory is; what there
// is no room to tell of the use, [side.tellRest] does once the key can be found.
func (s *side) newKey(u *iam.Use, minute uint32, at tick) uint32 {
	n := s.usedKeys.Add(1)
	if nearlyFull(n, len(s.keys)) {
		s.bell.ring()
	}
	if int(n) > len(s.keys) {
		return 0
	}
	s.fetchAhead(n)
	s.owners[n-1] = owner{u.Principal, u.Workspace}
	k := &s.keys[n-1]
	k.id, k.spot, k.first = u.Key, spotOf(u), at
	k.minutes[minute].begin(u.OK)
	if text, ok := s.agentNumber(k, u.UserAgent); ok {
		k.begin(sources, text, u.OK, at)
	} else {
		k.own[sources].text = noOwn
		k.untold.note(u.OK, at)
	}
	if text, ok := s.askNumber(k, asks, u.Asked); ok {
		k.begin(asks, text, u.OK, at)
	} else {
		k.own[asks].text = noOwn
	}
	return n
}

// ahead is how many keys further on memory is fetched. Somebody emptied it last: it is
// near another processor, or far from all.
const ahead = 4

// fetchAhead has the memory fetched that a key will take which is new after n is.
func (s *side) fetchAhead(n uint32) {
	if next := int(n) + ahead; next < len(s.keys) {
		k := &s.keys[next]
		prefetch.Line(k)
		prefetch.Line(&k.told) // the second of the two lines
		prefetch.Line(&s.owners[next])
	}
}

// tellRest counts what [side.newKey] had no room for.
func (s *side) tellRest(key uint32, u *iam.Use, at tick) {
	k := &s.keys[key-1]
	if k.own[sources].text == noOwn {
		s.dropped.Add(1)
	}
	if k.own[asks].text == noOwn && !s.ask(key, u, at) {
		s.dropped.Add(1)
	}
}
