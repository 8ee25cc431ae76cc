package attacks_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var raceAttacks = map[string]func(*testing.T, *world){
	"J02": makingAKeyWhileTheAccountIsRevoked,
	"J03": aKeyThatMintsWhileItIsRevoked,
	"J06": anIdempotencyKeyUsedAgain,
}

func makingAKeyWhileTheAccountIsRevoked(t *testing.T, w *world) {
	loops := 500
	if testing.Short() {
		loops = 10
	}
	made, refused := 0, 0
	for i := range loops {
		name := "bot-" + itoa(i)
		w.clock.advance(100 * time.Millisecond) // or the owner calls too often
		w.account("-", w.owner, name, "operator")
		var created answer
		var together sync.WaitGroup
		together.Go(func() {
			created = w.call("POST", in("-", "service_accounts/"+name+"/keys"), w.owner, body{"name": "racing"})
		})
		together.Go(func() { w.call("POST", in("-", "service_accounts/"+name+"/revoke"), w.owner, nil) })
		together.Wait()
		switch created.status {
		case http.StatusCreated:
			made++
			w.refuses(w.values.plant(created.str("value")), "principal_inactive")
		case http.StatusConflict:
			refused++
		default:
			t.Errorf("a key made while its account is revoked: %d %s", created.status, created.text)
		}
	}
	t.Logf("%d keys were made before the revocation, %d were refused after", made, refused)
}

func aKeyThatMintsWhileItIsRevoked(t *testing.T, w *world) {
	loops := 15
	if testing.Short() {
		loops = 3
	}
	for i := range loops {
		name := "attacker-" + itoa(i)
		w.account("-", w.owner, name, "admin")
		value := w.keyOf("-", w.owner, name)
		key := w.idOf(value)
		var over atomic.Bool
		var minted []string // by the attacker alone until it is waited for
		var attack sync.WaitGroup
		attack.Go(func() {
			for !over.Load() {
				a := w.call("POST", in("-", "service_accounts/"+name+"/keys"), value, body{"name": "k-" + itoa(len(minted))})
				if a.status != http.StatusCreated {
					return
				}
				minted = append(minted, a.str("value"))
			}
		})
		a := w.must("POST", in("-", "keys/"+key+"/revoke"), w.owner, body{"reason": "compromised", "descendants": true})
		over.Store(true)
		attack.Wait()
		w.refuses(value, "revoked")
		for _, child := range minted {
			w.refuses(w.values.plant(child), "revoked")
		}
		if listed := len(a.body["descendants"].([]any)); listed != len(minted) {
			t.Errorf("%d keys were minted, the revocation knows of %d", len(minted), listed)
		}
		if a := w.call("POST", in("-", "service_accounts/"+name+"/keys"), value, body{"name": "after"}); a.status != http.StatusUnauthorized {
			t.Errorf("a revoked key mints: %d", a.status)
		}
	}
}

func anIdempotencyKeyUsedAgain(t *testing.T, w *world) {
	bot := w.account("-", w.owner, "bot", "operator")
	path := in("-", "service_accounts/bot/keys")
	first := w.must("POST", path, w.owner, body{"name": "one"}, "Idempotency-Key", "k1")
	w.values.plant(first.str("value"))
	again := w.call("POST", path, w.owner, body{"name": "one"}, "Idempotency-Key", "k1")
	w.wants(again, http.StatusConflict, "value_already_issued")
	if again.str("id") != first.str("id") {
		t.Errorf("the replay names %s, the key is %s", again.str("id"), first.str("id"))
	}
	w.wants(w.call("POST", path, w.owner, body{"name": "two"}, "Idempotency-Key", "k1"), http.StatusUnprocessableEntity, "idempotency_key_reused")
	if n := w.must("GET", in("-", "service_accounts/"+bot), w.owner, nil).at("keys.total"); n != float64(1) {
		t.Errorf("the account has %v keys, want 1", n)
	}
	made := w.must("POST", in("-", "service_accounts"), w.owner, body{"name": "same", "role": "viewer"}, "Idempotency-Key", "k2")
	replayed := w.must("POST", in("-", "service_accounts"), w.owner, body{"name": "same", "role": "viewer"}, "Idempotency-Key", "k2")
	if replayed.str("id") != made.str("id") || replayed.status != made.status {
		t.Errorf("the replay is %d %s, the first answer was %d %s", replayed.status, replayed.text, made.status, made.text)
	}

	// Verify ignores it, so that no answer outlives a revocation.
	value := first.str("value")
	question := body{"key": value, "workspace": "any"}
	if got := w.must("POST", "/v1/verify", w.prober, question, "Idempotency-Key", "v").str("code"); got != "valid" {
		t.Fatalf("the key reads %s", got)
	}
	revoke := in("-", "keys/"+first.str("id")+"/revoke")
	w.must("POST", revoke, w.owner, nil, "Idempotency-Key", "r")
	if got := w.must("POST", "/v1/verify", w.prober, question, "Idempotency-Key", "v").str("code"); got != "revoked" {
		t.Errorf("the same verify after the revocation reads %s", got)
	}
	repeat := w.must("POST", revoke, w.owner, nil, "Idempotency-Key", "r")
	if repeat.at("receipt.confirmed") != true {
		t.Errorf("a repeated revoke answers %s", repeat.text)
	}

	// Whoever has lost the right to do it may not have it repeated.
	weak := w.account("-", w.owner, "weak", "admin")
	caller := w.keyOf("-", w.owner, weak)
	w.must("POST", in("-", "service_accounts"), caller, body{"name": "by-weak", "role": "viewer"}, "Idempotency-Key", "w")
	w.must("PATCH", in("-", "service_accounts/weak"), w.owner, body{"role": "viewer"})
	w.wants(w.call("POST", in("-", "service_accounts"), caller, body{"name": "by-weak", "role": "viewer"}, "Idempotency-Key", "w"), http.StatusForbidden, "permission_denied")
}
