package fence

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

func TestTheLogIsTrimmedAndWhoIsBehindLoads(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a, b := d.node(t, Options{Name: "a"}), d.node(t, Options{Name: "b"})
		settle()
		release := b.door.hold(every)
		for range keepLog + 5 {
			d.commit(t, d.key)
		}
		d.revoke(t)
		time.Sleep(2 * time.Minute)
		d.set(func() {
			if d.trimmed == 0 {
				t.Error("it was not trimmed")
			}
		})
		loads := d.count("snapshot")
		release()
		for range 100 {
			time.Sleep(50 * time.Millisecond)
			if got := b.ask(d.key); got != replica.Stale && got != replica.Revoked {
				t.Fatalf("b answers %s", got)
			}
		}
		b.expect(t, d.key, "back again", replica.Revoked)
		a.expect(t, d.key, "that was there", replica.Revoked)
		if n := d.count("snapshot") - loads; n != 1 {
			t.Errorf("%d snapshots were loaded, want one", n)
		}
		if n := b.Alarms().Diverged; n != 0 {
			t.Errorf("%d alarms", n)
		}
	})
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
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.err != nil || o.By != iam.ByExpired && o.By != iam.ByAcked {
			t.Errorf("after %v: %+v, %v", o.took, o.Receipt, o.err)
		}
	})
}
