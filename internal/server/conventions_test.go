package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/store"
)

func TestRequestIDGoesInAndOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		create := func(id string) *reply {
			return w.do(t, post(x.root+"/service_accounts", x.owner, api.CreateServiceAccount{Name: x.name("bot"), Role: "viewer"}).holding("X-Request-Id", id))
		}
		if got := create("trace-1.A_b").want(http.StatusCreated, nil).header.Get("X-Request-Id"); got != "trace-1.A_b" {
			t.Errorf("got %q, want the id that was sent", got)
		}
		var list api.List[api.AuditEvent]
		w.do(t, get(x.root+"/audit_events?limit=1", x.owner)).want(http.StatusOK, &list)
		if list.Data[0].RequestID != "trace-1.A_b" {
			t.Errorf("the audit event has %q, want the id that was sent", list.Data[0].RequestID)
		}
		ours := regexp.MustCompile(`^req_[0-9a-hjkmnp-tv-z]{26}$`)
		for _, id := range []string{"", " ", "a b", strings.Repeat("a", 65), "ü", "a;b", x.owner, "x" + x.owner + "x"} {
			if got := create(id).want(http.StatusCreated, nil).header.Get("X-Request-Id"); !ours.MatchString(got) {
				t.Errorf("%q: got %q, want one of our own", id, got)
			}
		}
		p := w.do(t, get("/v1/nowhere", "").holding("X-Request-Id", "mine")).wantProblem(http.StatusNotFound, api.CodeNotFound)
		if p.RequestID != "mine" {
			t.Errorf("the problem has %q, want the id that was sent", p.RequestID)
		}
		if took := regexp.MustCompile(`took_ms=(\S+)`).FindStringSubmatch(w.log.String()); took == nil {
			t.Error("no line of the log says how many milliseconds the request took")
		} else if ms, err := strconv.ParseFloat(took[1], 64); err != nil || ms < 0 || ms > 60_000 {
			t.Errorf("took_ms=%s, want milliseconds as a number", took[1])
		}
		if !strings.Contains(w.log.String(), "request_id=mine") {
			t.Error("the log does not have the id that was sent")
		}
	})
}

func TestCallWithAnIdempotencyKeyIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		create := func(path, name string) call {
			return post(path+"/service_accounts", x.owner, api.CreateServiceAccount{Name: name, Role: "viewer"}).holding("Idempotency-Key", "once")
		}
		var first, again api.CreatedServiceAccount
		w.do(t, create(x.root, "bot")).want(http.StatusCreated, &first)
		for _, path := range []string{x.root, "/v1/workspaces/-", "/v1/workspaces/" + x.slug} {
			if w.do(t, create(path, "bot")).want(http.StatusCreated, &again); again.ID != first.ID || again.Revision != first.Revision {
				t.Errorf("%s: got %s at %d, want %s at %d", path, again.ID, again.Revision, first.ID, first.Revision)
			}
		}
		w.do(t, create(x.root, "other")).wantProblem(http.StatusUnprocessableEntity, api.CodeIdempotencyKeyReused)
		key := post(x.root+"/service_accounts/"+first.ID+"/keys", x.owner, api.CreateKey{Name: "k"}).holding("Idempotency-Key", "once")
		var made api.CreatedKey
		w.do(t, key).want(http.StatusCreated, &made)
		r := w.do(t, key)
		if p := r.wantProblem(http.StatusConflict, api.CodeValueAlreadyIssued); p.ID != made.ID || strings.Contains(string(r.body), made.Value) {
			t.Errorf("got %s, want the id %s and no value", r.body, made.ID)
		}
		byAnother := key
		byAnother.key = x.keyOf("admin")
		w.do(t, byAnother).wantProblem(http.StatusConflict, api.CodeNameTaken) // a call of its own
	})
}

func TestAcceptanceIsRepeatableByItsToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		accept := func(token string) *reply {
			return w.do(t, post("/v1/invitations/accept", "", api.AcceptInvitation{Token: token, Name: "Jo"}).holding("Idempotency-Key", "once"))
		}
		one, two := x.invitation().Token, x.invitation().Token
		var a, again, b api.AcceptedInvitation
		accept(one).want(http.StatusCreated, &a)
		accept(one).want(http.StatusCreated, &again)
		accept(two).want(http.StatusCreated, &b) // somebody else chose the same text
		if a.Member.ID != again.Member.ID || a.Member.ID == b.Member.ID {
			t.Errorf("got members %s, %s and %s; want the first twice and another", a.Member.ID, again.Member.ID, b.Member.ID)
		}
	})
}

func TestIdempotencyKeyMustBeFitToBeKept(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		create := post(x.root+"/service_accounts", x.owner, api.CreateServiceAccount{Name: "bot", Role: "viewer"})
		for _, values := range [][]string{{""}, {strings.Repeat("k", 256)}, {"a b"}, {"ä"}, {"a\tb"}, {"a", "a"}, {x.owner}, {"x" + x.owner}} {
			w.do(t, create.holding("Idempotency-Key", values...)).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
		}
		w.do(t, create.holding("Idempotency-Key", strings.Repeat("k", 255))).want(http.StatusCreated, nil)
	})
}

// F02: whatever is wrong with a key, its holder hears the same.
func TestEveryKeyThatDoesNotWorkHearsTheSame(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		revoked, paused, ended := x.key(x.account("viewer").ID), x.key(x.account("viewer").ID), x.account("viewer")
		orphan := x.key(ended.ID)
		nets := []string{"192.0.2.0/24"}
		var elsewhere api.CreatedKey
		w.do(t, post(x.root+"/service_accounts/"+x.account("viewer").ID+"/keys", x.owner, api.CreateKey{Name: "k", AllowedNetworks: &nets})).want(http.StatusCreated, &elsewhere)
		w.do(t, post(x.root+"/keys/"+revoked.ID+"/revoke", x.owner, nil)).want(http.StatusOK, nil)
		w.do(t, post(x.root+"/keys/"+paused.ID+"/pause", x.owner, nil)).want(http.StatusOK, nil)
		w.do(t, post(x.root+"/service_accounts/"+ended.ID+"/revoke", x.owner, nil)).want(http.StatusOK, nil)
		good := x.keyOf("viewer")
		var first string
		for name, authorization := range map[string]string{
			"unknown":          "Bearer " + strings.Replace(good, good[7:12], "00000", 1),
			"revoked":          "Bearer " + revoked.Value,
			"paused":           "Bearer " + paused.Value,
			"of an account":    "Bearer " + orphan.Value,
			"from elsewhere":   "Bearer " + elsewhere.Value,
			"no key":           "Bearer x",
			"nothing":          "Bearer ",
			"no scheme":        good,
			"another scheme":   "Basic " + good,
			"of a longer name": "Bearerx " + good,
			"cut short":        "Bearer " + good[:len(good)-1],
			"with a tail":      "Bearer " + good + "0",
		} {
			r := w.do(t, get("/v1/whoami", "").holding("Authorization", authorization).holding("X-Request-Id", "same"))
			r.wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
			said := fmt.Sprintf("%s %s %s", r.body, r.header.Get("WWW-Authenticate"), r.header.Get("Content-Length"))
			if first == "" {
				first = said
			}
			if said != first {
				t.Errorf("%s: got %s, want what the others hear: %s", name, said, first)
			}
		}
		for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
			w.do(t, get("/v1/whoami", "").holding("Authorization", scheme+" "+good)).want(http.StatusOK, nil)
		}
	})
}

func TestWhoamiTellsTheHolder(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		account := x.account("operator")
		key := x.key(account.ID)
		var who api.Whoami
		w.do(t, get("/v1/whoami", key.Value)).want(http.StatusOK, &who)
		if who.Principal.ID != account.ID || who.Principal.Type != "service_account" || who.Principal.Workspace != (api.WorkspaceRef{ID: x.id, Slug: x.slug}) {
			t.Errorf("got %+v", who.Principal)
		}
		if who.Key.ID != key.ID || *who.Key.ExpiresAt != *key.ExpiresAt || who.Role.Name != "operator" || !slices.Equal(who.Permissions, []string{"*:execute", "*:read"}) {
			t.Errorf("got key %+v, role %+v, permissions %v", who.Key, who.Role, who.Permissions)
		}
		if w.do(t, get("/v1/whoami", x.owner)).want(http.StatusOK, &who); who.Principal.Type != "member" || who.Principal.ID != x.member {
			t.Errorf("got %+v, want the member", who.Principal)
		}
	})
}

// H01: a cursor is good for the list, the caller, the filters and the sort that it
// was made for, and says nothing.
func TestCursorIsBoundToWhatItWasMadeFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x, y := w.tenant(t, "acme"), w.tenant(t, "other")
		for range 5 {
			x.account("viewer")
			y.account("viewer")
		}
		list := func(query, key string) *reply { return w.do(t, get("/v1/workspaces/-/service_accounts?"+query, key)) }
		var page api.List[api.ServiceAccount]
		list("limit=2&q=bot", x.owner).want(http.StatusOK, &page)
		if !page.HasMore || page.NextCursor == nil || len(page.Data) != 2 {
			t.Fatalf("got %d items, more %t; want 2 and more", len(page.Data), page.HasMore)
		}
		cursor := *page.NextCursor
		var rest api.List[api.ServiceAccount]
		list("limit=200&q=bot&cursor="+cursor, x.owner).want(http.StatusOK, &rest)
		if len(rest.Data) != 3 || rest.HasMore || rest.NextCursor != nil {
			t.Errorf("got %d more, more %t; want 3 and the end", len(rest.Data), rest.HasMore)
		}
		flipped := []byte(cursor)
		flipped[len(flipped)/2] ^= 1
		for name, r := range map[string]*reply{
			"another workspace": list("limit=2&q=bot&cursor="+cursor, y.owner),
			"another principal": list("limit=2&q=bot&cursor="+cursor, x.keyOf("admin")),
			"another filter":    list("limit=2&q=b&cursor="+cursor, x.owner),
			"another sort":      list("limit=2&q=bot&sort=-name&cursor="+cursor, x.owner),
			"another list":      w.do(t, get("/v1/workspaces/-/members?q=bot&cursor="+cursor, x.owner)),
			"tampered":          list("limit=2&q=bot&cursor="+string(flipped), x.owner),
			"cut short":         list("limit=2&q=bot&cursor="+cursor[:len(cursor)-8], x.owner),
			"SQL":               list("q=bot&cursor=%27%20OR%201%3D1--", x.owner),
			"very long":         list("q=bot&cursor="+strings.Repeat("0", 5000), x.owner),
			"another secret": w.with(t, func(o *server.Options) { o.Secret, o.Metrics = []byte(strings.Repeat("t", 32)), nil }).
				do(t, get("/v1/workspaces/-/service_accounts?limit=2&q=bot&cursor="+cursor, x.owner)),
		} {
			p := r.wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
			if len(p.Errors) != 1 || p.Errors[0].Pointer != "cursor" {
				t.Errorf("%s: got %+v, want one error about the cursor", name, p.Errors)
			}
		}
		if strings.Contains(cursor, page.Data[1].ID) || strings.Contains(cursor, "_") {
			t.Errorf("the cursor %s tells what is in it, or could look like a key", cursor)
		}
	})
}

func TestLimitIsCoerced(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		for limit, want := range map[string]int{"": 6, "?limit=2": 2, "?limit=0": 6, "?limit=-5": 1, "?limit=100000": 6} {
			var page api.List[api.Role]
			w.do(t, get(x.root+"/roles"+limit, x.owner)).want(http.StatusOK, &page)
			if len(page.Data) != want {
				t.Errorf("%q: got %d roles, want %d", limit, len(page.Data), want)
			}
		}
	})
}

func TestAddressesThatAreNotThereAreProblems(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v2/whoami", "/v1/whoami/", "//v1/whoami", "/v1//whoami", "/v1/./whoami", "/v1/x/../whoami", "/v1/%2e%2e/v1/whoami",
		"/V1/whoami", "/v1/whoami;x", "/v1/workspaces//roles", "/v1/verify/", "/docs/errors/nothing", "/docs", "/v1/openapi.yaml", "/schemas/Key.json", "/v1%2fwhoami",
	} {
		r := raw(t, w, "GET "+path+" HTTP/1.1")
		if r.StatusCode != http.StatusNotFound || r.Header.Get("Content-Type") != "application/problem+json" || r.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: got %d, %s; want 404 as a problem", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}
	for line, allow := range map[string]string{
		"DELETE /v1/whoami": "GET, HEAD", "GET /v1/verify": "POST", "PUT /v1/verify": "POST", "POST /v1/workspaces/-": "GET, HEAD, PATCH",
		"OPTIONS /v1/verify": "POST", "TRACE /v1/whoami": "GET, HEAD", "POST /healthz": "GET, HEAD",
	} {
		r := raw(t, w, line+" HTTP/1.1")
		if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != allow || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d, Allow %q; want 405 and %q", line, r.StatusCode, r.Header.Get("Allow"), allow)
		}
	}
	for _, path := range []string{"/v1/workspaces/%00/roles", "/v1/workspaces/-/roles?q=%00", "/v1/workspaces/-/roles/%ff", "/v1/workspaces/-/roles?q=%ff", "/v1/workspaces/-/roles?q=%zz", "/v1/workspaces/-/roles?q=a&q=b", "/v1/workspaces/-/roles?a;b"} {
		if r := raw(t, w, "GET "+path+" HTTP/1.1"); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %d, want 400", path, r.StatusCode)
		}
	}
}

// raw sends a request line that no well-behaved client sends.
func raw(t *testing.T, w *world, line string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", line, w.owner); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	_ = r.Body.Close() // only the head is looked at
	return r
}

// H05: no other origin gets anything.
func TestNoOriginIsEverAllowed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		for _, origin := range []string{"null", "https://evil.example", w.url, w.url + ".evil.example"} {
			for _, c := range []call{get("/v1/whoami", x.owner), {method: http.MethodOptions, path: "/v1/verify"}, post("/v1/verify", x.owner, api.Verify{Key: "x"}), get("/healthz", "")} {
				c = c.holding("Origin", origin).holding("Access-Control-Request-Method", "POST")
				for name := range w.do(t, c).header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s %s, Origin %s: the answer has %s", c.method, c.path, origin, name)
					}
				}
			}
		}
	})
}

// D09 begins here: nothing that a client says of its address is believed.
func TestForwardedAddressIsBelievedOnlyBehindAProxy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		nets := []string{"192.0.2.0/24"}
		var key api.CreatedKey
		w.do(t, post(x.root+"/service_accounts/"+x.account("viewer").ID+"/keys", x.owner, api.CreateKey{Name: "k", AllowedNetworks: &nets})).want(http.StatusCreated, &key)
		whoami := get("/v1/whoami", key.Value)
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip"} {
			w.do(t, whoami.holding(name, "192.0.2.7")).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
		proxied := w.with(t, func(o *server.Options) { o.BehindProxy, o.Metrics = true, nil })
		for value, status := range map[string]int{
			"192.0.2.7": 200, "203.0.113.9, 192.0.2.7": 200, "203.0.113.9,192.0.2.7": 200, "::ffff:192.0.2.7": 200,
			"192.0.2.7, 203.0.113.9": 401, "x": 401, "192.0.2.7:80": 401, "": 401,
		} {
			if r := proxied.do(t, whoami.holding("X-Forwarded-For", value)); r.status != status {
				t.Errorf("X-Forwarded-For: %s: got %d, want %d", value, r.status, status)
			}
		}
		if r := proxied.do(t, whoami.holding("X-Forwarded-For", "192.0.2.7", "203.0.113.9")); r.status != http.StatusUnauthorized {
			t.Errorf("the last of two lines: got %d, want 401", r.status)
		}
		proxied.do(t, whoami).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	})
}

func TestWhatAClientSaysOfItselfIsKeptSafely(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		agent := "curl/8 " + x.owner + " \u202eevil " + strings.Repeat("long", 200)
		w.do(t, post(x.root+"/service_accounts", x.owner, api.CreateServiceAccount{Name: "bot", Role: "viewer"}).holding("User-Agent", agent)).want(http.StatusCreated, nil)
		var list api.List[api.AuditEvent]
		r := w.do(t, get(x.root+"/audit_events?limit=1", x.owner)).want(http.StatusOK, &list)
		got := list.Data[0].Source.UserAgent
		if !strings.HasPrefix(got, "curl/8 [hidden] ") || len([]rune(got)) > 256 || strings.Contains(got, "\u202e") || strings.Contains(string(r.body), x.owner) {
			t.Errorf("got %q, want it short, without the key and without what turns text around", got)
		}
	})
}

func TestHandlerThatPanicsIsAnsweredAndLogged(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		w.faults.set(func() error { panic("with " + x.owner) }, nil, nil)
		defer w.faults.set(nil, nil, nil)
		p := w.do(t, get(x.root+"/roles", x.owner)).wantProblem(http.StatusInternalServerError, api.CodeInternal)
		log := w.log.String()
		if !strings.Contains(log, "a handler panicked") || !strings.Contains(log, p.RequestID) {
			t.Error("the log does not say that a handler panicked under the request's id")
		}
		if strings.Contains(log, x.owner) {
			t.Error("the log has the key that was in the panic")
		}
	})
}

func TestLogHasALineForEachRequestAndNoSecret(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		key := x.keyOf("viewer")
		w.do(t, post("/v1/verify", x.owner, api.Verify{Key: key})).want(http.StatusOK, nil)
		w.do(t, replicaSamples()["renew-replica"](x)).want(http.StatusOK, nil)
		w.do(t, get("/v1/whoami?q="+key, x.owner)).want(http.StatusBadRequest, nil)
		w.do(t, get("/v1/workspaces/"+key+"/roles", x.owner)).want(http.StatusBadRequest, nil)
		w.do(t, get(x.root+"/roles?q=searched-for", x.owner)).want(http.StatusOK, nil)
		log := w.log.String()
		for _, want := range []string{
			`route="POST /v1/workspaces/{workspace}/service_accounts/{id}/keys" status=201`, `level=DEBUG msg=request method=POST route="POST /v1/verify" status=200`,
			`level=DEBUG msg=request method=POST route="POST /v1/replica/{child}/renew" status=200`,
			`level=INFO msg=request method=GET route="GET /v1/workspaces/{workspace}/roles" status=200`, "principal=" + x.member,
		} {
			if !strings.Contains(log, want) {
				t.Errorf("the log has no %s", want)
			}
		}
		for _, secret := range []string{key[7:15], key[20:28], x.owner[8:16], w.owner[8:16], "searched-for"} {
			if strings.Contains(log, secret) {
				t.Errorf("the log has %s of a key, or a query", secret)
			}
		}
	})
}

func TestMetricsCountWhatHappened(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		key := x.keyOf("viewer")
		for range 3 {
			w.verify(t, x.owner, api.Verify{Key: key})
		}
		w.verify(t, x.owner, api.Verify{Key: "x"})
		w.do(t, get("/v1/whoami?q="+key, x.owner)).want(http.StatusBadRequest, nil)
		text := string(w.do(t, get("/metrics", w.owner)).want(http.StatusOK, nil).body)
		alone := httptest.NewRecorder()
		w.server.MetricsHandler().ServeHTTP(alone, httptest.NewRequest(http.MethodGet, "/", nil))
		for _, want := range []string{
			`postern_verifications_total{code="valid"} 3`, `postern_verifications_total{code="not_found"} 1`, `postern_verifications_total{code="stale"} 0`,
			`postern_verify_duration_seconds_count 4`, `postern_http_requests_total{route="POST /v1/verify",status="200"} 4`,
			`postern_http_secrets_in_url_total 1`, `postern_replica_stale 0`, `postern_replica_keys 3`, `go_goroutines`, `process_`,
		} {
			if !strings.Contains(text, want) || !strings.Contains(alone.Body.String(), want) {
				t.Errorf("the metrics have no %s", want)
			}
		}
		if strings.Contains(text, key[7:15]) || strings.Contains(text, "acme") {
			t.Error("the metrics have a secret or a tenant's name")
		}
	})
}

func TestStoreTimingsAreCounted(t *testing.T) {
	m := server.NewMetrics()
	m.ObserveStore("change", 3*time.Millisecond, nil)
	m.ObserveStore("read", time.Millisecond, errors.New("lost"))
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db").with(t, func(o *server.Options) { o.Metrics = m })
	text := string(w.do(t, get("/metrics", w.owner)).want(http.StatusOK, nil).body)
	for _, want := range []string{
		`postern_store_duration_seconds_count{operation="change",outcome="ok"} 1`, `postern_store_duration_seconds_count{operation="read",outcome="failed"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

func TestHealthIsToldWithoutAKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, agent := range []string{"kube-probe/1.33", "GoogleHC/1.0", ""} {
			w.do(t, get("/healthz", "").holding("User-Agent", agent)).want(http.StatusOK, nil)
			w.do(t, get("/readyz", "").holding("User-Agent", agent)).want(http.StatusOK, nil)
			w.do(t, get("/v1/whoami", "").holding("User-Agent", agent)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
	})
}

func TestRatesAreThoseThatAreDocumented(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		begun := time.Now()
		still := w.with(t, func(o *server.Options) {
			o.Metrics, o.Limits, o.Now = nil, server.Limits{}, func() time.Time { return begun }
		})
		r := still.do(t, get("/v1/keys/self", w.owner)).want(http.StatusOK, nil)
		if got, want := r.header.Get("RateLimit-Policy"), `"default";q=500;w=5`; got != want {
			t.Errorf("RateLimit-Policy: got %s, want %s", got, want)
		}
		if got, want := r.header.Get("RateLimit"), `"default";r=499;t=1`; got != want {
			t.Errorf("RateLimit: got %s, want %s", got, want)
		}
		for n := 1; n <= 11; n++ {
			r := still.do(t, post("/v1/invitations/accept", "", api.AcceptInvitation{Token: "x", Name: "Jo"}))
			if got, want := r.header.Get("RateLimit-Policy"), `"accept";q=10;w=60`; got != want {
				t.Fatalf("RateLimit-Policy: got %s, want %s", got, want)
			}
			if n <= 10 {
				r.wantProblem(http.StatusGone, api.CodeGone)
				continue
			}
			r.wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
			if got := r.header.Get("Retry-After"); got != "6" {
				t.Errorf("Retry-After: got %s, want 6", got)
			}
		}
		for range 600 {
			if r := still.do(t, post("/v1/verify", w.owner, api.Verify{Key: "x"})); r.status != http.StatusOK {
				t.Fatalf("a verification was refused: %d", r.status)
			}
		}
	})
}

func TestMalformedAcceptHeadersChangeNothing(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	for _, accept := range []string{"json", "application/xml", "*/*;q=0", strings.Repeat("a/b,", 1000)} {
		r := w.do(t, get("/v1/whoami", w.owner).holding("Accept", accept)).want(http.StatusOK, nil)
		if got := r.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Accept: %.20s: got %s, want application/json", accept, got)
		}
	}
}

func TestChangeThatNobodyConfirmsIsAnsweredInTime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		brief := w.with(t, func(o *server.Options) { o.Metrics, o.Limits.Change = nil, 100*time.Millisecond })
		w.faults.behind(never{})
		p := brief.do(t, post(x.root+"/service_accounts", x.owner, api.CreateServiceAccount{Name: "bot", Role: "viewer"})).wantProblem(http.StatusGatewayTimeout, api.CodeRevocationUnconfirmed)
		if p.Receipt == nil || p.Receipt.Confirmed || p.Revision != p.Receipt.Revision {
			t.Errorf("got receipt %+v, revision %d; want the same, unconfirmed", p.Receipt, p.Revision)
		}
	})
}

// What is left out of a list must not be taken for an empty one.
func TestReplacingEverythingNeedsABody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		w.do(t, call{method: http.MethodPut, path: x.root + "/permissions", key: x.owner}).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
		w.do(t, call{method: http.MethodPut, path: x.root + "/permissions", key: x.owner, body: `[]`}).want(http.StatusOK, nil)
		for _, optional := range []string{"/service_accounts/" + x.account("viewer").ID + "/pause", "/keys/" + x.key(x.account("viewer").ID).ID + "/revoke"} {
			w.do(t, post(x.root+optional, x.owner, nil)).want(http.StatusOK, nil)
		}
	})
}

func TestNodeWithoutAnOwnerIsNotReady(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		st, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/empty.db", store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		empty := replica.New(replica.Options{})
		if err := empty.Load(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		var health api.Health
		w.with(t, func(o *server.Options) { o.Metrics, o.Replica = nil, empty }).do(t, get("/readyz", "")).want(http.StatusServiceUnavailable, &health)
		if health.Status != "not_initialised" || !strings.Contains(health.Detail, "postern init") {
			t.Errorf("got %+v, want it to say how to go on", health)
		}
	})
}

func TestSlowClientIsLetGo(t *testing.T) {
	srv := server.HTTPServer(http.NotFoundHandler())
	if srv.ReadHeaderTimeout != 5*time.Second || srv.ReadTimeout != 10*time.Second || srv.IdleTimeout <= 0 || srv.WriteTimeout <= 90*time.Second || srv.MaxHeaderBytes != 16<<10 {
		t.Errorf("got %v for headers, %v to read, %v to write, %v idle, %d bytes of headers", srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout, srv.IdleTimeout, srv.MaxHeaderBytes)
	}
}

func TestNamesOfMembersAreExact(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		for body, pointer := range map[string]string{
			`{"Name":"bot","role":"viewer"}`:                                      "/Name",
			`{"name":"bot","role":"viewer","ROLE":"admin"}`:                       "/ROLE",
			`{"name":"bot","role":"viewer","` + strings.Repeat("x-", 50) + `":1}`: "/[hidden]",
		} {
			p := w.do(t, post(x.root+"/service_accounts", x.owner, body)).wantProblem(http.StatusBadRequest, api.CodeUnknownField)
			if !slices.ContainsFunc(p.Errors, func(f api.ProblemField) bool { return f.Pointer == pointer }) {
				t.Errorf("%.60s: got %+v, want an error at %s", body, p.Errors, pointer)
			}
		}
	})
}
