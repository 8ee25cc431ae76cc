package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/posternhq/postern/api"
)

// tenant is a workspace with an owner, made through the API.
type tenant struct {
	t      *testing.T
	w      *world
	id     string
	slug   string
	owner  string // key
	member string // id of the owner
	root   string // W of the document

	made *atomic.Int64 // things, for their names
}

// tenant makes a workspace whose slug is name.
func (w *world) tenant(t *testing.T, name string) *tenant {
	t.Helper()
	var ws api.CreatedWorkspace
	w.do(t, post("/v1/workspaces", w.owner, api.CreateWorkspace{
		Name: name, Slug: name, Owner: &api.WorkspaceOwner{Email: "owner@" + name + ".example"},
	})).want(http.StatusCreated, &ws)
	x := &tenant{t: t, w: w, id: ws.ID, slug: name, root: "/v1/workspaces/" + ws.ID, made: new(atomic.Int64)}
	joined := x.accept(ws.Invitation.Token)
	x.owner, x.member = joined.Key.Value, joined.Member.ID
	return x
}

func (x *tenant) accept(token string) (joined api.AcceptedInvitation) {
	x.t.Helper()
	x.w.do(x.t, post("/v1/invitations/accept", "", api.AcceptInvitation{
		Token: token, Name: x.name("Jo"), Key: &api.KeyName{Name: "first"},
	})).want(http.StatusCreated, &joined)
	return joined
}

// name returns a name that nothing of the tenant has yet.
func (x *tenant) name(kind string) string { return fmt.Sprintf("%s-%d", kind, x.made.Add(1)) }

func (x *tenant) account(role string) (made api.CreatedServiceAccount) {
	x.t.Helper()
	x.w.do(x.t, post(x.root+"/service_accounts", x.owner, api.CreateServiceAccount{Name: x.name("bot"), Role: role})).want(http.StatusCreated, &made)
	return made
}

func (x *tenant) key(account string) (made api.CreatedKey) {
	x.t.Helper()
	x.w.do(x.t, post(x.root+"/service_accounts/"+account+"/keys", x.owner, api.CreateKey{Name: x.name("key")})).want(http.StatusCreated, &made)
	return made
}

// keyOf returns the value of a key of a new account with a role.
func (x *tenant) keyOf(role string) string { return x.key(x.account(role).ID).Value }

func (x *tenant) role(permissions ...string) (made api.CreatedRole) {
	x.t.Helper()
	x.w.do(x.t, post(x.root+"/roles", x.owner, api.CreateRole{Name: x.name("role"), Permissions: permissions})).want(http.StatusCreated, &made)
	return made
}

func (x *tenant) invitation() (made api.CreatedInvitation) {
	x.t.Helper()
	x.w.do(x.t, post(x.root+"/invitations", x.owner, api.CreateInvitation{Email: x.name("jo") + "@example.com", Role: "viewer"})).want(http.StatusCreated, &made)
	return made
}

func (x *tenant) event() (id string) {
	x.t.Helper()
	var list api.List[api.AuditEvent]
	x.w.do(x.t, get(x.root+"/audit_events?limit=1", x.owner)).want(http.StatusOK, &list)
	if len(list.Data) != 1 {
		x.t.Fatalf("the audit log has %d events, want 1 on a page of one", len(list.Data))
	}
	return list.Data[0].ID
}

// sample makes a call that succeeds, on things that are made for it.
type sample func(x *tenant) call

// samples returns one for each operation of the document.
func samples() map[string]sample {
	all := map[string]sample{}
	for _, some := range []map[string]sample{
		operationSamples(), workspaceSamples(), accountSamples(), keySamples(), rotationSamples(), memberSamples(), roleSamples(), auditSamples(), peopleSamples(), replicaSamples(),
	} {
		maps.Copy(all, some)
	}
	return all
}

const aTitle = "A title"

// on is a call of the owner on something of the workspace.
func on(method, path string, body any) sample {
	return func(x *tenant) call { return call{method: method, path: x.root + path, key: x.owner, body: body} }
}

// bySystem is a call of whoever operates the deployment.
func bySystem(method, path string, body any) sample {
	return func(x *tenant) call { return call{method: method, path: path, key: x.w.owner, body: body} }
}

func operationSamples() map[string]sample {
	return map[string]sample{
		"get-health":    bySystem(http.MethodGet, "/healthz", nil),
		"get-readiness": bySystem(http.MethodGet, "/readyz", nil),
		"get-openapi":   bySystem(http.MethodGet, "/v1/openapi.json", nil),
		"get-metrics":   bySystem(http.MethodGet, "/metrics", nil),
		"list-nodes":    on(http.MethodGet, "/nodes", nil),
		"whoami":        func(x *tenant) call { return get("/v1/whoami", x.owner) },
		"verify":        func(x *tenant) call { return post("/v1/verify", x.owner, api.Verify{Key: x.owner}) },
		"verify-batch": func(x *tenant) call {
			return post("/v1/verify/batch", x.owner, api.VerifyBatch{Items: []api.Verify{{Key: x.owner}}})
		},
	}
}

func workspaceSamples() map[string]sample {
	title := aTitle
	turn := func(action string) sample {
		return func(x *tenant) call { return post("/v1/workspaces/"+x.other()+action, x.w.owner, api.Reason{}) }
	}
	return map[string]sample{
		"list-workspaces": bySystem(http.MethodGet, "/v1/workspaces", nil),
		"create-workspace": func(x *tenant) call {
			name := x.name(x.slug)
			return post("/v1/workspaces", x.w.owner, api.CreateWorkspace{Name: name, Slug: name})
		},
		"get-workspace":    on(http.MethodGet, "", nil),
		"update-workspace": on(http.MethodPatch, "", api.UpdateWorkspace{Name: &title}),
		"pause-workspace":  turn("/pause"),
		"resume-workspace": turn("/resume"),
	}
}

func accountSamples() map[string]sample {
	title := aTitle
	one := func(method, path string, body any) sample {
		return func(x *tenant) call { return on(method, "/service_accounts/"+x.account("viewer").ID+path, body)(x) }
	}
	return map[string]sample{
		"list-service-accounts": on(http.MethodGet, "/service_accounts", nil),
		"create-service-account": func(x *tenant) call {
			return post(x.root+"/service_accounts", x.owner, api.CreateServiceAccount{Name: x.name("bot"), Role: "viewer"})
		},
		"get-service-account":              one(http.MethodGet, "", nil),
		"update-service-account":           one(http.MethodPatch, "", api.UpdateServiceAccount{Description: &title}),
		"pause-service-account":            one(http.MethodPost, "/pause", api.Reason{}),
		"resume-service-account":           one(http.MethodPost, "/resume", api.Reason{}),
		"list-service-account-permissions": one(http.MethodGet, "/permissions", nil),
		"get-service-account-advice":       one(http.MethodGet, "/advice", nil),
		"get-service-account-impact":       one(http.MethodGet, "/impact", nil),
		"revoke-service-account":           one(http.MethodPost, "/revoke", api.Reason{}),
		"list-service-account-keys":        one(http.MethodGet, "/keys", nil),
		"create-service-account-key":       one(http.MethodPost, "/keys", api.CreateKey{Name: "key"}),
	}
}

func keySamples() map[string]sample {
	title := aTitle
	one := func(method, path string, body any) sample {
		return func(x *tenant) call { return on(method, "/keys/"+x.key(x.account("viewer").ID).ID+path, body)(x) }
	}
	return map[string]sample{
		"list-keys":     on(http.MethodGet, "/keys", nil),
		"get-key":       one(http.MethodGet, "", nil),
		"update-key":    one(http.MethodPatch, "", api.UpdateKey{Name: &title}),
		"pause-key":     one(http.MethodPost, "/pause", api.Ending{}),
		"resume-key":    one(http.MethodPost, "/resume", api.Ending{}),
		"revoke-key":    one(http.MethodPost, "/revoke", api.Ending{}),
		"get-key-usage": one(http.MethodGet, "/usage", nil),
		"get-usage":     on(http.MethodGet, "/usage", nil),
		"get-overview":  on(http.MethodGet, "/overview", nil),
		"list-my-keys":  on(http.MethodGet, "/me/keys", nil),
		"create-my-key": func(x *tenant) call { return post(x.root+"/me/keys", x.owner, api.CreateKey{Name: x.name("mine")}) },
		"get-self":      func(x *tenant) call { return get("/v1/keys/self", x.owner) },
		"revoke-self":   func(x *tenant) call { return post("/v1/keys/self/revoke", x.keyOf("viewer"), api.Ending{}) },
	}
}

func rotationSamples() map[string]sample {
	one := func(method, path string, body any) sample {
		return func(x *tenant) call { return on(method, "/rotations/"+x.rotation().ID+path, body)(x) }
	}
	return map[string]sample{
		"list-rotations": on(http.MethodGet, "/rotations", nil),
		"get-rotation":   one(http.MethodGet, "", nil),
		"start-rotation": func(x *tenant) call {
			return on(http.MethodPost, "/keys/"+x.key(x.account("viewer").ID).ID+"/rotations", api.StartRotation{})(x)
		},
		"rotate-self":         func(x *tenant) call { return post("/v1/keys/self/rotations", x.keyOf("viewer"), api.StartRotation{}) },
		"list-self-rotations": func(x *tenant) call { return get("/v1/keys/self/rotations", x.keyOf("viewer")) },
		"update-rotation":     one(http.MethodPatch, "", api.UpdateRotation{QuietFor: api.Value("1h")}),
		"finish-rotation":     one(http.MethodPost, "/finish", api.FinishRotation{Force: true}),
		"cancel-rotation":     one(http.MethodPost, "/cancel", api.CancelRotation{Keep: "old"}),
		"try-without-old-key": one(http.MethodPost, "/try_without", api.TryWithout{For: "1s"}),
	}
}

// rotation starts the rotation of a new key.
func (x *tenant) rotation() api.Rotation {
	x.t.Helper()
	var begun api.StartedRotation
	x.w.do(x.t, post(x.root+"/keys/"+x.key(x.account("viewer").ID).ID+"/rotations", x.owner, nil)).want(http.StatusCreated, &begun)
	return begun.Rotation
}

func memberSamples() map[string]sample {
	one := func(method string, body any) sample {
		return func(x *tenant) call { return on(method, "/members/"+x.accept(x.invitation().Token).Member.ID, body)(x) }
	}
	return map[string]sample{
		"list-members":     on(http.MethodGet, "/members", nil),
		"get-member":       one(http.MethodGet, nil),
		"update-member":    one(http.MethodPatch, api.UpdateMember{Role: "operator"}),
		"remove-member":    one(http.MethodDelete, nil),
		"get-seats":        on(http.MethodGet, "/seats", nil),
		"list-invitations": on(http.MethodGet, "/invitations", nil),
		"create-invitation": func(x *tenant) call {
			return post(x.root+"/invitations", x.owner, api.CreateInvitation{Email: x.name("jo") + "@example.com", Role: "viewer"})
		},
		"cancel-invitation": func(x *tenant) call { return on(http.MethodDelete, "/invitations/"+x.invitation().ID, nil)(x) },
		"accept-invitation": func(x *tenant) call {
			return post("/v1/invitations/accept", "", api.AcceptInvitation{Token: x.invitation().Token, Name: "Jo"})
		},
	}
}

func roleSamples() map[string]sample {
	title := aTitle
	one := func(method string, body any) sample {
		return func(x *tenant) call { return on(method, "/roles/"+x.role("tickets:read").ID, body)(x) }
	}
	types := []api.PermissionType{{Type: "tickets", Title: "Tickets", Actions: []string{"close"}}}
	return map[string]sample{
		"list-roles": on(http.MethodGet, "/roles", nil),
		"create-role": func(x *tenant) call {
			return post(x.root+"/roles", x.owner, api.CreateRole{Name: x.name("role"), Permissions: []string{"tickets:read"}})
		},
		"get-role": one(http.MethodGet, nil),
		"get-role-impact": func(x *tenant) call {
			return post(x.root+"/roles/"+x.role("tickets:read").ID+"/impact", x.owner, api.RoleImpactOf{Permissions: []string{"tickets:write"}})
		},
		"update-role":              one(http.MethodPatch, api.UpdateRole{Title: &title}),
		"delete-role":              one(http.MethodDelete, nil),
		"list-permission-types":    on(http.MethodGet, "/permissions", nil),
		"replace-permission-types": on(http.MethodPut, "/permissions", types),
		"check": func(x *tenant) call {
			return post(x.root+"/check", x.owner, api.Check{Principal: x.member, Permission: "tickets:read"})
		},
	}
}

func auditSamples() map[string]sample {
	return map[string]sample{
		"list-audit-events":   on(http.MethodGet, "/audit_events", nil),
		"get-audit-event":     func(x *tenant) call { return get(x.root+"/audit_events/"+x.event(), x.owner) },
		"export-audit-events": on(http.MethodGet, "/audit_events/export", nil),
		"follow":              on(http.MethodGet, "/stream", nil),
		"get-receipt":         func(x *tenant) call { return get(x.root+"/receipts/"+x.receipt(), x.owner) },
	}
}

// receipt returns the id of the receipt of a change that the owner made.
func (x *tenant) receipt() string {
	x.t.Helper()
	var paused api.ServiceAccountAnswer
	x.w.do(x.t, post(x.root+"/service_accounts/"+x.account("viewer").ID+"/pause", x.owner, nil)).want(http.StatusOK, &paused)
	return paused.Receipt.ID
}

// other returns the id of a workspace made for the purpose.
func (x *tenant) other() string {
	x.t.Helper()
	name := x.name(x.slug)
	var made api.CreatedWorkspace
	x.w.do(x.t, post("/v1/workspaces", x.w.owner, api.CreateWorkspace{Name: name, Slug: name})).want(http.StatusCreated, &made)
	return made.ID
}
