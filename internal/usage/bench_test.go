package usage

import (
	"fmt"
	"syscall"
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
		n, began := 0, processor(b)
		for b.Loop() {
			n++
			g.Touch(u)
		}
		b.ReportMetric(float64(processor(b)-began)/float64(n), "cpu-ns/op")
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
		u := use(1, "agents:execute")
		b.ReportAllocs()
		n, began := 0, processor(b)
		for b.Loop() {
			n++
			u.Key, u.HashHead = keyID(n), headOf(n)
			if g.Touch(u); n%20_000 == 0 {
				if err := g.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(processor(b)-began)/float64(n), "cpu-ns/op") // of all threads, whoever else there is
	})
}

// processor returns for how long this process has had a processor.
func processor(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
