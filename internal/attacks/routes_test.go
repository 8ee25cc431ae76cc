package attacks_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/relay"
)

func itoa(n int) string { return strconv.Itoa(n) }

// operation is a route as the OpenAPI document has it.
type operation struct {
	id, method, path string
	permission       string // what it needs; empty: any key, or none
	open             bool
	people           bool // for those who signed in, and no key
	keysOnly         bool // no session does it
	body             bool
	forms            bool // a form is as good as JSON
}

// operations are all routes, so that a new one is tried without anybody adding it. What
// is answered at the gateway's listener alone has tests of its own: D01 to D10.
func (w *world) operations(t *testing.T) []operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string             `json:"operationId"`
			Servers     []any              `json:"servers"`
			Permission  string             `json:"x-postern-permission"`
			Security    []map[string][]any `json:"security"`
			RequestBody *struct {
				Content map[string]any `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(w.must("GET", "/v1/openapi.json", "", nil).text), &doc); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.Servers != nil {
				continue
			}
			forms := op.RequestBody != nil && op.RequestBody.Content["application/x-www-form-urlencoded"] != nil
			all = append(all, operation{
				forms: forms,
				id:    op.OperationID, method: strings.ToUpper(method), path: path, permission: op.Permission,
				open: op.Security != nil && len(op.Security) == 0, body: op.RequestBody != nil,
				people: takesOnly(op.Security, "session"), keysOnly: takesOnly(op.Security, "key"),
			})
		}
	}
	if len(all) < 40 {
		t.Fatalf("the document has %d operations: it is not the whole API", len(all))
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// takesOnly reports whether an operation takes credentials of one sort.
func takesOnly(security []map[string][]any, sort string) bool {
	if len(security) != 1 {
		return false
	}
	_, takes := security[0][sort]
	return takes
}

// things are what a workspace holds for routes to be about, by the part of the
// path that leads to them.
type things map[string]string

// things makes one of everything in a tenant's workspace.
func (w *world) things(b tenant) things {
	w.t.Helper()
	name := "thing-" + itoa(int(keyNumber.Add(1)))
	account := w.account(b.id, b.owner, name, "operator")
	key := w.newKey(b.id, b.owner, account)
	w.must("POST", in(b.id, "roles"), b.owner, body{"name": name, "permissions": []string{"docs:read"}})
	invitation := w.must("POST", in(b.id, "invitations"), b.owner, body{"email": name + "@" + b.slug + ".example", "role": "viewer"})
	w.values.plant(invitation.str("token"))
	_, member := w.member(b.id, b.owner, "member-"+name+"@"+b.slug+".example", "viewer")
	event := w.must("GET", in(b.id, "audit_events?limit=1"), b.owner, nil).items()[0].str("id")
	rotated := w.newKey(b.id, b.owner, account, body{"name": "to-be-rotated"}).str("id")
	rotation := w.must("POST", in(b.id, "keys/"+rotated+"/rotations"), b.owner, nil)
	w.values.plant(rotation.str("new_key.value"))
	titled := w.must("PATCH", in(b.id, "roles/"+name), b.owner, body{"title": "Reads"})
	return things{
		"workspace": b.id, "service_accounts": account, "keys": key.str("id"),
		"roles":     w.must("GET", in(b.id, "roles/"+name), b.owner, nil).str("id"),
		"rotations": rotation.str("rotation.id"), "sessions": "ses_none", "passkeys": "pky_none", "invitations": invitation.str("id"), "members": member, "audit_events": event, "receipts": titled.str("receipt.id"), "replica": "none",
	}
}

// fill puts the ids of things into a route's path. ok is false when the route is
// about something that the test does not know: it must learn of it.
func (op operation) fill(has things) (path string, ok bool) {
	parts := strings.Split(op.path, "/")
	for i, part := range parts {
		switch {
		case part == "{workspace}":
			parts[i] = has["workspace"]
		case strings.HasPrefix(part, "{"):
			if parts[i] = has[parts[i-1]]; parts[i] == "" {
				return "", false
			}
		}
	}
	return strings.Join(parts, "/"), true
}

// about returns the route's path about things, and fails the test when they are
// not all that it needs.
func (op operation) about(t *testing.T, has things) string {
	t.Helper()
	path, ok := op.fill(has)
	if !ok {
		t.Fatalf("%s %s is about something that this test does not make", op.method, op.path)
	}
	return path
}

// valid are bodies that each operation accepts. A new route with a body fails the
// tests that use them until it has one here.
var valid = map[string]any{
	"create-workspace":           body{"name": "New", "slug": "new-workspace"},
	"update-workspace":           body{"name": "Renamed"},
	"create-service-account":     body{"name": "fresh", "role": "viewer"},
	"update-service-account":     body{"description": "changed"},
	"create-service-account-key": body{"name": "fresh"},
	"create-my-key":              body{"name": "fresh"},
	"update-key":                 body{"name": "renamed"},
	"update-member":              body{"role": "viewer"},
	"create-invitation":          body{"email": "fresh@example.com", "role": "viewer"},
	"accept-invitation":          body{"token": "inv_000000000000000000000000000000000", "name": "Jo"},
	"create-role":                body{"name": "fresh", "permissions": []string{"docs:read"}},
	"update-role":                body{"title": "changed"},
	"replace-permission-types":   []body{{"type": "docs", "actions": []string{"publish"}}},
	"check":                      body{"principal": "all-but-one", "permission": "docs:read"},
	"update-rotation":            body{"quiet_for": "1h"},
	"finish-rotation":            body{"force": true},
	"cancel-rotation":            body{"keep": "old"},
	"try-without-old-key":        body{"for": "1s"},
	"report-replica-use":         body{"number": 1, "covers": "2026-01-02T03:04:05Z", "keys": []body{}},
	"renew-replica-again":        frames(relay.RenewalsType),
	"renew-replica":              body{"n": 1, "seq": 1, "chain": strings.Repeat("0", 64), "wanted_ms": 1000},
	"get-role-impact":            body{"permissions": []string{"docs:read"}},
	"sign-in":                    body{"email": "nobody@example.com", "password": "not a password"},
	"step-up":                    body{"password": "not a password"},
	"change-password":            body{"current": "not a password", "new": "a new long password"},
	"move-session":               body{"workspace": "acme"},
	"begin-passkey":              body{"for": "sign_in"},
	"add-passkey":                body{"ceremony": "cer_0", "credential": body{}, "name": "laptop"},
	"rename-passkey":             body{"name": "phone"},
	"set-up":                     body{"token": "setup_0", "owner": body{"password": "a new long password"}},
	"start-device":               body{"name": "laptop"},
	"poll-device":                body{"device_code": "dev_0"},
	"look-up-device":             body{"user_code": "BCDF-GHJK"},
	"approve-device":             body{"user_code": "BCDF-GHJK", "approve": true},
	"verify":                     body{"key": "not a key"},
	"verify-batch":               body{"items": []body{{"key": "not a key"}}},
}

// frames is an empty body of another media type than JSON.
type frames string

// requestBody returns a body that the operation accepts.
func (op operation) requestBody(t *testing.T) any {
	t.Helper()
	if v, ok := valid[op.id]; ok {
		return v
	}
	if !op.body {
		return nil
	}
	if op.method == http.MethodPost {
		return body{} // an action: all its fields are optional
	}
	t.Fatalf("%s has a body and no example in this test", op.id)
	return nil
}

// withoutPermission are the routes that change something and need no permission,
// each of which has another guard. One more must be put here, with a reason.
var withoutPermission = map[string]string{
	"accept-invitation": "the token is the credential",
	"create-my-key":     "it gives no more than the calling key has",
	"revoke-self":       "whoever holds a key can stop it",
	"rotate-self":       "it gives no more than the calling key has",
	"sign-in":           "the password or the passkey is the credential",
	"set-up":            "the link is the credential",
	"poll-device":       "the device code is the credential, and somebody has approved it",
}

// administration lists every permission of Postern's own.
var administration = []string{
	"iam.service_accounts:read", "iam.service_accounts:write", "iam.keys:read", "iam.keys:write", "iam.keys:verify",
	"iam.members:read", "iam.members:write", "iam.roles:read", "iam.roles:write", "iam.audit:read", "iam.audit:export",
	"iam.settings:read", "iam.settings:write", "iam.webhooks:read", "iam.webhooks:write", "iam.nodes:read", "iam.nodes:write",
	"iam.workspaces:read", "iam.workspaces:write",
}

// eachRouteNeedsItsOwnPermission tries every route with a key that holds every
// permission but the one that the route is declared to need, and then with a key
// that holds that one alone, and full use of the product to give.
func eachRouteNeedsItsOwnPermission(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("PUT", in("-", "permissions"), b.owner, []body{{"type": "docs", "actions": []string{"publish"}}})
	admins := map[string]string{b.id: b.owner, "-": w.owner}
	accounts := map[string]string{b.id: w.account(b.id, b.owner, "all-but-one", "admin"), "-": w.account("-", w.owner, "all-but-one", "admin")}
	tried := 0
	for _, op := range w.operations(t) {
		if op.permission == "" {
			if _, known := withoutPermission[op.id]; !known && !op.people && op.changes() {
				t.Errorf("%s %s changes something and needs no permission", op.method, op.path)
			}
			continue
		}
		ws, target := b.id, b // what is for the system workspace is tried there, on a tenant of its own
		if strings.HasPrefix(op.permission, "iam.workspaces") || !strings.Contains(op.path, "{workspace}") {
			ws, target = "-", w.newTenant("acme-"+op.id)
		}
		but := append(slices.DeleteFunc(slices.Clone(administration), func(p string) bool { return p == op.permission }), "*:*")
		limited := w.keyOf(ws, admins[ws], accounts[ws], body{"limit": but})
		path := op.about(t, w.things(target))
		a := w.call(op.method, path, limited, op.requestBody(t))
		if a.status != http.StatusForbidden || a.str("permission") != op.permission {
			t.Errorf("%s %s needs %s; without it: %d %s", op.method, op.path, op.permission, a.status, a.text)
		}
		alone := w.keyOf(ws, admins[ws], accounts[ws], body{"limit": []string{op.permission, "*:*"}})
		a = w.call(op.method, path, alone, op.requestBody(t))
		lendsNothing := strings.HasPrefix(op.path, "/v1/replica") && a.str("code") == "unavailable" // as this deployment's one node
		if (a.status < 200 || a.status > 299) && !lendsNothing {
			t.Errorf("%s %s needs %s; with it alone: %d %s", op.method, op.path, op.permission, a.status, a.text)
		}
		tried++
	}
	if tried < 25 {
		t.Errorf("only %d routes say what they need", tried)
	}
}

// changes reports whether a route may change something.
func (op operation) changes() bool { return op.method != http.MethodGet && !op.readOnly() }

// readOnly reports whether a POST only asks.
func (op operation) readOnly() bool {
	return slices.Contains([]string{"verify", "verify-batch", "check", "get-role-impact", "begin-passkey", "start-device", "look-up-device"}, op.id)
}
