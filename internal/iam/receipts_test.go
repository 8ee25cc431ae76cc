package iam_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store/storetest"
)

// awaiting runs what waits for receipts that nobody waits for, until the returned
// function is called.
func (w *world) awaiting() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.AwaitReceipts(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// restarted returns the service as another process has it: with the same store and
// fence, and nothing in memory.
func (w *world) restarted() *iam.Service {
	return &iam.Service{Store: w.Store, Fence: w.Fence, Now: w.Now}
}

// kept returns a receipt as the store has it.
func (w *world) kept(c iam.Caller, id iam.ReceiptID) iam.Receipt {
	w.t.Helper()
	r, err := w.Store.Receipt(w.t.Context(), c.Workspace.ID, id)
	if err != nil {
		w.t.Fatalf("read the row of receipt %s: %v", id, err)
	}
	return r
}

func TestEveryChangeLeavesItsReceipt(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		c, _ := w.admin(ch)
		done := w.succeed(ch.ready(w, c), c)
		got := done.receipt
		if ch.caller == byNobody {
			c = w.owner // to whose workspace it came
		} else if got.Maker != c.Principal.ID {
			w.t.Errorf("got maker %q, want %q", got.Maker, c.Principal.ID)
		}
		if _, err := iam.ParseID(iam.ReceiptPrefix, string(got.ID)); err != nil {
			w.t.Errorf("receipt id %q: %v", got.ID, err)
		}
		if row := w.kept(c, got.ID); row.Confirmed || row.Revision != done.revision || row.KeysStopped != got.KeysStopped || !row.DecidedAt.Equal(got.DecidedAt) {
			w.t.Errorf("got row %+v, want that of %+v, not confirmed yet", row, got)
		}
		if err := w.WriteReceipts(w.t.Context()); err != nil {
			w.t.Fatalf("write receipts: %v", err)
		}
		if row := w.kept(c, got.ID); text(row) != text(rounded(got)) {
			w.t.Errorf("got row %+v, want %+v", row, got)
		}
	})
}

// rounded returns a receipt as precise as a store keeps it.
func rounded(r iam.Receipt) iam.Receipt {
	r.Took = r.Took.Truncate(time.Microsecond)
	return r
}

// Whoever repeats a change waits for a number of their own, and has a receipt of
// their own.
func TestRepeatHasAReceiptOfItsOwn(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c := w.holder(iam.Admin)
		revoke := changes()["RevokeServiceAccount"].ready(w, c)
		c.Idempotency = &iam.Idempotency{Scope: "scope", Key: "once"}
		first := w.succeed(revoke, c)
		replay := w.succeed(revoke, c)
		c.Idempotency = nil
		again := w.succeed(revoke, c)
		for i, r := range []iam.Receipt{first.receipt, replay.receipt, again.receipt} {
			if want := first.receipt.Revision + int64(i); r.Revision != want || w.kept(c, r.ID).Revision != want {
				t.Errorf("call %d: got revision %d, want %d", i+1, r.Revision, want)
			}
		}
		if replay.revision != first.revision {
			t.Errorf("the replay answers revision %d, want %d", replay.revision, first.revision)
		}
	})
}

// A change that is not confirmed is recorded, and so is the receipt, which is
// confirmed when somebody has waited: the process in the background, or whoever
// asks.
func TestUnconfirmedReceiptIsWaitedForAfresh(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c := w.holder(iam.Admin)
		revoke := changes()["RevokeServiceAccount"].ready(w, c)
		w.fail(waiting, iam.Errorf(iam.Unconfirmed, "held back"))
		done, err := revoke(t.Context(), c)
		wantKind(t, err, iam.Unconfirmed)
		id := done.receipt.ID
		if row := w.kept(c, id); row.Confirmed {
			t.Fatalf("got row %+v, want it unconfirmed", row)
		}
		other := w.restarted()
		w.fail(waiting, iam.Errorf(iam.Unconfirmed, "held back"))
		if got, err := other.Receipt(t.Context(), c, "-", id); err != nil || got.Confirmed || got.By != "" || got.Revision != done.receipt.Revision {
			t.Errorf("while it is held back: got %+v, %v; want it unconfirmed", got, err)
		}
		w.clock.advance(3 * time.Second)
		got, err := other.Receipt(t.Context(), c, "-", id)
		if err != nil || !got.Confirmed || got.By != "acked" || got.Nodes.Confirmed != 1 || got.Took != 3*time.Second {
			t.Errorf("then: got %+v, %v; want it confirmed after 3 s", got, err)
		}
		if again, err := other.Receipt(t.Context(), c, "-", id); err != nil || text(again) != text(got) {
			t.Errorf("before it is written down: got %+v, %v; want what was said: %+v", again, err, got)
		}
		if err := other.WriteReceipts(t.Context()); err != nil {
			t.Fatal(err)
		}
		if row := w.kept(c, id); text(row) != text(got) {
			t.Errorf("got row %+v, want %+v", row, got)
		}
	})
}

func TestWaitGoesOnWhenItsCallerDoesNot(t *testing.T) {
	for name, prefer := range map[string]iam.Preference{
		"who prefers not to wait":      {Async: true},
		"who waits for a moment":       {Until: time.Now()},
		"who waits, and goes with it":  {Async: true, Until: time.Now()},
		"who waits to the end, held":   {},
		"who comes back while it runs": {Until: time.Now()},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Above(t, func(t *testing.T, url string) {
				w := newWorld(t, url)
				stop := w.awaiting()
				defer stop()
				c := w.holder(iam.Admin)
				revoke := changes()["RevokeServiceAccount"].ready(w, c)
				c.Prefer = prefer
				if !prefer.Async || !prefer.Until.IsZero() {
					w.fail(waiting, iam.Errorf(iam.Unconfirmed, "held back"))
				}
				done, err := revoke(t.Context(), c)
				if prefer.Async && err != nil || !prefer.Async && !errors.Is(err, iam.Unconfirmed) {
					t.Errorf("got error %v", err)
				}
				if done.receipt.Confirmed || done.receipt.ID == "" {
					t.Errorf("got receipt %+v, want one that is not confirmed", done.receipt)
				}
				if row := w.becomes(c, done.receipt.ID); row.By != "acked" || row.Revision != done.receipt.Revision {
					t.Errorf("got row %+v, want it confirmed by all", row)
				}
			})
		})
	}
}

// becomes returns a receipt's row once it is confirmed.
func (w *world) becomes(c iam.Caller, id iam.ReceiptID) iam.Receipt {
	w.t.Helper()
	for begun := time.Now(); time.Since(begun) < 20*time.Second; {
		published := w.replica.Published()
		if err := w.WriteReceipts(w.t.Context()); err != nil {
			w.t.Fatalf("write receipts: %v", err)
		}
		if row := w.kept(c, id); row.Confirmed {
			return row
		}
		select {
		case <-published:
		case <-time.After(time.Millisecond):
		}
	}
	w.t.Fatalf("receipt %s is not confirmed", id)
	return iam.Receipt{}
}

// What is held back is not confirmed, whoever waits for it and whoever asks.
func TestNothingIsConfirmedThatIsHeldBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		stop := w.awaiting()
		c := w.holder(iam.Admin)
		revoke := changes()["RevokeServiceAccount"].ready(w, c)
		w.unfollow() // the replica stands still
		c.Prefer.Async = true
		done, err := revoke(t.Context(), c)
		if err != nil || done.receipt.Confirmed {
			t.Fatalf("got %+v, %v; want it unconfirmed", done.receipt, err)
		}
		for range 3 {
			begun := time.Now()
			got, err := w.Receipt(t.Context(), c, "-", done.receipt.ID)
			if err != nil || got.Confirmed || len(got.Nodes.Waiting) != 1 {
				t.Errorf("got %+v, %v; want it unconfirmed, waiting for the one node", got, err)
			}
			if took := time.Since(begun); took != 150*time.Millisecond {
				t.Errorf("the look took %v, want 150 ms", took)
			}
			if err := w.WriteReceipts(t.Context()); err != nil || w.kept(c, done.receipt.ID).Confirmed {
				t.Errorf("the row is confirmed, or %v", err)
			}
		}
		begun := time.Now()
		c.Prefer = iam.Preference{Until: begun.Add(4 * time.Second)}
		if got, err := w.Receipt(t.Context(), c, "-", done.receipt.ID); err != nil || got.Confirmed || time.Since(begun) != 4*time.Second {
			t.Errorf("after %v: got %+v, %v; want it unconfirmed after 4 s", time.Since(begun), got, err)
		}
		stop() // the process ends, and what it waits for is not true yet
		if err := w.WriteReceipts(t.Context()); err != nil || w.kept(c, done.receipt.ID).Confirmed {
			t.Errorf("after the end of the process the row is confirmed, or %v", err)
		}
		defer w.awaiting()()
		late, err := revoke(t.Context(), c)
		wantKind(t, err, iam.Unconfirmed)
		done.receipt = late.receipt
		w.follow()
		synctest.Wait()
		if err := w.WriteReceipts(t.Context()); err != nil || !w.kept(c, done.receipt.ID).Confirmed {
			t.Errorf("the node has it, and the row is not confirmed, or %v", err)
		}
	})
}

// Whoever prefers not to wait is not shown a value that does not work everywhere,
// when it is made or when it is asked for again.
func TestSecretsAreNotShownToThoseWhoDoNotWait(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		if !ch.shows {
			return
		}
		c, _ := w.admin(ch)
		call := ch.ready(w, c)
		c.Prefer.Async = true
		c.Idempotency = &iam.Idempotency{Scope: w.name("scope"), Key: "once"}
		for range 2 {
			w.fail(waiting, iam.Errorf(iam.Unconfirmed, "held back"))
			done, err := call(w.t.Context(), c)
			wantKind(w.t, err, iam.Unconfirmed)
			if !done.shown.IsZero() {
				w.t.Errorf("the secret was shown before the change was confirmed")
			}
		}
	})
}

func TestReceiptsWaitForTheStore(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c := w.holder(iam.Admin)
		done := w.succeed(changes()["RevokeServiceAccount"].ready(w, c), c)
		w.fail(beforeNote, iam.Errorf(iam.Unavailable, "the database is gone"))
		if err := w.WriteReceipts(t.Context()); !errors.Is(err, iam.Unavailable) {
			t.Errorf("got error %v, want %s", err, iam.Unavailable)
		}
		if err := w.WriteReceipts(t.Context()); err != nil || !w.kept(c, done.receipt.ID).Confirmed {
			t.Errorf("got error %v, or a row that is not confirmed", err)
		}
	})
}

func TestEachWaitIsHeardOfOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		var mu sync.Mutex // guards heard
		heard := map[string]int{}
		w.Waited = func(outcome string, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			heard[outcome]++
		}
		stop := w.awaiting()
		defer stop()
		c := w.holder(iam.Admin)
		ready := changes()["PauseServiceAccount"].ready
		plain, gone, late := ready(w, c), ready(w, c), ready(w, c)
		mu.Lock()
		clear(heard) // of what made all this ready
		mu.Unlock()
		w.succeed(plain, c)
		w.fail(waiting, iam.Errorf(iam.Unconfirmed, "held back"))
		left, err := gone(t.Context(), c)
		wantKind(t, err, iam.Unconfirmed)
		w.becomes(c, left.receipt.ID)
		c.Prefer.Async = true
		w.becomes(c, w.succeed(late, c).receipt.ID)
		mu.Lock()
		defer mu.Unlock()
		if want := map[string]int{"acked": 2, "unconfirmed": 1}; !maps.Equal(heard, want) {
			t.Errorf("got %v, want %v", heard, want)
		}
	})
}

// slow is a fence that confirms six seconds after a change, when the lease of a node
// that is silent has ended.
type slow struct{ begun int }

func (f *slow) Begin(seq int64) iam.Waiting {
	f.begun++
	return slowWait{seq, time.Now()}
}

type slowWait struct {
	seq   int64
	begun time.Time
}

func (w slowWait) Wait(ctx context.Context) (iam.Receipt, error) {
	r := iam.Receipt{Revision: w.seq, Nodes: iam.ReceiptNodes{Total: 2, Confirmed: 1}}
	select {
	case <-time.After(time.Until(w.begun.Add(6 * time.Second))):
		r.Confirmed, r.By, r.Nodes.Expired, r.Took = true, iam.ByExpired, []string{"b"}, 6*time.Second
		return r, nil
	case <-ctx.Done():
		r.Took = time.Since(w.begun)
		r.Nodes.Waiting = []iam.WaitingNode{{Name: "b", LeaseLeft: 6*time.Second - r.Took}}
		return r, iam.Errorf(iam.Unconfirmed, "not yet")
	}
}

func (slowWait) Close() {}

// Whoever asks for a receipt in the process that made the change, and the process
// itself when its caller is gone, go on from the commit; another process begins anew.
func TestEveryoneWhoWaitsForAReceiptGoesOnFromTheCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		stop := w.awaiting()
		defer stop()
		c := w.holder(iam.Admin)
		revoke := changes()["RevokeServiceAccount"].ready(w, c)
		fence := new(slow)
		w.Fence = fence
		begun := time.Now()
		c.Prefer = iam.Preference{Until: begun.Add(4 * time.Second), Async: true}
		done, err := revoke(t.Context(), c)
		if err != nil || done.receipt.Took != 4*time.Second {
			t.Fatalf("the caller: got %+v, %v; want it unconfirmed after 4 s", done.receipt, err)
		}
		c.Prefer = iam.Preference{}
		for left := 1850 * time.Millisecond; left > time.Second; left -= 150 * time.Millisecond {
			got, err := w.Receipt(t.Context(), c, "-", done.receipt.ID)
			if err != nil || len(got.Nodes.Waiting) != 1 || got.Nodes.Waiting[0].LeaseLeft != left || got.Took != 6*time.Second-left {
				t.Fatalf("after %v: got %+v, %v; want it waited for %v more", time.Since(begun), got, err, left)
			}
		}
		other := w.restarted()
		if got, err := other.Receipt(t.Context(), c, "-", done.receipt.ID); err != nil || got.Nodes.Waiting[0].LeaseLeft != 5850*time.Millisecond {
			t.Errorf("another process: got %+v, %v; want it to begin anew", got, err)
		}
		c.Prefer.Until = begun.Add(time.Minute)
		got, err := w.Receipt(t.Context(), c, "-", done.receipt.ID)
		if err != nil || !got.Confirmed || got.Took != 6*time.Second || time.Since(begun) != 6*time.Second || got.Nodes.Total != 2 || len(got.Nodes.Expired) != 1 {
			t.Errorf("after %v: got %+v, %v; want it confirmed after 6 s, naming b", time.Since(begun), got, err)
		}
		synctest.Wait()
		if err := w.WriteReceipts(t.Context()); err != nil || text(w.kept(c, got.ID)) != text(got) {
			t.Errorf("got row %+v, %v, want %+v", w.kept(c, got.ID), err, got)
		}
		if fence.begun != 2 {
			t.Errorf("the two processes began %d times to wait", fence.begun)
		}
	})
}

// A receipt whose caller gave up after four seconds says how long it took from the commit.
func TestAReceiptSaysHowLongItTookFromTheCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		stop := w.awaiting()
		defer stop()
		c := w.holder(iam.Admin)
		revoke := changes()["RevokeServiceAccount"].ready(w, c)
		w.unfollow()
		begun := time.Now()
		c.Prefer.Until = begun.Add(4 * time.Second)
		go func() {
			time.Sleep(time.Second) // while it waits
			w.clock.advance(4 * time.Second)
		}()
		done, err := revoke(t.Context(), c)
		if err == nil {
			t.Fatal("confirmed")
		}
		synctest.Wait()
		w.follow()
		synctest.Wait()
		if err := w.WriteReceipts(context.Background()); err != nil {
			t.Fatal(err)
		}
		row := w.kept(c, done.receipt.ID)
		if !row.Confirmed || row.Took < 4*time.Second {
			t.Errorf("confirmed %t after %v in truth; the receipt says it took %v", row.Confirmed, time.Since(begun), row.Took)
		}
	})
}
