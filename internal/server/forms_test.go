package server_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/server"
)

const (
	formType    = "application/x-www-form-urlencoded"
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
)

// form is what a program of OAuth 2.0 sends.
func form(path, text string) call {
	return call{method: http.MethodPost, path: path, body: text}.holding("Content-Type", formType)
}

// takesForm reports whether an operation takes a form as well as JSON.
func takesForm(op operation) bool {
	return op.RequestBody != nil && op.RequestBody.Value.Content.Get(formType) != nil
}

// wantOAuth fails the test unless the answer is an error as RFC 6749, 5.2, has it.
func (r *reply) wantOAuth(status int, code string) {
	r.t.Helper()
	var e api.OAuthError
	r.want(status, &e)
	if e.Error != code || r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" {
		r.t.Fatalf("%s %v: got %q as %s (%s), want %q in JSON that nobody keeps",
			r.call.path, r.call.body, e.Error, r.header.Get("Content-Type"), r.header.Get("Cache-Control"), code)
	}
}

func pollForm(device string) string {
	return url.Values{"grant_type": {deviceGrant}, "device_code": {device}, "client_id": {"tool"}}.Encode()
}

// RFC 8628 as its programs speak it: forms there, JSON back.
func TestProgramOfOAuthGetsItsKeyByForms(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("operator")
		start := func(text string) (begun api.DeviceCode) {
			w.do(t, form("/v1/device/code", text)).want(http.StatusOK, &begun)
			return begun
		}
		begun := start("client_id=tool&extra=passed+over&name=")
		poll := form("/v1/device/token", pollForm(begun.DeviceCode))
		w.do(t, poll).wantOAuth(http.StatusBadRequest, "authorization_pending")
		w.do(t, poll).wantOAuth(http.StatusBadRequest, "slow_down")

		allowed := start("client_id=tool&name=laptop")
		w.do(t, post("/v1/device/approve", p.browser, api.ApproveDevice{UserCode: allowed.UserCode, Approve: true})).want(http.StatusOK, nil)
		var made api.DeviceToken
		use := form("/v1/device/token", pollForm(allowed.DeviceCode)).holding("Content-Type", formType+"; charset=UTF-8")
		w.do(t, use).want(http.StatusOK, &made)
		if made.TokenType != "Bearer" || made.Key.Principal.ID != p.member || !strings.HasPrefix(made.Key.Name, "cli laptop ") {
			t.Errorf("got %+v, want a key of the member, named after the program", made.Key)
		}
		w.do(t, get("/v1/whoami", made.AccessToken)).want(http.StatusOK, nil)
		w.do(t, use).wantOAuth(http.StatusBadRequest, "slow_down")
		w.do(t, form("/v1/device/token", pollForm("dev_none"))).wantOAuth(http.StatusBadRequest, "invalid_grant")

		refused := start("")
		w.do(t, post("/v1/device/approve", p.browser, api.ApproveDevice{UserCode: refused.UserCode})).want(http.StatusOK, nil)
		w.do(t, form("/v1/device/token", pollForm(refused.DeviceCode))).wantOAuth(http.StatusBadRequest, "access_denied")
	})
}

func TestFormThatIsWrongIsRefusedInTheWordsOfOAuth(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		code, token := "/v1/device/code", "/v1/device/token"
		for _, c := range []struct {
			path, text string
			status     int
			code       string
		}{
			{token, "", http.StatusBadRequest, "invalid_request"},
			{token, "grant_type=" + deviceGrant, http.StatusBadRequest, "invalid_request"},
			{token, "grant_type=" + deviceGrant + "&device_code=", http.StatusBadRequest, "invalid_request"},
			{token, "device_code=dev_none", http.StatusBadRequest, "invalid_request"},
			{token, "grant_type=password&device_code=dev_none", http.StatusBadRequest, "unsupported_grant_type"},
			{token, pollForm("dev_none") + "&device_code=dev_other", http.StatusBadRequest, "invalid_request"},
			{token, pollForm("dev_none") + "&%zz=1", http.StatusBadRequest, "invalid_request"},
			{token + "?grant_type=" + deviceGrant, pollForm("dev_none"), http.StatusBadRequest, "invalid_request"},
			{token, strings.Repeat("x", 1<<20+1), http.StatusRequestEntityTooLarge, "invalid_request"},
			{code, "client_id=tool&scope=everything", http.StatusBadRequest, "invalid_scope"},
			{code, "name=" + strings.Repeat("x+", 40), http.StatusBadRequest, "invalid_request"},
		} {
			w.do(t, form(c.path, c.text)).wantOAuth(c.status, c.code)
		}
		// Another site gains nothing by it, with a cookie or without, and neither does a form elsewhere.
		p := x.person("operator")
		for _, browser := range []string{"", p.browser} {
			begin := form(code, "client_id=tool")
			begin.key = browser
			w.do(t, begin.holding("Sec-Fetch-Site", "cross-site")).wantOAuth(http.StatusForbidden, "invalid_request")
			w.do(t, begin.holding("Origin", "https://evil.example")).wantOAuth(http.StatusForbidden, "invalid_request")
		}
		begun := x.device()
		approve := form("/v1/device/approve", "user_code="+begun.UserCode+"&approve=true")
		approve.key = p.browser
		w.do(t, approve).wantProblem(http.StatusUnsupportedMediaType, api.CodeUnsupportedMediaType)
		w.do(t, post(token, "", api.DeviceTokenRequest{GrantType: "password", DeviceCode: begun.DeviceCode})).
			wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
	})
}

func TestFormHearsOfTroubleInTheWordsOfOAuth(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	w.faults.set(func() error { return errors.New("the store said no") }, nil, nil)
	w.do(t, form("/v1/device/code", "client_id=tool")).wantOAuth(http.StatusInternalServerError, "server_error")
	w.faults.set(nil, nil, nil)
	poll := form("/v1/device/token", pollForm("dev_none"))
	once := w.with(t, func(o *server.Options) { o.Limits.Polling = server.Rate{Burst: 1, Window: time.Hour} })
	once.do(t, poll).wantOAuth(http.StatusBadRequest, "invalid_grant")
	r := once.do(t, poll)
	r.wantOAuth(http.StatusTooManyRequests, "slow_down")
	if r.header.Get("Retry-After") == "" {
		t.Error("nobody says when to try again")
	}
}
