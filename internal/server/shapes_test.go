package server_test

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/routers"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// shapes are the schemas of the document, each read when the first answer of its
// sort comes. To read one takes ten times as long as to hold an answer to it.
type shapes struct {
	mu       sync.Mutex // guards what follows
	compiler *jsonschema.Compiler
	read     map[string]*jsonschema.Schema // by where it stands in the document
}

// documented are those of the kept document.
var documented = sync.OnceValues(func() (*shapes, error) {
	text, err := os.ReadFile(golden)
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	s := &shapes{compiler: jsonschema.NewCompiler(), read: map[string]*jsonschema.Schema{}}
	s.compiler.DefaultDraft(jsonschema.Draft2020) // which OpenAPI 3.1 is written in
	s.compiler.AssertFormat()
	return s, s.compiler.AddResource(documentURL, doc)
})

// documentURL is what the document is called while it is read; nobody asks there.
const documentURL = "https://postern.test/openapi.json"

// at returns the schema at a place of the document, by the names that lead to it.
func (s *shapes) at(names ...string) (*jsonschema.Schema, error) {
	pointer := ""
	for _, name := range names {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.read[pointer]; known != nil {
		return known, nil
	}
	schema, err := s.compiler.Compile(documentURL + "#" + (&url.URL{Fragment: pointer}).EscapedFragment())
	if err == nil {
		s.read[pointer] = schema
	}
	return schema, err
}

// holdBody returns an error unless an answer's body has a type that the document
// names for the operation and the status, and the shape that it has there.
func holdBody(route *routers.Route, status int, contentType string, body []byte) error {
	response := route.Operation.Responses.Status(status)
	if response == nil || len(response.Value.Content) == 0 {
		return nil
	}
	media, _, _ := strings.Cut(contentType, ";")
	if response.Value.Content[media] == nil {
		return fmt.Errorf("type %q is not documented for %s, status %d", contentType, route.Operation.OperationID, status)
	}
	if response.Value.Content[media].Schema == nil {
		return nil
	}
	all, err := documented()
	if err != nil {
		return err
	}
	schema, err := all.at("paths", route.Path, strings.ToLower(route.Method), "responses", strconv.Itoa(status), "content", media, "schema")
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}
