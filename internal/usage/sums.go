package usage

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// sums is what waits to be reported. Its keys are bounded by the keys there are,
// all else by limits. It is for one at a time.
type sums struct {
	limits  Limits
	slots   []uint32 // numbers of keys, where their ids lead to; at most half of it is full
	keys    slab[keySum]
	owners  slab[owner] // of the keys, apart from them so that the collector passes the keys over
	points  slab[point]
	details slab[detailSum]
	dropped int64 // details that there was no room for
}

// keySum is how a key was used.
type keySum struct {
	id          [16]byte
	lastOK      moment
	lastRefused moment
	points      uint32 // number of the first; 0: none
	told        [kinds]struct{ first, many uint32 }
}

// point is how often a key was used in a minute.
type point struct {
	minute      uint32 // since 1970
	next        uint32
	ok, refused int64
}

// detailSum is how often a key was used in one way.
type detailSum struct {
	text string // the user agent or the ask
	spot
	next        uint32
	first       moment
	last        moment
	lastOK      moment
	ok, refused int64
}

func newSums(l Limits) *sums { return &sums{limits: l} }

// empty removes everything, and keeps the memory, but not what a flood took.
func (s *sums) empty() {
	const flood = 1 << 17 // keys
	if s.keys.used > flood {
		*s = *newSums(s.limits)
		return
	}
	clear(s.slots)
	s.keys.empty()
	s.owners.empty()
	s.points.empty()
	s.details.empty()
}

// key returns the number of a key, which is added if it is new.
func (s *sums) key(id [16]byte, of owner) uint32 {
	if 2*s.keys.used >= len(s.slots) {
		s.grow()
	}
	slot := s.slot(id)
	if *slot == 0 {
		*slot = s.keys.add()
		s.keys.at(*slot).id = id
		*s.owners.at(s.owners.add()) = of
	}
	return *slot
}

// slot returns the slot of a key, or the one that is free for it.
func (s *sums) slot(id [16]byte) *uint32 {
	for at := place(id, len(s.slots)); ; at = (at + 1) % len(s.slots) {
		if n := s.slots[at]; n == 0 || s.keys.at(n).id == id {
			return &s.slots[at]
		}
	}
}

// place returns which of a number of slots, a power of two, an id leads to. Its end
// is random: no client made it up.
func place(id [16]byte, slots int) int {
	return int(binary.LittleEndian.Uint64(id[8:]) * spread >> (64 - bits.TrailingZeros(uint(slots))))
}

// grow makes room for twice as many keys.
func (s *sums) grow() {
	s.slots = make([]uint32, max(2*len(s.slots), 1024))
	for n := range uint32(s.keys.used) {
		*s.slot(s.keys.at(n + 1).id) = n + 1
	}
}

// point counts uses of a key in a minute. When there are too many minutes, those
// of a key that are new count in its last one.
func (s *sums) point(key, minute uint32, ok, refused int64) {
	k := s.keys.at(key)
	n := k.points
	for n != 0 && s.points.at(n).minute != minute {
		n = s.points.at(n).next
	}
	if n == 0 && k.points != 0 && s.points.used-s.keys.used >= s.limits.Points {
		n = k.points
	}
	if n == 0 {
		n = s.points.add()
		p := s.points.at(n)
		p.minute, p.next = minute, k.points
		k.points = n
	}
	p := s.points.at(n)
	p.ok += ok
	p.refused += refused
}

// take adds what a side counted that nobody counts into, and returns how many details
// could not be told apart.
func (s *sums) take(from *side) (dropped int64) {
	before := s.dropped
	for i := range from.last() {
		s.takeKey(from, &from.keys[i], from.owners[i])
	}
	return s.dropped - before
}

// takeKey adds what a side counted of a key.
func (s *sums) takeKey(from *side, k *keyCount, of owner) {
	if k.minutes == [2]count{} {
		return // it lost the race for its slot
	}
	n := s.key(k.id, of)
	for i, m := range k.minutes {
		if m != (count{}) {
			s.point(n, from.minute.Load()+uint32(i), int64(m.ok), int64(m.refused))
		}
	}
	w := walk{of: from, key: k}
	for w.next() {
		s.tell(n, w.kind, w.detail)
	}
	last := w.last()
	sum := s.keys.at(n)
	sum.lastOK, sum.lastRefused = max(sum.lastOK, from.moment(last.ok)), max(sum.lastRefused, from.moment(last.refused))
}

// tell adds a detail to those of a key. Of too many, the latest are told apart; an
// ask that is not is counted without its ids, and what is not even that is the
// difference to the key's sum.
func (s *sums) tell(key uint32, kind kind, d detailSum) {
	list := &s.keys.at(key).told[kind]
	oldest := uint32(0)
	for n := list.first; n != 0; n = s.details.at(n).next {
		have := s.details.at(n)
		if have.spot == d.spot && have.text == d.text {
			have.add(d)
			return
		}
		if oldest == 0 || have.last < s.details.at(oldest).last {
			oldest = n
		}
	}
	if list.many < perKey && s.details.used < s.limits.Details {
		n := s.details.add()
		d.next = list.first
		*s.details.at(n) = d
		list.first, list.many = n, list.many+1
		return
	}
	if oldest != 0 && s.details.at(oldest).last < d.last {
		d.next = s.details.at(oldest).next
		d, *s.details.at(oldest) = *s.details.at(oldest), d
	}
	s.dropped++
	if kind == asks {
		if strings.Contains(d.text, "/") {
			d.text = string(appendAsk(nil, strings.Fields(d.text), true))
		}
		s.tell(key, general, d)
	}
}

// add adds the uses of a detail to those of the same one.
func (d *detailSum) add(more detailSum) {
	d.first, d.last, d.lastOK = min(d.first, more.first), max(d.last, more.last), max(d.lastOK, more.lastOK)
	d.ok += more.ok
	d.refused += more.refused
}

// last implements [counted], and so does report.
func (s *sums) last() int { return s.keys.used }

func (s *sums) report(n int, c *cutter) {
	k := s.keys.at(uint32(n))
	c.begin(k.id, s.owners.at(uint32(n)))
	for i := k.points; i != 0; i = s.points.at(i).next {
		p := s.points.at(i)
		c.minute(p.minute, p.ok, p.refused)
	}
	for kind := range kinds {
		for i := k.told[kind].first; i != 0; i = s.details.at(i).next {
			c.detail(kind, s.details.at(i))
		}
	}
	c.end(k.lastOK, k.lastRefused)
}
