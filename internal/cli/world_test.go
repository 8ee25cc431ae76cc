package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/cli"
)

const (
	testKey   = "pst_sa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"
	newValue  = "pst_sa_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB111111"
	accountID = "sa_01jn8x0c2vf3hs5r6tq7w8y9zd"
	keyID     = "key_01jn8x0c2vf3hs5r6tq7w8y9zd"
	otherKey  = "key_01jn8x0c2vf3hs5r6tq7w8y9ze"
	memberID  = "mem_01jn8x0c2vf3hs5r6tq7w8y9zc"
	W         = "/v1/workspaces/-/"
)

// asked is a request that reached the server.
type asked struct {
	line   string // such as "POST /v1/workspaces/-/roles"
	query  string
	key    string
	body   string
	prefer string // the header Prefer
}

// world is a server whose answers a test writes, and a person in front of it.
type world struct {
	t       *testing.T
	server  *httptest.Server
	home    string
	env     map[string]string
	stdin   string
	typing  bool // stdin is a terminal
	looking bool // stdout and stderr are one

	mu      sync.Mutex // guards the rest
	answers map[string]any
	heard   []asked
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, home: t.TempDir(), answers: map[string]any{}}
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	w.env = map[string]string{"HOME": w.home, "POSTERN_SERVER": w.server.URL, "POSTERN_KEY": testKey}
	return w
}

// answer sets what the server says to a request line: a value, which is sent as
// JSON, or a *api.Problem.
func (w *world) answer(line string, with any) { w.answers[line] = with }

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	line := r.Method + " " + r.URL.EscapedPath()
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.heard = append(w.heard, asked{line, r.URL.RawQuery, key, string(body), r.Header.Get("Prefer")})
	with, ok := w.answers[line]
	if !ok {
		with = &api.Problem{Status: 404, Code: api.CodeNotFound, Title: "Not found"}
	}
	if fn, ok := with.(func(asked) any); ok {
		with = fn(w.heard[len(w.heard)-1])
	}
	rw.Header().Set("Content-Type", "application/json")
	if p, ok := with.(*api.Problem); ok {
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(p.Status)
	}
	if err := json.NewEncoder(rw).Encode(with); err != nil {
		w.t.Error(err)
	}
}

// lines returns the request lines that the server heard.
func (w *world) lines() (all []string) {
	for _, a := range w.heard {
		all = append(all, a.line)
	}
	return all
}

// result is how a run of the command ended.
type result struct {
	code           int
	stdout, stderr string
}

func (w *world) run(args ...string) result {
	w.t.Helper()
	return w.runUntil(w.t.Context(), args...)
}

// runUntil is run for a command that is interrupted when ctx ends.
func (w *world) runUntil(ctx context.Context, args ...string) result {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	stdin := strings.NewReader(w.stdin)
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(w.env)) {
		environ = append(environ, name+"="+w.env[name])
	}
	code := cli.Program{
		Args: args, Environ: environ, Stdin: stdin, Stdout: &stdout, Stderr: &stderr,
		Now: func() time.Time { return time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC) },
		Terminal: func(stream any) bool {
			if stream == any(stdin) {
				return w.typing
			}
			return w.looking
		},
	}.Run(ctx)
	return result{code, stdout.String(), stderr.String()}
}

// must is run for what has to succeed.
func (w *world) must(args ...string) result {
	w.t.Helper()
	r := w.run(args...)
	if r.code != 0 {
		w.t.Fatalf("postern %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// wants fails the test unless the run ended with a code and said certain words
// on stderr.
func (r result) wants(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("stderr %q does not say %q", r.stderr, word)
		}
	}
}

func (w *world) file(name string) string { return filepath.Join(w.home, name) }

func list[T any](items ...T) api.List[T] { return api.List[T]{Data: items} }

func account(name string) api.ServiceAccount {
	return api.ServiceAccount{ID: accountID, Name: name, State: "active", Role: api.Ref{ID: "role_1", Name: "operator"}}
}

func key(id, owner, name string) api.Key {
	return api.Key{ID: id, Name: name, State: "active", Hint: "pst_sa_AAAA…0000", Principal: api.Principal{Type: "service_account", ID: accountID, Name: owner}}
}

func receipt() api.Receipt {
	return api.Receipt{Confirmed: true, By: new("acked"), KeysStopped: 1, Nodes: api.ReceiptNodes{Total: 1, Confirmed: 1}, TookMS: 2.04}
}

// brokenOff is a server whose answers end before they are complete.
type brokenOff struct{}

func (brokenOff) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"id":"evt_1"}`+"\n") // the client is this test's
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
