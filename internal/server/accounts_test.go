package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/api"
)

func TestAccountIsCreatedReadAndChanged(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		var made api.CreatedServiceAccount
		r := c.post(here("/service_accounts"), api.CreateServiceAccount{
			Name: "support-bot-prod", Description: "Owner: Support Platform", Owner: "Support", Role: "operator",
			Metadata: map[string]string{"cost-centre": "12"},
		}).want(http.StatusCreated, &made)
		if made.State != "active" || made.Role.Name != "operator" || made.CreatedBy.ID != c.principal ||
			made.CreatedByKey == nil || *made.CreatedByKey != c.id || made.Revision == 0 {
			t.Errorf("got %+v", made)
		}
		if age := time.Since(made.CreatedAt.Time); age < -time.Minute || age > time.Minute {
			t.Errorf("created at %v, want about now", made.CreatedAt)
		}
		if got, want := r.header.Get("Location"), "/v1/workspaces/"+c.workspace+"/service_accounts/"+made.ID; got != want {
			t.Errorf("Location: got %q, want %q", got, want)
		}
		for _, path := range []string{r.header.Get("Location"), here("/service_accounts/support-bot-prod"), "/v1/workspaces/acme/service_accounts/" + made.ID} {
			var read api.ServiceAccount
			r := c.get(path).want(http.StatusOK, &read)
			if diff := cmp.Diff(made.ServiceAccount, read); diff != "" {
				t.Errorf("%s (-made +read):\n%s", path, diff)
			}
			if got := r.header.Get("ETag"); got != made.Etag {
				t.Errorf("%s: got ETag %q, want %q", path, got, made.Etag)
			}
		}
		var changed api.UpdatedServiceAccount
		r = c.patch(here("/service_accounts/"+made.ID), `{"description":"Mine now","role":"Viewer","metadata":{}}`).want(http.StatusOK, &changed)
		want := made.ServiceAccount
		want.Description, want.Role.Name, want.Metadata = "Mine now", "viewer", map[string]string{}
		want.Role.ID, want.Etag = changed.Role.ID, changed.Etag
		if diff := cmp.Diff(want, changed.ServiceAccount); diff != "" {
			t.Errorf("changed (-want +got):\n%s", diff)
		}
		if changed.Role.ID == made.Role.ID || changed.Etag == made.Etag || r.header.Get("ETag") != changed.Etag {
			t.Errorf("got role %s, etag %s, ETag %s: want all of them new", changed.Role.ID, changed.Etag, r.header.Get("ETag"))
		}
		if !changed.Receipt.Confirmed || changed.Receipt.Revision != changed.Revision {
			t.Errorf("got receipt %+v for revision %d", changed.Receipt, changed.Revision)
		}
	})
}

func TestOwnerIsWhoTheDescriptionNames(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for i, one := range []struct{ description, owner, want string }{
			{"Owner: Support Platform", "", "Support Platform"},
			{"Owner:  Support ", "", "Support"},
			{"Owner: Support Platform", "Data", "Data"},
			{"The Owner: of it all", "", ""},
			{"Owner: " + strings.Repeat("long ", 40), "", ""},
			{"Owner: ", "", ""},
		} {
			var made api.CreatedServiceAccount
			c.post(here("/service_accounts"), api.CreateServiceAccount{
				Name: fmt.Sprintf("bot-%d", i), Description: one.description, Owner: one.owner, Role: "viewer",
			}).want(http.StatusCreated, &made)
			if made.Owner != one.want {
				t.Errorf("described as %q, owner %q: got %q, want %q", one.description, one.owner, made.Owner, one.want)
			}
		}
	})
}

// What takes power away has taken it when it answers; what gives it, too (S11, S12).
func TestAccountIsPausedResumedAndRevoked(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		holder := c.client(c.keyOf(account.ID, api.CreateKey{}).Value)
		act := func(action string, body any, state string, works int) {
			t.Helper()
			var out api.ServiceAccountAnswer
			c.post(here("/service_accounts/"+account.ID+"/"+action), body).want(http.StatusOK, &out)
			if out.ServiceAccount.State != state || !out.Receipt.Confirmed || out.Receipt.Revision != out.Revision {
				t.Errorf("%s: got %+v, want state %s, confirmed", action, out, state)
			}
			if got := holder.get("/v1/keys/self").status; got != works {
				t.Errorf("after %s the key is answered %d, want %d", action, got, works)
			}
		}
		act("pause", nil, "paused", http.StatusUnauthorized)
		act("pause", `{}`, "paused", http.StatusUnauthorized)
		act("resume", nil, "active", http.StatusOK)
		act("pause", api.Reason{Reason: "on holiday"}, "paused", http.StatusUnauthorized)
		act("revoke", api.Reason{Reason: "no longer needed"}, "inactive", http.StatusUnauthorized)
		act("revoke", nil, "inactive", http.StatusUnauthorized)
		for _, action := range []string{"pause", "resume"} {
			c.post(here("/service_accounts/"+account.ID+"/"+action), nil).wantProblem(http.StatusConflict, api.CodePrincipalInactive)
		}
		c.patch(here("/service_accounts/"+account.ID), `{"owner":"x"}`).wantProblem(http.StatusConflict, api.CodePrincipalInactive)
		var ended api.ServiceAccount
		c.get(here("/service_accounts/"+account.ID)).want(http.StatusOK, &ended)
		if ended.Revoked == nil || *ended.Revoked.Reason != "no longer needed" || ended.Revoked.By.ID != c.principal ||
			ended.Keys != (api.KeyCounts{Active: 0, Total: 1}) {
			t.Errorf("got %+v, want it revoked by %s, for the first reason, with no key that works", ended, c.principal)
		}
	})
}

func TestAccountInputThatCannotBeUsedIsRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		taken := c.account("viewer")
		revoked := c.account("viewer")
		c.post(here("/service_accounts/"+revoked.ID+"/revoke"), nil).want(http.StatusOK, nil)
		long := strings.Repeat("a", 65)
		for _, test := range []struct {
			body          string
			status        int
			code, pointer string
		}{
			{`{"name":"` + long + `","role":"viewer"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/name"},
			{`{"name":"Upper","role":"viewer"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/name"},
			{`{"name":"a\u0007b","role":"viewer"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/name"},
			{`{"name":"sa_x","role":"viewer"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/name"},
			{`{"name":"","role":"viewer"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/name"},
			{`{"role":"viewer"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/name"},
			{`{"name":"x"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/role"},
			{`{"name":7,"role":"viewer"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/name"},
			{`{"name":"x","role":"nobody"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/role"},
			{`{"name":"x","role":"owner"}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/role"},
			{`{"name":"x","role":"viewer","metadata":{"a":1}}`, http.StatusUnprocessableEntity, api.CodeValidationFailed, "/metadata/a"},
			{`{"name":"x","role":"viewer","id":"sa_x"}`, http.StatusBadRequest, api.CodeUnknownField, "/id"},
			{`{"name":"x","role":"viewer","revoked":null}`, http.StatusBadRequest, api.CodeUnknownField, "/revoked"},
		} {
			c.post(here("/service_accounts"), test.body).problemAt(test.status, test.code, test.pointer)
		}
		for _, name := range []string{taken.Name, revoked.Name} {
			body := api.CreateServiceAccount{Name: name, Role: "viewer"}
			c.post(here("/service_accounts"), body).wantProblem(http.StatusConflict, api.CodeNameTaken)
			c.patch(here("/service_accounts/"+c.account("viewer").ID), api.UpdateServiceAccount{Name: &name}).
				wantProblem(http.StatusConflict, api.CodeNameTaken)
		}
		path := here("/service_accounts/" + taken.ID)
		c.patch(path, `{"role":"owner"}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/role")
		c.patch(path, `{"state":"active"}`).problemAt(http.StatusBadRequest, api.CodeUnknownField, "/state")
		c.post(path+"/pause", `{"reason":"`+strings.Repeat("x", 501)+`"}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/reason")
		for _, r := range []*reply{
			c.get(here("/service_accounts/nobody")), c.patch(here("/service_accounts/nobody"), `{}`),
			c.post(here("/service_accounts/nobody/pause"), nil), c.post(here("/service_accounts/nobody/resume"), nil),
			c.post(here("/service_accounts/nobody/revoke"), nil), c.get(here("/service_accounts/nobody/keys")),
			c.post(here("/service_accounts/nobody/keys"), `{"name":"x"}`),
		} {
			r.wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
		if got := c.countAccounts(); got != 4 {
			t.Errorf("got %d accounts, want 4: what is refused changes nothing", got)
		}
	})
}

func (c *client) countAccounts() int {
	c.t.Helper()
	var list api.List[api.ServiceAccount]
	c.get(here("/service_accounts?limit=200")).want(http.StatusOK, &list)
	return len(list.Data)
}

func TestAccountNeedsItsOwnerWhenThePolicySaysSo(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		older := c.account("viewer")
		c.patch("/v1/workspaces/-", `{"policy":{"owner_required":true}}`).want(http.StatusOK, nil)
		c.patch(here("/service_accounts/"+older.ID), `{"owner":"Support"}`).want(http.StatusOK, nil)
		for _, r := range []*reply{
			c.post(here("/service_accounts"), `{"name":"x","role":"viewer"}`),
			c.patch(here("/service_accounts/"+older.ID), `{"owner":""}`),
		} {
			if p := r.wantProblem(http.StatusUnprocessableEntity, api.CodePolicyViolation); p.Policy != "owner_required" {
				t.Errorf("got policy %q, want owner_required", p.Policy)
			}
		}
		c.post(here("/service_accounts"), `{"name":"x","role":"viewer","owner":"Support"}`).want(http.StatusCreated, nil)
	})
}

// Nobody gives what they do not have, and who lacks a permission is told which.
func TestAccountIsNotGivenMoreThanItsMakerHas(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		path := here("/service_accounts/" + account.ID)
		maker := c.holder("iam.service_accounts:*", "*:read")
		reader := c.holder("iam.service_accounts:read")
		for _, test := range []struct {
			r          *reply
			permission string
		}{
			{maker.post(here("/service_accounts"), `{"name":"x","role":"operator"}`), "*:execute"},
			{maker.post(here("/service_accounts"), `{"name":"x","role":"admin"}`), "*:*"},
			{maker.patch(path, `{"role":"editor"}`), "*:delete"},
			{reader.post(here("/service_accounts"), `{"name":"x","role":"viewer"}`), "iam.service_accounts:write"},
			{reader.patch(path, `{"description":"x"}`), "iam.service_accounts:write"},
			{reader.post(path+"/pause", nil), "iam.service_accounts:write"},
			{reader.post(path+"/resume", nil), "iam.service_accounts:write"},
			{reader.post(path+"/revoke", nil), "iam.service_accounts:write"},
			{c.holder("*:*").get(path), "iam.service_accounts:read"},
			{c.holder("*:*").get(here("/service_accounts")), "iam.service_accounts:read"},
			{reader.get(here("/service_accounts/" + account.ID + "/keys")), "iam.keys:read"},
		} {
			if p := test.r.wantProblem(http.StatusForbidden, api.CodePermissionDenied); p.Permission != test.permission {
				t.Errorf("%s %s: got %q missing, want %q", test.r.call.method, test.r.call.path, p.Permission, test.permission)
			}
		}
		maker.post(here("/service_accounts"), `{"name":"x","role":"viewer"}`).want(http.StatusCreated, nil)
		operator := c.account("operator")
		c.post(here("/service_accounts/"+operator.ID+"/pause"), nil).want(http.StatusOK, nil)
		p := maker.post(here("/service_accounts/"+operator.ID+"/resume"), nil).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		if p.Permission != "*:execute" {
			t.Errorf("resume: got %q missing, want *:execute", p.Permission)
		}
	})
}

func TestAccountsAreFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for _, a := range []api.CreateServiceAccount{
			{Name: "a-paused", Role: "viewer", Owner: "Support"},
			{Name: "b-ended", Role: "operator", Owner: "Support"},
			{Name: "c-plain", Role: "operator", Owner: "Billing", Description: "Sends 100% of all_mail"},
		} {
			c.post(here("/service_accounts"), a).want(http.StatusCreated, nil)
		}
		c.post(here("/service_accounts/a-paused/pause"), nil).want(http.StatusOK, nil)
		c.post(here("/service_accounts/b-ended/revoke"), nil).want(http.StatusOK, nil)
		var operator api.Role
		c.get(here("/roles/operator")).want(http.StatusOK, &operator)
		for query, want := range map[string][]string{
			"":                            {"a-paused", "b-ended", "c-plain"},
			"?state=active":               {"c-plain"},
			"?state=paused":               {"a-paused"},
			"?state=inactive":             {"b-ended"},
			"?role=operator":              {"b-ended", "c-plain"},
			"?role=" + operator.ID:        {"b-ended", "c-plain"},
			"?role=nobody":                {},
			"?owner=Support":              {"a-paused", "b-ended"},
			"?owner=Support&role=viewer":  {"a-paused"},
			"?q=100%25":                   {"c-plain"},
			"?q=BILL":                     {"c-plain"},
			"?q=all_m":                    {"c-plain"},
			"?q=a_p":                      {},
			"?sort=-name":                 {"c-plain", "b-ended", "a-paused"},
			"?sort=owner":                 {"c-plain", "a-paused", "b-ended"},
			"?sort=created_at&role=admin": {},
		} {
			var list api.List[api.ServiceAccount]
			c.get(here("/service_accounts"+query)).want(http.StatusOK, &list)
			names := []string{}
			for _, a := range list.Data {
				names = append(names, a.Name)
			}
			if !slices.Equal(names, want) || list.HasMore || list.NextCursor != nil {
				t.Errorf("%s: got %v, %t, %v, want %v", query, names, list.HasMore, list.NextCursor, want)
			}
		}
	})
}

func TestListRefusesWhatItCannotUse(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for _, test := range []struct {
			path          string
			status        int
			code, pointer string
		}{
			{"/service_accounts?state=gone", http.StatusUnprocessableEntity, api.CodeValidationFailed, "state"},
			{"/service_accounts?sort=age", http.StatusUnprocessableEntity, api.CodeValidationFailed, "sort"},
			{"/service_accounts?limit=many", http.StatusUnprocessableEntity, api.CodeValidationFailed, "limit"},
			{"/service_accounts?cursor=abc", http.StatusBadRequest, api.CodeInvalidRequest, "cursor"},
			{"/service_accounts?unused_for=30d", http.StatusBadRequest, api.CodeUnknownField, "unused_for"},
			{"/service_accounts?workspace_id=x", http.StatusBadRequest, api.CodeUnknownField, "workspace_id"},
			{"/keys?state=inactive", http.StatusUnprocessableEntity, api.CodeValidationFailed, "state"},
			{"/keys?principal_type=system", http.StatusUnprocessableEntity, api.CodeValidationFailed, "principal_type"},
			{"/keys?expires_before=soon", http.StatusUnprocessableEntity, api.CodeValidationFailed, "expires_before"},
			{"/keys?machine_like=perhaps", http.StatusUnprocessableEntity, api.CodeValidationFailed, "machine_like"},
			{"/service_accounts?need=love", http.StatusUnprocessableEntity, api.CodeValidationFailed, "need"},
			{"/keys?unused_for=long", http.StatusUnprocessableEntity, api.CodeValidationFailed, "unused_for"},
			{"/keys?sort=-hash", http.StatusUnprocessableEntity, api.CodeValidationFailed, "sort"},
			{"/me/keys?state=new", http.StatusUnprocessableEntity, api.CodeValidationFailed, "state"},
			{"/members?state=paused", http.StatusUnprocessableEntity, api.CodeValidationFailed, "state"},
			{"/members?sort=role", http.StatusUnprocessableEntity, api.CodeValidationFailed, "sort"},
			{"/invitations?state=open", http.StatusUnprocessableEntity, api.CodeValidationFailed, "state"},
			{"/invitations?sort=token", http.StatusUnprocessableEntity, api.CodeValidationFailed, "sort"},
			{"/roles?kind=own", http.StatusUnprocessableEntity, api.CodeValidationFailed, "kind"},
			{"/roles?sort=members", http.StatusUnprocessableEntity, api.CodeValidationFailed, "sort"},
			{"/audit_events?outcome=maybe", http.StatusUnprocessableEntity, api.CodeValidationFailed, "outcome"},
			{"/audit_events?actor_type=robot", http.StatusUnprocessableEntity, api.CodeValidationFailed, "actor_type"},
			{"/audit_events?from=yesterday", http.StatusUnprocessableEntity, api.CodeValidationFailed, "from"},
			{"/audit_events?sort=actor", http.StatusUnprocessableEntity, api.CodeValidationFailed, "sort"},
			{"/audit_events?q=" + strings.Repeat("a+", 40), http.StatusUnprocessableEntity, api.CodeValidationFailed, "q"},
			{"/audit_events/export?format=xml", http.StatusUnprocessableEntity, api.CodeValidationFailed, "format"},
			{"/audit_events/export?limit=5", http.StatusBadRequest, api.CodeUnknownField, "limit"},
			{"/audit_events/export?q=" + strings.Repeat("a+", 40), http.StatusUnprocessableEntity, api.CodeValidationFailed, "q"},
		} {
			c.get(here(test.path)).problemAt(test.status, test.code, test.pointer)
		}
		w.system.in(t).get("/v1/workspaces?state=gone").problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "state")
		w.system.in(t).get("/v1/workspaces?sort=policy").problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "sort")
	})
}

// What was there when a list was begun is read once, whatever is added meanwhile.
func TestPagingIsStableUnderInserts(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		for _, test := range []struct {
			sort string
			want []string
		}{
			{"name", []string{"m1", "m2", "m3", "m4", "m5"}},
			{"-name", []string{"m5", "m4", "m3", "m2", "m1"}},
			{"created_at", []string{"m1", "m2", "m3", "m4", "m5"}},
			{"-created_at", []string{"m5", "m4", "m3", "m2", "m1"}},
			{"", []string{"m1", "m2", "m3", "m4", "m5"}},
		} {
			c := w.found(w.name("tenant")).in(t)
			for i := range 5 {
				c.post(here("/service_accounts"), api.CreateServiceAccount{Name: fmt.Sprintf("m%d", i+1), Role: "viewer"}).want(http.StatusCreated, nil)
			}
			var seen []string
			added := 0
			for a := range c.accountPages(2, test.sort) {
				if strings.HasPrefix(a.Name, "m") {
					seen = append(seen, a.Name)
				}
				if added++; added%2 == 0 && added < 8 { // between two pages, at both ends
					for _, name := range []string{"a", "z"} {
						body := api.CreateServiceAccount{Name: fmt.Sprintf("%s%d", name, added), Role: "viewer"}
						c.post(here("/service_accounts"), body).want(http.StatusCreated, nil)
					}
				}
			}
			if !slices.Equal(seen, test.want) {
				t.Errorf("sort=%s: got %v, want %v", test.sort, seen, test.want)
			}
		}
	})
}

// A name is looked for as a whole, among those that were given ever; and accounts
// are counted by their state, as far as the other filters let them through.
func TestAccountsAreFoundByNameAndCounted(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		active, paused, gone := c.account("viewer"), c.account("viewer"), c.account("operator")
		for _, a := range []api.CreatedServiceAccount{active, paused, gone} {
			c.patch(here("/service_accounts/"+a.ID), `{"owner":"Counted"}`).want(http.StatusOK, nil)
		}
		c.post(here("/service_accounts/"+paused.ID+"/pause"), nil).want(http.StatusOK, nil)
		c.patch(here("/service_accounts/"+gone.ID), `{"name":"`+gone.Name+`-2"}`).want(http.StatusOK, nil)
		c.post(here("/service_accounts/"+gone.ID+"/revoke"), nil).want(http.StatusOK, nil)
		for query, want := range map[string]struct {
			ids    []string
			counts *api.StateCounts
		}{
			"name=" + active.Name:                              {[]string{active.ID}, nil},
			"name=" + gone.Name:                                {[]string{gone.ID}, nil}, // which it had once
			"name=" + active.Name + "x":                        {nil, nil},
			"owner=Counted&state=paused&counts=true":           {[]string{paused.ID}, &api.StateCounts{Active: 1, Paused: 1, Inactive: 1}},
			"owner=Counted&role=operator&counts=true":          {[]string{gone.ID}, &api.StateCounts{Inactive: 1}},
			"owner=Counted&need=keys&state=active&counts=true": {[]string{active.ID}, &api.StateCounts{Active: 1, Paused: 1}},
		} {
			var list api.ServiceAccountList
			c.get(here("/service_accounts?"+query)).want(http.StatusOK, &list)
			var ids []string
			for _, a := range list.Data {
				ids = append(ids, a.ID)
			}
			if !slices.Equal(ids, want.ids) || (list.Counts == nil) != (want.counts == nil) || want.counts != nil && *list.Counts != *want.counts {
				t.Errorf("%s: got %v, counts %+v; want %v, %+v", query, ids, list.Counts, want.ids, want.counts)
			}
		}
	})
}

// accountPages yields every account, page by page.
func (c *client) accountPages(limit int, sort string) func(func(api.ServiceAccount) bool) {
	return func(yield func(api.ServiceAccount) bool) {
		cursor := ""
		for {
			var list api.List[api.ServiceAccount]
			c.get(here("/service_accounts?limit="+strconv.Itoa(limit)+"&sort="+sort+"&cursor="+cursor)).want(http.StatusOK, &list)
			for _, a := range list.Data {
				if !yield(a) {
					return
				}
			}
			if list.HasMore != (list.NextCursor != nil) || list.HasMore && len(list.Data) != limit {
				c.t.Errorf("got %d of %d, has_more %t, next_cursor %v", len(list.Data), limit, list.HasMore, list.NextCursor)
			}
			if list.NextCursor == nil {
				return
			}
			cursor = *list.NextCursor
		}
	}
}

func TestPreconditionSaysWhatChangedAndByWhom(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		editor := c.member("admin").in(t)
		account := c.account("viewer")
		path := here("/service_accounts/" + account.ID)
		editor.patch(path, `{"owner":"Billing"}`, "If-Match", account.Etag).want(http.StatusOK, nil)
		editor.patch(path, `{"role":"operator"}`).want(http.StatusOK, nil)
		p := c.patch(path, `{"owner":"Support"}`, "If-Match", account.Etag).wantProblem(http.StatusPreconditionFailed, api.CodePreconditionFailed)
		var who api.Member
		c.get(here("/members/"+editor.principal)).want(http.StatusOK, &who)
		for _, want := range []string{who.Name + " changed owner", who.Name + " changed role"} {
			if !strings.Contains(p.Detail, want) {
				t.Errorf("got %q, want it to say %q", p.Detail, want)
			}
		}
		var now api.ServiceAccount
		r := c.get(path).want(http.StatusOK, &now)
		if now.Owner != "Billing" {
			t.Errorf("got owner %q: what was refused was done", now.Owner)
		}
		c.patch(path, `{"owner":"Support"}`, "If-Match", r.header.Get("ETag")).want(http.StatusOK, nil)
		c.patch(path, `{"owner":"Support"}`, "If-Match", "*").want(http.StatusOK, nil)
		for _, bad := range []string{"7", `"x"`, `W/"1"`, `"1", "2"`, `""`} {
			c.patch(path, `{"owner":"x"}`, "If-Match", bad).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
		}
		c.post(path+"/pause", nil, "If-Match", now.Etag).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
	})
}

// Every kind of thing that can be patched or deleted heeds If-Match.
func TestPreconditionHoldsForEveryKindOfThing(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		key := c.keyOf(account.ID, api.CreateKey{})
		role := c.role("agents:read")
		person := c.member("viewer")
		for _, thing := range []struct{ path, first, second string }{
			{here("/service_accounts/" + account.ID), `{"owner":"a"}`, `{"owner":"b"}`},
			{here("/keys/" + key.ID), `{"name":"a"}`, `{"name":"b"}`},
			{here("/roles/" + role.ID), `{"title":"a"}`, `{"title":"b"}`},
			{here("/members/" + person.principal), `{"role":"editor"}`, `{"role":"operator"}`},
			{"/v1/workspaces/-", `{"name":"a"}`, `{"name":"b"}`},
		} {
			tag := c.get(thing.path).want(http.StatusOK, nil).header.Get("ETag")
			next := c.patch(thing.path, thing.first, "If-Match", tag).want(http.StatusOK, nil).header.Get("ETag")
			p := c.patch(thing.path, thing.second, "If-Match", tag).wantProblem(http.StatusPreconditionFailed, api.CodePreconditionFailed)
			if !strings.Contains(p.Detail, "Owner of acme changed") {
				t.Errorf("%s: got %q, want it to say who changed what", thing.path, p.Detail)
			}
			if now := c.get(thing.path).header.Get("ETag"); now != next || next == tag {
				t.Errorf("%s: got ETag %s, want %s, not %s", thing.path, now, next, tag)
			}
			if strings.Contains(thing.path, "/roles/") || strings.Contains(thing.path, "/members/") {
				c.delete(thing.path, "If-Match", tag).wantProblem(http.StatusPreconditionFailed, api.CodePreconditionFailed)
				c.delete(thing.path, "If-Match", next).want(http.StatusOK, nil)
			}
		}
	})
}
