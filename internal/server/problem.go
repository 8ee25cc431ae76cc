package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	problemType  = "application/problem+json"
	jsonType     = "application/json"
	errorPages   = "/docs/errors/"
	retryLater   = 1 // seconds, for what may have passed by then
	messageStale = "this node cannot know whether it has heard of every revocation, and does not guess"
)

// problem is an error as its caller hears it. Package huma writes it like any
// other body.
type problem struct {
	api.Problem
	header http.Header
}

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemType }

// newProblem returns the problem with a code of the table.
func newProblem(code, requestID, detail string) *problem {
	f, known := failureOf(code)
	if !known {
		f, _ = failureOf(api.CodeInternal)
	}
	p := &problem{header: http.Header{}, Problem: api.Problem{
		Type: errorPages + f.code, Title: f.title, Status: f.status, Code: f.code,
		Detail: detail, RequestID: requestID,
	}}
	switch f.status {
	case http.StatusUnauthorized:
		p.header.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		p.header.Set("Retry-After", strconv.Itoa(retryLater))
	}
	if f.code == api.CodeStale {
		p.Valid = new(bool)
	}
	return p
}

// failure says an error in the words of the API. What the caller may not hear is
// logged here, once, with the id of the request.
func (s *Server) failure(ctx context.Context, err error) *problem {
	id := requestOf(ctx).id
	if e, ok := errors.AsType[*oauthError](err); ok {
		return &problem{Problem: api.Problem{Status: http.StatusBadRequest, Code: e.code, Detail: e.description}}
	}
	if p, ok := errors.AsType[*problem](err); ok {
		told := *p // p may be told to many
		told.RequestID = id
		return &told
	}
	kind, shown := shownIn(err)
	if _, known := failureOf(string(kind)); !known || kind == iam.Diverged { // a verifier's is a problem of its own
		kind, shown = s.hidden(ctx, err)
	}
	if errors.Is(err, iam.ErrUnwritten) {
		s.log.ErrorContext(ctx, "a refused attempt is missing in the audit log", "request_id", id, "error", token.Conceal(err.Error()))
	}
	requestOf(ctx).denied = kind == iam.PermissionDenied
	p := newProblem(string(kind), id, token.Conceal(shown.Reason))
	p.Permission, p.Policy, p.ID = shown.Permission, shown.Policy, shown.Object
	for _, f := range shown.Fields {
		p.Errors = append(p.Errors, api.ProblemField{Pointer: token.Conceal(f.Pointer), Code: f.Code, Detail: token.Conceal(f.Detail)})
	}
	if u, ok := errors.AsType[*unsettled](err); ok {
		p.Receipt, p.Revision = &u.receipt, u.revision
	}
	if locked, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok {
		err = retryAfter{err, locked.RetryAfter()}
	}
	if after, ok := errors.AsType[retryAfter](err); ok {
		p.header.Set("Retry-After", strconv.FormatInt(after.seconds(), 10))
	}
	return p
}

// shownIn returns the part of an error that its caller may hear.
func shownIn(err error) (iam.Kind, *iam.Error) {
	if shown, ok := errors.AsType[*iam.Error](err); ok {
		return shown.Kind, shown
	}
	kind, _ := errors.AsType[iam.Kind](err)
	return kind, &iam.Error{}
}

// hidden logs an error that its caller may not hear, and returns what they hear
// instead.
func (s *Server) hidden(ctx context.Context, err error) (iam.Kind, *iam.Error) {
	attrs := []any{"request_id", requestOf(ctx).id, "error", token.Conceal(err.Error())}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		s.log.WarnContext(ctx, "a request ran out of time", attrs...)
		return iam.Unavailable, &iam.Error{Reason: "it took too long; nothing is known to have changed"}
	}
	s.log.ErrorContext(ctx, "a request failed", attrs...)
	return api.CodeInternal, &iam.Error{Reason: seeLog}
}

// fail answers a request with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.writeProblem(w, r, s.failure(r.Context(), err))
}

func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	if requestOf(r.Context()).form {
		s.writeOAuthError(w, r, p)
		return
	}
	body, err := json.Marshal(p.Problem)
	if err != nil { // texts and numbers only: it cannot fail
		s.log.ErrorContext(r.Context(), "encode a problem", "error", err)
	}
	w.Header().Set("Content-Type", problemType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	if _, err := w.Write(body); err != nil {
		s.log.DebugContext(r.Context(), "the client went away", slog.Any("error", err))
	}
}

// unsettled is an error of a change that is recorded and that not every node is
// known to have heard of.
type unsettled struct {
	error
	receipt  api.Receipt
	revision int64
}

func (u *unsettled) Unwrap() error { return u.error }

// settled returns the error of a change as its caller is to hear it: with the
// receipt, where the change was recorded and could not be confirmed.
func settled[T any](done iam.Done[T], err error) error {
	if errors.Is(err, iam.Unconfirmed) {
		return &unsettled{err, receipt(done.Receipt), done.Revision}
	}
	return err
}

// retryAfter is an error that says when to try again.
type retryAfter struct {
	error
	after time.Duration
}

func (r retryAfter) Unwrap() error { return r.error }

func (r retryAfter) seconds() int64 { return max(1, int64((r.after+time.Second-1)/time.Second)) }
