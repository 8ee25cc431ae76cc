package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/store/storetest"
)

// TestGoClientManagesAWorkspaceFromItsFirstDayToItsLast calls each method of the Go
// client once. That it is each is seen by the operations that were answered.
func TestGoClientManagesAWorkspaceFromItsFirstDayToItsLast(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	d := &goClient{t: t, w: w, answered: map[string]bool{}}
	ops := d.client(w.owner)
	d.deployment(ops)
	owner := d.firstDay(ops)
	account, key := d.accounts(owner)
	d.people(owner)
	d.roles(owner, account)
	d.rotations(owner, key)
	d.self(owner)
	d.looks(owner, account, key)
	d.lastDay(ops, owner, account, key)
	for _, op := range operations(t) {
		asked := strings.HasPrefix(op.path, "/v1/replica") || op.OperationID == "follow" || isOfBrowsers(op)
		if !asked && !d.answered[op.OperationID] {
			t.Errorf("%s was not called, or not answered with success", op.OperationID)
		}
	}
}

// isOfBrowsers reports whether an operation is one that the Go client has no method
// for: see internal/clientgen.
func isOfBrowsers(op operation) bool {
	return op.Tags[0] == "People" && op.OperationID != "start-device" && op.OperationID != "poll-device"
}

// goClient tells the story, and holds what was answered.
type goClient struct {
	t        *testing.T
	w        *world
	answered map[string]bool
}

func (d *goClient) client(key string) *postern.Client {
	return &postern.Client{
		Server: d.w.url, Key: postern.NewSecret(key), HTTP: d.w.client,
		Observe: func(_ context.Context, o postern.Observation) {
			d.answered[o.Operation] = d.answered[o.Operation] || o.Code == postern.CodeOK || o.Code == api.VerdictValid
		},
	}
}

// ok fails the test at an error.
func ok[T any](d *goClient) func(T, error) T {
	return func(got T, err error) T {
		d.t.Helper()
		if err != nil {
			d.t.Fatal(err)
		}
		return got
	}
}

func (d *goClient) readAll(body io.ReadCloser, err error) string {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

func (d *goClient) deployment(ops *postern.Client) {
	ctx := d.t.Context()
	ok[api.Health](d)(ops.GetHealth(ctx))
	ok[api.Health](d)(ops.GetReadiness(ctx))
	if who := ok[api.Whoami](d)(ops.Whoami(ctx)); who.Key.Name != "first" {
		d.t.Errorf("whoami: %+v", who)
	}
	if text := d.readAll(ops.GetMetrics(ctx)); !strings.Contains(text, "postern_") {
		d.t.Errorf("metrics: %.200s", text)
	}
	if text := d.readAll(ops.GetOpenAPI(ctx)); !json.Valid([]byte(text)) {
		d.t.Errorf("OpenAPI: %.200s", text)
	}
	code := ok[api.DeviceCode](d)(ops.StartDevice(ctx, api.DeviceCodeRequest{Name: "a program"}))
	_, err := ops.PollDevice(ctx, api.DeviceTokenRequest{DeviceCode: code.DeviceCode})
	if !postern.HasCode(err, api.CodeAuthorizationPending) {
		d.t.Errorf("poll: %v, want authorization_pending", err)
	}
	d.answered["poll-device"] = true // nobody is there to approve it
}

// firstDay makes a workspace, and returns the client of its owner.
func (d *goClient) firstDay(ops *postern.Client) *postern.Client {
	ctx := d.t.Context()
	made := ok[api.CreatedWorkspace](d)(ops.CreateWorkspace(ctx, api.CreateWorkspace{
		Name: "Acme", Slug: "acme", Owner: &api.WorkspaceOwner{Email: "jo@example.com"},
	}))
	var slugs []string
	for ws, err := range ops.AllWorkspaces(ctx, api.ListWorkspaces{Limit: 1}) {
		slugs = append(slugs, ok[api.Workspace](d)(ws, err).Slug)
	}
	if !slices.Contains(slugs, "acme") || len(slugs) != 2 {
		d.t.Errorf("workspaces %q, page by page", slugs)
	}
	nobody := d.client("")
	joined := ok[api.AcceptedInvitation](d)(nobody.AcceptInvitation(ctx, api.AcceptInvitation{
		Token: made.Invitation.Token, Name: "Jo", Key: &api.KeyName{Name: "laptop"},
	}))
	ok[api.WorkspaceAnswer](d)(ops.Workspace("acme").PauseWorkspace(ctx, api.Reason{Reason: "a drill"}))
	ok[api.WorkspaceAnswer](d)(ops.Workspace("acme").ResumeWorkspace(ctx, api.Reason{}))
	return d.client(joined.Key.Value)
}

func (d *goClient) accounts(owner *postern.Client) (api.ServiceAccount, api.CreatedKey) {
	ctx, ws := d.t.Context(), owner.Workspace("-")
	once := postern.IdempotencyKey("deployment-1")
	made := ok[api.CreatedServiceAccount](d)(ws.CreateServiceAccount(ctx, api.CreateServiceAccount{Name: "support-bot-prod", Role: "operator"}, once))
	again := ok[api.CreatedServiceAccount](d)(ws.CreateServiceAccount(ctx, api.CreateServiceAccount{Name: "support-bot-prod", Role: "operator"}, once))
	if made.ID != again.ID {
		d.t.Errorf("the same call made %s and %s", made.ID, again.ID)
	}
	name := made.Name
	team := "Support"
	updated := ok[api.UpdatedServiceAccount](d)(ws.UpdateServiceAccount(ctx, name, api.UpdateServiceAccount{Owner: &team}, postern.IfMatch(made.Etag)))
	_, err := ws.UpdateServiceAccount(ctx, name, api.UpdateServiceAccount{Owner: &team}, postern.IfMatch(made.Etag))
	if !postern.HasCode(err, api.CodePreconditionFailed) {
		d.t.Errorf("an update of what had changed: %v, want precondition_failed", err)
	}
	key := ok[api.CreatedKey](d)(ws.CreateServiceAccountKey(ctx, name, api.CreateKey{Name: "prod", ExpiresAt: api.Null[api.Time]()}))
	if v := ok[api.Verdict](d)(owner.Verify(ctx, api.Verify{Key: key.Value, Permissions: []string{"tickets:read"}})); !v.Valid {
		d.t.Errorf("a new key: %+v", v)
	}
	if b := ok[api.VerdictBatch](d)(owner.VerifyBatch(ctx, api.VerifyBatch{Items: []api.Verify{{Key: key.Value}}})); !b.Results[0].Valid {
		d.t.Errorf("a new key in a batch: %+v", b)
	}
	ok[api.ServiceAccountAnswer](d)(ws.PauseServiceAccount(ctx, name, api.Reason{}))
	ok[api.ServiceAccountAnswer](d)(ws.ResumeServiceAccount(ctx, name, api.Reason{}))
	found := 0
	for a, err := range ws.AllServiceAccounts(ctx, api.ListServiceAccounts{State: "active", Owner: team}) {
		if ok[api.ServiceAccount](d)(a, err); a.ID == made.ID {
			found++
		}
	}
	if list := ok[api.ServiceAccountList](d)(ws.ListServiceAccounts(ctx, api.ListServiceAccounts{Counts: true})); list.Counts.Active != 1 || found != 1 {
		d.t.Errorf("found %d accounts, counts %+v", found, list.Counts)
	}
	if got := ok[api.ServiceAccount](d)(ws.GetServiceAccount(ctx, name)); got.Owner != team || got.Etag == made.Etag {
		d.t.Errorf("got %+v", got)
	}
	return updated.ServiceAccount, key
}

func (d *goClient) people(owner *postern.Client) {
	ctx, ws := d.t.Context(), owner.Workspace("acme")
	invite := func(email string) api.CreatedInvitation {
		return ok[api.CreatedInvitation](d)(ws.CreateInvitation(ctx, api.CreateInvitation{Email: email, Role: "viewer"}))
	}
	ok[api.InvitationAnswer](d)(ws.CancelInvitation(ctx, invite("no@example.com").ID))
	joined := ok[api.AcceptedInvitation](d)(d.client("").AcceptInvitation(ctx, api.AcceptInvitation{Token: invite("al@example.com").Token, Name: "Al"}))
	id := joined.Member.ID
	for i, err := range ws.AllInvitations(ctx, api.ListInvitations{State: "pending"}) {
		d.t.Errorf("a pending invitation: %+v, %v", i, err)
	}
	ok[api.UpdatedMember](d)(ws.UpdateMember(ctx, id, api.UpdateMember{Role: "editor"}))
	if m := ok[api.Member](d)(ws.GetMember(ctx, id)); m.Role.Name != "editor" {
		d.t.Errorf("got %+v", m)
	}
	removed := ok[api.RemovedMember](d)(ws.RemoveMember(ctx, id, postern.Wait(30*time.Second)))
	if !removed.Receipt.Confirmed {
		d.t.Errorf("removed: %+v", removed.Receipt)
	}
	for m, err := range ws.AllMembers(ctx, api.ListMembers{State: "active"}) {
		if ok[api.Member](d)(m, err); m.Name != "Jo" {
			d.t.Errorf("a member %+v", m)
		}
	}
	if seats := ok[api.Seats](d)(ws.GetSeats(ctx)); seats.Used != 1 {
		d.t.Errorf("seats %+v", seats)
	}
	days := int64(30)
	ok[api.UpdatedWorkspace](d)(ws.UpdateWorkspace(ctx, api.UpdateWorkspace{Policy: &api.UpdatePolicy{AccountKeyDefaultDays: &days, AccountKeyMaxDays: api.Null[int64]()}}))
	if got := ok[api.Workspace](d)(ws.GetWorkspace(ctx)); got.Policy.AccountKeyDefaultDays != days {
		d.t.Errorf("policy %+v", got.Policy)
	}
}

func (d *goClient) roles(owner *postern.Client, account api.ServiceAccount) {
	ctx, ws := d.t.Context(), owner.Workspace("-")
	types := []api.PermissionType{{Type: "tickets", Actions: []string{"close"}}}
	ok[api.UpdatedPermissionTypes](d)(ws.ReplacePermissionTypes(ctx, types))
	if got := ok[api.List[api.PermissionType]](d)(ws.ListPermissionTypes(ctx)); len(got.Data) != 1 {
		d.t.Errorf("types %+v", got)
	}
	ok[api.CreatedRole](d)(ws.CreateRole(ctx, api.CreateRole{Name: "closer", Permissions: []string{"tickets:close", "tickets:read"}}))
	if r := ok[api.Role](d)(ws.GetRole(ctx, "closer")); len(r.Permissions) != 2 {
		d.t.Errorf("role %+v", r)
	}
	ok[api.RoleImpact](d)(ws.GetRoleImpact(ctx, "closer", api.RoleImpactOf{Permissions: []string{"tickets:read"}}))
	ok[api.UpdatedRole](d)(ws.UpdateRole(ctx, "closer", api.UpdateRole{Permissions: &[]string{"tickets:read"}}))
	if c := ok[api.CheckResult](d)(ws.Check(ctx, api.Check{Principal: account.ID, Permission: "tickets:execute"})); !c.Allowed {
		d.t.Errorf("check %+v", c)
	}
	ok[api.RoleAnswer](d)(ws.DeleteRole(ctx, "closer"))
	for r, err := range ws.AllRoles(ctx, api.ListRoles{Kind: "custom"}) {
		d.t.Errorf("a role %+v, %v", r, err)
	}
}

func (d *goClient) rotations(owner *postern.Client, old api.CreatedKey) {
	ctx, ws := d.t.Context(), owner.Workspace("-")
	first := ok[api.StartedRotation](d)(ws.StartRotation(ctx, old.ID, api.StartRotation{}))
	soon := api.NewTime(time.Now().Add(time.Hour))
	ok[api.RotationAnswer](d)(ws.UpdateRotation(ctx, first.Rotation.ID, api.UpdateRotation{QuietFor: api.Value("1s"), Deadline: api.Value(soon)}))
	tried := ok[api.RotationAnswer](d)(ws.TryWithoutOldKey(ctx, first.Rotation.ID, api.TryWithout{For: "1h"}))
	if tried.Rotation.Trial == nil {
		d.t.Errorf("tried: %+v", tried.Rotation)
	}
	ok[api.RotationAnswer](d)(ws.CancelRotation(ctx, first.Rotation.ID, api.CancelRotation{Keep: "old"}))
	second := ok[api.StartedRotation](d)(ws.StartRotation(ctx, old.ID, api.StartRotation{QuietFor: new("1s")}))
	if _, err := ws.FinishRotation(ctx, second.Rotation.ID, api.FinishRotation{}); !postern.HasCode(err, api.CodeNotReady) {
		d.t.Errorf("finish of what nobody has used: %v, want not_ready", err)
	}
	ok[api.RotationAnswer](d)(ws.FinishRotation(ctx, second.Rotation.ID, api.FinishRotation{Force: true}))
	if r := ok[api.Rotation](d)(ws.GetRotation(ctx, second.Rotation.ID)); r.State != "completed" {
		d.t.Errorf("rotation %+v", r)
	}
	n := 0
	for _, err := range ws.AllRotations(ctx, api.ListRotations{KeyID: old.ID}) {
		ok[bool](d)(true, err)
		n++
	}
	if n != 2 {
		d.t.Errorf("%d rotations, want 2", n)
	}
}

// self does what a key does with itself, and a member with their own.
func (d *goClient) self(owner *postern.Client) {
	ctx, ws := d.t.Context(), owner.Workspace("-")
	mine := ok[api.CreatedKey](d)(ws.CreateMyKey(ctx, api.CreateKey{Name: "script", ExpiresIn: new("1d")}))
	script := d.client(mine.Value)
	if k := ok[api.Key](d)(script.GetSelf(ctx)); k.ID != mine.ID {
		d.t.Errorf("self is %s, want %s", k.ID, mine.ID)
	}
	ok[api.StartedRotation](d)(script.RotateSelf(ctx, api.StartRotation{}))
	for r, err := range script.AllSelfRotations(ctx, api.ListSelfRotations{}) {
		if ok[api.Rotation](d)(r, err); r.OldKey.ID != mine.ID {
			d.t.Errorf("a rotation of %s", r.OldKey.ID)
		}
	}
	ok[api.KeyAnswer](d)(script.RevokeSelf(ctx, api.Ending{Reason: "superseded"}))
	if _, err := script.GetSelf(ctx); !postern.HasCode(err, api.CodeUnauthenticated) {
		d.t.Errorf("a revoked key: %v, want unauthenticated", err)
	}
	if list := ok[api.List[api.Key]](d)(ws.ListMyKeys(ctx, api.ListMyKeys{State: "revoked"})); len(list.Data) != 1 {
		d.t.Errorf("revoked keys of Jo: %+v", list.Data)
	}
}

// looks reads what there is to see.
func (d *goClient) looks(owner *postern.Client, account api.ServiceAccount, key api.CreatedKey) {
	ctx, ws := d.t.Context(), owner.Workspace("-")
	ok[api.Overview](d)(ws.GetOverview(ctx))
	ok[api.Advice](d)(ws.GetServiceAccountAdvice(ctx, account.ID))
	ok[api.AccountImpact](d)(ws.GetServiceAccountImpact(ctx, account.ID))
	ok[api.List[api.HeldPermission]](d)(ws.ListServiceAccountPermissions(ctx, account.ID))
	ok[api.List[api.Key]](d)(ws.ListServiceAccountKeys(ctx, account.ID, api.ListServiceAccountKeys{ExpiresBefore: api.NewTime(time.Now())}))
	ok[api.KeyUsage](d)(ws.GetKeyUsage(ctx, key.ID, api.GetKeyUsage{Step: "1h"}))
	ok[api.Usage](d)(ws.GetUsage(ctx, api.GetUsage{Keys: []string{key.ID, key.ID}, Days: 3}))
	var last api.AuditEvent
	for e, err := range ws.AllAuditEvents(ctx, api.ListAuditEvents{Action: "key.created", Limit: 1}) {
		last = ok[api.AuditEvent](d)(e, err)
	}
	if e := ok[api.AuditEvent](d)(ws.GetAuditEvent(ctx, last.ID)); e.Seq != last.Seq {
		d.t.Errorf("event %d, want %d", e.Seq, last.Seq)
	}
	if text := d.readAll(ws.ExportAuditEvents(ctx, api.ExportAuditEvents{Action: "key.created"})); strings.Count(text, "\n") < 4 {
		d.t.Errorf("an export of %q", text)
	}
	if nodes := ok[api.List[api.Node]](d)(ws.ListNodes(ctx, api.ListNodes{})); nodes.HasMore {
		d.t.Errorf("nodes %+v", nodes)
	}
}

func (d *goClient) lastDay(ops, owner *postern.Client, account api.ServiceAccount, key api.CreatedKey) {
	ctx, ws := d.t.Context(), owner.Workspace("-")
	next := ok[api.CreatedKey](d)(ws.CreateServiceAccountKey(ctx, account.ID, api.CreateKey{Name: "next", Limit: &[]string{"tickets:read"}}))
	ok[api.UpdatedKey](d)(ws.UpdateKey(ctx, next.ID, api.UpdateKey{Limit: api.Null[[]string]()}, postern.IfMatch(next.Etag)))
	ok[api.KeyAnswer](d)(ws.PauseKey(ctx, next.ID, api.Ending{}))
	ok[api.KeyAnswer](d)(ws.ResumeKey(ctx, next.ID, api.Ending{}))
	ended := ok[api.KeyAnswer](d)(ws.RevokeKey(ctx, next.ID, api.Ending{Reason: "compromised", Descendants: true}, postern.RespondAsync()))
	if r := ok[api.Receipt](d)(ws.AwaitReceipt(ctx, ended.Receipt)); !r.Confirmed || r.Revision != ended.Revision {
		d.t.Errorf("the receipt of revision %d: %+v", ended.Revision, r)
	}
	ok[api.Receipt](d)(ws.GetReceipt(ctx, ended.Receipt.ID, postern.Wait(time.Second)))
	if v := ok[api.Verdict](d)(owner.Verify(ctx, api.Verify{Key: next.Value})); v.Code != api.VerdictRevoked {
		d.t.Errorf("a revoked key: %+v", v)
	}
	if k := ok[api.Key](d)(ws.GetKey(ctx, key.ID)); k.State != "revoked" {
		d.t.Errorf("the rotated key %+v", k)
	}
	ok[api.ServiceAccountAnswer](d)(ws.RevokeServiceAccount(ctx, account.Name, api.Reason{Reason: "the end"}))
	for k, err := range ws.AllKeys(ctx, api.ListKeys{PrincipalType: "service_account"}) {
		if ok[api.Key](d)(k, err); k.Principal.ID != account.ID {
			d.t.Errorf("a key of %+v", k.Principal)
		}
	}
	_, err := ops.Workspace("acme").GetServiceAccount(ctx, account.ID)
	if p, isProblem := errors.AsType[*api.Problem](err); !isProblem || p.Status != http.StatusNotFound {
		d.t.Errorf("another workspace's account: %v, want not found", err)
	}
}
