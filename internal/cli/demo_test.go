package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

func TestDemoAnswersAsAnyProtectedServiceShould(t *testing.T) {
	var verdict any
	var asked api.Verify
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = api.Verify{}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		if p, ok := verdict.(*api.Problem); ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.Status)
		}
		if err := json.NewEncoder(w).Encode(verdict); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	d := new(demo)
	d.open(&postern.Client{Server: server.URL})
	bearer := []string{"Bearer the-key"}
	for name, tt := range map[string]struct {
		header    []string
		verdict   any
		status    int
		challenge string
	}{
		"valid":              {bearer, api.Verdict{Valid: true, Code: "valid", Principal: &api.VerdictOwner{Name: "bot"}}, 200, ""},
		"lower case":         {[]string{"bearer the-key"}, api.Verdict{Valid: true, Code: "valid", Principal: &api.VerdictOwner{Name: "bot"}}, 200, ""},
		"no key":             {nil, nil, 401, "Bearer"},
		"two keys":           {[]string{"Bearer a", "Bearer b"}, nil, 401, "Bearer"},
		"another scheme":     {[]string{"Basic dTpw"}, nil, 401, "Bearer"},
		"revoked":            {bearer, api.Verdict{Code: "revoked"}, 401, `Bearer error="invalid_token"`},
		"network denied":     {bearer, api.Verdict{Code: "network_denied"}, 401, `Bearer error="invalid_token"`},
		"a code of tomorrow": {bearer, api.Verdict{Code: "rate_limited"}, 401, `Bearer error="invalid_token"`},
		"permission denied":  {bearer, api.Verdict{Code: "permission_denied"}, 403, `Bearer error="insufficient_scope"`},
		"stale":              {bearer, &api.Problem{Status: 503, Code: api.CodeStale}, 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			verdict = tt.verdict
			r := httptest.NewRequest("GET", demoPath, nil)
			r.Header["Authorization"] = tt.header
			w := httptest.NewRecorder()
			d.around(http.NotFoundHandler()).ServeHTTP(w, r)
			if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.challenge {
				t.Errorf("%d, challenge %q; want %d, %q", w.Code, w.Header().Get("WWW-Authenticate"), tt.status, tt.challenge)
			}
			if tt.verdict != nil && (asked.Key != "the-key" || asked.Permissions[0] != demoPermission || asked.Source.IP == "") {
				t.Errorf("asked %+v", asked)
			}
		})
	}
}

func TestDemoRefusesBeforeItCanAsk(t *testing.T) {
	r := httptest.NewRequest("GET", demoPath, nil)
	r.Header.Set("Authorization", "Bearer k")
	w := httptest.NewRecorder()
	new(demo).around(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d, want 503", w.Code)
	}
}

func TestDemoLeavesEveryOtherAddressToTheServer(t *testing.T) {
	var reached string
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = r.URL.Path
		w.WriteHeader(http.StatusTeapot)
	})
	for _, path := range []string{"//v1/whoami", "/v1/../v1/whoami", "/demo//tickets", "/demo/tickets/", "/demo/./tickets", "/demo"} {
		r := httptest.NewRequest("GET", "http://localhost/", nil)
		r.URL.Path = path
		w := httptest.NewRecorder()
		new(demo).around(next).ServeHTTP(w, r)
		if w.Code != http.StatusTeapot || reached != path {
			t.Errorf("%s: got %d, and %q reached the server", path, w.Code, reached)
		}
	}
}
