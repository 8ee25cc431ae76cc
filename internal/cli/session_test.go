package cli_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posternhq/postern/api"
)

// signedIn is a world whose server and key are in a stored context.
func signedIn(t *testing.T) *world {
	w := newWorld(t)
	w.stdin = testKey
	delete(w.env, "POSTERN_KEY")
	delete(w.env, "POSTERN_SERVER")
	w.must("context", "add", "home", "--server", w.server.URL, "--key", "-")
	w.answer("GET "+W+"seats", api.Seats{Used: 1})
	return w
}

func TestContextHoldsTheServerAndNotTheKey(t *testing.T) {
	w := signedIn(t)
	w.must("seat")
	if got := w.heard[0].key; got != testKey {
		t.Errorf("signed in with %q", got)
	}
	dir := filepath.Join(w.home, ".config", "postern")
	text, err := os.ReadFile(filepath.Join(dir, "contexts.json"))
	if err != nil || strings.Contains(string(text), testKey[7:15]) {
		t.Errorf("contexts.json holds %s, %v", text, err)
	}
	for _, name := range []string{"contexts.json", "keys.json"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
		}
	}
}

// A key must not follow an address that somebody talked its owner into.
func TestKeyOfAContextIsNotSentToAnotherServer(t *testing.T) {
	w := signedIn(t)
	other := newWorld(t)
	w.run("seat", "--server", other.server.URL).wants(t, 4, "there is no key for")
	w.env["POSTERN_SERVER"] = other.server.URL
	w.run("seat").wants(t, 4, "there is no key for")
	if len(other.heard) != 0 {
		t.Errorf("the other server heard %+v", other.heard)
	}
	w.env["POSTERN_SERVER"] = w.server.URL + "/"
	w.must("seat")
}

func TestFlagsWinOverVariablesWinOverTheContext(t *testing.T) {
	w := signedIn(t)
	w.stdin = newValue
	w.must("context", "add", "work", "--server", w.server.URL, "-w", "acme", "--key", "-")
	for _, tt := range []struct {
		env  map[string]string
		args []string
		line string
		key  string
	}{
		{nil, nil, "GET /v1/workspaces/-/seats", testKey},
		{nil, []string{"--context", "work"}, "GET /v1/workspaces/acme/seats", newValue},
		{map[string]string{"POSTERN_CONTEXT": "work"}, nil, "GET /v1/workspaces/acme/seats", newValue},
		{map[string]string{"POSTERN_CONTEXT": "work"}, []string{"--context", "home"}, "GET /v1/workspaces/-/seats", testKey},
		{map[string]string{"POSTERN_CONTEXT": "work", "POSTERN_WORKSPACE": "globex"}, nil, "GET /v1/workspaces/globex/seats", newValue},
		{map[string]string{"POSTERN_WORKSPACE": "globex"}, []string{"-w", "initech"}, "GET /v1/workspaces/initech/seats", testKey},
		{map[string]string{"POSTERN_KEY": newValue}, nil, "GET /v1/workspaces/-/seats", newValue},
	} {
		for name, value := range tt.env {
			w.env[name] = value
		}
		w.answer(tt.line, api.Seats{})
		w.must(append([]string{"seat"}, tt.args...)...)
		if got := w.heard[len(w.heard)-1]; got.line != tt.line || got.key != tt.key {
			t.Errorf("%v %v: %s with %s, want %s with %s", tt.env, tt.args, got.line, got.key, tt.line, tt.key)
		}
		for name := range tt.env {
			delete(w.env, name)
		}
	}
}

func TestContextsAreListedUsedAndRemoved(t *testing.T) {
	w := signedIn(t)
	w.must("context", "add", "work", "--server", "https://postern.internal", "--key", "-")
	if got := w.must("context", "show", "--field", "name").stdout; got != "home\n" {
		t.Errorf("current is %q, want home: adding does not switch", got)
	}
	w.must("context", "use", "work")
	if got := w.must("context", "show", "--field", "server").stdout; got != "https://postern.internal\n" {
		t.Errorf("after use: %q", got)
	}
	w.must("context", "remove", "work")
	w.run("context", "use", "work").wants(t, 3, "no context work")
	w.run("seat", "--context", "work").wants(t, 3)
	if got := w.must("context", "list", "--field", "name").stdout; got != "home\n" {
		t.Errorf("left are %q", got)
	}
	if text, err := os.ReadFile(filepath.Join(w.home, ".config", "postern", "keys.json")); err != nil || strings.Count(string(text), testKey) != 1 {
		t.Errorf("keys.json holds %s, %v; want the key of home alone", text, err)
	}
	w.run("seat").wants(t, 4, "no server to speak to")
}

func TestWithoutAKeyOneIsToldHowToSignIn(t *testing.T) {
	w := newWorld(t)
	delete(w.env, "POSTERN_KEY")
	w.run("seat").wants(t, 4, "POSTERN_KEY_FILE", "postern context add")
	w.env["POSTERN_KEY"], w.env["POSTERN_KEY_FILE"] = testKey, "x"
	w.run("seat").wants(t, 2, "both set")
}

func TestVariablesAloneAreEnough(t *testing.T) {
	w := newWorld(t)
	delete(w.env, "HOME")
	w.answer("GET "+W+"seats", api.Seats{})
	w.must("seat")
}

func TestKeyIsNotSentInTheOpenUnlessTold(t *testing.T) {
	w := newWorld(t)
	w.env["POSTERN_SERVER"] = "http://postern.example"
	w.run("seat").wants(t, 1, "not encrypted")
}

func TestNameIsOneSegmentOfAPath(t *testing.T) {
	w := newWorld(t)
	for _, ref := range []string{"..", ".", "", "a/b", "a?b", "a#b"} {
		w.heard = nil
		w.run("sa", "get", ref).wants(t, 3)
		got := w.heard[0].line
		if _, last, _ := strings.Cut(got, "service_accounts/"); strings.ContainsAny(last, "/.") || last == "" || w.heard[0].query != "" {
			t.Errorf("%q asked for %s?%s", ref, got, w.heard[0].query)
		}
	}
}

func TestNamesStandForIDs(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"service_accounts/bot", account("bot"))
	w.answer("GET "+W+"members", list[api.Member]())
	w.answer("GET "+W+"keys", func(a asked) any {
		if strings.Contains(a.query, "principal=") {
			return list(key(keyID, "bot", "nightly"), key(otherKey, "bot", "nightly-2"))
		}
		return list(key(keyID, "bot", "nightly"), key(otherKey, "crawler", "nightly"), key("key_x", "bot", "only-one"))
	})
	w.answer("GET "+W+"keys/"+keyID, key(keyID, "bot", "nightly"))
	w.answer("GET "+W+"keys/key_x", key("key_x", "bot", "only-one"))
	w.answer("GET /v1/keys/self", key(keyID, "bot", "nightly"))
	for ref, want := range map[string]string{
		keyID: "GET " + W + "keys/" + keyID, "bot/nightly": "GET " + W + "keys/" + keyID,
		"only-one": "GET " + W + "keys/key_x", "self": "GET /v1/keys/self",
	} {
		w.must("key", "get", ref)
		if got := w.heard[len(w.heard)-1].line; got != want {
			t.Errorf("%s asked for %s, want %s", ref, got, want)
		}
	}
	w.run("key", "get", "nightly").wants(t, 6, keyID+"  bot/nightly", otherKey+"  crawler/nightly")
	w.run("key", "get", "hourly").wants(t, 3, "no key hourly")
	w.run("key", "get", "nobody/nightly").wants(t, 3, "no account or member nobody")
}

func TestPersonAndAccountOfOneNameAreAmbiguous(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"service_accounts/sam", account("sam"))
	w.answer("GET "+W+"members", list(api.Member{ID: memberID, Name: "sam", Email: "sam@example.com"}))
	w.run("key", "list", "sam").wants(t, 6, accountID, memberID)
	w.answer("GET "+W+"keys", list[api.Key]())
	w.must("key", "list", "sam@example.com")
	if got := w.heard[len(w.heard)-1].query; !strings.Contains(got, "principal="+memberID) {
		t.Errorf("asked for %s", got)
	}
}

func TestKeyWithoutANameGetsAFreeOne(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"service_accounts/bot/keys", list(key("k1", "bot", "prod-2026-11"), key("k2", "bot", "prod-2026-11-3")))
	tried := 0
	w.answer(createKeyLine, func(a asked) any {
		if tried++; tried < 3 {
			return &api.Problem{Status: 409, Code: api.CodeNameTaken} // it is there; somebody was faster
		}
		return api.CreatedKey{Key: key(keyID, "bot", "made"), Value: newValue}
	})
	w.must("key", "create", "bot", "--json")
	var names []string
	for _, a := range w.heard {
		if a.line == createKeyLine {
			names = append(names, a.body)
		}
	}
	if len(names) != 3 || !strings.Contains(names[0], `"prod-2026-11"`) || !strings.Contains(names[1], `"prod-2026-11-2"`) || !strings.Contains(names[2], `"prod-2026-11-4"`) {
		t.Errorf("tried %q, want prod-2026-11, then -2, then -4", names)
	}
}

func TestCompletionKnowsLiveNames(t *testing.T) {
	w := newWorld(t)
	evil := account("bot-\x1b[2J")
	w.answer("GET "+W+"service_accounts", list(account("bot-a"), account("crawler"), evil))
	w.answer("GET "+W+"roles", list(api.Role{Name: "operator"}, api.Role{Name: "owner"}))
	if got := w.must("__complete", "sa", "revoke", "bo").stdout; !strings.HasPrefix(got, "bot-a\n:") {
		t.Errorf("sa revoke bo: %q", got)
	}
	if got := w.must("__complete", "sa", "create", "x", "--role", "ow").stdout; !strings.HasPrefix(got, "owner\n:") {
		t.Errorf("--role ow: %q", got)
	}
	w.server.Close()
	if r := w.must("__complete", "sa", "revoke", "bo"); !strings.HasPrefix(r.stdout, ":") {
		t.Errorf("without a server: %q", r.stdout)
	}
}

func TestExportTakesItsPlaceOnlyWhole(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(w.file("audit.jsonl"), []byte("earlier\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.answer("GET "+W+"audit_events/export", map[string]string{"id": "evt_1"})
	w.must("audit", "export", "--out", w.file("audit.jsonl"))
	if got, err := os.ReadFile(w.file("audit.jsonl")); err != nil || string(got) != `{"id":"evt_1"}`+"\n" {
		t.Errorf("whole: %q, %v", got, err)
	}
	w.server = httptest.NewServer(brokenOff{})
	t.Cleanup(w.server.Close)
	w.env["POSTERN_SERVER"] = w.server.URL
	w.run("audit", "export", "--out", w.file("audit.jsonl")).wants(t, 1, "broken off")
	if got, err := os.ReadFile(w.file("audit.jsonl")); err != nil || string(got) != `{"id":"evt_1"}`+"\n" {
		t.Errorf("broken off: %q, %v; want what was there", got, err)
	}
	if entries, err := os.ReadDir(w.home); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
