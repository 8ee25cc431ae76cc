package attacks_test

import (
	"net/http"
	"sync"
	"testing"
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
			w.wants(w.call("POST", in("-", "service_accounts/"+name+"/keys"), w.owner, body{"name": "late"}), http.StatusConflict, "principal_inactive")
		case http.StatusConflict:
			refused++
		default:
			t.Errorf("a key made while its account is revoked: %d %s", created.status, created.text)
		}
	}
	w.account("-", w.owner, "overtaken", "operator")
	late := w.overtake(
		func() answer {
			return w.call("POST", in("-", "service_accounts/overtaken/keys"), w.owner, body{"name": "late"})
		},
		func() answer { return w.call("POST", in("-", "service_accounts/overtaken/revoke"), w.owner, nil) })
	w.wants(late, http.StatusConflict, "principal_inactive")
	t.Logf("%d keys were made before the revocation, %d were refused after", made, refused)
}

func aKeyThatMintsWhileItIsRevoked(t *testing.T, w *world) {
	loops := 15
	if testing.Short() {
		loops = 3
	}
	children := 0
	for i := range loops {
		name := "attacker-" + itoa(i)
		w.account("-", w.owner, name, "admin")
		value := w.keyOf("-", w.owner, name)
		key := w.idOf(value)
		minted := w.mintUntilRefused(name, value)
		a := w.must("POST", in("-", "keys/"+key+"/revoke"), w.owner, body{"reason": "compromised", "descendants": true})
		keys := minted()
		w.refuses(value, "revoked")
		for _, child := range keys {
			w.refuses(w.values.plant(child), "revoked")
		}
		if listed := len(a.body["descendants"].([]any)); listed != len(keys) {
			t.Errorf("%d keys were minted, the revocation knows of %d", len(keys), listed)
		}
		if a := w.call("POST", in("-", "service_accounts/"+name+"/keys"), value, body{"name": "after"}); a.status != http.StatusUnauthorized {
			t.Errorf("a revoked key mints: %d", a.status)
		}
		children += len(keys)
	}
	if children == 0 {
		t.Error("nothing was minted before a revocation: the test is blind")
	}
	w.account("-", w.owner, "overtaken", "admin")
	value := w.keyOf("-", w.owner, "overtaken")
	revoke := in("-", "keys/"+w.idOf(value)+"/revoke")
	late := w.overtake(
		func() answer {
			return w.call("POST", in("-", "service_accounts/overtaken/keys"), value, body{"name": "late"})
		},
		func() answer { return w.call("POST", revoke, w.owner, nil) })
	w.wants(late, http.StatusUnauthorized, "unauthenticated")
}

// mintUntilRefused lets several make keys with a key, of which it waits for the
// first. The function that it returns waits for the end, and returns all.
func (w *world) mintUntilRefused(account, value string) (all func() []string) {
	var minting sync.WaitGroup
	const workers = 4
	minted, begun := make(chan string, 10_000), make(chan bool, 2*workers)
	for worker := range workers {
		minting.Go(func() {
			defer func() { begun <- true }()
			for n := 0; ; n++ {
				a := w.call("POST", in("-", "service_accounts/"+account+"/keys"), value, body{"name": "k-" + itoa(worker) + "-" + itoa(n)})
				if a.status != http.StatusCreated {
					return
				}
				minted <- a.str("value")
				if n == 0 {
					begun <- true
				}
			}
		})
	}
	<-begun
	return func() (values []string) {
		minting.Wait()
		close(minted)
		for v := range minted {
			values = append(values, v)
		}
		return values
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

	w.sameCallAtOnce(t)

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

// sameCallAtOnce makes one call many times at once: it is done once, and its value
// is shown once.
func (w *world) sameCallAtOnce(t *testing.T) {
	t.Helper()
	w.account("-", w.owner, "parallel", "operator")
	answers := make([]answer, 40)
	var together sync.WaitGroup
	for i := range answers {
		together.Go(func() {
			answers[i] = w.call("POST", in("-", "service_accounts/parallel/keys"), w.owner, body{"name": "once"}, "Idempotency-Key", "parallel")
		})
	}
	together.Wait()
	shown := 0
	for _, a := range answers {
		switch {
		case a.status == http.StatusCreated:
			shown++
			w.values.plant(a.str("value"))
		case a.status != http.StatusConflict || a.str("code") != "idempotency_in_progress" && a.str("code") != "value_already_issued":
			t.Errorf("one call, made %d times at once, answers %d %s", len(answers), a.status, a.text)
		}
	}
	if n := w.must("GET", in("-", "service_accounts/parallel"), w.owner, nil).at("keys.total"); n != float64(1) || shown != 1 {
		t.Errorf("one call, made %d times at once, made %v keys and showed %d values", len(answers), n, shown)
	}
}
