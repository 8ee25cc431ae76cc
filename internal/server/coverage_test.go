package server_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the OpenAPI document to "+golden)

// golden is the document as it is kept, for clients and for those who review what
// changes in it.
const golden = "../../api/openapi.json"

// document reads the kept document once for all tests.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromFile(golden)
})

// answered counts which status of which operation the tests have produced, on
// which database. It is the memory of the whole run, which its last test reads.
var answered tally

type tally struct {
	mu   sync.Mutex // guards seen
	seen map[[3]string]int
}

func (a *tally) add(database, operation string, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen = map[[3]string]int{}
	}
	a.seen[[3]string{database, operation, strconv.Itoa(status)}]++
}

func (a *tally) has(database, operation, status string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[[3]string{database, operation, status}] > 0
}

// recorder holds every answer to the document, and counts it.
type recorder struct {
	t        *testing.T
	database string
	next     http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (rec *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := rec.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(upToOneEvent(answer))
	if closeErr := answer.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if err := rec.hold(r, answer, body); err != nil {
		rec.t.Errorf("%s %s: the answer is not as documented: %.500v\n%d %.500s", r.Method, r.URL.Path, err, answer.StatusCode, body)
	}
	return answer, nil
}

// upToOneEvent returns the body of an answer, but only the first event of a stream,
// which does not end.
func upToOneEvent(answer *http.Response) io.Reader {
	if answer.Header.Get("Content-Type") == relay.ContentType {
		return io.LimitReader(answer.Body, 1) // it is binary, and has tests of its own
	}
	if answer.Header.Get("Content-Type") != "text/event-stream" || answer.Request.Method == http.MethodHead {
		return answer.Body
	}
	var event []byte
	for body := bufio.NewReader(answer.Body); ; {
		line, err := body.ReadBytes('\n')
		if event = append(event, line...); err != nil || len(line) == 1 {
			return bytes.NewReader(event)
		}
	}
}

func (rec *recorder) hold(r *http.Request, answer *http.Response, body []byte) error {
	doc, err := document()
	if err != nil {
		return err
	}
	route, params := find(doc, r)
	if route == nil {
		return nil // no operation: there is nothing at this address, or not for this method
	}
	rec.countAnswer(route, answer.StatusCode)
	if err := otherShape(answer.Header.Get("Content-Type"), body); err != nil {
		return err
	}
	if err := knownCode(route, answer.StatusCode, body); err != nil {
		return err
	}
	if r.Method != http.MethodHead && !isDownload(answer.Header) {
		if err := holdBody(route, answer.StatusCode, answer.Header.Get("Content-Type"), body); err != nil {
			return err
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 answer.StatusCode, Header: answer.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: true},
	})
}

func (rec *recorder) countAnswer(route *routers.Route, status int) {
	answered.add(rec.database, route.Operation.OperationID, status)
}

// isDownload reports whether a body is not JSON: what the document says of it is
// that it is text.
func isDownload(h http.Header) bool {
	return !strings.Contains(h.Get("Content-Type"), "json") || h.Get("Content-Type") == "application/jsonl"
}

// knownCode returns an error if a problem has a code that the document does not
// name for the operation and the status.
func knownCode(route *routers.Route, status int, body []byte) error {
	var p struct{ Code, Type string }
	response := route.Operation.Responses.Status(status)
	if status < http.StatusBadRequest || response == nil || json.Unmarshal(body, &p) != nil || p.Type == "" {
		return nil
	}
	if !strings.Contains(*response.Value.Description, "`"+p.Code+"`") {
		return fmt.Errorf("code %q is not documented for %s, status %d", p.Code, route.Operation.OperationID, status)
	}
	return nil
}

// find returns the operation that a request is for.
func find(doc *openapi3.T, r *http.Request) (*routers.Route, map[string]string) {
	var best *routers.Route
	var found map[string]string
	for path, item := range doc.Paths.Map() {
		params, ok := match(path, r.URL.EscapedPath())
		op := item.GetOperation(r.Method)
		if !ok || op == nil || best != nil && len(params) >= len(found) {
			continue // fewer parameters are more exact, as in ServeMux
		}
		best = &routers.Route{Spec: doc, Path: path, PathItem: item, Method: r.Method, Operation: op}
		found = params
	}
	return best, found
}

func match(pattern, path string) (map[string]string, bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	params := map[string]string{}
	for i, step := range want {
		if name, isParam := strings.CutPrefix(step, "{"); isParam && have[i] != "" {
			params[strings.TrimSuffix(name, "}")] = have[i]
		} else if step != have[i] {
			return nil, false
		}
	}
	return params, true
}

// operations returns every operation of the document that the server answers, in the
// order of their ids. What has another server is another listener's: package gateway
// holds its answers to the document.
func operations(t *testing.T) []operation {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var ops []operation
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Servers != nil {
				continue
			}
			ops = append(ops, operation{op, method, path})
		}
	}
	slices.SortFunc(ops, func(a, b operation) int { return cmp.Compare(a.OperationID, b.OperationID) })
	return ops
}

// operation is an operation of the document.
type operation struct {
	*openapi3.Operation
	method, path string
}

// documents reports whether the operation can answer a status.
func (op operation) documents(status int) bool { return op.Responses.Status(status) != nil }

// permission returns the permission that the operation needs, or nothing.
func (op operation) permission() string {
	p, _ := op.Extensions["x-postern-permission"].(string)
	return p
}

// needsKey reports whether the operation needs a credential.
func (op operation) needsKey() bool { return op.Security != nil && len(*op.Security) > 0 }

// missing returns every documented status that no test has produced.
func (a *tally) missing(t *testing.T) []string {
	var out []string
	for database := range storetest.Databases() {
		for _, op := range operations(t) {
			for status := range op.Responses.Map() {
				if !a.has(database, op.OperationID, status) {
					out = append(out, fmt.Sprintf("%s: %s never answered %s", database, op.OperationID, status))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestGoldenDocumentIsTheOneThatIsKept(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	have, err := w.server.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, have, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("the document differs from %s; look at what changed after go test ./internal/server -run %s -update", golden, t.Name())
	}
	if served := w.do(t, get("/v1/openapi.json", "")).want(http.StatusOK, nil); !bytes.Equal(served.body, want) {
		t.Error("what is served is not what is kept")
	}
}

func TestDocumentIsValidOpenAPI(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Error(err)
	}
}

// Every object is closed, but for the maps, so that an answer with a member more
// than the document says fails the tests.
func TestEveryObjectOfTheDocumentIsClosed(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range doc.Components.Schemas {
		closed := s.Value.AdditionalProperties.Has != nil && !*s.Value.AdditionalProperties.Has
		if s.Value.Type.Is("object") && !closed {
			t.Errorf("%s takes any member", name)
		}
	}
}
