package usage

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// BenchmarkTouch measures counting alone: one key by one goroutine, one key by
// all of them, and keys of which each is new to the side.
func BenchmarkTouch(b *testing.B) {
	begun := time.Now()
	gatherer := func(b *testing.B) *Gatherer {
		g := newBench(b, func(o *Options) {
			o.Store, o.Now = sink{}, func() time.Duration { return time.Since(begun) }
		})
		return g.Gatherer
	}
	b.Run("one", func(b *testing.B) {
		g, u := gatherer(b), use(1, "agents:execute")
		b.ReportAllocs()
		for b.Loop() {
			g.Touch(u)
		}
	})
	b.Run("one,all", func(b *testing.B) {
		g := gatherer(b)
		b.RunParallel(func(p *testing.PB) {
			for u := use(1, "agents:execute"); p.Next(); {
				g.Touch(u)
			}
		})
	})
	b.Run("ask without ids", func(b *testing.B) {
		g := gatherer(b)
		asks := make([]iam.Use, 1000)
		for i := range asks {
			asks[i] = use(1, fmt.Sprintf("docs/%d:read", i))
		}
		n := 0
		for b.Loop() {
			g.Touch(asks[n%len(asks)])
			n++
		}
	})
	b.Run("new keys,reported", func(b *testing.B) {
		g := gatherer(b)
		var n atomic.Int64
		u := use(1, "agents:execute")
		b.ReportAllocs()
		for b.Loop() {
			i := n.Add(1)
			u.Key = keyID(int(i))
			if g.Touch(u); i%20_000 == 0 {
				if err := g.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
