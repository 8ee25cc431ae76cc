package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the header is written

	server *Server
	req    *request // that is answered
}

// WriteHeader implements [http.ResponseWriter].
func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && status >= http.StatusOK {
		rec.status = status
		rec.server.tell(rec.req)
	}
	rec.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (rec *recorder) Write(p []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
		rec.server.tell(rec.req)
	}
	return rec.ResponseWriter.Write(p)
}

// Unwrap lets [http.ResponseController] find what it controls.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// passing is a request on its way: its context, what is known of it and what was
// answered, in one piece of memory.
type passing struct {
	context.Context
	request  request
	recorder recorder
}

// Value implements [context.Context].
func (p *passing) Value(key any) any {
	if key == (requestKey{}) {
		return &p.request
	}
	return p.Context.Value(key)
}

// passage is what every request passes on its way to a route, whether there is one
// for it or not: it gets an id, headers, a line in the log, and an answer even after a
// panic.
func (s *Server) passage(route http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := s.now()
		p := &passing{Context: r.Context(), request: request{id: iam.FitRequestID(r.Header["X-Request-Id"], begun)}}
		p.recorder = recorder{ResponseWriter: w, server: s, req: &p.request}
		req, rec := &p.request, &p.recorder
		r = r.WithContext(p)
		s.setHeaders(w.Header(), r, req.id)
		defer func() {
			cause := recover()
			broken := cause != nil && !s.recovered(rec, r, cause)
			s.tell(req)
			s.logAccess(r, req, rec.status, begun)
			if broken {
				panic(http.ErrAbortHandler)
			}
		}()
		route(rec, r)
	})
}

// setHeaders sets what every answer has. The values are shared by all answers,
// and nobody writes to them.
func (s *Server) setHeaders(h http.Header, r *http.Request, id string) {
	h["X-Request-Id"] = []string{id}
	h["X-Content-Type-Options"] = s.values.noSniff
	h["Referrer-Policy"] = s.values.noReferrer
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		h["Cache-Control"] = s.values.noStore
	}
}

// recovered answers a request whose handler panicked. It returns false when what
// was begun to be answered cannot be taken back, so that the connection must end.
func (s *Server) recovered(rec *recorder, r *http.Request, cause any) bool {
	if cause == http.ErrAbortHandler {
		return false
	}
	id := requestOf(r.Context()).id
	s.log.ErrorContext(r.Context(), "a handler panicked", "request_id", id,
		"cause", token.Conceal(fmt.Sprint(cause)), "stack", string(debug.Stack()))
	if rec.status != 0 {
		return false
	}
	s.writeProblem(rec, r, newProblem(api.CodeInternal, id, seeLog))
	return true
}

const seeLog = "the server's log says more under this request's id"

// route hands a request to what answers it, or says that nothing does.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if answer := s.hot[r.URL.Path]; answer != nil && r.Method == http.MethodPost {
		r.Pattern = http.MethodPost + " " + r.URL.Path
		answer(w, r)
		return
	}
	if err := checkURL(r.URL); err != nil {
		s.fail(w, r, s.refusedURL(err))
		return
	}
	if _, pattern := s.mux.Handler(r); pattern != "" && isClean(r.URL) {
		s.mux.ServeHTTP(w, r)
		return
	}
	allowed := s.allowed(r)
	if pages, route := s.pages(r); len(allowed) == 0 && pages != nil {
		r.Pattern = route
		pages.ServeHTTP(w, r)
		return
	}
	if len(allowed) == 0 {
		s.fail(w, r, iam.Errorf(iam.NotFound, "there is nothing at this address"))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.fail(w, r, newProblem(api.CodeMethodNotAllowed, "", "this address answers "+strings.Join(allowed, ", ")))
}

// What logs and metrics call all that the console and the documentation answer.
const (
	consoleRoute = "console"
	docsRoute    = "docs"
)

// pages returns what shows people something at an address that no route answers,
// and what that is called, or nil. What lies where the API is documented to be never
// is the console's: a program that asks there for what is not there must hear so, and
// not be shown a page.
func (s *Server) pages(r *http.Request) (http.Handler, string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !isClean(r.URL) {
		return nil, ""
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch first {
	case "v1":
		return nil, ""
	case "docs":
		return s.docs, docsRoute
	}
	return s.console, consoleRoute
}

// refusedURL counts the addresses that held a secret.
func (s *Server) refusedURL(err error) error {
	if errors.Is(err, errSecretInURL) {
		s.metrics.urlSecrets.Inc()
	}
	return err
}

// allowed returns the methods that the address of a request answers.
func (s *Server) allowed(r *http.Request) []string {
	if !isClean(r.URL) {
		return nil
	}
	var methods []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := *r
		other.Method = m
		if _, pattern := s.mux.Handler(&other); pattern != "" {
			methods = append(methods, m)
		}
	}
	return methods
}

// logAccess writes the line of a request: never its query, header or body.
func (s *Server) logAccess(r *http.Request, req *request, status int, begun time.Time) {
	route := r.Pattern
	if route == "" {
		route = "none"
	}
	s.metrics.countRequest(route, status)
	level := slog.LevelInfo
	routine := s.hot[r.URL.Path] != nil || r.URL.Path == healthPath || r.URL.Path == readyPath || req.op != nil && req.op.routine
	if r.Pattern == consoleRoute || r.Pattern == docsRoute || status == http.StatusOK && routine {
		level = slog.LevelDebug // the metrics count them; a line for each would cost more than the answer, or say nothing
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	s.log.LogAttrs(r.Context(), level, "request",
		slog.String("method", knownMethod(r.Method)), slog.String("route", route), slog.Int("status", status),
		slog.Float64("took_ms", float64(s.now().Sub(begun).Microseconds())/1000), slog.String("request_id", req.id),
		slog.String("principal", string(req.caller.Principal.ID)))
}
