package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/api"
)

// Removing a person stops every key that they owned, and nothing else: what they
// made goes on, and the audit log still names them (S2).
func TestRemovedPersonsKeysStopAndTheirAccountsLive(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		person := c.member("admin").in(t)
		var second api.CreatedKey
		person.post(here("/me/keys"), `{"name":"laptop"}`).want(http.StatusCreated, &second)
		account := person.account("viewer")
		bot := w.client(person.keyOf(account.ID, api.CreateKey{}).Value).in(t)
		var before api.Member
		c.get(here("/members/"+person.principal)).want(http.StatusOK, &before)

		var out api.RemovedMember
		c.delete(here("/members/"+person.principal)).want(http.StatusOK, &out)
		if out.Member.State != "removed" || out.KeysStopped != 2 || out.Receipt.KeysStopped != 2 || !out.Receipt.Confirmed {
			t.Errorf("got %+v, want 2 keys stopped, confirmed", out)
		}
		for _, key := range []string{person.key, second.Value} {
			w.do(t, get("/v1/whoami", key)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
		bot.get("/v1/whoami").want(http.StatusOK, nil)
		var made api.ServiceAccount
		c.get(here("/service_accounts/"+account.ID)).want(http.StatusOK, &made)
		want := api.Actor{ID: person.principal, Type: "member", Name: before.Name, State: "removed"}
		if made.State != "active" || made.CreatedBy != want {
			t.Errorf("got %s, made by %+v, want it active, made by %+v", made.State, made.CreatedBy, want)
		}
		var events api.List[api.AuditEvent]
		c.get(here("/audit_events?action=service_account.created&actor="+person.principal)).want(http.StatusOK, &events)
		if len(events.Data) != 1 || events.Data[0].Actor != want || events.Data[0].Target.Name != account.Name {
			t.Errorf("got events %+v, want one, of %+v", events.Data, want)
		}
		var again api.RemovedMember
		c.delete(here("/members/"+person.principal)).want(http.StatusOK, &again)
		if again.Member.State != "removed" || again.KeysStopped != 0 || !again.Receipt.Confirmed {
			t.Errorf("removed again: got %+v, want no key stopped, confirmed", again)
		}
		c.patch(here("/members/"+person.principal), `{"role":"viewer"}`).wantProblem(http.StatusConflict, api.CodePrincipalInactive)
	})
}

func TestMemberIsReadAndGivenAnotherRole(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		person := c.member("editor").in(t)
		path := here("/members/" + person.principal)
		var read api.Member
		r := c.get(path).want(http.StatusOK, &read)
		if read.Role.Name != "editor" || read.State != "active" || read.Keys != (api.KeyCounts{Active: 1, Total: 1}) ||
			read.Email != read.Person.Email || r.header.Get("ETag") != read.Etag {
			t.Errorf("got %s", r.body)
		}
		person.get(here("/roles")).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		var changed api.UpdatedMember
		r = c.patch(path, `{"role":"ADMIN"}`).want(http.StatusOK, &changed)
		want := read
		want.Role, want.Etag = changed.Role, changed.Etag
		if diff := cmp.Diff(want, changed.Member); diff != "" || changed.Role.Name != "admin" || !changed.Receipt.Confirmed {
			t.Errorf("got %s (-want +got):\n%s", r.body, diff)
		}
		person.get(here("/roles")).want(http.StatusOK, nil)
		c.patch(path, `{"role":"viewer"}`).want(http.StatusOK, nil)
		person.get(here("/roles")).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		c.patch(path, `{"role":"nobody"}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/role")
		c.patch(path, `{}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/role")
		c.patch(path, `{"role":"viewer","state":"removed"}`).problemAt(http.StatusBadRequest, api.CodeUnknownField, "/state")
		for _, r := range []*reply{
			c.get(here("/members/mem_01jn8x0c2vf3hs5r6tq7w8y9zc")), c.get(here("/members/Jo")), c.get(here("/members/" + c.account("viewer").ID)),
			c.patch(here("/members/mem_01jn8x0c2vf3hs5r6tq7w8y9zc"), `{"role":"viewer"}`), c.delete(here("/members/mem_01jn8x0c2vf3hs5r6tq7w8y9zc")),
		} {
			r.wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
	})
}

// Only an owner acts on an owner, and a workspace keeps one.
func TestOnlyAnOwnerActsOnAnOwner(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		admin := c.member("admin").in(t)
		person := c.member("viewer")
		for _, r := range []*reply{
			admin.patch(here("/members/"+person.principal), `{"role":"owner"}`),
			admin.patch(here("/members/"+admin.principal), `{"role":"owner"}`),
			admin.patch(here("/members/"+c.principal), `{"role":"viewer"}`),
			admin.delete(here("/members/" + c.principal)),
			admin.post(here("/invitations"), `{"email":"x@example.com","role":"owner"}`),
			admin.post(here("/keys/"+c.id+"/revoke"), nil),
			admin.patch(here("/keys/"+c.id), `{"name":"x"}`),
		} {
			if p := r.wantProblem(http.StatusForbidden, api.CodePermissionDenied); p.Permission != "iam.owners:write" {
				t.Errorf("%s %s: got %q missing, want iam.owners:write", r.call.method, r.call.path, p.Permission)
			}
		}
		c.patch(here("/members/"+c.principal), `{"role":"admin"}`).wantProblem(http.StatusConflict, api.CodeLastOwner)
		c.delete(here("/members/"+c.principal)).wantProblem(http.StatusConflict, api.CodeLastOwner)
		c.patch(here("/members/"+person.principal), `{"role":"owner"}`).want(http.StatusOK, nil)
		c.delete(here("/members/"+c.principal)).want(http.StatusOK, nil)
	})
}

func TestMembersAreFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		viewer, gone := c.member("viewer"), c.member("operator")
		c.delete(here("/members/"+gone.principal)).want(http.StatusOK, nil)
		for query, want := range map[string][]string{
			"?sort=created_at":        {c.principal, viewer.principal, gone.principal},
			"?sort=-created_at":       {gone.principal, viewer.principal, c.principal},
			"?state=removed":          {gone.principal},
			"?state=active&sort=name": {c.principal, viewer.principal},
			"?role=owner":             {c.principal},
			"?role=viewer":            {viewer.principal},
			"?q=OWNER%40acme":         {c.principal},
			"?q=nobody":               {},
		} {
			var list api.List[api.Member]
			c.get(here("/members"+query)).want(http.StatusOK, &list)
			ids := []string{}
			for _, m := range list.Data {
				ids = append(ids, m.ID)
			}
			if !slices.Equal(ids, want) {
				t.Errorf("%s: got %v, want %v", query, ids, want)
			}
		}
	})
}

// At the seat limit no person is invited; accounts go on being made (S3).
func TestOnlyPeopleTakeSeats(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		wantSeats := func(used, pending int64, limit *int64) {
			t.Helper()
			var seats api.Seats
			c.get(here("/seats")).want(http.StatusOK, &seats)
			if want := (api.Seats{Used: used, Pending: pending, Limit: limit}); !cmp.Equal(seats, want) {
				t.Errorf("got seats %+v, want %+v", seats, want)
			}
		}
		wantSeats(1, 0, nil)
		two := int64(2)
		c.patch("/v1/workspaces/-", `{"policy":{"seat_limit":2}}`).want(http.StatusOK, nil)
		var invited api.CreatedInvitation
		c.post(here("/invitations"), `{"email":"a@example.com","role":"viewer"}`).want(http.StatusCreated, &invited)
		wantSeats(1, 1, &two)
		full := func() {
			t.Helper()
			c.post(here("/invitations"), `{"email":"b@example.com","role":"viewer"}`).wantProblem(http.StatusConflict, api.CodeSeatLimitReached)
		}
		full()
		for i := range 40 {
			c.post(here("/service_accounts"), fmt.Sprintf(`{"name":"bot%d","role":"viewer"}`, i)).want(http.StatusCreated, nil)
		}
		wantSeats(1, 1, &two)
		c.delete(here("/invitations/"+invited.ID)).want(http.StatusOK, nil)
		wantSeats(1, 0, &two)
		person := c.member("viewer")
		wantSeats(2, 0, &two)
		full()
		c.delete(here("/members/"+person.principal)).want(http.StatusOK, nil)
		wantSeats(1, 0, &two)
	})
}
