package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"strings"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// guard holds the conventions of all routes around one: the rules for bodies,
// who is calling, how often, and the headers that make a call conditional or
// repeatable.
func (s *Server) guard(op *operation, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form := op.form != nil && isForm(r.Header)
		requestOf(r.Context()).form = form
		if op.talks != "" {
			talk(w, r)
		}
		if err := s.admit(w, r, op); err != nil {
			s.fail(w, r, err)
			return
		}
		r.Header.Del("Accept") // there is one form of answer, which package huma need not choose
		if !op.endless {
			ctx, cancel := context.WithTimeout(r.Context(), max(s.longestCall, requestOf(r.Context()).wait))
			defer cancel()
			r = r.WithContext(ctx)
		}
		if form {
			s.answerForm(w, r, op)
			return
		}
		next(w, r)
	})
}

// talk has a request answered before its body has ended.
func talk(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).EnableFullDuplex() // where there is no such thing, it always is
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // package http cannot use it again
	}
}

// admit decides whether a request gets to its handler, and tells the handler who
// is calling.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, op *operation) error {
	if err := s.sameSite(r, op); err != nil {
		return err
	}
	body, err := readBody(w, r, op)
	if err != nil {
		return err
	}
	if op.talks == "" {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	req := requestOf(r.Context())
	var prefer iam.Preference
	prefer, req.wait = preference(r.Header, op)
	req.op, req.asks = op, op.asks
	if op.access == open && !(op.known && hasSession(r.Header)) {
		req.caller = s.nobody(r)
		if op.changes() && s.door.Ready() != nil {
			return errStale // nothing would say when it has reached every node
		}
	} else if req.caller, err = s.authenticate(r); err != nil {
		return err
	}
	if err := s.limit(w, r, op); err != nil {
		return err
	}
	if op.access == person && req.caller.Session == "" {
		return errPeopleOnly
	}
	req.caller.Prefer = prefer
	if req.caller.IfMatch, err = precondition(r.Header, op); err != nil {
		return err
	}
	req.caller.Idempotency, err = repeatable(r, op, req.caller, body)
	return err
}

// precondition reads If-Match where it is honoured, and refuses it where it would
// be passed over.
func precondition(h http.Header, op *operation) (*int64, error) {
	if !op.changes() {
		return nil, nil
	}
	if !op.conditional() && len(h.Values("If-Match")) > 0 {
		return nil, iam.Errorf(iam.InvalidRequest, "this operation does not look at If-Match; leave it out")
	}
	return ifMatch(h)
}

// repeatable reads Idempotency-Key where it means something. Its scope is the
// calling key or session, the method and the path with the workspace's id in it.
func repeatable(r *http.Request, op *operation, c iam.Caller, body []byte) (*iam.Idempotency, error) {
	if op.method != http.MethodPost || op.readOnly || op.once {
		return nil, nil
	}
	values := r.Header.Values("Idempotency-Key")
	switch {
	case len(values) == 0:
		return nil, nil
	case len(values) > 1 || !isIdempotencyKey(values[0]):
		return nil, iam.Errorf(iam.InvalidRequest, "Idempotency-Key must be there once and have 1 to 255 visible ASCII characters")
	case token.LooksSecret(values[0]):
		return nil, iam.Errorf(iam.InvalidRequest, "Idempotency-Key looks like a secret; send a random text of its own")
	}
	return &iam.Idempotency{
		Key: values[0], Body: sha256.Sum256(body),
		Scope: cmp.Or(string(c.Key.ID), string(c.Session)) + " " + r.Method + " " + resolvedPath(r, c),
	}, nil
}

func isIdempotencyKey(text string) bool {
	const most = 255
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != "" && len(text) <= most
}

// resolvedPath returns the path with the caller's workspace as its id, however
// the client named it.
func resolvedPath(r *http.Request, c iam.Caller) string {
	ref := r.PathValue("workspace")
	if ref != "-" && ref != c.Workspace.Name {
		return r.URL.Path
	}
	const before = "/v1/workspaces/"
	rest := strings.TrimPrefix(r.URL.Path, before+ref)
	return before + string(c.Workspace.ID) + rest
}

// scopedByToken returns the caller of an open operation whose single-use token is
// the credential: a repeated call is known by the token instead of by a key.
func scopedByToken(c iam.Caller, secret token.Secret) iam.Caller {
	if c.Idempotency == nil {
		return c
	}
	id := *c.Idempotency
	id.Scope = "token " + secret.Hash().String() + id.Scope
	c.Idempotency = &id
	return c
}
