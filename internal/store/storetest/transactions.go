package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// transactions are whole or nothing, one after another.
var transactions = []contract{
	{"AFailedChangeLeavesNothing", testFailedChange},
	{"APanicLeavesNothing", testPanic},
	{"ACancelledContextLeavesNothing", testCancelled},
	{"AnEmptyChangeTakesANumber", testEmptyChange},
	{"ReadsSeeTheTransactionsOwnWrites", testOwnWrites},
	{"OthersSeeNothingBeforeTheEnd", testIsolation},
	{"ConcurrentChangesLeaveNoGap", testConcurrentChanges},
	{"EachChangeSeesAllEarlierOnes", testLostUpdate},
	{"TimeNeverGoesBack", testTime},
	{"ANoteTakesNoNumber", testNote},
	{"AFailedNoteLeavesNothing", testFailedNote},
}

// unchanged fails the test if the store holds more than a fresh world.
func (w *world) unchanged() {
	w.t.Helper()
	changes := must[[]iam.Change](w.t, "changes")(changesOf(w.t, w.s))
	if len(changes) != 1 {
		w.t.Errorf("%d changes, want the first alone", len(changes))
	}
	_, err := w.s.ServiceAccount(w.t.Context(), w.ws.ID, "new")
	isKind(w.t, "what was inserted", err, iam.NotFound)
	list, err := w.s.Events(w.t.Context(), w.ws.ID, iam.EventFilter{}, iam.Page{Limit: 1})
	if err != nil || len(list.Items) != 0 {
		w.t.Errorf("events: %v, %v; want none", list.Items, err)
	}
	if commit := w.change(func(iam.Tx) error { return nil }); commit.Seq != 2 {
		w.t.Errorf("the next change has number %d, want 2", commit.Seq)
	}
}

// write writes something of everything, and sends it.
func (w *world) write(tx iam.Tx) error {
	err := errors.Join(
		tx.InsertServiceAccount(w.t.Context(), w.newAccount("new")),
		tx.AppendEvent(w.t.Context(), w.newEvent("service_account.created")),
	)
	if err != nil {
		return err
	}
	_, err = tx.ServiceAccount(w.t.Context(), w.ws.ID, "new")
	return err
}

func testFailedChange(t *testing.T, open Open) {
	w, boom := newWorld(t, open), errors.New("boom")
	_, err := tryChange(t, w.s, func(tx iam.Tx) error { return errors.Join(w.write(tx), boom) })
	if !errors.Is(err, boom) {
		t.Errorf("error %v, want fn's own", err)
	}
	w.unchanged()
}

func testPanic(t *testing.T, open Open) {
	w := newWorld(t, open)
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v, want fn's panic", p)
			}
		}()
		_, _ = tryChange(t, w.s, func(tx iam.Tx) error {
			if err := w.write(tx); err != nil {
				return err
			}
			panic("boom")
		})
	}()
	w.unchanged()
}

func testCancelled(t *testing.T, open Open) {
	w := newWorld(t, open)
	for what, early := range map[string]bool{"before": true, "inside": false} {
		ctx, cancel := context.WithCancel(t.Context())
		if early {
			cancel()
		}
		_, err := w.s.Change(ctx, iam.First{}, func(tx iam.Tx) (iam.Change, error) {
			err := w.write(tx)
			cancel()
			return iam.Change{}, err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled %s: error %v, want context.Canceled", what, err)
		}
	}
	w.unchanged()
}

func testEmptyChange(t *testing.T, open Open) {
	s := open(t, nil)
	for want := range int64(3) {
		if commit := change(t, s, func(iam.Tx) error { return nil }); commit.Seq != want+1 {
			t.Errorf("number %d, want %d", commit.Seq, want+1)
		}
	}
	if changes := must[[]iam.Change](t, "changes")(changesOf(t, s)); len(changes) != 3 {
		t.Errorf("%d changes, want 3", len(changes))
	}
}

func testOwnWrites(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.change(func(tx iam.Tx) error {
		a, e := w.newAccount("new"), w.newEvent("service_account.created")
		e.Target.ID = string(a.ID)
		if err := errors.Join(tx.InsertServiceAccount(t.Context(), a), tx.AppendEvent(t.Context(), e)); err != nil {
			return err
		}
		a.Version = tx.Seq()
		equal(t, "account", must[iam.ServiceAccount](t, "account")(tx.ServiceAccount(t.Context(), w.ws.ID, "new")), a)
		about, err := tx.EventsAbout(t.Context(), w.ws.ID, string(a.ID), tx.Seq()-1)
		if err != nil || len(about) != 1 || about[0].ID != e.ID {
			t.Errorf("events about the account: %v, %v; want the one", about, err)
		}
		return nil
	})
}

func testIsolation(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.change(func(tx iam.Tx) error {
		if err := w.write(tx); err != nil {
			return err
		}
		_, err := w.s.ServiceAccount(t.Context(), w.ws.ID, "new")
		isKind(t, "from outside, before the end", err, iam.NotFound)
		return nil
	})
	if _, err := w.s.ServiceAccount(t.Context(), w.ws.ID, "new"); err != nil {
		t.Errorf("from outside, after the end: %v", err)
	}
}

// The heart of strict revocation: whatever the writers do, readers of the log see
// every number once and in order, and each workspace's events too.
func testConcurrentChanges(t *testing.T, open Open) {
	const writers, each = 8, 12
	w := newWorld(t, open)
	var mu sync.Mutex // guards made, of w
	event := func() (e2 iam.AuditEvent) {
		mu.Lock()
		defer mu.Unlock()
		return iam.AuditEvent{Event: w.newEvent("key.created")}
	}
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				if i%4 == 0 { // refused attempts
					if err := w.s.Note(t.Context(), func(tx iam.NoteTx) error { return tx.AppendEvent(t.Context(), event().Event) }); err != nil {
						t.Error(err)
					}
					continue
				}
				_, err := w.s.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
					if err := tx.AppendEvent(t.Context(), event().Event); err != nil {
						return iam.Change{}, err
					}
					if j%4 == 3 { // and failures in between
						return iam.Change{}, boom
					}
					return iam.Change{}, nil
				})
				if err != nil && !errors.Is(err, boom) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	changes := must[[]iam.Change](t, "changes")(changesOf(t, w.s))
	if want := 1 + writers*3/4*each*3/4; len(changes) != want {
		t.Errorf("%d changes, want %d", len(changes), want)
	}
	for i, c := range changes {
		if c.Seq != int64(i+1) {
			t.Fatalf("change %d has number %d", i+1, c.Seq)
		}
	}
	w.eventsHaveNoGap(writers/4*each + writers*3/4*each*3/4)
}

func (w *world) eventsHaveNoGap(want int) {
	w.t.Helper()
	got := pages(w.t, 200, func(p iam.Page) (iam.List[iam.AuditEvent], error) {
		p.Sort = "seq"
		return w.s.Events(w.t.Context(), w.ws.ID, iam.EventFilter{}, p)
	})
	if len(got) != want {
		w.t.Errorf("%d events, want %d", len(got), want)
	}
	for i, e := range got {
		if e.Seq != int64(i+1) {
			w.t.Fatalf("event %d has number %d", i+1, e.Seq)
		}
	}
	if n := len(strings.Fields(w.found(iam.EventFilter{Query: "creat"}))); n != want {
		w.t.Errorf("%d events are found by their word, want %d", n, want)
	}
}

// Each change reads what the one before wrote, and adds to it.
func testLostUpdate(t *testing.T, open Open) {
	const writers, each = 4, 10
	w := newWorld(t, open)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				_, err := tryChange(t, w.s, func(tx iam.Tx) error {
					a, err := tx.ServiceAccount(t.Context(), w.ws.ID, w.account.Name)
					if err != nil {
						return err
					}
					a.Description += "."
					return tx.UpdateServiceAccount(t.Context(), a)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := must[iam.ServiceAccount](t, "account")(w.s.ServiceAccount(t.Context(), w.ws.ID, w.account.Name))
	if len(got.Description) != writers*each {
		t.Errorf("%d additions are there, want %d", len(got.Description), writers*each)
	}
}

func testTime(t *testing.T, open Open) {
	now := epoch.Add(time.Hour)
	s := open(t, func() time.Time { return now })
	equal(t, "first", change(t, s, func(iam.Tx) error { return nil }).Time, epoch.Add(time.Hour))
	now = epoch // the clock is set back
	equal(t, "change", change(t, s, func(tx iam.Tx) error {
		equal(t, "inside", tx.Now(), epoch.Add(time.Hour))
		return nil
	}).Time, epoch.Add(time.Hour))
	note(t, s, func(tx iam.NoteTx) error {
		equal(t, "note", tx.Now(), epoch.Add(time.Hour))
		return nil
	})
	now = epoch.Add(2 * time.Hour)
	commit := change(t, s, func(iam.Tx) error { return nil })
	equal(t, "the clock has caught up", commit.Time, now)
	_, at, err := s.Changes(t.Context(), iam.Position{}, 10)
	if err != nil || !at.Time.Equal(now) {
		t.Errorf("time in the log %v, %v; want %v", at.Time, err, now)
	}
}

func testNote(t *testing.T, open Open) {
	w := newWorld(t, open)
	e := w.newEvent("key.created")
	note(t, w.s, func(tx iam.NoteTx) error { return tx.AppendEvent(t.Context(), e) })
	e.Seq = 1
	got := must[iam.AuditEvent](t, "event")(w.s.Event(t.Context(), w.ws.ID, iam.EventID(e.ID)))
	equal(t, "event", got.Event, e)
	if commit := w.change(func(iam.Tx) error { return nil }); commit.Seq != 2 {
		t.Errorf("the change after the note has number %d, want 2", commit.Seq)
	}
	about, err := w.s.EventsAbout(t.Context(), w.ws.ID, e.Target.ID, 0)
	if err != nil || len(about) != 0 {
		t.Errorf("events that changed the key: %v, %v; want none", about, err)
	}
}

func testFailedNote(t *testing.T, open Open) {
	w, boom := newWorld(t, open), errors.New("boom")
	err := w.s.Note(t.Context(), func(tx iam.NoteTx) error {
		return errors.Join(tx.AppendEvent(t.Context(), w.newEvent("key.created")), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("error %v, want fn's own", err)
	}
	w.unchanged()
}
