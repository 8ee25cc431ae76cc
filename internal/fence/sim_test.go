package fence

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// A seed that failed is run again, alone, with -seed.
var (
	oneSeed = flag.Uint64("seed", 0, "simulate this seed alone and tell what happens")
	seeds   = flag.Int("seeds", 0, "simulate so many seeds instead of the usual number")
)

const (
	simRun     = time.Minute     // of simulated time, for each seed
	simulated  = 61_000          // seconds, in a whole run
	everyQuiet = 10              // every so many seeds nothing goes wrong
	leastClose = 200_000         // verifications that could have been wrong, in a whole run
	leastTaken = 10_000          // revocations that returned
	settleIn   = 6 * time.Second // nodes have just begun, and changes wait once for what was before
)

// simulate runs one deployment for a minute, or until a promise is broken.
func simulate(seed uint64, faults bool, tell func(*world)) *world {
	w := newWorld(seed, faults)
	if tell != nil {
		tell(w)
	}
	if spoil := spoiled[mutated()]; spoil != nil {
		spoil(w.db)
	}
	w.run(simRun, func() bool { return len(w.broken) > 0 })
	w.tally.Simulated = w.now
	for _, m := range w.machines {
		if m.proc != nil {
			m.proc.kill()
		}
	}
	for _, f := range w.followers {
		f.proc.kill()
	}
	return w
}

// Everything that was promised holds, whatever happens to whom and when.
func TestThePromisesHold(t *testing.T) {
	if *oneSeed != 0 {
		w := simulate(*oneSeed, *oneSeed%everyQuiet != 0, func(w *world) {
			w.tell = func(format string, args ...any) { t.Logf("%12v "+format, append([]any{w.now}, args...)...) }
		})
		t.Logf("%+v", w.tally)
		for _, broken := range w.broken {
			t.Error(broken)
		}
		return
	}
	count := *seeds
	whole := count == 0
	if whole {
		count = simulated / int(simRun/time.Second)
		if testing.Short() {
			count /= 50 // the race detector is twenty times slower, and sees in each what is shared
		}
	}
	run := simulateAll(t, count)
	if whole && !testing.Short() && (run.Simulated < 60_000*time.Second || run.Close < leastClose || run.Revocations < leastTaken) {
		t.Error("that is too little to tell anything")
	}
}

// simulateAll runs many seeds, on all processors, and says what was done.
func simulateAll(t *testing.T, count int) tally {
	t.Helper()
	var mu sync.Mutex // guards sum and failed
	var sum tally
	failed := false
	queue := make(chan uint64)
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for seed := range queue {
				w := simulate(seed, seed%everyQuiet != 0, nil)
				mu.Lock()
				sum.add(w.tally)
				for _, broken := range w.broken {
					failed = true
					t.Errorf("-seed %d: %s", seed, broken)
				}
				mu.Unlock()
			}
		})
	}
	begun := cpu()
	for seed := range uint64(count) {
		mu.Lock()
		stop := failed
		mu.Unlock()
		if stop {
			break
		}
		queue <- seed + 1
	}
	close(queue)
	running.Wait()
	t.Logf("%v\nin %v of processor time", sum, (cpu() - begun).Round(time.Second))
	return sum
}

func (t tally) String() string {
	slices.Sort(t.Took)
	quantile := func(q float64) time.Duration {
		if len(t.Took) == 0 {
			return 0
		}
		return t.Took[int(q*float64(len(t.Took)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("simulated %.0f s: %d verifications (%d of them valid, %d close to what took it away, on another node), %d stale;\n"+
		"%d changes that returned (%d revocations): acked %d, expired %d, bounded %d; p50 %v, p90 %v, p99 %v",
		t.Simulated.Seconds(), t.Verifications, t.Valid, t.Close, t.Stale,
		t.Changes, t.Revocations, t.By[iam.ByAcked], t.By[iam.ByExpired], t.By[iam.ByBounded], quantile(.5), quantile(.9), quantile(.99))
}

// cpu returns how long the processors have worked for this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The same seed does the same, or a failure could not be looked at.
func TestASeedCanBeRunAgain(t *testing.T) {
	first, second := simulate(7, true, nil), simulate(7, true, nil)
	if first.tally.String() != second.tally.String() {
		t.Errorf("got\n%v\nthen\n%v", first.tally, second.tally)
	}
}

// Refusing everything keeps every promise, and is of no use.
func TestWhatWorksIsAcceptedWhenNothingIsWrong(t *testing.T) {
	var sum tally
	for seed := range uint64(5) {
		w := newWorld(seed, false)
		w.run(settleIn, func() bool { return false })
		before := w.tally
		w.run(settleIn+simRun, func() bool { return false })
		sum.Verifications += w.tally.Verifications - before.Verifications
		sum.Stale += w.tally.Stale - before.Stale
		for _, m := range w.machines {
			m.proc.kill()
		}
		for _, f := range w.followers {
			f.proc.kill()
		}
	}
	if sum.Verifications < 10_000 || sum.Stale*100 > sum.Verifications {
		t.Errorf("%d verifications were answered and %d refused, want at least 99 %% answered", sum.Verifications, sum.Stale)
	}
}

func mutated() string { return os.Getenv("POSTERN_MUTATION") }
