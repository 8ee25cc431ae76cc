package postern_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/posterntest"
)

// guarded returns a service behind a verifier, which answers with whose key it is.
func guarded(v *posterntest.Verifier, permissions ...string) http.Handler {
	return postern.Require(v.Verifier, permissions...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := postern.FromContext(r.Context())
		if !ok {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = w.Write([]byte(id.Principal.Name))
	}))
}

// from is where requests of these tests come from.
const from = "192.0.2.7:4711"

// request makes a request with headers, name and value in turn.
func request(h http.Handler, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/tickets", nil)
	r.RemoteAddr = from
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRequireLetsAKeyThrough(t *testing.T) {
	v := posterntest.NewVerifier(t)
	h := guarded(v, "tickets:read")
	key := v.AddKey(posterntest.Key{Permissions: []string{"tickets:read"}, Account: "support-bot-prod", Networks: []string{"192.0.2.0/24"}})
	for name, headers := range map[string][]string{
		"bearer": {"Authorization", "Bearer " + key}, "x-api-key": {"X-API-Key", key}, "bearer in lower case": {"authorization", "bearer " + key},
	} {
		w := request(h, headers...)
		if w.Code != 200 || w.Body.String() != "support-bot-prod" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %q %v", name, w.Code, w.Body, w.Header())
		}
	}
}

func TestRequireAnswersWhatDoesNotGetThrough(t *testing.T) {
	v := posterntest.NewVerifier(t)
	h := guarded(v, "tickets:read")
	good, other := v.Add("tickets:read"), v.Add("agents:read")
	paused, told, far := v.Add("tickets:read"), v.AddKey(posterntest.Key{Permissions: []string{"tickets:read"}, Reveal: true}),
		v.AddKey(posterntest.Key{Permissions: []string{"tickets:read"}, Networks: []string{"198.51.100.0/24"}})
	v.Pause(paused)
	v.Revoke(told)
	const invalid, scope, twice = `Bearer error="invalid_token"`, `Bearer error="insufficient_scope"`, `Bearer error="invalid_request"`
	for name, c := range map[string]struct {
		headers   []string
		status    int
		code      string
		challenge string
		detail    string
	}{
		"no key":                   {nil, 401, api.CodeUnauthenticated, invalid, ""},
		"another scheme":           {[]string{"Authorization", "Basic " + good}, 401, api.CodeUnauthenticated, invalid, ""},
		"what is no key":           {[]string{"X-API-Key", "secret"}, 401, api.CodeUnauthenticated, invalid, ""},
		"a key that is paused":     {[]string{"X-API-Key", paused}, 401, api.CodeUnauthenticated, invalid, ""},
		"a key from elsewhere":     {[]string{"X-API-Key", far, "X-Forwarded-For", "198.51.100.1"}, 401, api.CodeUnauthenticated, invalid, ""},
		"one whose reason is told": {[]string{"X-API-Key", told}, 401, api.CodeUnauthenticated, invalid + `, error_description="revoked"`, "revoked"},
		"a key that may not":       {[]string{"X-API-Key", other}, 403, api.CodePermissionDenied, scope, ""},
		"two credentials":          {[]string{"Authorization", "Bearer " + good, "X-API-Key", good}, 400, api.CodeInvalidRequest, twice, ""},
		"a header twice":           {[]string{"X-API-Key", good, "X-API-Key", good}, 400, api.CodeInvalidRequest, twice, ""},
		"two in one header":        {[]string{"Authorization", "Bearer " + good + ", Bearer " + other}, 400, api.CodeInvalidRequest, twice, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := request(h, append(c.headers, "X-Request-Id", "req-of-the-client")...)
			var p api.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("%d %q: %v", w.Code, w.Body, err)
			}
			if w.Code != c.status || p.Status != c.status || p.Code != c.code || p.Detail != c.detail || p.RequestID != "req-of-the-client" {
				t.Errorf("got %d %s, want %d %s %q", w.Code, w.Body, c.status, c.code, c.detail)
			}
			for header, want := range map[string]string{
				"WWW-Authenticate": c.challenge, "Cache-Control": "no-store", "Content-Type": "application/problem+json", "X-Request-Id": "req-of-the-client",
			} {
				if got := w.Header().Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			if strings.Contains(w.Body.String(), good) {
				t.Errorf("the answer has the key in it: %s", w.Body)
			}
		})
	}
}

func TestRequireSaysWhenItCannotKnow(t *testing.T) {
	v := posterntest.NewVerifier(t)
	h, key := guarded(v, "tickets:read"), v.Add("tickets:read")
	v.Partition()
	v.Advance(2 * time.Second)
	w := request(h, "X-API-Key", key)
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"code":"stale"`) || !strings.Contains(w.Body.String(), `"valid":false`) {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if c := w.Header().Get("WWW-Authenticate"); c != "" {
		t.Errorf("it asks for another key: %s", c)
	}
	v.Heal()
	if w := request(h, "X-API-Key", key); w.Code != 200 {
		t.Errorf("when it hears again: got %d", w.Code)
	}
}

// Behind a proxy the address is the one that the proxy itself added, and no other.
func TestRequireBelievesTheNearestProxyAlone(t *testing.T) {
	v := posterntest.NewVerifier(t, postern.BehindProxy())
	h := guarded(v)
	key := v.AddKey(posterntest.Key{Networks: []string{"198.51.100.0/24"}})
	for name, c := range map[string]struct {
		forwarded []string
		want      int
	}{
		"from where it may be used":     {[]string{"203.0.113.1, 198.51.100.1"}, 200},
		"from elsewhere":                {[]string{"198.51.100.1, 203.0.113.1"}, 401},
		"from elsewhere, in two lines":  {[]string{"198.51.100.1", "203.0.113.1"}, 401},
		"from nowhere":                  {nil, 401},
		"from what is no address":       {[]string{"198.51.100.1, unknown"}, 401},
		"in the header of another kind": {[]string{}, 401},
	} {
		headers := []string{"X-API-Key", key, "Forwarded", "for=198.51.100.1", "X-Real-IP", "198.51.100.1"}
		for _, f := range c.forwarded {
			headers = append(headers, "X-Forwarded-For", f)
		}
		if w := request(h, headers...); w.Code != c.want {
			t.Errorf("%s: got %d, want %d", name, w.Code, c.want)
		}
	}
}

func TestRequireNeedsPermissionsThatAreSome(t *testing.T) {
	v := posterntest.NewVerifier(t)
	defer func() {
		if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "is not a permission") {
			t.Errorf("got %v, want a panic that says why", err)
		}
	}()
	postern.Require(v.Verifier, "tickets:*")
}
