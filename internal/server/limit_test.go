package server

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBucketGivesItsBurstAndThenItsRate(t *testing.T) {
	r := Rate{Burst: 5, Window: 5 * time.Second}
	var b bucket
	now := int64(time.Hour)
	for n := range 5 {
		ok, left, reset, _ := b.take(now, r)
		if !ok || left != int64(4-n) || reset != time.Duration(n+1)*time.Second {
			t.Errorf("take %d: got %t, %d left, all back in %v", n, ok, left, reset)
		}
	}
	if ok, left, _, again := b.take(now, r); ok || left != 0 || again != time.Second {
		t.Errorf("beyond the burst: got %t, %d left, again in %v; want the next after 1 s", ok, left, again)
	}
	if ok, _, _, again := b.take(now+int64(time.Second)-1, r); ok || again != 1 {
		t.Errorf("a moment too soon: got %t, again in %v", ok, again)
	}
	if ok, _, _, _ := b.take(now+int64(time.Second), r); !ok {
		t.Error("a second later there is still none")
	}
	if ok, left, _, _ := b.take(now+int64(time.Hour), r); !ok || left != 4 {
		t.Errorf("after a rest: got %t, %d left; want a full bucket and no more", ok, left)
	}
}

func TestBucketIsNotEmptiedTwiceByCallersAtOnce(t *testing.T) {
	r := Rate{Burst: 100, Window: time.Hour}
	var b bucket
	var taken atomic.Int64
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 100 {
				if ok, _, _, _ := b.take(1, r); ok {
					taken.Add(1)
				}
			}
		})
	}
	done.Wait()
	if taken.Load() != 100 {
		t.Errorf("got %d of 800, want 100", taken.Load())
	}
}

func TestLimiterRemembersOnlyThoseWhoOweSomething(t *testing.T) {
	l := newLimiter[int]("default", Rate{Burst: 2, Window: 2 * time.Second})
	for who := range maxBuckets {
		_ = l.take(who, 0, http.Header{}) // the first of each is let through
	}
	if l.of(-1, 0) != &l.others || len(l.buckets) != maxBuckets {
		t.Errorf("one too many has a bucket of its own, among %d", len(l.buckets))
	}
	later := int64(time.Minute)
	if l.of(-1, later) == &l.others || len(l.buckets) != 1 {
		t.Errorf("after a rest there are %d buckets, want that of the newcomer alone", len(l.buckets))
	}
}

func TestClientCountsAsItsNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "": "invalid Prefix",
	} {
		addr, _ := netip.ParseAddr(text) // the last is none
		if got := network(addr).String(); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
