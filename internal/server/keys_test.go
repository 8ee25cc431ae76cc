package server_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/server"
)

var (
	accountKey = regexp.MustCompile(`^pst_sa_[0-9A-Za-z]{39}$`)
	personKey  = regexp.MustCompile(`^pst_usr_[0-9A-Za-z]{39}$`)
)

// The value is in the answer that made the key and nowhere else; the key works
// when the answer arrives (S6, S12).
func TestKeyIsShownOnceAndWorksAtOnce(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("operator")
		var made api.CreatedKey
		r := c.post(here("/service_accounts/"+account.Name+"/keys"), `{"name":"prod","metadata":{"cluster":"eu-1"}}`).want(http.StatusCreated, &made)
		if !accountKey.MatchString(made.Value) || made.Hint != made.Value[:11]+"…"+made.Value[42:] {
			t.Errorf("got hint %q for a value of %d characters that matches: %t", made.Hint, len(made.Value), accountKey.MatchString(made.Value))
		}
		if got := r.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control: got %q, want no-store", got)
		}
		w.client(made.Value).in(t).get("/v1/keys/self").want(http.StatusOK, nil)
		if left := time.Until(made.ExpiresAt.Time); left < 364*24*time.Hour || left > 365*24*time.Hour {
			t.Errorf("ends in %v, want in the 365 days of the policy", left)
		}
		if made.Limit != nil || made.AllowedNetworks != nil || !slices.Equal(made.Effective, []string{"*:execute", "*:read"}) ||
			made.Metadata["cluster"] != "eu-1" || made.Principal.ID != account.ID || made.CreatedBy.ID != c.principal {
			t.Errorf("got %+v", made.Key)
		}
		if got, want := r.header.Get("Location"), "/v1/workspaces/"+c.workspace+"/keys/"+made.ID; got != want {
			t.Errorf("Location: got %q, want %q", got, want)
		}
		var read api.Key
		r = c.get(r.header.Get("Location")).want(http.StatusOK, &read)
		if diff := cmp.Diff(made.Key, read); diff != "" || r.header.Get("ETag") != made.Etag {
			t.Errorf("ETag %s (-made +read):\n%s", r.header.Get("ETag"), diff)
		}
		for _, path := range []string{"/keys", "/keys/" + made.ID, "/service_accounts/" + account.ID + "/keys", "/audit_events", "/audit_events/export"} {
			if body := string(c.get(here(path)).want(http.StatusOK, nil).body); strings.Contains(body, made.Value[7:40]) {
				t.Errorf("%s shows the value", path)
			}
		}
	})
}

func TestKeyEndsWhenItIsAskedTo(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		path := here("/service_accounts/" + c.account("viewer").ID + "/keys")
		at := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Microsecond)
		for body, want := range map[string]time.Time{
			`{"name":"a","expires_in":"2d"}`:                                                               at,
			`{"name":"b","expires_at":"` + at.Format(time.RFC3339Nano) + `"}`:                              at,
			`{"name":"c","expires_at":null}`:                                                               {},
			`{"name":"d","expires_in":null,"expires_at":null}`:                                             {},
			`{"name":"e","expires_in":null,"limit":null,"allowed_networks":null}`:                          time.Now().AddDate(0, 0, 365),
			`{"name":"f","expires_at":"` + at.In(time.FixedZone("", 7200)).Format(time.RFC3339Nano) + `"}`: at,
		} {
			var made api.CreatedKey
			c.post(path, body).want(http.StatusCreated, &made)
			if (made.ExpiresAt == nil) != want.IsZero() || !want.IsZero() && made.ExpiresAt.Sub(want).Abs() > time.Minute {
				t.Errorf("%s: ends at %v, want %v", body, made.ExpiresAt, want)
			}
		}
	})
}

func TestKeyInputThatCannotBeUsedIsRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		key := c.keyOf(account.ID, api.CreateKey{Name: "taken"})
		const past = `"2020-01-01T00:00:00Z"`
		for body, pointer := range map[string]string{
			`{}`:             "/name",
			`{"name":"a/b"}`: "/name",
			`{"name":"` + strings.Repeat("é", 65) + `"}`:                       "/name",
			`{"name":"x","expires_in":"90d","expires_at":null}`:                "/expires_in",
			`{"name":"x","expires_in":"90"}`:                                   "/expires_in",
			`{"name":"x","expires_in":"0d"}`:                                   "/expires_in",
			`{"name":"x","expires_in":"1w"}`:                                   "/expires_in",
			`{"name":"x","expires_in":"36501d"}`:                               "/expires_in",
			`{"name":"x","expires_in":"` + key.Value + `"}`:                    "/expires_in",
			`{"name":"x","expires_at":` + past + `}`:                           "/expires_at",
			`{"name":"x","expires_at":"0001-01-01T00:00:00Z"}`:                 "/expires_at",
			`{"name":"x","expires_at":"0001-01-01T02:00:00+02:00"}`:            "/expires_at",
			`{"name":"x","expires_at":"next year"}`:                            "/expires_at",
			`{"name":"x","expires_at":"9999-01-01T00:00:00Z"}`:                 "/expires_at",
			`{"name":"x","limit":[]}`:                                          "/limit",
			`{"name":"x","limit":["agents:read","agents:execute"]}`:            "/limit/1",
			`{"name":"x","limit":["agents"]}`:                                  "/limit/0",
			`{"name":"x","limit":["` + key.Value + `"]}`:                       "/limit/0",
			`{"name":"x","limit":["iam.owners:write"]}`:                        "/limit/0",
			`{"name":"x","allowed_networks":[]}`:                               "/allowed_networks",
			`{"name":"x","allowed_networks":["10.0.0.0/8","10/8"]}`:            "/allowed_networks/1",
			`{"name":"x","allowed_networks":["10.0.0.1/8"]}`:                   "/allowed_networks/0",
			`{"name":"x","metadata":{"k":"` + strings.Repeat("é", 501) + `"}}`: "/metadata/k",
		} {
			r := c.post(here("/service_accounts/"+account.ID+"/keys"), body)
			r.problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
			if strings.Contains(string(r.body), key.Value[7:20]) {
				t.Errorf("%s: the answer repeats a key", pointer)
			}
		}
		for body, pointer := range map[string]string{
			`{"expires_at":` + past + `}`:           "/expires_at",
			`{"expires_at":"0001-01-01T00:00:00Z"}`: "/expires_at",
			`{"limit":[]}`:                          "/limit",
			`{"limit":["*:write"]}`:                 "/limit/0",
			`{"allowed_networks":[]}`:               "/allowed_networks",
			`{"name":""}`:                           "/name",
		} {
			c.patch(here("/keys/"+key.ID), body).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		c.patch(here("/keys/"+key.ID), `{"expires_in":"3d"}`).problemAt(http.StatusBadRequest, api.CodeUnknownField, "/expires_in")
		c.post(here("/service_accounts/"+account.ID+"/keys"), `{"name":"taken"}`).wantProblem(http.StatusConflict, api.CodeNameTaken)
		other := c.keyOf(account.ID, api.CreateKey{})
		c.patch(here("/keys/"+other.ID), `{"name":"taken"}`).wantProblem(http.StatusConflict, api.CodeNameTaken)
		c.keyOf(c.account("viewer").ID, api.CreateKey{Name: "taken"}) // names are the account's own
	})
}

// What narrows a key has narrowed it when the answer arrives (S11).
func TestKeyIsChangedAndHeedsItAtOnce(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		key := c.keyOf(c.account("admin").ID, api.CreateKey{})
		holder := w.client(key.Value).in(t)
		path := here("/keys/" + key.ID)
		change := func(body string, works int, check func(api.UpdatedKey) bool) {
			t.Helper()
			var out api.UpdatedKey
			r := c.patch(path, body).want(http.StatusOK, &out)
			if !check(out) || !out.Receipt.Confirmed || r.header.Get("ETag") != out.Etag {
				t.Errorf("%s: got %s", body, r.body)
			}
			if got := holder.get(here("/roles")).status; got != works {
				t.Errorf("after %s the key is answered %d, want %d", body, got, works)
			}
		}
		change(`{"name":"renamed"}`, http.StatusOK, func(k api.UpdatedKey) bool { return k.Name == "renamed" && k.Limit == nil })
		change(`{"limit":["iam.roles:read"]}`, http.StatusOK, func(k api.UpdatedKey) bool {
			return slices.Equal(k.Limit, []string{"iam.roles:read"}) && slices.Equal(k.Effective, k.Limit)
		})
		change(`{"limit":["*:read"]}`, http.StatusForbidden, func(k api.UpdatedKey) bool { return slices.Equal(k.Effective, []string{"*:read"}) })
		change(`{"limit":null}`, http.StatusOK, func(k api.UpdatedKey) bool { return k.Limit == nil })
		change(`{"allowed_networks":["10.0.0.0/8","192.0.2.7"]}`, http.StatusUnauthorized, func(k api.UpdatedKey) bool {
			return slices.Equal(k.AllowedNetworks, []string{"10.0.0.0/8", "192.0.2.7/32"})
		})
		change(`{"allowed_networks":["192.0.0.0/16"]}`, http.StatusOK, func(k api.UpdatedKey) bool { return len(k.AllowedNetworks) == 1 })
		change(`{"allowed_networks":null}`, http.StatusOK, func(k api.UpdatedKey) bool { return k.AllowedNetworks == nil })
		change(`{"expires_at":null}`, http.StatusOK, func(k api.UpdatedKey) bool { return k.ExpiresAt == nil })
		change(`{}`, http.StatusOK, func(k api.UpdatedKey) bool { return k.ExpiresAt == nil && k.Name == "renamed" })
	})
}

func TestKeyIsPausedResumedAndRevoked(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		key := c.keyOf(account.ID, api.CreateKey{})
		sibling := w.client(c.keyOf(account.ID, api.CreateKey{}).Value).in(t)
		holder := w.client(key.Value).in(t)
		act := func(action string, body any, state string, works int) (out api.KeyAnswer) {
			t.Helper()
			c.post(here("/keys/"+key.ID+"/"+action), body).want(http.StatusOK, &out)
			if out.Key.State != state || !out.Receipt.Confirmed || out.Receipt.Revision != out.Revision || out.Descendants == nil {
				t.Errorf("%s: got %+v, want state %s, confirmed", action, out, state)
			}
			if got := holder.get("/v1/keys/self").status; got != works {
				t.Errorf("after %s the key is answered %d, want %d", action, got, works)
			}
			return out
		}
		if out := act("pause", nil, "paused", http.StatusUnauthorized); out.Receipt.KeysStopped != 1 {
			t.Errorf("got %d keys stopped, want 1", out.Receipt.KeysStopped)
		}
		act("resume", nil, "active", http.StatusOK)
		act("pause", `{"reason":"other","note":"looking into it"}`, "paused", http.StatusUnauthorized)
		act("revoke", `{"reason":"superseded","note":"by the next"}`, "revoked", http.StatusUnauthorized)
		out := act("revoke", `{"reason":"unused"}`, "revoked", http.StatusUnauthorized)
		if r := out.Key.Revoked; r == nil || *r.Reason != "superseded" || *r.Note != "by the next" || r.By.ID != c.principal {
			t.Errorf("got %+v, want the first revocation to stand", out.Key.Revoked)
		}
		if got := sibling.get("/v1/keys/self").status; got != http.StatusOK {
			t.Errorf("the account's other key is answered %d, want 200", got)
		}
		for _, r := range []*reply{
			c.post(here("/keys/"+key.ID+"/pause"), nil), c.post(here("/keys/"+key.ID+"/resume"), nil), c.patch(here("/keys/"+key.ID), `{"name":"x"}`),
		} {
			r.wantProblem(http.StatusConflict, api.CodeKeyRevoked)
		}
		path := here("/keys/" + sibling.id)
		c.post(path+"/revoke", `{"reason":"bored"}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/reason")
		c.post(path+"/pause", `{"descendants":true}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/descendants")
		c.post(here("/service_accounts/"+account.ID+"/revoke"), nil).want(http.StatusOK, nil)
		for _, r := range []*reply{
			c.post(path+"/resume", nil), c.patch(path, `{"name":"x"}`), c.post(here("/service_accounts/"+account.ID+"/keys"), `{"name":"x"}`),
		} {
			r.wantProblem(http.StatusConflict, api.CodePrincipalInactive)
		}
	})
}

func TestKeyOfNobodyIsNotFound(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		const nobody = "/keys/key_01jn8x0c2vf3hs5r6tq7w8y9zd"
		for _, r := range []*reply{
			c.get(here(nobody)), c.patch(here(nobody), `{}`), c.post(here(nobody+"/pause"), nil),
			c.post(here(nobody+"/resume"), nil), c.post(here(nobody+"/revoke"), nil), c.get(here("/keys/prod")),
		} {
			r.wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
	})
}

// What was made with a key is always listed, and ends with it when that is asked.
func TestDescendantsOfAKeyEndWithItWhenAsked(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		thief := c.holder("iam.service_accounts:*", "iam.keys:*", "iam.roles:*", "*:read")
		child := thief.holder("iam.keys:read", "iam.service_accounts:write", "iam.keys:write", "*:read")
		grandchild := child.keyOf(child.account("viewer").ID, api.CreateKey{})
		unrelated := c.holder("*:read")
		var listed api.KeyAnswer
		c.post(here("/keys/"+thief.id+"/revoke"), `{"reason":"compromised"}`).want(http.StatusOK, &listed)
		if got := states(listed.Descendants); !cmp.Equal(got, map[string]int{"key active": 2, "service_account active": 2}) {
			t.Errorf("got descendants %v, want two keys and two accounts, all active", got)
		}
		child.get("/v1/keys/self").want(http.StatusOK, nil)
		var ended api.KeyAnswer
		c.post(here("/keys/"+child.id+"/revoke"), `{"reason":"compromised","descendants":true}`).want(http.StatusOK, &ended)
		if got := states(ended.Descendants); !cmp.Equal(got, map[string]int{"key revoked": 1, "service_account inactive": 1}) {
			t.Errorf("got descendants %v, want one key and one account, both ended", got)
		}
		for _, key := range []string{child.key, grandchild.Value} {
			r := w.do(t, get("/v1/keys/self", key))
			r.wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
		unrelated.get("/v1/keys/self").want(http.StatusOK, nil)
	})
}

func states(ds []api.Descendant) map[string]int {
	n := map[string]int{}
	for _, d := range ds {
		n[d.Type+" "+d.State]++
	}
	return n
}

// Whoever holds a key can stop it, and needs no permission for that.
func TestKeyStopsItself(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		holder := w.acme.in(t).holder("agents:read").in(t)
		var self api.Key
		r := holder.get("/v1/keys/self").want(http.StatusOK, &self)
		if self.ID != holder.id || r.header.Get("ETag") != self.Etag || !slices.Equal(self.Effective, []string{"agents:read"}) {
			t.Errorf("got %s", r.body)
		}
		holder.post("/v1/keys/self/revoke", `{"descendants":true}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/descendants")
		holder.post("/v1/keys/self/revoke", `{"reason":"bored"}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/reason")
		var out api.KeyAnswer
		holder.post("/v1/keys/self/revoke", `{"reason":"compromised"}`).want(http.StatusOK, &out)
		if out.Key.State != "revoked" || out.Key.Revoked.By.ID != holder.principal || !out.Receipt.Confirmed {
			t.Errorf("got %+v", out)
		}
		holder.get("/v1/keys/self").wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		holder.post("/v1/keys/self/revoke", nil).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	})
}

func TestPersonMakesKeysOfTheirOwn(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		person := w.acme.in(t).member("viewer").in(t)
		var made api.CreatedKey
		r := person.post(here("/me/keys"), `{"name":"laptop","limit":["agents:read"]}`).want(http.StatusCreated, &made)
		if !personKey.MatchString(made.Value) || made.Principal.Type != "member" || made.Principal.ID != person.principal {
			t.Errorf("got a key of %+v that looks like a person's: %t", made.Principal, personKey.MatchString(made.Value))
		}
		if left := time.Until(made.ExpiresAt.Time); left < 89*24*time.Hour || left > 90*24*time.Hour {
			t.Errorf("ends in %v, want in the 90 days of the policy", left)
		}
		if got, want := r.header.Get("Location"), "/v1/workspaces/"+person.workspace+"/keys/"+made.ID; got != want {
			t.Errorf("Location: got %q, want %q", got, want)
		}
		var list api.List[api.Key]
		person.get(here("/me/keys?sort=name")).want(http.StatusOK, &list)
		if len(list.Data) != 2 || list.Data[0].Name != "first" || list.Data[1].ID != made.ID {
			t.Errorf("got %+v, want the two keys of the caller and no other", list.Data)
		}
		limited := w.client(made.Value).in(t)
		for _, body := range []string{`{"name":"x"}`, `{"name":"x","limit":["*:read"]}`} {
			p := limited.post(here("/me/keys"), body).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
			if p.Permission != "*:read" {
				t.Errorf("got %q missing, want *:read", p.Permission)
			}
		}
		for _, body := range []string{`{"name":"x","expires_in":"91d"}`, `{"name":"x","expires_at":null}`} {
			p := person.post(here("/me/keys"), body).wantProblem(http.StatusUnprocessableEntity, api.CodePolicyViolation)
			if p.Policy != "member_key_max_days" {
				t.Errorf("got policy %q, want member_key_max_days", p.Policy)
			}
		}
		person.post(here("/me/keys"), `{"name":"laptop"}`).wantProblem(http.StatusConflict, api.CodeNameTaken)
		bot := w.acme.in(t).holder("*:*")
		bot.post(here("/me/keys"), `{"name":"x"}`).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
	})
}

func TestKeysAreFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		in := func(days string) *string { return &days }
		keys := map[string]api.CreatedKey{
			"active":  c.keyOf(account.ID, api.CreateKey{Name: "active", ExpiresIn: in("300d")}),
			"paused":  c.keyOf(account.ID, api.CreateKey{Name: "paused", ExpiresIn: in("10d")}),
			"revoked": c.keyOf(account.ID, api.CreateKey{Name: "revoked", ExpiresAt: api.Null[api.Time]()}),
			"soon":    c.keyOf(account.ID, api.CreateKey{Name: "soon", ExpiresIn: in("1d")}),
		}
		c.post(here("/keys/"+keys["paused"].ID+"/pause"), nil).want(http.StatusOK, nil)
		c.post(here("/keys/"+keys["revoked"].ID+"/revoke"), nil).want(http.StatusOK, nil)
		later := w.with(t, func(o *server.Options) { o.Now = func() time.Time { return time.Now().Add(36 * time.Hour) } })
		before := time.Now().AddDate(0, 0, 20).UTC().Format(time.RFC3339)
		for query, want := range map[string][]string{
			"/keys?sort=name":                                         {"active", "first", "paused", "revoked", "soon"},
			"/keys?sort=expires_at":                                   {"soon", "paused", "first", "active", "revoked"},
			"/keys?sort=name&state=active":                            {"active", "first"},
			"/keys?state=paused":                                      {"paused"},
			"/keys?state=revoked":                                     {"revoked"},
			"/keys?state=expired":                                     {"soon"},
			"/keys?sort=name&expires_before=" + before:                {"paused", "soon"},
			"/keys?principal_type=member":                             {"first"},
			"/keys?principal=" + c.principal:                          {"first"},
			"/keys?state=paused&principal=" + account.ID:              {"paused"},
			"/keys?principal=sa_01jn8x0c2vf3hs5r6tq7w8y9zd":           {},
			"/keys?q=OON":                                             {"soon"},
			"/keys?q=owner+of":                                        {"first"},
			"/service_accounts/" + account.Name + "/keys?sort=name":   {"active", "paused", "revoked", "soon"},
			"/service_accounts/" + account.ID + "/keys?state=expired": {"soon"},
		} {
			var list api.List[api.Key]
			later.do(t, c.request(http.MethodGet, here(query), nil)).want(http.StatusOK, &list)
			names := []string{}
			for _, k := range list.Data {
				names = append(names, k.Name)
				if strings.Contains(query, "state=") && !strings.Contains(query, "state="+k.State) {
					t.Errorf("%s: got %s, which is %s", query, k.Name, k.State)
				}
			}
			if !slices.Equal(names, want) {
				t.Errorf("%s: got %v, want %v", query, names, want)
			}
		}
	})
}

// A cursor of one account's keys is none of another's, nor of the whole
// inventory.
func TestCursorOfAnAccountsKeysWorksThereOnly(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		one, other := c.account("viewer"), c.account("viewer")
		for _, account := range []string{one.ID, one.ID, other.ID, other.ID} {
			c.keyOf(account, api.CreateKey{})
		}
		path := here("/service_accounts/" + one.ID + "/keys")
		var page api.List[api.Key]
		c.get(path+"?limit=1").want(http.StatusOK, &page)
		cursor := *page.NextCursor
		c.get(path+"?cursor="+cursor).want(http.StatusOK, &page)
		if len(page.Data) != 1 || page.Data[0].Principal.ID != one.ID || page.HasMore {
			t.Errorf("got %+v, want the other key of the account", page)
		}
		for _, path := range []string{here("/service_accounts/" + other.ID + "/keys"), here("/keys"), here("/me/keys")} {
			c.get(path+"?cursor="+cursor).problemAt(http.StatusBadRequest, api.CodeInvalidRequest, "cursor")
		}
	})
}

// Everything that shows a secret refuses to show it again, and names what it made.
func TestRepeatedCallShowsNoSecretAgain(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		for _, test := range []struct {
			caller     *client
			path, body string
			secret     string // how the secret begins
		}{
			{c, here("/service_accounts/" + account.ID + "/keys"), `{"name":"k"}`, "pst_sa_"},
			{c, here("/me/keys"), `{"name":"k"}`, "pst_usr_"},
			{c, here("/invitations"), `{"email":"a@example.com","role":"viewer"}`, `"token":"inv_`},
			{w.system.in(t), "/v1/workspaces", `{"name":"New","slug":"new","owner":{"email":"a@new.example"}}`, `"token":"inv_`},
		} {
			made := test.caller.post(test.path, test.body, "Idempotency-Key", "same").want(http.StatusCreated, nil)
			again := test.caller.post(test.path, test.body, "Idempotency-Key", "same")
			p := again.wantProblem(http.StatusConflict, api.CodeValueAlreadyIssued)
			if !strings.Contains(string(made.body), test.secret) || !strings.Contains(string(made.body), `"`+p.ID+`"`) || p.ID == "" {
				t.Errorf("%s: the id %q is not of what was made: %s", test.path, p.ID, again.body)
			}
			if strings.Contains(string(again.body), test.secret) {
				t.Errorf("%s: the secret is shown again", test.path)
			}
		}
	})
}

// What was refused for good is refused again in the same words, even where it
// would succeed by now; what was refused for now is tried again.
func TestRepeatedCallHearsItsFinalRefusalAgain(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		const body = `{"name":"bot","role":"later"}`
		first := c.post(here("/service_accounts"), body, "Idempotency-Key", "final").wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
		c.post(here("/roles"), `{"name":"later","permissions":["a:read"]}`).want(http.StatusCreated, nil)
		second := c.post(here("/service_accounts"), body, "Idempotency-Key", "final").wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
		first.RequestID, second.RequestID = "", ""
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
		c.post(here("/service_accounts"), body, "Idempotency-Key", "fresh").want(http.StatusCreated, nil)

		maker := c.holder("iam.service_accounts:*").in(t)
		maker.post(here("/service_accounts"), `{"name":"x","role":"viewer"}`, "Idempotency-Key", "now").wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		var who api.Whoami
		maker.get("/v1/whoami").want(http.StatusOK, &who)
		c.patch(here("/roles/"+who.Role.ID), `{"permissions":["iam.service_accounts:*","*:read"]}`).want(http.StatusOK, nil)
		maker.post(here("/service_accounts"), `{"name":"x","role":"viewer"}`, "Idempotency-Key", "now").want(http.StatusCreated, nil)
	})
}

// A repeated call is authorised anew, and its key belongs to one caller.
func TestRepeatedCallIsAuthorisedAnew(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		maker := c.holder("iam.service_accounts:write", "iam.keys:*", "*:read").in(t)
		account := c.account("viewer")
		const body = `{"name":"x","role":"viewer"}`
		revoke := here("/service_accounts/" + account.ID + "/revoke")
		maker.post(here("/service_accounts"), body, "Idempotency-Key", "same").want(http.StatusCreated, nil)
		maker.post(revoke, nil, "Idempotency-Key", "same").want(http.StatusOK, nil)
		var again api.ServiceAccountAnswer
		maker.post(revoke, nil, "Idempotency-Key", "same").want(http.StatusOK, &again)
		if again.ServiceAccount.State != "inactive" || !again.Receipt.Confirmed {
			t.Errorf("got %+v, want it inactive, confirmed", again)
		}
		other := c.holder("iam.service_accounts:write", "*:read").in(t)
		other.post(here("/service_accounts"), body, "Idempotency-Key", "same").wantProblem(http.StatusConflict, api.CodeNameTaken)
		c.patch(here("/keys/"+maker.id), `{"limit":["iam.keys:read"]}`).want(http.StatusOK, nil)
		for _, path := range []string{here("/service_accounts"), revoke} {
			var sent any
			if path == here("/service_accounts") {
				sent = body
			}
			p := maker.post(path, sent, "Idempotency-Key", "same").wantProblem(http.StatusForbidden, api.CodePermissionDenied)
			if p.Permission != "iam.service_accounts:write" {
				t.Errorf("got %q missing, want iam.service_accounts:write", p.Permission)
			}
		}
		c.post(here("/keys/"+maker.id+"/revoke"), nil).want(http.StatusOK, nil)
		maker.post(revoke, nil, "Idempotency-Key", "same").wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	})
}
