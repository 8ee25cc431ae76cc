package iam_test

import (
	"testing"

	"github.com/posternhq/postern/internal/iam"
)

// A receipt counts the keys that worked until then, by one rule for all that stops
// them.
func TestKeyOfAPausedAccountHasStoppedAlready(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		account := w.account(iam.Viewer)
		k, _ := w.key(account, iam.NewKey{Name: "prod"})
		made(w.PauseServiceAccount(t.Context(), w.owner, "-", string(account.ID), ""))(t)
		done, err := w.RevokeKey(t.Context(), w.owner, "-", k.ID, iam.Why{})
		if err != nil || done.Receipt.KeysStopped != 0 {
			t.Errorf("got %d keys stopped, %v; want none: its account was paused", done.Receipt.KeysStopped, err)
		}
	})
}
