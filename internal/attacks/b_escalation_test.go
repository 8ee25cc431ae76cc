package attacks_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/posternhq/postern/internal/token"
)

var escalationAttacks = map[string]func(*testing.T, *world){
	"B01": aChildIsNeverMoreThanItsMaker,
	"B02": aKeyThatMintsAWiderOne,
	"B05": actingOnAHigherRole,
	"B06": fieldsThatTheServerOwns,
	"B08": editingARoleIsGivingIt,
	"B09": readingGivesNoSecret,
	"B10": whatIsMissingIsRefused,
	"B13": nothingExistsByDefault,
	"B14": theLastOwner,
	"B15": eachRouteNeedsItsOwnPermission,
}

func aKeyThatMintsAWiderOne(_ *testing.T, w *world) {
	b := w.newTenant("acme")
	admin := w.account("-", b.owner, "ci", "admin")
	limited := w.keyOf("-", b.owner, admin, body{"limit": []string{"iam.keys:write", "iam.keys:read", "docs:read"}})
	id := w.idOf(limited)
	w.wants(w.call("POST", in("-", "service_accounts/ci/keys"), limited, body{"name": "unlimited"}), http.StatusForbidden, "permission_denied")
	w.wants(w.call("POST", in("-", "service_accounts/ci/keys"), limited, body{"name": "wider", "limit": []string{"docs:read", "docs:write"}}), http.StatusForbidden, "permission_denied")
	w.wants(w.call("PATCH", in("-", "keys/"+id), limited, body{"limit": nil}), http.StatusForbidden, "permission_denied")
	w.wants(w.call("PATCH", in("-", "keys/"+id), limited, body{"limit": []string{"*:*"}}), http.StatusForbidden, "permission_denied")
	w.must("POST", in("-", "service_accounts/ci/keys"), limited, body{"name": "narrower", "limit": []string{"docs:read"}})

	// An Editor who asks for everything.
	editor := w.keyOf("-", b.owner, w.account("-", b.owner, "editor", "editor"))
	w.wants(w.call("POST", in("-", "roles"), editor, body{"name": "all", "permissions": []string{"*:*"}}), http.StatusForbidden, "permission_denied")
	w.wants(w.call("POST", in("-", "service_accounts/ci/keys"), editor, body{"name": "all", "limit": []string{"*:*"}}), http.StatusForbidden, "permission_denied")
}

// ownFields are members that answers have, or that a database could have, and
// no request may set.
var ownFields = []string{
	"id", "workspace", "workspace_id", "owner_id", "state", "is_system", "system", "created_by", "created_by_key", "created_at",
	"revoked", "revoked_at", "hash", "key_hash", "hint", "value", "effective", "principal", "kind", "version", "etag",
	"role_id", "seq", "admin", "verified", "person", "seats", "revision", "receipt", "pauses", "paused", "invited_by", "token",
	"role", "owner", "permissions", "limit", "expires_at", "email", "policy", "slug", "descendants", "members", "Name", "NAME",
}

// fieldTargets are operations with a body that each accepts, and which of the
// fields above are the client's to set there.
func fieldTargets(key, member string) []fieldTarget {
	return []fieldTarget{
		{"POST", in("-", "service_accounts"), body{"name": "new", "role": "viewer"}, "role owner"},
		{"PATCH", in("-", "service_accounts/bot"), body{"description": "x"}, "role owner"},
		{"POST", in("-", "service_accounts/bot/keys"), body{"name": "new"}, "limit expires_at"},
		{"PATCH", in("-", "keys/"+key), body{"name": "x"}, "limit expires_at"},
		{"POST", in("-", "me/keys"), body{"name": "new"}, "limit expires_at"},
		{"POST", in("-", "roles"), body{"name": "new", "permissions": []string{"docs:read"}}, "permissions"},
		{"PATCH", in("-", "roles/custom"), body{"title": "x"}, "permissions"},
		{"PATCH", in("-", "members/"+member), body{"role": "viewer"}, "role"},
		{"POST", in("-", "invitations"), body{"email": "x@acme.example", "role": "viewer"}, "role email"},
		{"PATCH", "/v1/workspaces/acme", body{"name": "x"}, "policy"},
		{"POST", in("-", "keys/"+key+"/revoke"), body{}, "descendants"},
		{"POST", in("-", "keys/"+key+"/pause"), body{}, "descendants"},
		{"POST", in("-", "service_accounts/bot/revoke"), body{}, ""},
	}
}

type fieldTarget struct {
	method, path string
	valid        body
	settable     string
}

func fieldsThatTheServerOwns(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	key := w.newKey("-", b.owner, bot).str("id")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "custom", "permissions": []string{"docs:read"}})
	_, member := w.member("-", b.owner, "jo@acme.example", "viewer")
	before := w.must("GET", in("-", "audit_events"), b.owner, nil).text
	for _, target := range fieldTargets(key, member) {
		for _, field := range ownFields {
			if slices.Contains(strings.Fields(target.settable), field) {
				continue
			}
			with := maps.Clone(target.valid)
			with[field] = "x"
			a := w.call(target.method, target.path, b.owner, with)
			if a.status != http.StatusBadRequest || a.str("code") != "unknown_field" {
				t.Errorf("%s %s with %q: %d %s", target.method, target.path, field, a.status, a.text)
			}
		}
		for _, kind := range []string{"application/merge-patch+json", "application/json-patch+json", "application/x-www-form-urlencoded", "text/plain"} {
			for _, kinds := range [][]string{{"Content-Type", kind}, {"Content-Type", "application/json", "Content-Type", kind}} {
				w.wants(w.call(target.method, target.path, b.owner, target.valid, kinds...), http.StatusUnsupportedMediaType, "unsupported_media_type")
			}
		}
	}
	if after := w.must("GET", in("-", "audit_events"), b.owner, nil).text; after != before {
		t.Error("a refused field left a trace in the log, or did something")
	}
	w.wants(w.call("PATCH", "/v1/workspaces/acme", b.owner, body{"policy": body{"system": true}}), http.StatusBadRequest, "unknown_field")
}

func readingGivesNoSecret(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	w.keyOf("-", b.owner, bot)
	w.values.plant(w.must("POST", in("-", "invitations"), b.owner, body{"email": "jo@acme.example", "role": "admin"}).str("token"))
	callers := []string{b.owner, w.owner, w.signedIn(b, "admin").browser}
	for _, role := range []string{"viewer", "operator", "editor", "verifier", "admin"} {
		value, _ := w.member("-", b.owner, role+"@acme.example", role)
		callers = append(callers, value, w.keyOf("-", b.owner, w.account("-", b.owner, role, role)))
	}
	has := w.things(b)
	seen := map[string]bool{}
	for _, op := range w.operations(t) {
		for _, caller := range callers {
			if op.method != http.MethodGet {
				continue
			}
			a := w.call("GET", op.about(t, has), caller, nil)
			if a.status == http.StatusOK {
				seen[op.id] = true
			}
			if op.id != "get-openapi" {
				w.values.search(t, a.call, a.text+fmt.Sprint(a.header))
			}
		}
		elsewhere := strings.HasPrefix(op.path, "/v1/oidc/") || op.id == "follow-replica" // a browser is led on; a node that lends nothing has no stream
		if op.method == http.MethodGet && !seen[op.id] && !elsewhere {
			t.Errorf("nobody could read %s: the test looks at nothing there", op.path)
		}
	}
	// What changed since, told to whoever has an old version.
	for _, path := range []string{"keys/" + has["keys"], "service_accounts/" + has["service_accounts"], "roles/" + has["roles"]} {
		change := body{"name": "x-" + itoa(int(keyNumber.Add(1)))}
		w.must("PATCH", in("-", path), b.owner, change)
		a := w.call("PATCH", in("-", path), b.owner, change, "If-Match", `"1"`)
		w.wants(a, http.StatusPreconditionFailed, "precondition_failed")
		w.values.search(t, a.call, a.text)
	}
}

func whatIsMissingIsRefused(_ *testing.T, w *world) {
	value := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "admin"))
	path := in("-", "keys")
	w.must("GET", path, value, nil)
	for _, credential := range []string{
		"", "Bearer", "Bearer ", "Bearer  " + value, "Basic " + value, value, "Bearer " + value + ",Bearer " + value,
		"Bearer \"" + value + "\"", "Bearer null", "Bearer undefined", "Bearer " + value[:len(value)-1], "Token " + value,
	} {
		a := w.call("GET", path, "", nil, "Authorization", credential)
		if a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest {
			w.t.Errorf("the credential %q: %d", credential, a.status)
		}
	}
	w.wants(w.call("GET", path, "", nil), http.StatusUnauthorized, "unauthenticated")
	w.wants(w.call("GET", path, value, nil, "Authorization", "Bearer "+value), http.StatusBadRequest, "invalid_request")
	w.wants(w.call("GET", path, value, nil, "Authorization", "Bearer "+w.owner), http.StatusBadRequest, "invalid_request")
	w.wants(w.call("GET", path+"?workspace=", value, nil), http.StatusBadRequest, "unknown_field")
	for _, missing := range []body{{}, {"name": "x"}, {"role": "viewer"}, {"name": "", "role": "viewer"}, {"name": "x", "role": ""}, {"name": nil, "role": "viewer"}} {
		a := w.call("POST", in("-", "service_accounts"), value, missing)
		if a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest {
			w.t.Errorf("an account of %v: %d %s", missing, a.status, a.text)
		}
	}
	for _, twice := range [][]string{{"X-Api-Key", value}, {"X-Api-Key", ""}, {"Cookie", "postern_session=x"}, {"Cookie", "a=b; __Host-postern_session=x"}, {"Cookie", `a b; c="d; postern_session=x`}} {
		w.wants(w.call("GET", path, value, nil, twice...), http.StatusBadRequest, "invalid_request")
		w.wants(w.call("GET", path, "", nil, twice...), http.StatusUnauthorized, "unauthenticated")
		w.wants(w.call("POST", "/v1/verify", w.prober, body{"key": value}, twice...), http.StatusBadRequest, "invalid_request")
	}
	confined := w.keyOf("-", w.owner, "bot", body{"allowed_networks": []string{"127.0.0.1"}})
	for _, question := range []body{
		{}, {"key": ""}, {"key": nil}, {"permissions": []string{"docs:read"}}, {"key": value, "permissions": []string{""}},
		{"key": value, "workspace": ""}, {"key": confined}, {"key": confined, "source": body{}}, {"key": confined, "source": body{"ip": ""}},
		{"key": confined, "source": nil}, {"key": confined, "source": body{"user_agent": "127.0.0.1"}},
	} {
		a := w.call("POST", "/v1/verify", w.prober, question)
		if a.at("valid") == true {
			w.t.Errorf("verify of %v is valid", question)
		}
	}
}

func nothingExistsByDefault(t *testing.T, w *world) {
	dir, url := t.TempDir(), freshURL(t)
	db := direct(t, url)
	initialize := func(name string) (code int, stderr string) {
		code, _, stderr = program(t, dir, "", "init", "--workspace", name, "--email", "root@"+name+".example", "--store-url", url,
			"--secret-file", filepath.Join(dir, "secret"), "--out-header", filepath.Join(dir, name))
		return code, stderr
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(strings.Repeat("5a", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startServer(t, dir, url)
	for _, guess := range []string{"", "admin", "Bearer", "pst_usr_" + strings.Repeat("0", 39), wellFormed(t)} {
		got := get(t, p.url+"/v1/whoami", guess)
		if got != http.StatusUnauthorized && got != http.StatusServiceUnavailable {
			t.Errorf("a server that nobody has initialised answers %d", got)
		}
	}
	if got := get(t, p.url+"/readyz", ""); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a server that nobody has initialised is %d", got)
	}
	p.kill()
	for _, table := range []string{"workspaces", "persons", "principals", "keys", "invitations"} {
		if all := texts(t, db, `SELECT id FROM `+table); len(all) != 0 {
			t.Errorf("a store that nobody has initialised has %d %s", len(all), table)
		}
	}
	if code, stderr := initialize("first"); code != 0 {
		t.Fatalf("init: %d %s", code, stderr)
	}
	for _, name := range []string{"first", "second"} {
		if code, _ := initialize(name); code == 0 {
			t.Error("a store was initialised twice")
		}
	}
	if all := texts(t, db, `SELECT CASE WHEN expires_at IS NULL THEN 'never' ELSE 'expires' END FROM keys`); len(all) != 1 || all[0] != "expires" {
		t.Errorf("after three initialisations the keys are %v, want one that expires", all)
	}

	// What was taken away is not made again by a restart, and the last owner cannot be.
	_, ownerID := w.member("-", w.owner, "second@example.com", "owner")
	w.must("DELETE", in("-", "members/"+ownerID), w.owner, nil)
	root := w.must("GET", "/v1/whoami", w.owner, nil).str("principal.id")
	w.wants(w.call("DELETE", in("-", "members/"+root), w.owner, nil), http.StatusConflict, "last_owner")
	before := w.must("GET", in("-", "members"), w.owner, nil).text
	w.start()
	if after := w.must("GET", in("-", "members"), w.owner, nil).text; after != before {
		t.Errorf("a restart changed the members from %s to %s", before, after)
	}
}

// wellFormed returns a key that nobody has made.
func wellFormed(t *testing.T) string {
	t.Helper()
	secret, err := token.Mint{}.New(token.Person)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

func theLastOwner(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.wants(w.call("DELETE", in("-", "members/"+b.ownerID), b.owner, nil), http.StatusConflict, "last_owner")
	w.wants(w.call("PATCH", in("-", "members/"+b.ownerID), b.owner, body{"role": "admin"}), http.StatusConflict, "last_owner")
	const loops = 16
	for i := range loops {
		second, secondID := w.member("-", b.owner, fmt.Sprintf("owner-%d@acme.example", i), "owner")
		of, ofSecond := second, b.owner // who removes the owner, and the second one: each the other
		if i%2 == 1 {
			of, ofSecond = b.owner, second // each leaves
		}
		var together sync.WaitGroup
		together.Go(func() { w.call("DELETE", in("-", "members/"+b.ownerID), of, nil) })
		together.Go(func() { w.call("DELETE", in("-", "members/"+secondID), ofSecond, nil) })
		together.Wait()
		if w.verdict(b.owner) != "valid" { // the other one won
			b.owner, b.ownerID = second, secondID
			if w.verdict(second) != "valid" {
				t.Fatalf("loop %d: two owners who remove each other, or leave together, are both gone", i)
			}
		}
		owners := w.must("GET", in("-", "members?state=active&role=owner"), b.owner, nil).items()
		if len(owners) != 1 {
			t.Fatalf("loop %d: two owners who remove each other, or leave together, are %d then", i, len(owners))
		}
	}
	second, secondID := w.member("-", b.owner, "last@acme.example", "owner")
	late := w.overtake(
		func() answer { return w.call("DELETE", in("-", "members/"+secondID), second, nil) },
		func() answer { return w.call("DELETE", in("-", "members/"+b.ownerID), b.owner, nil) })
	w.wants(late, http.StatusConflict, "last_owner")
	b.owner = second
	// An owner of a tenant is nobody in the system workspace.
	root := w.must("GET", "/v1/whoami", w.owner, nil).str("principal.id")
	for _, ws := range []string{"-", "acme", "operations"} {
		w.wants(w.call("DELETE", in(ws, "members/"+root), b.owner, nil), http.StatusNotFound, "not_found")
	}
	w.wants(w.call("POST", "/v1/workspaces/acme/pause", b.owner, nil), http.StatusNotFound, "not_found")
	w.wants(w.call("GET", "/v1/workspaces", b.owner, nil), http.StatusNotFound, "not_found")
}
