package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// The cookie of people who signed in on the console, with and without the prefix
// that browsers hold to TLS.
const (
	sessionCookie       = "postern_session"
	secureSessionCookie = "__Host-" + sessionCookie
)

// hasSession reports whether a request brings the cookie of a session, however
// badly the others are written that come with it.
func hasSession(h http.Header) bool {
	if len(h["Cookie"]) == 0 {
		return false
	}
	r := http.Request{Header: h}
	return len(r.CookiesNamed(sessionCookie)) > 0 || len(r.CookiesNamed(secureSessionCookie)) > 0
}

// cookieName is what the cookie is called on this server.
func (s *Server) cookieName() string {
	if s.people.Secure() {
		return secureSessionCookie
	}
	return sessionCookie
}

// cookie returns the one cookie of a session. One by the other name is none: without
// its prefix, a cookie may be another site's doing.
func (s *Server) cookie(r *http.Request) (token.Secret, error) {
	given := r.CookiesNamed(s.cookieName())
	switch {
	case len(given) > 1 || len(r.Header["X-Api-Key"]) > 0:
		return token.Secret{}, errCredentials
	case len(given) == 0:
		return token.Secret{}, errCredential
	}
	return token.NewSecret(given[0].Value), nil
}

// setCookie returns the cookie of a session that has begun, or takes it away.
func (s *Server) setCookie(cookie token.Secret) http.Cookie {
	c := http.Cookie{
		Name: s.cookieName(), Value: cookie.Reveal(), Path: "/", HttpOnly: true,
		Secure: s.people.Secure(), SameSite: http.SameSiteLaxMode, MaxAge: int(iam.SignInLife / time.Second),
	}
	if cookie.IsZero() {
		c.MaxAge = -1
	}
	return c
}

// sessionVerdict looks a cookie up in a workspace, which pick finds. Where it has no
// session, the workspace is none of its holder's.
func (s *Server) sessionVerdict(r *http.Request, cookie token.Secret, pick func(replica.View) (iam.WorkspaceID, bool)) (replica.Verdict, error) {
	from := s.peer(r)
	var v replica.Verdict
	err := s.door.Answer(r.Context(), func(view replica.View) {
		ws, known := pick(view)
		v = replica.Verdict{Code: replica.NotFound}
		if known {
			v = view.Verify(s.people.Hash(cookie, ws), replica.Query{IP: from, Scope: replica.OneWorkspace(ws), Session: true})
		}
	})
	switch {
	case err != nil || v.Code == replica.Stale:
		return v, errStale
	case v.Code == replica.NotFound:
		return v, iam.Errorf(iam.NotFound, "no such workspace")
	case v.Code != replica.Valid:
		return v, errCredential
	}
	return v, nil
}

var errCrossSite = newProblem(api.CodeCrossSite, "", "this was sent on behalf of another site, or to another name of this server")

// sameSite refuses what a browser sends on behalf of another site: a call that changes
// something and brings no key. Nobody makes a browser send a key.
func (s *Server) sameSite(r *http.Request, op *operation) error {
	if len(r.Header["Authorization"]) > 0 || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	if s.crossOrigin.Check(r) != nil {
		return errCrossSite
	}
	if (op.enters || hasSession(r.Header)) && !s.isOurs(r.Host) {
		return errCrossSite // a name that leads here, and that somebody else has chosen
	}
	return nil
}

// isOurs reports whether a request is for the name that users reach the server under,
// or for this machine's own.
func (s *Server) isOurs(host string) bool {
	if strings.EqualFold(host, s.people.Host()) {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return strings.EqualFold(name, "localhost") || err == nil && addr.IsLoopback()
}
