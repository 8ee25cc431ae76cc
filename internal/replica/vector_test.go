package replica

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAVectorKeepsWhatItsEarlierEditsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v vector[int]
		var want []int
		type version struct {
			v    vector[int]
			want []int
		}
		var kept []version
		for gen := range uint64(rapid.IntRange(1, 6).Draw(t, "edits")) {
			for range rapid.SampledFrom([]int{0, 1, pageLen, 3 * pageLen, pageLen*chunkLen + 1}).Draw(t, "grown by") {
				number, place := v.grow(gen + 1)
				if int(number) != len(want) || *place != 0 {
					t.Fatalf("element %d was appended as %d with %d", len(want), number, *place)
				}
				*place = len(want) + 1
				want = append(want, *place)
			}
			for range rapid.IntRange(0, min(20, len(want))).Draw(t, "written") {
				i := rapid.IntRange(0, len(want)-1).Draw(t, "element")
				*v.edit(gen+1, uint32(i)) -= 1000
				want[i] -= 1000
			}
			kept = append(kept, version{v, slices.Clone(want)})
		}
		for n, k := range kept {
			for i, want := range k.want {
				if got := *k.v.at(uint32(i)); got != want {
					t.Fatalf("element %d of version %d: got %d, want %d", i, n, got, want)
				}
			}
		}
	})
}

func TestTwoEditsOfOneVersionDoNotMeet(t *testing.T) {
	var v vector[int]
	for range 10 {
		v.grow(1)
	}
	a, b := v, v
	*a.edit(2, 3), *b.edit(2, 3) = 1, 2
	a.grow(2)
	b.grow(2)
	if *v.at(3) != 0 || *a.at(3) != 1 || *b.at(3) != 2 || v.len != 10 {
		t.Errorf("got %d, %d and %d in a vector of %d, want 0, 1 and 2 in one of 10", *v.at(3), *a.at(3), *b.at(3), v.len)
	}
}
