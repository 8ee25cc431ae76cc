package attacks_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

var leakAttacks = map[string]func(*testing.T, *world){
	"E01": secretsInEverySink,
	"E02": thePasswordOfTheDatabase,
	"E03": keysInAddresses,
	"E04": secretsInLists,
	"E06": secretsInErrors,
	"E08": secretsInOddShapes,
}

// secretsInEverySink drives every route, well and badly, with secrets where they
// belong and where they do not, and then looks for them everywhere.
func secretsInEverySink(t *testing.T, w *world) {
	b := w.newTenant("acme")
	has := w.things(b)
	value := w.keyOf(b.id, b.owner, has["service_accounts"])
	for _, op := range w.operations(t) {
		path, ok := op.fill(has)
		if !ok {
			t.Fatalf("%s %s is about something that this test does not make", op.method, op.path)
		}
		for _, in1 := range []any{
			nil, op.requestBody(t), `{"`, body{"name": value}, body{"name": "x", "description": value, "role": value},
			body{"token": value, "name": value, "key": body{"name": value}}, body{"email": value, "role": value},
			body{"permission": value, "principal": value, "key": value}, body{"limit": []string{value}, "allowed_networks": []string{value}},
			body{"metadata": body{"k": value}}, body{"reason": value, "note": value}, body{value: value},
			body{"key": value, "permissions": []string{value}, "source": body{"ip": value}}, []any{value}, value,
		} {
			a := w.call(op.method, path, b.owner, in1, "User-Agent", "agent/"+value, "X-Request-Id", value, "Idempotency-Key", value, "If-Match", value)
			if op.id != "create-key" {
				w.seen(t, a)
			}
			w.seen(t, w.call(op.method, path, value, in1))
		}
		w.seen(t, w.call(op.method, path+"/"+url.PathEscape(value), b.owner, nil))
		w.seen(t, w.call(op.method, path+"?q="+url.QueryEscape(value), b.owner, nil))
	}
	w.values.search(t, "the log", w.said.text())
	w.values.search(t, "the metrics", w.call("GET", "/metrics", w.owner, nil).text)
	w.values.search(t, "the audit log", w.must("GET", in("-", "audit_events/export?format=csv"), b.owner, nil).text)
	withoutHashes := w.rows(t)
	for _, secret := range w.values.all() {
		random := secret[strings.LastIndexByte(secret, '_')+1:]
		for i := 0; i+window <= len(random); i++ {
			if strings.Contains(withoutHashes, random[i:i+window]) {
				t.Errorf("the database holds a piece of a secret: …%s", around(withoutHashes, random[i:i+window]))
				break
			}
		}
	}
	if !strings.Contains(w.said.text(), "level=") {
		t.Error("nothing was logged: the test looks at nothing")
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

func thePasswordOfTheDatabase(t *testing.T, _ *world) {
	dir := t.TempDir()
	const password = "Tr0ub4dor-hunter2"
	for _, args := range [][]string{
		{"serve", "--store-url", "postgres://postern:" + password + "@127.0.0.1:1/postern"},
		{"serve", "--store-url", "postgres://postern:" + password + "@[::1/postern"},
		{"serve", "--store-url", "postgres://postern:" + password + "%zz@127.0.0.1/postern"},
		{"serve", "--store-url", "mysql://postern:" + password + "@127.0.0.1/postern"},
		{"init", "--workspace", "w", "--email", "a@example.com", "--store-url", "postgres://postern:" + password + "@127.0.0.1:1/postern"},
		{"config", "show", "--store-url", "postgres://postern:" + password + "@127.0.0.1:1/postern"},
		{"doctor", "--store-url", "postgres://postern:" + password + "@127.0.0.1:1/postern"},
	} {
		_, stdout, stderr := program(t, dir, "", args...)
		if strings.Contains(stdout+stderr, password) || strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("postern %s shows the password:\n%s%s", args[0], stdout, stderr)
		}
		if stdout+stderr == "" {
			t.Errorf("postern %s says nothing", args[0])
		}
	}
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
		if a.status != http.StatusBadRequest && a.status != http.StatusNotFound {
			t.Errorf("a key in a path: %d %s", a.status, a.text)
		}
		w.values.search(t, "the answer to a key in a path", a.text)
	}
	w.values.search(t, "the log", w.said.text())
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
		{"POST", "roles", body{"name": "x", "permissions": []string{"docs/" + secret + ":read"}}},
		{"PATCH", "keys/" + key, body{"limit": []string{"docs/" + secret + ":read"}}},
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
	for _, shape := range []any{bytesOf, []string{secret}, body{"nested": body{"deep": []any{secret}}}, strings.Split(secret, ""), secret[:40]} {
		for _, in1 := range []body{
			{"name": "x", "role": shape}, {"name": shape, "role": "viewer"}, {"name": "x", "role": "viewer", "metadata": shape},
			{"name": "x", "role": "viewer", "extra": shape},
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
}
