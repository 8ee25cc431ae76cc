package fence

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// of returns a verifier of an owner, which calls itself something.
func of(owner, name string) replica.Entrant {
	return replica.Entrant{Name: name, Process: name, Owner: owner, Tenant: "tenant", Scope: replica.AnyWorkspace()}
}

// heldUp has a verifier get a sub-lease and say nothing more while a change is made.
func (p *peer) heldUp(t *testing.T, d *deployment, renew func(iam.Position) (replica.Grant, error)) {
	t.Helper()
	given(t, "before a change", longestGrant)(renew(p.replica.Position()))
	if o := <-p.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took < longestGrant-100*time.Millisecond {
		t.Fatalf("after %v: %+v, %v; want it to have waited", o.took, o.Receipt, o.err)
	}
}

func barred(t *testing.T, when string, at iam.Position, renew func(iam.Position) (replica.Grant, error)) {
	t.Helper()
	if g, err := renew(at); !errors.Is(err, replica.ErrSetAside) {
		t.Errorf("%s: got %+v, %v; want nothing", when, g, err)
	}
}

// idle waits until what was given is over, and nobody can be blamed for it.
func idle() { time.Sleep(longestGrant + time.Millisecond) }

// A verifier that let a sub-lease run out on a change gets none until it has caught up;
// after three times it gets none for a minute, whatever it calls itself.
func TestASilentVerifierIsSetAside(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		renew := a.enters("c", of("one", "verifier"))
		for range forgivenOfOne {
			at := a.replica.Position()
			a.heldUp(t, d, renew)
			barred(t, "before it has caught up", at, renew)
		}
		again := a.enters("d", of("one", "another name"))
		barred(t, "after three times", a.replica.Position(), renew)
		barred(t, "under another name", a.replica.Position(), again)
		given(t, "somebody else", longestGrant)(a.enters("e", of("two", "verifier"))(a.replica.Position()))
		time.Sleep(barredFor)
		given(t, "a minute later", longestGrant)(again(a.replica.Position()))
	})
}

// A process that fails again and again does not stop others of the same owner; they
// stop when they fail too.
func TestOneThatFailsDoesNotStopAFleet(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		var fleet []func(iam.Position) (replica.Grant, error)
		for n := range forgivenOfOne + 1 {
			fleet = append(fleet, a.enters(fmt.Sprint("steady ", n), of("one", fmt.Sprint("steady ", n))))
		}
		restarts := 0
		fresh := func() func(iam.Position) (replica.Grant, error) {
			restarts++
			return a.enters(fmt.Sprint("restarted ", restarts), of("one", "crashing"))
		}
		for range forgivenOfOne {
			a.heldUp(t, d, fresh())
		}
		for length := barredFor; length <= 2*longestBar; length *= 2 {
			barred(t, "a new one", a.replica.Position(), fresh())
			given(t, "one that was there before", longestGrant)(fleet[0](a.replica.Position()))
			idle()
			time.Sleep(min(length, longestBar) - longestGrant - 10*time.Millisecond)
			barred(t, fmt.Sprintf("a new one, almost %v later", length), a.replica.Position(), fresh())
			time.Sleep(10 * time.Millisecond)
			a.heldUp(t, d, fresh())
		}
		last := fleet[forgivenOfOne]
		for _, renew := range fleet[:forgivenOfOne] {
			given(t, "the last", longestGrant)(last(a.replica.Position()))
			idle()
			a.heldUp(t, d, renew)
		}
		barred(t, "the last, when others were waited for", a.replica.Position(), last)
		time.Sleep(11 * longestBar)
		for range forgivenOfOne - 1 {
			a.heldUp(t, d, fresh())
		}
		given(t, "when all that is long ago", longestGrant)(last(a.replica.Position()))
	})
}

// Whatever the verifiers of one tenant call themselves, and whosever they are:
// changes do not wait for them for more than a thirtieth of the time.
func TestNobodyHoldsUpChangesAgainAndAgain(t *testing.T) {
	kept := func(n int) string { return fmt.Sprint("kept ", n) }
	for name, next := range map[string]func(a *peer, n int) (renew func(iam.Position) (replica.Grant, error), pause time.Duration){
		"under new names": func(a *peer, n int) (func(iam.Position) (replica.Grant, error), time.Duration) {
			return a.enters(fmt.Sprint(n), of("one", fmt.Sprint(n))), 0
		},
		"with a new account each": func(a *peer, n int) (func(iam.Position) (replica.Grant, error), time.Duration) {
			return a.enters(fmt.Sprint(n), of(fmt.Sprint(n), "verifier")), 0
		},
		"one each minute": func(a *peer, n int) (func(iam.Position) (replica.Grant, error), time.Duration) {
			return a.enters(fmt.Sprint(n), of("one", fmt.Sprint(n))), barredFor + time.Second
		},
		"who were there all the time": func(a *peer, n int) (func(iam.Position) (replica.Grant, error), time.Duration) {
			return func(at iam.Position) (replica.Grant, error) {
				return a.Children().Renew(kept(n), replica.Ping{N: 1, At: at, Wanted: time.Hour})
			}, 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.node(t, Options{Name: "a"})
				settle()
				const long = 30 * time.Minute
				for n := range int(long / time.Second) {
					a.Children().Enter(kept(n), of("one", kept(n)))
				}
				var waited time.Duration
				tries := 0
				for begun := time.Now(); time.Since(begun) < long; tries++ {
					renew, pause := next(a, tries)
					if _, err := renew(a.replica.Position()); err != nil {
						time.Sleep(time.Second)
						continue
					}
					o := <-a.await(t, time.Minute, d.revoke(t))
					if waited += o.took; o.err != nil {
						t.Fatal(o.err)
					}
					time.Sleep(pause)
				}
				if waited > long/30 || waited < 2*longestGrant {
					t.Errorf("changes waited %v of %v", waited, long)
				}
			})
		})
	}
}

// What one connection is given at a time is bounded: each is kept until it is over.
func TestTheSubLeasesOfOneConnectionAreBounded(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		renew := a.held("c", "verifier")
		at := a.replica.Position()
		for range mostGiven {
			given(t, "at first", longestGrant)(renew(at))
		}
		barred(t, "when it has as many as it can have", at, renew)
		given(t, "over another connection", longestGrant)(a.held("d", "verifier")(at))
		idle()
		given(t, "when they are over", longestGrant)(renew(at))
	})
}

// When nobody is in the way any more, what waited is looked at again at once.
func TestWhatWaitsIsLookedAtOnceNobodyIsInItsWay(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		c := a.Children()
		given(t, "at first", longestGrant)(a.held("c", "verifier")(a.replica.Position()))
		for _, test := range []struct {
			when    string
			pending replica.Standing
			want    time.Duration
		}{
			{"nothing waits", replica.Standing{}, time.Hour},
			{"nobody is in its way", a.replica.Standing(), briefly},
			{"it was of before a fence", replica.Standing{Epoch: a.replica.Standing().Epoch + 1, Position: iam.Position{Seq: 1}}, time.Hour},
		} {
			c.mu.Lock()
			c.pending = test.pending
			c.mu.Unlock()
			if got := c.left(time.Hour); got != test.want {
				t.Errorf("when %s: the next look is in %v, want %v", test.when, got, test.want)
			}
		}
	})
}
