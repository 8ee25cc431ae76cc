package iam_test

import (
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// family is a key, what was made with it, and what was made with that.
type family struct {
	root       iam.Caller
	account    iam.ServiceAccount // made with root
	key        iam.Caller         // of account, made with root
	grandchild iam.ServiceAccount // made with key
	last       iam.Caller         // of grandchild, made with key
	sibling    iam.Caller         // of account, made by somebody else
}

func (w *world) family() family {
	w.t.Helper()
	var f family
	f.root = w.holder(iam.Admin)
	with := w.by(f.root)
	f.account = with.account(iam.Admin)
	_, shown := with.key(f.account, iam.NewKey{})
	f.key = w.caller(shown)
	w.clock.advance(time.Second) // so that there is an older and a younger
	_, shown = w.key(f.account, iam.NewKey{})
	f.sibling = w.caller(shown)
	with = w.by(f.key)
	f.grandchild = with.account(iam.Viewer)
	_, shown = with.key(f.grandchild, iam.NewKey{})
	f.last = w.caller(shown)
	return f
}

// A revocation tells what was made with the key, and ends it only when asked.
func TestRevokingAKeyTellsWhatWasMadeWithIt(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		f := w.family()
		done := made(w.RevokeKey(t.Context(), w.owner, "-", f.root.Key.ID, iam.Why{Reason: "compromised"}))(t)
		keys := []iam.KeyID{done.Keys[0].ID, done.Keys[1].ID}
		accounts := []iam.PrincipalID{done.Accounts[0].ID, done.Accounts[1].ID}
		if !slices.Equal(keys, []iam.KeyID{f.key.Key.ID, f.last.Key.ID}) || !slices.Equal(accounts, []iam.PrincipalID{f.account.ID, f.grandchild.ID}) {
			t.Errorf("got keys %v and accounts %v, want %s, %s and %s, %s",
				keys, accounts, f.key.Key.ID, f.last.Key.ID, f.account.ID, f.grandchild.ID)
		}
		if w.works(f.root) || !w.works(f.key) || !w.works(f.last) {
			t.Errorf("the key works: %t, those made with it: %t, %t; want false, true, true", w.works(f.root), w.works(f.key), w.works(f.last))
		}
	})
}

// With its descendants all end in one revision, each with an event, and each
// counted once.
func TestRevokingAKeyWithItsDescendantsEndsThemAll(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		f := w.family()
		head := w.head()
		var done iam.Done[iam.RevokedKey]
		var err error
		events := w.since(func() {
			done, err = w.RevokeKey(t.Context(), w.owner, "-", f.root.Key.ID, iam.Why{Reason: "compromised", Note: "seen in a log", Descendants: true})
		})
		if err != nil {
			t.Fatalf("revoke: %v", err)
		}
		if got := w.head(); got != head+1 {
			t.Errorf("got revision %d, want %d", got, head+1)
		}
		for name, c := range map[string]iam.Caller{"root": f.root, "key": f.key, "last": f.last, "sibling": f.sibling} {
			if w.works(c) {
				t.Errorf("the key %s works", name)
			}
		}
		want := map[string]string{
			string(f.root.Key.ID): "key.revoked", string(f.key.Key.ID): "key.revoked", string(f.last.Key.ID): "key.revoked",
			string(f.account.ID): "service_account.revoked", string(f.grandchild.ID): "service_account.revoked",
		}
		for _, e := range events {
			if want[e.Target.ID] != e.Action || e.Reason != "compromised: seen in a log" {
				t.Errorf("got %s of %s for %q, want one of %v for the reason given", e.Action, e.Target.ID, e.Reason, want)
			}
			delete(want, e.Target.ID)
		}
		if len(want) > 0 {
			t.Errorf("these have no event: %v", want)
		}
		if got := done.Receipt.KeysStopped; got != 4 {
			t.Errorf("got %d keys stopped, want 4: the root, two made with it, and one of an account made with it", got)
		}
	})
}

func TestDescendantsTakeThePermissionForThem(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		f := w.family()
		c := w.holding("iam.keys:write")
		var err error
		changes := w.changed(func() {
			_, err = w.RevokeKey(t.Context(), c, "-", f.root.Key.ID, iam.Why{Descendants: true})
		})
		wantDenied(t, err, "iam.service_accounts:write")
		wantNothing(t, changes)
		made(w.RevokeKey(t.Context(), c, "-", f.root.Key.ID, iam.Why{}))(t)
	})
}

// Who holds nothing but a key can stop it, and learns nothing of what it made.
func TestKeyStopsItselfAndLearnsNothingOfOthers(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		f := w.family()
		done := made(w.RevokeSelf(t.Context(), f.root, iam.Why{Descendants: true}))(t)
		if done.Key.ID != f.root.Key.ID || done.Keys != nil || done.Accounts != nil {
			t.Errorf("got %+v, want the key alone", done)
		}
		if w.works(f.root) || !w.works(f.key) {
			t.Errorf("the key works: %t, the one made with it: %t; want false, true", w.works(f.root), w.works(f.key))
		}
	})
}
