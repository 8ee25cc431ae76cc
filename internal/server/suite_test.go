package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/session"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// each runs a test against a server on SQLite and against one on PostgreSQL, both
// at the same time: they mostly wait for disks.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	for name, url := range storetest.Databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, url(t)))
		})
	}
}

// eachDoor runs a test of the hot path as each does, and against the fast listener.
func eachDoor(t *testing.T, test func(t *testing.T, w *world)) {
	each(t, test)
	t.Run("fast", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, storetest.SQLite(t)).throughFast(t))
	})
}

// world is a server on a real store, with a system workspace and its owner. All
// requests of the package's tests go through do, which holds every answer to the
// OpenAPI document.
type world struct {
	database string // as storetest names it
	faults   *faults
	iam      *iam.Service
	replica  *replica.Replica
	people   *session.People
	options  server.Options
	server   *server.Server
	url      string
	fast     string // where the hot path is asked for; empty: at url
	client   *http.Client
	log      *logbook
	owner    string // the key of the owner of the system workspace

	ahead *atomic.Int64 // how far the replica's clock is ahead, in nanoseconds
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	w := bareWorld(t, url)
	_, key, err := w.iam.Initialize(t.Context(), iam.Initialization{Workspace: "Operations", Email: "ops@example.com", KeyName: "first"})
	if err != nil {
		t.Fatal(err)
	}
	w.owner = key.Reveal()
	return w
}

// emptyWorld is a server on a store that nobody has set up.
func emptyWorld(t *testing.T) *world {
	t.Helper()
	return bareWorld(t, storetest.SQLite(t))
}

func bareWorld(t *testing.T, url string) *world {
	t.Helper()
	st, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{database: "SQLite", log: new(logbook), ahead: new(atomic.Int64)}
	w.replica = replica.New(replica.Options{Node: "test", Tail: 256, Now: func() time.Time {
		return time.Now().Add(time.Duration(w.ahead.Load()))
	}})
	if strings.HasPrefix(url, "postgres") {
		w.database = "PostgreSQL"
	}
	w.faults = &faults{Store: st, fence: w.replica, roster: w.replica}
	w.iam = &iam.Service{Store: w.faults, Fence: w.faults, Roster: w.faults, Now: time.Now}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		following.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.replica.Load(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	following.Go(func() {
		if err := w.replica.Follow(ctx, st); err != nil {
			t.Error(err)
		}
	})
	following.Go(func() { w.iam.AwaitReceipts(ctx) })
	people, err := session.New(session.Options{
		IAM: w.iam, Secret: bytes.Repeat([]byte("s"), 32), URL: func() string { return origin },
		Cost: session.Cost{Memory: 8, Passes: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.people = people
	w.options = server.Options{
		People: people, SSO: w.sso(t, provider()),
		IAM: w.iam, Replica: w.replica, Children: fence.NewChildren(w.replica, fence.SystemClock()), Prefixes: token.Prefixes{token.DefaultPrefix},
		Secret: bytes.Repeat([]byte("s"), 32), Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Node: "test",
		Limits: server.Limits{Management: server.Rate{Burst: 1_000_000, Window: time.Minute}, Acceptance: server.Rate{Burst: 1_000_000, Window: time.Minute}},
	}
	w.serve(t)
	return w
}

// serve starts the server that the options describe.
func (w *world) serve(t *testing.T) {
	t.Helper()
	s, err := server.New(w.options)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	w.server, w.url = s, h.URL
	w.client = &http.Client{
		Transport:     &recorder{t: t, database: w.database, next: h.Client().Transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if w.fast != "" {
		w.fast = w.serveFast(t)
	}
}

// throughFast returns the same world, whose hot path is asked for at a fast listener.
func (w *world) throughFast(t *testing.T) *world {
	t.Helper()
	other := *w
	other.fast = "soon"
	other.serve(t)
	return &other
}

// serveFast returns where a fast listener of the server is.
func (w *world) serveFast(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := server.NewFastServer(w.server, func() string { return w.url })
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := f.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		if err := f.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return "http://" + l.Addr().String()
}

// with returns the same world behind another server.
func (w *world) with(t *testing.T, change func(*server.Options)) *world {
	t.Helper()
	other := *w
	change(&other.options)
	other.serve(t)
	return &other
}

// call is a request. A body that is a string is sent as it is, any other as JSON.
type call struct {
	method, path string
	key          string
	body         any
	header       http.Header
}

// reply is what was answered.
type reply struct {
	t      *testing.T
	call   call
	status int
	header http.Header
	body   []byte
}

func (w *world) do(t *testing.T, c call) *reply {
	t.Helper()
	at := w.url
	if w.fast != "" && strings.HasPrefix(c.path, "/v1/verify") {
		at = w.fast
	}
	r := c.request(t, at)
	answer, err := w.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	return &reply{t, c, answer.StatusCode, answer.Header, body}
}

func (c call) request(t *testing.T, url string) *http.Request {
	t.Helper()
	var body io.Reader
	switch b := c.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case strings.HasPrefix(c.key, "sess_"): // the cookie of somebody who signed in
		r.AddCookie(&http.Cookie{Name: "postern_session", Value: c.key})
	case c.key != "":
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	return r
}

// want fails the test unless the answer has a status, and decodes it.
func (r *reply) want(status int, into any) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s %s: got %d, want %d: %.600s", r.call.method, r.call.path, r.status, status, r.body)
	}
	if into != nil {
		if err := json.Unmarshal(r.body, into); err != nil {
			r.t.Fatalf("%s %s: %v: %s", r.call.method, r.call.path, err, r.body)
		}
	}
	return r
}

// wantProblem fails the test unless the answer is a problem with a code.
func (r *reply) wantProblem(status int, code string) api.Problem {
	r.t.Helper()
	var p api.Problem
	r.want(status, &p)
	if p.Code != code {
		r.t.Fatalf("%s %s: got code %q, want %q: %.600s", r.call.method, r.call.path, p.Code, code, r.body)
	}
	return p
}

func get(path, key string) call { return call{method: http.MethodGet, path: path, key: key} }

func post(path, key string, body any) call {
	return call{method: http.MethodPost, path: path, key: key, body: body}
}

// holding returns the call with one more header.
func (c call) holding(name string, values ...string) call {
	header := c.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header[http.CanonicalHeaderKey(name)] = values
	c.header = header
	return c
}

// logbook keeps what was logged. It is safe for concurrent use.
type logbook struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// take returns what was logged since it was last called.
func (l *logbook) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}
