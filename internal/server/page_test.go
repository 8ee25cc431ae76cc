package server

import (
	"bytes"
	"slices"
	"testing"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func testSealer(t testing.TB) sealer {
	t.Helper()
	s, err := newSealer(make([]byte, sealerKey))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCursorReadsBackAndNeverTheSameTwice(t *testing.T) {
	p := page{bound: []byte("list"), seal: testSealer(t)}
	next := []string{"2026-11-23T00:00:00Z", "sa_01jn8x0c2vf3hs5r6tq7w8y9za", "", "é\x00"}
	one, err := listOf(p, iam.List[int]{Next: next}, func(n int) int { return n })
	if err != nil {
		t.Fatal(err)
	}
	two, err := listOf(p, iam.List[int]{Next: next}, func(n int) int { return n })
	if err != nil {
		t.Fatal(err)
	}
	if *one.NextCursor == *two.NextCursor {
		t.Error("two cursors of one place are the same text")
	}
	for _, l := range []api.List[int]{one, two} {
		got, err := p.openCursor(*l.NextCursor)
		if err != nil || !slices.Equal(got, next) {
			t.Errorf("got %q, %v; want %q", got, err, next)
		}
	}
}

// No text but a sealed one opens, and none of them panics.
func FuzzOpenCursor(f *testing.F) {
	s := testSealer(f)
	f.Add(s.seal([]byte(`["a"]`), []byte("list")))
	f.Add("")
	f.Add("0000000000000000000000000000000000000000000000000000")
	f.Fuzz(func(t *testing.T, text string) {
		plain, ok := s.open(text, []byte("list"))
		if ok && !bytes.Equal(plain, []byte(`["a"]`)) {
			t.Fatalf("%q opens as %q", text, plain)
		}
		if _, ok := s.open(text, []byte("another")); ok {
			t.Fatalf("%q opens for another list", text)
		}
	})
}
