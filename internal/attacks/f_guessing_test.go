package attacks_test

import (
	"crypto/rand"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/token"
)

var guessingAttacks = map[string]func(*testing.T, *world){
	"F01": nearMissesReadAsUnknown,
	"F02": whatIsThereReadsAsWhatIsNot,
	"F05": oneSpellingOfAKey,
	"F06": randomnessThatFails,
}

// nearMissesReadAsUnknown shows every door texts that begin as a key does which works,
// with a checksum that fits. That the time says as little is for BenchmarkNearMiss in
// internal/replica: here it would depend on what else the machine does.
func nearMissesReadAsUnknown(t *testing.T, w *world) {
	known := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "viewer"))
	secret, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	unknown := secret.Reveal()
	doors := map[string]func(key string) answer{
		"whoami": func(key string) answer { return w.call("GET", "/v1/whoami", key, nil) },
		"verify": func(key string) answer { return w.call("POST", "/v1/verify", w.prober, body{"key": key}) },
		"batch": func(key string) answer {
			return w.call("POST", "/v1/verify/batch", w.prober, body{"items": []body{{"key": key}}})
		},
		"gateway": func(key string) answer { return w.proxied(key, "permission=none") },
	}
	for name, ask := range doors {
		want := ask(unknown)
		if name != "verify" && name != "batch" && want.status != http.StatusUnauthorized {
			t.Fatalf("%s: an unknown key reads %d", name, want.status)
		}
		for n := len("pst_sa_"); n < len(known)-6; n++ {
			near := fitting(known[:n] + unknown[n:len(unknown)-6])
			if near == known {
				continue
			}
			if got := ask(near); got.status != want.status || timeless(got) != timeless(want) || len(got.header) != len(want.header) {
				t.Errorf("%s: a key of which the first %d characters are right reads %d %s, an unknown one %d %s", name, n, got.status, got.text, want.status, want.text)
			}
		}
	}
}

// freshFor is for how long a verdict may be kept, which is another each time.
var freshFor = regexp.MustCompile(`"fresh_for_ms":\d+`)

func timeless(a answer) string { return freshFor.ReplaceAllString(a.same(), "") }

// fitting returns the text of a key with the checksum that fits it.
func fitting(text string) string {
	sum, digits := crc32.ChecksumIEEE([]byte(text)), [6]byte{}
	for i := range digits {
		digits[len(digits)-1-i] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[sum%62]
		sum /= 62
	}
	return text + string(digits[:])
}

func whatIsThereReadsAsWhatIsNot(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	revoked := w.newKey("-", b.owner, bot)
	w.must("POST", in("-", "keys/"+revoked.str("id")+"/revoke"), b.owner, nil)
	paused := w.newKey("-", b.owner, bot)
	w.must("POST", in("-", "keys/"+paused.str("id")+"/pause"), b.owner, nil)
	elsewhere := w.newKey("-", b.owner, bot, body{"allowed_networks": []string{"203.0.113.0/24"}})
	expired := w.newKey("-", b.owner, bot, body{"expires_in": "1s"})
	ended := w.newKey("-", b.owner, w.account("-", b.owner, "ended", "operator"))
	w.must("POST", in("-", "service_accounts/ended/revoke"), b.owner, nil)
	removed, removedID := w.member("-", b.owner, "gone@acme.example", "viewer")
	w.must("DELETE", in("-", "members/"+removedID), b.owner, nil)
	closed := w.newTenant("closed")
	w.must("POST", "/v1/workspaces/closed/pause", w.owner, nil)
	w.clock.advance(time.Second)
	secret, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	unknown := secret.Reveal()

	keysThatDoNotWorkReadAlike(t, w, unknown, "keys/"+revoked.str("id"), map[string]string{
		"revoked": revoked.str("value"), "paused": paused.str("value"), "from elsewhere": elsewhere.str("value"), "not a key": "x",
		"expired": expired.str("value"), "of an account that ended": ended.str("value"), "of a removed member": removed,
		"of a paused workspace": closed.owner, "with another checksum": unknown[:len(unknown)-1] + "-",
	})
	unending := w.keyOf("-", b.owner, w.account("-", b.owner, "admin", "admin"), body{"expires_at": nil})
	invitationsThatDoNotWorkReadAlike(t, w, b, revoked.str("value"))
	keysOfAnotherWorkspaceDoNotExist(t, w, unknown, revoked.str("value"), paused.str("value"), unending, "x")
}

// keysThatDoNotWorkReadAlike presents credentials that do not work, named for
// why, at paths of what is there.
func keysThatDoNotWorkReadAlike(t *testing.T, w *world, unknown, there string, presented map[string]string) {
	for name, value := range presented {
		for _, path := range []string{"/v1/whoami", "/v1/workspaces/acme/keys", in("-", there)} {
			want, got := w.call("GET", path, unknown, nil), w.call("GET", path, value, nil)
			if got.status != want.status || got.same() != want.same() || len(got.header) != len(want.header) {
				t.Errorf("a key that is %s reads %d %s %v, an unknown one %d %s %v", name, got.status, got.text, got.header, want.status, want.text, want.header)
			}
		}
	}
}

func invitationsThatDoNotWorkReadAlike(t *testing.T, w *world, b tenant, ofAnotherKind string) {
	used := w.must("POST", in("-", "invitations"), b.owner, body{"email": "jo@acme.example", "role": "viewer"})
	w.accept(used.str("token"), "Jo")
	cancelled := w.must("POST", in("-", "invitations"), b.owner, body{"email": "al@acme.example", "role": "viewer"})
	w.must("DELETE", in("-", "invitations/"+cancelled.str("id")), b.owner, nil)
	none := w.call("POST", "/v1/invitations/accept", "", body{"token": "inv_" + strings.Repeat("0", 33), "name": "X"})
	late := w.must("POST", in("-", "invitations"), b.owner, body{"email": "ed@acme.example", "role": "viewer"})
	w.clock.advance(8 * 24 * time.Hour)
	for name, secret := range map[string]string{
		"used": used.str("token"), "cancelled": cancelled.str("token"), "expired": late.str("token"), "not one": "x", "of another kind": ofAnotherKind,
	} {
		got := w.call("POST", "/v1/invitations/accept", "", body{"token": secret, "name": "X"})
		if got.status != none.status || got.same() != none.same() {
			t.Errorf("an invitation that was %s reads %d %s, an unknown one %d %s", name, got.status, got.text, none.status, none.text)
		}
	}
}

func keysOfAnotherWorkspaceDoNotExist(t *testing.T, w *world, unknown string, values ...string) {
	a := w.newTenant("other")
	mine := w.keyOf("-", a.owner, w.account("-", a.owner, "prober", "verifier"))
	nothing := w.must("POST", "/v1/verify", mine, body{"key": unknown})
	for _, value := range values {
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
		if strings.ContainsAny(spelling, "\x00\n") || strings.Trim(spelling, " \t") == value {
			return // what no header can hold, or drops at its ends
		}
		if got := w.call("GET", "/v1/whoami", spelling, nil); got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest {
			t.Errorf("another spelling of a key is let in: %d", got.status)
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
	n, err := rand.Read(p[:min(b.left, len(p))])
	b.left -= n
	if err != nil {
		return n, err
	}
	if n < len(p) {
		return n, errors.New("no randomness left")
	}
	return n, nil
}

func randomnessThatFails(t *testing.T, w *world) {
	bot := w.account("-", w.owner, "bot", "operator")
	before := w.must("GET", in("-", "keys"), w.owner, nil).text
	sources := map[string]func() io.Reader{"that stands still": func() io.Reader { return stuckRandomness{} }}
	for _, left := range []int{0, 1, 32, 63} {
		sources["that ends after "+itoa(left)] = func() io.Reader { return &brokenRandomness{left: left} }
	}
	for name, source := range sources {
		w.service.Mint = token.Mint{Rand: source()}
		for path, in1 := range map[string]body{
			"service_accounts/" + bot + "/keys": {"name": "weak"}, "me/keys": {"name": "weak"},
			"invitations": {"email": "jo@example.com", "role": "viewer"},
		} {
			a := w.call("POST", in("-", path), w.owner, in1)
			if a.status != http.StatusInternalServerError || strings.Contains(a.text, "randomness") {
				t.Errorf("with randomness %s, %s answers %d %s", name, path, a.status, a.text)
			}
		}
		w.service.Mint = token.Mint{Rand: source()}
		a := w.call("POST", "/v1/workspaces", w.owner, body{"name": "Weak", "slug": "weak", "owner": body{"email": "a@weak.example"}})
		if a.status != http.StatusInternalServerError {
			t.Errorf("with randomness %s, a workspace's invitation answers %d %s", name, a.status, a.text)
		}
	}
	w.service.Mint = token.Mint{}
	if after := w.must("GET", in("-", "keys"), w.owner, nil).text; after != before {
		t.Error("a key was made without randomness")
	}
	differentValues(t)
}

// stuckRandomness answers, but not with anything random.
type stuckRandomness struct{}

func (stuckRandomness) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

// differentValues makes many keys: none twice, and each character as often as any
// other. Of a fair source, one run in ten million has a chi-squared above 140.
func differentValues(t *testing.T) {
	t.Helper()
	const keys, length, kinds, most = 20_000, 33, 62, 140
	values := map[string]bool{}
	var counts [256]float64
	for range keys {
		secret, err := token.Mint{}.New(token.ServiceAccount)
		if err != nil || values[secret.Reveal()] {
			t.Fatalf("a key twice, or %v", err)
		}
		values[secret.Reveal()] = true
		for _, c := range []byte(random(secret.Reveal())[:length]) {
			counts[c]++
		}
	}
	chi, want := 0.0, float64(keys*length)/kinds
	for c := range counts {
		if n := counts[c]; n > 0 {
			chi += (n - want) * (n - want) / want
		}
	}
	if chi > most {
		t.Errorf("the characters of %d keys have a chi-squared of %.1f, more than %d", keys, chi, most)
	}
}
