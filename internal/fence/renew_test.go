package fence

import (
	"fmt"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

func TestAnotherTimelineFencesANode(t *testing.T) {
	for name, change := range map[string]func(*iam.Authority){
		"a standby took over": func(a *iam.Authority) { a.Timeline = "2" },
		"another cluster":     func(a *iam.Authority) { a.System = "copy" },
	} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.node(t, Options{})
				time.Sleep(10 * time.Second)
				before := a.me().incarnation
				release := a.door.hold("join")
				d.set(func() { change(&d.authority) })
				time.Sleep(time.Second)
				a.expect(t, d.key, "fenced, and not joined yet", replica.Stale)
				release()
				time.Sleep(time.Second)
				a.expect(t, d.key, "joined anew", replica.Valid)
				if a.me().incarnation == before || d.count("snapshot") != 1 {
					t.Error("it did not join anew with what it had")
				}
			})
		})
	}
}

// A failover lost a revocation that had been confirmed.
func TestWhatADatabaseHasLostStaysDeniedHere(t *testing.T) {
	for name, wait := range map[string]time.Duration{"heard when following": pollEvery, "heard when renewing": 5 * time.Second / 8} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.node(t, Options{})
				settle()
				if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil {
					t.Fatal(o.err)
				}
				if name == "heard when renewing" {
					a.door.fail("changes", errCut)
				}
				d.set(func() {
					d.log = d.log[:1]
					d.key.Revoked = false
					d.keys[d.key.Hash] = d.key
				})
				time.Sleep(wait)
				a.door.fail("changes", nil)
				if got := a.ask(d.key); got == replica.Valid {
					t.Error("it is accepted again")
				}
				time.Sleep(5 * time.Second)
				a.expect(t, d.key, "loaded anew", replica.Revoked)
				d.key.Name = "renamed"
				d.commit(t, d.key)
				time.Sleep(time.Second)
				a.expect(t, d.key, "and changed since", replica.Revoked)
				if n := a.Alarms().Diverged; n != 1 {
					t.Errorf("%d alarms, want one", n)
				}
			})
		})
	}
}

// Following, acknowledging and renewing go on side by side, and each can find it.
func TestALossThatIsFoundTwiceIsOneAlarm(t *testing.T) {
	for late, other := range map[string]string{"changes": "ack", "ack": "changes"} {
		t.Run(late, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				a := d.node(t, Options{})
				settle()
				a.door.fail("ack", errCut)
				d.revoke(t)
				settle()
				d.set(func() {
					d.log = d.log[:len(d.log)-1]
					d.append(`{"reader":1}`) // of the same number
					d.key.Revoked = false
					d.keys[d.key.Hash] = d.key
				})
				a.door.fail("ack", nil)
				a.door.fail(other, errCut)
				answer, loading := a.door.holdAnswer(late), a.door.hold("snapshot")
				time.Sleep(time.Second) // it has asked, and a renewal has found the loss
				if a.me().incarnation != "" {
					t.Error("the renewal has not found it")
				}
				if late == "ack" {
					loading() // so that the answer is about what is gone by then
					time.Sleep(400 * time.Millisecond)
				}
				answer()
				settle()
				loading()
				a.door.fail(other, nil)
				time.Sleep(5 * time.Second)
				a.expect(t, d.key, "loaded anew", replica.Revoked)
				if n := a.Alarms().Diverged; n != 1 {
					t.Errorf("%d alarms, want one", n)
				}
			})
		})
	}
}

func TestAChangeOfTheFutureMakesANodeStaleAndUnacknowledged(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		row := a.me().incarnation
		d.set(func() { d.append(fmt.Sprintf(`{"reader":%d}`, iam.ReaderVersion+1)) })
		time.Sleep(time.Second)
		a.expect(t, d.key, "after it", replica.Stale)
		d.memory.mu.Lock()
		if acked := d.rows[row].Acked; acked != 1 {
			t.Errorf("it acknowledged %d", acked)
		}
		d.memory.mu.Unlock()
		loads := d.count("snapshot")
		time.Sleep(time.Minute)
		if n := d.count("snapshot") - loads; n > 15 {
			t.Errorf("it tried to load %d times in a minute", n)
		}
		if n := d.count("join"); n != 1 {
			t.Errorf("it wrote %d rows, want none while it cannot answer", n)
		}
	})
}

func TestAnOutcomeThatIsUnknownIsNoLease(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		a.door.fail("renew", iam.Unknown)
		time.Sleep(5 * time.Second)
		a.expect(t, d.key, "PostgreSQL warned of each renewal", replica.Stale)
		a.door.fail("renew", nil)
		time.Sleep(time.Second)
		a.expect(t, d.key, "and then no more", replica.Valid)
	})
}

func TestAWallClockThatIsSetEndsALeaseAndTheNextIsGood(t *testing.T) {
	for name, by := range map[string]time.Duration{"a day forward": 24 * time.Hour, "a day back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				d.key.Expires = time.Now().Add(time.Hour).UnixMicro()
				d.commit(t, d.key)
				a := d.node(t, Options{})
				time.Sleep(10 * time.Second)
				release := a.door.hold("renew")
				time.Sleep(time.Second)
				a.clock.shift(by)
				want := replica.Valid
				if by > 0 {
					want = replica.Stale
				}
				a.expect(t, d.key, "before the next renewal", want)
				release()
				time.Sleep(time.Second)
				a.expect(t, d.key, "after it", replica.Valid)
				time.Sleep(time.Hour)
				a.expect(t, d.key, "when the key has expired", replica.Expired)
			})
		})
	}
}
