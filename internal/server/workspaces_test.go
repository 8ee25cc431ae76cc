package server_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/api"
)

func TestWorkspaceIsMadeWithItsFirstOwner(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		system := w.system.in(t)
		var made api.CreatedWorkspace
		r := system.post("/v1/workspaces", `{"name":"Initech GmbH","slug":"initech","owner":{"email":"Bill@initech.example"}}`).want(http.StatusCreated, &made)
		if made.System || made.State != "active" || made.Slug != "initech" || r.header.Get("Location") != "/v1/workspaces/"+made.ID ||
			r.header.Get("ETag") != made.Etag || made.Invitation == nil || made.Invitation.Email != "bill@initech.example" || made.Invitation.Role.Name != "owner" {
			t.Errorf("at %s: got %s", r.header.Get("Location"), r.body)
		}
		ninety := int64(90)
		want := api.Policy{
			AccountKeyDefaultDays: 365, MemberKeyDefaultDays: 90, MemberKeyMaxDays: &ninety,
			InvitationDays: 7, QuietFor: "10m", UsageDays: 90, SelfRotation: true,
		}
		if diff := cmp.Diff(want, made.Policy); diff != "" {
			t.Errorf("policy (-want +got):\n%s", diff)
		}
		owner := w.join(made.Invitation.Token, "Bill").in(t)
		var read api.Workspace
		owner.get("/v1/workspaces/-").want(http.StatusOK, &read)
		if diff := cmp.Diff(made.Workspace, read); diff != "" {
			t.Errorf("(-made +read):\n%s", diff)
		}
		var plain api.CreatedWorkspace
		if r := system.post("/v1/workspaces", `{"name":"Plain","slug":"plain"}`).want(http.StatusCreated, &plain); plain.Invitation != nil {
			t.Errorf("got %s, want no invitation", r.body)
		}
		for body, pointer := range map[string]string{
			`{"name":"x"}`:                                       "/slug",
			`{"slug":"x"}`:                                       "/name",
			`{"name":"x","slug":"X"}`:                            "/slug",
			`{"name":"x","slug":"-"}`:                            "/slug",
			`{"name":"x","slug":"x","owner":{"email":""}}`:       "/owner/email",
			`{"name":"x","slug":"x","owner":{"email":"nobody"}}`: "/owner/email",
			`{"name":"x","slug":"x","owner":{}}`:                 "/owner/email",
		} {
			system.post("/v1/workspaces", body).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		system.post("/v1/workspaces", `{"name":"x","slug":"x","system":true}`).problemAt(http.StatusBadRequest, api.CodeUnknownField, "/system")
		system.post("/v1/workspaces", `{"name":"x","slug":"initech"}`).wantProblem(http.StatusConflict, api.CodeNameTaken)
	})
}

func TestPolicyIsChangedSettingBySetting(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		change := func(body string, want func(*api.Policy)) {
			t.Helper()
			var before api.Workspace
			c.get("/v1/workspaces/acme").want(http.StatusOK, &before)
			var out api.UpdatedWorkspace
			r := c.patch("/v1/workspaces/"+c.workspace, body).want(http.StatusOK, &out)
			want(&before.Policy)
			if diff := cmp.Diff(before.Policy, out.Policy); diff != "" || r.header.Get("ETag") != out.Etag || !out.Receipt.Confirmed {
				t.Errorf("%s: got %s (-want +got):\n%s", body, r.body, diff)
			}
		}
		days := func(n int64) *int64 { return &n }
		change(`{"policy":{"account_key_max_days":400,"seat_limit":5,"owner_required":true}}`, func(p *api.Policy) {
			p.AccountKeyMaxDays, p.SeatLimit, p.OwnerRequired = days(400), days(5), true
		})
		change(`{"policy":{"seat_limit":null,"member_key_max_days":null}}`, func(p *api.Policy) { p.SeatLimit, p.MemberKeyMaxDays = nil, nil })
		change(`{"policy":{"account_key_default_days":30,"member_key_default_days":7,"invitation_days":1}}`, func(p *api.Policy) {
			p.AccountKeyDefaultDays, p.MemberKeyDefaultDays, p.InvitationDays = 30, 7, 1
		})
		change(`{"policy":{"quiet_for":"2h","usage_days":30,"self_rotation":false,"reveal_refusal_reason":true}}`, func(p *api.Policy) {
			p.QuietFor, p.UsageDays, p.SelfRotation, p.RevealRefusalReason = "2h", 30, false, true
		})
		change(`{}`, func(*api.Policy) {})
		for body, pointer := range map[string]string{
			`{"policy":{"account_key_default_days":401}}`: "/policy/account_key_default_days",
			`{"policy":{"seat_limit":0}}`:                 "/policy/seat_limit",
			`{"policy":{"quiet_for":"soon"}}`:             "/policy/quiet_for",
			`{"policy":{"invitation_days":1.5}}`:          "/policy/invitation_days",
			`{"name":""}`:                                 "/name",
		} {
			c.patch("/v1/workspaces/-", body).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		c.patch("/v1/workspaces/-", `{"slug":"other"}`).problemAt(http.StatusBadRequest, api.CodeUnknownField, "/slug")
		c.patch("/v1/workspaces/-", `{"policy":{"sso":true}}`).problemAt(http.StatusBadRequest, api.CodeUnknownField, "/policy/sso")
		p := c.post(here("/service_accounts/"+c.ownedAccount()+"/keys"), `{"name":"x","expires_in":"401d"}`).
			wantProblem(http.StatusUnprocessableEntity, api.CodePolicyViolation)
		if p.Policy != "account_key_max_days" {
			t.Errorf("got policy %q, want account_key_max_days", p.Policy)
		}
	})
}

// ownedAccount returns the id of a new account that names its team.
func (c *client) ownedAccount() string {
	c.t.Helper()
	var made api.CreatedServiceAccount
	c.post(here("/service_accounts"), api.CreateServiceAccount{Name: c.name("bot"), Role: "viewer", Owner: "Support"}).want(http.StatusCreated, &made)
	return made.ID
}

// A paused workspace stops every key in it, and only its operators turn it.
func TestWorkspaceIsPausedByItsOperatorsOnly(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		system, c, other := w.system.in(t), w.acme.in(t), w.globex.in(t)
		bot := c.holder("*:read").in(t)
		for _, ref := range []string{"acme", c.workspace} {
			var out api.WorkspaceAnswer
			system.post("/v1/workspaces/"+ref+"/pause", `{"reason":"not paid"}`).want(http.StatusOK, &out)
			if out.Workspace.State != "paused" || out.Workspace.ID != c.workspace || !out.Receipt.Confirmed {
				t.Errorf("got %+v", out)
			}
			for _, holder := range []*client{c, bot} {
				holder.get("/v1/keys/self").wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
			}
			other.get("/v1/keys/self").want(http.StatusOK, nil)
			system.post("/v1/workspaces/"+ref+"/resume", nil).want(http.StatusOK, &out)
			if out.Workspace.State != "active" {
				t.Errorf("got %+v", out)
			}
			bot.get("/v1/keys/self").want(http.StatusOK, nil)
		}
		for _, r := range []*reply{
			c.post("/v1/workspaces/-/pause", nil), c.post("/v1/workspaces/globex/pause", nil), c.post("/v1/workspaces/globex/resume", nil),
			c.get("/v1/workspaces"), c.get("/v1/workspaces/globex"), c.get("/v1/workspaces/operations"),
			c.post("/v1/workspaces", `{"name":"x","slug":"x"}`), c.patch("/v1/workspaces/globex", `{"name":"x"}`),
			system.patch("/v1/workspaces/acme", `{"name":"x"}`), system.post("/v1/workspaces/nobody/pause", nil),
			system.get("/v1/workspaces/nobody"), system.get("/v1/workspaces/acme/service_accounts"), system.get("/v1/workspaces/acme/audit_events"),
		} {
			r.wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
		system.post("/v1/workspaces/-/pause", nil).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
		system.get("/v1/workspaces/acme").want(http.StatusOK, nil)
	})
}

func TestWorkspacesAreFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		system := w.system.in(t)
		system.post("/v1/workspaces/globex/pause", nil).want(http.StatusOK, nil)
		for query, want := range map[string][]string{
			"?sort=name":              {"operations", "acme", "globex"},
			"?sort=slug":              {"acme", "globex", "operations"},
			"?sort=-slug":             {"operations", "globex", "acme"},
			"?state=paused":           {"globex"},
			"?q=TENANT+a":             {"acme"},
			"?q=lobe":                 {"globex"},
			"?sort=slug&state=active": {"acme", "operations"},
		} {
			var list api.List[api.Workspace]
			system.get("/v1/workspaces"+query).want(http.StatusOK, &list)
			slugs := []string{}
			for _, ws := range list.Data {
				slugs = append(slugs, ws.Slug)
			}
			if !slices.Equal(slugs, want) {
				t.Errorf("%s: got %v, want %v", query, slugs, want)
			}
		}
		var page api.List[api.Workspace]
		system.get("/v1/workspaces?sort=slug&limit=2").want(http.StatusOK, &page)
		system.get("/v1/workspaces?sort=slug&limit=2&cursor="+*page.NextCursor).want(http.StatusOK, &page)
		if len(page.Data) != 1 || page.Data[0].Slug != "operations" || page.HasMore {
			t.Errorf("got %+v, want the last one", page)
		}
	})
}

var digit = regexp.MustCompile(`[1-9]`)

// An id of another workspace in a body or a query is told nothing that an id of
// nobody is not told. Paths are in the tests over all operations.
func TestIDsOfOtherWorkspacesAreNobodysInBodiesAndQueries(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c, theirs := w.acme.in(t), w.globex.in(t)
		role, account, person := theirs.role("tickets:read"), theirs.account("viewer"), theirs.member("viewer")
		key := theirs.keyOf(account.ID, api.CreateKey{})
		var event api.List[api.AuditEvent]
		theirs.get(here("/audit_events?limit=1")).want(http.StatusOK, &event)
		mine, member := here("/service_accounts/"+c.account("viewer").ID), here("/members/"+c.member("viewer").principal)
		for _, test := range []struct {
			method, path, body string // with ID for an id
			id                 string
		}{
			{http.MethodPost, here("/service_accounts"), `{"name":"x","role":"ID"}`, role.ID},
			{http.MethodPatch, mine, `{"role":"ID"}`, role.ID},
			{http.MethodPost, here("/invitations"), `{"email":"x@example.com","role":"ID"}`, role.ID},
			{http.MethodPatch, member, `{"role":"ID"}`, role.ID},
			{http.MethodPost, here("/check"), `{"principal":"ID","permission":"a:read"}`, account.ID},
			{http.MethodPost, here("/check"), `{"principal":"ID","permission":"a:read"}`, account.Name},
			{http.MethodPost, here("/check"), `{"principal":"ID","permission":"a:read"}`, person.principal},
			{http.MethodPost, here("/check"), `{"key":"ID","permission":"a:read"}`, key.ID},
			{http.MethodGet, here("/service_accounts?role=ID"), "", role.ID},
			{http.MethodGet, here("/members?role=ID"), "", role.ID},
			{http.MethodGet, here("/keys?principal=ID"), "", account.ID},
			{http.MethodGet, here("/keys?principal=ID"), "", person.principal},
			{http.MethodGet, here("/audit_events?actor=ID"), "", theirs.principal},
			{http.MethodGet, here("/audit_events?target=ID"), "", account.ID},
			{http.MethodGet, here("/audit_events?q=ID"), "", account.Name},
			{http.MethodGet, here("/audit_events/export?target=ID"), "", account.ID},
			{http.MethodGet, here("/audit_events/ID"), "", event.Data[0].ID},
		} {
			ask := func(id string) (int, string) {
				var body any
				if test.body != "" {
					body = strings.Replace(test.body, "ID", id, 1)
				}
				r := c.call(test.method, strings.Replace(test.path, "ID", id, 1), body)
				text := strings.ReplaceAll(string(r.body), id, "ID")
				return r.status, strings.ReplaceAll(text, r.header.Get("X-Request-Id"), "REQ")
			}
			nobodys := digit.ReplaceAllString(test.id, "0")
			status, body := ask(test.id)
			wantStatus, want := ask(nobodys)
			if status != wantStatus || body != want {
				t.Errorf("%s %s with %s: got %d %s, with nobody's id: %d %s", test.method, test.path, test.id, status, body, wantStatus, want)
			}
			if status == http.StatusOK && (strings.Contains(body, role.Name) || strings.Contains(body, `"id"`)) {
				t.Errorf("%s %s with %s: got %s", test.method, test.path, test.id, body)
			}
		}
	})
}
