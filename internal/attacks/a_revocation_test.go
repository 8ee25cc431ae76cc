package attacks_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/replica"
)

var revocationAttacks = map[string]func(*testing.T, *world){
	"A03": keysOfARemovedMember,
	"A06": keysOfAPausedWorkspace,
	"A07": everyLevelThatIsSwitchedOff,
	"A10": keysOfADemotedMember,
	"A15": everyWayToEndAKey,
	"A19": aRevocationThatFailsIsNotReportedAsDone,
	"A21": aRevocationSurvivesTheProcess,
	"A22": aRevocationIsInTheDatabase,
	"A23": expiryNeedsNoJob,
	"A25": aNodeThatHasNotLoaded,
}

func keysOfARemovedMember(t *testing.T, w *world) {
	b := w.newTenant("acme")
	jo, joID := w.member(b.slug, b.owner, "jo@acme.example", "admin")
	own := w.values.plant(w.must("POST", in("-", "me/keys"), jo, body{"name": "laptop"}).str("value"))
	bot := w.account("-", jo, "bot", "operator")
	botKey := w.keyOf("-", jo, bot)

	w.must("DELETE", in("-", "members/"+joID), b.owner, nil)
	w.refuses(jo, "principal_inactive")
	w.refuses(own, "principal_inactive")
	w.accepts(botKey)
	w.wants(w.call("POST", in("-", "me/keys"), jo, body{"name": "again"}), http.StatusUnauthorized, "unauthenticated")

	named := 0
	for _, e := range w.must("GET", in("-", "audit_events?actor="+joID), b.owner, nil).items() {
		if e.str("actor.name") != "jo" || e.str("actor.state") != "removed" {
			t.Errorf("an event of the removed member names %s, %s", e.str("actor.name"), e.str("actor.state"))
		}
		named++
	}
	if named < 3 {
		t.Errorf("%d events name the removed member, want what they did", named)
	}
}

func keysOfAPausedWorkspace(_ *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.keyOf("-", b.owner, w.account("-", b.owner, "bot", "operator"))
	w.must("POST", "/v1/workspaces/acme/pause", w.owner, nil)
	w.refuses(bot, "paused")
	w.refuses(b.owner, "paused")
	w.wants(w.call("POST", in("-", "service_accounts"), b.owner, body{"name": "x", "role": "viewer"}), http.StatusUnauthorized, "unauthenticated")
	w.accepts(w.owner)
	w.must("POST", "/v1/workspaces/acme/resume", w.owner, nil)
	w.accepts(bot)
	w.accepts(b.owner)
}

func everyLevelThatIsSwitchedOff(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "writer", "permissions": []string{"docs:read", "docs:write"}})
	bot := w.account("-", b.owner, "bot", "writer")
	value := w.keyOf("-", b.owner, bot)
	key := w.idOf(value)
	for _, level := range []struct {
		name, off, offBody, on, onBody, verb, caller, code string
	}{
		{"role", in("-", "roles/writer"), `{"permissions":["docs:read"]}`, in("-", "roles/writer"), `{"permissions":["docs:read","docs:write"]}`, "PATCH", b.owner, "permission_denied"},
		{"assignment", in("-", "service_accounts/bot"), `{"role":"viewer"}`, in("-", "service_accounts/bot"), `{"role":"writer"}`, "PATCH", b.owner, "permission_denied"},
		{"limit", in("-", "keys/"+key), `{"limit":["docs:read"]}`, in("-", "keys/"+key), `{"limit":null}`, "PATCH", b.owner, "permission_denied"},
		{"networks", in("-", "keys/"+key), `{"allowed_networks":["203.0.113.0/24"]}`, in("-", "keys/"+key), `{"allowed_networks":null}`, "PATCH", b.owner, "network_denied"},
		{"key", in("-", "keys/"+key) + "/pause", "", in("-", "keys/"+key) + "/resume", "", "POST", b.owner, "paused"},
		{"account", in("-", "service_accounts/bot") + "/pause", "", in("-", "service_accounts/bot") + "/resume", "", "POST", b.owner, "paused"},
		{"workspace", "/v1/workspaces/acme/pause", "", "/v1/workspaces/acme/resume", "", "POST", w.owner, "paused"},
	} {
		w.accepts(value, "docs:write")
		w.must(level.verb, level.off, level.caller, textOrNil(level.offBody))
		if got := w.verdict(value, "docs:write"); got != level.code {
			t.Errorf("with its %s switched off the key reads %s, want %s", level.name, got, level.code)
		}
		w.must(level.verb, level.on, level.caller, textOrNil(level.onBody))
	}
	w.accepts(value, "docs:write")
}

func textOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func keysOfADemotedMember(t *testing.T, w *world) {
	b := w.newTenant("acme")
	jo, joID := w.member("-", b.owner, "jo@acme.example", "editor")
	w.accepts(jo, "docs:write")
	w.must("PATCH", in("-", "members/"+joID), b.owner, body{"role": "viewer"})
	if got := w.verdict(jo, "docs:write"); got != "permission_denied" {
		t.Errorf("after the demotion the key reads %s, want permission_denied", got)
	}
	w.accepts(jo, "docs:read")
}

func everyWayToEndAKey(t *testing.T, w *world) {
	b := w.newTenant("acme")
	never := body{"expires_at": nil}
	for name, end := range map[string]func(t *testing.T, account, value string){
		"revoke": func(_ *testing.T, _, value string) {
			w.must("POST", in("-", "keys/"+w.idOf(value)+"/revoke"), b.owner, nil)
		},
		"revoke itself": func(_ *testing.T, _, value string) {
			w.must("POST", "/v1/keys/self/revoke", value, nil)
		},
		"revoke the account": func(_ *testing.T, account, _ string) {
			w.must("POST", in("-", "service_accounts/"+account+"/revoke"), b.owner, nil)
		},
	} {
		account := w.account("-", b.owner, "bot-"+map[bool]string{true: "x", false: "y"}[name == "revoke"]+itoa(len(name)), "operator")
		value := w.keyOf("-", b.owner, account, never)
		w.accepts(value)
		end(t, account, value)
		w.refuses(value, "revoked", "principal_inactive")
	}

	// Made with a key that is then revoked together with what it made.
	admin := w.account("-", b.owner, "provisioner", "admin")
	maker := w.keyOf("-", b.owner, admin, never)
	child := w.account("-", maker, "child", "viewer")
	childKey := w.keyOf("-", maker, child, never)
	grandchild := w.keyOf("-", w.keyOf("-", maker, admin, never), child, never)
	w.must("POST", in("-", "keys/"+w.idOf(maker)+"/revoke"), b.owner, body{"reason": "compromised", "descendants": true})
	for _, value := range []string{maker, childKey, grandchild} {
		w.refuses(value, "revoked", "principal_inactive")
	}

	jo, joID := w.member("-", b.owner, "jo@acme.example", "viewer")
	w.must("DELETE", in("-", "members/"+joID), b.owner, nil)
	w.refuses(jo, "principal_inactive")
}

func aRevocationThatFailsIsNotReportedAsDone(t *testing.T, w *world) {
	bot := w.account("-", w.owner, "bot", "operator")
	for name, path := range map[string]func(account, key string) string{
		"account": func(account, _ string) string { return in("-", "service_accounts/"+account+"/revoke") },
		"key":     func(_, key string) string { return in("-", "keys/"+key+"/revoke") },
	} {
		failures := 0
		for at := int64(1); ; at++ {
			value := w.keyOf("-", w.owner, bot)
			key := w.idOf(value)
			before := w.store.failed.Load()
			w.store.failAt.Store(at)
			a := w.call("POST", path(bot, key), w.owner, nil, "Idempotency-Key", "at-"+name+itoa(int(at)))
			w.store.failAt.Store(0)
			if w.store.failed.Load() == before {
				if a.status != http.StatusOK {
					t.Errorf("%s: nothing failed and the answer is %d", name, a.status)
				}
				w.refuses(value, "revoked", "principal_inactive")
				break
			}
			failures++
			if a.status < 400 {
				t.Errorf("%s: call %d of the transaction failed and the answer is %d", name, at, a.status)
			}
			w.accepts(value) // nothing was changed, and nobody was told otherwise
		}
		if failures < 4 {
			t.Errorf("%s: only %d places failed: the test does not reach the transaction", name, failures)
		}
		bot = w.account("-", w.owner, "bot-"+name, "operator")
	}

	// The outcome of the COMMIT is not known: it is not reported as done, and the
	// same call with its Idempotency-Key finds out.
	value := w.keyOf("-", w.owner, bot)
	path := in("-", "keys/"+w.idOf(value)+"/revoke")
	w.store.unknown.Store(true)
	a := w.call("POST", path, w.owner, nil, "Idempotency-Key", "unknown")
	w.store.unknown.Store(false)
	if a.status < 500 {
		t.Errorf("the outcome is unknown and the answer is %d", a.status)
	}
	w.must("POST", path, w.owner, nil, "Idempotency-Key", "unknown")
	w.refuses(value, "revoked")
}

func aRevocationIsInTheDatabase(_ *testing.T, w *world) {
	bot := w.account("-", w.owner, "bot", "operator")
	revoked, paused, kept := w.keyOf("-", w.owner, bot), w.keyOf("-", w.owner, bot), w.keyOf("-", w.owner, bot)
	w.must("POST", in("-", "keys/"+w.idOf(revoked)+"/revoke"), w.owner, nil)
	w.must("POST", in("-", "keys/"+w.idOf(paused)+"/pause"), w.owner, nil)
	w.start() // a process that has only the database to go by
	w.refuses(revoked, "revoked")
	w.refuses(paused, "paused")
	w.accepts(kept)
}

func expiryNeedsNoJob(t *testing.T, w *world) {
	bot := w.account("-", w.owner, "bot", "operator")
	value := w.keyOf("-", w.owner, bot, body{"expires_in": "1h"})
	forever := w.keyOf("-", w.owner, w.account("-", w.owner, "prober-2", "verifier"), body{"expires_at": nil})
	invitation := w.must("POST", in("-", "invitations"), w.owner, body{"email": "jo@example.com", "role": "viewer"}).str("token")
	w.prober = forever
	w.clock.advance(time.Hour - time.Minute)
	w.accepts(value)
	w.clock.advance(time.Minute)
	w.refuses(value, "expired")
	w.clock.advance(-2 * time.Hour) // a clock that goes back revives nothing that a change came after
	w.clock.advance(2 * time.Hour)
	w.refuses(value, "expired")
	w.clock.advance(7 * 24 * time.Hour)
	w.wants(w.call("POST", "/v1/invitations/accept", "", body{"token": invitation, "name": "Jo"}), http.StatusGone, "gone")
}

func aNodeThatHasNotLoaded(t *testing.T, w *world) {
	value := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "operator"))
	w.serve(replica.New(replica.Options{Now: w.clock.now, Node: "cold"}))
	for _, a := range []answer{
		w.call("POST", "/v1/verify", w.prober, body{"key": value}),
		w.call("POST", "/v1/verify/batch", w.prober, body{"items": []body{{"key": value}}}),
		w.call("GET", "/v1/whoami", value, nil),
		w.call("GET", in("-", "keys"), w.owner, nil),
		w.call("POST", in("-", "service_accounts"), w.owner, body{"name": "x", "role": "viewer"}),
	} {
		w.wants(a, http.StatusServiceUnavailable, "stale")
		if a.at("valid") != false || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: a stale answer is %s, Retry-After %q", a.call, a.text, a.header.Get("Retry-After"))
		}
	}
	if a := w.call("GET", "/readyz", "", nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a node that has not loaded is %d", a.status)
	}
}

// aRevocationSurvivesTheProcess kills a server at some moment around the commit
// of a revocation. Whatever it had said must be true when it is back.
func aRevocationSurvivesTheProcess(t *testing.T, _ *world) {
	dir, store := t.TempDir(), freshURL(t)
	if code, _, stderr := program(t, dir, "", "init", "--workspace", "Acme", "--email", "a@example.com",
		"--store-url", store, "--secret-file", filepath.Join(dir, "secret"), "--out-header", filepath.Join(dir, "owner.h")); code != 0 {
		t.Fatalf("init: %d %s", code, stderr)
	}
	header, err := os.ReadFile(filepath.Join(dir, "owner.h"))
	if err != nil {
		t.Fatal(err)
	}
	owner := strings.TrimPrefix(strings.TrimSpace(string(header)), "Authorization: Bearer ")
	w := &world{t: t, clock: new(clock), values: new(canaries), owner: owner}
	var answered int
	for i, delay := range []time.Duration{0, time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond, 8 * time.Millisecond, 50 * time.Millisecond} {
		p := serve(t, dir, store)
		w.http = &httptest.Server{URL: p.url}
		name := "bot-" + itoa(i)
		value := w.keyOf("-", owner, w.account("-", owner, name, "operator"))
		said := make(chan bool, 1)
		go func() { said <- tryRevoke(p.url, owner, name) }()
		time.Sleep(delay) // the moment of the power failure is the point of this test
		p.kill()
		revoked := <-said
		p = serve(t, dir, store)
		w.http = &httptest.Server{URL: p.url}
		state := w.must("GET", in("-", "service_accounts/"+name), owner, nil).str("state")
		works := w.call("GET", "/v1/whoami", value, nil).status == http.StatusOK
		if revoked {
			answered++
		}
		if revoked && works || works != (state == "active") {
			t.Errorf("killed after %v: the revocation had returned: %v; the account is %s, its key works: %v", delay, revoked, state, works)
		}
		p.kill()
	}
	if answered == 0 {
		t.Error("no revocation had returned before the kill: the test is blind")
	}
}

// tryRevoke reports whether a revocation returned success.
func tryRevoke(url, key, account string) bool {
	req, err := http.NewRequest("POST", url+in("-", "service_accounts/"+account+"/revoke"), nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
