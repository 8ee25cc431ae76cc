package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// SSO is single sign-on with a provider of OpenID Connect. Refusals are of kind
// [iam.Unauthenticated]; what they say beyond that is for the log.
type SSO interface {
	// Name returns what people call the provider.
	Name() string
	// Start returns where the browser goes to prove to the provider whose it is, and
	// the cookie of this attempt, which is good for as long as Life. next is where it
	// wants to go then. With a session it is that which is to be renewed.
	Start(ctx context.Context, next string, session iam.SignInID) (location string, cookie token.Secret, err error)
	Life() time.Duration
	// Finish takes what the provider told the browser, once, and returns where it goes
	// now, and the cookie of a session: zero when one was renewed, which me returns the
	// caller of.
	Finish(ctx context.Context, c iam.Caller, cookie token.Secret, answer url.Values, me func() (iam.Caller, error)) (location string, session token.Secret, err error)
	// Failed returns where the browser goes that did not get in.
	Failed() string
}

const (
	oidcStartPath    = "/v1/oidc/start"
	oidcCallbackPath = "/v1/oidc/callback"

	ssoCookie       = "postern_sso"
	secureSSOCookie = "__Host-" + ssoCookie
)

// registerOIDC adds what browsers walk through. Its answers are no JSON, and what comes
// along in the callback's address is up to the provider.
func (s *Server) registerOIDC() {
	text := &huma.Schema{Type: huma.TypeString}
	leads := func(where string) huma.Operation {
		return huma.Operation{Responses: map[string]*huma.Response{strconv.Itoa(http.StatusSeeOther): {
			Description: where, Headers: map[string]*huma.Param{"Location": {Schema: text}, "Set-Cookie": {Schema: text}},
		}}}
	}
	start := leads("To the provider; or to /signin#error=sso, when it cannot be asked.")
	start.Parameters = []*huma.Param{
		{Name: "next", In: "query", Schema: text, Description: "The path of this server to go to then. Anything else leads to its front page."},
		{Name: "for", In: "query", Schema: text, Description: "`sign_in`, or `step_up`: the provider asks again who somebody is that has signed in."},
	}
	s.addPlain(operation{
		id: "start-sso", method: http.MethodGet, path: oidcStartPath, tag: peopleTag,
		summary:     "Send a browser to single sign-on",
		description: "OpenID Connect Core 1.0, with the code flow and PKCE (RFC 7636). For browsers: the answer leads to the provider.",
		access:      open, success: http.StatusSeeOther, memory: true, problems: []string{api.CodeNotFound},
	}, start, s.startSSO, s.guard)
	s.addPlain(operation{
		id: "finish-sso", method: http.MethodGet, path: oidcCallbackPath, tag: peopleTag,
		summary: "Take a browser back from single sign-on",
		description: "Signs in a member whom the provider has named before, or by an address that it has verified, and nobody else. " +
			"The address is to be registered with the provider. It works once, in the browser that was sent there.",
		access: open, success: http.StatusSeeOther, memory: true, unlimited: true, problems: []string{api.CodeNotFound},
	}, leads("To where the browser wanted to go; or to /signin#error=sso, whatever the reason."), s.finishSSO, s.guard)
}

var errNoSSO = iam.Errorf(iam.NotFound, "there is no single sign-on here: set oidc.issuer, oidc.client-id, oidc.client-secret-file and public-url")

// errOnlyLooks refuses a HEAD: nothing is begun or used up for who only looks.
var errOnlyLooks = iam.Errorf(iam.Unauthenticated, "this address answers GET")

func (s *Server) startSSO(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	next, purpose := query.Get("next"), cmp.Or(query.Get("for"), "sign_in")
	query.Del("next")
	query.Del("for")
	if err := noParameters(&http.Request{URL: &url.URL{RawQuery: query.Encode()}}); err != nil {
		s.fail(w, r, err)
		return
	}
	if s.sso == nil {
		s.fail(w, r, errNoSSO)
		return
	}
	session, err := s.renewed(r, purpose)
	if err != nil {
		s.notIn(w, r, err)
		return
	}
	location, cookie, err := s.sso.Start(r.Context(), next, session)
	if err != nil {
		s.notIn(w, r, err)
		return
	}
	s.setSSOCookie(w, cookie)
	goTo(w, location)
}

// renewed returns the session that is to be renewed, if that is what somebody wants.
// No other site makes them.
func (s *Server) renewed(r *http.Request, purpose string) (iam.SignInID, error) {
	switch {
	case r.Method != http.MethodGet:
		return "", errOnlyLooks
	case purpose == "sign_in":
		return "", nil
	case purpose != "step_up":
		return "", iam.Errorf(iam.InvalidRequest, "the parameter for is sign_in or step_up")
	case r.Header.Get("Sec-Fetch-Site") == "cross-site":
		return "", errCrossSite
	}
	c, err := s.authenticate(r)
	if err == nil && c.Session == "" {
		err = errPeopleOnly
	}
	return c.Session, err
}

func (s *Server) finishSSO(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.sso == nil:
		s.fail(w, r, errNoSSO)
		return
	case r.Method != http.MethodGet:
		s.notIn(w, r, errOnlyLooks)
		return
	case s.door.Ready() != nil: // nothing would say when the session works on every node
		s.notIn(w, r, errStale)
		return
	}
	var cookie token.Secret
	if given := r.CookiesNamed(s.ssoCookieName()); len(given) == 1 {
		cookie = token.NewSecret(given[0].Value)
	}
	me := func() (iam.Caller, error) { return s.authenticate(r) }
	location, session, err := s.sso.Finish(r.Context(), requestOf(r.Context()).caller, cookie, r.URL.Query(), me)
	s.setSSOCookie(w, token.Secret{})
	if err != nil {
		s.notIn(w, r, err)
		return
	}
	s.metrics.sso.WithLabelValues("let_in").Inc()
	if !session.IsZero() {
		set := s.setCookie(session)
		w.Header().Add("Set-Cookie", set.String())
	}
	goTo(w, location)
}

// notIn sends a browser that did not get in back to where people sign in: a person
// looks at the answer, and no program. The log says why.
func (s *Server) notIn(w http.ResponseWriter, r *http.Request, err error) {
	outcome := "failed"
	if errors.Is(err, iam.Unauthenticated) {
		outcome = "refused"
	}
	s.metrics.sso.WithLabelValues(outcome).Inc()
	s.log.WarnContext(r.Context(), "single sign-on: nobody was let in", "outcome", outcome,
		"request_id", requestOf(r.Context()).id, "error", token.Conceal(err.Error()))
	goTo(w, s.sso.Failed())
}

func goTo(w http.ResponseWriter, where string) {
	w.Header().Set("Location", where)
	w.WriteHeader(http.StatusSeeOther)
}

func (s *Server) ssoCookieName() string {
	if s.people.Secure() {
		return secureSSOCookie
	}
	return ssoCookie
}

// setSSOCookie keeps the cookie of an attempt in the browser, or takes it away. Lax
// lets it come along when the provider sends the browser back.
func (s *Server) setSSOCookie(w http.ResponseWriter, cookie token.Secret) {
	c := http.Cookie{
		Name: s.ssoCookieName(), Value: cookie.Reveal(), Path: "/", HttpOnly: true, Secure: s.people.Secure(),
		SameSite: http.SameSiteLaxMode, MaxAge: int(s.sso.Life() / time.Second),
	}
	if cookie.IsZero() {
		c.MaxAge = -1
	}
	w.Header().Add("Set-Cookie", c.String())
}
