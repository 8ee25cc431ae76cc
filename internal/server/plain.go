package server

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const operationsTag = "Operations"

// registerPlain adds a row whose input package huma does not read: the hot path,
// and what is not JSON. d is what the document says beyond the row.
func (s *Server) registerPlain(op operation, d huma.Operation, answer http.HandlerFunc) {
	s.addPlain(op, d, func(w http.ResponseWriter, r *http.Request) {
		if err := noParameters(r); err != nil {
			s.fail(w, r, err)
			return
		}
		answer(w, r)
	}, s.guard)
}

// noParameters refuses the first parameter of an address that takes none.
func noParameters(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	names := slices.Sorted(maps.Keys(r.URL.Query()))
	if len(names) == 0 {
		return nil
	}
	return &iam.Error{Kind: api.CodeUnknownField, Reason: "this address takes no parameters", Fields: []iam.Field{{
		Pointer: echo(names[0]), Code: api.CodeUnknownField, Detail: "there is no such field",
	}}}
}

// registerHot adds a POST that holds the conventions by itself.
func (s *Server) registerHot(op operation, d huma.Operation, answer http.HandlerFunc) {
	s.hot[op.path] = answer
	op.keysOnly = true
	s.addPlain(op, d, answer, func(_ *operation, h http.HandlerFunc) http.Handler { return h })
}

func (s *Server) addPlain(op operation, d huma.Operation, answer http.HandlerFunc, guard func(*operation, http.HandlerFunc) http.Handler) {
	if err := s.addRow(&op, answer != nil); err != nil {
		s.wrong = append(s.wrong, err)
		return
	}
	row := s.describe(&op)
	row.RequestBody = d.RequestBody
	row.Parameters = append(row.Parameters, d.Parameters...)
	for status, response := range d.Responses {
		row.Responses[status] = response
	}
	s.api.OpenAPI().AddOperation(&row)
	complete(s.api, &op)
	s.mux.Handle(op.pattern(), guard(&op, answer))
}

// jsonAnswer documents an answer of 200 with a body of type T.
func jsonAnswer[T any](s *Server, says string) huma.Operation {
	return answerWith(http.StatusOK, says, jsonType, schemaOf[T](s))
}

func textAnswer(says string) huma.Operation {
	return answerWith(http.StatusOK, says, "text/plain", &huma.Schema{Type: huma.TypeString})
}

func answerWith(status int, says, kind string, schema *huma.Schema) huma.Operation {
	return huma.Operation{Responses: map[string]*huma.Response{strconv.Itoa(status): {
		Description: says, Content: map[string]*huma.MediaType{kind: {Schema: schema}},
	}}}
}

// taking adds a body of type T to what the document says of an operation.
func taking[T any](s *Server, d huma.Operation) huma.Operation {
	d.RequestBody = &huma.RequestBody{
		Required: true, Content: map[string]*huma.MediaType{jsonType: {Schema: schemaOf[T](s)}},
	}
	return d
}

func schemaOf[T any](s *Server) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}
