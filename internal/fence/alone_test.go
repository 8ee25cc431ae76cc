package fence

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// alone starts the only process on the database, which ends with the test.
func (d *deployment) alone(t *testing.T, lingering time.Duration) *Alone {
	t.Helper()
	r := replica.New(replica.Options{Now: time.Now, Node: "only", Tail: 16})
	a := NewAlone(r, SystemClock(), lingering)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Follow(ctx, newDoor(d.memory)); err != nil {
			t.Errorf("follow: %v", err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	synctest.Wait()
	return a
}

// await waits for a change in the background.
func (a *Alone) await(patience time.Duration, seq int64) <-chan outcome {
	done, begun := make(chan outcome, 1), time.Now()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		receipt, err := iam.Await(ctx, a, seq)
		done <- outcome{receipt, err, time.Since(begun)}
	}()
	return done
}

// asks for a sub-lease once.
func (a *Alone) given(t *testing.T, id string) {
	t.Helper()
	a.Children().Enter(id, entrant(id, replica.AnyWorkspace()))
	if g, err := a.Children().Renew(id, replica.Ping{N: 1, At: a.Position(), Wanted: time.Hour}); err != nil || g.For != longestGrant {
		t.Fatalf("got %+v, %v; want a sub-lease of %v", g, err, longestGrant)
	}
}

func TestTheOnlyProcessWaitsForItsVerifiers(t *testing.T) {
	for name, tt := range map[string]struct {
		follow func(t *testing.T, a *Alone)
		took   time.Duration
	}{
		"of which there is none":    {func(*testing.T, *Alone) {}, 0},
		"of which one is silent":    {func(t *testing.T, a *Alone) { a.given(t, "c") }, longestGrant},
		"of which one is gone":      {func(t *testing.T, a *Alone) { a.given(t, "c"); a.Children().Exit("c", false) }, longestGrant},
		"of which one said goodbye": {func(t *testing.T, a *Alone) { a.given(t, "c"); a.Children().Exit("c", true) }, 0},
		"of which one acknowledges": {func(t *testing.T, a *Alone) { follow(t, a.Children(), a.Replica, "c", replica.AnyWorkspace()) }, pollEvery},
		"of which one has a sub-lease of something else": {func(t *testing.T, a *Alone) {
			a.given(t, "c")
			time.Sleep(longestGrant - time.Second)
		}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.alone(t, 0)
				tt.follow(t, a)
				synctest.Wait()
				done := a.await(time.Minute, d.revoke(t))
				if tt.took > pollEvery {
					time.Sleep(tt.took - time.Millisecond)
					pending(t, "while a verifier has a sub-lease", done)
				}
				o := <-done
				if o.err != nil || !o.Confirmed || o.By != iam.ByAcked || o.Nodes.Confirmed != 1 || o.took > tt.took || tt.took > pollEvery && o.took != tt.took {
					t.Errorf("after %v: %+v, %v; want it acked after %v", o.took, o.Receipt, o.err, tt.took)
				}
				if o.Took != o.took {
					t.Errorf("the receipt says that it took %v, and it took %v", o.Took, o.took)
				}
			})
		})
	}
}

// A change whose number says nothing itself, such as a second revocation, rests on
// those before it.
func TestASecondRevocationWaitsForTheFirst(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.alone(t, 0)
		a.given(t, "c")
		first := a.await(time.Minute, d.revoke(t))
		time.Sleep(time.Second)
		second := a.await(time.Minute, d.empty(t))
		time.Sleep(time.Second - time.Millisecond)
		pending(t, "the first, while a verifier has a sub-lease", first)
		pending(t, "the second, while a verifier has a sub-lease", second)
		for name, done := range map[string]<-chan outcome{"first": first, "second": second} {
			if o := <-done; o.err != nil || !o.Confirmed {
				t.Errorf("the %s: %+v, %v", name, o.Receipt, o.err)
			}
		}
	})
}

// So it does when whoever made the first has given up.
func TestASecondRevocationWaitsForOneThatNobodyAwaits(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.alone(t, 0)
		a.given(t, "c")
		d.revoke(t)
		time.Sleep(time.Second)
		if o := <-a.await(time.Minute, d.empty(t)); o.err != nil || o.took != longestGrant-time.Second {
			t.Errorf("after %v: %+v, %v; want it confirmed when the sub-lease is over", o.took, o.Receipt, o.err)
		}
	})
}

func TestWaitingForVerifiersEndsWithTheCallersPatience(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.alone(t, 0)
		a.given(t, "c")
		seq := d.revoke(t)
		o := <-a.await(500*time.Millisecond, seq)
		if !errors.Is(o.err, iam.Unconfirmed) || !errors.Is(o.err, context.DeadlineExceeded) || o.took != 500*time.Millisecond {
			t.Errorf("after %v: %v, want it unconfirmed after half a second", o.took, o.err)
		}
		if e, ok := errors.AsType[*iam.Error](o.err); !ok || e.Reason == "" {
			t.Errorf("%v cannot be shown to the caller", o.err)
		}
		if w := o.Nodes.Waiting; o.Confirmed || o.By != "" || len(w) != 1 || w[0].Name != "only" || w[0].LeaseLeft != 1500*time.Millisecond {
			t.Errorf("receipt: %+v", o.Receipt)
		}
		if o := <-a.await(time.Minute, seq); o.err != nil || o.took != 1500*time.Millisecond {
			t.Errorf("asked again, after %v: %v; want it confirmed when the sub-lease is over", o.took, o.err)
		}
	})
}

// Many changes wait together, and none for longer than the slowest verifier.
func TestManyWaitForVerifiersTogether(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.alone(t, 0)
		a.given(t, "c")
		var all []<-chan outcome
		for range 50 {
			time.Sleep(10 * time.Millisecond)
			d.key.Paused = !d.key.Paused
			all = append(all, a.await(time.Minute, d.commit(t, d.key)))
		}
		for i, done := range all {
			if o := <-done; o.err != nil || o.took > longestGrant {
				t.Errorf("change %d: %v after %v", i, o.err, o.took)
			}
		}
	})
}

// Those who followed a process that was killed may answer for as long as their
// sub-leases last: the next process waits for that.
func TestTheNextProcessWaitsForTheVerifiersOfTheLast(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		last := d.alone(t, 0)
		v := follow(t, last.Children(), last.Replica, "c", replica.AnyWorkspace())
		time.Sleep(time.Second)
		v.way.set(func() { v.way.cut = true }) // the process is killed
		next := d.alone(t, longestGrant)
		o := <-next.await(time.Minute, d.revoke(t))
		if got := v.ask(d.key); got != replica.Stale || o.err != nil || o.took != longestGrant {
			t.Errorf("once a revocation has returned after %v, %v, a verifier of the process before says %s", o.took, o.err, got)
		}
		if o := <-next.await(time.Minute, d.empty(t)); o.err != nil || o.took != 0 {
			t.Errorf("later on a change took %v: %v", o.took, o.err)
		}
	})
}

func TestTheOnlyProcessLeavesAfterItsVerifiers(t *testing.T) {
	for name, goodbye := range map[string]bool{"who say goodbye": true, "who do not": false} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.alone(t, 0)
				a.given(t, "c")
				left, begun := make(chan time.Duration), time.Now()
				go func() {
					err := a.Leave(context.Background(), func(context.Context) error {
						if _, err := a.Children().Renew("c", replica.Ping{N: 2, At: a.Position(), Wanted: time.Hour}); !errors.Is(err, iam.Stale) {
							t.Errorf("a sub-lease while it leaves: %v", err)
						}
						return nil
					})
					if err != nil {
						t.Errorf("leave: %v", err)
					}
					left <- time.Since(begun)
				}()
				time.Sleep(time.Second)
				want := longestGrant
				if goodbye {
					a.Children().Exit("c", true)
					want = time.Second
				}
				if took := <-left; took != want {
					t.Errorf("it took %v, want %v", took, want)
				}
			})
		})
	}
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.alone(t, 0)
		a.given(t, "c")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Leave(ctx, func(context.Context) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with no time to wait: %v", err)
		}
	})
}
