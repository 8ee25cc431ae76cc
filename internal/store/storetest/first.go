package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// firsts are about what a change reads first.
var firsts = []contract{
	{"WhatIsReadFirstIsWhatIsThere", testFound},
	{"WhatIsNotThereIsNotFoundFirst", testNothingFound},
	{"WhatIsReadFirstIsReadAfterTheNumber", testFirstLostUpdate},
	{"WhatIsReadFirstIsCountedAtTheTimeOfTheChange", testCountedFirst},
	{"WhatWasReadFirstIsChangedLikeTheRest", testFoundUpdated},
	{"EventsHaveNoGapHoweverManyAChangeHas", testNumbersAhead},
	{"ReplaysAreKeptForTheirWindow", testReplays},
	{"WhatWasDoneIsNotForgottenForARefusal", testReplayRace},
}

// found returns what a change that reads first finds.
func found(t *testing.T, s iam.Store, first iam.First) (found iam.Found) {
	t.Helper()
	_, err := s.Change(t.Context(), first, func(tx iam.Tx) (iam.Change, error) {
		found = tx.Found()
		return iam.Change{}, nil
	})
	if err != nil {
		t.Fatalf("change that reads %+v first: %v", first, err)
	}
	return found
}

func testFound(t *testing.T, open Open) {
	w := newWorld(t, open)
	key := must[iam.Key](t, "key")(w.s.Key(t.Context(), w.ws.ID, w.key.ID))
	for _, ref := range []string{string(w.account.ID), w.account.Name, string(w.member.ID)} {
		principal := must[iam.Principal](t, ref)(w.s.Principal(t.Context(), w.ws.ID, ref))
		got := found(t, w.s, iam.First{Workspace: w.ws.ID, Key: w.key.ID, Principal: ref})
		equal(t, ref, got, iam.Found{Key: &key, Workspace: &w.ws, Principal: &principal})
	}
	equal(t, "the key that is changed", found(t, w.s, iam.First{Workspace: w.ws.ID, Target: w.key.ID}), iam.Found{Target: &key})
	for _, ref := range []string{string(w.account.ID), w.account.Name} {
		account := must[iam.ServiceAccount](t, ref)(w.s.ServiceAccount(t.Context(), w.ws.ID, ref))
		equal(t, ref+", which is changed", found(t, w.s, iam.First{Workspace: w.ws.ID, Account: ref}), iam.Found{Account: &account})
	}
}

// Keys that are over by the time of the change do not count as usable in it,
// although that time is known only when its first statement has run.
func testCountedFirst(t *testing.T, open Open) {
	now := epoch
	w := newWorld(t, func(t *testing.T, _ func() time.Time) iam.Store { return open(t, func() time.Time { return now }) })
	brief := w.newKey("brief")
	brief.ExpiresAt = epoch.Add(time.Hour)
	w.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), brief) })
	for _, c := range []struct {
		at   time.Time
		want int64
	}{{epoch.Add(time.Hour - time.Second), 2}, {epoch.Add(time.Hour), 1}} {
		now = c.at
		got := found(t, w.s, iam.First{Workspace: w.ws.ID, Account: w.account.Name}).Account.Keys
		equal(t, c.at.String(), got, iam.KeyCounts{Active: c.want, Total: 2})
	}
}

// What was read first is changed like anything else, and what was not is not there.
func testFoundUpdated(t *testing.T, open Open) {
	w := newWorld(t, open)
	first := iam.First{Workspace: w.ws.ID, Target: w.key.ID, Account: w.account.Name}
	_, err := w.s.Change(t.Context(), first, func(tx iam.Tx) (iam.Change, error) {
		key, account := *tx.Found().Target, *tx.Found().Account
		key.Name, account.Description = "renamed", "described anew"
		return iam.Change{}, errors.Join(tx.UpdateKey(t.Context(), key), tx.UpdateServiceAccount(t.Context(), account))
	})
	if err != nil {
		t.Fatal(err)
	}
	got := found(t, w.s, first)
	equal(t, "texts", []string{got.Target.Name, got.Account.Description}, []string{"renamed", "described anew"})
	_, err = w.s.Change(t.Context(), first, func(tx iam.Tx) (iam.Change, error) {
		key := *tx.Found().Target
		key.ID = iam.KeyID(iam.NewID(iam.KeyPrefix, epoch))
		return iam.Change{}, tx.UpdateKey(t.Context(), key)
	})
	if !errors.Is(err, iam.NotFound) {
		t.Errorf("a key that is not there was changed: %v, want %v", err, iam.NotFound)
	}
}

func testNothingFound(t *testing.T, open Open) {
	w := newWorld(t, open)
	other, role, member := w.workspace("other")
	other.Version = w.change(func(tx iam.Tx) error { return w.insertWorkspace(tx, other, role, member) }).Seq
	for what, first := range map[string]iam.First{
		"nothing asked for":   {Workspace: w.ws.ID},
		"another workspace's": {Workspace: w.ws.ID, Principal: string(member.ID)},
		"unknown":             {Workspace: w.ws.ID, Principal: "nobody", Replay: &iam.Idempotency{Scope: "s", Key: "k"}},
		"a member by name":    {Workspace: w.ws.ID, Principal: w.member.Name},
		"a member's account":  {Workspace: w.ws.ID, Account: string(w.member.ID)},
		"another's key":       {Workspace: other.ID, Target: w.key.ID, Maker: true},
		"another's account":   {Workspace: other.ID, Account: w.account.Name},
		"text never to be kept": {
			Workspace: "\xff", Key: "\x00", Principal: "\x00", Target: "\x00", Maker: true, Account: "\xff", Replay: &iam.Idempotency{Key: "\xff"},
		},
	} {
		equal(t, what, found(t, w.s, first), iam.Found{})
	}
	got := found(t, w.s, iam.First{Workspace: other.ID, Key: w.key.ID, Principal: w.account.Name})
	equal(t, "from another workspace", got, iam.Found{Workspace: &other})
}

// What decides is read when all earlier changes are done, however many wait.
func testFirstLostUpdate(t *testing.T, open Open) {
	const writers, each = 4, 10
	w := newWorld(t, open)
	name := w.key.Name
	first := iam.First{Workspace: w.ws.ID, Key: w.key.ID}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				_, err := w.s.Change(t.Context(), first, func(tx iam.Tx) (iam.Change, error) {
					key := *tx.Found().Key
					key.Name += "."
					return iam.Change{}, tx.UpdateKey(t.Context(), key)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := must[iam.Key](t, "key")(w.s.Key(t.Context(), w.ws.ID, w.key.ID)).Name
	if len(got)-len(name) != writers*each {
		t.Errorf("%d additions are there, want %d", len(got)-len(name), writers*each)
	}
}

// The number of one event of the caller's workspace is taken along with what is
// read first, and there may be none, many, or those of another workspace.
func testNumbersAhead(t *testing.T, open Open) {
	w := newWorld(t, open)
	other, role, member := w.workspace("other")
	w.change(func(tx iam.Tx) error { return w.insertWorkspace(tx, other, role, member) })
	first, appended := iam.First{Workspace: w.ws.ID, Key: w.key.ID}, 0
	for _, events := range []struct{ own, others int }{{0, 0}, {1, 0}, {3, 0}, {0, 2}, {2, 1}, {1, 1}, {70, 0}} {
		_, err := w.s.Change(t.Context(), first, func(tx iam.Tx) (iam.Change, error) {
			for range events.others {
				e := w.newEvent("key.created")
				e.Workspace = string(other.ID)
				if err := tx.AppendEvent(t.Context(), e); err != nil {
					return iam.Change{}, err
				}
			}
			for n := range events.own {
				if err := tx.AppendEvent(t.Context(), w.newEvent("key.created")); err != nil {
					return iam.Change{}, err
				}
				if n == 0 { // which sends what waits
					if _, err := tx.Workspace(t.Context(), w.ws.Slug); err != nil {
						return iam.Change{}, err
					}
				}
			}
			return iam.Change{}, nil
		})
		if err != nil {
			t.Fatalf("%+v: %v", events, err)
		}
		appended += events.own
		w.eventsHaveNoGap(appended)
	}
	w.ws = other
	w.eventsHaveNoGap(4)
}

func testReplays(t *testing.T, open Open) {
	now := epoch
	s := open(t, func() time.Time { return now })
	want := iam.Replay{
		Scope: "key_1 POST /v1/x", Key: "retry-1", Body: [32]byte{1, 2, 3}, Kind: iam.NotFound, Result: `{"a":1}`, Object: "key_2",
		Revision: 3, At: epoch,
	}
	full(t, want)
	replay := func(scope, key string) *iam.Replay {
		return found(t, s, iam.First{Replay: &iam.Idempotency{Scope: scope, Key: key}}).Replay
	}
	note(t, s, func(tx iam.NoteTx) error { return tx.Remember(t.Context(), want) })
	equal(t, "outcome", replay(want.Scope, want.Key), &want)
	for _, other := range [][2]string{{want.Scope, "retry-2"}, {"key_2 POST /v1/x", want.Key}} {
		if got := replay(other[0], other[1]); got != nil {
			t.Errorf("outcome of another call %q: %v", other, got)
		}
	}
	now = epoch.Add(iam.ReplayWindow)
	if got := replay(want.Scope, want.Key); got != nil {
		t.Errorf("outcome after %v: %v", iam.ReplayWindow, got)
	}
	want.Body, want.At = [32]byte{4}, now
	change(t, s, func(tx iam.Tx) error { return tx.Remember(t.Context(), want) }) // the key may be used again
	equal(t, "second outcome", replay(want.Scope, want.Key), &want)
}

func testReplayRace(t *testing.T, open Open) {
	s := open(t, func() time.Time { return epoch })
	refused := iam.Replay{Scope: "s", Key: "k", Kind: iam.NotFound, Result: "{}", At: epoch}
	done := iam.Replay{Scope: "s", Key: "k", Result: `{"done":true}`, Revision: 1, At: epoch}
	for _, r := range []iam.Replay{refused, done, refused} {
		note(t, s, func(tx iam.NoteTx) error { return tx.Remember(t.Context(), r) })
	}
	equal(t, "outcome", found(t, s, iam.First{Replay: &iam.Idempotency{Scope: "s", Key: "k"}}).Replay, &done)
}
