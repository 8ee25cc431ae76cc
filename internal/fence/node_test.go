package fence

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

func TestANodeJoinsRenewsAndGoesOn(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a", Version: "1.2.3"})
		a.expect(t, d.key, "as soon as it has joined", replica.Valid)
		time.Sleep(10 * time.Minute)
		a.expect(t, d.key, "ten minutes later", replica.Valid)
		if err := a.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		if n, per := d.count("renew"), 10*time.Minute/(5*time.Second/8); n < int(per)-2 || n > int(per)+2 {
			t.Errorf("it renewed %d times in ten minutes, want one each eighth of a TTL, %d", n, per)
		}
		all, err := a.Nodes(t.Context())
		if err != nil || len(all) != 1 || !all[0].Own || all[0].Name != "a" || all[0].Version != "1.2.3" || all[0].Lag != 0 || all[0].LeaseLeft > 5*time.Second {
			t.Errorf("nodes: %+v, %v", all, err)
		}
		if age, ok := a.OldestAccept(); !ok || age > time.Second {
			t.Errorf("the oldest accept: %v, %v", age, ok)
		}
	})
}

func TestAnOutageIsSurvivedForFourFifthsOfATTLAndNoLonger(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		a.door.fail(every, errCut)
		time.Sleep(3300 * time.Millisecond)
		a.expect(t, d.key, "3.3 s without the database", replica.Valid)
		time.Sleep(700 * time.Millisecond)
		a.expect(t, d.key, "4 s without it", replica.Stale)
		if err := a.Ready(); !errors.Is(err, iam.Stale) {
			t.Errorf("ready: got %v, want stale", err)
		}
		time.Sleep(time.Minute)
		a.door.fail(every, nil)
		time.Sleep(2 * time.Second)
		a.expect(t, d.key, "2 s after it came back", replica.Valid)
		if n := d.count("snapshot"); n != 1 {
			t.Errorf("it loaded %d times, want only at the start", n)
		}
	})
}

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

func TestAnAnswerWaitsALittleForALease(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		a.door.fail(every, errCut)
		time.Sleep(10 * time.Second)
		begun := time.Now()
		a.expect(t, d.key, "without a database", replica.Stale)
		if took := time.Since(begun); took != patience {
			t.Errorf("it was said to be stale after %v, want %v", took, patience)
		}
		a.door.fail(every, nil)
		a.expect(t, d.key, "asked when it is back", replica.Valid)
	})
}

func TestAFloodOfQuestionsAsksForTenRenewalsASecond(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		a.door.fail("renew", errCut)
		time.Sleep(10 * time.Second)
		before := d.count("renew")
		var flood sync.WaitGroup
		for range 100 {
			flood.Go(func() {
				for range 50 {
					a.ask(d.key)
				}
			})
		}
		flood.Wait() // 50 times 150 ms
		if n := d.count("renew") - before; n < 70 || n > 80 {
			t.Errorf("%d renewals in 7.5 s, want ten a second", n)
		}
	})
}

// The head is read after the row is there: what is committed in between, while
// nobody waits for this node yet, is known before it answers.
func TestWhatHappensWhileANodeJoinsIsKnownWhenItAnswers(t *testing.T) {
	for _, point := range []string{"snapshot", "join", "renew"} {
		t.Run("held after "+point, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				b := d.node(t, Options{Name: "b", TTL: time.Second})
				settle()
				a := d.prepare(t, Options{Name: "a", TTL: time.Second})
				release := a.door.holdAnswer(point)
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

func TestAnotherTimelineFencesANode(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		before := a.me().incarnation
		release := a.door.hold("join")
		d.set(func() { d.authority.Timeline = "2" })
		time.Sleep(time.Second)
		a.expect(t, d.key, "fenced, and not joined yet", replica.Stale)
		release()
		time.Sleep(time.Second)
		a.expect(t, d.key, "joined anew", replica.Valid)
		if a.me().incarnation == before || d.count("snapshot") != 1 {
			t.Error("it did not join anew with what it had")
		}
	})
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

func TestAChangeOfTheFutureMakesANodeStaleAndUnacknowledged(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		row := a.me().incarnation
		d.set(func() { d.append(`{"reader":2}`) })
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

func TestAReaperRemovesOnlyWhatCannotAnswer(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		dead := map[string]iam.NodeRow{
			"1": {Incarnation: "1", Name: "strict", TTL: 2 * time.Second},
			"2": {Incarnation: "2", Name: "long", TTL: 20 * time.Second},
			"3": {Incarnation: "3", Name: "bounded", TTL: 2 * time.Second, Bounded: 10 * time.Second},
		}
		d.set(func() {
			for id, row := range dead {
				d.rows[id] = row
			}
		})
		for _, at := range []struct {
			after time.Duration
			want  string
		}{
			{1900 * time.Millisecond, "a bounded long strict"},
			{2 * time.Second, "a bounded long"},
			{7 * time.Second, "a bounded long"},
			{3 * time.Second, "a long"},
			{10 * time.Second, "a"},
		} {
			time.Sleep(at.after)
			if got := strings.Join(d.names(), " "); got != at.want {
				t.Errorf("rows: got %q, want %q", got, at.want)
			}
		}
		a.expect(t, d.key, "in the end", replica.Valid)
	})
}

// While the question is under way, the node that it is about may renew its lease.
func TestASightingCountsFromWhenItsAnswerCame(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		release := a.door.hold("all")
		time.Sleep(1600 * time.Millisecond) // the question has been under way for 1.35 s
		d.set(func() { d.rows["1"] = iam.NodeRow{Incarnation: "1", Name: "other", TTL: 2 * time.Second} })
		release()
		time.Sleep(2*time.Second - 1)
		if !slices.Contains(d.names(), "other") {
			t.Error("it was removed less than its TTL after it was first seen")
		}
		time.Sleep(2 * time.Second)
		if slices.Contains(d.names(), "other") {
			t.Error("it was not removed")
		}
	})
}

// Between what the reaper saw and its statement the node has come back.
func TestARowThatWasRenewedMeanwhileIsNotRemoved(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		removes := a.door.hold("reap")
		returns := b.door.hold(every)
		time.Sleep(6400 * time.Millisecond) // a is about to remove b's row
		returns()
		time.Sleep(200 * time.Millisecond)
		b.expect(t, d.key, "back again", replica.Valid)
		removes()
		synctest.Wait()
		release := b.door.hold("changes")
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(200 * time.Millisecond)
		pending(t, "while b is held back", done)
		release()
		if o := <-done; o.err != nil || o.Nodes.Confirmed != 2 {
			t.Errorf("%+v, %v", o.Receipt, o.err)
		}
	})
}

// The last word of a process arrives when its successor has joined.
func TestWhatAnEarlierProcessSentDoesNotHarmALater(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, before := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		arrives := before.door.hold("leave")
		left := make(chan error, 1)
		go func() { left <- before.Leave(t.Context(), func(context.Context) error { return nil }) }()
		synctest.Wait()
		before.end()
		b := d.node(t, Options{Name: "b"})
		settle()
		b.expect(t, d.key, "the successor", replica.Valid)
		arrives()
		if err := <-left; err != nil {
			t.Errorf("leave: %v", err)
		}
		release := b.door.hold("changes")
		done := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(200 * time.Millisecond)
		pending(t, "while the successor is held back", done)
		release()
		if o := <-done; o.err != nil || o.Nodes.Confirmed != 2 {
			t.Errorf("%+v, %v", o.Receipt, o.err)
		}
	})
}

// A row that was seen before the database restarted may have been renewed after
// what was seen, by a renewal that was lost and made again.
func TestAReaperForgetsWhatItSawBeforeARestart(t *testing.T) {
	for name, happen := range map[string]func(*iam.Authority){
		"a restart":  func(a *iam.Authority) { a.Started = "later" },
		"a failover": func(a *iam.Authority) { a.Timeline = "2" },
	} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(t *testing.T, d *deployment) {
				d.node(t, Options{Name: "a"})
				time.Sleep(10 * time.Second)
				d.set(func() { d.rows["1"] = iam.NodeRow{Incarnation: "1", Name: "other", TTL: 20 * time.Second} })
				time.Sleep(19 * time.Second)
				d.set(func() { happen(&d.authority) })
				time.Sleep(18 * time.Second)
				if !slices.Contains(d.names(), "other") {
					t.Error("it was removed for what was seen before")
				}
				time.Sleep(5 * time.Second)
				if slices.Contains(d.names(), "other") {
					t.Error("it was not removed")
				}
			})
		})
	}
}

func TestLeavingRemovesTheRowLast(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		view := b.replica.View()
		drained := make(chan struct{})
		left := make(chan error, 1)
		go func() {
			left <- b.Leave(t.Context(), func(context.Context) error { <-drained; return nil })
		}()
		synctest.Wait()
		if b.replica.Still(view) {
			t.Error("what is in flight could still be answered")
		}
		b.expect(t, d.key, "leaving", replica.Stale)
		time.Sleep(2 * time.Second)
		if names := d.names(); len(names) != 2 {
			t.Fatalf("rows: %v, want both while something is in flight", names)
		}
		b.expect(t, d.key, "2 s later", replica.Stale)
		close(drained)
		if err := <-left; err != nil {
			t.Errorf("leave: %v", err)
		}
		if names := d.names(); !slices.Equal(names, []string{"a"}) {
			t.Errorf("rows: %v, want only a's", names)
		}
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.took > 50*time.Millisecond || o.Nodes.Total != 1 {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
		time.Sleep(time.Minute)
		b.expect(t, d.key, "a minute after it left", replica.Stale)
		if n := len(d.names()); n != 1 {
			t.Errorf("%d rows: it joined again", n)
		}
	})
}

func TestARowOfANodeThatCouldNotDrainIsLeftToTheReaper(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		if err := b.Leave(t.Context(), func(context.Context) error { return context.DeadlineExceeded }); err == nil {
			t.Error("leaving is said to have been in order")
		}
		b.end()
		if names := d.names(); len(names) != 2 {
			t.Errorf("rows: %v, want both", names)
		}
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.By != byExpired && o.By != byAcked {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}

// The answer to a renewal that was under way when the node began to leave.
func TestALeaseThatComesWhileLeavingIsNotTakenUp(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		release := a.door.holdAnswer("renew")
		time.Sleep(time.Second) // one is under way
		drained := make(chan struct{})
		left := make(chan error, 1)
		go func() { left <- a.Leave(t.Context(), func(context.Context) error { <-drained; return nil }) }()
		synctest.Wait()
		release()
		synctest.Wait()
		a.expect(t, d.key, "after the late answer", replica.Stale)
		close(drained)
		if err := <-left; err != nil {
			t.Errorf("leave: %v", err)
		}
	})
}

func TestADatabaseThatKeepsTooLittleIsRefusedInWords(t *testing.T) {
	good := iam.DurabilitySettings{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "on"}
	tests := []struct {
		name   string
		change func(*iam.DurabilitySettings)
		want   string // "quorum", "local", or a word of the refusal
	}{
		{"one server", func(s *iam.DurabilitySettings) {}, local},
		{"a synchronous standby", func(s *iam.DurabilitySettings) { s.SynchronousStandbyNames, s.Standbys = "ANY 1 (a, b)", 2 }, quorum},
		{"one that is to be applied", func(s *iam.DurabilitySettings) {
			s.SynchronousStandbyNames, s.SynchronousCommit = "a", "remote_apply"
		}, quorum},
		{"an asynchronous standby", func(s *iam.DurabilitySettings) { s.Standbys = 1 }, "synchronous_standby_names"},
		{"blanks for names", func(s *iam.DurabilitySettings) { s.Standbys, s.SynchronousStandbyNames = 1, " " }, "synchronous_standby_names"},
		{"no fsync", func(s *iam.DurabilitySettings) { s.Fsync = "off" }, "set fsync = on"},
		{"no full pages", func(s *iam.DurabilitySettings) { s.FullPageWrites = "off" }, "set full_page_writes = on"},
		{"no waiting", func(s *iam.DurabilitySettings) { s.SynchronousCommit = "local" }, "synchronous_commit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := good
			tt.change(&s)
			got, err := durabilityOf(s, false)
			if tt.want == quorum || tt.want == local {
				if got != tt.want || err != nil {
					t.Errorf("got %q, %v; want %q", got, err, tt.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, %v; want a refusal that says %q", got, err, tt.want)
			}
			if got, err := durabilityOf(s, true); got != local || err != nil {
				t.Errorf("accepted: got %q, %v; want local", got, err)
			}
		})
	}
}

func TestADatabaseThatKeepsLessThanItDidFencesTheNode(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		d.authority.Settings.SynchronousStandbyNames = "ANY 1 (a, b)"
		d.authority.Settings.Standbys = 2
		a := d.node(t, Options{})
		settle()
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.Durability != quorum {
			t.Errorf("durability: got %q, want quorum", o.Durability)
		}
		d.set(func() { d.authority.Settings.SynchronousStandbyNames = "" })
		time.Sleep(time.Second)
		a.expect(t, d.key, "commits no longer wait", replica.Stale)
		rows := d.count("join")
		time.Sleep(time.Minute)
		if n := d.count("join") - rows; n != 0 {
			t.Errorf("it wrote %d rows while it refuses to answer", n)
		}
		d.set(func() { d.authority.Settings.SynchronousStandbyNames = "ANY 1 (a, b)" })
		time.Sleep(6 * time.Second)
		a.expect(t, d.key, "they do again", replica.Revoked)
	})
}

func TestABackupDoesNotStopANodeOfASingleServer(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		d.set(func() { d.authority.Settings.Standbys = 1 })
		time.Sleep(10 * time.Second)
		a.expect(t, d.key, "while somebody reads the WAL", replica.Valid)
	})
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	d := &deployment{memory: newMemory()}
	good := d.prepare(t, Options{})
	for name, change := range map[string]func(*Options){
		"no TTL":              func(o *Options) { o.TTL = 0 },
		"a TTL of 0.9 s":      func(o *Options) { o.TTL = 900 * time.Millisecond },
		"a TTL of 61 s":       func(o *Options) { o.TTL = 61 * time.Second },
		"a bound in the past": func(o *Options) { o.Bounded = -1 },
		"no replica":          func(o *Options) { o.Replica = nil },
	} {
		o := Options{TTL: time.Second, Replica: good.replica, Database: good.door, Clock: good.clock, Random: chaos{newKernel(1)}}
		if _, err := New(o); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
}
