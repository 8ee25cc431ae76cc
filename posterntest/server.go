package posterntest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/cli"
)

// Server is a real server, of this process and on this machine alone, with a store of
// its own that ends with the test. Its methods fail the test when something does not
// work.
type Server struct {
	// Client calls the API as an owner of the system workspace.
	*postern.Client

	URL string // such as http://127.0.0.1:4711

	t    testing.TB
	dir  string
	stop func()

	mu   sync.Mutex // guards what follows
	made int        // for names
}

// NewServer starts a server on an empty store.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir()}
	var key, said bytes.Buffer
	code := cli.Program{
		Args:   []string{"init", "--workspace", "Test", "--email", "owner@example.com", "--store-url", s.store(), "--field", "value"},
		Stdout: &key, Stderr: &said, Stdin: strings.NewReader(""), Environ: s.environ(),
	}.Run(t.Context())
	if code != 0 {
		t.Fatalf("posterntest: make a store: exit code %d: %s", code, &said)
	}
	s.Client = &postern.Client{Key: postern.NewSecret(strings.TrimSpace(key.String()))}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) store() string { return "sqlite:" + filepath.Join(s.dir, "postern.db") }

// environ keeps the settings and the keys of whoever runs the test out of it.
func (s *Server) environ() []string {
	return []string{"HOME=" + s.dir, "XDG_CONFIG_HOME=" + s.dir}
}

// Start starts the server, on the address that it had before if it had one.
func (s *Server) Start() {
	s.t.Helper()
	address := "127.0.0.1:0"
	if s.URL != "" {
		address = strings.TrimPrefix(s.URL, "http://")
	}
	ctx, stop := context.WithCancel(context.Background())
	said := newListener()
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Program{
			Args:   []string{"serve", "--listen", address, "--store-url", s.store(), "--node-name", "posterntest", "--log-format", "json"},
			Stdout: said, Stderr: said, Stdin: strings.NewReader(""), Environ: s.environ(),
		}.Run(ctx)
	}()
	select {
	case s.URL = <-said.up:
	case code := <-ended:
		stop()
		s.t.Fatalf("posterntest: the server ended with exit code %d: %s", code, said)
	}
	s.Client.Server = s.URL
	s.stop = sync.OnceFunc(func() {
		stop()
		if code := <-ended; code != 0 {
			s.t.Errorf("posterntest: the server ended with exit code %d: %s", code, said)
		}
	})
}

// Stop ends the server in order. What is in its store stays, for Start.
func (s *Server) Stop() { s.stop() }

// NewKey makes a service account that may do what the permissions say, and a key of
// it, and returns the key's value.
func (s *Server) NewKey(permissions ...string) string {
	s.t.Helper()
	_, value := s.NewAccountKey(permissions...)
	return value
}

// VerifierKey makes a key for a [postern.Verifier] and returns its value.
func (s *Server) VerifierKey() string {
	s.t.Helper()
	return s.key("verifier").Value
}

// NewAccountKey is [Server.NewKey] for a test that also needs the key's id.
func (s *Server) NewAccountKey(permissions ...string) (id, value string) {
	s.t.Helper()
	role := s.name("role")
	s.call(http.MethodPost, "/v1/workspaces/-/roles", api.CreateRole{Name: role, Title: role, Permissions: permissions}, nil)
	made := s.key(role)
	return made.ID, made.Value
}

func (s *Server) key(role string) (made api.CreatedKey) {
	s.t.Helper()
	account := s.name("account")
	s.call(http.MethodPost, "/v1/workspaces/-/service_accounts", api.CreateServiceAccount{Name: account, Role: role}, nil)
	s.call(http.MethodPost, "/v1/workspaces/-/service_accounts/"+account+"/keys", api.CreateKey{Name: "key"}, &made)
	return made
}

// Revoke revokes the key with an id. When it returns, no verifier accepts it.
func (s *Server) Revoke(id string) {
	s.t.Helper()
	s.call(http.MethodPost, "/v1/workspaces/-/keys/"+id+"/revoke", api.Ending{Reason: "other"}, nil)
}

// Verifier returns a verifier that follows the server, and closes with the test.
func (s *Server) Verifier(opts ...postern.Option) *postern.Verifier {
	s.t.Helper()
	v, err := postern.New(s.t.Context(), append([]postern.Option{postern.Server(s.URL), postern.Key(s.VerifierKey())}, opts...)...)
	if err != nil {
		s.t.Fatalf("posterntest: %v", err)
	}
	s.t.Cleanup(func() { _ = v.Close() }) // the server may be gone by then
	return v
}

func (s *Server) call(method, path string, in, out any) {
	s.t.Helper()
	if err := s.Do(s.t.Context(), method, path, in, out); err != nil {
		s.t.Fatalf("posterntest: %v", err)
	}
}

func (s *Server) name(kind string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	return fmt.Sprintf("%s-%d", kind, s.made)
}

// listener hears from a server's log that it answers, and where.
type listener struct {
	up chan string // receives where

	mu   sync.Mutex // guards what follows
	text bytes.Buffer
	rest []byte // what is no whole line yet
	told bool
}

func newListener() *listener { return &listener{up: make(chan string, 1)} }

// Write implements [io.Writer].
func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		l.hear(line)
	}
}

// hear looks whether a line says where the server answers. l.mu is held.
func (l *listener) hear(line []byte) {
	var said struct{ Msg, URL string }
	if err := json.Unmarshal(line, &said); err != nil || said.Msg != "answering" || l.told {
		return
	}
	if _, _, err := net.SplitHostPort(strings.TrimPrefix(said.URL, "http://")); err == nil {
		l.told = true
		l.up <- said.URL
	}
}

// String returns all that was said.
func (l *listener) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
