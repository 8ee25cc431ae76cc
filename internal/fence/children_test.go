package fence

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// entrant returns a verifier of an owner and a tenant of its own.
func entrant(name string, sc replica.Scope) replica.Entrant {
	return replica.Entrant{Name: name, Process: name, Owner: name, Tenant: name, Scope: sc}
}

// held returns a connection of a verifier, and what asks for a sub-lease over it.
func (p *peer) held(id, name string) (renew func(at iam.Position) (replica.Grant, error)) {
	return p.enters(id, entrant(name, replica.AnyWorkspace()))
}

func (p *peer) enters(id string, who replica.Entrant) (renew func(at iam.Position) (replica.Grant, error)) {
	p.Children().Enter(id, who)
	n := int64(0)
	return func(at iam.Position) (replica.Grant, error) {
		n++
		return p.Children().Renew(id, replica.Ping{N: n, At: at, Wanted: time.Hour})
	}
}

func given(t *testing.T, when string, want time.Duration) func(replica.Grant, error) replica.Grant {
	return func(g replica.Grant, err error) replica.Grant {
		t.Helper()
		if err != nil || g.For > want || g.For < want-time.Second {
			t.Errorf("%s: got %+v, %v; want a sub-lease of %v at most", when, g, err, want)
		}
		return g
	}
}

// A change waits for a verifier that may not know of it, until it does or its
// sub-lease is over, and no longer.
func TestAChangeWaitsForAVerifier(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(p *peer, renew func(iam.Position) (replica.Grant, error))
		took time.Duration
	}{
		"that acknowledges": {func(p *peer, renew func(iam.Position) (replica.Grant, error)) { _, _ = renew(p.replica.Position()) }, time.Second},
		"that says goodbye": {func(p *peer, _ func(iam.Position) (replica.Grant, error)) { p.Children().Exit("c", true) }, time.Second},
		"that is gone":      {func(p *peer, _ func(iam.Position) (replica.Grant, error)) { p.Children().Exit("c", false) }, 2 * time.Second},
		"that is silent":    {func(*peer, func(iam.Position) (replica.Grant, error)) {}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.node(t, Options{Name: "a"})
				settle()
				renew := a.held("c", "verifier")
				given(t, "at first", 2*time.Second)(renew(a.replica.Position()))
				done := a.await(t, time.Minute, d.revoke(t))
				time.Sleep(time.Second)
				pending(t, "while the verifier has a sub-lease", done)
				end.do(a, renew)
				if o := <-done; o.err != nil || o.By != iam.ByAcked || o.took < end.took || o.took > end.took+50*time.Millisecond {
					t.Errorf("after %v: %+v, %v; want %v", o.took, o.Receipt, o.err, end.took)
				}
			})
		})
	}
}

// Whoever has a sub-lease on a change, and has not acknowledged it, uses that only once
// it has the change; what it had before it may use still.
func TestALaterSubLeaseDoesNotHideAnEarlier(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		renew := a.held("c", "verifier")
		before := a.replica.Position()
		given(t, "at first", 2*time.Second)(renew(before))
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(time.Second)
		g := given(t, "on the change", 2*time.Second)(renew(before))
		if g.At.Seq != before.Seq+1 {
			t.Errorf("got a sub-lease on %+v, want it on the change after %d", g.At, before.Seq)
		}
		pending(t, "while the first lasts", done)
		if o := <-done; o.err != nil || o.took > 2*time.Second+50*time.Millisecond {
			t.Errorf("after %v: %+v, %v; want it to wait for the first alone", o.took, o.Receipt, o.err)
		}
	})
}

// What a grant rests on is looked at again when it is written down: whoever published
// a change in between has looked for grants before this one.
func TestASubLeaseThatAChangeOvertakesIsGivenAnew(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		renew, before := a.held("c", "verifier"), a.replica.Position()
		a.Children().giving = sync.OnceFunc(func() {
			if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took > 50*time.Millisecond {
				t.Errorf("nobody is in its way, and the change took %v: %v", o.took, o.err)
			}
		})
		if g, err := renew(before); err != nil || g.At.Seq != before.Seq+1 {
			t.Errorf("after change %d has returned: got a sub-lease on %+v, %v", before.Seq+1, g.At, err)
		}
	})
}

func TestASubLeaseIsAPartOfWhatIsLeft(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		renew, at := a.held("c", "verifier"), a.replica.Position()
		a.door.fail(every, errCut)
		time.Sleep(3 * time.Second)
		g := given(t, "three seconds after the last renewal", time.Second+50*time.Millisecond)(renew(at))
		if age, _ := a.OldestAccept(); g.For+age > 4*time.Second {
			t.Errorf("a sub-lease of %v on news that are %v old", g.For, age)
		}
		time.Sleep(time.Second)
		if g, err := renew(at); !errors.Is(err, iam.Stale) {
			t.Errorf("without a lease: got %+v, %v", g, err)
		}
	})
}

func TestLeavingWaitsForVerifiers(t *testing.T) {
	for name, goodbye := range map[string]bool{"who say goodbye": true, "who do not": false} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.node(t, Options{Name: "a"})
				settle()
				renew, at := a.held("c", "verifier"), a.replica.Position()
				given(t, "at first", 2*time.Second)(renew(at))
				left, begun := make(chan time.Duration), time.Now()
				go func() {
					if err := a.Leave(context.Background(), func(context.Context) error { return nil }); err != nil {
						t.Errorf("leave: %v", err)
					}
					left <- time.Since(begun)
				}()
				time.Sleep(time.Second)
				if len(d.names()) != 1 {
					t.Error("the row is gone while a verifier may answer")
				}
				if g, err := renew(at); !errors.Is(err, iam.Stale) {
					t.Errorf("while it leaves: got %+v, %v", g, err)
				}
				want := 2 * time.Second
				if goodbye {
					a.Children().Exit("c", true)
					want = time.Second
				}
				if took := <-left; took != want || len(d.names()) != 0 {
					t.Errorf("it took %v, want %v; there are rows of %v", took, want, d.names())
				}
			})
		})
	}
}

func TestWhoFollowsIsTold(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		renew, before := a.held("c", "verifier"), a.replica.Position()
		given(t, "at first", 2*time.Second)(renew(before))
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(500 * time.Millisecond)
		all := a.Children().Status()
		if len(all) != 1 || all[0].Name != "verifier" || all[0].Acked != before.Seq || all[0].Lag != 1 || all[0].SetAside ||
			all[0].Left != 1500*time.Millisecond || time.Since(all[0].Heard) != 500*time.Millisecond {
			t.Errorf("while it may not know of a change: %+v", all)
		}
		if sum := a.Children().Sum(); sum.Count != 1 || sum.Blocking != 1500*time.Millisecond || sum.Held != sum.Blocking {
			t.Errorf("while it may not know of a change: %+v", sum)
		}
		<-done
		if sum := a.Children().Sum(); sum.SetAside != 1 || sum.Blocking != 0 || sum.Held != 0 {
			t.Errorf("once it has been set aside: %+v", sum)
		}
		a.Children().Exit("c", false)
		if all, sum := a.Children().Status(), a.Children().Sum(); len(all) != 0 || sum.Count != 0 {
			t.Errorf("once it is gone: %+v, %+v", all, sum)
		}
	})
}
