package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	"github.com/oasdiff/yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// traefik is what Traefik's dynamic configuration says, as far as the recipe uses it.
type traefik struct {
	HTTP struct {
		Routers map[string]struct {
			Rule        string
			Middlewares []string
		}
		Middlewares map[string]struct {
			ForwardAuth *struct {
				Address                  string
				TrustForwardHeader       bool
				AuthRequestHeaders       []string
				AuthResponseHeadersRegex string
			}
			Headers *struct{ CustomRequestHeaders map[string]string }
		}
	}
}

// pass does with a request what the documentation of Traefik says of its middlewares
// (https://doc.traefik.io/traefik/middlewares/http/forwardauth/), and returns what
// the client hears, or what the service does when it is 200.
func (x *traefik) pass(w *world, router, uri string, header http.Header) (int, http.Header) {
	w.t.Helper()
	header = header.Clone()
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Host", "X-Real-Ip"} {
		header.Del(name) // forwardedHeaders.insecure is false
	}
	for _, name := range x.HTTP.Routers[router].Middlewares {
		m, ok := x.HTTP.Middlewares[name]
		if !ok {
			w.t.Fatalf("there is no middleware %s", name)
		}
		if m.Headers != nil {
			for name, value := range m.Headers.CustomRequestHeaders {
				header.Del(name)
				if value != "" {
					header.Set(name, value)
				}
			}
		}
		if auth := m.ForwardAuth; auth != nil {
			address, ok := strings.CutPrefix(auth.Address, "http://127.0.0.1:7071")
			if !ok || auth.TrustForwardHeader {
				w.t.Fatalf("%s asks at %s, trusting %v", name, auth.Address, auth.TrustForwardHeader)
			}
			asked := []string{"X-Forwarded-For", local.String(), "X-Forwarded-Uri", uri, "X-Forwarded-Method", "GET", "X-Forwarded-Host", "app.example"}
			for name, values := range header {
				for _, value := range values {
					if slices.Contains(auth.AuthRequestHeaders, name) {
						asked = append(asked, name, value)
					}
				}
			}
			resp := w.ask(http.MethodGet, address, asked...)
			if resp.StatusCode < 200 || resp.StatusCode > 299 {
				return resp.StatusCode, resp.Header
			}
			ours := regexp.MustCompile(auth.AuthResponseHeadersRegex)
			for name := range header {
				if ours.MatchString(name) {
					delete(header, name)
				}
			}
			for name, values := range resp.Header {
				if ours.MatchString(name) {
					header[name] = values
				}
			}
		}
	}
	return http.StatusOK, header
}

func TestTraefikByItsRecipe(t *testing.T) {
	w := newWorld(t)
	var dynamic traefik
	if _, err := toml.DecodeFile(filepath.Join(recipes, "traefik/postern.toml"), &dynamic); err != nil {
		t.Fatal(err)
	}
	var static struct {
		EntryPoints map[string]struct {
			ForwardedHeaders struct {
				Insecure   bool
				TrustedIPs []string
			}
		}
	}
	if _, err := toml.DecodeFile(filepath.Join(recipes, "traefik/traefik.toml"), &static); err != nil {
		t.Fatal(err)
	}
	if web, ok := static.EntryPoints["web"]; !ok || web.ForwardedHeaders.Insecure || len(web.ForwardedHeaders.TrustedIPs) > 0 {
		t.Errorf("the entry point is %+v, want one that trusts nobody", web)
	}
	for name, router := range dynamic.HTTP.Routers {
		if len(router.Middlewares) == 0 {
			t.Errorf("router %s has no middleware, want one that asks or strips", name)
		}
	}
	b := w.bot("tickets:read")
	lies := http.Header{"Authorization": {"Bearer " + b.key.Value}, "X_postern_role": {"lie"}, "X-Postern-Admin": {"lie"}, "X-Forwarded-For": {"198.51.100.1"}}
	for _, name := range []string{"Principal", "Principal-Name", "Type", "Workspace", "Key", "Role"} {
		lies["X-Postern-"+name] = []string{"lie", "lie"}
	}
	status, heard := dynamic.pass(w, "tickets", "/tickets?permission=none", lies)
	if status != http.StatusOK || heard.Get("X-Postern-Principal") != b.account.ID || strings.Contains(fmt.Sprint(heard), "lie") || strings.Contains(fmt.Sprint(heard), b.key.Value) {
		t.Errorf("the service hears %d %v, want %s and neither a lie nor the key", status, heard, b.account.ID)
	}
	if status, heard := dynamic.pass(w, "for-everybody", "/healthz", http.Header{"X-Postern-Role": {"lie"}}); status != http.StatusOK || len(heard) != 0 {
		t.Errorf("a place for everybody: the service hears %d %v, want nothing", status, heard)
	}
	if status, _ := dynamic.pass(w, "rest", "/reports", lies); status != http.StatusForbidden {
		t.Errorf("another place: got %d, want 403", status)
	}
	b.revoke()
	if status, header := dynamic.pass(w, "tickets", "/tickets", lies); status != http.StatusUnauthorized || header.Get("Cache-Control") != "no-store" {
		t.Errorf("a revoked key: got %d %v, want 401 and no-store", status, header)
	}
}

// node is a part of Envoy's configuration.
type node map[string]any

func (n node) in(path string) any {
	var v any = map[string]any(n)
	for name := range strings.FieldsSeq(path) {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			v = at[0].(map[string]any)[name]
		}
	}
	return v
}

// typed reads a part of Envoy's configuration as the message that it is: a field
// that Envoy does not know, or of another type, is an error.
func typed(t *testing.T, part any, into proto.Message) {
	t.Helper()
	fields, ok := part.(map[string]any)
	if !ok {
		t.Fatalf("there is no such part: %v", part)
	}
	delete(fields, "@type")
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestEnvoyByItsRecipe(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile(filepath.Join(recipes, "envoy/envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err = yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var all node
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	manager := node(all.in("static_resources listeners filter_chains filters typed_config").(map[string]any))
	for path, want := range map[string]any{
		"use_remote_address": true, "normalize_path": true, "merge_slashes": true, "path_with_escaped_slashes_action": "REJECT_REQUEST",
		"common_http_protocol_options headers_with_underscores_action": "REJECT_REQUEST",
	} {
		if got := manager.in(path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	var filter extauthzv3.ExtAuthz
	typed(t, manager.in("http_filters typed_config"), &filter)
	if filter.GetFailureModeAllow() || filter.GetTransportApiVersion() != corev3.ApiVersion_V3 || filter.GetGrpcService().GetEnvoyGrpc().GetClusterName() != "postern" {
		t.Errorf("the filter is %v, want one that asks postern and fails closed", &filter)
	}
	b := w.bot("tickets:read")
	envoy := w.envoy()
	want := map[string]int32{"/tickets": 0, "/": 403}
	for _, route := range manager.in("route_config virtual_hosts routes").([]any) {
		r := node(route.(map[string]any))
		var per extauthzv3.ExtAuthzPerRoute
		typed(t, r.in("typed_per_filter_config envoy.filters.http.ext_authz"), &per)
		prefix, ok := r.in("match prefix").(string)
		if !ok {
			if !per.GetDisabled() || r.in("match path") != "/healthz" {
				t.Errorf("a route that is no prefix is %v", route)
			}
			continue
		}
		resp := w.check(envoy, checkOf(per.GetCheckSettings().GetContextExtensions(), "Authorization", "Bearer "+b.key.Value))
		if got := int32(resp.GetDeniedResponse().GetStatus().GetCode()); got != want[prefix] || got == 0 && resp.GetOkResponse() == nil {
			t.Errorf("%s: got %v, want %d", prefix, resp, want[prefix])
		}
		delete(want, prefix)
	}
	if len(want) > 0 {
		t.Errorf("there is no route for %v", want)
	}
}
