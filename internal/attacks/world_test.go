package attacks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/gateway"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/session"
	"github.com/posternhq/postern/internal/session/providertest"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		runProgram()
		return
	}
	// Some of what is tried here waits: for a lease to end, or for a limit to pass.
	if err := flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0)+2)); err != nil {
		panic(err)
	}
	storetest.Main(m)
}

// world is a deployment of one node, put together as the program does it, with a
// clock that can be moved and everything that it says kept.
type world struct {
	t       *testing.T
	url     string // of the store
	clock   *clock
	said    *buffer // the log, at its most talkative
	kept    *store.Store
	store   *faulty      // the same, with its faults
	queries atomic.Int64 // that the store was asked, the replica's own among them
	replica *replica.Replica
	service *iam.Service
	http    *httptest.Server
	gate    string // where proxies ask, such as http://127.0.0.1:4711
	owner   string // the value of a key of the system workspace's owner
	prober  string // the value of a key that verifies keys of any workspace
	values  *canaries

	provider *providertest.Provider // of single sign-on; nil: there is none
	patient  bool                   // a node that is stale for a moment, on a busy machine, is asked again
}

// often lifts the limits on how often anybody may call, so that what an attack
// meets is the guard that it is about.
var often = server.Rate{Burst: 1 << 20, Window: time.Minute}

// origin is where browsers find the deployment.
const origin = "http://localhost"

var rootSecret = bytes.Repeat([]byte("root secret of the tests. "), 2)

// newWorld makes an initialised deployment on an empty store.
func newWorld(t *testing.T, url string) *world {
	t.Helper()
	w := openWorld(t, url)
	w.initialize()
	w.start()
	w.prober = w.keyOf("-", w.owner, w.account("-", w.owner, "prober", "verifier"))
	return w
}

// openWorld opens a store, and no more.
func openWorld(t *testing.T, url string) *world {
	t.Helper()
	w := &world{t: t, url: url, clock: new(clock), said: new(buffer), values: new(canaries)}
	var err error
	if w.kept, err = store.Open(t.Context(), url, store.Options{Now: w.clock.now, Observe: func(string, time.Duration, error) { w.queries.Add(1) }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.kept.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = &faulty{Store: w.kept, err: errDatabase}
	return w
}

func (w *world) initialize() {
	w.t.Helper()
	setup := &iam.Service{Store: w.kept, Fence: iam.Nobody{}, Now: w.clock.now}
	_, secret, err := setup.Initialize(w.t.Context(), iam.Initialization{Workspace: "Operations", Email: "root@example.com", KeyName: "first"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.owner = w.values.plant(secret.Reveal())
}

// start begins to serve from the store, as a process that has just been started.
func (w *world) start() {
	w.t.Helper()
	w.replica = replica.New(replica.Options{Now: w.clock.now, Node: "node-1"})
	if err := w.replica.Load(w.t.Context(), w.store); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { _ = w.replica.Follow(ctx, w.store) }) // it ends with its context
	w.t.Cleanup(func() { stop(); following.Wait() })
	w.serve(w.replica)
}

// answerer is what a node answers from: the memory of the only one, or one of several.
type answerer interface {
	iam.Fence
	iam.Roster
	server.Door
}

// serve answers HTTP from a replica, as the only node.
func (w *world) serve(mem *replica.Replica) { w.serveAs("node-1", mem, mem) }

// serveAs answers HTTP from a replica as one of the nodes.
func (w *world) serveAs(name string, mem *replica.Replica, node answerer) {
	w.t.Helper()
	w.service = &iam.Service{Store: w.store, Fence: node, Roster: node, Now: w.clock.now}
	people := w.people(w.service)
	srv, err := server.New(server.Options{
		People: people, SSO: w.sso(people), Door: node,
		IAM: w.service, Replica: mem, Prefixes: token.Prefixes{token.DefaultPrefix}, Secret: rootSecret,
		Log: slog.New(slog.NewTextHandler(w.said, &slog.HandlerOptions{Level: slog.LevelDebug})), Node: name, Now: w.clock.now,
		Limits: server.Limits{Management: often, Acceptance: often},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.http = httptest.NewServer(srv.Handler())
	w.t.Cleanup(w.http.Close)
	w.openGateway(mem)
}

// openGateway answers proxies from a replica.
func (w *world) openGateway(mem *replica.Replica) {
	w.t.Helper()
	g, err := gateway.New(gateway.Options{Door: mem, Prefixes: token.Prefixes{token.DefaultPrefix}, Now: w.clock.now,
		Log: slog.New(slog.NewTextHandler(w.said, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	s := gateway.NewServer(g)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // it ends with the test
	w.t.Cleanup(func() { _ = s.Close(); serving.Wait() })
	w.gate = "http://" + l.Addr().String()
}

// cheap is the cost of a password's hash: none of the attacks is on that.
var cheap = session.Cost{Memory: 8, Passes: 1}

// people returns those who sign in.
func (w *world) people(service *iam.Service) *session.People {
	w.t.Helper()
	people, err := session.New(session.Options{IAM: service, Secret: rootSecret, Now: w.clock.now, URL: func() string { return origin }, Cost: cheap})
	if err != nil {
		w.t.Fatal(err)
	}
	return people
}

// sso returns single sign-on with the world's provider, if it has one.
func (w *world) sso(people *session.People) server.SSO {
	w.t.Helper()
	if w.provider == nil {
		return nil
	}
	s, err := session.NewSSO(people, session.SSOOptions{
		Issuer: w.provider.Issuer, ClientID: providertest.ClientID, Secret: token.NewSecret(providertest.Secret), Name: "SSO",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// clock is the time of day, moved or stopped by a test.
type clock struct {
	ahead atomic.Int64 // of the real one, in nanoseconds
	fixed atomic.Int64 // microseconds since 1970; 0: it goes
}

func (c *clock) now() time.Time {
	if at := c.fixed.Load(); at != 0 {
		return time.UnixMicro(at)
	}
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// stop makes the clock show one moment until it is stopped at another.
func (c *clock) stop(at time.Time) { c.fixed.Store(at.UnixMicro()) }

// buffer keeps what is written to it.
type buffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// answer is what the server said.
type answer struct {
	call   string
	status int
	header http.Header
	text   string
	body   map[string]any
}

// body is a JSON object to send.
type body map[string]any

// call sends a request and reads the whole answer. in may be nil, a string that
// is sent as it stands, or anything that JSON can say.
func (w *world) call(method, path, key string, in any, headers ...string) answer {
	w.t.Helper()
	return w.steady(func() answer {
		var content io.Reader
		switch in := in.(type) {
		case nil:
		case string:
			content = strings.NewReader(in)
		case frames:
			content, headers = strings.NewReader(""), append([]string{"Content-Type", string(in)}, headers...)
		case body:
			if in != nil {
				content = w.json(in)
			}
		default:
			content = w.json(in)
		}
		return w.request(method, path, key, content, headers)
	})
}

// steady sends a request until the node that it is sent to is not stale.
func (w *world) steady(send func() answer) answer {
	late := time.Now().Add(30 * time.Second)
	for {
		a := send()
		if !w.patient || a.str("code") != "stale" || time.Now().After(late) {
			return a
		}
	}
}

// identify adds a credential to a request: a key, or the cookie of somebody who has
// signed in.
func identify(req *http.Request, credential string) {
	switch {
	case strings.HasPrefix(credential, "sess_"):
		req.AddCookie(&http.Cookie{Name: "postern_session", Value: credential})
	case credential != "":
		req.Header.Set("Authorization", "Bearer "+credential)
	}
}

func (w *world) json(in any) io.Reader {
	w.t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	return bytes.NewReader(text)
}

func (w *world) request(method, path, key string, content io.Reader, headers []string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, content)
	if err != nil {
		w.t.Fatal(err)
	}
	if content != nil && !slices.Contains(headers, "Content-Type") {
		req.Header.Set("Content-Type", "application/json")
	}
	identify(req, key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return w.send(req)
}

// asIs is a client that follows no redirects.
var asIs = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (w *world) send(req *http.Request) answer {
	w.t.Helper()
	resp, err := asIs.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var all io.Reader = resp.Body
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		all = http.NoBody // it would not end
	}
	text, err := io.ReadAll(all)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{call: req.Method + " " + req.URL.Path, status: resp.StatusCode, header: resp.Header, text: string(text)}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if a.text != "" && (kind == "application/json" || kind == "application/problem+json") {
		if err := json.Unmarshal(text, &a.body); err != nil {
			w.t.Fatalf("%s: %v in %s", a.call, err, text)
		}
	}
	return a
}

// must sends a request that has to succeed.
func (w *world) must(method, path, key string, in any, headers ...string) answer {
	w.t.Helper()
	a := w.call(method, path, key, in, headers...)
	if a.status < 200 || a.status > 299 {
		w.t.Fatalf("%s: %d %s", a.call, a.status, a.text)
	}
	return a
}

// wants fails the test unless the answer has a status and, unless it is empty, a code.
func (w *world) wants(a answer, status int, code string) {
	w.t.Helper()
	if a.status != status || code != "" && a.str("code") != code {
		w.t.Errorf("%s: got %d %s, want %d %s", a.call, a.status, a.text, status, code)
	}
}

// at returns the value at a path of names such as "key.state".
func (a answer) at(path string) any {
	var v any = map[string]any(a.body)
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func (a answer) str(path string) string {
	s, _ := a.at(path).(string)
	return s
}

// time returns the time at a path.
func (a answer) time(t *testing.T, path string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, a.str(path))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// items are the objects of a list.
func (a answer) items() []answer {
	list, _ := a.body["data"].([]any)
	var all []answer
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			all = append(all, answer{call: a.call, body: m})
		}
	}
	return all
}

// in returns the path of something in a workspace.
func in(ws, path string) string { return "/v1/workspaces/" + ws + "/" + path }

// account makes a service account and returns its id.
func (w *world) account(ws, key, name, role string) string {
	w.t.Helper()
	return w.must("POST", in(ws, "service_accounts"), key, body{"name": name, "role": role}).str("id")
}

// keyOf makes a key for an account and returns its value.
func (w *world) keyOf(ws, key, account string, more ...body) string {
	w.t.Helper()
	return w.values.plant(w.newKey(ws, key, account, more...).str("value"))
}

var keyNumber atomic.Int64

func (w *world) newKey(ws, key, account string, more ...body) answer {
	w.t.Helper()
	in1 := body{"name": fmt.Sprintf("key-%d", keyNumber.Add(1))}
	for _, m := range more {
		for name, value := range m {
			in1[name] = value
		}
	}
	a := w.must("POST", in(ws, "service_accounts/"+account+"/keys"), key, in1)
	w.values.plant(a.str("value"))
	return a
}

// idOf returns the id of the key with a value.
func (w *world) idOf(value string) string {
	w.t.Helper()
	return w.must("GET", "/v1/keys/self", value, nil).str("id")
}

// tenant is a workspace with an owner.
type tenant struct {
	id, slug, owner string // owner is the value of their key
	ownerID         string // mem_…
}

// newTenant makes a workspace with an owner who has accepted the invitation.
func (w *world) newTenant(slug string) tenant {
	w.t.Helper()
	made := w.must("POST", "/v1/workspaces", w.owner, body{"name": slug, "slug": slug, "owner": body{"email": "owner@" + slug + ".example"}})
	value, id := w.accept(w.values.plant(made.str("invitation.token")), "Owner of "+slug)
	return tenant{id: made.str("id"), slug: slug, owner: value, ownerID: id}
}

// accept accepts an invitation and returns the value of the first key and the
// member's id.
func (w *world) accept(invitation, name string) (value, id string) {
	w.t.Helper()
	a := w.must("POST", "/v1/invitations/accept", "", body{"token": invitation, "name": name, "key": body{"name": "first"}})
	return w.values.plant(a.str("key.value")), a.str("member.id")
}

// member invites a person and accepts for them.
func (w *world) member(ws, key, email, role string) (value, id string) {
	w.t.Helper()
	a := w.must("POST", in(ws, "invitations"), key, body{"email": email, "role": role})
	return w.accept(w.values.plant(a.str("token")), strings.Split(email, "@")[0])
}

// verdict asks every door whether a key works, fails the test when they do not
// agree, and returns the code.
func (w *world) verdict(value string, permissions ...string) string {
	w.t.Helper()
	question := body{"key": value, "workspace": "any"}
	if permissions != nil {
		question["permissions"] = permissions
	}
	one := w.must("POST", "/v1/verify", w.prober, question)
	many := w.must("POST", "/v1/verify/batch", w.prober, body{"items": []body{question, question}})
	code := one.str("code")
	for _, result := range many.body["results"].([]any) {
		if got := result.(map[string]any)["code"]; got != code {
			w.t.Errorf("verify says %s, the batch says %v", code, got)
		}
	}
	if valid := one.at("valid") == true; valid != (code == "valid") {
		w.t.Errorf("verify says valid %v and code %s", valid, code)
	}
	self := w.call("GET", "/v1/whoami", value, nil)
	needs := "none"
	if permissions != nil {
		needs = permissions[0]
	}
	decisions, _ := one.at("decisions").(map[string]any)
	want := http.StatusUnauthorized
	switch {
	case code == "valid" || code == "permission_denied" && (needs == "none" || decisions[needs] == true):
		want = http.StatusOK
	case code == "permission_denied":
		want = http.StatusForbidden
	}
	if gate := w.proxied(value, "permission="+needs+"&workspace=any"); gate.status != want {
		w.t.Errorf("verify says %s, the gateway %d, want %d", code, gate.status, want)
	}
	works := code == "valid" || code == "permission_denied"
	if works != (self.status == http.StatusOK) {
		w.t.Errorf("verify says %s, whoami says %d", code, self.status)
	}
	return code
}

// refuses fails the test unless every door refuses a key, with one of the codes.
func (w *world) refuses(value string, codes ...string) {
	w.t.Helper()
	got := w.verdict(value)
	for _, code := range codes {
		if got == code {
			return
		}
	}
	w.t.Errorf("a key reads %s, want one of %v", got, codes)
}

// accepts fails the test unless every door accepts a key.
func (w *world) accepts(value string, permissions ...string) {
	w.t.Helper()
	if got := w.verdict(value, permissions...); got != "valid" {
		w.t.Errorf("a key reads %s, want valid", got)
	}
}
