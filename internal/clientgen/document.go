package clientgen

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document is what is read of an OpenAPI document.
type document struct {
	Paths      map[string]map[string]described
	Components struct{ Schemas map[string]schema }
}

// described is an operation as the document has it.
type described struct {
	ID          string `json:"operationId"`
	Summary     string
	Description string
	Permission  string `json:"x-postern-permission"`
	Security    []map[string]any
	Parameters  []parameter
	RequestBody *content
	Responses   map[string]content
}

type parameter struct {
	Name        string
	In          string
	Description string
	Schema      schema
}

type content struct {
	Content map[string]struct{ Schema schema }
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any    // a name, or several
	Format     string
	Enum       []string
	Items      *schema
	Properties map[string]any
}

const jsonType = "application/json"

// elsewhere says which operations have no method written here, and why.
var elsewhere = map[string]string{
	"verify": "Client.Verify",
	"follow": "Client.Stream",

	"begin-passkey":        "a browser's: a ceremony that begins a session",
	"sign-in":              "a browser's: it sets a cookie",
	"list-sign-in-methods": "a browser's: what to show to somebody who is to sign in",
	"set-up":               "a browser's: it sets a cookie",
	"start-sso":            "a browser's: it redirects",
	"finish-sso":           "a browser's: it redirects",

	"authorize": "a proxy's: only the gateway's listener answers it",
}

// hasMethod reports whether the client has a method for an operation. What takes
// no key is for who has signed in with a browser, and what is below /v1/replica is
// the wire of a verifier.
func (o *described) hasMethod(path string) bool {
	needsSession := len(o.Security) > 0 && !slices.ContainsFunc(o.Security, func(way map[string]any) bool {
		_, isSession := way["session"]
		return !isSession
	})
	return elsewhere[o.ID] == "" && !needsSession && !strings.HasPrefix(path, "/v1/replica")
}

// methods returns the methods that a document asks for, by path.
func methods(text []byte) ([]method, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	var all []method
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, verb := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			o := doc.Paths[path][verb]
			if !o.hasMethod(path) {
				continue
			}
			m, err := doc.method(strings.ToUpper(verb), path, o)
			if err != nil {
				return nil, fmt.Errorf("%s (%s %s): %w", o.ID, verb, path, err)
			}
			all = append(all, m)
		}
	}
	return all, nil
}

// method is one operation as it is called in Go.
type method struct {
	ID          string
	Name        string
	Comment     string
	Verb        string // of HTTP
	Path        string
	InWorkspace bool

	Arguments []string // texts of the path, in its order
	Segments  []string // of the path, as expressions
	In        string   // the type of what is sent; "" when nothing is
	InQuery   bool     // in the query, not as a body
	Query     []field
	Out       string   // the type of the answer; "" when it is read as it arrives
	Item      string   // of a list that comes in pages, the type of what is in it
	Embedded  bool     // the list is a field of the answer
	Takes     []string // headers that say how the call is made
}

// field is a parameter of a query.
type field struct{ Name, Type, Parameter, Doc, Enum string }

const workspacePath = "/v1/workspaces/{workspace}"

func (d *document) method(verb, path string, o described) (m method, err error) {
	m = method{
		ID: o.ID, Name: camel(o.ID), Verb: verb, Path: path,
		InWorkspace: path == workspacePath || strings.HasPrefix(path, workspacePath+"/"),
	}
	m.segments(path)
	if err := m.parameters(o.Parameters); err != nil {
		return m, err
	}
	if _, async := o.Responses["202"]; async {
		m.Takes = append(m.Takes, "takesAsync")
	}
	slices.Sort(m.Takes)
	if o.RequestBody != nil {
		if m.In != "" {
			return m, fmt.Errorf("it has both a query and a body")
		}
		if m.In, err = d.goType(o.RequestBody.Content[jsonType].Schema); err != nil {
			return m, fmt.Errorf("its body: %w", err)
		}
	}
	if err := m.answer(d, o.Responses); err != nil {
		return m, fmt.Errorf("its answer: %w", err)
	}
	m.Comment = comment(m, o)
	return m, nil
}

func (m *method) segments(path string) {
	for segment := range strings.SplitSeq(path[1:], "/") {
		name, isParameter := strings.CutPrefix(segment, "{")
		name = strings.TrimSuffix(name, "}")
		switch {
		case !isParameter:
			m.Segments = append(m.Segments, fmt.Sprintf("%q", segment))
		case name == "workspace":
			m.Segments = append(m.Segments, "w.workspace")
		default:
			m.Segments = append(m.Segments, name)
			m.Arguments = append(m.Arguments, name)
		}
	}
}

var takes = map[string]string{
	"Idempotency-Key": "takesIdempotencyKey",
	"If-Match":        "takesIfMatch",
	"Prefer":          "takesWait",
}

func (m *method) parameters(all []parameter) error {
	for _, p := range all {
		switch {
		case p.In == "path":
		case p.In == "header" && takes[p.Name] != "":
			m.Takes = append(m.Takes, takes[p.Name])
		case p.In == "query":
			kind, err := queryType(p.Schema)
			if err != nil {
				return fmt.Errorf("parameter %s: %w", p.Name, err)
			}
			name := camel(p.Name)
			if p.Name == "q" {
				name = "Query"
			}
			m.Query = append(m.Query, field{name, kind, p.Name, p.Description, strings.Join(p.Schema.Enum, ",")})
			m.In, m.InQuery = "api."+m.Name, true
		default:
			return fmt.Errorf("the %s %s is new: say what it means here", p.In, p.Name)
		}
	}
	return nil
}

func queryType(s schema) (string, error) {
	switch {
	case s.Type == "string" && s.Format == "date-time":
		return "Time", nil
	case s.Type == "string":
		return "string", nil
	case s.Type == "boolean":
		return "bool", nil
	case s.Type == "integer":
		return "int", nil
	case s.Type == "array":
		return "[]string", nil
	}
	return "", fmt.Errorf("no type for %v", s.Type)
}

func (m *method) answer(d *document, responses map[string]content) (err error) {
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		kinds := responses[status].Content
		if status[0] != '2' || len(kinds) == 0 {
			continue
		}
		s := kinds[jsonType].Schema
		if s.Ref == "" && s.Type != "array" {
			return nil // a text, or any object: read as it arrives
		}
		if m.Out, err = d.goType(s); err != nil {
			return err
		}
		data, _ := d.Components.Schemas[s.name()].Properties["data"].(map[string]any)
		if items, isList := data["items"].(map[string]any); isList && m.isPaged() {
			ref, _ := items["$ref"].(string)
			m.Item = "api." + schema{Ref: ref}.name()
			m.Embedded = !strings.HasPrefix(m.Out, "api.List[")
		}
		return nil
	}
	return fmt.Errorf("there is no success")
}

func (m *method) isPaged() bool {
	return slices.ContainsFunc(m.Query, func(f field) bool { return f.Parameter == "cursor" })
}

func (s schema) name() string { return s.Ref[strings.LastIndex(s.Ref, "/")+1:] }

// goType returns the type of package api that a schema was made from.
func (d *document) goType(s schema) (string, error) {
	switch {
	case s.Type == "array" && s.Items != nil:
		item, err := d.goType(*s.Items)
		return "[]" + item, err
	case s.Ref == "":
		return "", fmt.Errorf("a schema without a name")
	}
	name := s.name()
	of, isList := strings.CutPrefix(name, "List")
	properties := slices.Sorted(maps.Keys(d.Components.Schemas[name].Properties))
	if isList && slices.Equal(properties, []string{"data", "has_more", "next_cursor"}) {
		return "api.List[api." + of + "]", nil
	}
	return "api." + name, nil
}
