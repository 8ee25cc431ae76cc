package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/api"
)

func TestCustomRoleLivesAndEnds(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		var made api.CreatedRole
		r := c.post(here("/roles"), `{"name":"Triage","description":"First look","permissions":["tickets:read","tickets:execute","tickets:read"]}`).
			want(http.StatusCreated, &made)
		want := api.Role{
			ID: made.ID, Name: "triage", Title: "Triage", Description: "First look", Kind: "custom",
			Permissions: []string{"tickets:execute", "tickets:read"}, Etag: made.Etag,
		}
		if diff := cmp.Diff(want, made.Role); diff != "" || r.header.Get("Location") != "/v1/workspaces/"+c.workspace+"/roles/"+made.ID {
			t.Errorf("at %s (-want +got):\n%s", r.header.Get("Location"), diff)
		}
		account := c.account("TRIAGE")
		for _, ref := range []string{made.ID, "triage", "Triage"} {
			var read api.Role
			r := c.get(here("/roles/"+ref)).want(http.StatusOK, &read)
			want.ServiceAccounts = 1
			if diff := cmp.Diff(want, read); diff != "" || r.header.Get("ETag") != read.Etag {
				t.Errorf("%s: ETag %s (-want +got):\n%s", ref, r.header.Get("ETag"), diff)
			}
		}
		c.delete(here("/roles/triage")).wantProblem(http.StatusConflict, api.CodeRoleInUse)
		c.post(here("/service_accounts/"+account.ID+"/revoke"), nil).want(http.StatusOK, nil)
		var gone api.RoleAnswer
		c.delete(here("/roles/triage")).want(http.StatusOK, &gone)
		if gone.Role.ID != made.ID || !gone.Receipt.Confirmed || gone.Revision == 0 {
			t.Errorf("got %+v", gone)
		}
		for _, r := range []*reply{
			c.get(here("/roles/triage")), c.get(here("/roles/" + made.ID)), c.delete(here("/roles/" + made.ID)),
			c.patch(here("/roles/"+made.ID), `{"title":"x"}`),
		} {
			r.wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
		c.post(here("/roles"), `{"name":"triage","permissions":["tickets:read"]}`).want(http.StatusCreated, nil)
	})
}

// A role that is narrowed takes from everybody who has it, and one that is widened
// gives to them, when the answer arrives (S11, S12).
func TestChangedRoleTakesEffectAtOnce(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		role := c.role("iam.roles:read", "*:read")
		account := c.account(role.ID)
		plain := w.client(c.keyOf(account.ID, api.CreateKey{}).Value).in(t)
		limit := []string{"iam.roles:read"}
		limited := w.client(c.keyOf(account.ID, api.CreateKey{Limit: &limit}).Value).in(t)
		for _, step := range []struct {
			permissions string
			works       int
			effective   []string // of the limited key
		}{
			{`["*:read"]`, http.StatusForbidden, []string{}},
			{`["*:read","iam.*:*"]`, http.StatusOK, []string{"iam.roles:read"}},
			{`["*:read","iam.roles:write"]`, http.StatusForbidden, []string{}},
		} {
			var out api.UpdatedRole
			r := c.patch(here("/roles/"+role.ID), `{"permissions":`+step.permissions+`}`).want(http.StatusOK, &out)
			if !out.Receipt.Confirmed || r.header.Get("ETag") != out.Etag || out.ServiceAccounts != 1 {
				t.Errorf("%s: got %s", step.permissions, r.body)
			}
			for _, holder := range []*client{plain, limited} {
				if got := holder.get(here("/roles")).status; got != step.works {
					t.Errorf("%s: a key is answered %d, want %d", step.permissions, got, step.works)
				}
			}
			var self api.Key
			limited.get("/v1/keys/self").want(http.StatusOK, &self)
			if !slices.Equal(self.Effective, step.effective) || !slices.Equal(self.Limit, limit) {
				t.Errorf("%s: got effective %v, limit %v, want %v, %v", step.permissions, self.Effective, self.Limit, step.effective, limit)
			}
		}
	})
}

func TestRoleInputThatCannotBeUsedIsRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		role := c.role("tickets:read")
		for body, pointer := range map[string]string{
			`{"permissions":["a:read"]}`:                                                             "/name",
			`{"name":"x"}`:                                                                           "/permissions",
			`{"name":"x","permissions":[]}`:                                                          "/permissions",
			`{"name":"x","permissions":null}`:                                                        "/permissions",
			`{"name":"x","permissions":["a:read","A:read"]}`:                                         "/permissions/1",
			`{"name":"x","permissions":["a:read","a:close"]}`:                                        "/permissions/1",
			`{"name":"x","permissions":["iam.owners:write"]}`:                                        "/permissions/0",
			`{"name":"x","permissions":["` + c.key + `"]}`:                                           "/permissions/0",
			`{"name":"Owner","permissions":["a:read"]}`:                                              "/name",
			`{"name":"role_x","permissions":["a:read"]}`:                                             "/name",
			`{"name":"x","title":"\u202e","permissions":["a:read"]}`:                                 "/title",
			`{"name":"x","description":"` + strings.Repeat("x", 501) + `","permissions":["a:read"]}`: "/description",
		} {
			r := c.post(here("/roles"), body)
			r.problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
			if strings.Contains(string(r.body), c.key[8:]) {
				t.Errorf("%s: the answer repeats a key", pointer)
			}
		}
		for body, pointer := range map[string]string{
			`{"permissions":[]}`: "/permissions", `{"permissions":["nothing"]}`: "/permissions/0", `{"name":"viewer"}`: "/name",
		} {
			c.patch(here("/roles/"+role.ID), body).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		c.post(here("/roles"), `{"name":"x","kind":"built_in","permissions":["a:read"]}`).problemAt(http.StatusBadRequest, api.CodeUnknownField, "/kind")
		name := strings.ToUpper(role.Name)
		c.post(here("/roles"), api.CreateRole{Name: name, Permissions: []string{"a:read"}}).wantProblem(http.StatusConflict, api.CodeNameTaken)
		c.patch(here("/roles/"+c.role("a:read").ID), api.UpdateRole{Name: &name}).wantProblem(http.StatusConflict, api.CodeNameTaken)
		c.patch(here("/roles/viewer"), `{"title":"x"}`).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
		c.delete(here("/roles/viewer")).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
	})
}

func TestRoleIsNotGivenMoreThanItsMakerHas(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		maker := c.holder("iam.roles:*", "*:read").in(t)
		wide := c.role("tickets:delete", "tickets:read")
		for _, test := range []struct {
			r          *reply
			permission string
		}{
			{maker.post(here("/roles"), `{"name":"x","permissions":["tickets:read","tickets:execute"]}`), "tickets:execute"},
			{maker.patch(here("/roles/"+wide.ID), `{"permissions":["tickets:delete","tickets:write"]}`), "tickets:write"},
			{c.holder("iam.roles:read").in(t).delete(here("/roles/" + wide.ID)), "iam.roles:write"},
		} {
			if p := test.r.wantProblem(http.StatusForbidden, api.CodePermissionDenied); p.Permission != test.permission {
				t.Errorf("%s %s: got %q missing, want %q", test.r.call.method, test.r.call.path, p.Permission, test.permission)
			}
		}
		maker.patch(here("/roles/"+wide.ID), `{"permissions":["tickets:delete"]}`).want(http.StatusOK, nil) // narrower: nothing is given
	})
}

func TestRolesAreFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for _, name := range []string{"zoo", "aviary"} {
			c.post(here("/roles"), `{"name":"`+name+`","title":"The `+name+`","permissions":["animals:read"]}`).want(http.StatusCreated, nil)
		}
		builtIn := []string{"admin", "editor", "operator", "owner", "verifier", "viewer"}
		for query, want := range map[string][]string{
			"":                        append(slices.Clone(builtIn), "aviary", "zoo"),
			"?kind=built_in":          builtIn,
			"?kind=custom":            {"aviary", "zoo"},
			"?kind=custom&sort=-name": {"zoo", "aviary"},
			"?q=THE":                  {"aviary", "zoo"},
			"?q=viary":                {"aviary"},
		} {
			var list api.List[api.Role]
			c.get(here("/roles"+query)).want(http.StatusOK, &list)
			names := []string{}
			for _, r := range list.Data {
				names = append(names, r.Name)
			}
			if !slices.Equal(names, want) {
				t.Errorf("%s: got %v, want %v", query, names, want)
			}
		}
		var owner api.Role
		c.get(here("/roles/owner")).want(http.StatusOK, &owner)
		if owner.Kind != "built_in" || owner.Members != 1 || !slices.Equal(owner.Permissions, []string{"*:*", "iam.*:*", "iam.owners:write"}) {
			t.Errorf("got %+v", owner)
		}
	})
}
