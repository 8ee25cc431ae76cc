package attacks_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/replica"
)

var revocationAttacks = map[string]func(*testing.T, *world){
	"A03": keysOfARemovedMember,
	"A06": keysOfAPausedWorkspace,
	"A07": everyLevelThatIsSwitchedOff,
	"A10": keysOfADemotedMember,
	"A12": aStreamThatOutlivesItsRight,
	"A15": everyWayToEndAKey,
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

	for query, least := range map[string]int{"actor=" + joID: 4, "target=" + bot: 1, "q=jo": 4} {
		named := 0
		for _, e := range w.must("GET", in("-", "audit_events?"+query), b.owner, nil).items() {
			if e.str("actor.id") != joID {
				continue
			}
			if e.str("actor.name") != "jo" || e.str("actor.state") != "removed" {
				t.Errorf("an event of the removed member names %s, %s", e.str("actor.name"), e.str("actor.state"))
			}
			named++
		}
		if named < least {
			t.Errorf("%s finds %d events that name the removed member, want %d or more", query, named, least)
		}
	}
	if maker := w.must("GET", in("-", "service_accounts/bot"), b.owner, nil); maker.str("created_by.name") != "jo" || maker.str("created_by.state") != "removed" {
		t.Errorf("the account was made by %v", maker.at("created_by"))
	}
}

func keysOfAPausedWorkspace(_ *testing.T, w *world) {
	b := w.newTenant("acme")
	jo, _ := w.member("-", b.owner, "jo@acme.example", "admin")
	bot := w.keyOf("-", jo, w.account("-", jo, "bot", "operator"))
	invitation := w.must("POST", in("-", "invitations"), b.owner, body{"email": "al@acme.example", "role": "viewer"}).str("token")
	all := []string{bot, jo, b.owner}
	w.must("POST", "/v1/workspaces/acme/pause", w.owner, nil)
	for _, value := range all {
		w.refuses(value, "paused")
		for _, a := range []answer{
			w.call("POST", in("-", "service_accounts"), value, body{"name": "x", "role": "viewer"}),
			w.call("GET", in("-", "audit_events/export"), value, nil),
			w.call("POST", "/v1/verify", value, body{"key": value}),
			w.call("POST", "/v1/keys/self/revoke", value, nil),
		} {
			w.wants(a, http.StatusUnauthorized, "unauthenticated")
		}
	}
	w.wants(w.call("POST", "/v1/invitations/accept", "", body{"token": invitation, "name": "Al"}), http.StatusGone, "gone")
	w.accepts(w.owner)
	w.must("POST", "/v1/workspaces/acme/resume", w.owner, nil)
	for _, value := range all {
		w.accepts(value)
	}
	w.accept(invitation, "Al")
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

	// What a demoted admin could do to the workspace goes at the same moment, also
	// with a key whose limit still names it.
	al, alID := w.member("-", b.owner, "al@acme.example", "admin")
	limited := w.values.plant(w.must("POST", in("-", "me/keys"), al, body{"name": "ci", "limit": []string{"iam.service_accounts:write", "docs:write"}}).str("value"))
	w.must("POST", in("-", "service_accounts"), limited, body{"name": "no-power", "role": w.powerless(b)})
	w.must("PATCH", in("-", "members/"+alID), b.owner, body{"role": "viewer"})
	for _, value := range []string{al, limited} {
		w.wants(w.call("POST", in("-", "service_accounts"), value, body{"name": "after", "role": w.powerless(b)}), http.StatusForbidden, "permission_denied")
		if got := w.verdict(value, "docs:write"); got != "permission_denied" {
			t.Errorf("a demoted admin's key reads %s, want permission_denied", got)
		}
	}
}

// powerless returns a role of a tenant that the limited key above can give.
func (w *world) powerless(b tenant) string {
	w.t.Helper()
	w.call("POST", in("-", "roles"), b.owner, body{"name": "powerless", "permissions": []string{"docs:write"}}) // it may be there
	return "powerless"
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
		account := w.account("-", b.owner, "bot-"+strings.ReplaceAll(name, " ", "-"), "operator")
		value := w.keyOf("-", b.owner, account, never)
		w.accepts(value)
		end(t, account, value)
		w.refuses(value, "revoked", "principal_inactive")
	}

	w.endDescendants(b)
	jo, joID := w.member("-", b.owner, "jo@acme.example", "viewer")
	w.must("DELETE", in("-", "members/"+joID), b.owner, nil)
	w.refuses(jo, "principal_inactive")
}

// endDescendants revokes a key together with what was made with it, at one remove
// or two: keys of an account that stays, and accounts whose keys others made.
func (w *world) endDescendants(b tenant) {
	w.t.Helper()
	never := body{"expires_at": nil}
	admin, bystander := w.account("-", b.owner, "provisioner", "admin"), w.account("-", b.owner, "bystander", "viewer")
	maker := w.keyOf("-", b.owner, admin, never)
	second := w.keyOf("-", maker, admin, never)
	child, grandchild := w.account("-", maker, "child", "viewer"), w.account("-", second, "grandchild", "viewer")
	ended := []string{
		maker, second, w.keyOf("-", maker, bystander, never), w.keyOf("-", second, bystander, never),
		w.keyOf("-", b.owner, child, never), w.keyOf("-", b.owner, grandchild, never),
	}
	stays := w.keyOf("-", b.owner, bystander, never)
	w.must("POST", in("-", "keys/"+w.idOf(maker)+"/revoke"), b.owner, body{"reason": "compromised", "descendants": true})
	for _, value := range ended {
		w.refuses(value, "revoked", "principal_inactive")
	}
	w.accepts(stays)
}

func expiryNeedsNoJob(t *testing.T, w *world) {
	bot := w.account("-", w.owner, "bot", "operator")
	prober := w.account("-", w.owner, "prober-2", "verifier")
	w.prober = w.keyOf("-", w.owner, prober, body{"expires_at": nil})
	w.owner = w.keyOf("-", w.owner, w.account("-", w.owner, "admin", "admin"), body{"expires_at": nil})
	made := w.newKey("-", w.owner, bot, body{"expires_in": "1h"})
	w.atTheMoment(t, made.time(t, "expires_at"), func(over bool) {
		if over {
			w.refuses(made.str("value"), "expired")
		} else {
			w.accepts(made.str("value"))
		}
	})

	// Once a change was made at a time, a clock that goes back revives nothing that
	// had ended by then.
	w.account("-", w.owner, "later", "viewer")
	w.clock.stop(made.time(t, "expires_at").Add(-30 * time.Minute))
	w.refuses(made.str("value"), "expired")
	w.clock.stop(made.time(t, "expires_at"))

	var invitations []answer
	for _, email := range []string{"jo@example.com", "al@example.com"} {
		a := w.must("POST", in("-", "invitations"), w.owner, body{"email": email, "role": "viewer"})
		w.values.plant(a.str("token"))
		invitations = append(invitations, a)
	}
	first, second := invitations[0], invitations[1]
	w.atTheMoment(t, first.time(t, "expires_at"), func(over bool) {
		if over {
			w.wants(w.call("POST", "/v1/invitations/accept", "", body{"token": second.str("token"), "name": "Al"}), http.StatusGone, "gone")
		} else {
			w.accept(first.str("token"), "Jo")
		}
	})
}

// atTheMoment calls try with the clock stopped one microsecond before a moment,
// and then at it.
func (w *world) atTheMoment(t *testing.T, at time.Time, try func(over bool)) {
	t.Helper()
	w.clock.stop(at.Add(-time.Microsecond))
	try(false)
	w.clock.stop(at)
	try(true)
}

func aNodeThatHasNotLoaded(t *testing.T, w *world) {
	value := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "operator"))
	b := w.newTenant("acme")
	has := w.things(b)
	var all []operation
	for _, op := range w.operations(t) {
		if !op.open {
			all = append(all, op)
		}
	}
	w.serve(replica.New(replica.Options{Now: w.clock.now, Node: "cold"}))
	if len(all) < 30 {
		t.Fatalf("only %d operations need a key", len(all))
	}
	for _, op := range all {
		in1 := op.requestBody(t)
		switch op.id {
		case "verify":
			in1 = body{"key": value}
		case "verify-batch":
			in1 = body{"items": []body{{"key": value}}}
		}
		for _, caller := range []string{b.owner, w.owner, w.prober} {
			a := w.call(op.method, op.about(t, has), caller, in1)
			w.wants(a, http.StatusServiceUnavailable, "stale")
			if a.at("valid") != false || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: a stale answer is %s, Retry-After %q", a.call, a.text, a.header.Get("Retry-After"))
			}
		}
	}
	if a := w.call("GET", "/readyz", "", nil); a.status != http.StatusServiceUnavailable || a.str("status") != "stale" {
		t.Errorf("/readyz of a node that has not loaded is %d %s", a.status, a.text)
	}
}

// aStreamThatOutlivesItsRight takes the right to a stream away in every way there
// is, while much happens. No event of after that may be on it.
func aStreamThatOutlivesItsRight(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "admin")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "watcher", "permissions": []string{"iam.audit:read", "iam.keys:read"}})
	for name, end := range map[string]func(account, key string){
		"revoke": func(_, key string) { w.must("POST", in("-", "keys/"+key+"/revoke"), b.owner, nil) },
		"pause":  func(_, key string) { w.must("POST", in("-", "keys/"+key+"/pause"), b.owner, nil) },
		"narrow": func(_, key string) {
			w.must("PATCH", in("-", "keys/"+key), b.owner, body{"limit": []string{"iam.keys:read"}})
		},
		"revoke-account": func(account, _ string) { w.must("POST", in("-", "service_accounts/"+account+"/revoke"), b.owner, nil) },
		"other-role": func(account, _ string) {
			w.must("PATCH", in("-", "service_accounts/"+account), b.owner, body{"role": "operator"})
		},
		"pause-workspace": func(_, _ string) { w.must("POST", "/v1/workspaces/acme/pause", w.owner, nil) },
	} {
		account := w.account("-", b.owner, "watcher-"+name, "watcher")
		value := w.keyOf("-", b.owner, account)
		w.breaksOff(b, bot, name, value, func() { end(account, w.idOf(value)) })
		if name == "pause-workspace" {
			w.must("POST", "/v1/workspaces/acme/resume", w.owner, nil)
		}
	}
	for name, end := range map[string]func(p someone, other string){
		"sign-out":   func(p someone, _ string) { w.must("DELETE", "/v1/sessions/current", p.browser, nil) },
		"end-others": func(_ someone, other string) { w.must("POST", "/v1/sessions/end_others", other, nil) },
		"remove":     func(p someone, _ string) { w.must("DELETE", in("-", "members/"+p.id), b.owner, nil) },
		"demote": func(p someone, _ string) {
			w.must("PATCH", in("-", "members/"+p.id), b.owner, body{"role": "operator"})
		},
	} {
		p := w.signedIn(b, "watcher")
		other := w.again(p)
		w.breaksOff(b, bot, name, p.browser, func() { end(p, other) })
	}
}

// breaksOff follows a stream while there is much to tell, takes its right away, and
// wants it to end without a word of what is done after that has returned.
func (w *world) breaksOff(b tenant, bot, name, credential string, end func()) {
	w.t.Helper()
	t, read, stop := w.t, w.follow(credential, "?topics=audit,keys"), make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				w.call("PATCH", in("-", "service_accounts/"+bot), b.owner, body{"description": "talk " + itoa(n)})
			}
		}
	})
	end()
	w.call("PATCH", in("-", "service_accounts/"+bot), b.owner, body{"description": "after " + name}) // in a paused workspace nobody can
	text, err := read()
	close(stop)
	talking.Wait()
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%s: the stream ended with %v, want it broken off", name, err)
	}
	if text == "" || strings.Contains(text, "after "+name) {
		t.Errorf("%s: what was done after it had returned was told: %.300s", name, text)
	}
}

// follow opens a stream, and returns what reads it to its end.
func (w *world) follow(key, query string) func() (string, error) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), time.Minute)
	w.t.Cleanup(stop)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.http.URL+in("-", "stream"+query), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	identify(req, key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("open a stream: %v, %v", err, resp)
	}
	return func() (string, error) {
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return string(text), err
	}
}
