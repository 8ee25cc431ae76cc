package fence

import (
	"errors"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// other commits a change of a key of the other workspace.
func (d *deployment) other(t *testing.T) int64 {
	t.Helper()
	return d.commit(t, iam.KeyRecord{
		ID: iam.KeyID(iam.FormatID(iam.KeyPrefix, [16]byte{15: 2})), Principal: "sa_other", Name: "two", Hash: token.NewSecret("two").Hash(),
	})
}

// enter makes a connection of one workspace and has it get a sub-lease.
func (p *peer) enter(t *testing.T, id string, sc replica.Scope) (renew func(at iam.Position) (replica.Grant, error)) {
	t.Helper()
	p.Children().Enter(id, entrant(id, sc))
	renew = func(at iam.Position) (replica.Grant, error) {
		return p.Children().Renew(id, replica.Ping{N: 1, At: at, Wanted: time.Hour})
	}
	given(t, "at first", longestGrant)(renew(p.replica.Position()))
	return renew
}

// A change waits for those who hear of it, and is not held up by those who do not.
func TestAChangeOfAnotherWorkspaceDoesNotWait(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		before := a.replica.Position()
		renew := a.enter(t, "c", replica.OneWorkspace("ws_sim"))
		if o := <-a.await(t, time.Minute, d.other(t)); o.err != nil || o.took > 250*time.Millisecond {
			t.Errorf("a change of another workspace took %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		time.Sleep(longestGrant)
		if all := a.Children().Status(); len(all) != 1 || all[0].SetAside {
			t.Errorf("a verifier was to know of what is none of its business: %+v", all)
		}
		given(t, "though it has not heard of the other workspace's change", longestGrant)(renew(before))
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took < longestGrant-50*time.Millisecond {
			t.Errorf("a change of its own took %v: %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}

// What comes later says that what came before is over, whomever it is of.
func TestAChangeOfAnotherWorkspaceWaitsForThoseBeforeIt(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		a.enter(t, "c", replica.OneWorkspace("ws_sim"))
		d.revoke(t)
		if o := <-a.await(t, time.Minute, d.other(t)); o.err != nil || o.took < longestGrant-50*time.Millisecond {
			t.Errorf("it took %v: %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}

// What this process does not keep may have said anything: a verifier that has not
// acknowledged for so long is waited for.
func TestWhatIsNotKeptIsWaitedFor(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		a.enter(t, "c", replica.OneWorkspace("ws_sim"))
		begun := time.Now()
		a.await(t, time.Minute, d.revoke(t)) // which is forgotten below
		for range 40 {
			time.Sleep(10 * time.Millisecond)
			d.other(t)
			a.replica.Kick()
		}
		o := <-a.await(t, time.Minute, d.other(t))
		if took := time.Since(begun); o.err != nil || took < longestGrant-50*time.Millisecond {
			t.Errorf("%v after the revocation a later change has returned: %+v, %v", took, o.Receipt, o.err)
		}
	})
}

// What one connection has acknowledged, another has not.
func TestRecordsAreOfOneConnection(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		a.enter(t, "c", replica.AnyWorkspace())
		again := a.enter(t, "d", replica.AnyWorkspace())
		a.Children().Exit("c", false)
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(time.Second)
		given(t, "over the new connection", longestGrant)(again(a.replica.Position()))
		pending(t, "while the old connection's sub-lease lasts", done)
		if o := <-done; o.err != nil || o.took < longestGrant-50*time.Millisecond || o.took > longestGrant+50*time.Millisecond {
			t.Errorf("it took %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		if _, err := a.Children().Renew("c", replica.Ping{N: 2, At: a.replica.Position()}); !errors.Is(err, replica.ErrNoFollower) {
			t.Errorf("over a connection that has ended: %v", err)
		}
	})
}

// The node's lease may last for most of a minute; nobody waits so long for a verifier.
func TestASubLeaseIsTwoSecondsAtMost(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a", TTL: MaxTTL})
		settle()
		a.Children().Enter("c", entrant("verifier", replica.AnyWorkspace()))
		for n, tt := range []struct{ wanted, want time.Duration }{{time.Hour, 2 * time.Second}, {time.Second, time.Second}} {
			g, err := a.Children().Renew("c", replica.Ping{N: int64(n), At: a.replica.Position(), Wanted: tt.wanted})
			if err != nil || g.For != tt.want || g.N != int64(n) {
				t.Errorf("question %d, for %v: got %+v, %v; want %v", n, tt.wanted, g, err, tt.want)
			}
		}
	})
}

// An answer to another question than the last tells nothing of how old it is.
func TestAVerifierTakesOnlyTheAnswerToItsQuestion(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		v := a.verifier(t, "c", replica.AnyWorkspace())
		v.way.set(func() { v.way.stale = true })
		time.Sleep(3 * time.Second)
		if got := v.ask(d.key); got != replica.Stale || v.Trouble() == nil {
			t.Errorf("with answers to earlier questions: %s, %v", got, v.Trouble())
		}
	})
}

func TestASubLeaseCountsFromItsQuestion(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		v := a.verifier(t, "c", replica.AnyWorkspace())
		time.Sleep(time.Second)
		held := make(chan struct{})
		v.way.set(func() { v.way.answer = held })
		time.Sleep(longestGrant/8 + time.Millisecond) // it asks once more
		var sent time.Time
		v.way.set(func() { sent = v.way.sent })
		time.Sleep(time.Until(sent.Add(time.Second)))
		v.way.set(func() { v.way.cut = true })
		close(held)
		for _, tt := range []struct {
			age  time.Duration
			want error
		}{{longestGrant*4/5 - time.Millisecond, nil}, {longestGrant * 4 / 5, iam.Stale}} {
			time.Sleep(time.Until(sent.Add(tt.age)))
			if err := v.Ready(); !errors.Is(err, tt.want) {
				t.Errorf("%v after the question: %v, want %v", tt.age, err, tt.want)
			}
		}
	})
}
