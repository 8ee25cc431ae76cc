package postern_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// node is a server of the tests, which does as it is told, and speaks the protocol of
// verifiers.
type node struct {
	*httptest.Server
	hello  relay.Hello
	before func(w http.ResponseWriter, r *http.Request) bool // answers instead; nil: nothing does

	mu       sync.Mutex // guards what follows
	log      []iam.Change
	grown    chan struct{} // closed when the log has
	broken   chan struct{} // closed when connections are to break
	asked    []string      // each GET's position
	children int
	deaf     bool // nobody gets anything any more
	reports  []api.ReportReplicaUse
	goodbyes int
	gone     string        // a key that is no more
	busy     int           // how many reports are one too many
	salt     byte          // of the chain: what tells one log from another
	held     chan struct{} // what a stream waits for before its first word; nil: nothing
	stuck    bool          // a stream says no more than its first word

	kept *replica.Replica // what is poured instead of the log; nil: nothing is
}

const beatMS = 50

func newNode(t testing.TB) *node {
	n := &node{grown: make(chan struct{}), broken: make(chan struct{})}
	n.hello = relay.Hello{
		Node: "node-1", Workspace: stillWorkspace.ID, Prefixes: []string{token.DefaultPrefix}, HeartbeatMS: beatMS, Time: time.Now(),
	}
	n.write(iam.Change{
		Workspaces: []iam.WorkspaceRecord{stillWorkspace}, Roles: []iam.RoleRecord{stillRole}, Principals: []iam.PrincipalRecord{stillAccount},
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/replica", n.stream)
	mux.HandleFunc("POST /v1/replica/{child}/renew", n.renew)
	mux.HandleFunc("POST /v1/replica/{child}/usage", n.usage)
	mux.HandleFunc("DELETE /v1/replica/{child}", n.goodbye)
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.before == nil || !n.before(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() { n.breakAll(); n.Close() })
	return n
}

// write adds a change to the log.
func (n *node) write(c iam.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.Seq, c.Time, c.Reader = int64(len(n.log)+1), time.Now().UTC(), 1
	n.log = append(n.log, c)
	close(n.grown)
	n.grown = make(chan struct{})
}

// key adds a key to the log, and returns its value and its record.
func (n *node) key(t *testing.T) (string, iam.KeyRecord) {
	t.Helper()
	secret, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	rec := iam.KeyRecord{ID: iam.KeyID(iam.NewID(iam.KeyPrefix, time.Now())), Principal: stillAccount.ID, Name: "prod", Hash: secret.Hash()}
	n.write(iam.Change{Keys: []iam.KeyRecord{rec}})
	return secret.Reveal(), rec
}

// breakAll breaks all connections.
func (n *node) breakAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.broken)
	n.broken = make(chan struct{})
}

func (n *node) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

// at returns the place after so many changes. n.mu is held.
func (n *node) at(seq int) iam.Position {
	at := iam.Position{Seq: int64(seq), Chain: iam.Chain{byte(seq), n.salt}}
	if seq > 0 {
		at.Time = n.log[seq-1].Time
	}
	return at
}

func (n *node) enter(from string) (h relay.Hello, resumed int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, from)
	n.children++
	h = n.hello
	h.Child = fmt.Sprintf("child-%d", n.children)
	if at, err := relay.ParsePosition(from); err == nil && at.Seq <= int64(len(n.log)) && at.Chain == n.at(int(at.Seq)).Chain {
		h.Resumed, resumed = true, int(at.Seq)
	}
	return h, resumed
}

func (n *node) stream(w http.ResponseWriter, r *http.Request) {
	h, told := n.enter(r.FormValue("from"))
	n.mu.Lock()
	broken := n.broken
	n.mu.Unlock()
	w.Header().Set("Content-Type", relay.ContentType)
	out := relay.NewWriter(w)
	flush := func(err error) {
		if err != nil || http.NewResponseController(w).Flush() != nil {
			panic(http.ErrAbortHandler)
		}
	}
	n.mu.Lock()
	held, stuck := n.held, n.stuck
	n.mu.Unlock()
	if held != nil {
		<-held
	}
	flush(out.Hello(h))
	if stuck {
		<-r.Context().Done()
		return
	}
	if !h.Resumed {
		told = n.pour(out)
	}
	beat := time.NewTicker(beatMS * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case <-broken:
			panic(http.ErrAbortHandler)
		default:
		}
		n.mu.Lock()
		changes, at, grown := slices.Clone(n.log[told:]), n.at(len(n.log)), n.grown
		n.mu.Unlock()
		if len(changes) > 0 {
			flush(out.Changes(changes, at))
			told = int(at.Seq)
		}
		select {
		case <-grown:
		case <-beat.C:
			if !n.silent() {
				flush(out.Beat())
			}
		case <-broken:
		case <-r.Context().Done():
			return
		}
	}
}

func (n *node) silent() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deaf
}

// pour writes all that there is.
func (n *node) pour(out *relay.Writer) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept != nil {
		at, err := n.kept.View().Pour(replica.AnyWorkspace(), out)
		if err = errors.Join(err, out.Loaded(n.at(int(at.Seq)))); err != nil {
			panic(http.ErrAbortHandler)
		}
		return int(at.Seq)
	}
	var err error
	keys := map[token.Hash]iam.KeyRecord{}
	for _, c := range n.log {
		for _, rec := range c.Workspaces {
			err = errors.Join(err, out.Workspace(rec))
		}
		for _, rec := range c.Roles {
			err = errors.Join(err, out.Role(rec))
		}
		for _, rec := range c.Principals {
			err = errors.Join(err, out.Principal(rec))
		}
		for _, rec := range c.Keys {
			keys[rec.Hash] = rec
		}
	}
	for _, rec := range keys {
		err = errors.Join(err, out.Key(rec))
	}
	if err = errors.Join(err, out.Loaded(n.at(len(n.log)))); err != nil {
		panic(http.ErrAbortHandler)
	}
	return len(n.log)
}

func (n *node) known(w http.ResponseWriter, r *http.Request) bool {
	known := r.PathValue("child") == fmt.Sprintf("child-%d", n.children)
	if !known {
		problem(w, 404, api.CodeNotFound)
	}
	return known
}

func (n *node) renew(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var in api.RenewReplica
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !n.known(w, r) {
		return
	}
	at := n.at(len(n.log))
	writeJSON(w, api.ReplicaGrant{
		N: in.N, Seq: at.Seq, Chain: relay.FormatChain(at.Chain), ForUS: min(in.WantedMS, 2000) * 1000, Time: api.NewTime(time.Now()),
	})
}

func (n *node) usage(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var in api.ReportReplicaUse
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !n.known(w, r) {
		return
	}
	for i, k := range in.Keys {
		if k.Key == n.gone {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(api.Problem{Code: api.CodeValidationFailed, Errors: []api.ProblemField{{Pointer: fmt.Sprintf("/keys/%d", i), Code: "not_followed"}}})
			return
		}
	}
	if n.busy > 0 {
		n.busy--
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		_ = json.NewEncoder(w).Encode(api.Problem{Status: http.StatusTooManyRequests, Code: api.CodeRateLimited})
		return
	}
	n.reports = append(n.reports, in)
	writeJSON(w, api.ReportedReplicaUse{Now: api.NewTime(time.Now())})
}

func (n *node) goodbye(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known(w, r) {
		n.goodbyes++
		w.WriteHeader(http.StatusNoContent)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Status: status, Code: code, Title: "It was refused"})
}

// followed returns a verifier that follows servers.
func followed(t *testing.T, urls []string, opts ...postern.Option) *postern.Verifier {
	t.Helper()
	v, err := postern.New(t.Context(), append([]postern.Option{postern.Server(urls...), postern.Key(testKey)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// eventually waits for what has no sign of its own.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: not %s", what)
		}
	}
}

func accepts(v *postern.Verifier, key string) bool {
	_, err := v.Verify(context.Background(), key, "tickets:read")
	return err == nil
}

func TestVerifierFollowsAServer(t *testing.T) {
	n := newNode(t)
	first, rec := n.key(t)
	v := followed(t, []string{n.URL})
	if !accepts(v, first) {
		t.Error("a key of the snapshot is refused")
	}
	second, _ := n.key(t)
	eventually(t, "a key of a change accepted", func() bool { return accepts(v, second) })
	rec.Revoked = true
	n.write(iam.Change{Keys: []iam.KeyRecord{rec}})
	eventually(t, "a revoked key refused", func() bool { return !accepts(v, first) })
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.goodbyes != 1 || len(n.reports) == 0 || !n.reports[len(n.reports)-1].Last {
		t.Errorf("%d goodbyes, reports %+v; want one, and a last report", n.goodbyes, n.reports)
	}
}

// A connection that breaks is made anew, and goes on where it was.
func TestVerifierGoesOnWhereItWas(t *testing.T) {
	n := newNode(t)
	key, _ := n.key(t)
	v := followed(t, []string{n.URL})
	n.breakAll()
	later, _ := n.key(t)
	eventually(t, "what changed meanwhile known", func() bool { return accepts(v, later) && accepts(v, key) })
	n.set(func() {
		if len(n.asked) < 2 || n.asked[0] != "" || !strings.HasPrefix(n.asked[1], "2.") {
			t.Errorf("asked from %q, want the second to go on from revision 2", n.asked)
		}
	})
	// Another log: what the verifier knows is not of it.
	n.set(func() { n.log, n.salt = n.log[:1], 1 })
	n.key(t)
	n.key(t)
	other, _ := n.key(t)
	n.breakAll()
	eventually(t, "the other log loaded", func() bool { return accepts(v, other) })
	if accepts(v, later) {
		t.Error("a key that is no more is accepted")
	}
}

// A key that is no more does not keep the uses of others from being reported.
func TestVerifierReportsTheUsesOfKeysThatAreThere(t *testing.T) {
	n := newNode(t)
	gone, rec := n.key(t)
	kept, other := n.key(t)
	n.set(func() { n.gone = string(rec.ID) })
	v := followed(t, []string{n.URL})
	if !accepts(v, gone) || !accepts(v, kept) {
		t.Fatal("a key is refused")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	n.set(func() {
		var told []string
		for _, r := range n.reports {
			for _, k := range r.Keys {
				told = append(told, k.Key)
			}
		}
		if len(told) != 1 || told[0] != string(other.ID) {
			t.Errorf("reported %q, want %s alone", told, other.ID)
		}
	})
}

// What was one report too many is reported all the same, and once.
func TestVerifierKeepsAReportThatWasOneTooMany(t *testing.T) {
	n := newNode(t)
	key, rec := n.key(t)
	n.set(func() { n.busy = 2 })
	v := followed(t, []string{n.URL})
	if !accepts(v, key) {
		t.Fatal("the key is refused")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	n.set(func() {
		var told int64
		for _, r := range n.reports {
			for _, k := range r.Keys {
				for _, m := range k.Minutes {
					told += m.OK
				}
			}
		}
		if told != 1 || n.busy != 0 || !n.reports[len(n.reports)-1].Last {
			t.Errorf("reported %d uses of %s, and %d reports more would have been too many; want 1, and 0", told, rec.ID, n.busy)
		}
	})
}

func TestVerifierLeavesAServerThatFallsSilent(t *testing.T) {
	n := newNode(t)
	key, _ := n.key(t)
	v := followed(t, []string{n.URL})
	n.set(func() { n.deaf = true })
	eventually(t, "another connection made", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.asked) > 1 })
	n.set(func() { n.deaf = false })
	eventually(t, "the key accepted", func() bool { return accepts(v, key) })
}

// Silence is silence in the middle of a snapshot too.
func TestVerifierLeavesAServerThatFallsSilentInItsSnapshot(t *testing.T) {
	stuck, n := newNode(t), newNode(t)
	stuck.set(func() { stuck.stuck = true })
	key, _ := n.key(t)
	if v := followed(t, []string{stuck.URL, n.URL}); !accepts(v, key) {
		t.Error("a key is refused")
	}
}

// What was not read, since it was not known yet what keys look like, is not unknown.
func TestVerifierThatBeginsRefusesNoGoodKey(t *testing.T) {
	n := newNode(t)
	key, _ := n.key(t)
	held := make(chan struct{})
	n.set(func() { n.held = held })
	v := followed(t, []string{n.URL}, postern.AtOnce())
	time.AfterFunc(30*time.Millisecond, func() { close(held) })
	eventually(t, "the key accepted", func() bool {
		_, err := v.Verify(t.Context(), key)
		if denied, ok := errors.AsType[*postern.Denied](err); ok {
			t.Fatalf("a good key is refused: %s", denied.Code)
		}
		return err == nil
	})
}

func TestVerifierTakesAnotherServer(t *testing.T) {
	away, n := httptest.NewServer(http.NotFoundHandler()), newNode(t)
	away.Close()
	key, _ := n.key(t)
	v := followed(t, []string{away.URL, n.URL})
	if !accepts(v, key) {
		t.Error("a key is refused")
	}
}

// A server that has been started anew does not know the connection any more.
func TestVerifierConnectsAnewWhereItIsNotKnown(t *testing.T) {
	n := newNode(t)
	key, _ := n.key(t)
	v := followed(t, []string{n.URL})
	n.set(func() { n.children += 10 })
	eventually(t, "another connection made", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.asked) > 1 })
	eventually(t, "the key accepted", func() bool { return accepts(v, key) && v.Ready(context.Background()) == nil })
}

// A server that stops the verifier's own key stops the verifier, and Ready says why.
func TestVerifierSaysWhenItsOwnKeyIsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	key, _ := n.key(t)
	var stopped atomic.Bool
	n.before = func(w http.ResponseWriter, _ *http.Request) bool {
		if stopped.Load() {
			problem(w, 401, api.CodeUnauthenticated)
		}
		return stopped.Load()
	}
	v := followed(t, []string{n.URL})
	stopped.Store(true)
	n.breakAll()
	eventually(t, "stale", func() bool { return errors.Is(v.Ready(context.Background()), postern.ErrStale) })
	if accepts(v, key) {
		t.Error("a key is accepted")
	}
	if err := v.Ready(context.Background()); !strings.Contains(err.Error(), "refuses the verifier's own key") || strings.Contains(err.Error(), testKey) {
		t.Errorf("got %v", err)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
		want   string
	}{
		"a key that does not work":   {401, api.CodeUnauthenticated, "refuses the verifier's own key"},
		"a key that may not":         {403, api.CodePermissionDenied, "iam.keys:verify"},
		"a workspace that is not":    {404, api.CodeNotFound, "no such workspace"},
		"a name that is not allowed": {422, api.CodeValidationFailed, "validation_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { problem(w, c.status, c.code) }))
			defer server.Close()
			_, err := postern.New(t.Context(), postern.Server(server.URL), postern.Key(testKey))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), testKey) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := postern.New(t.Context(), postern.Server("https://postern.example")); err == nil || !strings.Contains(err.Error(), "POSTERN_KEY") {
		t.Errorf("without a key: %v", err)
	}
}

// Servers that do not speak the protocol, or answer for others, are not believed.
func TestVerifierBelievesNoStranger(t *testing.T) {
	t.Parallel()
	other := iam.WorkspaceID(iam.NewID(iam.WorkspacePrefix, time.Now()))
	for name, change := range map[string]func(n *node){
		"any workspace":   func(n *node) { n.hello.Workspace, n.hello.Any = "", true },
		"a later version": func(n *node) { n.before = page(relay.ContentType, "\x05H{}") },
		"a page":          func(n *node) { n.before = page("text/html", "<h1>Sign in</h1>") },
		"what has no end": func(n *node) { n.before = page(relay.ContentType, "\xff\xff\xff\xff\x7fH") },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			change(n)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if v, err := postern.New(ctx, postern.Server(n.URL), postern.Key(testKey)); err == nil {
				t.Errorf("it is followed: %v", v.Close())
			}
		})
	}
	n := newNode(t)
	key, _ := n.key(t)
	v := followed(t, []string{n.URL})
	n.set(func() { n.hello.Workspace = other })
	n.breakAll()
	eventually(t, "stale", func() bool { return errors.Is(v.Ready(context.Background()), postern.ErrStale) })
	if accepts(v, key) {
		t.Error("a key is accepted of a server that answers for another workspace")
	}
}

// page answers all with a text.
func page(contentType, text string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
		return true
	}
}

// The verifier's own key goes to the server that it was given, and nowhere else.
func TestVerifierSendsItsKeyToItsServerAlone(t *testing.T) {
	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Store(true) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, target := range map[string]string{"another host": other.URL + "/v1/replica", "itself": "/elsewhere"} {
			var again atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/replica" {
					again.Store(true)
				}
				http.Redirect(w, r, target, status)
			}))
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			if v, err := postern.New(ctx, postern.Server(server.URL), postern.Key(testKey)); err == nil || leaked.Load() || again.Load() {
				t.Errorf("%d to %s: followed, %v, %v", status, name, v, err)
			}
			cancel()
			server.Close()
		}
	}
	for server, want := range map[string]string{
		"http://192.0.2.1:7070": "not encrypted", "http://postern.example": "not encrypted",
		"https://user:secret@postern.example": "more than a host", "postern.example": "not a URL", "": "not a URL",
	} {
		t.Setenv("POSTERN_URL", "")
		_, err := postern.New(t.Context(), postern.Server(server), postern.Key(testKey))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want %q", server, err, want)
		}
	}
}

func TestVerifierTakesItsServerAndKeyFromTheEnvironment(t *testing.T) {
	n := newNode(t)
	key, _ := n.key(t)
	t.Setenv("POSTERN_URL", n.URL)
	t.Setenv("POSTERN_KEY", testKey)
	v, err := postern.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if !accepts(v, key) {
		t.Error("a key is refused")
	}
}
