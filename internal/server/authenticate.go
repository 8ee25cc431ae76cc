package server

import (
	"net/http"
	"strings"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

var (
	errCredential  = iam.Errorf(iam.Unauthenticated, "this needs a key that works, as Authorization: Bearer, or a session")
	errPeopleOnly  = iam.Errorf(iam.PermissionDenied, "this is for people who signed in; no key does it")
	errCredentials = iam.Errorf(iam.InvalidRequest, "send one credential, once")
	errStale       = iam.Errorf(iam.Stale, messageStale)
)

// authenticate returns who is calling. Every reason for which a key does not work
// is the same answer.
func (s *Server) authenticate(r *http.Request) (iam.Caller, error) {
	v, err := s.recognise(r)
	s.authenticated(r, &v)
	if err != nil {
		return iam.Caller{}, err
	}
	req := requestOf(r.Context())
	req.keyExpires, req.place = v.Key.ExpiresAt, v.Workspace.ID
	c := v.Caller()
	c.Source, c.RequestID = s.source(r), req.id
	return c, nil
}

// recognise returns what is known now of the key, or the session, that a request
// brings. It is an error unless that works.
func (s *Server) recognise(r *http.Request) (replica.Verdict, error) {
	if len(r.Header["Authorization"]) == 0 && hasSession(r.Header) {
		return s.recogniseSession(r)
	}
	text, err := credentialOf(r.Header)
	if err != nil {
		return replica.Verdict{}, err
	}
	hash, err := s.prefixes.Parse(text)
	if err != nil {
		return replica.Verdict{}, errCredential
	}
	from := s.peer(r)
	var v replica.Verdict
	err = s.door.Answer(r.Context(), func(view replica.View) {
		v = view.Verify(hash, replica.Query{IP: from, Scope: replica.AnyWorkspace()})
	})
	switch {
	case err != nil || v.Code == replica.Stale:
		return replica.Verdict{}, errStale
	case v.Code != replica.Valid:
		return v, errCredential
	}
	return v, nil
}

// nobody is the caller of an open operation.
func (s *Server) nobody(r *http.Request) iam.Caller {
	return iam.Caller{Source: s.source(r), RequestID: requestOf(r.Context()).id}
}

// credentialOf returns the text of the one credential of a request.
func credentialOf(h http.Header) (string, error) {
	given := h["Authorization"]
	if len(given) == 0 {
		return "", errCredential
	}
	if len(given) > 1 || len(h["X-Api-Key"]) > 0 || hasSession(h) {
		return "", errCredentials
	}
	scheme, text, _ := strings.Cut(given[0], " ")
	if !token.EqualASCII(scheme, "bearer") {
		return "", errCredential
	}
	if strings.ContainsAny(text, ", ") {
		return "", errCredentials
	}
	return text, nil
}

// source says where a request came from, fit to be kept.
func (s *Server) source(r *http.Request) audit.Source {
	from := audit.Source{UserAgent: iam.SafeText(r.UserAgent()), Node: s.node}
	if addr := s.peer(r); addr.IsValid() {
		from.IP = addr.String()
	}
	return from
}

// knownMethod returns a method as a log or a metric may name it.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
