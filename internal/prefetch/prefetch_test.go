package prefetch_test

import (
	"testing"
	"time"

	"github.com/posternhq/postern/internal/prefetch"
)

// No address does harm: not that of nothing, of a page that was never written, or of
// the last byte of an array.
func TestLineOfAnyAddress(t *testing.T) {
	untouched := make([]byte, 1<<24)
	local := 0
	allocated := testing.AllocsPerRun(10, func() {
		prefetch.Line((*int)(nil))
		prefetch.Line(&untouched[1<<23])
		prefetch.Line(&untouched[len(untouched)-1])
		prefetch.Line(&local)
		prefetch.Line(new(time.Time))
	})
	if allocated != 0 {
		t.Errorf("it allocates %v times", allocated)
	}
}

// What somebody else writes may be fetched meanwhile: the race detector says nothing.
func TestLineThatIsWritten(t *testing.T) {
	n, done := 0, make(chan bool)
	go func() {
		defer close(done)
		for range 1000 {
			n++
		}
	}()
	for range 1000 {
		prefetch.Line(&n)
	}
	<-done
	if n != 1000 {
		t.Errorf("n = %d", n)
	}
}

var sink byte

// BenchmarkLine walks through 256 MiB in long steps, without and with a fetch of what comes
// some steps later.
func BenchmarkLine(b *testing.B) {
	const (
		lines = 1 << 22
		step  = 2_654_435_761 % lines // odd, so that it comes by all
		ahead = 8
	)
	all := make([][64]byte, lines)
	for i := range all {
		all[i][0] = 1
	}
	walk := func(b *testing.B, fetch func(*[64]byte)) {
		at := 0
		for b.Loop() {
			fetch(&all[(at+ahead*step)%lines])
			sink += all[at][0]
			at = (at + step) % lines
		}
	}
	b.Run("without", func(b *testing.B) { walk(b, func(*[64]byte) {}) })
	b.Run("with", func(b *testing.B) { walk(b, prefetch.Line[[64]byte]) })
}
