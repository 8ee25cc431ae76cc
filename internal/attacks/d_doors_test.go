package attacks_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// doorAttacks are about what stands between a caller and a decision: caches,
// proxies, headers and paths.
var doorAttacks = map[string]func(*testing.T, *world){
	"D01": questionsThatLookAlike,
	"D02": aWarmAnswer,
	"D03": anotherResource,
	"D04": pathsThatProxiesReadDifferently,
	"D05": whatTheClientSaysWasAskedFor,
	"D06": headersThatSayWhoIsCalling,
	"D07": headersThatConnectionTakesOut,
	"D08": probesThatNeedNoKey,
	"D09": addressesThatTheClientClaims,
	"D10": settingsThatMakeNoSense,
}

// proxied asks the gateway as a proxy does, with the query of its configuration.
func (w *world) proxied(key, query string, headers ...string) answer {
	w.t.Helper()
	return w.proxiedAt(http.MethodGet, "/v1/authorize?"+query, key, headers...)
}

func (w *world) proxiedAt(method, target, key string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.gate, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.URL.Opaque = target // it is sent as it stands
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return w.send(req)
}

// questionsThatLookAlike asks, at once and in any order, questions whose parts are
// the same letters when they are put together: nothing may be answered with what
// was found for another.
func questionsThatLookAlike(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "reader", "permissions": []string{"reports/a:read", "ab:read", "a/b:read"}})
	key := w.keyOf("-", b.owner, w.account("-", b.owner, "bot", "reader"))
	other := w.keyOf("-", b.owner, w.account("-", b.owner, "other", "viewer"))
	type question struct{ key, query string }
	var all []question
	for _, permission := range []string{"reports/a:read", "reports/a%3Aread", "ab:read", "a/b:read", "abr:ead", "none", "none%00", "", "ab:read%26workspace=any"} {
		for _, workspace := range []string{"acme", "acm", "any", "", "acme%26permission=none", "%61cme"} {
			for _, key := range []string{key, other, ""} {
				all = append(all, question{key, "permission=" + permission + "&workspace=" + workspace})
			}
		}
	}
	alike := len(all) // from here on, questions that differ by how they are escaped
	for _, query := range []string{"permission=none&workspace=acme", "permission=none%26workspace=acme", "permission=none%26workspace%3Dacme", "permission=n%6Fne&workspace=acme"} {
		all = append(all, question{key, query})
	}
	want := map[question]int{}
	for i, q := range all {
		if i%3 == 0 || i >= alike {
			w.openGateway(w.replica) // one that remembers nothing of another query
		}
		want[q] = w.proxied(q.key, q.query).status
	}
	seen := map[int]int{}
	for _, status := range want {
		seen[status]++
	}
	if seen[200] == 0 || seen[401] == 0 || seen[403] == 0 || seen[500] == 0 {
		t.Fatalf("the questions have the answers %v, want some of each", seen)
	}
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			for _, i := range rand.Perm(len(all)) {
				if got := w.proxied(all[i].key, all[i].query).status; got != want[all[i]] {
					t.Errorf("%s: got %d after others, %d alone", all[i].query, got, want[all[i]])
				}
			}
		})
	}
	asking.Wait()
}

func aWarmAnswer(t *testing.T, w *world) {
	b := w.newTenant("acme")
	key := w.newKey("-", b.owner, w.account("-", b.owner, "bot", "viewer"), body{"allowed_networks": []string{"203.0.113.0/24"}})
	value, near := key.str("value"), []string{"X-Forwarded-For", "203.0.113.9"}
	ask := func(want int, query string, headers ...string) {
		t.Helper()
		for range 2 {
			w.wants(w.proxied(value, query, headers...), want, "")
		}
	}
	ask(200, "permission=none&workspace=acme", near...)
	ask(403, "permission=tickets:delete&workspace=acme", near...)
	ask(401, "permission=none", near...)
	ask(401, "permission=none&workspace=acme")
	ask(401, "permission=none&workspace=acme", "X-Forwarded-For", "198.51.100.9")
	ask(200, "permission=tickets:read&workspace=acme", near...)
	w.must("PATCH", in("-", "keys/"+key.str("id")), b.owner, body{"limit": []string{"reports:read"}})
	ask(403, "permission=tickets:read&workspace=acme", near...)
	w.must("POST", in("-", "keys/"+key.str("id")+"/revoke"), b.owner, nil)
	ask(401, "permission=none&workspace=acme", near...)
}

func anotherResource(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "one", "permissions": []string{"reports/1:read"}})
	key := w.keyOf("-", b.owner, w.account("-", b.owner, "bot", "one"))
	for range 3 {
		for permission, want := range map[string]int{
			"reports/1:read": 200, "reports/2:read": 403, "reports/1:update": 403, "reports/11:read": 403, "reports:read": 403, "report/1:read": 403, "reports/01:read": 403,
		} {
			w.wants(w.proxied(key, "workspace=acme&permission="+permission), want, "")
			verdict := w.must("POST", "/v1/verify", w.prober, body{"key": key, "workspace": "acme", "permissions": []string{permission}})
			if verdict.at("valid") != (want == 200) {
				t.Errorf("%s: verify says %s, want %v", permission, verdict.text, want == 200)
			}
		}
	}
}

// spellings are of /v1/authorize and of a place for everybody, as proxies and
// services were found to read them differently.
var spellings = []string{
	"/v1/authorize/", "//v1/authorize", "/v1//authorize", "/./v1/authorize", "/x/../v1/authorize", "/v1/authorize/.", "/v1/%61uthorize", "/v1%2fauthorize", "/v1/authorize%2f",
	"/v1/authorize;x", "/v1/authorize%3f", "/v1/authorize%23", "/v1/authorize%00", "/V1/authorize", "/v1/Authorize", "/v1/authorize%20", `/v1\authorize`, "/v1/%c0%aeauthorize", "/healthz", "/readyz", "/", "/v1/verify", "/metrics",
}

func pathsThatProxiesReadDifferently(t *testing.T, w *world) {
	key := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "viewer"))
	for _, path := range spellings {
		a := w.proxiedAt(http.MethodGet, path+"?permission=none", key)
		if a.status != http.StatusNotFound && a.status != http.StatusBadRequest || len(a.header["X-Postern-Principal"]) > 0 {
			t.Errorf("%s: the gateway says %d", path, a.status)
		}
	}
	for _, path := range []string{"/v1/authorize", "/v1/authorize?permission=none"} {
		w.wants(w.call("GET", path, w.owner, nil), http.StatusNotFound, "not_found") // it is on a listener of its own
	}
	for _, path := range append(spellings, "/tickets/..%2fadmin", "/tickets/..;/admin", "http://evil/admin", "*", "/admin#/healthz", "/healthz?/admin") {
		for _, name := range []string{"X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url", "X-Rewrite-Url", "X-Envoy-Original-Path", "X-Forwarded-Path", "X-Forwarded-Prefix"} {
			w.wants(w.proxied(key, "permission=tickets:delete", name, path), http.StatusForbidden, "permission_denied")
			w.wants(w.proxied("", "permission=none", name, path), http.StatusUnauthorized, "unauthenticated")
		}
	}
}

func whatTheClientSaysWasAskedFor(t *testing.T, w *world) {
	key := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "viewer"))
	for _, claim := range [][2]string{
		{"X-Forwarded-Uri", "/healthz"}, {"X-Forwarded-Method", "OPTIONS"}, {"X-Forwarded-Host", "public.example"}, {"X-Forwarded-Proto", "https"}, {"X-Original-Method", "OPTIONS"},
		{"X-Http-Method-Override", "OPTIONS"}, {"X-Http-Method", "HEAD"}, {"Forwarded", "for=127.0.0.1;host=public.example"}, {"X-Postern-Permission", "none"}, {"Permission", "none"}, {"Referer", "/v1/authorize?permission=none"},
	} {
		w.wants(w.proxied(key, "permission=tickets:delete", claim[0], claim[1]), http.StatusForbidden, "")
		w.wants(w.call("GET", "/v1/whoami", "", nil, claim[0], claim[1]), http.StatusUnauthorized, "")
	}
	for _, query := range []string{
		"permission=tickets:delete&permission=none", "permission=none&permission=tickets:delete", "permission=tickets:delete&next=/healthz", "permission=tickets:delete#&permission=none",
		"permission=tickets:delete;permission=none", "permission=tickets:delete%00", "PERMISSION=none", "permission[]=none", "permission", "",
		"permission=none&next=/healthz", "permission=none&Permission=tickets:delete", "permission=none&permission[]=tickets:delete",
		"permission=none&next=/;x", "permission=none&%zz",
	} {
		a := w.proxied(key, query)
		if a.status == http.StatusOK {
			t.Errorf("%s: the gateway lets the request through", query)
		}
	}
	for _, method := range []string{"OPTIONS", "HEAD", "TRACE", "CONNECT-X", "PROPFIND"} {
		w.wants(w.proxiedAt(method, "/v1/authorize?permission=tickets:delete", key), http.StatusForbidden, "")
	}
}

func headersThatSayWhoIsCalling(t *testing.T, w *world) {
	id := w.account("-", w.owner, "bot", "viewer")
	key := w.keyOf("-", w.owner, id)
	var lies []string
	for _, name := range []string{"X-Postern-Principal", "x-postern-principal", "X_Postern_Principal", "X-Postern-Principal-Name", "X-Postern-Role", "X-POSTERN-ROLE", "X.Postern.Role", "X-Postern-Workspace", "X-Postern-Type", "X-Postern-Key"} {
		lies = append(lies, name, "lie")
	}
	told := w.proxied(key, "permission=none", lies...)
	w.wants(told, http.StatusOK, "")
	for name, values := range told.header {
		if strings.Contains(strings.ToLower(name), "postern") && len(values) != 1 || strings.Contains(fmt.Sprint(values), "lie") {
			t.Errorf("the gateway tells %s: %q", name, values)
		}
	}
	if got := told.header.Get("X-Postern-Principal"); got != id {
		t.Errorf("the gateway says that %q is calling, want %s", got, id)
	}
	for _, query := range []string{"permission=tickets:delete", "permission=none&workspace=nowhere", ""} {
		if refused := w.proxied(key, query, lies...); strings.Contains(fmt.Sprint(refused.header), "X-Postern") {
			t.Errorf("a refusal has %v", refused.header)
		}
	}
	if a := w.call("GET", "/v1/whoami", key, nil, lies...); a.str("principal.id") != id {
		t.Errorf("the API takes a caller for %s", a.str("principal.id"))
	}
	w.wants(w.call("GET", "/v1/whoami", "", nil, "X-Postern-Principal", id), http.StatusUnauthorized, "")
}

func headersThatConnectionTakesOut(t *testing.T, w *world) {
	id := w.account("-", w.owner, "bot", "viewer")
	key := w.keyOf("-", w.owner, id, body{"allowed_networks": []string{"203.0.113.0/24"}})
	for _, nominated := range []string{"X-Postern-Principal", "x-postern-principal, close", "X-Forwarded-For", "Authorization, keep-alive", "TE, Authorization"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.gate, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /v1/authorize?permission=none HTTP/1.1\r\nHost: x\r\nConnection: %s\r\nAuthorization: Bearer %s\r\nX-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n\r\n", nominated, key); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("X-Postern-Principal"); resp.StatusCode != http.StatusOK || got != id {
			t.Errorf("Connection: %s: got %d and %q, want 200 and %s", nominated, resp.StatusCode, got, id)
		}
	}
}

func probesThatNeedNoKey(t *testing.T, w *world) {
	for _, agent := range []string{"kube-probe/1.30", "ELB-HealthChecker/2.0", "GoogleHC/1.0", "Consul Health Check", "Prometheus/2.50", "Envoy/HC", "Amazon-Route53-Health-Check-Service"} {
		for _, path := range []string{"/v1/whoami", "/v1/workspaces", "/metrics", in("-", "keys"), in("-", "audit_events")} {
			w.wants(w.call("GET", path, "", nil, "User-Agent", agent), http.StatusUnauthorized, "unauthenticated")
		}
		w.wants(w.call("GET", "/healthz", "", nil, "User-Agent", agent), http.StatusOK, "")
		w.wants(w.proxied("", "permission=none", "User-Agent", agent), http.StatusUnauthorized, "")
		for _, path := range []string{"/healthz", "/ping", "/ready", "/", "/robots.txt"} {
			w.wants(w.proxiedAt(http.MethodGet, path, "", "User-Agent", agent), http.StatusNotFound, "")
		}
	}
}

func addressesThatTheClientClaims(t *testing.T, w *world) {
	near := w.keyOf("-", w.owner, w.account("-", w.owner, "near", "admin"), body{"allowed_networks": []string{"127.0.0.0/8"}})
	far := w.keyOf("-", w.owner, w.account("-", w.owner, "far", "admin"), body{"allowed_networks": []string{"203.0.113.0/24"}})
	var claims []string
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Fastly-Client-Ip"} {
		claims = append(claims, name, "203.0.113.9")
	}
	claims = append(claims, "Forwarded", "for=203.0.113.9")
	w.wants(w.call("GET", "/v1/whoami", near, nil, claims...), http.StatusOK, "")
	w.wants(w.call("GET", "/v1/whoami", far, nil, claims...), http.StatusUnauthorized, "")
	w.must("POST", in("-", "roles"), near, body{"name": "made-from-here", "permissions": []string{"tickets:read"}}, claims...)
	for _, event := range w.must("GET", in("-", "audit_events?action=role.created"), w.owner, nil).items() {
		if got := event.str("source.ip"); got != "127.0.0.1" {
			t.Errorf("the audit log says that %s called, want 127.0.0.1", got)
		}
	}
	// At the gateway the last element counts, which the proxy sets.
	for forwarded, want := range map[string]int{"203.0.113.9": 200, "198.51.100.1, 203.0.113.9": 200, "203.0.113.9, 198.51.100.1": 401, "": 401, "203.0.113.9, unknown": 401} {
		w.wants(w.proxied(far, "permission=none", "X-Forwarded-For", forwarded, "X-Real-Ip", "203.0.113.9", "Forwarded", "for=203.0.113.9"), want, "")
	}
}

func settingsThatMakeNoSense(t *testing.T, w *world) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "short.secret": "abc", "cert.pem": "no certificate", "bad.toml": "listen = ", "unknown.toml": "gatway.listen = \"x\"", "loose.sock": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"--tls-cert missing.pem --tls-key missing.pem", "--tls-cert cert.pem --tls-key cert.pem", "--secret-file empty", "--config unknown.toml", "--config missing.toml",
		"--gateway-listen 0.0.0.0:0", "--gateway-listen unix:loose.sock", "--gateway-workspace acme", "--listen 0.0.0.0:0", "--oidc-issuer http://sso.example.com",
	} {
		full := append([]string{"serve", "--listen", "127.0.0.1:0", "--store-url", "sqlite:d10.db"}, strings.Fields(args)...)
		if code, stdout, stderr := program(t, dir, "", full...); code <= 0 || strings.Contains(stderr, "answering") {
			t.Errorf("serve %s: exit %d, %s%s, want a refusal to start", args, code, stdout, stderr)
		}
	}
	bot := w.account("-", w.owner, "bot", "viewer")
	for _, wrong := range []body{{"allowed_networks": []string{}}, {"allowed_networks": []string{"0.0.0.0/33"}}, {"allowed_networks": []string{"localhost"}}, {"limit": []string{}}, {"limit": []string{"everything"}}, {"limit": []string{"iam.everything:read"}}} {
		wrong["name"] = "wrong"
		if a := w.call("POST", in("-", "service_accounts/"+bot+"/keys"), w.owner, wrong); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d %s, want 422", wrong, a.status, a.text)
		}
	}
	key := w.keyOf("-", w.owner, bot)
	for _, query := range []string{"", "permission=", "permission=everything", "permission=iam", "permission=none&workspace=nowhere", "workspace=any", "permission=tickets:read,none"} {
		w.wants(w.proxied(key, query), http.StatusInternalServerError, "internal")
	}
}
