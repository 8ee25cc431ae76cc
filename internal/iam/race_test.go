package iam_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// A key that is made while its account is revoked is not there, or does not
// work, once both calls have returned.
func TestAttackJ02KeyMadeWhileItsAccountIsRevokedNeverWorks(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		loops := 500
		if testing.Short() {
			loops = 25
		}
		var made, refused int
		for n := range loops {
			account := w.account(iam.Operator)
			create := func(ctx context.Context, c iam.Caller) (result, error) {
				return secret(w.CreateKey(ctx, c, "-", account.Name, iam.NewKey{Name: "late"}))
			}
			revoke := func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.RevokeServiceAccount(ctx, c, "-", account.Name, ""))
			}
			created, revoked := w.race(n, create, revoke)
			if revoked.err != nil {
				t.Fatalf("revoke: %v", revoked.err)
			}
			if created.err != nil {
				wantKind(t, created.err, iam.PrincipalInactive)
				refused++
				continue
			}
			if made++; w.verify(created.shown).Code != replica.PrincipalInactive {
				t.Fatalf("loop %d: the key is %s, want principal_inactive", n, w.verify(created.shown).Code)
			}
		}
		if made == 0 || refused == 0 {
			t.Errorf("got %d keys made before the revocation and %d refused after it, want some of each", made, refused)
		}
	})
}

// race makes two calls at once. The first two races have a winner each, so that
// both ends are seen.
func (w *world) race(n int, first, second call) (a, b outcome) {
	w.t.Helper()
	if n < 2 {
		ahead, late := first, second
		if n == 1 {
			ahead, late = second, first
		}
		there, release := w.hold(beforeChange)
		defer release()
		later := w.start(late, w.owner)
		reach(w.t, there, later)
		a = <-w.start(ahead, w.owner)
		release()
		if b = <-later; n == 1 {
			a, b = b, a
		}
		return a, b
	}
	one, other := w.start(first, w.owner), w.start(second, w.owner)
	return <-one, <-other
}

// Somebody who mints keys with a leaked key, and with those that they minted,
// holds nothing once the leaked one is revoked with all that was made with it.
func TestAttackJ03MintingKeysDoesNotOutliveTheRevocation(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		rounds := 10
		if testing.Short() {
			rounds = 2
		}
		for range rounds {
			leaked := w.holder(iam.Admin)
			m := &minters{w: w, held: []iam.Caller{leaked}, enough: make(chan struct{})}
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(m.mint)
			}
			<-m.enough
			gone, err := w.RevokeKey(t.Context(), w.owner, "-", leaked.Key.ID, iam.Why{Reason: "compromised", Descendants: true})
			if err != nil {
				t.Fatalf("revoke: %v", err)
			}
			at := gone.Revision
			for _, c := range m.all() {
				if w.works(c) {
					t.Errorf("a minted key works after the revocation has returned")
				}
			}
			wg.Wait()
			for _, key := range w.keys(w.owner.Workspace.ID) {
				if key.Version > at && key.CreatedByKey != w.owner.Key.ID {
					t.Errorf("key %s was made at revision %d, after the revocation at %d", key.ID, key.Version, at)
				}
			}
			for _, c := range m.all() {
				if w.works(c) {
					t.Errorf("a minted key works after everybody has stopped")
				}
			}
		}
	})
}

// minters make keys with keys, the first of which leaked.
type minters struct {
	w      *world
	enough chan struct{} // closed when there are a few

	mu   sync.Mutex // guards held
	held []iam.Caller
}

func (m *minters) all() []iam.Caller {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]iam.Caller(nil), m.held...)
}

// mint makes accounts and keys with any key that is held, until none works.
func (m *minters) mint() {
	ctx, w := m.w.t.Context(), m.w
	for {
		held := m.all()
		with := held[rand.IntN(len(held))]
		account, err := w.CreateServiceAccount(ctx, with, "-", iam.NewServiceAccount{Name: w.name("mint"), Role: iam.Admin})
		if err == nil {
			var shown token.Secret
			_, shown, err = w.CreateKey(ctx, with, "-", account.Value.Name, iam.NewKey{Name: w.name("mint")})
			m.keep(shown, err)
		}
		if errors.Is(err, iam.Unauthenticated) && !m.any() {
			return
		}
	}
}

// keep holds what was minted, when it still worked.
func (m *minters) keep(shown token.Secret, err error) {
	if err != nil {
		return
	}
	v := m.w.verify(shown)
	m.mu.Lock()
	defer m.mu.Unlock()
	c := v.Caller()
	c.Source = whence
	if m.held = append(m.held, c); len(m.held) == 10 {
		close(m.enough)
	}
}

// any reports whether a key that is held works.
func (m *minters) any() bool {
	for _, c := range m.all() {
		if m.w.works(c) {
			return true
		}
	}
	return false
}
