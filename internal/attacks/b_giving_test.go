package attacks_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
)

// wider lists sets of permissions that a caller who holds only docs:read,
// notes/a*:read and the named administration must not be able to give.
var wider = [][]string{
	{"*:*"}, {"*:read"}, {"docs:*"}, {"docs:write"}, {"docs:read", "docs:write"}, {"doc:read"},
	{"notes:read"}, {"notes/*:read"}, {"notes/b:read"}, {"notes/a:read", "notes/b*:read"}, {"notes/a*:*"},
	{"iam.*:*"}, {"iam.audit:read"}, {"iam.keys:verify"}, {"iam.workspaces:write"}, {"iam.owners:write"},
}

// restricted makes a caller who may change all that gives power, and holds
// nothing else but docs:read and notes/a*:read.
func restricted(w *world, b tenant) string {
	w.must("POST", in("-", "roles"), b.owner, body{"name": "restricted", "permissions": []string{
		"docs:read", "notes/a*:read", "iam.service_accounts:write", "iam.service_accounts:read", "iam.keys:write", "iam.keys:read",
		"iam.roles:write", "iam.roles:read", "iam.members:write", "iam.members:read",
	}})
	return w.keyOf("-", b.owner, w.account("-", b.owner, "restricted", "restricted"))
}

func aChildIsNeverMoreThanItsMaker(t *testing.T, w *world) {
	b := w.newTenant("acme")
	caller := restricted(w, b)
	w.must("POST", in("-", "roles"), caller, body{"name": "mine", "permissions": []string{"docs:read"}})
	w.must("POST", in("-", "service_accounts"), caller, body{"name": "mine", "role": "mine"})
	_, memberID := w.member("-", b.owner, "jo@acme.example", "viewer")
	for i, permissions := range wider {
		w.giveRole(t, b, caller, fmt.Sprintf("wide-%d", i), permissions)
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
	w.giveStrongKeys(b, caller)
	w.giveAtRandom(t, b)
}

// giveRole tries to give a set of permissions in each way that there is to give a
// role.
func (w *world) giveRole(t *testing.T, b tenant, caller, name string, permissions []string) {
	t.Helper()
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
		w.wants(w.call("POST", in("-", "service_accounts"), caller, body{"name": "sa-" + name, "role": name}), http.StatusForbidden, want)
		w.wants(w.call("PATCH", in("-", "service_accounts/mine"), caller, body{"role": name}), http.StatusForbidden, want)
		w.wants(w.call("POST", in("-", "invitations"), caller, body{"email": name + "@acme.example", "role": name}), http.StatusForbidden, want)
	}
}

// giveStrongKeys tries to make, resume and prolong the keys of an account that
// holds more than the caller.
func (w *world) giveStrongKeys(b tenant, caller string) {
	w.t.Helper()
	strong := w.account("-", b.owner, "strong", "admin")
	paused := w.newKey("-", b.owner, strong, body{"expires_in": "1h", "allowed_networks": []string{"127.0.0.1"}}).str("id")
	w.must("POST", in("-", "keys/"+paused+"/pause"), caller, nil)
	w.must("POST", in("-", "service_accounts/strong/pause"), caller, nil)
	for _, try := range []struct {
		method, path string
		in           body
	}{
		{"POST", "service_accounts/strong/keys", body{"name": "k"}},
		{"POST", "service_accounts/strong/keys", body{"name": "k", "limit": []string{"*:write"}}},
		{"POST", "service_accounts/strong/resume", nil},
		{"POST", "keys/" + paused + "/resume", nil},
		{"PATCH", "keys/" + paused, body{"expires_at": nil}},
		{"PATCH", "keys/" + paused, body{"expires_at": "2099-01-01T00:00:00Z"}},
		{"PATCH", "keys/" + paused, body{"allowed_networks": nil}},
		{"PATCH", "keys/" + paused, body{"allowed_networks": []string{"127.0.0.0/8"}}},
	} {
		w.wants(w.call(try.method, in("-", try.path), caller, try.in), http.StatusForbidden, "permission_denied")
	}
	w.must("POST", in("-", "service_accounts/strong/keys"), caller, body{"name": "within", "limit": []string{"docs:read"}})
}

// universe are permissions by which the power of two keys is compared.
var universe = []string{
	"docs:read", "docs:write", "docs/a:read", "docs/a:write", "docs/ab:read", "docs/abc:write", "docs/b:read", "docs/b:delete",
	"mail:read", "mail:execute", "mail/a:read", "mail/x:execute", "other:read", "other/a:write",
	"iam.audit:read", "iam.audit:export", "iam.keys:read", "iam.keys:verify", "iam.members:write", "iam.settings:write", "iam.owners:write",
}

// patterns are what roles and limits are made of at random, many of which overlap.
var patterns = []string{
	"*:*", "*:read", "*:write", "docs:*", "docs:read", "docs:write", "docs/*:read", "docs/a*:read", "docs/a*:*", "docs/ab*:*", "docs/ab:read",
	"docs/a:*", "docs/b:delete", "mail:*", "mail:read", "mail/*:*", "mail/a*:read", "other:read", "iam.*:read", "iam.audit:*", "iam.audit:read",
	"iam.keys:verify", "iam.*:*", "iam.members:write",
}

// makers is what a key needs to make others.
var makers = []string{"iam.roles:write", "iam.service_accounts:write", "iam.keys:write"}

// giveAtRandom compares, by what they are verified to hold, the power of keys made
// at random with that of the key that made them.
func (w *world) giveAtRandom(t *testing.T, b tenant) {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 5))
	some := func(most int) []string {
		var all []string
		for range 1 + random.IntN(most) {
			all = append(all, patterns[random.IntN(len(patterns))])
		}
		return all
	}
	made, refused := 0, 0
	for i := range 30 {
		name := "random-" + itoa(i)
		held := some(5)
		w.must("POST", in("-", "roles"), b.owner, body{"name": name, "permissions": append(held, makers...)})
		maker := w.account("-", b.owner, name, name)
		limit := body{}
		if random.IntN(2) == 0 {
			limit["limit"] = append(makers[:3:3], held[random.IntN(len(held))])
		}
		caller := w.keyOf("-", b.owner, maker, limit)
		for j, wanted := range [][]string{some(2), held[:1], some(3)} {
			child, ok := w.makeChild(caller, fmt.Sprintf("%s-%d", name, j), wanted)
			if !ok {
				refused++
				continue
			}
			made++
			if more := beyond(w.powers(child), w.powers(caller)); more != nil {
				t.Errorf("a key of %v, limited to %v, made one of %v, which holds %v besides", held, limit["limit"], wanted, more)
			}
		}
	}
	if made < 10 || refused < 10 {
		t.Errorf("%d keys were made and %d refused: one of the two was hardly tried", made, refused)
	}
}

// makeChild makes a role, an account that has it and a key, as far as a caller
// may.
func (w *world) makeChild(caller, name string, permissions []string) (value string, ok bool) {
	w.t.Helper()
	made := w.call("POST", in("-", "roles"), caller, body{"name": name, "permissions": permissions})
	if made.status == http.StatusForbidden {
		return "", false
	}
	w.wants(made, http.StatusCreated, "")
	w.must("POST", in("-", "service_accounts"), caller, body{"name": name, "role": name})
	return w.keyOf("-", caller, name), true
}

// powers returns which permissions of the universe a key is verified to hold.
func (w *world) powers(value string) map[string]any {
	w.t.Helper()
	a := w.must("POST", "/v1/verify", w.prober, body{"key": value, "workspace": "any", "permissions": universe})
	decisions, _ := a.at("decisions").(map[string]any)
	if len(decisions) != len(universe) {
		w.t.Fatalf("verify decided %v", decisions)
	}
	return decisions
}

// beyond returns what some powers hold that others do not.
func beyond(some, others map[string]any) (more []string) {
	for permission, held := range some {
		if held == true && others[permission] != true {
			more = append(more, permission)
		}
	}
	return more
}
