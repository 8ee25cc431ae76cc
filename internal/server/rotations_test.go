package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// counter reports uses of keys as a node does that counted them.
type counter struct {
	*client
	report iam.UsageReport
}

func (c *client) counter() *counter {
	c.t.Helper()
	if _, err := c.iam.Store.Register(c.t.Context(), iam.Reporter{ID: "counter", Name: "fra-1", Kind: iam.ServerNode}); err != nil {
		c.t.Fatalf("register: %v", err)
	}
	return &counter{c, iam.UsageReport{Reporter: "counter"}}
}

// saw reports that a key was used just now from an address, once accepted or refused,
// and that this is all that was used.
func (c *counter) saw(key api.Key, ip string, ok bool) {
	c.t.Helper()
	now := time.Now()
	use := iam.KeyUse{Key: iam.KeyID(key.ID), Principal: iam.PrincipalID(key.Principal.ID), Workspace: iam.WorkspaceID(c.workspace)}
	from := iam.SourceUse{IP: ip, UserAgent: "curl/8.5", Via: iam.Gateway, First: now, Last: now}
	if ok {
		use.LastOK, from.LastOK, from.OK = now, now, 1
	} else {
		use.LastRefused, from.Refused = now, 1
	}
	use.Minutes = []iam.UsePoint{{At: now.Truncate(time.Minute), OK: from.OK, Refused: from.Refused}}
	use.Sources = []iam.SourceUse{from}
	c.tell(use)
}

// tell reports uses, and that they were all until now.
func (c *counter) tell(uses ...iam.KeyUse) {
	c.t.Helper()
	c.report.Number++
	c.report.Keys, c.report.Covers = uses, time.Now()
	if _, err := c.iam.Report(c.t.Context(), c.report); err != nil {
		c.t.Fatalf("report: %v", err)
	}
}

// rotate starts a rotation of a key.
func (c *client) rotate(key string, body any) (begun api.StartedRotation) {
	c.t.Helper()
	c.post(here("/keys/"+key+"/rotations"), body).want(http.StatusCreated, &begun)
	return begun
}

func (c *client) rotation(id string) (r api.Rotation) {
	c.t.Helper()
	c.get(here("/rotations/"+id)).want(http.StatusOK, &r)
	return r
}

// S8: the new key can do what the old one can, both work, and the value is shown once.
func TestRotationMakesASecondKeyThatLosesNothing(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		lifetime := "90d"
		old := c.keyOf(c.account("admin").ID, api.CreateKey{
			Name: "prod-2026-01", ExpiresIn: &lifetime, Limit: &[]string{"agents:read", "iam.keys:read"},
			AllowedNetworks: &[]string{"192.0.0.0/8"}, Metadata: map[string]string{"cluster": "eu-1"},
		})
		var begun api.StartedRotation
		r := c.post(here("/keys/"+old.ID+"/rotations"), `{"quiet_for":"1m"}`).want(http.StatusCreated, &begun)
		fresh, turn := begun.NewKey, begun.Rotation
		if diff := cmp.Diff(old.Key, fresh.Key, cmpopts.IgnoreFields(api.Key{}, "ID", "Name", "Hint", "ExpiresAt", "CreatedAt", "Rotation", "Replaces", "Etag")); diff != "" {
			t.Errorf("the new key is another (-old +new):\n%s", diff)
		}
		if fresh.Replaces == nil || *fresh.Replaces != old.ID || fresh.Rotation == nil || *fresh.Rotation != turn.ID {
			t.Errorf("got a key that replaces %v in %v, want %s in %s", fresh.Replaces, fresh.Rotation, old.ID, turn.ID)
		}
		if lives := fresh.ExpiresAt.Sub(fresh.CreatedAt.Time); lives.Round(time.Minute) != 90*24*time.Hour {
			t.Errorf("the new key lives for %v, want 90 days", lives)
		}
		if turn.State != "waiting_for_first_use" || turn.Ready || turn.OldKey.ID != old.ID || turn.NewKey.ID != fresh.ID || turn.QuietFor != "1m" || turn.QuietForLearnt {
			t.Errorf("got %+v", turn)
		}
		if got, want := r.header.Get("Location"), "/v1/workspaces/"+c.workspace+"/rotations/"+turn.ID; got != want {
			t.Errorf("Location: got %q, want %q", got, want)
		}
		w.client(old.Value).in(t).get("/v1/keys/self").want(http.StatusOK, nil)
		w.client(fresh.Value).in(t).get("/v1/keys/self").want(http.StatusOK, nil)

		c.post(here("/keys/"+old.ID+"/rotations"), nil).wantProblem(http.StatusConflict, api.CodeRotationInProgress)
		c.post(here("/keys/"+fresh.ID+"/rotations"), nil).wantProblem(http.StatusConflict, api.CodeRotationInProgress)
		for _, path := range []string{"/keys", "/keys/" + fresh.ID, "/rotations", "/rotations/" + turn.ID, "/audit_events"} {
			if body := string(c.get(here(path)).want(http.StatusOK, nil).body); strings.Contains(body, fresh.Value[7:40]) {
				t.Errorf("%s shows the value", path)
			}
		}
	})
}

// The whole course, over HTTP: each laggard is named, nothing is revoked that is in
// use, and after it the old key is refused.
func TestRotationNamesWhoHasNotMoved(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		old := c.keyOf(c.account("operator").ID, api.CreateKey{})
		uses := c.counter()
		uses.saw(old.Key, "10.0.0.1", true)
		begun := c.rotate(old.ID, `{"quiet_for":"1s"}`)
		id := begun.Rotation.ID
		uses.saw(old.Key, "10.0.0.2", true)
		if got := c.rotation(id); got.State != "waiting_for_first_use" || len(got.Sources) != 2 || got.Sources[0].IP != "10.0.0.2" {
			t.Errorf("got %s with %+v, want it to wait, and two who use the old key", got.State, got.Sources)
		}
		uses.saw(begun.NewKey.Key, "10.0.0.1", true)
		got := c.rotation(id)
		if got.State != "overlapping" || got.FirstUseAt == nil || got.Blockers[0].Code != "source_not_moved" || got.Blockers[0].Source.IP != "10.0.0.2" {
			t.Errorf("got %s, blockers %+v; want 10.0.0.2 named", got.State, got.Blockers)
		}
		p := c.post(here("/rotations/"+id+"/finish"), nil).wantProblem(http.StatusConflict, api.CodeNotReady)
		if len(p.Errors) == 0 || p.Errors[0].Code != "source_not_moved" || !strings.Contains(p.Detail, "10.0.0.2 (curl/8.5)") {
			t.Errorf("got %+v, want 10.0.0.2 (curl/8.5) named", p)
		}
		uses.saw(begun.NewKey.Key, "10.0.0.2", true)
		for !c.rotation(id).Ready { // a second after the last use
			uses.tell()
		}
		if got := c.rotation(id); got.QuietSince == nil || time.Since(got.QuietSince.Time) < time.Second || len(got.Blockers) != 0 {
			t.Errorf("got quiet since %v, blockers %v; want a second or more and none", got.QuietSince, got.Blockers)
		}
		var out api.RotationAnswer
		c.post(here("/rotations/"+id+"/finish"), nil).want(http.StatusOK, &out)
		if out.Rotation.State != "completed" || !out.Receipt.Confirmed || out.Receipt.KeysStopped != 1 || out.Rotation.EndedBy.ID != c.principal {
			t.Errorf("got %+v", out)
		}
		w.do(t, get("/v1/keys/self", old.Value)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.client(begun.NewKey.Value).in(t).get("/v1/keys/self").want(http.StatusOK, nil)
		c.post(here("/rotations/"+id+"/finish"), nil).want(http.StatusOK, &out)
		c.post(here("/rotations/"+id+"/cancel"), `{"keep":"both"}`).wantProblem(http.StatusGone, api.CodeGone)
		c.post(here("/rotations/"+id+"/try_without"), `{"for":"1m"}`).wantProblem(http.StatusGone, api.CodeGone)
	})
}

// What is asked of a rotation can be changed while it is under way: a quiet period
// that is over makes it ready at once.
func TestRotationIsChangedUnderWay(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		old := c.keyOf(c.account("operator").ID, api.CreateKey{})
		uses := c.counter()
		begun := c.rotate(old.ID, api.StartRotation{QuietFor: new("24h")})
		id := begun.Rotation.ID
		uses.saw(begun.NewKey.Key, "10.0.0.1", true)
		if got := c.rotation(id); got.Ready || got.QuietFor != "1d" {
			t.Errorf("got ready %t after %s, want not, and 1d", got.Ready, got.QuietFor)
		}
		var out api.RotationAnswer
		c.patch(here("/rotations/"+id), `{"quiet_for":"1s","auto_revoke":true,"deadline":"2100-01-01T00:00:00Z"}`).want(http.StatusOK, &out)
		if r := out.Rotation; r.QuietFor != "1s" || r.QuietForLearnt || !r.AutoRevoke || r.Deadline == nil || r.Deadline.Year() != 2100 {
			t.Errorf("got %+v", r)
		}
		for end := time.Now().Add(30 * time.Second); !c.rotation(id).Ready; uses.tell() { // a second after it began
			if time.Now().After(end) {
				t.Fatalf("it is not ready: got %+v", c.rotation(id).Blockers)
			}
		}
		c.patch(here("/rotations/"+id), `{"quiet_for":null,"deadline":null}`).want(http.StatusOK, &out)
		if r := out.Rotation; r.QuietFor != "10m" || !r.QuietForLearnt || !r.AutoRevoke || r.Deadline != nil || r.Ready {
			t.Errorf("got %+v, want what the policy says, and that it goes on revoking by itself", r)
		}
		for body, pointer := range map[string]string{
			`{"quiet_for":"0s"}`:                  "/quiet_for",
			`{"quiet_for":"31d"}`:                 "/quiet_for",
			`{"quiet_for":"soon"}`:                "/quiet_for",
			`{"deadline":"2020-01-01T00:00:00Z"}`: "/deadline",
			`{"deadline":"0001-01-01T00:00:00Z"}`: "/deadline",
			`{"auto_revoke":"yes"}`:               "/auto_revoke",
		} {
			c.patch(here("/rotations/"+id), body).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		c.post(here("/rotations/"+id+"/cancel"), `{"keep":"both"}`).want(http.StatusOK, nil)
		c.patch(here("/rotations/"+id), `{"quiet_for":"1h"}`).wantProblem(http.StatusGone, api.CodeGone)
	})
}

// A trial is as strict as a pause, and tells who was refused.
func TestTrialTellsWhoWasRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		old := c.keyOf(c.account("operator").ID, api.CreateKey{})
		uses := c.counter()
		id := c.rotate(old.ID, nil).Rotation.ID
		var out api.RotationAnswer
		c.post(here("/rotations/"+id+"/try_without"), `{"for":"5m"}`).want(http.StatusOK, &out)
		if !out.Receipt.Confirmed || out.Receipt.KeysStopped != 1 || out.Rotation.OldKey.State != "paused" || out.Rotation.Trial == nil {
			t.Errorf("got %+v", out)
		}
		if lasts := out.Rotation.Trial.EndsAt.Sub(out.Rotation.Trial.StartedAt.Time); lasts != 5*time.Minute || out.Rotation.Trial.EndedAt != nil {
			t.Errorf("the trial lasts for %v and ended at %v, want five minutes, running", lasts, out.Rotation.Trial.EndedAt)
		}
		w.do(t, get("/v1/keys/self", old.Value)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		uses.saw(old.Key, "10.0.0.7", false)
		uses.saw(old.Key, "10.0.0.7", false)
		refused := c.rotation(id).Trial.Refused
		if len(refused) != 1 || refused[0].IP != "10.0.0.7" || refused[0].UserAgent != "curl/8.5" || refused[0].Count != 2 || refused[0].Node != "fra-1" || refused[0].Via != iam.Gateway {
			t.Errorf("got %+v, want two refusals of 10.0.0.7 (curl/8.5), seen by the gateway of fra-1", refused)
		}
		c.post(here("/rotations/"+id+"/cancel"), `{"keep":"old"}`).want(http.StatusOK, &out)
		if out.Rotation.State != "cancelled" || out.Rotation.OldKey.State != "active" || out.Rotation.NewKey.State != "revoked" || out.Rotation.Trial.EndedAt == nil {
			t.Errorf("got %+v, want the old key to work again, and the new one revoked", out.Rotation)
		}
		w.client(old.Value).in(t).get("/v1/keys/self").want(http.StatusOK, nil)
		c.post(here("/rotations/"+id+"/finish"), `{"force":true}`).wantProblem(http.StatusGone, api.CodeGone)
	})
}

func TestRotationInputThatCannotBeUsedIsRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		key := c.keyOf(c.account("viewer").ID, api.CreateKey{})
		for body, pointer := range map[string]string{
			`{"quiet_for":"0s"}`:                  "/quiet_for",
			`{"quiet_for":"31d"}`:                 "/quiet_for",
			`{"quiet_for":600}`:                   "/quiet_for",
			`{"quiet_for":"` + key.Value + `"}`:   "/quiet_for",
			`{"expires_in":"soon"}`:               "/expires_in",
			`{"deadline":"2020-01-01T00:00:00Z"}`: "/deadline",
			`{"deadline":"0001-01-01T00:00:00Z"}`: "/deadline",
			`{"deadline":"9999-01-01T00:00:00Z"}`: "/deadline",
			`{"deadline":"next week"}`:            "/deadline",
			`{"auto_revoke":"yes"}`:               "/auto_revoke",
		} {
			r := c.post(here("/keys/"+key.ID+"/rotations"), body)
			r.problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
			if strings.Contains(string(r.body), key.Value[7:20]) {
				t.Errorf("%s: the answer repeats a key", pointer)
			}
		}
		id := c.rotate(key.ID, nil).Rotation.ID
		for path, pointer := range map[string]string{
			"/try_without {}":            "/for",
			`/try_without {"for":"61m"}`: "/for",
			`/try_without {"for":"1ms"}`: "/for",
			"/cancel {}":                 "/keep",
			`/cancel {"keep":"new"}`:     "/keep",
			`/finish {"force":"yes"}`:    "/force",
		} {
			action, body, _ := strings.Cut(path, " ")
			c.post(here("/rotations/"+id+action), body).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		p := c.post(here("/keys/"+c.keyOf(c.account("viewer").ID, api.CreateKey{}).ID+"/rotations"), `{"expires_in":"36500d","quiet_for":"1h"}`)
		p.want(http.StatusCreated, nil) // the policy of accounts has no cap
		gone := c.keyOf(c.account("viewer").ID, api.CreateKey{})
		c.post(here("/keys/"+gone.ID+"/revoke"), nil).want(http.StatusOK, nil)
		c.post(here("/keys/"+gone.ID+"/rotations"), nil).wantProblem(http.StatusConflict, api.CodeKeyRevoked)
		account := c.account("viewer")
		ended := c.keyOf(account.ID, api.CreateKey{})
		c.post(here("/service_accounts/"+account.ID+"/revoke"), nil).want(http.StatusOK, nil)
		c.post(here("/keys/"+ended.ID+"/rotations"), nil).wantProblem(http.StatusConflict, api.CodePrincipalInactive)
	})
}

// Whoever holds a key can rotate it, where the policy allows that, and nothing is
// given by it.
func TestKeyRotatesItself(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		holder := c.holder("agents:read").in(t)
		var begun api.StartedRotation
		holder.post("/v1/keys/self/rotations", `{"auto_revoke":true}`).want(http.StatusCreated, &begun)
		if !accountKey.MatchString(begun.NewKey.Value) || begun.Rotation.OldKey.ID != holder.id || !slices.Equal(begun.NewKey.Effective, []string{"agents:read"}) {
			t.Errorf("got %+v", begun.Rotation)
		}
		longer := holder.post("/v1/keys/self/rotations", nil).wantProblem(http.StatusConflict, api.CodeRotationInProgress)
		if !strings.Contains(longer.Detail, begun.Rotation.ID) {
			t.Errorf("got %q, want it to name %s", longer.Detail, begun.Rotation.ID)
		}
		for _, key := range []string{holder.key, begun.NewKey.Value} {
			var own api.List[api.Rotation]
			w.client(key).in(t).get("/v1/keys/self/rotations").want(http.StatusOK, &own)
			if len(own.Data) != 1 || own.Data[0].ID != begun.Rotation.ID {
				t.Errorf("got %+v, want the one rotation", own.Data)
			}
		}
		holder.get(here("/rotations")).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		var none api.List[api.Rotation]
		c.holder("agents:read").in(t).get("/v1/keys/self/rotations").want(http.StatusOK, &none)
		if len(none.Data) != 0 {
			t.Errorf("got %+v, want nobody else's", none.Data)
		}

		other := c.holder("agents:read").in(t)
		denied := other.post("/v1/keys/self/rotations", `{"expires_in":"3650d"}`).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		if denied.Permission != "iam.keys:write" {
			t.Errorf("got %q missing, want iam.keys:write: a key that ends does not extend itself", denied.Permission)
		}
		c.patch(here(""), `{"policy":{"self_rotation":false}}`).want(http.StatusOK, nil)
		p := other.post("/v1/keys/self/rotations", nil).wantProblem(http.StatusUnprocessableEntity, api.CodePolicyViolation)
		if p.Policy != "self_rotation" {
			t.Errorf("got policy %q, want self_rotation", p.Policy)
		}
	})
}

func TestRotationsAreFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		first := c.rotate(c.keyOf(account.ID, api.CreateKey{}).ID, nil)
		second := c.rotate(c.keyOf(account.ID, api.CreateKey{}).ID, nil)
		third := c.rotate(c.keyOf(c.account("viewer").ID, api.CreateKey{}).ID, nil)
		c.post(here("/rotations/"+second.Rotation.ID+"/cancel"), `{"keep":"both"}`).want(http.StatusOK, nil)
		for query, want := range map[string][]string{
			"":                                    {third.Rotation.ID, second.Rotation.ID, first.Rotation.ID},
			"?sort=started_at":                    {first.Rotation.ID, second.Rotation.ID, third.Rotation.ID},
			"?state=cancelled":                    {second.Rotation.ID},
			"?state=waiting_for_first_use":        {third.Rotation.ID, first.Rotation.ID},
			"?principal=" + account.ID:            {second.Rotation.ID, first.Rotation.ID},
			"?principal=" + account.Name:          {second.Rotation.ID, first.Rotation.ID},
			"?key_id=" + first.NewKey.ID:          {first.Rotation.ID},
			"?key_id=" + first.Rotation.OldKey.ID: {first.Rotation.ID},
		} {
			var list api.List[api.Rotation]
			c.get(here("/rotations"+query)).want(http.StatusOK, &list)
			var got []string
			for _, r := range list.Data {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", query, got, want)
			}
		}
		var page, rest api.List[api.Rotation]
		c.get(here("/rotations?limit=2")).want(http.StatusOK, &page)
		c.get(here("/rotations?limit=2&cursor="+*page.NextCursor)).want(http.StatusOK, &rest)
		if len(page.Data) != 2 || len(rest.Data) != 1 || rest.Data[0].ID != first.Rotation.ID {
			t.Errorf("got pages of %d and %d, want 2 and the first one", len(page.Data), len(rest.Data))
		}
		c.get(here("/rotations?principal=nobody")).wantProblem(http.StatusNotFound, api.CodeNotFound)
		c.get(here("/rotations?state=late")).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
	})
}

// A start that is repeated makes no second rotation, and shows no value again.
func TestRepeatedStartShowsNoValueAgain(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		key := c.keyOf(c.account("viewer").ID, api.CreateKey{})
		var begun api.StartedRotation
		c.post(here("/keys/"+key.ID+"/rotations"), nil, "Idempotency-Key", "once").want(http.StatusCreated, &begun)
		p := c.post(here("/keys/"+key.ID+"/rotations"), nil, "Idempotency-Key", "once").wantProblem(http.StatusConflict, api.CodeValueAlreadyIssued)
		if p.ID != begun.Rotation.ID {
			t.Errorf("got the id %q, want %q", p.ID, begun.Rotation.ID)
		}
		for range 2 {
			var out api.RotationAnswer
			c.post(here("/rotations/"+begun.Rotation.ID+"/finish"), `{"force":true}`, "Idempotency-Key", "finish").want(http.StatusOK, &out)
			if out.Rotation.State != "completed" || out.Rotation.OldKey.State != "revoked" || !out.Receipt.Confirmed {
				t.Errorf("got %+v, want the answer to the call that did it", out)
			}
		}
	})
}
