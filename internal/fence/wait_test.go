package fence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

func TestAChangeReturnsOnceEveryNodeHasIt(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		release := b.door.hold("changes")
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(2 * time.Second)
		pending(t, "while b is held back", done)
		b.expect(t, d.key, "held back", replica.Valid)
		a.expect(t, d.key, "which has it", replica.Revoked)
		release()
		o := <-done
		b.expect(t, d.key, "once it returned", replica.Revoked)
		if o.err != nil || !o.Confirmed || o.By != iam.ByAcked || o.Nodes.Total != 2 || o.Nodes.Confirmed != 2 || o.Durability != iam.Local {
			t.Errorf("receipt: %+v, %v", o.Receipt, o.err)
		}
		if o.took < 2*time.Second || o.took > 2*time.Second+pollEvery || o.Took != o.took {
			t.Errorf("it took %v, and says %v", o.took, o.Took)
		}
	})
}

// holds are the points at which a node can be held back between a change and its
// acknowledgement.
func holds() map[string]func(*peer) (release func()) {
	at := func(call string) func(*peer) func() { return func(p *peer) func() { return p.door.hold(call) } }
	after := func(call string) func(*peer) func() {
		return func(p *peer) func() { return p.door.holdAnswer(call) }
	}
	return map[string]func(*peer) (release func()){
		"before it asks for changes":             at("changes"),
		"before it hears of changes":             after("changes"),
		"before it publishes":                    (*peer).holdPublishers,
		"before it acknowledges":                 at("ack"),
		"before every call":                      at(every),
		"before every answer but what came true": func(p *peer) func() { p.door.fail("ack", errCut); return after(every)(p) },
	}
}

// Wherever a node is held back, no change returns before it has acknowledged it or
// its lease is over; and what it answers later is right.
func TestAChangeWaitsForALeaseThatItCannotEnd(t *testing.T) {
	for name, hold := range holds() {
		t.Run("held "+name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
				settle()
				release := hold(b)
				defer release()
				done := a.await(t, time.Minute, d.revoke(t))
				time.Sleep(5*time.Second - 1)
				pending(t, "a moment before b's row is old enough", done)
				o := <-done
				if got := b.ask(d.key); got == replica.Valid {
					t.Error("b accepts the key after the change has returned")
				}
				if o.err != nil || o.By != iam.ByExpired || !slices.Equal(o.Nodes.Expired, []string{"b"}) || o.Nodes.Confirmed != 1 {
					t.Errorf("receipt: %+v, %v", o.Receipt, o.err)
				}
				if o.took > 5*time.Second+50*time.Millisecond {
					t.Errorf("it took %v, want a TTL and one look", o.took)
				}
				b.door.fail("ack", nil)
				release()
				for range 100 {
					time.Sleep(20 * time.Millisecond)
					if got := b.ask(d.key); got == replica.Valid {
						t.Fatal("b accepts the key when it goes on")
					}
				}
				b.expect(t, d.key, "2 s later", replica.Revoked)
			})
		})
	}
}

// What a node was about to hear or to say when it was held back comes after a
// revocation that it acknowledged.
func TestWhatComesLateRevivesNothing(t *testing.T) {
	for _, call := range []string{"renew", "ack", "all", "reap", "lagging"} {
		t.Run("the answer to "+call, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
				settle()
				release := b.door.holdAnswer(call)
				defer release()
				time.Sleep(700 * time.Millisecond) // one is under way, if it is one that nobody has to cause
				if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.Nodes.Confirmed != 2 {
					t.Fatalf("%+v, %v", o.Receipt, o.err)
				}
				release()
				for range 100 {
					if got := b.ask(d.key); got != replica.Revoked && got != replica.Stale {
						t.Fatalf("b says %s", got)
					}
					time.Sleep(20 * time.Millisecond)
				}
				b.expect(t, d.key, "2 s later", replica.Revoked)
			})
		})
	}
}

// Hold a replica, revoke through one node, repeat through another: every repeat
// is a change of its own, and waits for itself.
func TestARepeatThroughAnotherNodeWaitsToo(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b, c := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"}), d.node(t, Options{Name: "c"})
		settle()
		release := c.door.hold("changes")
		first := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(time.Second)
		second := b.await(t, time.Minute, d.revoke(t))
		time.Sleep(time.Second)
		pending(t, "the first", first)
		pending(t, "the repeat", second)
		release()
		for _, done := range []<-chan outcome{first, second} {
			if o := <-done; o.err != nil || o.By != iam.ByAcked || o.Nodes.Confirmed != 3 {
				t.Errorf("receipt: %+v, %v", o.Receipt, o.err)
			}
		}
	})
}

func TestARowCountsForAsLongAsItSaysItself(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a", TTL: 10 * time.Second}), d.node(t, Options{Name: "b", TTL: time.Minute})
		settle()
		defer a.door.hold("reap")()
		b.door.fail(every, errCut)
		done := a.await(t, 2*time.Minute, d.revoke(t))
		time.Sleep(40 * time.Second)
		b.expect(t, d.key, "cut off, 40 s later", replica.Valid)
		time.Sleep(20*time.Second - 1)
		pending(t, "after a minute", done)
		b.expect(t, d.key, "cut off, a minute later", replica.Stale)
		if o := <-done; o.err != nil || o.By != iam.ByExpired || o.took < time.Minute {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}

func TestADeadNodeIsWaitedForOnce(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		b.end()
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.By != iam.ByExpired || o.took < 5*time.Second {
			t.Fatalf("the first after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		time.Sleep(2 * time.Second)
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.By != iam.ByAcked || o.took > 50*time.Millisecond || o.Nodes.Total != 1 {
			t.Errorf("the second after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}

// A process that is stopped before it first looks finds its own clock far ahead
// of what it has seen of the database's. None of the two runs wrong.
func TestAPauseBeforeTheFirstLookIsNoAlarm(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		defer b.door.hold("ack")()
		release := a.door.hold("lagging")
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(11 * time.Second)
		release()
		if o := <-done; o.err != nil {
			t.Errorf("%+v, %v", o.Receipt, o.err)
		}
		if n := a.Alarms().Clocks; n != 0 {
			t.Errorf("%d alarms about clocks that agree", n)
		}
	})
}

// A row that goes while somebody waits for it did not acknowledge.
func TestAReceiptNamesANodeThatIsRemovedMeanwhile(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		b.end()
		time.Sleep(4 * time.Second)
		o := <-a.await(t, time.Minute, d.revoke(t))
		if o.err != nil || o.By != iam.ByExpired || !slices.Equal(o.Nodes.Expired, []string{"b"}) || o.Nodes.Total != 2 || o.Nodes.Confirmed != 1 {
			t.Errorf("receipt: %+v, %v", o.Receipt, o.err)
		}
		if o.took > 3*time.Second {
			t.Errorf("it took %v, want what was left of b's TTL", o.took)
		}
	})
}

func TestBothClocksMustHaveSeenTheTTLPass(t *testing.T) {
	tests := map[string]struct {
		step  time.Duration // of the database's clock, a second after the change
		least time.Duration
	}{
		"the database's is set forward": {time.Hour, 5 * time.Second},
		"the database's is set back":    {-2 * time.Second, 7 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
				settle()
				defer a.door.hold("reap")()
				b.door.fail(every, errCut)
				done := a.await(t, time.Minute, d.revoke(t))
				time.Sleep(time.Second)
				d.set(func() { d.ahead += tt.step })
				if o := <-done; o.err != nil || o.took < tt.least || o.took > tt.least+50*time.Millisecond {
					t.Errorf("after %v: %+v, %v; want %v", o.took, o.Receipt, o.err, tt.least)
				}
				if alarms := a.Alarms().Clocks; (alarms == 1) != (tt.step == time.Hour) {
					t.Errorf("%d alarms about clocks", alarms)
				}
			})
		})
	}
}

func TestAWallClockThatIsSetDoesNotShortenTheWait(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		b.door.fail(every, errCut)
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(time.Second)
		a.clock.shift(24 * time.Hour)
		if o := <-done; o.err != nil || o.took < 5*time.Second {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}

// A failover of a database that does not wait for standbys loses the row of a node
// that is bounded, and cut off: it goes on for as long as it says.
func TestABoundedNodeWhoseRowWasLostIsNamed(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		b := d.node(t, Options{Name: "b", Bounded: time.Minute})
		settle()
		incarnation := b.me().incarnation
		b.door.fail(every, errCut)
		d.set(func() {
			d.authority.Timeline = "2"
			delete(d.rows, incarnation)
		})
		o := <-a.await(t, time.Minute, d.revoke(t))
		if o.err != nil || o.By != iam.ByBounded || !slices.Equal(o.Nodes.Bounded, []string{"b"}) {
			t.Errorf("within its bound: %+v, %v; want b named", o.Receipt, o.err)
		}
		time.Sleep(65 * time.Second)
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.By != iam.ByAcked {
			t.Errorf("beyond it: %+v, %v; want nobody named", o.Receipt, o.err)
		}
	})
}

func TestABoundedNodeIsNamed(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		b := d.node(t, Options{Name: "b", Bounded: 30 * time.Second})
		settle()
		b.door.fail(every, errCut)
		o := <-a.await(t, time.Minute, d.revoke(t))
		if o.err != nil || o.By != iam.ByBounded || !slices.Equal(o.Nodes.Bounded, []string{"b"}) || o.took < 5*time.Second {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		b.expect(t, d.key, "which says that it goes on", replica.Valid)
		b.expect(t, iam.KeyRecord{}, "about a key it does not know", replica.Stale)
		time.Sleep(20 * time.Second)
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.By != iam.ByBounded {
			t.Errorf("25 s later: %+v, want the node named still", o.Receipt)
		}
		b.expect(t, d.key, "28 s after it was cut off", replica.Stale)
		time.Sleep(10 * time.Second)
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.By != iam.ByAcked || o.Nodes.Total != 1 {
			t.Errorf("when its time is over: %+v, want its row gone", o.Receipt)
		}
	})
}

func TestWhoDoesNotWaitLongEnoughIsToldForWhom(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		defer a.door.hold("reap")()
		b.door.fail(every, errCut)
		seq := d.revoke(t)
		o := <-a.await(t, 2*time.Second, seq)
		if !errors.Is(o.err, iam.Unconfirmed) || o.Confirmed || o.Nodes.Confirmed != 1 || len(o.Nodes.Waiting) != 1 {
			t.Fatalf("got %+v, %v", o.Receipt, o.err)
		}
		if e, ok := errors.AsType[*iam.Error](o.err); !ok || e.Reason == "" {
			t.Errorf("%v cannot be shown to the caller", o.err)
		}
		if w := o.Nodes.Waiting[0]; w.Name != "b" || w.LeaseLeft > 3*time.Second+50*time.Millisecond || w.LeaseLeft < 3*time.Second {
			t.Errorf("it waits for %+v", w)
		}
		if o := <-a.await(t, time.Minute, seq); o.err != nil || o.took < 4999*time.Millisecond {
			t.Errorf("whoever asks again waits afresh: after %v, %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}

// begin begins to wait for a change, and returns what whoever asks of it within a
// while is told.
func (p *peer) begin(t *testing.T, seq int64) (ask func(within time.Duration) outcome) {
	w := p.Begin(seq)
	t.Cleanup(w.Close)
	return func(within time.Duration) outcome {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		receipt, err := w.Wait(ctx)
		return outcome{receipt, err, time.Since(begun)}
	}
}

func TestWhoAsksAgainOfAChangeGoesOn(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		defer a.door.hold("reap")()
		b.door.fail(every, errCut)
		ask := a.begin(t, d.revoke(t))
		for passed := time.Second; passed < 5*time.Second; passed += time.Second {
			o := ask(time.Second)
			if !errors.Is(o.err, iam.Unconfirmed) || o.Took != passed || len(o.Nodes.Waiting) != 1 {
				t.Fatalf("after %v: %+v, %v", passed, o.Receipt, o.err)
			}
			if left := o.Nodes.Waiting[0].LeaseLeft; left < 5*time.Second-passed || left > 5*time.Second-passed+50*time.Millisecond {
				t.Errorf("after %v it waits for %v more", passed, left)
			}
		}
		o := ask(time.Minute)
		if o.err != nil || o.took > time.Second+50*time.Millisecond || !slices.Equal(o.Nodes.Expired, []string{"b"}) {
			t.Errorf("the last waited for %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		time.Sleep(time.Second)
		if again := ask(time.Minute); again.err != nil || again.took != 0 || again.Took != o.Took || o.Took > 5*time.Second+50*time.Millisecond {
			t.Errorf("then: %+v after %v, %v; want what was said: %v", again.Receipt, again.took, again.err, o.Took)
		}
	})
}

// Nobody waits while the row is removed, and whoever asks then is told of it.
func TestAReceiptNamesANodeThatWasRemovedWhileNobodyAsked(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		b.end()
		time.Sleep(3 * time.Second)
		ask := a.begin(t, d.revoke(t))
		if o := ask(time.Second); !errors.Is(o.err, iam.Unconfirmed) || len(o.Nodes.Waiting) != 1 {
			t.Fatalf("at first: %+v, %v", o.Receipt, o.err)
		}
		time.Sleep(5 * time.Second)
		if names := d.names(); len(names) != 1 {
			t.Fatalf("there are rows of %v: this shows nothing", names)
		}
		if o := ask(time.Minute); o.err != nil || o.By != iam.ByExpired || !slices.Equal(o.Nodes.Expired, []string{"b"}) || o.Nodes.Total != 2 {
			t.Errorf("then: %+v, %v", o.Receipt, o.err)
		}
		if o := <-a.await(t, time.Minute, d.head().Seq); o.err != nil || o.Nodes.Total != 1 || o.Nodes.Expired != nil {
			t.Errorf("whoever begins now: %+v, %v; want nobody waited for", o.Receipt, o.err)
		}
	})
}

// A process that has just begun, or just seen another line of history, cannot
// know who has a lease from before.
func TestNothingIsConfirmedBeforeATTLOfOneTimeline(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took < 5*time.Second || o.By != iam.ByAcked {
			t.Errorf("at the start, after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took > 50*time.Millisecond {
			t.Errorf("then, after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		d.set(func() { d.authority.Timeline = "2" })
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took < 4*time.Second {
			t.Errorf("after a failover, after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		time.Sleep(6 * time.Second) // in which the row of before is removed
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took > 50*time.Millisecond {
			t.Errorf("at last, after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}

func TestManyWaitersAskTogether(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		b.door.fail(every, errCut)
		asked := d.count("lagging")
		const changes = 500
		var all []<-chan outcome
		for range changes {
			all = append(all, a.await(t, time.Minute, d.revoke(t)))
		}
		for i, done := range all {
			if o := <-done; o.err != nil || o.Revision != int64(i)+2 {
				t.Fatalf("waiter %d: %+v, %v", i, o.Receipt, o.err)
			}
		}
		const often = int(5 * time.Second / latestLook) // and when a acknowledges, as many changes at once as may be
		if n := d.count("lagging") - asked; n > often+changes {
			t.Errorf("they asked %d times in 5 s, want %d for all of them, and once for each of %d changes at most", n, often, changes)
		}
	})
}

// Until a node has acknowledged a change itself nobody else's acknowledgement makes
// a difference, and to ask would be a write that the acknowledgement waits for.
func TestANodeAcknowledgesBeforeItAsks(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		asked := d.count("lagging")
		release := a.door.hold("ack")
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(latestLook - 1)
		if n := d.count("lagging") - asked; n != 0 {
			t.Errorf("who lags was asked %d times before the own acknowledgement", n)
		}
		release()
		if o := <-done; o.err != nil || o.By != iam.ByAcked || o.took >= latestLook {
			t.Errorf("after %v: %+v, %v; want what follows the acknowledgement at once", o.took, o.Receipt, o.err)
		}
		if n := d.count("lagging") - asked; n != 1 {
			t.Errorf("who lags was asked %d times in all, want once", n)
		}
	})
}

// A node that cannot acknowledge waits for itself as for any other.
func TestANodeThatCannotAcknowledgeItselfWaitsForItsOwnLease(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, _ := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		a.door.fail("ack", errCut)
		o := <-a.await(t, time.Minute, d.revoke(t))
		if o.err != nil || o.By != iam.ByExpired || !slices.Equal(o.Nodes.Expired, []string{"a"}) || o.took < 5*time.Second {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		if o.took > 5*time.Second+3*latestLook {
			t.Errorf("it took %v, want a TTL and a few looks", o.took)
		}
	})
}

// An answer that is proved for one change says nothing about a later one.
func TestWhatIsAskedAboutOneChangeConfirmsNoLater(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		release := b.door.hold("ack")
		first := a.await(t, time.Minute, d.revoke(t))
		synctest.Wait() // a has acknowledged it, and asks about it
		a.door.fail("ack", errCut)
		seq := d.revoke(t)
		w := a.Begin(seq).(*waiter)
		defer w.Close()
		pending(t, "the first", first)
		a.lookOnce(t.Context())
		a.mu.Lock()
		told := w.receipt
		a.mu.Unlock()
		if told.By != "" || told.Nodes.Total != 0 {
			t.Errorf("a look at an earlier change told of revision %d: %+v", seq, told)
		}
		release()
		<-first
	})
}

func TestNobodyIsAskedWhenNobodyWaits(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		settle()
		<-a.await(t, time.Minute, d.revoke(t))
		asked := d.count("lagging")
		time.Sleep(time.Minute)
		if n := d.count("lagging") - asked; n != 0 {
			t.Errorf("who lags was asked %d times in a quiet minute", n)
		}
	})
}

func TestAReceiptThatFailsSaysWhy(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		settle()
		a.door.fail("lagging", errCut)
		o := <-a.await(t, 3*time.Second, d.revoke(t))
		if !errors.Is(o.err, iam.Unconfirmed) || o.took != 3*time.Second {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		a.door.fail("lagging", nil)
		synctest.Wait()
		if o := <-a.await(t, 3*time.Second, 2); o.err != nil || fmt.Sprint(o.Nodes) == fmt.Sprint(iam.ReceiptNodes{}) {
			t.Errorf("then: %+v, %v", o.Receipt, o.err)
		}
	})
}
