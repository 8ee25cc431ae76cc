package attacks_test

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var injectionAttacks = map[string]func(*testing.T, *world){
	"H01": forgedCursorsAndQueries,
	"H02": filtersOnWhatIsNotShown,
	"H03": namesThatDoSomething,
	"H05": originsThatAreEchoed,
}

var payloads = []string{
	"'", "''", `"`, "' OR '1'='1", "'; DROP TABLE keys; --", "1; SELECT pg_sleep(5)", "%27%20OR%201=1", "\\", "$1", "?1", "{{7*7}}", "${7*7}",
	"../../etc/passwd", "\x00", "\ufffd", "a' UNION SELECT hash FROM keys --", "-1", "9223372036854775808", "NaN", "[]", "{}", "null",
}

func forgedCursorsAndQueries(t *testing.T, w *world) {
	b := w.newTenant("acme")
	for i := range 3 {
		w.account("-", b.owner, "bot-"+itoa(i), "viewer")
	}
	cursor := w.must("GET", in("-", "service_accounts?limit=1"), b.owner, nil).str("next_cursor")
	for i := range cursor {
		forged := cursor[:i] + map[bool]string{true: "A", false: "B"}[cursor[i] != 'A'] + cursor[i+1:]
		if forged == cursor {
			continue
		}
		a := w.call("GET", in("-", "service_accounts?limit=1&cursor="+url.QueryEscape(forged)), b.owner, nil)
		if i == len(cursor)-1 && a.status == http.StatusOK {
			continue // unused bits of the last character
		}
		if a.status != http.StatusBadRequest {
			t.Errorf("a cursor changed at %d: %d %s", i, a.status, a.text)
		}
	}
	second := w.member // another principal, another route, another filter
	jo, _ := second("-", b.owner, "jo@acme.example", "admin")
	for _, use := range []struct{ path, caller string }{
		{"service_accounts?limit=1", jo}, {"keys?limit=1", b.owner}, {"service_accounts?limit=1&state=active", b.owner},
		{"service_accounts?limit=1&sort=-name", b.owner}, {"service_accounts?limit=1&q=bot", b.owner}, {"roles?limit=1", b.owner},
		{"service_accounts/bot-1/keys?limit=1", b.owner},
	} {
		w.wants(w.call("GET", in("-", use.path+"&cursor="+url.QueryEscape(cursor)), use.caller, nil), http.StatusBadRequest, "invalid_request")
	}
	w.must("GET", in("-", "service_accounts?limit=1&cursor="+url.QueryEscape(cursor)), b.owner, nil)

	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"after":["' OR 1=1 --","x"]}`))
	before := w.must("GET", in("-", "service_accounts"), b.owner, nil).text
	for _, payload := range append(payloads, forged) {
		text := url.QueryEscape(payload)
		for _, path := range []string{
			"service_accounts?sort=" + text, "service_accounts?q=" + text, "service_accounts?role=" + text, "service_accounts?owner=" + text,
			"service_accounts?state=" + text, "service_accounts?cursor=" + text, "service_accounts?limit=" + text, "keys?principal=" + text, "keys?sort=" + text,
			"keys?expires_before=" + text, "audit_events?q=" + text, "audit_events?actor=" + text, "audit_events?source=" + text, "audit_events?from=" + text,
			"members?q=" + text, "roles?q=" + text, "service_accounts/" + url.PathEscape(payload), "keys/" + url.PathEscape(payload),
		} {
			a := w.call("GET", in("-", path), b.owner, nil, "X-Request-Id", "' OR 1=1", "If-None-Match", "' OR 1=1", "User-Agent", "' OR 1=1 --")
			if a.status >= 500 {
				t.Errorf("%s: %d %s", path, a.status, a.text)
			}
		}
	}
	if after := w.must("GET", in("-", "service_accounts"), b.owner, nil).text; after != before {
		t.Error("a payload changed the accounts")
	}
}

func filtersOnWhatIsNotShown(t *testing.T, w *world) {
	b := w.newTenant("acme")
	for _, name := range []string{"abc", "a-c", "xyz"} {
		w.keyOf("-", b.owner, w.account("-", b.owner, name, "viewer"))
	}
	for _, query := range []string{
		"hash__startswith=a", "hash=a", "sort=hash", "sort=-token_hash", "filter[hash]=a", "keys.hash=a", "order_by=hash", "fields=hash", "hash[like]=a%25", "include=secret",
	} {
		for _, path := range []string{"keys", "service_accounts", "members", "invitations", "audit_events"} {
			a := w.call("GET", in("-", path+"?"+query), b.owner, nil)
			if a.status != http.StatusBadRequest && a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s?%s: %d %s", path, query, a.status, a.text)
			}
		}
	}
	for _, wild := range []string{"%", "_", "%_%_%", "a_c", "a%", strings.Repeat("%_", 200)} {
		a := w.must("GET", in("-", "service_accounts?q="+url.QueryEscape(wild)), b.owner, nil)
		if n := len(a.items()); n != 0 {
			t.Errorf("the text %q, which no account has, finds %d", wild, n)
		}
		if n := len(w.must("GET", in("-", "audit_events?q="+url.QueryEscape(wild)), b.owner, nil).items()); wild != "a%" && wild != "a_c" && n != 0 && strings.Trim(wild, "%_") == "" {
			t.Errorf("the words %q find %d events", wild, n)
		}
	}
}

// evil are texts that do something where they are shown.
var evil = []string{
	`<img src=x onerror=alert(1)>`, `javascript:alert(1)`, "\u202egpj.exe", "\u200bhidden", "\x1b[2J\x1b[31mred", "line\nbreak", "tab\there", "nul\x00",
	"\u2028", "\ufeffbom", strings.Repeat("x", 10_000), `=HYPERLINK("http://evil","x")`, `+cmd|' /C calc'!A0`, "@SUM(1)", "-1+1", "\u009b31m", "\xff\xfe",
}

func namesThatDoSomething(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	accepted := 0
	for _, name := range evil {
		for _, call := range []struct {
			path string
			in   body
		}{
			{"service_accounts", body{"name": name, "role": "viewer"}},
			{"service_accounts/" + bot + "/keys", body{"name": name}},
			{"roles", body{"name": name, "permissions": []string{"docs:read"}}},
			{"invitations", body{"email": name, "role": "viewer"}},
		} {
			a := w.call("POST", in("-", call.path), b.owner, call.in)
			if a.status == http.StatusCreated {
				accepted++
				w.values.plant(a.str("value"))
			} else if a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest {
				t.Errorf("%s named %.20q: %d %s", call.path, name, a.status, a.text)
			}
			if strings.ContainsAny(name, "\x00\x1b\n\t\u009b\u2028\u202e\u200b\ufeff") || len(name) > 1000 {
				if a.status == http.StatusCreated {
					t.Errorf("%s took the name %.20q", call.path, name)
				}
			}
		}
	}
	if accepted == 0 {
		t.Fatal("every name was refused: nothing is left to be shown")
	}
	// What was taken is inert where it comes out.
	exported := w.must("GET", in("-", "audit_events/export?format=csv"), b.owner, nil)
	inertInSpreadsheets(t, exported.text)
	for _, a := range []answer{exported, w.must("GET", in("-", "keys"), b.owner, nil), w.call("GET", in("-", "keys/<script>alert(1)</script>"), b.owner, nil)} {
		if a.header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(a.header.Get("Content-Type"), "html") {
			t.Errorf("%s is %q, X-Content-Type-Options %q", a.call, a.header.Get("Content-Type"), a.header.Get("X-Content-Type-Options"))
		}
	}
	for _, text := range []string{"evil \u202e\u009b agent", "a time=forged level=ERROR msg=x"} {
		w.call("GET", "/v1/whoami", b.owner, nil, "User-Agent", text, "X-Request-Id", text)
		w.call("POST", in("-", "service_accounts"), b.owner, body{"name": text, "role": text}, "User-Agent", text, "X-Request-Id", text)
	}
	for line := range strings.Lines(w.said.text()) {
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\u202e\x00\u009b") {
			t.Errorf("a line of the log moves the cursor: %q", line)
		}
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("a line of the log was forged: %q", line)
		}
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(b.owner), 0o600); err != nil {
		t.Fatal(err)
	}
	printedInert(t, w.http.URL, keyFile)
	printedInert(t, evilServer(t), keyFile)
}

// printedInert fails the test when what the command prints of a server's answers
// does something to a terminal or a spreadsheet.
func printedInert(t *testing.T, server, keyFile string) {
	t.Helper()
	for _, args := range [][]string{
		{"key", "list"}, {"key", "list", "-o", "json"}, {"key", "list", "-o", "jsonl"}, {"key", "list", "-o", "csv"}, {"sa", "list"},
		{"role", "list"}, {"role", "get", "evil"}, {"audit", "list"}, {"whoami"},
	} {
		cmd := command(t.Context(), t.TempDir(), append(args, "--server", server)...)
		cmd.Env = append(cmd.Env, "POSTERN_KEY_FILE="+keyFile)
		out, _ := cmd.CombinedOutput() // that some of it fails is no harm
		if len(out) == 0 {
			t.Errorf("postern %v prints nothing", args)
		}
		if strings.ContainsAny(string(out), "\x1b\u202e\x00\u009b\u200b") {
			t.Errorf("postern %v prints what moves the cursor: %q", args, out)
		}
		if args[len(args)-1] == "csv" {
			inertInSpreadsheets(t, string(out))
		}
	}
}

// inertInSpreadsheets fails the test when a cell of CSV is a formula.
func inertInSpreadsheets(t *testing.T, text string) {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(records) < 2 {
		t.Fatalf("%d lines of CSV, %v", len(records), err)
	}
	for _, record := range records {
		for _, cell := range record {
			if trimmed := strings.TrimLeft(cell, " "); trimmed != "" && strings.ContainsRune("=+-@\t\r", rune(trimmed[0])) {
				t.Errorf("a cell that a spreadsheet runs: %q", cell)
			}
		}
	}
}

// evilServer answers everything with names that do something, as a server does
// that somebody has taken over.
func evilServer(t *testing.T) string {
	t.Helper()
	const text = "=1+1\x1b]0;title\x07\x1b[2J\u202e\u009b31m\u200b\x00"
	thing := map[string]any{"id": text, "name": text, "title": text, "description": text, "action": text, "reason": text, "state": text, "hint": text, "code": text, "detail": text}
	for _, below := range []string{"principal", "role", "actor", "target", "key", "created_by"} {
		thing[below] = map[string]any{"id": text, "name": text, "type": text, "state": text}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var out any = thing
		if strings.Contains(r.URL.Path, "/workspaces/") && !strings.HasSuffix(r.URL.Path, "/evil") {
			out = map[string]any{"data": []any{thing}, "has_more": false}
		}
		if err := json.NewEncoder(w).Encode(out); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func originsThatAreEchoed(t *testing.T, w *world) {
	for _, origin := range []string{"https://evil.example", "null", w.http.URL, w.http.URL + ".evil.example", "http://localhost", "*"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "HEAD"} {
			for _, path := range []string{"/v1/whoami", "/v1/verify", in("-", "keys"), "/v1/invitations/accept", "/v1/openapi.json", "/healthz"} {
				a := w.call(method, path, w.owner, nil, "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
				for name := range a.header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s from %s: %s: %s", a.call, origin, name, a.header.Get(name))
					}
				}
			}
		}
	}
}
