package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/server"
)

func accept(token string) api.AcceptInvitation {
	return api.AcceptInvitation{Token: token, Name: "Jo Park"}
}

func TestInvitationMakesAMemberOnce(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		var invited api.CreatedInvitation
		r := c.post(here("/invitations"), `{"email":" Jo@Example.com","role":"editor"}`).want(http.StatusCreated, &invited)
		if invited.State != "pending" || invited.Email != "jo@example.com" || invited.Role.Name != "editor" || invited.InvitedBy.ID != c.principal ||
			invited.ExpiresAt.Sub(invited.CreatedAt.Time) != 7*24*time.Hour {
			t.Errorf("got %s", r.body)
		}
		if got, want := r.header.Get("Location"), "/v1/workspaces/"+c.workspace+"/invitations/"+invited.ID; got != want {
			t.Errorf("Location: got %q, want %q", got, want)
		}
		var joined api.AcceptedInvitation
		r = w.anybody().in(t).post("/v1/invitations/accept", accept(invited.Token)).want(http.StatusCreated, &joined)
		if joined.Member.Email != "jo@example.com" || joined.Member.Role.Name != "editor" || joined.Key != nil || joined.Member.Keys.Total != 0 {
			t.Errorf("got %s", r.body)
		}
		var read api.Member
		c.get(r.header.Get("Location")).want(http.StatusOK, &read)
		if read.ID != joined.Member.ID || read.Name != "Jo Park" {
			t.Errorf("Location leads to %+v, want the member", read)
		}
		w.anybody().in(t).post("/v1/invitations/accept", accept(invited.Token)).wantProblem(http.StatusGone, api.CodeGone)
		c.post(here("/invitations"), `{"email":"JO@example.com","role":"viewer"}`).wantProblem(http.StatusConflict, api.CodeAlreadyMember)
		c.delete(here("/invitations/"+invited.ID)).wantProblem(http.StatusGone, api.CodeGone)
	})
}

func TestFirstKeyOfAMemberIsShownOnce(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		var invited api.CreatedInvitation
		c.post(here("/invitations"), `{"email":"jo@example.com","role":"admin"}`).want(http.StatusCreated, &invited)
		for body, pointer := range map[string]string{
			`{"token":"` + invited.Token + `","name":"Jo","key":{"name":""}}`:    "/key/name",
			`{"token":"` + invited.Token + `","name":"Jo","key":{"name":"a/b"}}`: "/key/name",
			`{"token":"` + invited.Token + `","name":"Jo","key":{}}`:             "/key/name",
			`{"token":"` + invited.Token + `","name":" "}`:                       "/name",
			`{"token":"` + invited.Token + `"}`:                                  "/name",
			`{"name":"Jo"}`:                                                      "/token",
		} {
			r := w.anybody().in(t).post("/v1/invitations/accept", body)
			r.problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
			if strings.Contains(string(r.body), invited.Token[4:]) {
				t.Errorf("%s: the answer repeats the token", pointer)
			}
		}
		body := api.AcceptInvitation{Token: invited.Token, Name: "Jo", Key: &api.KeyName{Name: "laptop"}}
		var joined api.AcceptedInvitation
		w.anybody().in(t).post("/v1/invitations/accept", body, "Idempotency-Key", "once").want(http.StatusCreated, &joined)
		w.client(joined.Key.Value).in(t).get(here("/members")).want(http.StatusOK, nil)
		p := w.anybody().in(t).post("/v1/invitations/accept", body, "Idempotency-Key", "once").wantProblem(http.StatusConflict, api.CodeValueAlreadyIssued)
		if p.ID != joined.Key.ID {
			t.Errorf("got id %q, want %s", p.ID, joined.Key.ID)
		}
	})
}

// Whatever an invitation rests on is asked again when it is accepted.
func TestInvitationEndsWithWhatItRestsOn(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		c.patch("/v1/workspaces/-", `{"policy":{"seat_limit":9}}`).want(http.StatusOK, nil)
		for what, end := range map[string]func(inviter *client, inv api.CreatedInvitation){
			"it was cancelled": func(_ *client, inv api.CreatedInvitation) {
				c.delete(here("/invitations/"+inv.ID)).want(http.StatusOK, nil)
			},
			"its maker was removed": func(by *client, _ api.CreatedInvitation) {
				c.delete(here("/members/"+by.principal)).want(http.StatusOK, nil)
			},
			"its maker lost the power": func(by *client, _ api.CreatedInvitation) {
				c.patch(here("/members/"+by.principal), `{"role":"viewer"}`).want(http.StatusOK, nil)
			},
			"its maker's key is revoked": func(by *client, _ api.CreatedInvitation) {
				c.post(here("/keys/"+by.id+"/revoke"), nil).want(http.StatusOK, nil)
			},
			"its role is gone": func(_ *client, inv api.CreatedInvitation) {
				c.delete(here("/roles/"+inv.Role.ID)).want(http.StatusOK, nil)
			},
			"the address was invited again": func(_ *client, inv api.CreatedInvitation) {
				c.post(here("/invitations"), api.CreateInvitation{Email: inv.Email, Role: "viewer"}).want(http.StatusCreated, nil)
			},
			"the seats are fewer": func(*client, api.CreatedInvitation) {
				c.patch("/v1/workspaces/-", `{"policy":{"seat_limit":1}}`).want(http.StatusOK, nil)
			},
		} {
			inviter := c.member("admin").in(t)
			role := c.role("agents:read")
			var invited api.CreatedInvitation
			inviter.post(here("/invitations"), api.CreateInvitation{Email: w.name("x") + "@example.com", Role: role.ID}).want(http.StatusCreated, &invited)
			end(inviter, invited)
			if r := w.anybody().in(t).post("/v1/invitations/accept", accept(invited.Token)); r.status != http.StatusGone {
				t.Errorf("%s: got %d, want 410: %s", what, r.status, r.body)
			}
			c.patch("/v1/workspaces/-", `{"policy":{"seat_limit":null}}`).want(http.StatusOK, nil)
		}
		for _, token := range []string{"", "inv_nothing", c.key} {
			w.anybody().in(t).post("/v1/invitations/accept", accept(token)).wantProblem(http.StatusGone, api.CodeGone)
		}
	})
}

func TestInvitationThatCannotBeGivenIsRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for body, pointer := range map[string]string{
			`{"email":"nobody","role":"viewer"}`:                                       "/email",
			`{"email":"` + strings.Repeat("a", 250) + `@example.com","role":"viewer"}`: "/email",
			`{"email":"a@example.com","role":"nobody"}`:                                "/role",
			`{"email":"a@example.com"}`:                                                "/role",
			`{"role":"viewer"}`:                                                        "/email",
		} {
			c.post(here("/invitations"), body).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		giver := c.holder("iam.members:*", "*:read")
		p := giver.in(t).post(here("/invitations"), `{"email":"a@example.com","role":"editor"}`).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		if p.Permission != "*:delete" {
			t.Errorf("got %q missing, want *:delete", p.Permission)
		}
		c.delete(here("/invitations/inv_01jn8x0c2vf3hs5r6tq7w8y9zj")).wantProblem(http.StatusNotFound, api.CodeNotFound)
	})
}

func TestInvitationsAreFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		ids := map[string]string{}
		for _, name := range []string{"a", "b", "c"} {
			var invited api.CreatedInvitation
			c.post(here("/invitations"), `{"email":"`+name+`@example.com","role":"viewer"}`).want(http.StatusCreated, &invited)
			ids[name] = invited.ID
			if name == "c" {
				w.join(invited.Token, "Person c")
			}
		}
		var out api.InvitationAnswer
		c.delete(here("/invitations/"+ids["b"])).want(http.StatusOK, &out)
		if out.Invitation.State != "cancelled" || !out.Receipt.Confirmed || out.Revision == 0 {
			t.Errorf("got %+v", out)
		}
		c.delete(here("/invitations/"+ids["b"])).want(http.StatusOK, nil)
		later := w.with(t, func(o *server.Options) { o.Now = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) } })
		for _, test := range []struct {
			at    *world
			query string
			want  []string
		}{
			{w.world, "?sort=email", []string{"a", "b", "c", "o"}}, // o is the owner, whom the operators invited
			{w.world, "?sort=-email", []string{"o", "c", "b", "a"}},
			{w.world, "?state=pending", []string{"a"}},
			{w.world, "?state=cancelled", []string{"b"}},
			{w.world, "?state=accepted&q=example.com", []string{"c"}},
			{w.world, "?state=expired", []string{}},
			{later, "?state=expired", []string{"a"}},
			{later, "?state=pending", []string{}},
			{w.world, "?q=B%40", []string{"b"}},
		} {
			var list api.List[api.Invitation]
			test.at.do(t, c.request(http.MethodGet, here("/invitations"+test.query), nil)).want(http.StatusOK, &list)
			names := []string{}
			for _, i := range list.Data {
				names = append(names, i.Email[:1])
				if strings.Contains(test.query, "state=") && !strings.Contains(test.query, "state="+i.State) {
					t.Errorf("%s: got one that is %s", test.query, i.State)
				}
			}
			if !slices.Equal(names, test.want) {
				t.Errorf("%s: got %v, want %v", test.query, names, test.want)
			}
		}
	})
}
