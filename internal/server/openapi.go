package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// prepareHuma sets what package huma keeps in variables of its own, for the whole
// process: what it says of wrong input, and how strictly it reads.
var prepareHuma = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true
	huma.NewErrorWithContext = humaProblem
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return humaProblem(nil, status, msg, errs...)
	}
})

// humaConfig returns how package huma is used: to read inputs, write outputs and
// describe both, and for nothing else. It serves no pages and adds no fields.
func humaConfig() huma.Config {
	prepareHuma()
	c := huma.DefaultConfig("Postern", "1")
	c.CreateHooks = nil
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.RejectUnknownQueryParameters = true
	c.Formats = map[string]huma.Format{jsonType: huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat} // and problem+json
	c.Info.Description = "Durable, auditable, revocable access for callers that are not people."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":     {Type: "http", Scheme: "bearer", Description: "A key of a service account or a member: Authorization: Bearer pst_sa_…"},
		"session": {Type: "apiKey", In: "cookie", Name: secureSessionCookie, Description: "The cookie of a person who signed in; without TLS, on this machine, it has no prefix."},
	}
	for _, a := range []struct{ t, as reflect.Type }{
		{reflect.TypeFor[problem](), reflect.TypeFor[api.Problem]()},
		{reflect.TypeFor[api.Time](), reflect.TypeFor[moment]()},
		{reflect.TypeFor[api.Optional[api.Time]](), reflect.TypeFor[nullableMoment]()},
		{reflect.TypeFor[api.Optional[string]](), reflect.TypeFor[*string]()},
		{reflect.TypeFor[api.Optional[int64]](), reflect.TypeFor[*int64]()},
		{reflect.TypeFor[api.Optional[[]string]](), reflect.TypeFor[nullableTexts]()},
	} {
		c.Components.Schemas.RegisterTypeAlias(a.t, a.as)
	}
	return c
}

// nullableTexts describes a list of texts, or null.
type nullableTexts []string

// Schema implements huma.SchemaProvider.
func (nullableTexts) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Nullable: true, Items: &huma.Schema{Type: huma.TypeString}}
}

// moment describes an [api.Time].
type moment string

// Schema implements huma.SchemaProvider.
func (moment) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-11-23T03:00:00.000000Z"}}
}

// nullableMoment describes an [api.Time], or null.
type nullableMoment string

// Schema implements huma.SchemaProvider.
func (nullableMoment) Schema(schemas huma.Registry) *huma.Schema {
	s := moment("").Schema(schemas)
	s.Nullable = true
	return s
}

// describe returns a row as package huma registers it.
func (s *Server) describe(op *operation) huma.Operation {
	return huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Description: op.description,
		Tags: []string{op.tag}, DefaultStatus: op.success, MaxBodyBytes: -1, // the guard has read and bounded it
		Responses: map[string]*huma.Response{}, Extensions: extensions(op), Security: security(op),
		Parameters: headerParameters(op),
	}
}

func security(op *operation) []map[string][]string {
	if op.access == open {
		return []map[string][]string{}
	}
	switch {
	case op.keysOnly:
		return []map[string][]string{{"key": {}}}
	case op.access == person:
		return []map[string][]string{{"session": {}}}
	}
	return []map[string][]string{{"key": {}}, {"session": {}}}
}

func extensions(op *operation) map[string]any {
	if op.needs == (iam.Permission{}) {
		return nil
	}
	return map[string]any{"x-postern-permission": op.needs.String()}
}

func headerParameters(op *operation) []*huma.Param {
	var ps []*huma.Param
	if op.method == http.MethodPost && !op.readOnly && !op.once {
		ps = append(ps, &huma.Param{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "A random text of 1 to 255 visible characters. The same call with the same one is done once, within 24 hours.",
		})
	}
	if op.conditional() {
		ps = append(ps, &huma.Param{
			Name: "If-Match", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "The ETag of what is to be changed: 412 if it changed since.",
		})
	}
	if op.waits() {
		ps = append(ps, &huma.Param{
			Name: "Prefer", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Description: preferWords(op),
		})
	}
	return ps
}

// preferWords says what an operation does with the header Prefer.
func preferWords(op *operation) string {
	switch {
	case op.async:
		return "RFC 7240. `wait=N`: wait N seconds, 1 to 90, until every node has confirmed the change; 504 says that it is recorded. " +
			"`respond-async`: do not wait, or no longer than `wait` says; 202 carries the receipt as it is."
	case op.changes():
		return "RFC 7240. `wait=N`: wait N seconds, 1 to 90, until every node has confirmed the change; 504 says that it is recorded."
	}
	return "RFC 7240. `wait=N`: wait N seconds, 1 to 90, until it is confirmed."
}

// documented returns a registered operation as the document holds it.
func documented(a huma.API, op *operation) *huma.Operation {
	item := a.OpenAPI().Paths[op.path]
	for _, d := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
		if d != nil && d.Method == op.method {
			return d
		}
	}
	return nil
}

// complete adds to a registered operation what follows from its input: the rules
// for its body, and which problems it can answer.
func complete(a huma.API, op *operation) {
	d := documented(a, op)
	if d.RequestBody != nil {
		op.body = requiredBody
		if s := bodySchema(a, d); s.Type == huma.TypeObject && len(s.Required) == 0 {
			op.body, d.RequestBody.Required = optionalBody, false
		}
	}
	delete(d.Responses, "default")
	if op.async {
		completeAccepted(d)
	}
	ref := a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "")
	for _, code := range codesOf(op, d) {
		f, _ := failureOf(code)
		status := strconv.Itoa(f.status)
		r := d.Responses[status]
		if r == nil {
			r = &huma.Response{Content: map[string]*huma.MediaType{problemType: {Schema: ref}}}
			d.Responses[status] = r
			r.Description = "`" + f.code + "`"
		} else {
			r.Description += ", `" + f.code + "`"
		}
	}
}

// completeAccepted describes the answer to whoever does not wait: what is answered
// otherwise, with the receipt as it is, and where to look again.
func completeAccepted(d *huma.Operation) {
	done := d.Responses[strconv.Itoa(d.DefaultStatus)]
	headers := maps.Clone(done.Headers)
	for _, only := range []string{"Location", "Preference-Applied"} {
		delete(done.Headers, only)
	}
	d.Responses[strconv.Itoa(http.StatusAccepted)] = &huma.Response{
		Description: "Recorded, and not yet confirmed by every node", Headers: headers, Content: done.Content,
	}
}

func bodySchema(a huma.API, d *huma.Operation) *huma.Schema {
	s := d.RequestBody.Content[jsonType].Schema
	if s.Ref != "" {
		return a.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// codesOf returns the codes that an operation can answer, in the order of the
// table: those that all of its sort do, and its own.
func codesOf(op *operation, d *huma.Operation) []string {
	codes := append([]string{api.CodeInvalidRequest, api.CodeUnknownField}, op.problems...) // of any address
	add := func(when bool, more ...string) {
		if when {
			codes = append(codes, more...)
		}
	}
	picky := slices.ContainsFunc(d.Parameters, func(p *huma.Param) bool {
		return p.In == "query" && (p.Schema.Type != huma.TypeString || p.Schema.Format != "" || p.Schema.Enum != nil)
	})
	add(!op.memory, api.CodeInternal, api.CodeUnavailable)
	add(!op.unlimited, api.CodeRateLimited)
	add(op.access != open, api.CodeUnauthenticated, api.CodeStale)
	add(op.access == permission || op.access == system || op.access == person, api.CodePermissionDenied)
	add(op.method != http.MethodGet && !op.keysOnly, api.CodeCrossSite)
	add(op.access == system || hasPathParameters(op), api.CodeNotFound)
	add(op.body != noBody, api.CodeTooLarge, api.CodeUnsupportedMediaType, api.CodeValidationFailed)
	add(picky, api.CodeValidationFailed)
	add(op.changes(), api.CodeRevocationUnconfirmed, api.CodeOutcomeUnknown)
	add(op.changes() && op.method == http.MethodPost && !op.once, api.CodeIdempotencyInProgress, api.CodeIdempotencyKeyReused)
	add(op.conditional(), api.CodePreconditionFailed)
	var sorted []string
	for _, f := range failures() {
		if slices.Contains(codes, f.code) {
			sorted = append(sorted, f.code)
		}
	}
	return sorted
}

func hasPathParameters(op *operation) bool { return strings.Contains(op.path, "{") }

// anyObject describes an object that the document says nothing more of.
func anyObject() *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// completeMembers says of members what package huma leaves out: that objects,
// times and one of a few words can be null, as it says of texts and numbers, and
// that a map may hold anything.
func completeMembers(schemas huma.Registry) {
	for name, schema := range schemas.Map() {
		for _, f := range reflect.VisibleFields(schemas.TypeFromRef(schemaPrefix + name)) {
			member, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if p := schema.Properties[member]; p != nil {
				isNullable := f.Type.Kind() == reflect.Pointer && !strings.Contains(options, "omitempty")
				schema.Properties[member] = completeMember(p, f.Type, isNullable)
			}
		}
	}
}

func completeMember(p *huma.Schema, t reflect.Type, isNullable bool) *huma.Schema {
	if t == reflect.TypeFor[map[string]any]() {
		p.AdditionalProperties = true
	}
	if t == reflect.TypeFor[*api.Time]() {
		p.Nullable = isNullable
	}
	if p.Nullable && len(p.Enum) > 0 {
		p.Enum = append(p.Enum, nil)
	}
	if p.Ref != "" && isNullable {
		return &huma.Schema{Description: p.Description, AnyOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}}}
	}
	return p
}

const schemaPrefix = "#/components/schemas/"

// freeze returns the document as it is served and kept. Writing it takes most of the
// time in which a server is made, and few servers are ever asked for it.
func (s *Server) freeze() ([]byte, error) {
	text, err := json.MarshalIndent(s.api.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return append(text, '\n'), nil
}
