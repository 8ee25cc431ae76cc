package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/gateway"
	"github.com/posternhq/postern/internal/replica"
)

func TestTheUpstreamIsToldWhoIsCalling(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions, "PURGE"} {
		resp := w.ask(method, needsRead, bearer(b.key.Value)...)
		want := map[string]string{
			"X-Postern-Principal": b.account.ID, "X-Postern-Principal-Name": b.account.Name, "X-Postern-Type": "service_account",
			"X-Postern-Workspace": whose(t, w), "X-Postern-Key": b.key.ID, "X-Postern-Role": b.account.Role.Name,
			"Cache-Control": "no-store", "Content-Length": "0",
		}
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d, want 200", method, resp.StatusCode)
		}
		for name, value := range want {
			if got := resp.Header.Values(name); len(got) != 1 || got[0] != value {
				t.Errorf("%s: %s is %q, want %q", method, name, got, value)
			}
		}
	}
	if resp := w.ask(http.MethodGet, needsRead, "X-Api-Key", b.key.Value); resp.StatusCode != http.StatusOK {
		t.Errorf("a key in X-API-Key: got %d, want 200", resp.StatusCode)
	}
}

// whose returns the id of the workspace of the world's client.
func whose(t *testing.T, w *world) string {
	t.Helper()
	var me api.Whoami
	w.do(http.MethodGet, "/v1/whoami", nil, &me)
	return me.Principal.Workspace.ID
}

func TestARefusalSays401Or403AndNoMore(t *testing.T) {
	w := newWorld(t)
	good, revoked, paused, elsewhere := w.bot("tickets:read"), w.bot("tickets:read"), w.bot("tickets:read"), w.bot("tickets:read")
	revoked.revoke()
	w.do(http.MethodPost, system+"/service_accounts/"+paused.account.ID+"/pause", api.Reason{}, nil)
	w.do(http.MethodPatch, system+"/keys/"+elsewhere.key.ID, map[string]any{"allowed_networks": []string{"198.51.100.0/24"}}, nil)
	_, other := w.tenant("acme")
	foreign := w.botIn(other, "tickets:read")
	unknown := "pst_sa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"
	for name, tt := range map[string]struct {
		address string
		headers []string
		status  int
	}{
		"no credential":           {needsRead, nil, 401},
		"no key":                  {needsRead, bearer("hello"), 401},
		"another scheme":          {needsRead, []string{"Authorization", "Basic " + good.key.Value}, 401},
		"an unknown key":          {needsRead, bearer(unknown), 401},
		"a revoked key":           {needsRead, bearer(revoked.key.Value), 401},
		"a paused account":        {needsRead, bearer(paused.key.Value), 401},
		"from nowhere known":      {needsRead, bearer(elsewhere.key.Value), 401},
		"of another workspace":    {needsRead, bearer(foreign.key.Value), 401},
		"may not":                 {gateway.Path + "?permission=tickets:delete", bearer(good.key.Value), 403},
		"revoked, and may not":    {gateway.Path + "?permission=tickets:delete", bearer(revoked.key.Value), 401},
		"two headers":             {needsRead, append(bearer(good.key.Value), "X-Api-Key", good.key.Value), 401},
		"one header twice":        {needsRead, append(bearer(good.key.Value), bearer(good.key.Value)...), 401},
		"X-API-Key twice":         {needsRead, []string{"X-Api-Key", good.key.Value, "X-Api-Key", good.key.Value}, 401},
		"two keys in a header":    {needsRead, bearer(good.key.Value + ", " + good.key.Value), 401},
		"two keys in X-API-Key":   {needsRead, []string{"X-Api-Key", good.key.Value + "," + good.key.Value}, 401},
		"Basic beside X-API-Key":  {needsRead, []string{"Authorization", "Basic abc", "X-Api-Key", good.key.Value}, 401},
		"a key that goes on":      {needsRead, bearer(good.key.Value + "x"), 401},
		"a key in other capitals": {needsRead, bearer(strings.ToUpper(good.key.Value)), 401},
		"a key in a cookie":       {needsRead, []string{"Cookie", "postern_session=" + good.key.Value}, 401},
		"a key in the address":    {needsRead + "&access_token=" + good.key.Value, nil, 500},
	} {
		resp := w.ask(http.MethodGet, tt.address, tt.headers...)
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		challenge := map[int]string{401: `Bearer error="invalid_token"`, 403: `Bearer error="insufficient_scope"`}[tt.status]
		if resp.StatusCode != tt.status || resp.Header.Get("Www-Authenticate") != challenge || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %v, want %d %s and no-store", name, resp.StatusCode, resp.Header, tt.status, challenge)
		}
		var p api.Problem
		if err := json.Unmarshal(body, &p); err != nil || p.Status != tt.status || p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-Id") {
			t.Errorf("%s: got %s, %v; want a problem with the request's id", name, body, err)
		}
		if tt.status != 500 && p.Detail != "" {
			t.Errorf("%s: the holder hears %q, want nothing", name, p.Detail)
		}
		for header := range resp.Header {
			if strings.HasPrefix(header, "X-Postern") {
				t.Errorf("%s: a refusal has the header %s", name, header)
			}
		}
		if bytes := w.log.text() + string(body) + fmt.Sprint(resp.Header); strings.Contains(bytes, good.key.Value) {
			t.Errorf("%s: the key is told", name)
		}
	}
}

// What is asked is in the proxy's own configuration. What a client says of itself
// is passed over, and what could be read in two ways is refused.
func TestOnlyTheProxysConfigurationSaysWhatIsAsked(t *testing.T) {
	w := newWorld(t)
	_, other := w.tenant("acme")
	b, foreign := w.bot("tickets:read", "reports/7:read"), w.botIn(other, "tickets:read")
	for address, want := range map[string]int{
		"?permission=tickets:read":                      200,
		"?permission=tickets%3Aread":                    200,
		"?permission=reports/7:read":                    200,
		"?permission=reports/8:read":                    403,
		"?permission=none":                              200,
		"?permission=tickets:read&workspace=operations": 200,
		"?permission=tickets:read&workspace=any":        200,
		"?permission=tickets:read&workspace=acme":       401,
		"":                 500,
		"?":                500,
		"?permission=":     500,
		"?permission=read": 500,
		"?permission=None": 500,
		"?Permission=none": 500,
		"?permission=tickets:delete&permission=none":      500,
		"?permission=none&permission=none":                500,
		"?permission=tickets:read;permission=none":        500,
		"?permission=tickets:read&workspace=nowhere":      500,
		"?permission=tickets:read&workspace=a&workspace=": 500,
		"?permission=none&next=/":                         500,
		"?permission=%zz":                                 500,
	} {
		if got := w.ask(http.MethodGet, gateway.Path+address, bearer(b.key.Value)...).StatusCode; got != want {
			t.Errorf("%s: got %d, want %d", address, got, want)
		}
	}
	for address, want := range map[string]int{"?permission=none&workspace=acme": 200, "?permission=none&workspace=any": 200, "?permission=none": 401} {
		if got := w.ask(http.MethodGet, gateway.Path+address, bearer(foreign.key.Value)...).StatusCode; got != want {
			t.Errorf("a key of another workspace, %s: got %d, want %d", address, got, want)
		}
	}
	for _, path := range []string{"/", "/v1/authorize/", "//v1/authorize", "/v1/./authorize", "/v1/%61uthorize", "/v1/authorize;x", "/v1/verify", "/v1/whoami", "/metrics", "/healthz", "/debug/pprof/"} {
		if got := w.ask(http.MethodGet, path+"?permission=none", bearer(b.key.Value)...).StatusCode; got != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404: nothing else is served", path, got)
		}
	}
	if !strings.Contains(w.log.text(), "the proxy's configuration") {
		t.Errorf("the log does not say that a proxy is set up wrong: %s", w.log.text())
	}
	claims := []string{
		"X-Forwarded-Uri", "/?permission=none", "X-Original-Uri", "/v1/authorize?permission=none", "X-Original-Url", "/healthz",
		"X-Rewrite-Url", "/healthz", "X-Forwarded-Method", "OPTIONS", "X-Http-Method-Override", "OPTIONS", "X-Forwarded-Path", "/healthz",
		"X-Postern-Permission", "none", "X-Postern-Role", "owner", "X-Postern-Workspace", "any", "Forwarded", "for=127.0.0.1",
	}
	if got := w.ask(http.MethodGet, gateway.Path+"?permission=tickets:delete", append(claims, bearer(b.key.Value)...)...).StatusCode; got != http.StatusForbidden {
		t.Errorf("what a client claims: got %d, want 403", got)
	}
}

func TestTheAddressIsTheLastOneThatTheProxyAdded(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	w.do(http.MethodPatch, system+"/keys/"+b.key.ID, map[string]any{"allowed_networks": []string{"192.0.2.0/24", "2001:db8::/32"}}, nil)
	for _, tt := range []struct {
		forwarded []string
		want      int
	}{
		{nil, 401},
		{[]string{"192.0.2.7"}, 200},
		{[]string{"198.51.100.1, 192.0.2.7"}, 200},
		{[]string{"198.51.100.1", "192.0.2.7"}, 200},
		{[]string{"::ffff:192.0.2.7"}, 200},
		{[]string{"2001:db8::1%eth0"}, 200},
		{[]string{"192.0.2.7, 198.51.100.1"}, 401},
		{[]string{"192.0.2.7", "198.51.100.1"}, 401},
		{[]string{"192.0.2.7,"}, 401},
		{[]string{"192.0.2.7", ""}, 401},
		{[]string{"unix:"}, 401},
		{[]string{"192.0.2.7:80"}, 401},
	} {
		headers := bearer(b.key.Value)
		for _, value := range tt.forwarded {
			headers = append(headers, "X-Forwarded-For", value)
		}
		for _, lie := range []string{"X-Real-Ip", "Forwarded", "True-Client-Ip", "X-Client-Ip"} {
			headers = append(headers, lie, "192.0.2.7")
		}
		if got := w.ask(http.MethodGet, needsRead, headers...).StatusCode; got != tt.want {
			t.Errorf("X-Forwarded-For %q: got %d, want %d", tt.forwarded, got, tt.want)
		}
	}
}

func TestUsesAreCountedAsThoseOfVerify(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	from := []string{"X-Forwarded-For", local.String(), "User-Agent", "curl " + b.key.Value}
	w.ask(http.MethodGet, needsRead, append(from, bearer(b.key.Value)...)...)
	w.ask(http.MethodGet, gateway.Path+"?permission=tickets:delete", append(from, bearer(b.key.Value)...)...)
	w.ask(http.MethodGet, needsRead, from...)
	got := w.uses.take()
	if len(got) != 2 {
		t.Fatalf("%d uses were counted, want 2: %+v", len(got), got)
	}
	for i, want := range []struct {
		ok    bool
		asked string
	}{{true, "tickets:read"}, {false, "tickets:delete"}} {
		u := got[i]
		if u.OK != want.ok || !slices.Equal(u.Asked, []string{want.asked}) || u.IP != local || string(u.Principal) != b.account.ID || !u.Gateway {
			t.Errorf("got %+v, want one of %s with %v and %s", u, b.account.ID, want.ok, want.asked)
		}
		if strings.Contains(u.UserAgent, b.key.Value) || !strings.HasPrefix(u.UserAgent, "curl ") {
			t.Errorf("the use has the user agent %q", u.UserAgent)
		}
	}
}

// revokedBetween revokes a key once it has been decided on, before the answer is let
// out, and waits until the revocation has returned.
func revokedBetween(w *world, b *bot) (revoked chan struct{}) {
	revoked = make(chan struct{})
	do := func() { b.revoke(); close(revoked) }
	w.door.between.Store(&do)
	return revoked
}

func TestAKeyThatIsRevokedWhileItsAnswerIsMadeIsRefused(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	revoked := revokedBetween(w, b)
	resp := w.ask(http.MethodGet, needsRead, bearer(b.key.Value)...)
	select {
	case <-revoked:
	default:
		t.Fatal("nothing was revoked meanwhile")
	}
	if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("X-Postern-Principal") != "" {
		t.Errorf("got %d %v, want 401: the revocation had returned", resp.StatusCode, resp.Header)
	}
	if got := w.uses.take(); len(got) != 1 || got[0].OK {
		t.Errorf("uses are %+v, want one that was refused", got)
	}
}

func TestANodeThatCannotKnowSaysStale(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	w.door.Fail(io.ErrUnexpectedEOF)
	resp := w.ask(http.MethodGet, needsRead, bearer(b.key.Value)...)
	body, _ := io.ReadAll(resp.Body)
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 503 || p.Code != api.CodeStale || p.Valid == nil || *p.Valid || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v %s, want 503 stale with valid false, Retry-After and no-store", resp.StatusCode, resp.Header, body)
	}
	if got := w.uses.take(); got != nil {
		t.Errorf("uses are %+v, want none", got)
	}
}

// The document describes every answer: its status, its headers, all of them and no
// more, and its body.
func TestAnswersAreAsTheDocumentSays(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	documented := doc.Paths.Value(gateway.Path).Get.Responses
	w := newWorld(t)
	b := w.bot("tickets:read")
	answers := map[int]*http.Response{
		200: w.ask(http.MethodGet, needsRead, bearer(b.key.Value)...),
		401: w.ask(http.MethodGet, needsRead),
		403: w.ask(http.MethodGet, gateway.Path+"?permission=tickets:write", bearer(b.key.Value)...),
		500: w.ask(http.MethodGet, gateway.Path, bearer(b.key.Value)...),
	}
	w.door.Fail(io.ErrUnexpectedEOF)
	answers[503] = w.ask(http.MethodGet, needsRead, bearer(b.key.Value)...)
	if len(answers) != documented.Len() {
		t.Errorf("%d answers are documented, want %d", documented.Len(), len(answers))
	}
	ofHTTP := []string{"Date", "Content-Length", "Content-Type", "Connection"}
	for status, resp := range answers {
		says := documented.Status(status)
		if resp.StatusCode != status || says == nil {
			t.Errorf("got %d, want %d, which is documented: %t", resp.StatusCode, status, says != nil)
			continue
		}
		want := ofHTTP
		for name := range says.Value.Headers {
			want = append(want[:len(want):len(want)], http.CanonicalHeaderKey(name))
			if resp.Header.Get(name) == "" {
				t.Errorf("%d: %s is documented, and not there", status, name)
			}
		}
		for name := range resp.Header {
			if !slices.Contains(want, name) {
				t.Errorf("%d: %s is there, and not documented", status, name)
			}
		}
		body, _ := io.ReadAll(resp.Body)
		var p api.Problem
		if status != 200 && (json.Unmarshal(body, &p) != nil || says.Value.Content[resp.Header.Get("Content-Type")] == nil || !strings.Contains(*says.Value.Description, "`"+p.Code+"`")) {
			t.Errorf("%d: %s of type %s is not documented", status, body, resp.Header.Get("Content-Type"))
		}
	}
}

func TestTheReasonIsToldWhereTheWorkspaceSaysSo(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	b.revoke()
	w.do(http.MethodPatch, system, map[string]any{"policy": map[string]any{"reveal_refusal_reason": true}}, nil)
	resp := w.ask(http.MethodGet, needsRead, bearer(b.key.Value)...)
	if got, want := resp.Header.Get("Www-Authenticate"), `Bearer error="invalid_token", error_description="revoked"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A proxy that passes on how long a body is and not the body must not be waited for.
func TestABodyIsNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	conn, err := w.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begun := replicaNow(w)
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: Bearer %s\r\n\r\n", needsRead, b.key.Value); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("got %d, closing %v, want 200 and the connection closed", resp.StatusCode, resp.Close)
	}
	if replicaNow(w) != begun {
		t.Error("asking changed something")
	}
}

func replicaNow(w *world) int64 { var v replica.View = w.door.View(); return v.Seq() }
