package usage

import (
	"math/bits"
	"sync/atomic"

	"github.com/posternhq/postern/internal/prefetch"
)

// index is where to look for numbers by a hash: an open table with linear probing
// that is at most half full. A slot that holds a number holds it for good, so
// that whoever looks for the same thing finds the same slot. Beside the number it
// holds as much of the hash as there is room for, so that whoever comes by does not
// wait for the memory of other things.
type index struct {
	slots   []atomic.Uint32 // 0: empty
	shift   int
	numbers uint32 // the bits that a number takes
}

// longestProbe is for how many slots a number is looked for. In a table that is
// half full, nothing that does not collide on purpose lies further off.
const longestProbe = 128

// spread is 2^64 divided by the golden ratio, as Knuth has it.
const spread = 0x9e3779b97f4a7c15

// newIndex returns an index for a number of things, which is a power of two.
func newIndex(capacity int) index {
	slots := 2 * capacity
	return index{
		slots: make([]atomic.Uint32, slots), shift: 64 - bits.TrailingZeros(uint(slots)), numbers: uint32(slots - 1),
	}
}

// slot returns the slot to look into at the n-th try, from 0.
func (x *index) slot(hash uint64, n int) *atomic.Uint32 {
	first := int(hash * spread >> x.shift)
	return &x.slots[(first+n)&(len(x.slots)-1)]
}

// fetch has the memory fetched where a hash is looked for first.
func (x *index) fetch(hash uint64) { prefetch.Line(x.slot(hash, 0)) }

// entry returns what a slot holds of a number, from 1 to the capacity.
func (x *index) entry(hash uint64, number uint32) uint32 {
	return uint32(hash*spread)&^x.numbers | number
}

// number returns the number in an entry, or 0 if it is that of another hash.
func (x *index) number(hash uint64, entry uint32) uint32 {
	if (entry^uint32(hash*spread))&^x.numbers != 0 {
		return 0
	}
	return entry & x.numbers
}

func (x *index) reset() { clear(x.slots) }
