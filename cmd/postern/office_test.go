package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/chaos"
	"github.com/posternhq/postern/internal/store/storetest"
)

// office is a place where servers of the real program run on one store.
type office struct {
	t     *testing.T
	dir   string
	store string // the database's URL
	owner string // the value of the first owner's key
}

// newOffice returns one with an empty database, and the root secret in its file.
func newOffice(t *testing.T) *office { return officeOn(t, storetest.Postgres(t)) }

// officeOn returns one on a store of a URL, where SQLite lets one server run.
func officeOn(t *testing.T, store string) *office {
	o := &office{t: t, dir: t.TempDir(), store: store}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.dir, "root.secret"), []byte(base64.StdEncoding.EncodeToString(secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// command is a run of the program, on a database of a URL.
func (o *office) command(store string, args ...string) *exec.Cmd {
	program, err := exec.LookPath("postern")
	if err != nil {
		o.t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = o.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + o.dir, "POSTERN_LISTEN=localhost:0", "POSTERN_LEASE_TTL=2s",
		"POSTERN_STORE_URL=" + store, "POSTERN_SECRET_FILE=" + filepath.Join(o.dir, "root.secret"),
	}
	return cmd
}

// runs runs the program to its end, and returns what it said.
func (o *office) runs(store string, args ...string) (stdout, stderr string, code int) {
	o.t.Helper()
	cmd := o.command(store, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) // the code says that it was
	defer late.Stop()
	_ = cmd.Wait() // the code says how it ended
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// initialize makes the first owner.
func (o *office) initialize() {
	o.t.Helper()
	stdout, stderr, code := o.runs(o.store, "init", "--workspace", "Acme", "--email", "owner@example.com", "--field", "value")
	if code != 0 {
		o.t.Fatalf("init: exit %d\n%s%s", code, stdout, stderr)
	}
	o.owner = strings.TrimSpace(stdout)
}

// server is one that runs.
type server struct {
	*process
	t      *testing.T
	url    string
	client *http.Client
}

// serve starts a server on a database of a URL and waits until it listens. It ends
// with the test.
func (o *office) serve(store string, args ...string) *server {
	o.t.Helper()
	p, url, err := launchUntil(o.command(store, append([]string{"serve"}, args...)...), serveIsOn)
	if err != nil {
		o.t.Fatalf("%v\n%s", err, p.stderr)
	}
	s := &server{process: p, t: o.t, url: url, client: &http.Client{Timeout: patience, Transport: &http.Transport{}}}
	o.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		s.client.CloseIdleConnections()
	})
	return s
}

// words are what the server has said, but for the requests.
func (s *server) words() string {
	var words strings.Builder
	for line := range strings.Lines(s.stderr.String()) {
		if !strings.Contains(line, `"msg":"request"`) {
			words.WriteString(line)
		}
	}
	return words.String()
}

// heard is an answer of a server.
type heard struct {
	status int
	header http.Header
	text   string
}

// in returns what stands at a name of a JSON answer.
func (h heard) in(name string) any {
	var body map[string]any
	if err := json.Unmarshal([]byte(h.text), &body); err != nil {
		return nil
	}
	return body[name]
}

func (s *server) call(method, path, key string, body any) heard {
	s.t.Helper()
	h, err := s.try(method, path, key, body)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, s.words())
	}
	return h
}

// try is call for what may fail.
func (s *server) try(method, path, key string, body any) (heard, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return heard{}, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, content)
	if err != nil {
		return heard{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return heard{}, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	return heard{resp.StatusCode, resp.Header, string(said)}, err
}

// must makes a change, which has to succeed. A server that says that it is stale
// has done nothing: on a machine that is busy with other things it may be for a moment.
func (s *server) must(path, key string, body any) heard {
	s.t.Helper()
	h := s.call(http.MethodPost, path, key, body)
	for end := time.Now().Add(patience); h.in("code") == "stale" && time.Now().Before(end); {
		h = s.call(http.MethodPost, path, key, body)
	}
	if h.status < 200 || h.status > 299 {
		s.t.Fatalf("POST %s: %d %s", path, h.status, h.text)
	}
	return h
}

// about is a question about a key of any workspace.
func about(key string) map[string]string { return map[string]string{"key": key, "workspace": "any"} }

// verify returns the code of a verification, by the caller's key.
func (s *server) verify(caller, key string) string {
	s.t.Helper()
	h := s.call(http.MethodPost, "/v1/verify", caller, about(key))
	code, _ := h.in("code").(string)
	return code
}

// knows fails the test unless a server says something of a key, once it can say anything.
func (s *server) knows(caller, key, want string) {
	s.t.Helper()
	code := s.verify(caller, key)
	for end := time.Now().Add(patience); code == "stale" && time.Now().Before(end); {
		code = s.verify(caller, key)
	}
	if code != want {
		s.t.Errorf("a key is %s, want %s", code, want)
	}
}

// becomes waits until a probe gets a status and says a word, and returns for how long.
func (s *server) becomes(path string, status int, word string) time.Duration {
	s.t.Helper()
	begun := time.Now()
	for {
		h := s.call(http.MethodGet, path, "", nil)
		if h.status == status && strings.Contains(h.text, word) {
			return time.Since(begun)
		}
		if time.Since(begun) > patience {
			s.t.Fatalf("%s: got %d %s, want %d %s\n%s", path, h.status, h.text, status, word, s.words())
		}
		time.Sleep(5 * time.Millisecond) // a server tells of nothing by itself
	}
}

// path is a way to the database that a test can close.
type path struct {
	*chaos.Proxy
	url string
}

func (o *office) path() path {
	o.t.Helper()
	u, err := url.Parse(o.store)
	if err != nil {
		o.t.Fatal(err)
	}
	proxy, err := chaos.NewProxy(u.Host)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(proxy.Close)
	u.Host = proxy.Addr()
	return path{proxy, u.String()}
}

// close ends all connections, and lets no other through.
func (p path) close() {
	p.Turn(chaos.Weather{Refuse: true})
	p.Reset()
}

func (p path) open() { p.Turn(chaos.Weather{}) }

// ask returns one number from the database.
func (o *office) ask(query string) (n int64) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, o.store)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing was written
	if err := conn.QueryRow(ctx, query).Scan(&n); err != nil {
		o.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// until asks until the database gives a number.
func (o *office) until(query string, want int64) {
	o.t.Helper()
	for end := time.Now().Add(patience); o.ask(query) != want; time.Sleep(20 * time.Millisecond) { // it tells nobody
		if time.Now().After(end) {
			o.t.Fatalf("%s: got %d, want %d", query, o.ask(query), want)
		}
	}
}
