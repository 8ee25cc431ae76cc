package attacks_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/token"
)

var guessingAttacks = map[string]func(*testing.T, *world){
	"F02": whatIsThereReadsAsWhatIsNot,
	"F05": oneSpellingOfAKey,
	"F06": randomnessThatFails,
}

func whatIsThereReadsAsWhatIsNot(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	revoked := w.newKey("-", b.owner, bot)
	w.must("POST", in("-", "keys/"+revoked.str("id")+"/revoke"), b.owner, nil)
	paused := w.newKey("-", b.owner, bot)
	w.must("POST", in("-", "keys/"+paused.str("id")+"/pause"), b.owner, nil)
	elsewhere := w.newKey("-", b.owner, bot, body{"allowed_networks": []string{"203.0.113.0/24"}})
	unknown, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}

	// A credential that does not work, whatever the reason.
	want := w.call("GET", "/v1/whoami", unknown.Reveal(), nil)
	for name, value := range map[string]string{
		"revoked": revoked.str("value"), "paused": paused.str("value"), "from elsewhere": elsewhere.str("value"), "not a key": "x",
	} {
		got := w.call("GET", "/v1/whoami", value, nil)
		if got.status != want.status || got.same() != want.same() {
			t.Errorf("a key that is %s reads %d %s, an unknown one %d %s", name, got.status, got.text, want.status, want.text)
		}
	}

	// An invitation that does not work, whatever the reason.
	used := w.must("POST", in("-", "invitations"), b.owner, body{"email": "jo@acme.example", "role": "viewer"})
	w.accept(used.str("token"), "Jo")
	cancelled := w.must("POST", in("-", "invitations"), b.owner, body{"email": "al@acme.example", "role": "viewer"})
	w.must("DELETE", in("-", "invitations/"+cancelled.str("id")), b.owner, nil)
	none := w.call("POST", "/v1/invitations/accept", "", body{"token": "inv_" + strings.Repeat("0", 33), "name": "X"})
	for name, secret := range map[string]string{"used": used.str("token"), "cancelled": cancelled.str("token")} {
		got := w.call("POST", "/v1/invitations/accept", "", body{"token": secret, "name": "X"})
		if got.status != none.status || got.same() != none.same() {
			t.Errorf("an invitation that was %s reads %d %s, an unknown one %d %s", name, got.status, got.text, none.status, none.text)
		}
	}

	// To a verifier of another workspace, every key is one that does not exist.
	a := w.newTenant("other")
	mine := w.keyOf("-", a.owner, w.account("-", a.owner, "prober", "verifier"))
	nothing := w.must("POST", "/v1/verify", mine, body{"key": unknown.Reveal()})
	for _, value := range []string{revoked.str("value"), paused.str("value"), b.owner, "x"} {
		got := w.must("POST", "/v1/verify", mine, body{"key": value})
		if got.same() != nothing.same() {
			t.Errorf("a key of another workspace reads %s, an unknown one %s", got.text, nothing.text)
		}
	}
}

func oneSpellingOfAKey(t *testing.T, w *world) {
	value := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "operator"))
	try := func(spelling string) {
		if spelling == value {
			return
		}
		got := w.call("POST", "/v1/verify", w.prober, body{"key": spelling})
		if strings.Contains(spelling, "\x00") {
			w.wants(got, http.StatusUnprocessableEntity, "validation_failed") // no text of the API holds NUL
		} else if got.str("code") != "not_found" || got.at("valid") != false {
			t.Errorf("another spelling of a key reads %s", got.text)
		}
	}
	for i := range value {
		try(value[:i])                                        // truncated
		try(value[:i] + string(value[i]^1) + value[i+1:])     // a bit
		try(value[:i] + swapCase(value[i:i+1]) + value[i+1:]) // case
		try(value[:i] + value[i+1:])                          // left out
		try(value[:i] + value[i:i+1] + value[i:])             // doubled
		try(value[:i] + "\u0661" + value[i+1:])               // a digit of another script
	}
	for _, around := range []string{" ", "\t", "\n", "\x00", "\u00a0", "\u200b", "=", "A", "0", "_", "\"", "%20"} {
		try(around + value)
		try(value + around)
	}
	try(strings.ToLower(value))
	try(strings.ToUpper(value))
	try(strings.Replace(value, "pst_sa_", "pst_usr_", 1))
	try(strings.Replace(value, "pst_sa_", "psk_sa_", 1))
	try(strings.Replace(value, "pst_sa_", "pst_SA_", 1))
	try(strings.Replace(value, "pst_", "", 1))
	w.accepts(value)
}

func swapCase(s string) string {
	if up := strings.ToUpper(s); up != s {
		return up
	}
	return strings.ToLower(s)
}

// brokenRandomness gives a few bytes and then fails.
type brokenRandomness struct{ left int }

func (b *brokenRandomness) Read(p []byte) (int, error) {
	n := min(b.left, len(p))
	b.left -= n
	if n < len(p) {
		return n, errors.New("no randomness left")
	}
	return n, nil
}

func randomnessThatFails(t *testing.T, w *world) {
	bot := w.account("-", w.owner, "bot", "operator")
	before := w.must("GET", in("-", "keys"), w.owner, nil).text
	for _, left := range []int{0, 1, 32, 63} {
		w.service.Mint = token.Mint{Rand: &brokenRandomness{left: left}}
		for path, in1 := range map[string]body{
			"service_accounts/" + bot + "/keys": {"name": "weak"}, "me/keys": {"name": "weak"},
			"invitations": {"email": "jo@example.com", "role": "viewer"},
		} {
			a := w.call("POST", in("-", path), w.owner, in1)
			if a.status != http.StatusInternalServerError || strings.Contains(a.text, "randomness") {
				t.Errorf("with %d bytes of randomness %s answers %d %s", left, path, a.status, a.text)
			}
		}
	}
	w.service.Mint = token.Mint{}
	if after := w.must("GET", in("-", "keys"), w.owner, nil).text; after != before {
		t.Error("a key was made without randomness")
	}
	values := map[string]bool{}
	for range 2000 {
		secret, err := token.Mint{}.New(token.ServiceAccount)
		if err != nil || values[secret.Reveal()] {
			t.Fatalf("a key twice, or %v", err)
		}
		values[secret.Reveal()] = true
	}
}
