package fence

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// direct is the way of a verifier to a node in the same process. It can be cut.
type direct struct {
	children *Children
	above    *replica.Replica
	id       string
	scope    replica.Scope

	mu     sync.Mutex // guards what follows
	cut    bool
	asked  int
	sent   time.Time     // the last question for a sub-lease
	answer chan struct{} // answers wait for it; nil: they do not
	stale  bool          // answers say that they are to the question before
	mute   bool          // nothing is acknowledged without a question
	acks   int           // that came without one
}

// reached counts a question, and reports that the parent is not there when it is cut.
func (p *direct) reached() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.cut {
		return iam.Errorf(iam.Unavailable, "no server")
	}
	return nil
}

func (p *direct) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// parent returns whom it follows, which a test may change.
func (p *direct) parent() (*Children, *replica.Replica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.children, p.above
}

func (p *direct) Renew(_ context.Context, q replica.Ping) (replica.Grant, error) {
	if err := p.reached(); err != nil {
		return replica.Grant{}, err
	}
	p.set(func() { p.sent = time.Now() })
	children, _ := p.parent()
	g, err := children.Renew(p.id, q)
	p.mu.Lock()
	held := p.answer
	if p.stale {
		g.N--
	}
	p.mu.Unlock()
	if held != nil {
		<-held
	}
	return g, err
}

func (p *direct) Acknowledge(at iam.Position) error {
	if err := p.reached(); err != nil {
		return err
	}
	p.mu.Lock()
	mute := p.mute
	if !mute {
		p.acks++
	}
	p.mu.Unlock()
	if mute {
		return errors.ErrUnsupported
	}
	children, _ := p.parent()
	children.Acknowledge(p.id, at)
	return nil
}

func (p *direct) Changes(_ context.Context, after iam.Position, _ int) ([]iam.Change, iam.Position, error) {
	if err := p.reached(); err != nil {
		return nil, after, err
	}
	_, above := p.parent()
	return above.View().After(after, p.scope)
}

func (p *direct) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	if err := p.reached(); err != nil {
		return iam.Position{}, err
	}
	_, above := p.parent()
	return above.View().Pour(p.scope, sink)
}

// outside is a verifier that runs, and its way to a node.
type outside struct {
	*Verifier
	way *direct
	end func() // ends Run and waits for it
}

// verifier starts a verifier that ends with the test.
func (p *peer) verifier(t *testing.T, id string, sc replica.Scope) *outside {
	t.Helper()
	return follow(t, p.Children(), p.replica, id, sc)
}

func follow(t *testing.T, children *Children, above *replica.Replica, id string, sc replica.Scope) *outside {
	t.Helper()
	children.Enter(id, entrant(id, sc))
	o := &outside{way: &direct{children: children, above: above, id: id, scope: sc}}
	clock := SystemClock()
	o.Verifier = NewVerifier(replica.New(replica.Options{Clock: clock.Now}), o.way, clock)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { o.Run(ctx) })
	o.end = sync.OnceFunc(func() { stop(); running.Wait() })
	t.Cleanup(o.end)
	synctest.Wait()
	return o
}

// ask verifies a key, as an SDK does.
func (o *outside) ask(key iam.KeyRecord) (code replica.Code) {
	if err := o.Answer(context.Background(), func(v replica.View) {
		code = v.Verify(key.Hash, replica.Query{Scope: replica.AnyWorkspace()}).Code
	}); err != nil {
		return replica.Stale
	}
	return code
}

// A verifier answers as its parent does, and no longer than its parent could.
func TestAVerifierFollowsANode(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		v := a.verifier(t, "c", replica.AnyWorkspace())
		time.Sleep(time.Second)
		if got := v.ask(d.key); got != replica.Valid {
			t.Fatalf("at first: %s", got)
		}
		o := <-a.await(t, time.Minute, d.revoke(t))
		if got := v.ask(d.key); got != replica.Revoked || o.err != nil || o.took > pollEvery+50*time.Millisecond {
			t.Errorf("once a revocation has returned: %s; it took %v, %v", got, o.took, o.err)
		}
		a.door.fail(every, errCut)
		time.Sleep(3 * time.Second)
		if got := v.ask(d.key); got != replica.Revoked {
			t.Errorf("while its parent has a lease: %s", got)
		}
		time.Sleep(1500 * time.Millisecond)
		if got := v.ask(d.key); got != replica.Stale {
			t.Errorf("when its parent has none: %s", got)
		}
	})
}

// Whoever comes when there is no sub-lease waits a little for one, and many who come
// do not make many questions of it.
func TestAVerifierInsistsOnASubLease(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		v := a.verifier(t, "c", replica.AnyWorkspace())
		time.Sleep(time.Second)
		v.way.set(func() { v.way.cut = true })
		time.Sleep(3 * time.Second)
		v.way.set(func() { v.way.asked = 0 })
		var asking sync.WaitGroup
		begun := time.Now()
		for range 100 {
			asking.Go(func() {
				if got := v.ask(d.key); got != replica.Stale {
					t.Errorf("cut off: %s", got)
				}
			})
		}
		asking.Wait()
		if took := time.Since(begun); took != replica.Patience {
			t.Errorf("they waited %v, want %v", took, replica.Patience)
		}
		if err := v.Ready(); !errors.Is(err, iam.Stale) || !errors.Is(err, iam.Unavailable) || !errors.Is(v.Trouble(), iam.Unavailable) {
			t.Errorf("cut off: it says %v, want that it is stale, and why", err)
		}
		v.way.mu.Lock()
		if v.way.asked > 5 {
			t.Errorf("a hundred who wait for %v made %d questions", replica.Patience, v.way.asked)
		}
		v.way.cut = false
		v.way.mu.Unlock()
		time.Sleep(soonestAsk)
		begun = time.Now()
		if got := v.ask(d.key); got != replica.Valid || time.Since(begun) > replica.Patience {
			t.Errorf("as soon as the parent is there again: %s after %v", got, time.Since(begun))
		}
		if v.Ready() != nil || v.Trouble() != nil {
			t.Errorf("with a sub-lease: %v, %v", v.Ready(), v.Trouble())
		}
	})
}

// Once a verifier is closed, and has said goodbye, nobody waits for it: not even an
// answer that was on its way gives it the right to answer again.
func TestAClosedVerifierAnswersNothing(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		v := a.verifier(t, "c", replica.AnyWorkspace())
		time.Sleep(time.Second)
		if got := v.ask(d.key); got != replica.Valid {
			t.Fatalf("at first: %s", got)
		}
		held := make(chan struct{})
		v.way.set(func() { v.way.answer = held })
		time.Sleep(300 * time.Millisecond) // it asks again, and is not answered
		v.Close()
		if got := v.ask(d.key); got != replica.Stale {
			t.Errorf("once it is closed: %s", got)
		}
		close(held)
		time.Sleep(time.Second)
		if got := v.ask(d.key); got != replica.Stale {
			t.Errorf("after an answer that was on its way has come: %s", got)
		}
		a.Children().Exit("c", true)
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took > 250*time.Millisecond {
			t.Errorf("nobody follows any more, and a change took %v: %v", o.took, o.err)
		}
		if err := v.Ready(); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("it says %v, want that it was closed", err)
		}
	})
}

// When the log has lost changes that a verifier knows of, and goes on from before, the
// verifier does too, and takes nothing back that it has seen end. Nothing of it rests on
// how it finds out: its parent may be the same, which loads anew, or another process.
func TestAVerifierGoesOnWhenChangesWereLost(t *testing.T) {
	for name, connectAnew := range map[string]bool{"over the same connection": false, "over one that loads": true} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				restored := &deployment{memory: newMemory(), key: d.key}
				restored.commit(t, d.key)
				b := restored.node(t, Options{Name: "b"})
				a := d.node(t, Options{Name: "a"})
				settle()
				v := a.verifier(t, "c", replica.AnyWorkspace())
				kept := d.key
				d.revoke(t)
				d.empty(t)
				time.Sleep(time.Second)
				if got := v.ask(d.key); got != replica.Revoked {
					t.Fatalf("at first: %s", got)
				}
				b.Children().Enter("c", entrant("c", replica.AnyWorkspace()))
				v.way.set(func() { v.way.children, v.way.above = b.Children(), b.replica })
				if connectAnew {
					v.replica.Fail(replica.ErrTooOld) // as a stream does that begins with a snapshot
				}
				time.Sleep(10 * time.Second)
				if err := v.Ready(); err != nil || v.replica.Position().Seq != b.replica.Position().Seq {
					t.Errorf("after ten seconds it is at %d, and its parent at %d: %v", v.replica.Position().Seq, b.replica.Position().Seq, err)
				}
				if got := v.ask(kept); got != replica.Revoked {
					t.Errorf("what it has seen revoked is %s", got)
				}
			})
		})
	}
}

// A parent that has not come as far as a verifier is not taken for one whose log has
// lost changes.
func TestAVerifierWaitsForAParentThatIsBehind(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		v := a.verifier(t, "c", replica.AnyWorkspace())
		b.door.fail(every, errCut) // it keeps its lease for a while, and hears of nothing
		d.revoke(t)
		time.Sleep(time.Second)
		b.Children().Enter("c", entrant("c", replica.AnyWorkspace()))
		at := v.replica.Position()
		for range 5 {
			if g, err := b.Children().Renew("c", replica.Ping{N: 1, At: at, Wanted: time.Second}); !errors.Is(err, iam.Unavailable) {
				t.Errorf("of what it has not heard of it says %+v, %v", g, err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		b.door.fail(every, nil)
		time.Sleep(2 * time.Second)
		given(t, "when it has", longestGrant)(b.Children().Renew("c", replica.Ping{N: 2, At: at, Wanted: longestGrant}))
	})
}

// tells has a verifier look for changes as soon as its parent has them, until the function
// that it returns is called.
func (p *peer) tells(v *outside) (end func()) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			published := p.replica.Published()
			v.replica.Kick()
			select {
			case <-published:
			case <-ctx.Done():
			}
		}
	})
	return func() { stop(); running.Wait() }
}

// What a verifier has applied it says without a question, which comes when it is due, or
// with one where there is no other way. Nobody waits longer for the one than for the
// other.
func TestAVerifierAcknowledgesWithoutAQuestion(t *testing.T) {
	for name, mute := range map[string]bool{"without": false, "with": true} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.node(t, Options{Name: "a"})
				settle()
				v := a.verifier(t, "c", replica.AnyWorkspace())
				v.way.set(func() { v.way.mute = mute })
				defer a.tells(v)()
				time.Sleep(time.Second)
				acks, questions := 0, 0
				for range 20 {
					var sent time.Time
					v.way.set(func() { acks, sent = v.way.acks, v.way.sent })
					time.Sleep(10 * time.Millisecond)
					begun := time.Now()
					o := <-a.await(t, time.Minute, d.revoke(t))
					if o.err != nil || time.Since(begun) > soonestAsk {
						t.Fatalf("it took %v, %v", time.Since(begun), o.err)
					}
					v.way.set(func() {
						if v.way.sent != sent {
							questions++
						}
						acks = v.way.acks - acks
					})
					if acks != 1 && !mute {
						t.Errorf("it was acknowledged %d times", acks)
					}
				}
				if many := questions == 20; many != mute {
					t.Errorf("questions came with %d of 20 changes", questions)
				}
			})
		})
	}
}

// evasive is a parent that is behind, and for a while says nothing of why.
type evasive struct {
	*direct
	why    error // what it says when it is asked for a sub-lease; nil: what is true
	loaded int   // snapshots that were asked of it
}

func (p *evasive) Renew(ctx context.Context, q replica.Ping) (replica.Grant, error) {
	if p.why != nil {
		return replica.Grant{}, p.why
	}
	return p.direct.Renew(ctx, q)
}

func (p *evasive) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	p.loaded++
	return p.direct.Snapshot(ctx, sink)
}

// A verifier that knows of more than its parent loads once to find out, and not again
// before the parent has said which of the two is wrong: any other answer is none.
func TestAVerifierLoadsNothingBeforeItsParentHasSaidWhy(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		v := a.verifier(t, "c", replica.AnyWorkspace())
		v.end()
		before := v.replica.Position()
		restored := &deployment{memory: newMemory(), key: d.key}
		b := restored.node(t, Options{Name: "b"})
		settle()
		b.Children().Enter("c", entrant("c", replica.AnyWorkspace()))
		p := &evasive{direct: &direct{children: b.Children(), above: b.replica, id: "c", scope: replica.AnyWorkspace()}}
		v.parent = p
		v.replica.Fail(replica.ErrTooOld)
		for _, p.why = range []error{iam.Stale, iam.NotFound, iam.RateLimited, iam.Unavailable, errCut, iam.Stale} {
			if err := v.renew(t.Context()); err == nil || !v.ahead {
				t.Errorf("when it says %v: %v, ahead: %t", p.why, err, v.ahead)
			}
		}
		if at := b.replica.Position(); p.loaded != 1 || at.Seq >= before.Seq {
			t.Errorf("loaded %d times from revision %d, and knows of %d; want once, from before", p.loaded, at.Seq, before.Seq)
		}
	})
}
