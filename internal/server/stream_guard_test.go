package server_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/store/storetest"
)

// unread is a connection whose client reads nothing: a write on it is held up until
// its deadline. What it was given until then is counted for nothing.
type unread struct {
	head http.Header
	net.Conn
	begun func() // called when something is about to be written

	mu   sync.Mutex // guards last
	last time.Time  // the deadline of writes
}

func (u *unread) Header() http.Header { return u.head }
func (u *unread) WriteHeader(int)     {}
func (u *unread) Flush()              {}

// Write implements [io.Writer].
func (u *unread) Write(p []byte) (int, error) {
	u.begun()
	return u.Conn.Write(p)
}

// SetWriteDeadline is what [http.ResponseController] looks for.
func (u *unread) SetWriteDeadline(at time.Time) error {
	u.mu.Lock()
	u.last = at
	u.mu.Unlock()
	return u.Conn.SetWriteDeadline(at)
}

func (u *unread) deadline() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

// heldUp asks a server for a stream that nobody reads. It returns once the first write
// is held up; ended is closed when the server has given the stream up.
func heldUp(t *testing.T, w *world, path string) (u *unread, ended <-chan struct{}) {
	t.Helper()
	here, there := net.Pipe() // has no buffer
	t.Cleanup(func() { here.Close(); there.Close() })
	begun, over := make(chan struct{}), make(chan struct{})
	u = &unread{head: http.Header{}, Conn: here, begun: sync.OnceFunc(func() { close(begun) })}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+w.owner)
	go func() {
		defer close(over)
		defer func() { _ = recover() }() // it aborts the answer
		w.server.Handler().ServeHTTP(u, r)
	}()
	within(t, "the first write", begun)
	return u, over
}

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not come", what)
	}
}

var endless = map[string]string{"to a window": "/v1/workspaces/-/stream", "to a verifier": "/v1/replica"}

// A client that does not read holds a stream open for as long as one write may take.
func TestAStreamThatNobodyReadsIsGivenUp(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	for name, path := range endless {
		t.Run(name, func(t *testing.T) {
			const most = 20 * time.Second
			before := time.Now()
			u, _ := heldUp(t, w, path)
			if at := u.deadline(); at.Before(before.Add(most)) || at.After(time.Now().Add(most)) {
				t.Errorf("a write that began at %v may last until %v, want %v", before, at, most)
			}
			_, ended := heldUp(t, w.with(t, func(o *server.Options) { o.Metrics, o.Limits.Stall = nil, time.Millisecond }), path)
			within(t, "its end", ended)
		})
	}
}

// A server that ends waits for nobody who does not read, not even at the beginning.
func TestAStreamThatNobodyReadsDoesNotHoldUpTheEnd(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	for name, path := range endless {
		t.Run(name, func(t *testing.T) {
			w := w.with(t, func(o *server.Options) { o.Metrics, o.Limits.Stall = nil, time.Hour })
			_, ended := heldUp(t, w, path)
			w.server.EndStreams()
			within(t, "its end", ended)
		})
	}
}
