package usage

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// sink is a store that takes everything, and keeps nothing.
type sink struct{}

func (sink) Register(context.Context, iam.Reporter) (time.Time, error) { return epoch, nil }

func (sink) Report(context.Context, iam.UsageReport) (time.Time, error) { return epoch, nil }

func intoSink(o *Options) { o.Store = sink{} }

// widest is one that remembers how many sources, and how many asks, a key had at most
// in one report.
type widest struct {
	sink
	sources, asks int
}

func (w *widest) Report(_ context.Context, r iam.UsageReport) (time.Time, error) {
	for _, k := range r.Keys {
		w.sources, w.asks = max(w.sources, len(k.Sources)), max(w.asks, len(k.Asks))
	}
	return epoch, nil
}

// held returns what the heap holds more after fn than before.
func held(fn func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	fn()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// million is a tenth of it when time is short: each limit is passed all the same.
func million() int {
	if testing.Short() {
		return 100_000
	}
	return 1_000_000
}

// A million keys are used while the store takes nothing.
func TestMillionKeysInUseTakeBoundedMemory(t *testing.T) {
	keys := million()
	most := 40<<20 + 200*int64(keys) // bytes: of the sides, and of what waits
	b := newBench(t, intoSink)
	got := held(func() {
		for i := range keys {
			b.Touch(use(i, "agents:execute"))
			if i%(keys/20) == 0 {
				b.gather()
			}
		}
		b.gather()
	})
	t.Logf("%d bytes for each key in use", got/int64(keys))
	if got > most {
		t.Errorf("%d bytes for %d keys, want at most %d", got, keys, most)
	}
	b.flush(t)
	if b.Gathering().Counted != int64(keys) {
		t.Errorf("counted %d, want %d", b.Gathering().Counted, keys)
	}
}

// Whoever holds one key, or many, uses them from a million addresses with as many
// user agents, and has the product ask for as many things.
func TestMillionSourcesTakeBoundedMemory(t *testing.T) {
	sources := million()
	for _, tt := range []struct {
		keys int
		most int64 // bytes
	}{{1, 5 << 20}, {20_000, 76 << 20}} {
		t.Run(fmt.Sprint(tt.keys), func(t *testing.T) {
			reports := new(widest)
			b := newBench(t, func(o *Options) { o.Store = reports })
			got := held(func() {
				for i := range sources {
					u := use(i%tt.keys, fmt.Sprintf("docs/%d:read", i))
					u.IP, u.UserAgent = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), fmt.Sprint("agent ", i)
					b.Touch(u)
					if i%(sources/20) == 0 {
						b.gather()
					}
				}
				b.gather()
			})
			t.Logf("%d keys: %d KiB", tt.keys, got>>10)
			if got > tt.most {
				t.Errorf("%d bytes, want at most %d", got, tt.most)
			}
			b.flush(t)
			if b.Gathering().Counted != int64(sources) || b.Gathering().Dropped == 0 {
				t.Errorf("got %+v, want that all are counted, and not all told apart", b.Gathering())
			}
			// And the sum of the others; of asks those without ids besides.
			if reports.sources > perKey+1 || reports.asks > 2*perKey+1 {
				t.Errorf("a report told %d sources and %d asks of a key apart, want %d of each", reports.sources, reports.asks, perKey)
			}
		})
	}
}
