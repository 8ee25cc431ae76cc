package usage

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Many use the same keys for the first time at the same moment: one of them adds the
// key, and the others count with it.
func TestKeyThatManyUseFirstIsCountedForEach(t *testing.T) {
	const workers, keys = 8, 3_000
	b := newBench(t, nil)
	var begin, counting sync.WaitGroup
	begin.Add(1)
	for range workers {
		counting.Go(func() {
			begin.Wait()
			for key := range keys {
				b.Touch(use(key, "docs/a:read"))
			}
		})
	}
	begin.Done()
	counting.Wait()
	b.flush(t)
	for key := range keys {
		ok, _ := b.ledger.total(keyText(key))
		s := b.ledger.sums[keyText(key)]
		if ok != workers || len(s.sources) != 1 || len(s.asks) != 1 || s.asks[asked{"docs/a:read", false}].OK != workers {
			t.Fatalf("key %d: used %d times, from %v, for %v; want %d times in one way", key, ok, s.sources, s.asks, workers)
		}
	}
}

func TestKeyThatLostTheRaceForItsSlotCountsNothing(t *testing.T) {
	b := newBench(t, nil)
	u, s := use(1, "a:read"), b.live.Load()
	_, free := s.lookForKey(u.Key, u.HashHead)
	_, _ = s.whichMinute(b.minute(1))
	first, second := s.newKey(&u, 0, 1), s.newKey(&u, 0, 1) // nobody sees the other
	if got := s.enroll(second, free, u.HashHead); got != second {
		t.Fatalf("the faster one has number %d, want its own, %d", got, second)
	}
	if got := s.enroll(first, free, u.HashHead); got != second {
		t.Fatalf("the slower one has number %d, want %d", got, second)
	}
	b.flush(t)
	if ok, _ := b.ledger.total(keyText(1)); ok != 1 {
		t.Errorf("got %d uses, want the one that was counted", ok)
	}
}

func TestHundredAddressesOfOneAgentAreToldApart(t *testing.T) {
	b := newBench(t, nil)
	for i := range byte(150) {
		u := use(1)
		u.IP = netip.AddrFrom4([4]byte{192, 0, 2, i})
		b.Touch(u)
	}
	b.flush(t)
	got := b.ledger.sums[keyText(1)].sources
	if others := got[source{others: true}]; len(got) != perKey+1 || others.OK != 50 || others.LastOK.IsZero() {
		t.Errorf("got %d sources, and 50 uses of others as %+v; want %d", len(got), others, perKey+1)
	}
}

func TestUseOfWhichNothingIsToldIsTheLastAllTheSame(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits = Limits{Keys: 16, Details: 1, Texts: 2, Points: 4} })
	for i := range 5 {
		b.clock.advance(time.Millisecond)
		u := use(1, fmt.Sprintf("docs/%d:read", i))
		u.UserAgent = fmt.Sprint(i)
		b.Touch(u)
	}
	b.flush(t)
	got := b.ledger.sums[keyText(1)]
	if want := epoch.Add(5 * time.Millisecond); !got.lastOK.Equal(want) || len(got.asks) > 3 {
		t.Errorf("last used at %v, with %d asks told apart; want %v, and not all of 5", got.lastOK, len(got.asks), want)
	}
}

func TestTickIsTheNextMicrosecond(t *testing.T) {
	s := newSide(sizes{}.within(Limits{}.orUsual()), nil)
	for _, opened := range []moment{1, 999, 1_000, 1_001, 123_456_789} {
		s.open(aligned(opened), nil, nil)
		for _, after := range []moment{0, 1, 998, 999, 1_000, 1_001, moment(time.Hour)} {
			at := opened + after
			when, ok := s.tick(at)
			if got := s.moment(when); !ok || got < at || got >= at+tickLength {
				t.Errorf("opened at %d: %d is taken for %d, %v; want the next microsecond", opened, at, got, ok)
			}
		}
		if _, ok := s.tick(opened + moment(2*time.Hour)); ok {
			t.Error("two hours after a side was opened have a tick, and it has room for less")
		}
	}
}

// What was counted goes into reports without an allocation for each key.
func TestReportOfManyKeysAllocatesLittle(t *testing.T) {
	const keys = 1_000
	b := newBench(t, intoSink)
	u := use(0, "agents:execute")
	round := func() {
		for key := range keys {
			u.Key, u.HashHead = keyID(key), headOf(key)
			b.Touch(u)
		}
		b.flush(t)
	}
	round() // for the memory of the sides
	if got := testing.AllocsPerRun(10, round); got > keys/10 {
		t.Errorf("a report of %d keys allocates %v times, want at most %d", keys, got, keys/10)
	}
}
