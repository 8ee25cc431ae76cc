package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/gateway/gatewaytest"
)

const recipes = "../../deploy/gateways"

// patience is how long a program may take to start, or to answer.
const patience = 30 * time.Second

// service is what proxies stand in front of: it knows nothing of Postern, and keeps
// what reached it.
type service struct {
	address string
	reached atomic.Int64
}

// heard is what a service heard of a request.
type heard struct {
	URI     string
	Path    string
	Header  http.Header
	Trailer http.Header
	Body    string
}

func newService(t *testing.T) *service {
	t.Helper()
	s := new(service)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.reached.Add(1)
		body, _ := io.ReadAll(r.Body) // the client may be gone
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(heard{r.RequestURI, r.URL.Path, r.Header, r.Trailer, string(body)})
	}))
	t.Cleanup(server.Close)
	s.address = server.Listener.Addr().String()
	return s
}

// proxy is a program that runs by its recipe, with other ports.
type proxy struct {
	name    string
	address string
	service *service
	output  *logbook
}

// run starts a proxy in front of a service, and waits until it listens.
func (w *world) run(t *testing.T, p gatewaytest.Program, s *service) *proxy {
	t.Helper()
	for range 5 { // the port may be taken by somebody else meanwhile
		x := &proxy{name: p.Name, address: freeAddress(t), service: s, output: new(logbook)}
		cmd, err := p.Command(recipes, t.TempDir(), gatewaytest.Places{Listen: x.address, Service: s.address, Gateway: w.socket})
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = x.output, x.output
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }() // that it ended is all there is to know
		t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
		if x.listens(ended) {
			return x
		}
		t.Logf("%s did not start on %s: %s", p.Name, x.address, x.output.text())
	}
	t.Fatalf("%s does not start", p.Name)
	return nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// listens waits until the proxy listens, or has ended.
func (p *proxy) listens(ended <-chan struct{}) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		if conn, err := net.Dial("tcp", p.address); err == nil {
			conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-end:
			return false
		case <-tick.C:
		}
	}
}

// said is how a proxy answered.
type said struct {
	status  int
	header  http.Header
	body    string
	reached bool  // the service
	service heard // what it heard, if it was reached
}

// raw sends a request as it is written, without a blank line at its end, and reads
// the answer. A connection that ends without one is status 0.
func (p *proxy) raw(t *testing.T, lines ...string) said {
	t.Helper()
	before := p.service.reached.Load()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(lines[0], " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return said{reached: p.service.reached.Load() > before}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s, %q: %v", p.name, lines[0], err)
	}
	s := said{status: resp.StatusCode, header: resp.Header, body: string(body), reached: p.service.reached.Load() > before}
	if s.reached && resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&s.service); err != nil {
			t.Fatalf("%s, %q: %v in %s", p.name, lines[0], err, body)
		}
	}
	return s
}

// get asks for a target with headers, each a line.
func (p *proxy) get(t *testing.T, target string, headers ...string) said {
	t.Helper()
	return p.raw(t, append([]string{"GET " + target + " HTTP/1.1", "Host: app.example", "Connection: close"}, headers...)...)
}

// TestProxiesByTheirRecipes runs each proxy that Debian has, by the recipe that we
// ship, in front of a service that knows nothing of Postern.
func TestProxiesByTheirRecipes(t *testing.T) {
	w := newWorld(t)
	programs := gatewaytest.Programs()
	proxies := make([]*proxy, len(programs))
	for i, p := range programs {
		proxies[i] = w.run(t, p, newService(t))
	}
	promises := []struct {
		name string
		hold func(t *testing.T, w *world, p *proxy)
	}{
		{"ServiceHearsWhoIsCalling", serviceHearsWhoIsCalling},
		{"RefusalNeverReachesTheService", refusalNeverReachesTheService},
		{"RevokedIsRefusedOnceTheCallReturned", revokedIsRefused},
		{"NobodySaysWhoTheyAre", nobodySaysWhoTheyAre},
		{"NothingIsTakenOutByConnection", nothingIsTakenOut},
		{"EveryAddressIsReadInOneWay", everyAddressIsReadInOneWay},
		{"OnlyThePeerCounts", onlyThePeerCounts},
		{"BodiesAndLargeHeaders", bodiesAndLargeHeaders},
		{"UnsureIsClosed", nil}, // the last: it breaks the gateway for all
	}
	for _, promise := range promises[:len(promises)-1] {
		for _, p := range proxies {
			t.Run(promise.name+"/"+p.name, func(t *testing.T) { promise.hold(t, w, p) })
		}
	}
	unsureIsClosed(t, w, proxies)
}

func bearerLine(b *bot) string { return "Authorization: Bearer " + b.key.Value }

func serviceHearsWhoIsCalling(t *testing.T, w *world, p *proxy) {
	b := w.bot("tickets:read")
	for _, credential := range []string{bearerLine(b), "X-API-Key: " + b.key.Value} {
		got := p.get(t, "/tickets/7?q=1", credential, "User-Agent: curl/8")
		if got.status != http.StatusOK || got.service.URI != "/tickets/7?q=1" {
			t.Fatalf("got %d %s %s, want the service's answer", got.status, got.body, p.output.text())
		}
		for name, want := range map[string]string{
			"X-Postern-Principal": b.account.ID, "X-Postern-Principal-Name": b.account.Name, "X-Postern-Type": "service_account",
			"X-Postern-Workspace": whose(t, w), "X-Postern-Key": b.key.ID, "X-Postern-Role": b.account.Role.Name,
		} {
			if is := got.service.Header.Values(name); len(is) != 1 || is[0] != want {
				t.Errorf("the service hears %s %q, want %s", name, is, want)
			}
		}
		if all := fmt.Sprint(got.service.Header); strings.Contains(all, b.key.Value) {
			t.Errorf("the service sees the key: %s", all)
		}
	}
	if u := w.uses.take(); len(u) == 0 || u[len(u)-1].UserAgent != "curl/8" || u[len(u)-1].IP.String() != "127.0.0.1" {
		t.Errorf("uses are %+v, want one of curl/8 from 127.0.0.1", u)
	}
	if got := p.get(t, "/healthz"); got.status != http.StatusOK {
		t.Errorf("a place for everybody: got %d, want 200", got.status)
	}
}

func refusalNeverReachesTheService(t *testing.T, w *world, p *proxy) {
	b := w.bot("tickets:read")
	for name, tt := range map[string]struct {
		target  string
		headers []string
		status  int
	}{
		"no key":          {"/tickets", nil, 401},
		"no such key":     {"/tickets", []string{"Authorization: Bearer pst_sa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"}, 401},
		"two credentials": {"/tickets", []string{bearerLine(b), "X-API-Key: " + b.key.Value}, 401},
		"a key twice":     {"/tickets", []string{"X-API-Key: " + b.key.Value, "X-API-Key: " + b.key.Value}, 401},
		"another place":   {"/reports", []string{bearerLine(b)}, 403},
		"a query of ours": {"/reports?permission=none&workspace=any", []string{bearerLine(b)}, 403},
		"a probe":         {"/tickets", []string{"User-Agent: kube-probe/1.30"}, 401},
		"claims": {"/reports", []string{bearerLine(b), "X-Forwarded-Uri: /healthz", "X-Original-URL: /healthz", "X-Rewrite-URL: /healthz",
			"X-Original-URI: /tickets", "X-HTTP-Method-Override: OPTIONS", "X-Forwarded-Method: OPTIONS"}, 403},
	} {
		got := p.get(t, tt.target, tt.headers...)
		challenge := map[int]string{401: `Bearer error="invalid_token"`, 403: `Bearer error="insufficient_scope"`}[tt.status]
		if got.reached || got.status != tt.status || got.header.Get("Www-Authenticate") != challenge {
			t.Errorf("%s: got %d %v, reached %v; want %d %s", name, got.status, got.header, got.reached, tt.status, challenge)
		}
		if strings.Contains(fmt.Sprint(got.header), "Postern-") {
			t.Errorf("%s: whoever is refused sees %v", name, got.header)
		}
	}
	if got := p.get(t, "/tickets", bearerLine(b), bearerLine(b)); got.reached || got.status != 401 && got.status != 400 { // nginx says 400 by itself
		t.Errorf("one header twice: got %d, reached %v, want 401", got.status, got.reached)
	}
}

func revokedIsRefused(t *testing.T, w *world, p *proxy) {
	b := w.bot("tickets:read")
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	ask := func(headers string) int {
		t.Helper()
		if _, err := fmt.Fprintf(conn, "GET /tickets HTTP/1.1\r\nHost: app.example\r\n%s\r\n", headers); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	with := bearerLine(b) + "\r\n"
	turn := func(action string) { w.do(http.MethodPost, system+"/keys/"+b.key.ID+action, struct{}{}, nil) }
	for i, step := range []struct {
		action, headers string
		want            int
	}{{"", with, 200}, {"/pause", with, 401}, {"/resume", with, 200}, {"", with, 200}, {"/revoke", with, 401}, {"", with, 401}} {
		if step.action != "" {
			turn(step.action)
		}
		if got := ask(step.headers); got != step.want {
			t.Errorf("step %d, %s: got %d, want %d", i, step.action, got, step.want)
		}
	}
}

func nobodySaysWhoTheyAre(t *testing.T, w *world, p *proxy) {
	b := w.bot("tickets:read")
	lies := []string{"X-Postern-Admin: lie"}
	for _, name := range []string{"Principal", "Principal-Name", "Type", "Workspace", "Key", "Role"} {
		for _, spelt := range []string{
			"X-Postern-" + name, "x-postern-" + strings.ToLower(name), "X-POSTERN-" + strings.ToUpper(name),
			"X_Postern_" + strings.ReplaceAll(name, "-", "_"), "X-Postern_" + name, "X.Postern." + name, "X-Postern-" + name,
		} {
			lies = append(lies, spelt+": lie")
		}
	}
	chunked := []string{"Transfer-Encoding: chunked", "Trailer: X-Postern-Principal, X-Postern-Role", "", "2", "hi", "0", "X-Postern-Principal: lie", "X-Postern-Role: lie"}
	known := map[string]bool{"X-Postern-Principal": true, "X-Postern-Principal-Name": true, "X-Postern-Type": true, "X-Postern-Workspace": true, "X-Postern-Key": true, "X-Postern-Role": true}
	for target, headers := range map[string][]string{"/tickets": append(lies, bearerLine(b)), "/healthz": lies} {
		for _, body := range [][]string{nil, chunked} {
			method := "GET "
			if body != nil {
				method = "POST "
			}
			got := p.raw(t, append(append([]string{method + target + " HTTP/1.1", "Host: app.example", "Connection: close"}, headers...), body...)...)
			if got.status != http.StatusOK && got.reached {
				t.Errorf("%s: got %d, and the service was reached", target, got.status)
			}
			for name, values := range got.service.Header {
				if strings.Contains(strings.ToLower(name), "postern") && (known[name] || p.name != "nginx") && strings.Contains(fmt.Sprint(values), "lie") {
					t.Errorf("%s%s: the service hears %s: %q", method, target, name, values)
				}
			}
			if len(got.service.Trailer) > 0 && strings.Contains(fmt.Sprint(got.service.Trailer), "lie") {
				t.Errorf("%s%s: the service hears the trailers %v", method, target, got.service.Trailer)
			}
		}
	}
	if got := p.get(t, "/tickets", "X-Postern-Principal : lie", bearerLine(b)); strings.Contains(fmt.Sprint(got.service.Header), "lie") {
		t.Errorf("a space behind the name: the service hears %v", got.service.Header)
	}
}

func nothingIsTakenOut(t *testing.T, w *world, p *proxy) {
	b := w.bot("tickets:read")
	for _, nominated := range []string{
		"X-Postern-Principal", "x-postern-principal, X-Postern-Role", "close, X-Postern-Key", "X-Forwarded-For", "Authorization", "X-Postern-Principal\r\nConnection: close",
	} {
		got := p.raw(t, "GET /tickets HTTP/1.1", "Host: app.example", bearerLine(b), "X-Postern-Principal: lie", "Connection: "+nominated)
		if !got.reached {
			if got.status < 400 || got.status > 499 {
				t.Errorf("Connection: %s: got %d, want a refusal", nominated, got.status)
			}
			continue
		}
		if is := got.service.Header.Values("X-Postern-Principal"); len(is) != 1 || is[0] != b.account.ID {
			t.Errorf("Connection: %s: the service hears %q, want %s", nominated, is, b.account.ID)
		}
	}
	if u := w.uses.take(); len(u) > 0 && u[0].IP.String() != "127.0.0.1" {
		t.Errorf("Postern was told of the address %s, want 127.0.0.1", u[0].IP)
	}
}

func onlyThePeerCounts(t *testing.T, w *world, p *proxy) {
	near, far := w.bot("tickets:read"), w.bot("tickets:read")
	w.do(http.MethodPatch, system+"/keys/"+near.key.ID, map[string]any{"allowed_networks": []string{"127.0.0.0/8"}}, nil)
	w.do(http.MethodPatch, system+"/keys/"+far.key.ID, map[string]any{"allowed_networks": []string{"203.0.113.0/24"}}, nil)
	claims := []string{
		"X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 203.0.113.9, 203.0.113.9", "X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9",
		"True-Client-IP: 203.0.113.9", "CF-Connecting-IP: 203.0.113.9", "X_Forwarded_For: 203.0.113.9", "X-Client-IP: 203.0.113.9",
	}
	for _, tt := range []struct {
		b    *bot
		want int
	}{{near, 200}, {far, 401}} {
		if got := p.get(t, "/tickets", append(claims, bearerLine(tt.b))...); got.status != tt.want {
			t.Errorf("got %d, want %d: the client is at 127.0.0.1, whatever it says", got.status, tt.want)
		}
	}
}

func bodiesAndLargeHeaders(t *testing.T, w *world, p *proxy) {
	b := w.bot("tickets:read")
	body := strings.Repeat("0123456789abcdef", 4096)
	got := p.raw(t, "POST /tickets HTTP/1.1", "Host: app.example", "Connection: close", bearerLine(b), fmt.Sprintf("Content-Length: %d", len(body)+4), "", body)
	if got.status != http.StatusOK || got.service.Body != body+"\r\n\r\n" {
		t.Errorf("a body: got %d, and the service heard %d bytes of %d", got.status, len(got.service.Body), len(body)+4)
	}
	if got := p.get(t, "/tickets", "X-Large: "+strings.Repeat("x", 6<<10), bearerLine(b)); got.status != http.StatusOK {
		t.Errorf("6 KiB of a header: got %d, want 200", got.status)
	}
	for _, size := range []int{12 << 10, 40 << 10} {
		if got := p.get(t, "/tickets", "X-Large: "+strings.Repeat("x", size)); got.reached || got.status == http.StatusOK {
			t.Errorf("%d KiB of a header without a key: got %d, reached %v", size>>10, got.status, got.reached)
		}
	}
}

// unsureIsClosed takes away what Postern knows, and then Postern.
func unsureIsClosed(t *testing.T, w *world, proxies []*proxy) {
	b := w.bot("tickets:read")
	each := func(what string, want ...int) {
		var asking sync.WaitGroup
		defer asking.Wait()
		for _, p := range proxies {
			asking.Go(func() {
				got := p.get(t, "/tickets", bearerLine(b))
				fits := false
				for _, status := range want {
					fits = fits || got.status == status
				}
				if !fits || got.reached != (got.status == http.StatusOK) {
					t.Errorf("%s, %s: got %d, reached %v, want %v", what, p.name, got.status, got.reached, want)
				}
				if got := p.get(t, "/healthz"); got.status != http.StatusOK {
					t.Errorf("%s, %s: a place for everybody: got %d, want 200", what, p.name, got.status)
				}
			})
		}
	}
	each("before", http.StatusOK)
	w.door.Fail(io.ErrUnexpectedEOF)
	each("Postern cannot know", http.StatusServiceUnavailable)
	if err := os.Remove(w.socket); err != nil {
		t.Fatal(err)
	}
	if err := w.served.Close(); err != nil {
		t.Fatal(err)
	}
	each("Postern is gone", http.StatusServiceUnavailable, http.StatusBadGateway)
}
