package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/api"
)

// loggingIn is a world in which a login is approved at once and makes the key n.
func loggingIn(t *testing.T) (w *world, login func(n string) result) {
	w = newWorld(t)
	delete(w.env, "POSTERN_KEY")
	delete(w.env, "POSTERN_SERVER")
	w.answer("POST /v1/device/code", api.DeviceCode{DeviceCode: "dev_0", UserCode: "BCDF-GHJK", VerificationURI: w.server.URL + "/device", Interval: 1})
	w.answer("GET /v1/whoami", api.Whoami{})
	w.answer("GET /v1/keys/self", func(a asked) any { return api.Key{ID: strings.TrimPrefix(a.key, "value-of-")} })
	w.answer("POST /v1/keys/self/revoke", func(a asked) any { return api.KeyAnswer{Key: api.Key{ID: strings.TrimPrefix(a.key, "value-of-")}} })
	return w, func(n string) result {
		t.Helper()
		w.answer("POST /v1/device/token", api.DeviceToken{AccessToken: "value-of-" + n, TokenType: "Bearer", Key: api.Key{ID: n, Name: "cli " + n}})
		return w.succeeds("login", "--server", w.server.URL)
	}
}

// succeeds runs a command that has to succeed.
func (w *world) succeeds(args ...string) result {
	w.t.Helper()
	r := w.run(args...)
	if r.code != 0 {
		w.t.Fatalf("postern %v: %d %s%s", args, r.code, r.stdout, r.stderr)
	}
	return r
}

// ended returns the keys that were revoked, in order.
func (w *world) ended() (keys []string) {
	for _, a := range w.heard {
		if a.line == "POST /v1/keys/self/revoke" {
			keys = append(keys, a.key)
		}
	}
	return keys
}

func TestLoginRevokesTheKeyOfTheLoginBefore(t *testing.T) {
	w, login := loggingIn(t)
	login("key_a")
	if got := w.ended(); got != nil {
		t.Errorf("the first login revoked %v", got)
	}
	if r := login("key_b"); !slices.Equal(w.ended(), []string{"value-of-key_a"}) || !strings.Contains(r.stderr, "Revoked the key of the login before, key_a") {
		t.Errorf("the second login revoked %v, and said %q", w.ended(), r.stderr)
	}
	for i, a := range w.heard { // not before the new one works
		if a.line == "POST /v1/keys/self/revoke" && (w.heard[i-2].line != "GET /v1/whoami" || w.heard[i-2].key != "value-of-key_b") {
			t.Errorf("before it revoked, it asked %v", w.heard[i-2])
		}
	}
	w.answer("GET /v1/whoami", &api.Problem{Status: 401, Code: api.CodeUnauthenticated})
	w.answer("POST /v1/device/token", api.DeviceToken{AccessToken: "value-of-key_c", Key: api.Key{ID: "key_c"}})
	if r := w.run("login", "--server", w.server.URL); r.code == 0 || len(w.ended()) != 1 {
		t.Errorf("with a new key that does not work: %d, and %v are revoked", r.code, w.ended())
	}
}

func TestLoginGoesOnWhenTheKeyBeforeCannotBeRevoked(t *testing.T) {
	w, login := loggingIn(t)
	login("key_a")
	w.answer("POST /v1/keys/self/revoke", &api.Problem{Status: 503, Code: api.CodeStale, Detail: "later"})
	if r := login("key_b"); !strings.Contains(r.stderr, "key_a") || !strings.Contains(r.stderr, "goes on working") {
		t.Errorf("it says %q", r.stderr)
	}
	w.answer("GET /v1/keys/self", &api.Problem{Status: 401, Code: api.CodeUnauthenticated})
	if r := login("key_c"); strings.Contains(r.stderr, "Revoked") || strings.Contains(r.stderr, "goes on working") {
		t.Errorf("of a key that has ended it says %q", r.stderr)
	}
}

// A key that somebody brought is theirs, and so is one that they put in the place of
// a login's.
func TestKeyThatNoLoginMadeIsNotRevoked(t *testing.T) {
	w, login := loggingIn(t)
	w.stdin = testKey
	w.succeeds("context", "add", "mine", "--key", "-", "--use", "--server", w.server.URL)
	login("key_a")
	if got := w.ended(); got != nil {
		t.Errorf("login revoked %v", got)
	}
	w.stdin = testKey
	w.succeeds("context", "add", "mine", "--key", "-", "--use", "--server", w.server.URL)
	if r := w.succeeds("logout"); w.ended() != nil || !strings.Contains(r.stdout, "goes on working") {
		t.Errorf("logout revoked %v, and said %q", w.ended(), r.stdout)
	}
	login("key_b")
	w.swapKey(t, "value-of-another")
	login("key_c")
	if got := w.ended(); got != nil {
		t.Errorf("login revoked %v, which is not what the login before has made", got)
	}
	w.env["POSTERN_KEY"] = testKey
	w.succeeds("logout")
	if got := w.ended(); !slices.Equal(got, []string{"value-of-key_c"}) {
		t.Errorf("logout revoked %v, want the context's own key and not that of the environment", got)
	}
}

// swapKey puts another key where the contexts' are kept, by hand.
func (w *world) swapKey(t *testing.T, value string) {
	t.Helper()
	path := filepath.Join(w.home, ".config", "postern", "keys.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for name := range keys {
		keys[name] = value
	}
	if text, err = json.Marshal(keys); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
