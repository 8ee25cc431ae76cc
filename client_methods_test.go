package postern_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

// notCalled lists the operations that the client has no method for: those of
// people's browsers and of proxies, and the wire of verifiers, which is no management.
var notCalled = strings.Fields(`
	approve-device look-up-device finish-sso start-sso list-passkeys add-passkey begin-passkey
	remove-passkey rename-passkey change-password list-sessions sign-in sign-out get-current-session
	move-session end-other-sessions list-sign-in-methods step-up end-session set-up authorize`)

// own lists the methods that are no operation, or are one under another name.
var own = map[string]string{"Stream": "follow", "Do": "", "Open": "", "Workspace": "", "AwaitReceipt": ""}

func openAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// sent holds each request of a client to the document, and says which operation it
// was.
type sent struct {
	t         *testing.T
	doc       *openapi3.T
	operation string
	header    http.Header
}

func (s *sent) RoundTrip(r *http.Request) (*http.Response, error) {
	route, params := s.find(r)
	if route == nil {
		return nil, fmt.Errorf("no operation is at %s %s", r.Method, r.URL)
	}
	s.operation, s.header = route.Operation.OperationID, r.Header
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
	if err != nil {
		s.t.Errorf("%s: the request is not as documented: %v", s.operation, err)
	}
	for name := range r.URL.Query() {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			s.t.Errorf("%s has no parameter %s", s.operation, name)
		}
	}
	return answer(200, "application/json", `{}`), nil
}

func (s *sent) find(r *http.Request) (found *routers.Route, params map[string]string) {
	have := strings.Split(r.URL.EscapedPath(), "/")
	for path, item := range s.doc.Paths.Map() {
		want, in := strings.Split(path, "/"), map[string]string{}
		for i, step := range want {
			if i < len(have) && strings.HasPrefix(step, "{") {
				in[strings.Trim(step, "{}")] = have[i]
				want[i] = have[i]
			}
		}
		op := item.GetOperation(r.Method)
		if op != nil && slices.Equal(want, have) && (found == nil || len(in) < len(params)) {
			found, params = &routers.Route{Spec: s.doc, Path: path, PathItem: item, Method: r.Method, Operation: op}, in
		}
	}
	return found, params
}

// TestEveryOperationHasAMethodThatSendsWhatIsDocumented calls all methods of the
// client, once with as little as they take and once with all.
func TestEveryOperationHasAMethodThatSendsWhatIsDocumented(t *testing.T) {
	s := &sent{t: t, doc: openAPI(t)}
	c := newClient(s.RoundTrip)
	called := map[string]string{}
	for _, on := range []any{c, c.Workspace("-")} {
		for m, fn := range reflect.ValueOf(on).Methods() {
			if _, isOwn := own[m.Name]; isOwn || strings.HasPrefix(m.Name, "All") {
				continue
			}
			for _, full := range []bool{false, true} {
				s.operation = ""
				if err := callWith(t, fn, full); err != nil {
					t.Errorf("%s: %v", m.Name, err)
				}
				if want := strings.ReplaceAll(s.operation, "-", ""); !strings.EqualFold(m.Name, want) {
					t.Errorf("%s asks for %s", m.Name, s.operation)
				}
			}
			called[s.operation] = m.Name
		}
	}
	for path, item := range s.doc.Paths.Map() {
		for _, op := range item.Operations() {
			none := slices.Contains(notCalled, op.OperationID) || strings.HasPrefix(path, "/v1/replica")
			none = none || slices.Contains(slices.Collect(maps.Values(own)), op.OperationID)
			if has := called[op.OperationID] != ""; has == none {
				t.Errorf("%s has a method: %t, want %t", op.OperationID, has, !none)
			}
		}
	}
}

// callWith calls a method with arguments that are valid, and returns its error.
func callWith(t *testing.T, fn reflect.Value, full bool) error {
	t.Helper()
	in := []reflect.Value{reflect.ValueOf(t.Context())}
	for i := 1; i < fn.Type().NumIn(); i++ {
		if fn.Type().IsVariadic() && i == fn.Type().NumIn()-1 {
			break
		}
		v := reflect.New(fn.Type().In(i)).Elem()
		fill(v, full || v.Kind() == reflect.String, "")
		in = append(in, v)
	}
	err, _ := fn.Call(in)[1].Interface().(error)
	return err
}

// fill makes a value valid: all of it, or only what JSON would not leave out.
func fill(v reflect.Value, full bool, tag reflect.StructTag) {
	if m, ok := v.Addr().Interface().(json.Unmarshaler); ok && full {
		for _, text := range []string{`"2026-11-23T12:00:00Z"`, `"10m"`, `7`, `["a:read"]`} {
			if m.UnmarshalJSON([]byte(text)) == nil {
				return
			}
		}
	}
	switch v.Kind() {
	case reflect.String:
		first, _, _ := strings.Cut(tag.Get("enum"), ",")
		v.SetString(first)
		if first == "" {
			v.SetString("one/two")
		}
	case reflect.Bool:
		v.SetBool(full)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), full, tag)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), full, tag)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Struct:
		for field, f := range v.Fields() {
			json := field.Tag.Get("json")
			if full || json != "" && !strings.Contains(json, "omit") {
				fill(f, full, field.Tag)
			}
		}
	}
}

func TestListsAreReadToTheirEnd(t *testing.T) {
	var asked []string
	c := newClient(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.RawQuery)
		if r.URL.Query().Get("cursor") == "" {
			return answer(200, "application/json", `{"data":[{"id":"key_1"},{"id":"key_2"}],"has_more":true,"next_cursor":"c2"}`), nil
		}
		return answer(200, "application/json", `{"data":[{"id":"key_3"}],"has_more":false,"next_cursor":null}`), nil
	})
	all := c.Workspace("acme").AllKeys(t.Context(), api.ListKeys{State: "active", NeverUsed: true})
	for range 2 { // a sequence may be gone through again
		if got, err := ids(all); err != nil || got != "key_1 key_2 key_3" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	want := []string{"limit=200&never_used=true&state=active", "cursor=c2&limit=200&never_used=true&state=active"}
	if !slices.Equal(asked, slices.Concat(want, want)) {
		t.Errorf("asked for %q, want %q twice", asked, want)
	}
	asked = nil
	for range all {
		break
	}
	if len(asked) != 1 {
		t.Errorf("asked %d times for one item, want once", len(asked))
	}
}

func TestListThatBreaksOffEndsWithTheError(t *testing.T) {
	c := newClient(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("cursor") == "" {
			return answer(200, "application/json", `{"data":[{"id":"key_1"}],"has_more":true,"next_cursor":"c2"}`), nil
		}
		return answer(403, "application/problem+json", `{"code":"permission_denied"}`), nil
	})
	got, err := ids(c.Workspace("-").AllKeys(t.Context(), api.ListKeys{}))
	if got != "key_1" || !postern.HasCode(err, api.CodeNotFound, api.CodePermissionDenied) {
		t.Errorf("got %q, %v; want one key and permission_denied", got, err)
	}
}

func ids(keys iter.Seq2[api.Key, error]) (string, error) {
	var all []string
	for key, err := range keys {
		if err != nil {
			return strings.Join(all, " "), err
		}
		all = append(all, key.ID)
	}
	return strings.Join(all, " "), nil
}

func TestOptionsAreHeaders(t *testing.T) {
	s := &sent{t: t, doc: openAPI(t)}
	w := newClient(s.RoundTrip).Workspace("-")
	change := func(o ...postern.CallOption) error {
		_, err := w.UpdateKey(t.Context(), "key_1", api.UpdateKey{}, o...)
		return err
	}
	revoke := func(o ...postern.CallOption) error {
		_, err := w.RevokeKey(t.Context(), "key_1", api.Ending{}, o...)
		return err
	}
	for _, c := range []struct {
		call         func(...postern.CallOption) error
		options      []postern.CallOption
		header, want string
	}{
		{change, nil, "If-Match", ""},
		{change, nil, "Prefer", ""},
		{change, []postern.CallOption{postern.IfMatch(`"7"`)}, "If-Match", `"7"`},
		{revoke, []postern.CallOption{postern.IdempotencyKey("deploy-42")}, "Idempotency-Key", "deploy-42"},
		{revoke, []postern.CallOption{postern.RespondAsync()}, "Prefer", "respond-async"},
		{revoke, []postern.CallOption{postern.Wait(1500 * time.Millisecond)}, "Prefer", "wait=2"},
		{revoke, []postern.CallOption{postern.Wait(time.Second), postern.RespondAsync()}, "Prefer", "respond-async, wait=1"},
	} {
		if err := c.call(c.options...); err != nil || s.header.Get(c.header) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.header, s.header.Get(c.header), err, c.want)
		}
	}
}

func TestOptionsThatWouldDoNothingAreErrors(t *testing.T) {
	asked := false
	w := newClient(func(*http.Request) (*http.Response, error) {
		asked = true
		return answer(200, "application/json", `{}`), nil
	}).Workspace("-")
	ctx := t.Context()
	_, notHonoured := w.RevokeKey(ctx, "key_1", api.Ending{}, postern.IfMatch(`"1"`))
	_, noTag := w.UpdateKey(ctx, "key_1", api.UpdateKey{}, postern.IfMatch(""))
	_, noKey := w.RevokeKey(ctx, "key_1", api.Ending{}, postern.IdempotencyKey(""))
	_, tooShort := w.RevokeKey(ctx, "key_1", api.Ending{}, postern.Wait(time.Millisecond))
	_, tooLong := w.RevokeKey(ctx, "key_1", api.Ending{}, postern.Wait(time.Hour))
	_, neverAsync := w.CreateRole(ctx, api.CreateRole{}, postern.RespondAsync())
	for name, err := range map[string]error{
		"IfMatch on an action": notHonoured, "IfMatch of nothing": noTag, "an empty IdempotencyKey": noKey,
		"Wait of a millisecond": tooShort, "Wait of an hour": tooLong, "RespondAsync where nothing is confirmed later": neverAsync,
	} {
		if err == nil || asked {
			t.Errorf("%s: %v, asked: %t; want an error and no call", name, err, asked)
		}
	}
}

func TestPathsLeadNowhereElse(t *testing.T) {
	var path string
	c := newClient(func(r *http.Request) (*http.Response, error) {
		path = r.URL.EscapedPath()
		return answer(200, "application/json", `{}`), nil
	})
	for id, want := range map[string]string{
		"": "", ".": "", "..": "",
		"../../x": "/v1/workspaces/acme/roles/..%2F..%2Fx",
		"a b?c#d": "/v1/workspaces/acme/roles/a%20b%3Fc%23d",
	} {
		path = ""
		_, err := c.Workspace("acme").DeleteRole(t.Context(), id)
		if path != want || (err != nil) != (want == "") {
			t.Errorf("%q asked for %q, %v; want %q", id, path, err, want)
		}
	}
	if _, err := c.Workspace("..").GetSeats(t.Context()); err == nil {
		t.Error("a workspace .. was asked for")
	}
}

func TestReceiptIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		w := newClient(func(*http.Request) (*http.Response, error) {
			asked++
			return answer(200, "application/json", fmt.Sprintf(`{"id":"rcp_1","revision":9,"confirmed":%t}`, asked == 3)), nil
		}).Workspace("-")
		r, err := w.AwaitReceipt(t.Context(), api.Receipt{ID: "rcp_1"})
		if err != nil || !r.Confirmed || asked != 3 {
			t.Errorf("got %+v, %v after %d looks; want it confirmed by the third", r, err, asked)
		}
		asked = 10
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if r, err = w.AwaitReceipt(ctx, api.Receipt{ID: "rcp_1"}); !errors.Is(err, context.DeadlineExceeded) || r.Confirmed {
			t.Errorf("got %+v, %v; want an error at the deadline", r, err)
		}
	})
}

func TestExportIsReadAsItArrives(t *testing.T) {
	arrive, write := io.Pipe()
	c := newClient(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("format") != "csv" {
			t.Errorf("asked for %s", r.URL)
		}
		resp := answer(200, "text/csv", "")
		resp.Body = arrive
		return resp, nil
	})
	body, err := c.Workspace("-").ExportAuditEvents(t.Context(), api.ExportAuditEvents{Format: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	go func() {
		_, _ = write.Write([]byte("id,seq\n")) // the reader says what arrived
		write.CloseWithError(io.ErrUnexpectedEOF)
	}()
	got, err := io.ReadAll(body)
	if string(got) != "id,seq\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v; want the first line and that it was broken off", got, err)
	}
}

func TestObserverHearsHowCallsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := func() (*http.Response, error) { return nil, nil }
		c := newClient(func(*http.Request) (*http.Response, error) { time.Sleep(time.Second); return next() })
		var got postern.Observation
		c.Observe = func(_ context.Context, o postern.Observation) { got = o }
		say := func(status int, kind, body string) func() (*http.Response, error) {
			return func() (*http.Response, error) { return answer(status, kind, body), nil }
		}
		verify := func() { _, _ = c.Verify(t.Context(), api.Verify{Key: testKey}) }
		pause := func() { _, _ = c.Workspace("acme").PauseKey(t.Context(), "key_1", api.Ending{}) }
		export := func() { _, _ = c.Workspace("acme").ExportAuditEvents(t.Context(), api.ExportAuditEvents{}) }
		do := func() { _ = c.Do(t.Context(), "PATCH", "/v1/x", nil, nil) }
		for _, e := range []struct {
			call                       func()
			answer                     func() (*http.Response, error)
			operation, workspace, code string
		}{
			{verify, say(200, "application/json", `{"code":"revoked","principal":{"workspace":{"slug":"acme"}}}`), "verify", "acme", "revoked"},
			{verify, say(503, "application/problem+json", `{"code":"stale"}`), "verify", "", "stale"},
			{verify, say(200, "text/html", `<h1>`), "verify", "", "no_answer"},
			{pause, say(200, "application/json", `{}`), "pause-key", "acme", "ok"},
			{pause, say(404, "application/problem+json", `{"code":"not_found"}`), "pause-key", "acme", "not_found"},
			{export, say(403, "application/problem+json", `{"code":"permission_denied"}`), "export-audit-events", "acme", "permission_denied"},
			{do, say(502, "text/html", `<h1>`), "PATCH", "", "no_answer"},
		} {
			start := time.Now()
			next, got = e.answer, postern.Observation{}
			e.call()
			want := postern.Observation{Operation: e.operation, Workspace: e.workspace, Code: e.code, Start: start, Took: time.Second}
			if got != want {
				t.Errorf("heard %+v, want %+v", got, want)
			}
		}
	})
}
