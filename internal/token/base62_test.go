package token

import (
	"strings"
	"testing"
)

func TestEachByteIsOfTheAlphabetOrNotWhereverItStands(t *testing.T) {
	for c := range 256 {
		want := c < 128 && strings.ContainsRune(alphabet, rune(c))
		for length := 8; length < 42; length++ {
			for at := range length {
				text := []byte(strings.Repeat("z", length))
				text[at] = byte(c)
				if got := isBase62(string(text)); got != want {
					t.Fatalf("%q: got %v, want %v", text, got, want)
				}
			}
		}
	}
}

func BenchmarkHash(b *testing.B) {
	secret, err := Mint{}.New(ServiceAccount)
	if err != nil {
		b.Fatal(err)
	}
	ps, text := Prefixes{DefaultPrefix}, secret.Reveal()
	for b.Loop() {
		if _, err := ps.Hash(text); err != nil {
			b.Fatal(err)
		}
	}
}
