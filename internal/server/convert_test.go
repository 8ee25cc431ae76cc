package server_test

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/server"
)

// town is a world with two tenants in it.
type town struct {
	*world
	t     *testing.T
	names atomic.Int64

	system *client // an owner of the system workspace
	acme   *client // the owner of a tenant
	globex *client // the owner of another
}

// eachTown runs a test in a town on SQLite and in one on PostgreSQL.
func eachTown(t *testing.T, test func(t *testing.T, w *town)) {
	each(t, func(t *testing.T, w *world) { test(t, newTown(t, w)) })
}

func newTown(t *testing.T, w *world) *town {
	t.Helper()
	w = w.with(t, func(o *server.Options) { o.BehindProxy = true })
	out := &town{world: w, t: t}
	out.system = out.client(w.owner)
	out.acme, out.globex = out.found("acme"), out.found("globex")
	return out
}

// in returns the same client for a part of a test.
func (c *client) in(t *testing.T) *client {
	other := *c
	other.t = t
	return &other
}

// name returns a name that nothing has yet.
func (w *town) name(of string) string { return fmt.Sprintf("%s-%d", of, w.names.Add(1)) }

// found makes a workspace and returns its owner.
func (w *town) found(slug string) *client {
	w.t.Helper()
	var made api.CreatedWorkspace
	w.system.post("/v1/workspaces", api.CreateWorkspace{
		Name: "Tenant " + slug, Slug: slug, Owner: &api.WorkspaceOwner{Email: "owner@" + slug + ".example"},
	}).want(http.StatusCreated, &made)
	return w.join(made.Invitation.Token, "Owner of "+slug)
}

// join returns the member that an invitation's token makes.
func (w *town) join(invitation, name string) *client {
	w.t.Helper()
	var joined api.AcceptedInvitation
	w.anybody().post("/v1/invitations/accept", api.AcceptInvitation{
		Token: invitation, Name: name, Key: &api.KeyName{Name: "first"},
	}).want(http.StatusCreated, &joined)
	return w.client(joined.Key.Value)
}

// client is somebody who calls.
type client struct {
	*town
	t         *testing.T
	key       string // the value
	id        string // of the key
	principal string
	workspace string // its id
}

// anybody has no key.
func (w *town) anybody() *client { return &client{town: w, t: w.t} }

// client returns the holder of a key that works.
func (w *town) client(key string) *client {
	w.t.Helper()
	c := &client{town: w, t: w.t, key: key}
	var who api.Whoami
	c.get("/v1/whoami").want(http.StatusOK, &who)
	c.id, c.principal, c.workspace = who.Key.ID, who.Principal.ID, who.Principal.Workspace.ID
	return c
}

// here returns a path in the caller's own workspace.
func here(path string) string { return "/v1/workspaces/-" + path }

func (c *client) get(path string) *reply { return c.call(http.MethodGet, path, nil) }

func (c *client) post(path string, body any, header ...string) *reply {
	return c.call(http.MethodPost, path, body, header...)
}

func (c *client) patch(path string, body any, header ...string) *reply {
	return c.call(http.MethodPatch, path, body, header...)
}

func (c *client) delete(path string, header ...string) *reply {
	return c.call(http.MethodDelete, path, nil, header...)
}

// call calls the API. The header is names and values in turn.
func (c *client) call(method, path string, body any, header ...string) *reply {
	c.t.Helper()
	return c.do(c.t, c.request(method, path, body, header...))
}

func (c *client) request(method, path string, body any, header ...string) call {
	// From another address each time: acceptance is limited by address.
	n := c.names.Add(1)
	r := call{method: method, path: path, key: c.key, body: body}.
		holding("X-Forwarded-For", fmt.Sprintf("192.0.%d.%d", n/250, n%250+1)).holding("User-Agent", "tests/1.0")
	for i := 0; i < len(header); i += 2 {
		r = r.holding(header[i], header[i+1])
	}
	return r
}

// member returns a new member of the caller's workspace.
func (c *client) member(role string) *client {
	c.t.Helper()
	name := c.name("Person")
	var invited api.CreatedInvitation
	c.post(here("/invitations"), api.CreateInvitation{Email: strings.ToLower(name) + "@example.com", Role: role}).
		want(http.StatusCreated, &invited)
	return c.join(invited.Token, name)
}

// account returns a new service account.
func (c *client) account(role string) (made api.CreatedServiceAccount) {
	c.t.Helper()
	c.post(here("/service_accounts"), api.CreateServiceAccount{Name: c.name("bot"), Role: role}).want(http.StatusCreated, &made)
	return made
}

// keyOf returns a new key of an account.
func (c *client) keyOf(account string, want api.CreateKey) (made api.CreatedKey) {
	c.t.Helper()
	want.Name = cmp.Or(want.Name, c.name("key"))
	c.post(here("/service_accounts/"+account+"/keys"), want).want(http.StatusCreated, &made)
	return made
}

// role returns a new custom role.
func (c *client) role(permissions ...string) (made api.CreatedRole) {
	c.t.Helper()
	c.post(here("/roles"), api.CreateRole{Name: c.name("role"), Permissions: permissions}).want(http.StatusCreated, &made)
	return made
}

// holder returns the holder of a key of a new account that can do exactly what is
// listed.
func (c *client) holder(permissions ...string) *client {
	c.t.Helper()
	return c.client(c.keyOf(c.account(c.role(permissions...).ID).ID, api.CreateKey{}).Value)
}

// problemAt fails the test unless the answer is a problem with a code that finds
// fault first with the field at a pointer.
func (r *reply) problemAt(status int, code, pointer string) {
	r.t.Helper()
	p := r.wantProblem(status, code)
	if len(p.Errors) == 0 || p.Errors[0].Pointer != pointer {
		r.t.Errorf("%s %s: got errors %+v, want the first at %q", r.call.method, r.call.path, p.Errors, pointer)
	}
}

// What was made is where its answer says, in the version that its answer says.
func TestNewThingIsWhereItsAnswerSays(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		var invited api.CreatedInvitation
		c.post(here("/invitations"), `{"email":"jo@example.com","role":"viewer"}`).want(http.StatusCreated, &invited)
		for _, test := range []struct {
			maker      *client
			path, body string
		}{
			{w.system.in(t), "/v1/workspaces", `{"name":"New","slug":"new"}`},
			{c, here("/service_accounts"), `{"name":"bot","role":"viewer"}`},
			{c, here("/service_accounts/" + account.ID + "/keys"), `{"name":"k"}`},
			{c, here("/me/keys"), `{"name":"k"}`},
			{c, here("/roles"), `{"name":"r","permissions":["a:read"]}`},
			{w.anybody().in(t), "/v1/invitations/accept", `{"token":"` + invited.Token + `","name":"Jo"}`},
		} {
			made := test.maker.post(test.path, test.body).want(http.StatusCreated, nil)
			reader := test.maker
			if reader.key == "" {
				reader = c
			}
			read := reader.get(made.header.Get("Location")).want(http.StatusOK, nil)
			if got, want := made.header.Get("ETag"), read.header.Get("ETag"); got != want || got == "" {
				t.Errorf("POST %s: got ETag %q, want %q", test.path, got, want)
			}
		}
	})
}
