package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
)

func (w *world) verify(t *testing.T, caller string, in api.Verify) (v api.Verdict) {
	t.Helper()
	w.do(t, post("/v1/verify", caller, in)).want(http.StatusOK, &v)
	return v
}

func TestVerdictSaysWhoseTheKeyIsAndWhatItMay(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		account := x.account("operator")
		key := x.key(account.ID)
		v := w.verify(t, x.owner, api.Verify{Key: key.Value, Permissions: []string{"agents:execute", "agents/a-1:read", "agents:execute"}})
		if !v.Valid || v.Code != api.VerdictValid {
			t.Fatalf("got %t, %s; want a valid key", v.Valid, v.Code)
		}
		want := api.VerdictOwner{
			ID: account.ID, Type: "service_account", Name: account.Name, State: "active",
			Workspace: api.WorkspaceRef{ID: x.id, Slug: x.slug},
		}
		if *v.Principal != want {
			t.Errorf("principal: got %+v, want %+v", *v.Principal, want)
		}
		if v.Key.ID != key.ID || v.Key.Name != key.Name || *v.Key.ExpiresAt != *key.ExpiresAt {
			t.Errorf("key: got %+v, want %+v", *v.Key, key.Key)
		}
		if v.Role.Name != "operator" || len(v.Decisions) != 2 || !v.Decisions["agents:execute"] || !v.Decisions["agents/a-1:read"] {
			t.Errorf("got role %+v, decisions %v", *v.Role, v.Decisions)
		}
		if v.Revision < key.Revision || v.FreshForMS != 0 || v.RequestID == "" {
			t.Errorf("got revision %d, fresh for %d ms, request %q; want at least %d, 0 and an id", v.Revision, v.FreshForMS, v.RequestID, key.Revision)
		}
	})
}

func TestVerdictNamesTheFirstReasonOfSeveral(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		account := x.account("viewer")
		nets := []string{"192.0.2.0/24"}
		soon := "1h"
		var key api.CreatedKey
		w.do(t, post(x.root+"/service_accounts/"+account.ID+"/keys", x.owner, api.CreateKey{Name: "k", ExpiresIn: &soon, AllowedNetworks: &nets})).want(http.StatusCreated, &key)
		ask := api.Verify{Key: key.Value, Permissions: []string{"agents:write"}}
		step := func(code, state string) {
			t.Helper()
			v := w.verify(t, x.owner, ask)
			if v.Valid || v.Code != code || v.Principal.State != state || v.Decisions["agents:write"] {
				t.Errorf("got %t, %s, principal %s, decisions %v; want %s, principal %s", v.Valid, v.Code, v.Principal.State, v.Decisions, code, state)
			}
		}
		done := func(path string) {
			t.Helper()
			w.do(t, post(x.root+path, x.owner, nil)).want(http.StatusOK, nil)
		}
		ask.Source = &api.VerifySource{IP: "192.0.2.7"}
		step("permission_denied", "active")
		ask.Source = nil
		step("network_denied", "active")
		w.ahead.Store(int64(2 * time.Hour))
		step("expired", "active")
		done("/service_accounts/" + account.ID + "/pause")
		step("paused", "paused")
		w.ahead.Store(0)
		step("paused", "paused")
		done("/service_accounts/" + account.ID + "/revoke")
		step("principal_inactive", "inactive")
		other := x.key(x.account("viewer").ID)
		done("/keys/" + other.ID + "/revoke")
		ask.Key = other.Value
		step("revoked", "active")
	})
}

func TestPausesOfAKeyAndOfAWorkspaceReadPaused(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		key := x.key(x.account("viewer").ID)
		of := api.Verify{Key: key.Value, Workspace: x.id}
		for _, path := range []string{x.root + "/keys/" + key.ID, x.root} {
			caller := x.owner
			if path == x.root {
				caller = w.owner
			}
			w.do(t, post(path+"/pause", caller, nil)).want(http.StatusOK, nil)
			if v := w.verify(t, w.owner, of); v.Valid || v.Code != api.VerdictPaused {
				t.Errorf("%s paused: got %s, want paused", path, v.Code)
			}
			w.do(t, post(path+"/resume", caller, nil)).want(http.StatusOK, nil)
			if v := w.verify(t, w.owner, of); !v.Valid {
				t.Errorf("%s resumed: got %s, want valid", path, v.Code)
			}
		}
	})
}

func TestKeysOfOtherWorkspacesReadNotFound(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		mine, theirs := w.tenant(t, "mine"), w.tenant(t, "theirs")
		key := theirs.keyOf("viewer")
		for _, ref := range []string{"", "-", theirs.id, theirs.slug, "any", "no-such", mine.id} {
			v := w.verify(t, mine.owner, api.Verify{Key: key, Workspace: ref, Permissions: []string{"agents:read"}})
			if v.Valid || v.Code != api.VerdictNotFound || v.Principal != nil || v.Key != nil || v.Role != nil || v.Decisions["agents:read"] {
				t.Errorf("workspace %q: got %+v, want not_found and nothing else", ref, v)
			}
		}
		for ref, want := range map[string]string{
			"": "not_found", "-": "not_found", mine.id: "not_found", "no-such": "not_found",
			theirs.id: "valid", theirs.slug: "valid", "any": "valid",
		} {
			if v := w.verify(t, w.owner, api.Verify{Key: key, Workspace: ref}); v.Code != want {
				t.Errorf("the system, workspace %q: got %s, want %s", ref, v.Code, want)
			}
		}
	})
}

// F05 in short: package token has the long table.
func TestTextThatIsNotTheKeyReadsNotFound(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		key := x.keyOf("viewer")
		for _, text := range []string{"", " " + key, key + " ", key[:len(key)-1], key + "0", strings.ToUpper(key), "pst_usr" + key[6:], key + "\u200b", "x", strings.Repeat("x", 10_000)} {
			if v := w.verify(t, x.owner, api.Verify{Key: text}); v.Valid || v.Code != api.VerdictNotFound {
				t.Errorf("%.60q: got %s, want not_found", text, v.Code)
			}
		}
	})
}

func TestVerificationIgnoresIdempotencyKeys(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		key := x.key(x.account("viewer").ID)
		ask := post("/v1/verify", x.owner, api.Verify{Key: key.Value}).holding("Idempotency-Key", "once")
		batch := post("/v1/verify/batch", x.owner, api.VerifyBatch{Items: []api.Verify{{Key: key.Value}}}).holding("Idempotency-Key", "once")
		w.do(t, ask).want(http.StatusOK, nil)
		w.do(t, batch).want(http.StatusOK, nil)
		w.do(t, post(x.root+"/keys/"+key.ID+"/revoke", x.owner, nil)).want(http.StatusOK, nil)
		var v api.Verdict
		var vs api.VerdictBatch
		w.do(t, ask).want(http.StatusOK, &v)
		w.do(t, batch).want(http.StatusOK, &vs)
		if v.Code != api.VerdictRevoked || vs.Results[0].Code != api.VerdictRevoked {
			t.Errorf("got %s and %s, want revoked", v.Code, vs.Results[0].Code)
		}
	})
}

func TestRevisionThatIsNotThereYetIsStale(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		key := x.key(x.account("viewer").ID)
		if v := w.verify(t, x.owner, api.Verify{Key: key.Value, MinRevision: key.Revision}); !v.Valid {
			t.Errorf("got %s, want valid", v.Code)
		}
		begun := time.Now()
		p := w.do(t, post("/v1/verify", x.owner, api.Verify{Key: key.Value, MinRevision: key.Revision + 1000})).wantProblem(http.StatusServiceUnavailable, api.CodeStale)
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("it took %v, want about 150 ms", took)
		}
		if p.Valid == nil || *p.Valid {
			t.Errorf("valid: got %v, want false", p.Valid)
		}
	})
}

func TestBatchAnswersInOrder(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		good, other := x.keyOf("operator"), w.tenant(t, "other").keyOf("operator")
		var in api.VerifyBatch
		for i := range 1000 {
			switch i % 3 {
			case 0:
				in.Items = append(in.Items, api.Verify{Key: good, Permissions: []string{"agents:execute"}})
			case 1:
				in.Items = append(in.Items, api.Verify{Key: other})
			case 2:
				in.Items = append(in.Items, api.Verify{Key: good, Permissions: []string{"agents:delete"}})
			}
		}
		var out api.VerdictBatch
		w.do(t, post("/v1/verify/batch", x.owner, in)).want(http.StatusOK, &out)
		if len(out.Results) != 1000 {
			t.Fatalf("got %d results, want 1000", len(out.Results))
		}
		want := []string{"valid", "not_found", "permission_denied"}
		for i, v := range out.Results {
			if v.Code != want[i%3] || v.Revision != out.Results[0].Revision || v.RequestID == "" {
				t.Fatalf("result %d: got %+v, want %s at the revision of the others", i, v, want[i%3])
			}
		}
		mixed := api.VerifyBatch{Items: []api.Verify{{Key: "x"}, {Key: good}, {Key: good[:len(good)-1] + "~"}, {Key: ""}, {Key: good}}}
		var verdicts api.VerdictBatch
		w.do(t, post("/v1/verify/batch", x.owner, mixed)).want(http.StatusOK, &verdicts)
		for i, code := range []string{"not_found", "valid", "not_found", "not_found", "valid"} {
			if got := verdicts.Results[i].Code; got != code {
				t.Errorf("result %d among texts that are no keys: got %s, want %s", i, got, code)
			}
		}
		in.Items = append(in.Items, api.Verify{Key: good})
		p := w.do(t, post("/v1/verify/batch", x.owner, in)).wantProblem(http.StatusRequestEntityTooLarge, api.CodeTooLarge)
		if !strings.Contains(p.Detail, "1000") {
			t.Errorf("the problem does not say the bound: %q", p.Detail)
		}
		w.do(t, post("/v1/verify/batch", x.owner, api.VerifyBatch{Items: []api.Verify{}})).want(http.StatusOK, nil)
	})
}

func TestWrongInputOfAVerificationIsPointedAt(t *testing.T) {
	tests := map[string]struct {
		body          string
		status        int
		code, pointer string
	}{
		"no key":                  {`{}`, 422, "validation_failed", "/key"},
		"null key":                {`{"key":null}`, 422, "validation_failed", "/key"},
		"key of another type":     {`{"key":[1]}`, 422, "validation_failed", "/key"},
		"key twice":               {`{"key":"a","key":"b"}`, 400, "invalid_request", "/key"},
		"key twice, escaped":      {`{"key":"a","\u006bey":"b"}`, 400, "invalid_request", "/key"},
		"unknown member":          {`{"key":"a","valid":true}`, 400, "unknown_field", "/valid"},
		"member in other case":    {`{"Key":"a"}`, 400, "unknown_field", "/Key"},
		"permission with wild":    {`{"key":"a","permissions":["agents:*"]}`, 422, "validation_failed", "/permissions/0"},
		"permission of no form":   {`{"key":"a","permissions":["agents:read","x"]}`, 422, "validation_failed", "/permissions/1"},
		"permission of no text":   {`{"key":"a","permissions":[1]}`, 422, "validation_failed", "/permissions/0"},
		"permissions of no list":  {`{"key":"a","permissions":"agents:read"}`, 422, "validation_failed", "/permissions"},
		"65 permissions":          {`{"key":"a","permissions":[` + strings.Repeat(`"a:read",`, 64) + `"a:read"]}`, 422, "validation_failed", "/permissions/64"},
		"address of no form":      {`{"key":"a","source":{"ip":"x"}}`, 422, "validation_failed", "/source/ip"},
		"address with a zone":     {`{"key":"a","source":{"ip":"fe80::1%eth0"}}`, 422, "validation_failed", "/source/ip"},
		"source of another type":  {`{"key":"a","source":"192.0.2.7"}`, 422, "validation_failed", "/source"},
		"unknown member below":    {`{"key":"a","source":{"port":1}}`, 400, "unknown_field", "/source/port"},
		"member twice below":      {`{"key":"a","source":{"ip":"192.0.2.7","ip":"192.0.2.8"}}`, 400, "invalid_request", "/source/ip"},
		"revision as text":        {`{"key":"a","min_revision":"1"}`, 422, "validation_failed", "/min_revision"},
		"negative revision":       {`{"key":"a","min_revision":-1}`, 422, "validation_failed", "/min_revision"},
		"revision with a point":   {`{"key":"a","min_revision":1.0}`, 422, "validation_failed", "/min_revision"},
		"revision beyond 64 bits": {`{"key":"a","min_revision":99999999999999999999}`, 422, "validation_failed", "/min_revision"},
		"workspace of a number":   {`{"key":"a","workspace":1}`, 422, "validation_failed", "/workspace"},
		"a list":                  {`[]`, 422, "validation_failed", ""},
		"something after":         {`{"key":"a"}{}`, 400, "invalid_request", ""},
		"nothing":                 {``, 400, "invalid_request", ""},
	}
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db") // nothing here reaches the store
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := w.do(t, post("/v1/verify", w.owner, tt.body)).wantProblem(tt.status, tt.code)
			if tt.body != "" && (len(p.Errors) != 1 || p.Errors[0].Pointer != tt.pointer) {
				t.Errorf("got %+v, want one error at %q", p.Errors, tt.pointer)
			}
			if tt.body == "" || tt.body[0] != '{' || strings.HasSuffix(tt.body, "{}") {
				return
			}
			p = w.do(t, post("/v1/verify/batch", w.owner, `{"items":[{"key":"ok"},`+tt.body+`]}`)).wantProblem(tt.status, tt.code)
			if len(p.Errors) != 1 || p.Errors[0].Pointer != "/items/1"+tt.pointer {
				t.Errorf("in a batch: got %+v, want one error at %q", p.Errors, "/items/1"+tt.pointer)
			}
		})
	}
	for body, pointer := range map[string]string{`{}`: "/items", `{"items":{}}`: "/items", `{"items":[],"items":[]}`: "/items", `{"item":[]}`: "/item"} {
		var p api.Problem
		r := w.do(t, post("/v1/verify/batch", w.owner, body))
		if err := json.Unmarshal(r.body, &p); err != nil || r.status < 400 || len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: got %d %s, want a refusal at %s", body, r.status, r.body, pointer)
		}
	}
}

func TestMembersThatAreNullAreAsGoodAsLeftOut(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		body := fmt.Sprintf(`{"key":%q,"permissions":null,"source":null,"workspace":null,"min_revision":null}`, w.owner)
		var v api.Verdict
		if w.do(t, post("/v1/verify", w.owner, body)).want(http.StatusOK, &v); !v.Valid || v.Decisions != nil {
			t.Errorf("got %+v, want valid and no decisions", v)
		}
	})
}

func TestRefusedVerifierIsInTheAuditLog(t *testing.T) {
	eachDoor(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		w.do(t, post("/v1/verify", x.keyOf("admin"), api.Verify{Key: "x"})).want(http.StatusOK, nil)
		weak := x.keyOf("editor")
		w.do(t, post("/v1/verify", weak, api.Verify{Key: "x"})).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		var list api.List[api.AuditEvent]
		w.do(t, get(x.root+"/audit_events?outcome=refused", x.owner)).want(http.StatusOK, &list)
		if len(list.Data) != 1 || list.Data[0].Action != "key.verify" || list.Data[0].Source.IP != "127.0.0.1" {
			t.Errorf("got %+v, want one refused key.verify", list.Data)
		}
	})
}
