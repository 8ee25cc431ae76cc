package gateway_test

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/posternhq/postern/internal/gateway"
)

// envoy is a client of the gateway as Envoy is one.
func (w *world) envoy() authv3.AuthorizationClient {
	w.t.Helper()
	conn, err := grpc.NewClient("unix:"+w.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return authv3.NewAuthorizationClient(conn)
}

// checkOf is what Envoy asks about a request with headers, names and values in turn.
func checkOf(extensions map[string]string, headers ...string) *authv3.CheckRequest {
	all := map[string]string{":method": "GET", ":path": "/tickets", ":authority": "app.example"}
	for i := 0; i < len(headers); i += 2 {
		name := strings.ToLower(headers[i])
		if had, ok := all[name]; ok {
			all[name] = had + "," + headers[i+1]
			continue
		}
		all[name] = headers[i+1]
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: local.String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}},
		}}},
		Request:           &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/tickets", Headers: all}},
		ContextExtensions: extensions,
	}}
}

func (w *world) check(c authv3.AuthorizationClient, req *authv3.CheckRequest) *authv3.CheckResponse {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	resp, err := c.Check(ctx, req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

var reads = map[string]string{"permission": "tickets:read"}

func TestEnvoyIsToldWhoIsCalling(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	resp := w.check(w.envoy(), checkOf(reads, "Authorization", "Bearer "+b.key.Value,
		"X-Postern-Role", "owner", "X_Postern_Role", "owner", "X.Postern-Role", "owner", "x-postern-admin", "yes", "x-poster", "kept"))
	ok := resp.GetOkResponse()
	if ok == nil || codes.Code(resp.GetStatus().GetCode()) != codes.OK {
		t.Fatalf("got %v, want OK", resp)
	}
	want := map[string]string{
		"x-postern-principal": b.account.ID, "x-postern-principal-name": b.account.Name, "x-postern-type": "service_account",
		"x-postern-workspace": whose(t, w), "x-postern-key": b.key.ID, "x-postern-role": b.account.Role.Name,
	}
	got := map[string]string{}
	for _, h := range ok.GetHeaders() {
		if h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("%s is added to what the client sent", h.GetHeader().GetKey())
		}
		got[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	removed := slices.Sorted(slices.Values(ok.GetHeadersToRemove()))
	if want := []string{"authorization", "x-api-key", "x-postern-admin", "x.postern-role", "x_postern_role"}; !slices.Equal(removed, want) {
		t.Errorf("removed are %q, want %q", removed, want)
	}
	if u := w.uses.take(); len(u) != 1 || !u[0].OK || !u[0].Gateway || u[0].IP != local || !slices.Equal(u[0].Asked, []string{"tickets:read"}) {
		t.Errorf("uses are %+v, want one", u)
	}
}

func TestEnvoyHearsWhatOtherProxiesHear(t *testing.T) {
	w := newWorld(t)
	b, revoked, bound := w.bot("tickets:read"), w.bot("tickets:read"), w.bot("tickets:read")
	revoked.revoke()
	w.do(http.MethodPatch, system+"/keys/"+bound.key.ID, map[string]any{"allowed_networks": []string{"198.51.100.0/24"}}, nil)
	envoy := w.envoy()
	for name, tt := range map[string]struct {
		extensions map[string]string
		headers    []string
		status     int
		code       codes.Code
	}{
		"no credential":        {reads, nil, 401, codes.Unauthenticated},
		"a revoked key":        {reads, bearer(revoked.key.Value), 401, codes.Unauthenticated},
		"two credentials":      {reads, append(bearer(b.key.Value), "X-Api-Key", b.key.Value), 401, codes.Unauthenticated},
		"one header twice":     {reads, append(bearer(b.key.Value), bearer(b.key.Value)...), 401, codes.Unauthenticated},
		"from elsewhere":       {reads, append(bearer(bound.key.Value), "X-Forwarded-For", "198.51.100.1"), 401, codes.Unauthenticated},
		"may not":              {map[string]string{"permission": "tickets:delete"}, bearer(b.key.Value), 403, codes.PermissionDenied},
		"nothing asked":        {nil, bearer(b.key.Value), 500, codes.Internal},
		"something else asked": {map[string]string{"permission": "none", "tenant": "x"}, bearer(b.key.Value), 500, codes.Internal},
		"no permission":        {map[string]string{"permission": "everything"}, bearer(b.key.Value), 500, codes.Internal},
		"an unknown workspace": {map[string]string{"permission": "none", "workspace": "x"}, bearer(b.key.Value), 500, codes.Internal},
		"claims":               {map[string]string{"permission": "tickets:delete"}, append(bearer(b.key.Value), "X-Forwarded-Uri", "/?permission=none"), 403, codes.PermissionDenied},
	} {
		resp := w.check(envoy, checkOf(tt.extensions, tt.headers...))
		denied := resp.GetDeniedResponse()
		if codes.Code(resp.GetStatus().GetCode()) != tt.code || int(denied.GetStatus().GetCode()) != tt.status {
			t.Errorf("%s: got %v, want %d and %v", name, resp, tt.status, tt.code)
			continue
		}
		headers := map[string]string{}
		for _, h := range denied.GetHeaders() {
			headers[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
		}
		challenge := map[int]string{401: `Bearer error="invalid_token"`, 403: `Bearer error="insufficient_scope"`}[tt.status]
		if headers["cache-control"] != "no-store" || headers["www-authenticate"] != challenge || strings.Contains(resp.String(), "x-postern") {
			t.Errorf("%s: got headers %v, want no-store, %q and nobody", name, headers, challenge)
		}
	}
	w.door.Fail(io.ErrUnexpectedEOF)
	if resp := w.check(envoy, checkOf(reads, bearer(b.key.Value)...)); resp.GetDeniedResponse().GetStatus().GetCode() != 503 {
		t.Errorf("a node that cannot know: got %v, want 503", resp)
	}
}

func TestAKeyThatIsRevokedWhileEnvoysAnswerIsMadeIsRefused(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	revoked := revokedBetween(w, b)
	resp := w.check(w.envoy(), checkOf(reads, bearer(b.key.Value)...))
	select {
	case <-revoked:
	default:
		t.Fatal("nothing was revoked meanwhile")
	}
	if resp.GetDeniedResponse().GetStatus().GetCode() != 401 {
		t.Errorf("got %v, want 401: the revocation had returned", resp)
	}
}

// One listener speaks both: HTTP/1.1, and HTTP/2 to those who begin with it.
func TestOneListenerSpeaksBothAndEnds(t *testing.T) {
	w := newWorld(t)
	b := w.bot("tickets:read")
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := w.serve(w.options, tcp)
	conn, err := grpc.NewClient(tcp.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if resp := w.check(authv3.NewAuthorizationClient(conn), checkOf(reads, bearer(b.key.Value)...)); resp.GetOkResponse() == nil {
		t.Errorf("over gRPC: got %v, want OK", resp)
	}
	var none authv3.CheckResponse
	err = conn.Invoke(t.Context(), "/envoy.service.auth.v3.Authorization/Other", checkOf(reads), &none)
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("another method: got %v, want Unimplemented", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tcp.Addr().String()+needsRead, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.key.Value)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("over HTTP: got %d, want 200", resp.StatusCode)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("shut down: %v", err)
	}
	if _, err := net.Dial("tcp", tcp.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

func TestAGatewayNeedsADoorAndAPrefix(t *testing.T) {
	if _, err := gateway.New(gateway.Options{}); err == nil {
		t.Error("got a gateway that has no door")
	}
}
