package attacks_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var leakAttacks = map[string]func(*testing.T, *world){
	"E01": secretsInEverySink,
	"E02": thePasswordOfTheDatabase,
	"E03": keysInAddresses,
	"E04": secretsInLists,
	"E05": secretsInArguments,
	"E06": secretsInErrors,
	"E08": secretsInOddShapes,
}

// secretsInEverySink drives every route, well and badly, with secrets where they
// belong and where they do not, and then looks for them everywhere.
func secretsInEverySink(t *testing.T, w *world) {
	b := w.newTenant("acme")
	has := w.things(b)
	value := w.keyOf(b.id, b.owner, has["service_accounts"])
	for i, op := range w.operations(t) {
		path, heard := op.about(t, has), false
		caller := w.values.plant(w.must("POST", in("-", "me/keys"), b.owner, body{"name": "caller-" + itoa(i) + "-of-many"}).str("value")) // one may revoke itself
		forms := misplaced(value, op.requestBody(t))
		if testing.Short() { // what is no JSON, one other and a good one: more of them, one after the other, share nothing more
			forms = []any{forms[2], forms[i%len(forms)], forms[0]}
		}
		for _, in1 := range forms {
			w.seen(t, w.call(op.method, path, caller, in1, "User-Agent", "agent/"+value, "X-Request-Id", value, "If-Match", value))
			w.seen(t, w.call(op.method, path, caller, in1, "User-Agent", "agent/"+value, "X-Request-Id", value, "Idempotency-Key", value))
			w.seen(t, w.call(op.method, path, caller, in1, "User-Agent", "agent/"+value))
			a := w.call(op.method, path, value, in1)
			w.seen(t, a)
			heard = heard || a.status != http.StatusUnauthorized
		}
		if !heard {
			t.Errorf("%s did not hear the key that was sent to it", op.id)
		}
		w.seen(t, w.call(op.method, path+"/"+url.PathEscape(value), b.owner, nil))
		w.seen(t, w.call(op.method, path+"?q="+url.QueryEscape(value), b.owner, nil))
		has = w.things(b) // what the calls have ended is there again
		value = w.keyOf(b.id, b.owner, has["service_accounts"])
	}
	w.panicWith(t, b, value)
	w.secretAsArgument(t, value)
	w.values.search(t, "the metrics", w.must("GET", "/metrics", w.owner, nil).text)
	for _, format := range []string{"csv", "jsonl"} {
		w.values.search(t, "the audit log", w.must("GET", in("-", "audit_events/export?format="+format), b.owner, nil).text)
	}
	w.values.searchPieces(t, "the database", w.rows(t))
	w.values.search(t, "the log", w.said.text())
	if !strings.Contains(w.said.text(), "level=DEBUG") {
		t.Error("the log is not at its most talkative: the test looks at too little")
	}
}

// misplaced are bodies with a secret where none belongs, besides one that is as it
// should be.
func misplaced(value string, good any) []any {
	return []any{
		good, nil, `{"`, body{"name": value}, body{"name": "x", "description": value, "role": value},
		body{"token": value, "name": value, "key": body{"name": value}}, body{"email": value, "role": value},
		body{"permission": value, "principal": value, "key": value}, body{"limit": []string{value}, "allowed_networks": []string{value}},
		body{"metadata": body{"k": value}}, body{"metadata": body{value: "v"}}, body{"reason": value, "note": value}, body{value: value},
		body{"key": value, "permissions": []string{value}, "source": body{"ip": value}}, body{"key": value, "source": body{"user_agent": value}},
		[]any{value}, value, body{"name": "x", "role": "viewer", "description": "see inv_" + random(value)[:33]},
		body{"name": "x", "role": "viewer", "description": "cut " + value[:len(value)-6]},
	}
}

// panicWith makes the program panic with a secret in its words, more often than
// transactions may run at once.
func (w *world) panicWith(t *testing.T, b tenant, value string) {
	t.Helper()
	words := "cannot use " + value
	w.store.panics.Store(&words)
	for range 5 {
		a := w.call("POST", in("-", "service_accounts"), b.owner, body{"name": "x", "role": "viewer"})
		w.wants(a, http.StatusInternalServerError, "internal")
		w.seen(t, a)
	}
	w.store.panics.Store(nil)
	w.must("POST", in("-", "service_accounts"), b.owner, body{"name": "after-the-panic", "role": "viewer"})
	if !strings.Contains(w.said.text(), "a handler panicked") {
		t.Error("the log does not speak of the panic")
	}
}

// secretAsArgument gives a key to the command where every user of the machine can
// read it.
func (w *world) secretAsArgument(t *testing.T, value string) {
	t.Helper()
	for _, args := range [][]string{
		{"key", "verify", "--key", value}, {"key", "verify", value}, {"api", "GET", "/v1/whoami?key=" + value}, {"sa", "get", "x" + value},
		{"--server", "http://" + value + "@127.0.0.1", "whoami"},
	} {
		code, stdout, stderr := program(t, t.TempDir(), "", args...)
		if code != 2 {
			t.Errorf("postern %s with a key as an argument ends with %d", args[0], code)
		}
		w.values.search(t, "the command's output", stdout+stderr)
	}
}

// seen searches an answer, unless it is the one that shows a new secret.
func (w *world) seen(t *testing.T, a answer) {
	t.Helper()
	if a.status == http.StatusCreated {
		w.values.plant(a.str("value"))
		w.values.plant(a.str("token"))
		w.values.plant(a.str("key.value"))
		w.values.plant(a.str("invitation.token"))
		return
	}
	w.values.search(t, fmt.Sprintf("the answer of %s", a.call), a.text+fmt.Sprint(a.header))
}

// databasePassword is what no output may have, in any case.
const databasePassword = "Tr0ub4dor-hunter2"

// withPassword are ways to name a database with its password, good and bad, and
// whether the store is what finds fault with it.
func withPassword() map[string]bool {
	return map[string]bool{
		"postgres://postern:" + databasePassword + "@127.0.0.1:1/postern":                                          true,
		"postgres://postern:" + databasePassword + "@[::1/postern":                                                 true,
		"postgres://postern:" + databasePassword + "%zz@127.0.0.1/postern":                                         true,
		"postgres://postern@127.0.0.1:1/postern?password=" + databasePassword:                                      true,
		"postgres://postern@127.0.0.1:1/postern?password=" + databasePassword + "&sslpassword=" + databasePassword: true,
		"postgres://postern:" + databasePassword + "@127.0.0.1:1/postern?sslmode=perhaps":                          true,
		"mysql://postern:" + databasePassword + "@127.0.0.1/postern":                                               false,
		"host=127.0.0.1 port=1 user=postern password=" + databasePassword:                                          false,
		databasePassword: false,
	}
}

func thePasswordOfTheDatabase(t *testing.T, _ *world) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := file("secret", strings.Repeat("5a", 32)+"\n")
	taken := takenAddress(t) // so that a server that waits for its database ends
	for url, reached := range withPassword() {
		settings := []string{"--store-url", url, "--secret-file", secret}
		for _, args := range [][]string{
			{"serve", "--listen", taken}, {"init", "--workspace", "w", "--email", "a@example.com"},
			{"recover", "--email", "a@example.com"}, {"dev", "--listen", taken},
		} {
			said := hidesPassword(t, dir, append(args, settings...)...)
			if reached != strings.Contains(said, "store:") {
				t.Errorf("postern %s: the store was asked: %v, want %v: %s", args[0], !reached, reached, said)
			}
		}
		for _, args := range [][]string{{"config", "show"}, {"config", "show", "--json"}, {"config", "check"}, {"doctor"}} {
			hidesPassword(t, dir, append(args, settings...)...)
		}
		hidesPassword(t, dir, "serve", "--listen", taken, "--store-url", url) // and no secret is named
	}
	for name, text := range map[string]string{
		"good.toml": `store.url = "postgres://postern:` + databasePassword + `@127.0.0.1:1/postern"`,
		"bad.toml":  `store.url = "postgres://postern:` + databasePassword + `@127.0.0.1:1/postern`,
		"odd.toml":  `store.url = ["postgres://postern:` + databasePassword + `@127.0.0.1:1/postern"]`,
	} {
		hidesPassword(t, dir, "config", "show", "--config", file(name, text))
		hidesPassword(t, dir, "serve", "--listen", taken, "--config", file(name, text))
	}
}

// takenAddress returns one that nobody else can listen on.
func takenAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// hidesPassword runs the command and returns what it says, which is something
// without the password.
func hidesPassword(t *testing.T, dir string, args ...string) string {
	t.Helper()
	_, stdout, stderr := program(t, dir, "", args...)
	shown := strings.ToLower(stdout + stderr)
	if strings.Contains(shown, "tr0ub4dor") || strings.Contains(shown, "hunter2") {
		t.Errorf("postern %v shows the password:\n%s%s", args, stdout, stderr)
	}
	if shown == "" {
		t.Errorf("postern %s says nothing", args[0])
	}
	return shown
}

func keysInAddresses(t *testing.T, w *world) {
	value := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "admin"))
	for _, query := range []string{"api_key", "access_token", "key", "token", "apikey", "q", "cursor", "anything"} {
		for _, caller := range []string{"", w.owner} {
			a := w.call("GET", "/v1/whoami?"+query+"="+value, caller, nil)
			if a.status != http.StatusBadRequest {
				t.Errorf("a key as the parameter %s: %d %s", query, a.status, a.text)
			}
			w.values.search(t, a.call, a.text)
		}
	}
	for _, path := range []string{"/v1/" + value, in("-", "keys/"+value), in(value, "keys"), in("-", "service_accounts/"+value)} {
		a := w.call("GET", path, w.owner, nil)
		w.wants(a, http.StatusBadRequest, "invalid_request")
		w.values.search(t, "the answer to a key in a path", a.text)
	}
	w.values.search(t, "the log", w.said.text())
	if exposed := w.must("GET", "/metrics", w.owner, nil).text; strings.Contains(exposed, "postern_http_secrets_in_url_total 0\n") {
		t.Error("the metrics do not count the keys that were exposed in addresses")
	}
	// The answer that shows a value is for nobody else to keep.
	made := w.newKey("-", w.owner, w.account("-", w.owner, "shown", "viewer"))
	if made.header.Get("Cache-Control") != "no-store" || strings.Contains(made.header.Get("Location"), made.str("value")) {
		t.Errorf("the answer with the value has Cache-Control %q, Location %q", made.header.Get("Cache-Control"), made.header.Get("Location"))
	}
}

func secretsInLists(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	made := w.newKey("-", b.owner, bot)
	w.values.plant(w.must("POST", in("-", "invitations"), b.owner, body{"email": "jo@acme.example", "role": "viewer"}).str("token"))
	for _, path := range []string{
		"service_accounts", "service_accounts/bot", "service_accounts/bot/keys", "keys", "keys?q=" + made.str("name"), "keys/" + made.str("id"),
		"me/keys", "members", "invitations", "roles", "audit_events", "audit_events?q=key", "audit_events/export?format=csv", "audit_events/export?format=jsonl",
	} {
		a := w.must("GET", in("-", path), b.owner, nil)
		w.values.search(t, path, a.text)
		for _, name := range []string{`"value"`, `"token"`, `"hash"`, `"secret"`, `"token_hash"`} {
			if strings.Contains(a.text, name) {
				t.Errorf("%s has a member %s: %s", path, name, a.text)
			}
		}
	}
	// A replay shows it no second time either.
	again := w.call("POST", in("-", "service_accounts/bot/keys"), b.owner, body{"name": "once"}, "Idempotency-Key", "once")
	w.values.plant(again.str("value"))
	again = w.call("POST", in("-", "service_accounts/bot/keys"), b.owner, body{"name": "once"}, "Idempotency-Key", "once")
	w.wants(again, http.StatusConflict, "value_already_issued")
	w.values.search(t, "the replay", again.text)
}

func secretsInErrors(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	secret := w.keyOf("-", b.owner, bot)
	key := w.idOf(secret)
	for _, call := range []struct {
		method, path string
		in           any
	}{
		{"PATCH", "keys/" + key, body{"name": secret}},
		{"PATCH", "keys/" + key, body{"limit": []string{secret}}},
		{"PATCH", "keys/" + key, body{"allowed_networks": []string{secret}}},
		{"PATCH", "keys/" + key, body{"expires_at": secret}},
		{"PATCH", "keys/" + key, body{"name": body{"value": secret}}},
		{"PATCH", "keys/" + key, body{secret: true}},
		{"PATCH", "service_accounts/bot", body{"role": secret}},
		{"PATCH", "service_accounts/bot", body{"metadata": body{secret: secret}}},
		{"PATCH", "service_accounts/bot", `{"description":"` + secret},
		{"PATCH", "service_accounts/bot", `{"description":"a","description":"` + secret + `"}`},
		{"POST", "service_accounts/bot/keys", body{"name": "x", "expires_in": secret}},
		{"POST", "roles", body{"name": "x", "permissions": []string{secret}}},
		{"POST", "invitations", body{"email": secret, "role": "viewer"}},
		{"PUT", "permissions", []body{{"type": secret, "actions": []string{secret}}}},
		{"POST", "check", body{"principal": "bot", "permission": secret}},
		{"POST", "keys/" + key + "/pause", body{"reason": secret}},
	} {
		a := w.call(call.method, in("-", call.path), b.owner, call.in)
		if a.status < 400 || a.status > 499 {
			t.Errorf("%s with a secret in its body: %d %s", a.call, a.status, a.text)
		}
		w.values.search(t, a.call, a.text)
	}
	w.values.search(t, "the log", w.said.text())
}

func secretsInOddShapes(t *testing.T, w *world) {
	b := w.newTenant("acme")
	secret := w.keyOf("-", b.owner, w.account("-", b.owner, "bot", "operator"))
	bytesOf := make([]int, len(secret))
	for i := range secret {
		bytesOf[i] = int(secret[i])
	}
	token := w.values.plant(w.must("POST", in("-", "invitations"), b.owner, body{"email": "jo@acme.example", "role": "owner"}).str("token"))
	for _, shape := range []any{
		bytesOf, []string{secret}, body{"nested": body{"deep": []any{secret}}}, strings.Split(secret, ""), 1e99,
		secret, secret[:40], "is it " + secret[:40] + "?", token, "at #" + token, "key=" + secret + ".", strings.ToLower(secret[:7]) + random(secret),
	} {
		for _, in1 := range []body{
			{"name": "x", "role": shape}, {"name": shape, "role": "viewer"}, {"name": "x", "role": "viewer", "metadata": shape},
			{"name": "x", "role": "viewer", "extra": shape}, {"name": "x", "role": "viewer", "description": shape},
			{"name": "x", "role": "viewer", "owner": shape}, {"name": "x", "role": "viewer", "metadata": body{"k": shape}},
		} {
			a := w.call("POST", in("-", "service_accounts"), b.owner, in1)
			if a.status == http.StatusCreated {
				t.Errorf("an account of %v was made", in1)
			}
			w.values.search(t, a.call, a.text)
		}
		for _, question := range []body{{"key": shape}, {"key": secret, "permissions": shape}, {"key": secret, "source": shape}} {
			w.values.search(t, "verify", w.call("POST", "/v1/verify", w.prober, question).text)
		}
	}
	w.values.search(t, "the audit log", w.must("GET", in("-", "audit_events/export?format=jsonl"), b.owner, nil).text)
	w.values.search(t, "the log", w.said.text())
	w.values.searchPieces(t, "the database", w.rows(t))
}

// secretsInArguments looks for secrets where everybody on the machine reads them, and
// for what a process says of itself to who may not ask.
func secretsInArguments(t *testing.T, w *world) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"key", "verify", "--key", w.owner}, {"key", "verify", w.owner}, {"login", "--server", "http://localhost/" + w.owner}, {"sa", "list", "--field", w.owner},
	} {
		code, stdout, stderr := program(t, dir, "", args...)
		if code != 2 || strings.Contains(stdout+stderr, w.owner) {
			t.Errorf("postern %s …: exit %d, want 2 and not a word of the key", args[0], code)
		}
	}
	_, help, _ := program(t, dir, "", "serve", "--help")
	for line := range strings.Lines(help) {
		flag, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name := strings.TrimPrefix(flag, "--")
		if flag != name && !strings.HasSuffix(name, "-file") && (strings.Contains(name, "secret") || strings.Contains(name, "password") || strings.Contains(name, "token")) {
			t.Errorf("serve takes a secret as an argument: %s", flag)
		}
	}
	verifier := w.prober
	for path, want := range map[string]int{"/metrics": 401, "/debug/pprof/": 404, "/debug/pprof/cmdline": 404, "/debug/vars": 404, "/v1/metrics": 404} {
		w.wants(w.call("GET", path, "", nil), want, "")
	}
	w.wants(w.call("GET", "/metrics", verifier, nil), 403, "permission_denied")
	w.wants(w.call("GET", "/metrics", w.newTenant("acme").owner, nil), 404, "not_found")
	if text := w.must("GET", "/metrics", w.owner, nil).text; strings.Contains(text, w.owner) || strings.Contains(text, "cmdline") {
		t.Error("the metrics tell of keys or arguments")
	}
}
