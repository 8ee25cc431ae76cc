package replica

import "errors"

// index finds record numbers by a 64-bit hash that must be spread evenly: a trie
// over the hash's leading bits with open-addressing buckets as leaves. A full
// bucket is split in two, so that growing never moves more than one bucket, and
// a change copies one bucket and the two or three nodes above it.
//
// It keeps no hashes. An entry is a record number and five bits of the hash, so
// that few wrong records are looked at; equality is for the caller to decide.
type index struct {
	root *node
	len  int
}

const (
	fanBits = 6
	fan     = 1 << fanBits

	slots    = 508           // with the header, a bucket is 2 KiB
	fullAt   = slots / 4 * 3 // chains stay short
	maxBits  = 60            // ten nodes deep: the hash holds no more
	tagBits  = 5
	slotBits = 32 - tagBits
	slotMask = 1<<slotBits - 1

	// maxRecords is how many records an index can tell apart. Slots hold the
	// number plus one; zero is an empty slot.
	maxRecords = slotMask
)

type node struct {
	gen      uint64
	children [fan]child
}

// child is a node or a bucket. A bucket that was not yet split as often as its
// node allows fills several neighbouring places of it.
type child struct {
	node   *node
	bucket *bucket
}

type bucket struct {
	gen  uint64
	len  uint32
	bits uint32 // how many leading bits of the hash its entries share
	slot [slots]uint32
}

// home is where the search for a hash begins in a bucket. It uses the low half
// of the hash, which the trie does not reach in any table that fits in memory.
func home(hash uint64) uint32 { return uint32(uint64(uint32(hash)) * slots >> 32) }

func tag(hash uint64) uint32 { return uint32(hash>>32) << slotBits }

// probe walks over the records that may have a hash.
type probe struct {
	bucket *bucket
	pos    uint32
	tag    uint32
	number uint32 // of the record that next found
}

// find returns a probe for a hash. It does not allocate.
func (x *index) find(hash uint64) probe {
	n := x.root
	if n == nil {
		return probe{}
	}
	for shift := 64 - fanBits; ; shift -= fanBits {
		c := &n.children[hash>>shift%fan]
		if c.node == nil {
			return probe{bucket: c.bucket, pos: home(hash), tag: tag(hash)}
		}
		n = c.node
	}
}

// next moves on to the next record that may have the hash. A bucket is never
// full, so that the walk ends.
func (p *probe) next() bool {
	if p.bucket == nil {
		return false
	}
	for {
		s := p.bucket.slot[p.pos]
		if s == 0 {
			return false
		}
		if p.pos++; p.pos == slots {
			p.pos = 0
		}
		if s&^slotMask == p.tag {
			p.number = s&slotMask - 1
			return true
		}
	}
}

var errIndexFull = errors.New("more records than an index holds")

// add enters a record. hashOf returns the hash of a record that is in the index.
func (x *index) add(gen uint64, hash uint64, number uint32, hashOf func(uint32) uint64) error {
	if number >= maxRecords {
		return errIndexFull
	}
	if x.root == nil {
		x.root = &node{gen: gen}
		x.root.fill(0, fan, child{bucket: &bucket{gen: gen}})
	}
	b := x.writable(gen, hash)
	for b.len >= fullAt && b.bits < maxBits {
		x.split(gen, hash, hashOf)
		b = x.writable(gen, hash)
	}
	if b.len == slots-1 {
		return errIndexFull
	}
	b.put(hash, number)
	x.len++
	return nil
}

// remove takes a record out. It does nothing when the record is not there.
func (x *index) remove(gen uint64, hash uint64, number uint32, hashOf func(uint32) uint64) {
	for p := x.find(hash); p.next(); {
		if p.number == number {
			at := (p.pos + slots - 1) % slots
			x.writable(gen, hash).cut(at, hashOf)
			x.len--
			return
		}
	}
}

// writable returns the bucket of a hash for edit gen to write.
func (x *index) writable(gen, hash uint64) *bucket {
	n, i, depth := x.path(gen, hash)
	b := n.children[i].bucket
	if b.gen != gen {
		fresh := *b
		fresh.gen = gen
		b = &fresh
		first, count := span(i, b.bits-depth)
		n.fill(first, count, child{bucket: b})
	}
	return b
}

// path returns the node above the bucket of a hash, writable, with the place in
// it and the number of bits that lead to the node.
func (x *index) path(gen, hash uint64) (n *node, i, depth uint32) {
	x.root = x.root.writable(gen)
	n = x.root
	for {
		c := &n.children[hash>>(64-fanBits-depth)%fan]
		if c.node == nil {
			return n, uint32(hash >> (64 - fanBits - depth) % fan), depth
		}
		c.node = c.node.writable(gen)
		n = c.node
		depth += fanBits
	}
}

// split makes two buckets of the one of a hash, by the next bit of the hash.
func (x *index) split(gen, hash uint64, hashOf func(uint32) uint64) {
	n, i, depth := x.path(gen, hash)
	b := n.children[i].bucket
	if b.bits-depth == fanBits { // the node's bits are used up: one more below it
		below := &node{gen: gen}
		below.fill(0, fan, child{bucket: b})
		n.children[i] = child{node: below}
		depth += fanBits
		n, i = below, uint32(hash>>(64-fanBits-depth)%fan)
	}
	first, count := span(i, b.bits-depth)
	low, high := &bucket{gen: gen, bits: b.bits + 1}, &bucket{gen: gen, bits: b.bits + 1}
	for _, s := range b.slot {
		if s == 0 {
			continue
		}
		number := s&slotMask - 1
		if h := hashOf(number); h>>(63-b.bits)&1 == 0 {
			low.put(h, number)
		} else {
			high.put(h, number)
		}
	}
	n.fill(first, count/2, child{bucket: low})
	n.fill(first+count/2, count/2, child{bucket: high})
}

// span returns the places of a node that hold the same bucket as place i, when
// the bucket was split by that many of the node's bits.
func span(i, bits uint32) (first, count uint32) {
	count = fan >> bits
	return i &^ (count - 1), count
}

func (n *node) writable(gen uint64) *node {
	if n.gen == gen {
		return n
	}
	fresh := *n
	fresh.gen = gen
	return &fresh
}

func (n *node) fill(first, count uint32, c child) {
	for i := first; i < first+count; i++ {
		n.children[i] = c
	}
}

// put enters a record in a bucket with an empty slot to spare.
func (b *bucket) put(hash uint64, number uint32) {
	pos := home(hash)
	for b.slot[pos] != 0 {
		if pos++; pos == slots {
			pos = 0
		}
	}
	b.slot[pos] = tag(hash) | (number + 1)
	b.len++
}

// cut empties a slot and moves up what was pushed past it, so that every search
// still ends at the first empty slot (Knuth, TAOCP volume 3, 6.4, algorithm R).
func (b *bucket) cut(hole uint32, hashOf func(uint32) uint64) {
	for pos := (hole + 1) % slots; b.slot[pos] != 0; pos = (pos + 1) % slots {
		h := home(hashOf(b.slot[pos]&slotMask - 1))
		if distance(h, pos) >= distance(hole, pos) {
			b.slot[hole] = b.slot[pos]
			hole = pos
		}
	}
	b.slot[hole] = 0
	b.len--
}

// distance returns how many steps lead from one slot to another.
func distance(from, to uint32) uint32 { return (to + slots - from) % slots }
