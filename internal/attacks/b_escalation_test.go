package attacks_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store"
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

// wider lists sets of permissions that a caller who holds only docs:read and the
// named administration must not be able to give.
var wider = [][]string{
	{"*:*"}, {"*:read"}, {"docs:*"}, {"docs:write"}, {"docs:read", "docs:write"}, {"doc:read"},
	{"iam.*:*"}, {"iam.audit:read"}, {"iam.keys:verify"}, {"iam.workspaces:write"}, {"iam.owners:write"},
}

// restricted makes a caller who may change all that gives power, and holds
// nothing else but docs:read.
func restricted(w *world, b tenant) string {
	w.must("POST", in("-", "roles"), b.owner, body{"name": "restricted", "permissions": []string{
		"docs:read", "iam.service_accounts:write", "iam.service_accounts:read", "iam.keys:write", "iam.keys:read",
		"iam.roles:write", "iam.roles:read", "iam.members:write", "iam.members:read",
	}})
	return w.keyOf("-", b.owner, w.account("-", b.owner, "restricted", "restricted"))
}

func aChildIsNeverMoreThanItsMaker(t *testing.T, w *world) {
	b := w.newTenant("acme")
	caller := restricted(w, b)
	w.must("POST", in("-", "roles"), caller, body{"name": "mine", "permissions": []string{"docs:read"}})
	w.must("POST", in("-", "service_accounts"), caller, body{"name": "mine", "role": "mine"})
	strong := w.account("-", b.owner, "strong", "admin")
	paused := w.newKey("-", b.owner, strong)
	w.must("POST", in("-", "keys/"+paused.str("id")+"/pause"), caller, nil)
	w.must("POST", in("-", "service_accounts/strong/pause"), caller, nil)
	_, memberID := w.member("-", b.owner, "jo@acme.example", "viewer")

	for i, permissions := range wider {
		name := fmt.Sprintf("wide-%d", i)
		want := "permission_denied"
		if slices.Contains(permissions, "iam.owners:write") {
			want = "validation_failed" // no custom role can hold it, whoever asks
		}
		if a := w.call("POST", in("-", "roles"), caller, body{"name": name, "permissions": permissions}); a.str("code") != want {
			t.Errorf("making a role of %v: %d %s, want %s", permissions, a.status, a.text, want)
		}
		if a := w.call("PATCH", in("-", "roles/mine"), caller, body{"permissions": permissions}); a.str("code") != want {
			t.Errorf("widening a role to %v: %d %s, want %s", permissions, a.status, a.text, want)
		}
		if want == "permission_denied" {
			w.must("POST", in("-", "roles"), b.owner, body{"name": name, "permissions": permissions})
			w.wants(w.call("POST", in("-", "service_accounts"), caller, body{"name": "sa-" + name, "role": name}), http.StatusForbidden, "permission_denied")
			w.wants(w.call("PATCH", in("-", "service_accounts/mine"), caller, body{"role": name}), http.StatusForbidden, "permission_denied")
			w.wants(w.call("POST", in("-", "invitations"), caller, body{"email": name + "@acme.example", "role": name}), http.StatusForbidden, "permission_denied")
		}
	}
	for _, role := range []string{"viewer", "operator", "editor", "admin", "owner", "verifier"} {
		if role != "owner" {
			w.wants(w.call("POST", in("-", "service_accounts"), caller, body{"name": "built-in-" + role, "role": role}), http.StatusForbidden, "permission_denied")
		}
		w.wants(w.call("POST", in("-", "invitations"), caller, body{"email": role + "@acme.example", "role": role}), http.StatusForbidden, "permission_denied")
		if role != "viewer" {
			w.wants(w.call("PATCH", in("-", "members/"+memberID), caller, body{"role": role}), http.StatusForbidden, "permission_denied")
		}
	}
	for path, in1 := range map[string]body{
		"service_accounts/strong/keys":         {"name": "k"},
		"service_accounts/strong/resume":       nil,
		"keys/" + paused.str("id") + "/resume": nil,
	} {
		w.wants(w.call("POST", in("-", path), caller, in1), http.StatusForbidden, "permission_denied")
	}
	w.wants(w.call("POST", in("-", "service_accounts/strong/keys"), caller, body{"name": "k", "limit": []string{"*:write"}}), http.StatusForbidden, "permission_denied")
	w.must("POST", in("-", "service_accounts/strong/keys"), caller, body{"name": "within", "limit": []string{"docs:read"}})
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

func actingOnAHigherRole(t *testing.T, w *world) {
	b := w.newTenant("acme")
	admin, _ := w.member("-", b.owner, "admin@acme.example", "admin")
	second, secondID := w.member("-", b.owner, "second@acme.example", "owner")
	ownerKey := w.idOf(second)
	w.must("POST", in("-", "invitations"), b.owner, body{"email": "third@acme.example", "role": "owner"})
	pending := w.must("GET", in("-", "invitations?state=pending"), b.owner, nil).items()[0].str("id")
	bot := w.keyOf("-", b.owner, w.account("-", b.owner, "admin-bot", "admin"))
	for name, caller := range map[string]string{"an admin": admin, "an admin account": bot} {
		for _, a := range []answer{
			w.call("PATCH", in("-", "members/"+secondID), caller, body{"role": "viewer"}),
			w.call("DELETE", in("-", "members/"+secondID), caller, nil),
			w.call("PATCH", in("-", "keys/"+ownerKey), caller, body{"name": "renamed"}),
			w.call("POST", in("-", "keys/"+ownerKey+"/pause"), caller, nil),
			w.call("POST", in("-", "keys/"+ownerKey+"/revoke"), caller, nil),
			w.call("DELETE", in("-", "invitations/"+pending), caller, nil),
			w.call("POST", in("-", "invitations"), caller, body{"email": "new@acme.example", "role": "owner"}),
		} {
			if a.status != http.StatusForbidden || a.str("permission") != "iam.owners:write" {
				t.Errorf("%s on an owner: %s answers %d %s", name, a.call, a.status, a.text)
			}
		}
	}
	// Nobody becomes an owner by way of their own role.
	adminID := w.must("GET", "/v1/whoami", admin, nil).str("principal.id")
	w.wants(w.call("PATCH", in("-", "members/"+adminID), admin, body{"role": "owner"}), http.StatusForbidden, "permission_denied")
	w.accepts(second)
	w.must("PATCH", in("-", "members/"+secondID), b.owner, body{"role": "viewer"}) // an owner may
}

// ownFields are members that answers have, or that a database could have, and
// no request may set.
var ownFields = []string{
	"id", "workspace", "workspace_id", "owner_id", "state", "is_system", "system", "created_by", "created_by_key", "created_at",
	"revoked", "revoked_at", "hash", "key_hash", "hint", "value", "effective", "principal", "kind", "version", "etag",
	"permissions", "role_id", "seq", "admin", "verified",
}

func fieldsThatTheServerOwns(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	key := w.newKey("-", b.owner, bot).str("id")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "custom", "permissions": []string{"docs:read"}})
	_, member := w.member("-", b.owner, "jo@acme.example", "viewer")
	for _, target := range []struct {
		method, path string
		valid        body
	}{
		{"POST", in("-", "service_accounts"), body{"name": "new", "role": "viewer"}},
		{"PATCH", in("-", "service_accounts/bot"), body{"description": "x"}},
		{"POST", in("-", "service_accounts/bot/keys"), body{"name": "new"}},
		{"PATCH", in("-", "keys/"+key), body{"name": "x"}},
		{"POST", in("-", "me/keys"), body{"name": "new"}},
		{"POST", in("-", "roles"), body{"name": "new", "permissions": []string{"docs:read"}}},
		{"PATCH", in("-", "roles/custom"), body{"title": "x"}},
		{"PATCH", in("-", "members/"+member), body{"role": "viewer"}},
		{"POST", in("-", "invitations"), body{"email": "x@acme.example", "role": "viewer"}},
		{"PATCH", "/v1/workspaces/acme", body{"name": "x"}},
		{"POST", in("-", "keys/"+key+"/revoke"), body{}},
	} {
		before := w.must("GET", in("-", "audit_events"), b.owner, nil).text
		for _, field := range ownFields {
			if _, known := target.valid[field]; known || field == "permissions" && strings.Contains(target.path, "/roles") {
				continue
			}
			with := body{field: "x"}
			for name, value := range target.valid {
				with[name] = value
			}
			a := w.call(target.method, target.path, b.owner, with)
			if a.status != http.StatusBadRequest || a.str("code") != "unknown_field" {
				t.Errorf("%s %s with %q: %d %s", target.method, target.path, field, a.status, a.text)
			}
		}
		if after := w.must("GET", in("-", "audit_events"), b.owner, nil).text; after != before {
			t.Errorf("%s %s: a refused field left a trace in the log", target.method, target.path)
		}
	}
}

func editingARoleIsGivingIt(_ *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "role-editor", "permissions": []string{"iam.roles:write", "iam.service_accounts:write", "docs:read"}})
	w.must("POST", in("-", "roles"), b.owner, body{"name": "strong", "permissions": []string{"docs:write"}})
	editor := w.account("-", b.owner, "editor", "role-editor")
	caller := w.keyOf("-", b.owner, editor)
	w.wants(w.call("PATCH", in("-", "roles/role-editor"), caller, body{"permissions": []string{"iam.roles:write", "iam.service_accounts:write", "docs:read", "docs:write"}}), http.StatusForbidden, "permission_denied")
	w.wants(w.call("PATCH", in("-", "service_accounts/editor"), caller, body{"role": "strong"}), http.StatusForbidden, "permission_denied")
	w.wants(w.call("PATCH", in("-", "roles/strong"), caller, body{"permissions": []string{"docs:write", "docs:delete"}}), http.StatusForbidden, "permission_denied")
	w.must("PATCH", in("-", "roles/role-editor"), caller, body{"permissions": []string{"iam.roles:write", "docs:read"}}) // narrowing is free
	w.wants(w.call("PATCH", in("-", "roles/role-editor"), caller, body{"permissions": []string{"iam.roles:write", "iam.service_accounts:write"}}), http.StatusForbidden, "permission_denied")
}

func readingGivesNoSecret(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "operator")
	w.keyOf("-", b.owner, bot)
	w.values.plant(w.must("POST", in("-", "invitations"), b.owner, body{"email": "jo@acme.example", "role": "admin"}).str("token"))
	seen := 0
	for _, caller := range []string{b.owner, w.owner} {
		for _, op := range w.operations(t) {
			if op.method != http.MethodGet {
				continue
			}
			a := w.call("GET", op.example(w, t, b), caller, nil)
			if a.status == http.StatusOK {
				seen++
			}
			w.values.search(t, a.call, a.text+fmt.Sprint(a.header))
		}
	}
	if seen < 20 {
		t.Errorf("only %d reads succeeded: the test looks at too little", seen)
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
	for _, question := range []body{{}, {"key": ""}, {"key": nil}, {"permissions": []string{"docs:read"}}} {
		a := w.call("POST", "/v1/verify", w.prober, question)
		if a.at("valid") == true {
			w.t.Errorf("verify of %v is valid", question)
		}
	}
}

func nothingExistsByDefault(t *testing.T, w *world) {
	empty, err := store.Open(t.Context(), freshURL(t), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = empty.Close() }) // the one under test is closed by the world
	mem := replica.New(replica.Options{})
	if err := mem.Load(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	keys, principals := mem.Size()
	if keys != 0 || principals != 0 {
		t.Errorf("an empty store has %d keys and %d principals", keys, principals)
	}
	setup := &iam.Service{Store: w.store, Fence: iam.Nobody{}, Now: w.clock.now}
	if _, _, err := setup.Initialize(t.Context(), iam.Initialization{Workspace: "Second", Email: "evil@example.com", KeyName: "first"}); err == nil {
		t.Error("a store was initialised twice")
	}
	// What was taken away is not made again by a restart.
	_, ownerID := w.member("-", w.owner, "second@example.com", "owner")
	w.must("DELETE", in("-", "members/"+ownerID), w.owner, nil)
	before := w.must("GET", in("-", "members"), w.owner, nil).text
	w.start()
	if after := w.must("GET", in("-", "members"), w.owner, nil).text; after != before {
		t.Errorf("a restart changed the members from %s to %s", before, after)
	}
}

func theLastOwner(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.wants(w.call("DELETE", in("-", "members/"+b.ownerID), b.owner, nil), http.StatusConflict, "last_owner")
	w.wants(w.call("PATCH", in("-", "members/"+b.ownerID), b.owner, body{"role": "admin"}), http.StatusConflict, "last_owner")
	const loops = 10
	for i := range loops {
		second, secondID := w.member("-", b.owner, fmt.Sprintf("owner-%d@acme.example", i), "owner")
		var together sync.WaitGroup
		together.Go(func() { w.call("DELETE", in("-", "members/"+secondID), b.owner, nil) })
		together.Go(func() { w.call("DELETE", in("-", "members/"+b.ownerID), second, nil) })
		together.Wait()
		if w.verdict(b.owner) != "valid" { // the other one won
			b.owner, b.ownerID = second, secondID
		}
		owners := w.must("GET", in("-", "members?state=active&role=owner"), b.owner, nil).items()
		if len(owners) != 1 {
			t.Fatalf("loop %d: two owners who remove each other leave %d", i, len(owners))
		}
	}
	// An owner of a tenant is nobody in the system workspace.
	root := w.must("GET", "/v1/whoami", w.owner, nil).str("principal.id")
	for _, ws := range []string{"-", "acme", "operations"} {
		w.wants(w.call("DELETE", in(ws, "members/"+root), b.owner, nil), http.StatusNotFound, "not_found")
	}
	w.wants(w.call("POST", "/v1/workspaces/acme/pause", b.owner, nil), http.StatusNotFound, "not_found")
	w.wants(w.call("GET", "/v1/workspaces", b.owner, nil), http.StatusNotFound, "not_found")
}
