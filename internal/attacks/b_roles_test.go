package attacks_test

import (
	"net/http"
	"slices"
	"testing"
)

// stranger is what a caller tries on a principal that holds more than they do,
// and whether that gives them or the principal anything.
type stranger struct {
	name, method, path string
	in                 any
	gives              bool
}

// onPrincipal lists what can be done to a member with a key, and with the account
// of the same power.
func onPrincipal(member, memberKey, account, accountKey, role string) []stranger {
	return []stranger{
		{"role kept", "PATCH", "members/" + member, body{"role": role}, false},
		{"key renamed", "PATCH", "keys/" + memberKey, body{"name": "renamed"}, false},
		{"key confined", "PATCH", "keys/" + memberKey, body{"allowed_networks": []string{"127.0.0.1"}}, false},
		{"key let out", "PATCH", "keys/" + memberKey, body{"allowed_networks": nil}, true},
		{"key paused", "POST", "keys/" + memberKey + "/pause", nil, false},
		{"key resumed", "POST", "keys/" + memberKey + "/resume", nil, true},
		{"key revoked", "POST", "keys/" + memberKey + "/revoke", nil, false},
		{"role", "PATCH", "members/" + member, body{"role": "viewer"}, false},
		{"removed", "DELETE", "members/" + member, nil, false},
		{"account's new key", "POST", "service_accounts/" + account + "/keys", body{"name": "mine"}, true},
		{"account's key resumed", "POST", "keys/" + accountKey + "/resume", nil, true},
		{"account resumed", "POST", "service_accounts/" + account + "/resume", nil, true},
		{"account of that role", "POST", "service_accounts", body{"name": "same-" + role, "role": role}, true},
		{"invitation to that role", "POST", "invitations", body{"email": "same-" + role + "@acme.example", "role": role}, true},
	}
}

// actingOnAHigherRole pairs callers with principals above them. Who has no
// permission for it does nothing to them; who may change members and keys takes
// from all but owners, and gives nobody what they do not have.
func actingOnAHigherRole(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "manager", "permissions": []string{
		"iam.members:write", "iam.keys:write", "iam.service_accounts:write", "docs:read",
	}})
	callers := map[string]string{}
	for _, role := range []string{"viewer", "operator", "editor", "verifier", "manager", "admin"} {
		callers[role], _ = w.member("-", b.owner, role+"@acme.example", role)
		callers[role+" account"] = w.keyOf("-", b.owner, w.account("-", b.owner, role, role))
	}
	for name, caller := range callers {
		for _, target := range []string{"admin", "owner"} {
			if target == "admin" && (name == "admin" || name == "admin account") {
				continue // not above them
			}
			w.tryAll(t, b, name, caller, target)
		}
	}
	w.becomeAnOwner(t, b, callers["admin"])
}

func (w *world) tryAll(t *testing.T, b tenant, name, caller, target string) {
	t.Helper()
	number := itoa(int(keyNumber.Add(1)))
	value, member := w.member("-", b.owner, "target-"+number+"@acme.example", target)
	account := w.account("-", b.owner, "target-"+number, "admin")
	accountKey := w.newKey("-", b.owner, account).str("id")
	manages := name == "manager" || name == "manager account"
	for _, try := range onPrincipal(member, w.idOf(value), account, accountKey, target) {
		if target == "owner" && try.name == "account of that role" {
			continue // 422 for everybody: only people are owners
		}
		a := w.call(try.method, in("-", try.path), caller, try.in)
		allowed := manages && target == "admin" && !try.gives ||
			(name == "admin" || name == "admin account") && slices.Contains([]string{"account's new key", "account's key resumed", "account resumed"}, try.name)
		if allowed && (a.status < 200 || a.status > 299) {
			t.Errorf("%s to an %s, %s: %d %s, want it done", name, target, try.name, a.status, a.text)
		}
		if !allowed && a.status != http.StatusForbidden {
			t.Errorf("%s to an %s, %s: %d %s, want 403", name, target, try.name, a.status, a.text)
		}
	}
	if target == "owner" {
		w.accepts(value)
	}
}

// becomeAnOwner tries the ways to owners that an admin could think of.
func (w *world) becomeAnOwner(t *testing.T, b tenant, admin string) {
	t.Helper()
	self := w.must("GET", "/v1/whoami", admin, nil).str("principal.id")
	owner := w.must("GET", in("-", "roles/owner"), b.owner, nil).str("id")
	pending := w.must("POST", in("-", "invitations"), b.owner, body{"email": "third@acme.example", "role": "owner"}).str("id")
	for _, a := range []answer{
		w.call("PATCH", in("-", "members/"+self), admin, body{"role": "owner"}),
		w.call("PATCH", in("-", "members/"+self), admin, body{"role": "OWNER"}),
		w.call("PATCH", in("-", "members/"+self), admin, body{"role": owner}),
		w.call("DELETE", in("-", "invitations/"+pending), admin, nil),
		w.call("POST", in("-", "invitations"), admin, body{"email": "third@acme.example", "role": "viewer"}), // it would end the other
		w.call("POST", in("-", "invitations"), admin, body{"email": "new@acme.example", "role": owner}),
	} {
		if a.status != http.StatusForbidden || a.str("permission") != "iam.owners:write" {
			t.Errorf("an admin on owners: %s answers %d %s", a.call, a.status, a.text)
		}
	}
	for _, role := range []string{"owner", "Owner", owner} {
		w.wants(w.call("POST", in("-", "service_accounts"), b.owner, body{"name": "king", "role": role}), http.StatusUnprocessableEntity, "validation_failed")
	}
	for _, name := range []string{"owner", "OWNER", "Owner", "admİn"} {
		w.wants(w.call("POST", in("-", "roles"), b.owner, body{"name": name, "permissions": []string{"docs:read"}}), http.StatusUnprocessableEntity, "validation_failed")
	}
	w.wants(w.call("PATCH", in("-", "roles/owner"), b.owner, body{"permissions": []string{"docs:read"}}), http.StatusUnprocessableEntity, "validation_failed")
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
	w.wants(w.call("PATCH", in("-", "roles/strong"), caller, body{"permissions": []string{"docs:*"}}), http.StatusForbidden, "permission_denied")
	w.must("PATCH", in("-", "roles/role-editor"), caller, body{"permissions": []string{"iam.roles:write", "docs:read"}}) // narrowing is free
	w.wants(w.call("PATCH", in("-", "roles/role-editor"), caller, body{"permissions": []string{"iam.roles:write", "iam.service_accounts:write"}}), http.StatusForbidden, "permission_denied")
}
