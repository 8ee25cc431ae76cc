package replica

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// indexed is an index together with the map that it must agree with.
type indexed struct {
	index  index
	hashes map[uint32]uint64 // by record number
}

func (x *indexed) add(gen, hash uint64, number uint32) error {
	if err := x.index.add(gen, hash, number, x.hashOf); err != nil {
		return err
	}
	x.hashes[number] = hash
	return nil
}

func (x *indexed) remove(gen uint64, number uint32) {
	x.index.remove(gen, x.hashes[number], number, x.hashOf)
	delete(x.hashes, number)
}

func (x *indexed) hashOf(number uint32) uint64 { return x.hashes[number] }

// check fails when a record is not found, or one is that is not there.
func (x *indexed) check(t interface{ Fatalf(string, ...any) }) {
	if x.index.len != len(x.hashes) {
		t.Fatalf("the index counts %d records, want %d", x.index.len, len(x.hashes))
	}
	for number, hash := range x.hashes {
		times := 0
		for p := x.index.find(hash); p.next(); {
			if _, there := x.hashes[p.number]; !there {
				t.Fatalf("found record %d, which was removed", p.number)
			}
			if p.number == number {
				times++
			}
		}
		if times != 1 {
			t.Fatalf("record %d was found %d times", number, times)
		}
	}
}

// family returns hashes that share leading bits, their low half, or all of them.
func family(t *rapid.T) []uint64 {
	shared := rapid.SampledFrom([]uint{0, 3, 12, 30, 56, 59, 60, 64}).Draw(t, "shared bits")
	first := rapid.Uint64().Draw(t, "first")
	mask := ^uint64(0)
	if rapid.Bool().Draw(t, "low half fixed") {
		mask = 0xffffffff << 32
	}
	hashes := make([]uint64, rapid.IntRange(0, 400).Draw(t, "size"))
	for i := range hashes {
		hashes[i] = first ^ uint64(i)*0x9e3779b97f4a7c15&mask>>shared
	}
	return hashes
}

// crowded reports whether so many records share all the bits that the trie goes
// by that no splitting makes room for another.
func (x *indexed) crowded(hash uint64) bool {
	with := 0
	for _, h := range x.hashes {
		if h>>(64-maxBits) == hash>>(64-maxBits) {
			with++
		}
	}
	return with >= slots-1
}

func TestAnIndexAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := indexed{hashes: map[uint32]uint64{}}
		var kept []indexed // as they were before later edits
		next := uint32(0)
		for gen := range uint64(rapid.IntRange(1, 6).Draw(t, "edits")) {
			for _, hash := range family(t) {
				if err := x.add(gen+1, hash, next); err != nil && !x.crowded(hash) {
					t.Fatalf("add: %v", err)
				}
				next++
			}
			every := rapid.Uint32Range(2, 20).Draw(t, "remove every")
			for number := range next {
				if _, there := x.hashes[number]; there && number%every == 0 {
					x.remove(gen+1, number)
				}
			}
			x.check(t)
			kept = append(kept, indexed{x.index, maps.Clone(x.hashes)})
		}
		for i := range kept {
			kept[i].check(t)
		}
	})
}

func TestAnIndexSplitsBucketsThatShareAPrefix(t *testing.T) {
	x := indexed{hashes: map[uint32]uint64{}}
	for i := range uint32(20_000) {
		hash := uint64(i) * 0x9e3779b97f4a7c15 >> 44 // the first 44 bits are zero
		if err := x.add(uint64(i/1000)+1, hash, i); err != nil {
			t.Fatalf("add: %v", err)
		}
	}
	x.check(t)
}

func TestAnIndexSaysWhenItIsFull(t *testing.T) {
	x := indexed{hashes: map[uint32]uint64{}}
	for i := range uint32(slots - 1) {
		if err := x.add(1, 7, i); err != nil {
			t.Fatalf("record %d with the same hash: %v", i, err)
		}
	}
	if err := x.add(1, 7, slots); err == nil {
		t.Errorf("%d records with one hash were taken in", slots)
	}
	if err := x.add(1, 1<<63, maxRecords); err == nil {
		t.Error("a number was taken in that no slot holds")
	}
	if err := x.add(1, 1<<63, maxRecords-1); err != nil {
		t.Errorf("the highest number: %v", err)
	}
	x.check(t)
}

func TestAnIndexIsFullAboutAsOftenAsPlanned(t *testing.T) {
	x := index{}
	hashOf := func(n uint32) uint64 { return (uint64(n) + 1) * 0x9e3779b97f4a7c15 }
	for i := range uint32(100_000) {
		if err := x.add(1, hashOf(i), i, hashOf); err != nil {
			t.Fatalf("add: %v", err)
		}
	}
	buckets := map[*bucket]bool{}
	var walk func(*node)
	walk = func(n *node) {
		for _, c := range n.children {
			if c.node != nil {
				walk(c.node)
			} else {
				buckets[c.bucket] = true
			}
		}
	}
	walk(x.root)
	most := slices.MaxFunc(slices.Collect(maps.Keys(buckets)), func(a, b *bucket) int { return int(a.len) - int(b.len) })
	if most.len > fullAt || len(buckets) < 100_000/fullAt || len(buckets) > 2*100_000/fullAt*5/4 {
		t.Errorf("%d buckets, of which the fullest has %d records", len(buckets), most.len)
	}
}

// FuzzIndex reads a script: each nine bytes are an operation and a hash.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("addaddaddaddaddadd"))
	f.Add(slices.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 1, 2}, 400))
	f.Fuzz(func(t *testing.T, script []byte) {
		x := indexed{hashes: map[uint32]uint64{}}
		before := indexed{hashes: map[uint32]uint64{}}
		gen, next := uint64(1), uint32(0)
		for ; len(script) >= 9; script = script[9:] {
			hash := binary.BigEndian.Uint64(script[1:])
			switch script[0] % 8 {
			case 0: // publish
				before = indexed{x.index, maps.Clone(x.hashes)}
				gen++
			case 1:
				if _, there := x.hashes[uint32(hash)]; there {
					x.remove(gen, uint32(hash))
				}
			default:
				if err := x.add(gen, hash, next); err != nil && !x.crowded(hash) {
					t.Fatalf("add: %v", err)
				}
				next++
			}
		}
		x.check(t)
		before.check(t)
	})
}
