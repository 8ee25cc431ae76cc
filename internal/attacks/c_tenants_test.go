package attacks_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

var tenantAttacks = map[string]func(*testing.T, *world){
	"C01": idsOfAnotherTenantInPaths,
	"C02": idsOfAnotherTenantElsewhere,
	"C03": everyDocumentedRouteAndNoOther,
	"C04": endingWhatIsAnothers,
	"C05": aKeyOfAnotherAccount,
	"C09": handlesOfAnotherTenant,
	"C10": filtersThatWiden,
}

var ids = regexp.MustCompile(`"(request_id|instance)":"[^"]*"`)

// same is what an answer says, without what is different in every answer.
func (a answer) same() string { return ids.ReplaceAllString(a.text, "") }

// operators are the operations on a tenant's workspace that are for those who
// operate the deployment.
var operators = []string{"get-workspace", "pause-workspace", "resume-workspace"}

// idsOfAnotherTenantInPaths tries every route with the ids of another tenant, as
// a tenant does and as those who operate the deployment, who do not administer
// what is inside the workspaces.
func idsOfAnotherTenantInPaths(t *testing.T, w *world) {
	a, b := w.newTenant("tenant-a"), w.newTenant("tenant-b")
	theirs := w.things(b)
	nowhere := things{}
	for part, id := range theirs {
		nowhere[part] = iam.NewID(id[:strings.IndexByte(id, '_')+1], w.clock.now())
	}
	tried := 0
	for _, op := range w.operations(t) {
		if !strings.Contains(op.path, "{workspace}") {
			continue
		}
		for _, ws := range []string{b.id, b.slug, "-"} {
			if ws == "-" && strings.Count(op.path, "{") == 1 {
				continue // nothing of theirs is named
			}
			for _, caller := range []string{a.owner, w.owner} {
				if caller == w.owner && ws != "-" && slices.Contains(operators, op.id) {
					continue
				}
				w.readsAsNothing(t, op, caller, ws, theirs, nowhere)
				tried++
			}
		}
	}
	if tried < 120 {
		t.Errorf("only %d calls were tried", tried)
	}
}

// readsAsNothing fails the test unless what is another's, in a workspace as it is
// named, reads to a caller like what is not there.
func (w *world) readsAsNothing(t *testing.T, op operation, caller, ws string, theirs, nowhere things) {
	t.Helper()
	theirs, nowhere = maps.Clone(theirs), maps.Clone(nowhere)
	theirs["workspace"] = ws
	if ws == "-" {
		nowhere["workspace"] = ws
	}
	got := w.call(op.method, op.about(t, theirs), caller, op.requestBody(t))
	none := w.call(op.method, op.about(t, nowhere), caller, op.requestBody(t))
	w.wants(got, http.StatusNotFound, "not_found")
	if got.status != none.status || got.same() != none.same() {
		t.Errorf("%s %s, workspace %s: what is theirs reads\n%d %s\nand what is not there\n%d %s", op.method, op.path, ws, got.status, got.text, none.status, none.text)
	}
}

func idsOfAnotherTenantElsewhere(t *testing.T, w *world) {
	a, b := w.newTenant("tenant-a"), w.newTenant("tenant-b")
	theirs := w.things(b)
	key := w.keyOf(b.id, b.owner, theirs["service_accounts"])
	for _, query := range []string{
		"keys?principal=" + theirs["service_accounts"], "service_accounts?role=" + theirs["roles"], "members?role=" + theirs["roles"],
		"audit_events?actor=" + b.ownerID, "audit_events?target=" + theirs["keys"],
		"members?q=tenant-b", "invitations?q=tenant-b", "service_accounts?q=thing", "roles?q=thing", "keys?q=thing",
	} {
		got := w.call("GET", in("-", query), a.owner, nil)
		if got.status == http.StatusOK && len(got.items()) != 0 {
			t.Errorf("%s: another tenant's id finds %s", query, got.text)
		}
	}
	w.wants(w.call("POST", in("-", "service_accounts"), a.owner, body{"name": "x", "role": theirs["roles"]}), http.StatusUnprocessableEntity, "validation_failed")
	w.wants(w.call("POST", in("-", "invitations"), a.owner, body{"email": "x@a.example", "role": theirs["roles"]}), http.StatusUnprocessableEntity, "validation_failed")
	w.wants(w.call("POST", in("-", "check"), a.owner, body{"principal": theirs["service_accounts"], "permission": "docs:read"}), http.StatusNotFound, "not_found")
	w.wants(w.call("POST", in("-", "check"), a.owner, body{"key": theirs["keys"], "permission": "docs:read"}), http.StatusNotFound, "not_found")

	for _, name := range []string{"X-Postern-Workspace", "X-Workspace", "X-Workspace-Id", "X-Tenant", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override"} {
		got := w.must("GET", in("-", "service_accounts"), a.owner, nil, name, map[bool]string{true: in(b.id, "service_accounts"), false: b.id}[strings.HasSuffix(name, "Url")])
		if len(got.items()) != 0 {
			t.Errorf("the header %s shows another tenant: %s", name, got.text)
		}
	}

	// A tenant's own verifier knows no keys but the tenant's, whatever it names.
	mine := w.keyOf("-", a.owner, w.account("-", a.owner, "prober", "verifier"))
	for _, ws := range []any{nil, "-", "any", b.id, b.slug} {
		question := body{"key": key}
		if ws != nil {
			question["workspace"] = ws
		}
		got := w.call("POST", "/v1/verify", mine, question)
		batch := w.call("POST", "/v1/verify/batch", mine, body{"items": []body{question}})
		if got.str("code") != "not_found" || got.at("principal") != nil || strings.Contains(batch.text, "valid\":true") {
			t.Errorf("workspace %v: another tenant's key reads %s, in a batch %s", ws, got.text, batch.text)
		}
	}
	w.accepts(key)

	// A cursor of one tenant is nothing to another.
	for range 3 {
		w.account(b.id, b.owner, "page-"+itoa(int(keyNumber.Add(1))), "viewer")
	}
	cursor := w.must("GET", in(b.id, "service_accounts?limit=1"), b.owner, nil).str("next_cursor")
	w.wants(w.call("GET", in("-", "service_accounts?limit=1&cursor="+url.QueryEscape(cursor)), a.owner, nil), http.StatusBadRequest, "invalid_request")
}

func everyDocumentedRouteAndNoOther(t *testing.T, w *world) {
	b := w.newTenant("acme")
	for _, path := range []string{
		"/v2/workspaces", "/v0/whoami", "/internal/keys", "/debug/pprof/", "/debug/vars", "/admin", "/v1/admin/keys", "/v1",
		"/v1/keys", "/v1/service_accounts", "/v1/users", "/v1//whoami", "/V1/whoami", "/v1/workspaces/-/keys/", "/.env",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			a := w.call(method, path, b.owner, nil)
			if a.status < 300 || a.status >= 500 {
				t.Errorf("%s %s, which no document has: %d %s", method, path, a.status, a.text)
			}
		}
	}
}

func endingWhatIsAnothers(t *testing.T, w *world) {
	a, b := w.newTenant("tenant-a"), w.newTenant("tenant-b")
	theirs := w.things(b)
	value := w.keyOf(b.id, b.owner, theirs["service_accounts"])
	key, account := w.idOf(value), theirs["service_accounts"]
	before := w.everythingOf(b)
	for _, ws := range []string{"-", a.id, b.id, b.slug, "any"} {
		for _, call := range []struct {
			method, path string
			in           any
		}{
			{"POST", "keys/" + key + "/revoke", nil}, {"POST", "keys/" + key + "/revoke", body{"descendants": true}},
			{"POST", "keys/" + key + "/pause", nil}, {"POST", "keys/" + key + "/resume", nil},
			{"PATCH", "keys/" + key, body{"expires_at": "2099-01-01T00:00:00Z"}}, {"PATCH", "keys/" + key, body{"limit": []string{"docs:read"}}},
			{"POST", "keys/" + url.PathEscape(value) + "/revoke", nil},
			{"POST", "keys/" + hashOf(value) + "/revoke", nil},
			{"POST", "service_accounts/" + account + "/revoke", nil}, {"POST", "service_accounts/" + account + "/pause", nil},
			{"POST", "service_accounts/" + account + "/keys", body{"name": "x"}}, {"PATCH", "service_accounts/" + account, body{"role": "viewer"}},
			{"DELETE", "members/" + theirs["members"], nil}, {"PATCH", "members/" + theirs["members"], body{"role": "viewer"}},
			{"DELETE", "roles/" + theirs["roles"], nil}, {"PATCH", "roles/" + theirs["roles"], body{"permissions": []string{"docs:read"}}},
			{"DELETE", "invitations/" + theirs["invitations"], nil},
		} {
			for _, caller := range []string{a.owner, w.owner} {
				got := w.call(call.method, in(ws, call.path), caller, call.in)
				if got.status != http.StatusNotFound && got.status != http.StatusBadRequest {
					t.Errorf("%s %s: %d %s", call.method, call.path, got.status, got.text)
				}
			}
		}
	}
	w.accepts(value)
	if after := w.everythingOf(b); after != before {
		t.Errorf("what another tenant has changed from\n%s\nto\n%s", before, after)
	}
}

// everythingOf returns all that a tenant's workspace holds.
func (w *world) everythingOf(b tenant) string {
	w.t.Helper()
	var all strings.Builder
	for _, path := range []string{"keys", "service_accounts", "members", "roles", "invitations", "audit_events"} {
		all.WriteString(w.must("GET", in(b.id, path), b.owner, nil).text)
	}
	return all.String()
}

func hashOf(value string) string { return token.NewSecret(value).Hash().String() }

func aKeyOfAnotherAccount(t *testing.T, w *world) {
	b := w.newTenant("acme")
	first, second := w.account("-", b.owner, "first", "operator"), w.account("-", b.owner, "second", "operator")
	value := w.keyOf("-", b.owner, second)
	key := w.idOf(value)
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
		for _, tail := range []string{"", "/revoke", "/pause"} {
			a := w.call(method, in("-", "service_accounts/"+first+"/keys/"+key+tail), b.owner, nil)
			if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
				t.Errorf("%s of one account's key under another: %d %s", a.call, a.status, a.text)
			}
		}
	}
	w.accepts(value)
	if n := len(w.must("GET", in("-", "service_accounts/first/keys"), b.owner, nil).items()); n != 0 {
		t.Errorf("the other account lists %d keys", n)
	}
	w.wants(w.call("GET", in("-", "service_accounts/first/keys?principal="+second), b.owner, nil), http.StatusBadRequest, "unknown_field")
}

func handlesOfAnotherTenant(t *testing.T, w *world) {
	a, b := w.newTenant("tenant-a"), w.newTenant("tenant-b")
	invitation := w.must("POST", in("-", "invitations"), b.owner, body{"email": "jo@b.example", "role": "admin"})
	token := w.values.plant(invitation.str("token"))
	// An invitation leads into the workspace that made it, whoever uses it.
	joined := w.must("POST", "/v1/invitations/accept", "", body{"token": token, "name": "Jo", "key": body{"name": "first"}})
	value := w.values.plant(joined.str("key.value"))
	if got := w.must("GET", "/v1/whoami", value, nil).str("principal.workspace.slug"); got != "tenant-b" {
		t.Errorf("the invitation led into %s", got)
	}
	for _, credential := range []string{token, invitation.str("id"), "inv_" + token} {
		w.wants(w.call("GET", in("-", "keys"), credential, nil), http.StatusUnauthorized, "unauthenticated")
	}
	event := w.must("GET", in("-", "audit_events?limit=1"), b.owner, nil).items()[0].str("id")
	w.wants(w.call("GET", in("-", "audit_events/"+event), a.owner, nil), http.StatusNotFound, "not_found")
	w.wants(w.call("GET", in(b.id, "audit_events/export?format=jsonl"), a.owner, nil), http.StatusNotFound, "not_found")
	w.sharedIdempotencyKeys(t, a, b)
}

// sharedIdempotencyKeys uses one Idempotency-Key for two callers, of one workspace
// and of two: that of one is nothing to the other.
func (w *world) sharedIdempotencyKeys(t *testing.T, a, b tenant) {
	t.Helper()
	jo, _ := w.member("-", b.owner, "al@b.example", "admin")
	first := w.must("POST", in("-", "me/keys"), b.owner, body{"name": "laptop"}, "Idempotency-Key", "one-workspace")
	second := w.must("POST", in("-", "me/keys"), jo, body{"name": "laptop"}, "Idempotency-Key", "one-workspace")
	w.values.plant(first.str("value"))
	if w.values.plant(second.str("value")) == "" || second.str("principal.id") == first.str("principal.id") {
		t.Errorf("a shared Idempotency-Key answered one member with the key of another: %s", second.text)
	}
	w.must("POST", in("-", "service_accounts"), b.owner, body{"name": "taken", "role": "viewer"}, "Idempotency-Key", "names")
	w.wants(w.call("POST", in("-", "service_accounts"), jo, body{"name": "taken", "role": "viewer"}, "Idempotency-Key", "names"), http.StatusConflict, "name_taken")

	w.must("POST", in("-", "service_accounts"), a.owner, body{"name": "x", "role": "viewer"}, "Idempotency-Key", "shared")
	made := w.must("POST", in("-", "service_accounts"), b.owner, body{"name": "x", "role": "viewer"}, "Idempotency-Key", "shared")
	if got := w.must("GET", in("-", "service_accounts/x"), b.owner, nil).str("id"); got != made.str("id") {
		t.Errorf("a shared Idempotency-Key answered with %s, the workspace has %s", made.str("id"), got)
	}
}

func filtersThatWiden(t *testing.T, w *world) {
	a, b := w.newTenant("tenant-a"), w.newTenant("tenant-b")
	w.account("-", b.owner, "secret-project", "viewer")
	for _, query := range []string{
		"workspace_id=" + b.id, "workspace=" + b.id, "workspace=any", "q=secret", "q=" + url.QueryEscape("' OR 1=1 --"),
		"q=" + url.QueryEscape(`%`), "action=" + url.QueryEscape("x' OR '1'='1"), "actor=", "target=", "actor=" + url.QueryEscape("%"),
		"outcome=", "from=", "sort=seq", "sort=-seq", "limit=100000", "limit=-1", "limit=0",
	} {
		for _, path := range []string{"audit_events", "audit_events/export"} {
			got := w.call("GET", in("-", path+"?"+query), a.owner, nil)
			if got.status >= 500 {
				t.Errorf("%s?%s: %d %s", path, query, got.status, got.text)
			}
			if strings.Contains(got.text, "secret-project") || strings.Contains(got.text, b.id) && got.status == http.StatusOK {
				t.Errorf("%s?%s shows another tenant: %s", path, query, got.text)
			}
		}
	}
}
