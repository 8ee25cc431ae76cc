package server

import (
	"context"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posternhq/postern/internal/iam"
)

// operation is one row of the route table: what can be asked for, and what that
// needs. A route without a row does not register.
type operation struct {
	id          string // in the OpenAPI document, such as "create-key"
	method      string
	path        string // with {workspace} and the like
	summary     string
	description string
	tag         string
	access      access
	needs       iam.Permission // with permission and system; package iam decides, this documents
	success     int            // the status of an answer that is not a problem
	problems    []string       // the codes that this operation answers beyond those that all of its sort do
	readOnly    bool           // changes nothing that anybody decides by: no Idempotency-Key
	patient     bool           // changes nothing, and waits for as long as its caller prefers

	unconditional bool  // a PATCH or DELETE that does not look at If-Match
	memory        bool  // answered without the store
	unlimited     bool  // as often as anybody likes
	endless       bool  // an answer that takes as long as its reader
	once          bool  // a POST that takes a secret, shows one, or does no more when it is done twice: no Idempotency-Key
	enters        bool  // it sets the cookie of a session
	known         bool  // open, and who has signed in is known
	keysOnly      bool  // a session does not do
	polled        bool  // asked for over and over: it has a limit of its own
	routine       bool  // asked for so often that a success is in the log only when that says all
	mostBody      int64 // bytes; zero: as many as is usual
	mostValues    int   // likewise, of JSON

	talks string // the media type of a body that is read while it is answered; empty: it is read before

	form formAnswer // of programs that send a form; nil: it takes none

	asks  []string // needs, as it is written; found out by register, like the rest
	body  bodyRule
	async bool // the answer carries a receipt, so that nobody need wait for its confirmation
}

// access says who may ask at all.
type access int

const (
	permission access = iota + 1 // a key that works, and holds what the row needs
	holder                       // any key that works
	system                       // a key of the system workspace, and holds what the row needs
	person                       // somebody who signed in, and no key
	open                         // nobody in particular: the call brings its own proof, or needs none
)

// changes reports whether the operation changes anything.
func (op *operation) changes() bool {
	return op.method != http.MethodGet && op.method != http.MethodHead && !op.readOnly
}

// waits reports whether the operation looks at Prefer.
func (op *operation) waits() bool { return op.changes() || op.patient }

// conditional reports whether the operation honours If-Match.
func (op *operation) conditional() bool {
	return (op.method == http.MethodPatch || op.method == http.MethodDelete) && !op.unconditional
}

func (op *operation) pattern() string { return op.method + " " + op.path }

// check says what is wrong with the row.
func (op *operation) check() error {
	needsKnown := op.needs == iam.Permission{}
	if op.access == permission || op.access == system {
		_, err := iam.ParsePermission(op.needs.String())
		needsKnown = err == nil
	}
	switch {
	case op.id == "" || op.method == "" || op.path == "" || op.summary == "" || op.tag == "" || op.success == 0:
		return fmt.Errorf("the row %q %s %s is not complete", op.id, op.method, op.path)
	case op.access < permission || op.access > open:
		return fmt.Errorf("%s: the row does not say who may ask", op.id)
	case !needsKnown:
		return fmt.Errorf("%s: the row's access does not go with the permission %q", op.id, op.needs)
	}
	for _, code := range op.problems {
		if _, known := failureOf(code); !known {
			return fmt.Errorf("%s: no problem has the code %q", op.id, code)
		}
	}
	return nil
}

// register adds a row to the route table together with what answers it. In and
// Out are inputs and outputs as package huma reads them: In has fields tagged
// path and query, and Body; Out has Body and fields tagged header. fn is called
// with a caller whose key works, or with nobody where the row is open.
func register[In, Out any](s *Server, op operation, fn func(ctx context.Context, c iam.Caller, in *In) (*Out, error)) {
	if err := s.addRow(&op, fn != nil); err != nil {
		s.wrong = append(s.wrong, err)
		return
	}
	_, op.async = reflect.TypeFor[Out]().FieldByName("Applied") // of acted and updated
	huma.Register(s.api, s.describe(&op), func(ctx context.Context, in *In) (*Out, error) {
		out, err := fn(ctx, requestOf(ctx).caller, in)
		if err != nil {
			return nil, s.failure(ctx, err)
		}
		return out, nil
	})
	complete(s.api, &op)
}

func (s *Server) addRow(op *operation, answered bool) error {
	if err := op.check(); err != nil {
		return err
	}
	if !answered {
		return fmt.Errorf("%s: nothing answers this row", op.id)
	}
	for _, other := range s.rows {
		if other.id == op.id || other.pattern() == op.pattern() {
			return fmt.Errorf("%s: the row %s is there twice", op.id, op.pattern())
		}
	}
	if op.needs != (iam.Permission{}) {
		op.asks = []string{op.needs.String()}
	}
	s.rows[op.pattern()] = op
	return nil
}

// routes puts what package huma registers behind the conventions that all routes
// share. A route without a row is an error of [New].
type routes struct{ s *Server }

// HandleFunc implements humago.Mux.
func (rs *routes) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	op := rs.s.rows[pattern]
	if op == nil {
		rs.s.wrong = append(rs.s.wrong, fmt.Errorf("the route %q has no row", pattern))
		return
	}
	rs.s.mux.Handle(pattern, rs.s.guard(op, handler))
}

// ServeHTTP implements humago.Mux.
func (rs *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) { rs.s.mux.ServeHTTP(w, r) }

// InWorkspace is the part of an input that every path below a workspace has.
type InWorkspace struct {
	Workspace string `path:"workspace" doc:"Id or slug of the workspace; - is the caller's own." example:"-"`
}
