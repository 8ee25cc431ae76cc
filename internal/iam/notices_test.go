package iam_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

const day = 24 * time.Hour

// notices tells what the log says of the end of a key, with the days since began.
func (w *world) notices(of iam.KeyID) string {
	w.t.Helper()
	var said []string
	f := iam.EventFilter{Target: string(of), ActorType: audit.System}
	list, err := w.Store.Events(w.t.Context(), w.owner.Workspace.ID, f, iam.Page{Limit: 200, Sort: "seq"})
	if err != nil {
		w.t.Fatalf("read events: %v", err)
	}
	for _, e := range list.Items {
		words := fmt.Sprintf("%g %s", e.At.Sub(began).Hours()/24, strings.TrimPrefix(e.Action, "key."))
		if left := e.After["days_left"]; left != nil {
			words += fmt.Sprint(" ", left)
		}
		said = append(said, words)
	}
	return strings.Join(said, ", ")
}

func (w *world) notice() {
	w.t.Helper()
	if err := w.NoticeExpiries(w.t.Context(), "node-1"); err != nil {
		w.t.Fatalf("notice: %v", err)
	}
}

// passing lets days pass in steps, with a look after each.
func (w *world) passing(days int, step time.Duration) {
	w.t.Helper()
	for range int(time.Duration(days) * day / step) {
		w.clock.advance(step)
		w.notice()
	}
}

func endsIn(d time.Duration) iam.NewKey { return iam.NewKey{Expiry: &iam.Expiry{In: d}} }

func TestEndOfAKeyIsToldOfAheadAndOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.notice()
		account := w.account(iam.Viewer)
		long, _ := w.key(account, endsIn(40*day))
		month, _ := w.key(account, endsIn(30*day))
		short, _ := w.key(account, endsIn(time.Hour))
		forever, _ := w.key(account, iam.NewKey{Expiry: &iam.Expiry{}})
		w.passing(45, 6*time.Hour)
		for key, want := range map[iam.KeyID]string{
			long.ID:    "10 expiring 30, 26 expiring 14, 37 expiring 3, 39 expiring 1, 40 expired",
			month.ID:   "16 expiring 14, 27 expiring 3, 29 expiring 1, 30 expired", // who made it knew of the 30 days
			short.ID:   "0.25 expired",
			forever.ID: "",
		} {
			if got := w.notices(key); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		events := w.events(w.owner.Workspace.ID)
		e := events[len(events)-1]
		for _, e = range events {
			if e.Action == "key.expired" && e.Target.ID == string(long.ID) {
				break
			}
		}
		want := audit.Event{
			ID: e.ID, Seq: e.Seq, Workspace: string(w.owner.Workspace.ID), At: began.Add(40 * day),
			Actor: audit.Actor{Type: audit.System, ID: "system", Name: "expiry"}, Action: "key.expired", Outcome: audit.Done,
			Target: audit.Target{Type: "key", ID: string(long.ID), Name: long.Name}, Source: audit.Source{Node: "node-1"},
			After: audit.Fields{"principal": string(account.ID), "expires_at": "2026-04-10T09:00:00.000000Z"},
		}
		if text(e.Event) != text(want) {
			t.Errorf("got %s, want %s", text(e.Event), text(want))
		}
	})
}

func TestEndThatIsMovedIsToldOfAnew(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		key, _ := w.key(w.account(iam.Viewer), endsIn(4*day))
		w.passing(2, day)
		move := func(to time.Duration) {
			patch := iam.KeyPatch{Expiry: &iam.Expiry{At: began.Add(to)}}
			if _, err := w.UpdateKey(t.Context(), w.owner, "-", key.ID, patch); err != nil {
				t.Fatal(err)
			}
		}
		move(20 * day)
		w.passing(16, day)
		move(19*day + 12*time.Hour)
		w.passing(3, 12*time.Hour)
		const want = "1 expiring 3, 6 expiring 14, 17 expiring 3, 18.5 expiring 1, 19.5 expired"
		if got := w.notices(key.ID); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestNothingIsToldOfTheEndOfWhatHasEnded(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		account := w.account(iam.Viewer)
		revoked, _ := w.key(account, endsIn(2*day))
		_, member := w.member(iam.Viewer)
		of, _ := w.key(w.account(iam.Viewer), endsIn(2*day))
		paused, _ := w.key(account, endsIn(2*day))
		ctx := t.Context()
		_, err := w.RevokeKey(ctx, w.owner, "-", revoked.ID, iam.Why{})
		_, err2 := w.RevokeServiceAccount(ctx, w.owner, "-", string(of.Principal.ID), "")
		_, err3 := w.RemoveMember(ctx, w.owner, "-", member.Principal.ID)
		_, err4 := w.PauseKey(ctx, w.owner, "-", paused.ID, iam.Why{})
		if err := errors.Join(err, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		w.passing(3, 12*time.Hour)
		w.passing(100, 10*day)
		for name, key := range map[string]iam.KeyID{"revoked": revoked.ID, "of a revoked account": of.ID, "of a removed member": member.Key.ID} {
			if got := w.notices(key); got != "" {
				t.Errorf("%s: got %q, want nothing", name, got)
			}
		}
		if got := w.notices(paused.ID); got != "1 expiring 1, 2 expired" {
			t.Errorf("paused, which may be resumed: got %q", got)
		}
	})
}

// After an outage the last moment that passed is told of, not all of them.
func TestMomentsThatPassedMeanwhileAreToldOfOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.notice()
		key, _ := w.key(w.account(iam.Viewer), endsIn(40*day))
		soon, _ := w.key(w.account(iam.Viewer), endsIn(20*day))
		w.clock.advance(38 * day)
		w.passing(3, time.Hour)
		const want = "38.041666666666664 expiring 3, 39 expiring 1, 40 expired"
		if got := w.notices(key.ID); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := w.notices(soon.ID); got != "38.041666666666664 expired" {
			t.Errorf("of one that ended meanwhile: got %q", got)
		}
	})
}

// However many keys end together, no transaction is long, none is told of twice
// by nodes that look at once, and none is lost with a node that dies on the way.
func TestManyEndsAreToldOfInPagesByWhicheverNode(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		const many = 450
		w.notice()
		account := w.account(iam.Viewer)
		var all []iam.KeyID
		for range many {
			key, _ := w.key(account, endsIn(10*day))
			all = append(all, key.ID)
		}
		w.clock.advance(7 * day)
		broken := errors.New("the node dies")
		appended := 0
		w.each(func(name string) error {
			if name != "AppendEvent" {
				return nil
			}
			if appended++; appended > 250 {
				return broken
			}
			return nil
		})
		if err := w.NoticeExpiries(t.Context(), "node-1"); !errors.Is(err, broken) {
			t.Fatalf("got error %v, want that of the node", err)
		}
		w.each(nil)
		if told := w.told(all); told != 200 {
			t.Errorf("%d are told of after the first page, want 200", told)
		}
		var nodes sync.WaitGroup
		for i := range 3 {
			nodes.Go(func() {
				if err := w.NoticeExpiries(t.Context(), fmt.Sprint("node-", i)); err != nil {
					t.Error(err)
				}
			})
		}
		nodes.Wait()
		if told := w.told(all); told != many {
			t.Errorf("%d are told of, want %d", told, many)
		}
		for _, key := range all {
			if got := w.notices(key); got != "7 expiring 3" {
				t.Fatalf("%s: got %q, want one notice", key, got)
			}
		}
	})
}

// told counts the keys of which there is any notice.
func (w *world) told(all []iam.KeyID) (n int) {
	for _, key := range all {
		if w.notices(key) != "" {
			n++
		}
	}
	return n
}

// largest is a store that remembers the greatest number of events in one note.
type largest struct {
	iam.Store
	events int
}

func (l *largest) Note(ctx context.Context, fn func(iam.NoteTx) error) error {
	return l.Store.Note(ctx, func(tx iam.NoteTx) error {
		c := &counting{NoteTx: tx}
		err := fn(c)
		l.events = max(l.events, c.events)
		return err
	})
}

type counting struct {
	iam.NoteTx
	events int
}

func (c *counting) AppendEvent(ctx context.Context, e audit.Event) error {
	c.events++
	return c.NoteTx.AppendEvent(ctx, e)
}

func TestNoTransactionTellsOfMoreThanAPage(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		account := w.account(iam.Viewer)
		for range 230 {
			w.key(account, endsIn(2*day))
		}
		w.clock.advance(day)
		watched := &largest{Store: w.Store}
		w.Service = &iam.Service{Store: watched, Now: w.clock.now}
		w.notice()
		if watched.events != 200 {
			t.Errorf("one transaction told of %d, want 200 at most, and that many", watched.events)
		}
	})
}
