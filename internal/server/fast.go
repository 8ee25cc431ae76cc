package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// Limits on what a client of the fast listener may take. Its questions are small and
// are answered from memory.
const (
	fastReadTimeout  = 10 * time.Second // from the first byte of a request to its last
	fastWriteTimeout = 10 * time.Second // at least half of it
	fastIdleTimeout  = 2 * time.Minute  // at least half of it
	fastMaxHead      = 8 << 10          // bytes
)

// FastServer answers POST /v1/verify and POST /v1/verify/batch over HTTP/1.1, and
// nothing else, for less of a processor than package net/http takes. Who may ask, what
// is answered and what is counted is the very code that serves these routes elsewhere:
// what is its own is how a request is read and an answer written.
//
// It takes only what every reader of HTTP takes for the same request. What two of them
// could read in two ways is refused, and its connection ends.
type FastServer struct {
	server  *Server
	url     func() string
	handler http.Handler
	date    atomic.Pointer[fastDate]

	talking sync.WaitGroup

	mu        sync.Mutex // guards what follows
	ended     bool
	conns     map[*fastConn]struct{}
	listeners []net.Listener
}

// NewFastServer returns what serves the hot path of a server quickly. url returns
// where all else is answered.
func NewFastServer(s *Server, url func() string) *FastServer {
	f := &FastServer{server: s, url: url, conns: map[*fastConn]struct{}{}}
	f.handler = s.passage(f.route)
	return f
}

// Serve answers whoever connects to a listener, until [FastServer.Shutdown] or
// [FastServer.Close]: then it returns [http.ErrServerClosed].
func (f *FastServer) Serve(l net.Listener) error {
	f.mu.Lock()
	f.listeners = append(f.listeners, l)
	ended := f.ended
	f.mu.Unlock()
	for !ended {
		conn, err := l.Accept()
		switch {
		case err == nil:
			f.welcome(conn)
		case errors.Is(err, net.ErrClosed):
			ended = true
		case !passes(err):
			return fmt.Errorf("accept connections for verifications: %w", err)
		default:
			f.server.log.Warn("a connection could not be accepted", "error", err)
			time.Sleep(acceptAgain)
		}
	}
	return http.ErrServerClosed
}

// acceptAgain is how long nothing is accepted when the system has no room.
const acceptAgain = 50 * time.Millisecond

// passes reports whether what kept a connection from being accepted may be over soon.
func passes(err error) bool {
	for _, known := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// welcome serves a connection, in a goroutine of its own.
func (f *FastServer) welcome(conn net.Conn) {
	c := newFastConn(f, conn)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		_ = conn.Close() // nobody is told
		return
	}
	f.conns[c] = struct{}{}
	f.talking.Go(func() {
		defer f.part(c)
		c.talk()
	})
}

// part forgets a connection that has ended.
func (f *FastServer) part(c *fastConn) {
	_ = c.conn.Close() // it may have been closed for us
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// Shutdown closes the listeners and lets what is under way come to its end, for as
// long as ctx does.
func (f *FastServer) Shutdown(ctx context.Context) error {
	err := f.end(func(c *fastConn) bool { return c.state.CompareAndSwap(fastIdle, fastOver) })
	over := make(chan struct{})
	go func() {
		defer close(over)
		f.talking.Wait() // what Close cuts short
	}()
	select {
	case <-over:
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// Close ends everything at once.
func (f *FastServer) Close() error {
	err := f.end(func(*fastConn) bool { return true })
	f.talking.Wait()
	return err
}

// end closes the listeners, and the connections that are to be closed.
func (f *FastServer) end(which func(*fastConn) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	var failed error
	for _, l := range f.listeners {
		failed = errors.Join(failed, closed(l))
	}
	for c := range f.conns {
		c.last.Store(true)
		if which(c) {
			failed = errors.Join(failed, closed(c.conn))
		}
	}
	return failed
}

// closed closes something that may be closed already.
func closed(c io.Closer) error {
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// answer answers a request, or says why it is refused unheard. What a handler breaks
// off is an error.
func (f *FastServer) answer(c *fastCall) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			f.server.log.Debug("an answer was broken off", slog.String("cause", fmt.Sprintf("%T", cause)))
			err = errBroken
		}
	}()
	f.handler.ServeHTTP(&c.answer, &c.request)
	return c.answer.err
}

var errBroken = errors.New("the answer was broken off")

// fastCallKey is where the context of a request has its fastCall.
type fastCallKey struct{}

// route answers the hot path, and says where all else is.
func (f *FastServer) route(w http.ResponseWriter, r *http.Request) {
	s, call := f.server, r.Context().Value(fastCallKey{}).(*fastCall)
	w.Header()["Cache-Control"] = s.values.noStore
	if call.refusal != nil {
		s.fail(w, r, call.refusal)
		return
	}
	answer := s.hot[r.URL.Path]
	if answer != nil && r.Method == http.MethodPost {
		r.Pattern = http.MethodPost + " " + r.URL.Path
		answer(w, r)
		return
	}
	if err := checkURL(r.URL); err != nil {
		s.fail(w, r, s.refusedURL(err))
		return
	}
	if answer != nil {
		w.Header().Set("Allow", http.MethodPost)
		s.fail(w, r, newProblem(api.CodeMethodNotAllowed, "", "this address answers "+http.MethodPost))
		return
	}
	s.fail(w, r, iam.Errorf(iam.NotFound, "here is only POST /v1/verify, with /v1/verify/batch; all else is at %s", f.url()))
}

// addressOf reads the address that a request names.
func addressOf(target string, into *url.URL) *problem {
	if target == "/v1/verify" || target == "/v1/verify/batch" {
		*into = url.URL{Path: target}
		return nil
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return malformed("the address of the request is not well formed")
	}
	*into = *u
	return nil
}

func malformed(detail string) *problem { return newProblem(api.CodeInvalidRequest, "", detail) }

// withStatus returns a problem that HTTP has a status of its own for.
func withStatus(status int, code, detail string) *problem {
	p := newProblem(code, "", detail)
	p.Status = status
	return p
}

// fastDate is the header Date of one second (RFC 9110, section 6.6.1).
type fastDate struct {
	second int64
	text   string
}

func (f *FastServer) dateAt(now time.Time) string {
	if d := f.date.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &fastDate{now.Unix(), now.UTC().Format(http.TimeFormat)}
	f.date.Store(d)
	return d.text
}
