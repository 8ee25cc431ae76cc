package usage

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"pgregory.net/rapid"
)

func TestFailedReportIsSentAgainAsItWas(t *testing.T) {
	for name, how := range map[string]outcome{"before it was taken": fails, "after it was taken": loses} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.Touch(use(1))
			b.ledger.ends(func() outcome { return how })
			if err := b.Flush(t.Context()); err == nil {
				t.Fatal("no error, and the report failed")
			}
			b.clock.advance(90 * time.Second)
			b.Touch(use(1))
			b.Touch(use(2))
			b.ledger.ends(func() outcome { return takes })
			b.flush(t)
			sent := b.ledger.sent()
			if !reflect.DeepEqual(sent[0], sent[1]) {
				t.Errorf("the second attempt is not the first:\n%+v\n%+v", sent[0], sent[1])
			}
			if ok, _ := b.ledger.total(keyText(1)); ok != 2 {
				t.Errorf("key 1 counts %d times, want 2", ok)
			}
		})
	}
}

func TestReporterThatTheStoreLostRegistersAgain(t *testing.T) {
	b := newBench(t, nil)
	b.Touch(use(1))
	b.ledger.ends(func() outcome { return forgets })
	if err := b.Flush(t.Context()); err == nil {
		t.Fatal("no error, and the store did not know the reporter")
	}
	b.ledger.ends(func() outcome { return takes })
	b.flush(t)
	if ok, _ := b.ledger.total(keyText(1)); b.ledger.registered != 2 || ok != 1 {
		t.Errorf("registered %d times, counted %d; want 2 and 1", b.ledger.registered, ok)
	}
}

// A use is held between reading the clock and counting. The sides change places
// meanwhile: the report must wait for the use, for it may not say that it covers
// the time when the use was made.
func TestReportWaitsForUsesThatAreBeingCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.clock.advance(time.Second)
		inside, release := make(chan struct{}), make(chan struct{})
		b.clock.hold = func() {
			close(inside)
			<-release
		}
		var counting, reporting sync.WaitGroup
		counting.Go(func() { b.Touch(use(1)) })
		<-inside
		b.clock.mu.Lock()
		b.clock.hold = nil
		b.clock.mu.Unlock()
		b.clock.advance(time.Second)
		reporting.Go(func() { b.flush(t) })
		time.Sleep(time.Second) // in the bubble: until nothing else can happen
		if sent := b.ledger.sent(); len(sent) > 0 {
			t.Errorf("%d reports were made while the use was being counted; the first covers %v", len(sent), sent[0].Covers)
		}
		close(release)
		counting.Wait()
		reporting.Wait()
		if first := b.ledger.sent()[0]; len(first.Keys) != 1 || !first.Keys[0].LastOK.Equal(epoch.Add(time.Second)) {
			t.Errorf("the first report has %v, want the use of a second after the start", first.Keys)
		}
	})
}

func TestReportCoversWhatTheOneBeforeIsKnownToHaveSaid(t *testing.T) {
	b := newBench(t, nil)
	b.ledger.slow = 300 * time.Millisecond
	b.clock.advance(10 * time.Second)
	looked := b.ledger.time() // when what the first report says was looked at
	b.Touch(use(1))
	if err := b.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(time.Minute)
	b.Touch(use(1))
	if err := b.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := b.ledger.sent()
	if !sent[0].Covers.IsZero() {
		t.Errorf("the first report covers %v, want nothing", sent[0].Covers)
	}
	got := sent[1].Covers
	if got.After(looked) || got.Before(looked.Add(-b.ledger.slow)) {
		t.Errorf("the second report covers what was before %v, want %v or as much less as the answer took", got, looked)
	}
}

// A use is made just when the sides are about to change places, and another when
// the first report is on its way.
func TestReportCoversNothingThatCameAfterItsLook(t *testing.T) {
	b := newBench(t, nil)
	b.Touch(use(1))
	var made []time.Time
	another := func() {
		made = append(made, b.ledger.time())
		b.Touch(use(1))
		b.clock.advance(time.Second)
	}
	b.clock.before = another
	b.ledger.ends(func() outcome {
		if len(made) == 1 {
			another()
		}
		return takes
	})
	if err := b.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.nothing(t.Context()); err != nil {
		t.Fatal(err)
	}
	known, _ := b.ledger.total(keyText(1))
	covers := b.ledger.sent()[1].Covers
	if known != 2 || covers.Before(made[0]) || covers.After(made[1]) {
		t.Errorf("%d uses are known, those before %v; want 2, and the uses were at the start, %v and %v", known, covers, made[0], made[1])
	}
}

func TestReportOfAPartCoversNoMore(t *testing.T) {
	b := newBench(t, nil)
	for i := range mostKeys + 1 {
		b.Touch(use(i))
	}
	b.clock.advance(time.Second)
	b.flush(t)
	sent := b.ledger.sent()
	if len(sent) != 3 || len(sent[0].Keys) != mostKeys || len(sent[1].Keys) != 1 {
		t.Fatalf("got %d reports", len(sent))
	}
	if !sent[1].Covers.IsZero() || sent[2].Covers.IsZero() {
		t.Errorf("the second part covers %v, the report after it %v; want nothing, and something", sent[1].Covers, sent[2].Covers)
	}
}

func TestNoMomentIsTakenForAnEarlierOne(t *testing.T) {
	b := newBench(t, nil)
	b.ledger.slow = time.Second
	b.flush(t)
	b.clock.advance(1500 * time.Nanosecond)
	b.Touch(use(1))
	true := b.ledger.time()
	b.flush(t)
	if got := b.ledger.sums[keyText(1)].lastOK; got.Before(true) || got.After(true.Add(b.ledger.slow+time.Microsecond)) {
		t.Errorf("the last use was at %v, want %v or as much later as an answer takes", got, true)
	}
}

// running starts the reports in a bubble of time of its own.
func running(t *testing.T, heartbeat time.Duration, log *slog.Logger, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Heartbeat, o.Log = heartbeat, log })
		begun := time.Now()
		b.clock.mu.Lock()
		b.clock.passing = func() time.Duration { return time.Since(begun) }
		b.clock.mu.Unlock()
		ctx, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { b.Run(ctx) })
		test(t, b)
		stop()
		run.Wait()
	})
}

func TestUseIsKnownTwoSecondsLater(t *testing.T) {
	running(t, 2*time.Second, nil, func(t *testing.T, b *bench) {
		for range 5 {
			time.Sleep(333 * time.Millisecond)
			b.Touch(use(1))
		}
		time.Sleep(2 * time.Second)
		if ok, _ := b.ledger.total(keyText(1)); ok != 5 {
			t.Errorf("two seconds after the last of 5 uses, %d are known", ok)
		}
	})
}

func TestReportsThatTakeLongAreMadeMoreSeldom(t *testing.T) {
	for _, tt := range []struct {
		slow    time.Duration
		keys    int
		between time.Duration
	}{
		{0, 1, time.Second}, {40 * time.Millisecond, 1, time.Second}, {500 * time.Millisecond, 1, 1500 * time.Millisecond}, {4 * time.Second, 1, 8 * time.Second},
		{0, few + 1, 1750 * time.Millisecond}, {100 * time.Millisecond, few + 1, 1650 * time.Millisecond},
	} {
		running(t, 0, nil, func(t *testing.T, b *bench) {
			b.ledger.waits = tt.slow
			for range 2_000 {
				time.Sleep(20 * time.Millisecond)
				for key := range tt.keys {
					b.Touch(use(key))
				}
			}
			most := int(40 * time.Second / tt.between)
			if n := len(b.ledger.sent()); n < most-1 || n > most+1 {
				t.Errorf("reports of %d keys take %v: there were %d in 40 seconds, want one every %v", tt.keys, tt.slow, n, tt.between)
			}
		})
	}
}

func TestReporterWithNothingToReportIsHeardOf(t *testing.T) {
	running(t, 2*time.Second, nil, func(t *testing.T, b *bench) {
		time.Sleep(21 * time.Second)
		if n := len(b.ledger.sent()); n != 10 {
			t.Errorf("%d reports in 21 seconds, want one every two", n)
		}
	})
}

func TestAloneNothingIsReportedUntilSomebodyAsks(t *testing.T) {
	running(t, 0, nil, func(t *testing.T, b *bench) {
		time.Sleep(time.Hour)
		if n := len(b.ledger.sent()); n != 0 {
			t.Errorf("%d reports of nothing, want none", n)
		}
		asked := b.ledger.time()
		b.flush(t)
		sent := b.ledger.sent()
		if last := sent[len(sent)-1]; last.Covers.Before(asked) {
			t.Errorf("after it was asked for at %v, what is covered is what was before %v", asked, last.Covers)
		}
	})
}

func TestLogSaysOnceThatReportsFailAndOnceThatTheyNoLongerDo(t *testing.T) {
	var text bytes.Buffer
	running(t, time.Second, slog.New(slog.NewTextHandler(&text, nil)), func(t *testing.T, b *bench) {
		b.ledger.ends(func() outcome { return fails })
		time.Sleep(10 * time.Second)
		b.ledger.ends(func() outcome { return takes })
		time.Sleep(10 * time.Second)
	})
	if got := text.String(); strings.Count(got, "cannot be reported") != 1 || strings.Count(got, "reported again") != 1 || strings.Count(got, "\n") != 2 {
		t.Errorf("got %s", got)
	}
}

func TestLastReportSaysEverythingAndThatItIsTheLast(t *testing.T) {
	running(t, time.Second, nil, func(t *testing.T, b *bench) {
		b.Touch(use(1))
		left := 3
		b.ledger.ends(func() outcome {
			left--
			return []outcome{takes, loses, fails}[max(0, left)]
		})
		if err := b.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := b.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		taken := b.ledger.taken
		if ok, _ := b.ledger.total(keyText(1)); ok != 1 || len(taken) != 2 || !taken[1].Last || taken[0].Last {
			t.Errorf("got %d uses in %+v, want 1, and then the last report", ok, taken)
		}
	})
}

func TestLastReportThatFailsIsGivenUpWithItsContext(t *testing.T) {
	running(t, time.Second, nil, func(t *testing.T, b *bench) {
		b.ledger.ends(func() outcome { return fails })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := b.Finish(ctx); err == nil {
			t.Error("no error, and the store took nothing")
		}
	})
}

// TestReportsSayWhatWasCounted does anything in any order, with a store that fails
// in any way. What reports say is what was counted; and when one says that it
// covers a time, all that was counted before it is in the reports until then.
func TestReportsSayWhatWasCounted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, func(o *Options) {
			o.Limits = Limits{Keys: 1 << rapid.IntRange(1, 4).Draw(rt, "keys"), Details: 16, Texts: 4, Points: 4}
		})
		type made struct {
			key int
			at  time.Time
		}
		var uses []made
		how, meanwhile := takes, func() {}
		b.ledger.ends(func() outcome {
			meanwhile()
			return how
		})
		b.ledger.slow = rapid.SampledFrom([]time.Duration{0, time.Millisecond, 3 * time.Second}).Draw(rt, "slow")
		covered := func() {
			for i, r := range b.ledger.taken {
				var said, should int64
				for _, k := range b.ledger.taken[:i+1] {
					for _, u := range k.Keys {
						for _, m := range u.Minutes {
							said += m.OK
						}
					}
				}
				for _, u := range uses {
					if u.at.Before(r.Covers) {
						should++
					}
				}
				if said < should {
					rt.Fatalf("report %d covers %v, before which there were %d uses; %d are known", r.Number, r.Covers, should, said)
				}
			}
		}
		touch := func(key int, ask string) {
			uses = append(uses, made{key, b.ledger.time()})
			b.Touch(use(key, ask))
			b.clock.advance(time.Millisecond)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"use": func(rt *rapid.T) {
				touch(rapid.IntRange(0, 20).Draw(rt, "key"), rapid.SampledFrom([]string{"a:read", "b/1:read", "b/2:read", "b/3:read"}).Draw(rt, "ask"))
			},
			"time passes": func(rt *rapid.T) {
				b.clock.advance(time.Duration(rapid.Int64Range(1, int64(200*time.Second)).Draw(rt, "time")))
			},
			"look": func(*rapid.T) { b.gather() },
			"report": func(rt *rapid.T) {
				how, meanwhile = outcome(rapid.IntRange(0, int(outcomes)-1).Draw(rt, "outcome")), func() {}
				if rapid.Bool().Draw(rt, "a use meanwhile") {
					meanwhile = func() { touch(0, "a:read") }
				}
				if err := b.all(t.Context()); err == nil && rapid.Bool().Draw(rt, "nothing") {
					_ = b.nothing(t.Context()) // the outcome may be any
				}
				covered()
			},
		})
		how, meanwhile = takes, func() {}
		if err := b.Finish(t.Context()); err != nil {
			rt.Fatal(err)
		}
		want := map[iam.KeyID]int64{}
		for _, u := range uses {
			want[keyText(u.key)]++
		}
		for key := range 21 {
			if got, _ := b.ledger.total(keyText(key)); got != want[keyText(key)] {
				rt.Errorf("key %d: %d uses are known, want %d", key, got, want[keyText(key)])
			}
		}
		covered()
	})
}

func TestNothingIsUnreportedForLongUnlessReportsFail(t *testing.T) {
	running(t, 0, nil, func(t *testing.T, b *bench) {
		time.Sleep(time.Hour)
		b.Touch(use(1))
		if got := b.Gathering().Unreported; got > every {
			t.Errorf("after an hour without uses, uses of %v ago are unreported", got)
		}
		b.ledger.mu.Lock()
		b.ledger.next = func() outcome { return fails }
		b.ledger.mu.Unlock()
		time.Sleep(time.Minute)
		if got := b.Gathering(); got.Unreported < time.Minute || got.Failures < 50 || got.Counted != 1 {
			t.Errorf("after a minute of failures: got %+v", got)
		}
	})
}
