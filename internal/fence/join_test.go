package fence

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/replica"
)

func TestANodeStartsWhenTheDatabaseDoes(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.prepare(t, Options{})
		a.door.fail(every, errCut)
		a.start(t)
		time.Sleep(time.Minute)
		a.expect(t, d.key, "without a database", replica.Stale)
		a.door.fail(every, nil)
		time.Sleep(2 * time.Second)
		a.expect(t, d.key, "2 s after it is there", replica.Valid)
	})
}

// The head is read after the row is there: what is committed in between, while
// nobody waits for this node yet, is known before it answers.
func TestWhatHappensWhileANodeJoinsIsKnownWhenItAnswers(t *testing.T) {
	after := func(call string) func(*peer) func() {
		return func(p *peer) func() { return p.door.holdAnswer(call) }
	}
	for name, hold := range map[string]func(*peer) (release func()){
		"held after the snapshot": after("snapshot"), "held after its row": after("join"), "held after the head": after("renew"),
		"held after the changes": after("changes"), "held before it publishes": (*peer).holdPublishers,
	} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				b := d.node(t, Options{Name: "b", TTL: time.Second})
				settle()
				a := d.prepare(t, Options{Name: "a", TTL: time.Second})
				release := hold(a)
				defer release()
				a.start(t)
				if o := <-b.await(t, time.Minute, d.revoke(t)); o.err != nil {
					t.Fatalf("%+v, %v", o.Receipt, o.err)
				}
				a.expect(t, d.key, "still joining", replica.Stale)
				release()
				for range 100 {
					time.Sleep(10 * time.Millisecond)
					if got := a.ask(d.key); got != replica.Stale && got != replica.Revoked {
						t.Fatalf("joined: got %s, want revoked", got)
					}
				}
				a.expect(t, d.key, "a second later", replica.Revoked)
			})
		})
	}
}

func TestASlowSnapshotHoldsNobodyUp(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		b := d.node(t, Options{Name: "b"})
		settle()
		a := d.prepare(t, Options{Name: "a"})
		release := a.door.holdAnswer("snapshot")
		a.start(t)
		time.Sleep(10 * time.Second)
		if o := <-b.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took > 50*time.Millisecond || o.Nodes.Total != 1 {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		time.Sleep(5 * time.Second) // three TTLs in all
		release()
		synctest.Wait()
		a.expect(t, d.key, "loaded at last", replica.Revoked)
	})
}

// The answer to an attempt to join comes when another attempt has succeeded.
func TestALateAnswerToAJoinIsDropped(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.prepare(t, Options{})
		release := a.door.holdAnswer("join")
		a.start(t)
		time.Sleep(1600 * time.Millisecond) // the attempt has been given up
		release()
		time.Sleep(time.Second)
		a.expect(t, d.key, "after the second attempt", replica.Valid)
		if n := len(d.names()); n != 2 {
			t.Fatalf("%d rows, want one of each attempt", n)
		}
		time.Sleep(10 * time.Second)
		if n := len(d.names()); n != 1 {
			t.Errorf("%d rows, want the first to be removed", n)
		}
		a.expect(t, d.key, "after it was", replica.Valid)
	})
}

func TestANodeWhoseRowIsGoneJoinsAnewWithWhatItHas(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		before := a.me().incarnation
		d.set(func() { clear(d.rows) })
		time.Sleep(time.Second)
		a.expect(t, d.key, "a second later", replica.Valid)
		if after := a.me().incarnation; after == before || after == "" {
			t.Errorf("it goes by %q, as before", after)
		}
		if n := d.count("snapshot"); n != 1 {
			t.Errorf("it loaded %d times, want only at the start", n)
		}
	})
}

// A reaped node that comes back, and the answer to its renewal with it.
func TestAReapedNodeThatComesBackAnswersNothingOld(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		release := b.door.hold(every)
		time.Sleep(12 * time.Second)
		if names := d.names(); !slices.Equal(names, []string{"a"}) {
			t.Fatalf("rows: %v, want b's to be removed", names)
		}
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took > 50*time.Millisecond {
			t.Fatalf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		release()
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			if got := b.ask(d.key); got == replica.Valid {
				t.Fatal("it accepts what was revoked while it was away")
			}
		}
		b.expect(t, d.key, "a second later", replica.Revoked)
	})
}

func TestTwoNodesOfOneNameAreTwo(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "same"}), d.node(t, Options{Name: "same"})
		settle()
		release := b.door.hold("changes")
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(time.Second)
		pending(t, "while one of the two is held", done)
		release()
		if o := <-done; o.err != nil || o.Nodes.Confirmed != 2 {
			t.Errorf("%+v, %v", o.Receipt, o.err)
		}
	})
}
