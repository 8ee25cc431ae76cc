package replica

import (
	"testing"

	"pgregory.net/rapid"
)

func same(a, b string) bool { return a == b }

func TestAValueIsKeptWhileSomebodyHasIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table interned[string]
		var held []uint32 // each stands for one reference
		texts := map[uint32]string{}
		gen := uint64(1)
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			gen += uint64(rapid.IntRange(0, 1).Draw(t, "published"))
			if len(held) > 0 && rapid.Bool().Draw(t, "drop") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				table.drop(gen, held[i])
				held = append(held[:i], held[i+1:]...)
				continue
			}
			text := rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e"}).Draw(t, "text")
			number, err := table.take(gen, uint64(len(text)), text, same) // hashes collide
			if err != nil || number == 0 {
				t.Fatalf("take: number %d, %v", number, err)
			}
			held, texts[number] = append(held, number), text
		}
		numbers := map[string]uint32{}
		for _, number := range held {
			text := *table.at(number)
			if text != texts[number] {
				t.Fatalf("number %d: got %q, want %q", number, text, texts[number])
			}
			if other, seen := numbers[text]; seen && other != number {
				t.Fatalf("%q has the numbers %d and %d", text, number, other)
			}
			numbers[text] = number
		}
		if table.index.len != len(numbers) {
			t.Fatalf("%d values are kept, want %d", table.index.len, len(numbers))
		}
		if table.entries.len > 6 {
			t.Fatalf("%d places were made for 6 values", table.entries.len)
		}
	})
}

func TestPlacesAreUsedAgain(t *testing.T) {
	var table interned[int]
	for gen := uint64(1); gen < 10_000; gen++ {
		number, err := table.take(gen, gen<<32, int(gen), func(a, b int) bool { return a == b })
		if err != nil {
			t.Fatalf("take: %v", err)
		}
		table.drop(gen, number)
	}
	if table.entries.len != 1 || table.index.len != 0 {
		t.Errorf("%d places and %d values are left, want 1 and none", table.entries.len, table.index.len)
	}
}
