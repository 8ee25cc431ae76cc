package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// fastMaxHead bounds the lines before the body of a request, in bytes.
const fastMaxHead = 8 << 10

// fastLimits say for how long a client may take what of the fast listener. Its questions
// are small and are answered from memory.
type fastLimits struct {
	read  time.Duration // from the first byte of a request to its last
	write time.Duration // at least half of it
	idle  time.Duration // at least half of it
	sweep time.Duration // how often a loop looks at who took too long, so that it sets no clock for each request
}

func usualFastLimits() fastLimits {
	return fastLimits{read: 10 * time.Second, write: 10 * time.Second, idle: 2 * time.Minute, sweep: 500 * time.Millisecond}
}

// FastServer answers POST /v1/verify and POST /v1/verify/batch over HTTP/1.1, and
// nothing else, for less of a processor than package net/http takes. Who may ask, what
// is answered and what is counted is the very code that serves these routes elsewhere:
// what is its own is how a request is read and an answer written.
//
// It takes only what every reader of HTTP takes for the same request. What two of them
// could read in two ways is refused, and its connection ends. Where a request comes from
// is where its connection does: no header is believed, whatever the other listener does.
type FastServer struct {
	server  *Server
	url     func() string
	handler http.Handler
	date    atomic.Pointer[fastDate]
	limits  fastLimits

	loops   *fastLoops     // of connections that share goroutines
	talking sync.WaitGroup // those, and the goroutines of the other connections

	mu        sync.Mutex // guards what follows
	ended     bool
	conns     map[*fastConn]struct{}
	listeners []net.Listener
}

// NewFastServer returns what serves the hot path of a server quickly. url returns
// where all else is answered.
func NewFastServer(s *Server, url func() string) *FastServer {
	f := &FastServer{server: s, url: url, limits: usualFastLimits(), conns: map[*fastConn]struct{}{}}
	f.handler = s.passage(f.route)
	f.loops = newFastLoops(f)
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

// welcome serves a connection.
func (f *FastServer) welcome(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		_ = conn.Close() // nobody is told
		return
	}
	c := newFastConn(f, conn.RemoteAddr())
	f.conns[c] = struct{}{}
	if f.loops.take(c, conn) {
		return
	}
	t := &fastTalk{fastConn: c, conn: conn}
	c.wire = t
	f.talking.Go(func() {
		defer f.part(c)
		defer f.survive()
		t.talk()
	})
}

// survive is deferred by what drives a connection: a panic in it ends that connection
// alone, as package net/http has it.
func (f *FastServer) survive() {
	if cause := recover(); cause != nil {
		f.server.log.Error("a connection panicked", "cause", token.Conceal(fmt.Sprint(cause)), "stack", string(debug.Stack()))
	}
}

// part forgets a connection that has ended.
func (f *FastServer) part(c *fastConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = c.wire.Close() // it may have been closed for us
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
		failed = errors.Join(failed, unlessClosed(l.Close()))
	}
	for c := range f.conns {
		c.last.Store(true)
		if which(c) {
			failed = errors.Join(failed, unlessClosed(c.wire.stop()))
		}
	}
	return failed
}

// unlessClosed returns why something could not be closed, unless it was closed already,
// by whichever side.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ENOTCONN) {
		return nil
	}
	return err
}

// answer answers a request, or says why it is refused unheard. What a handler breaks
// off is an error.
//
// What shares its goroutine with other connections answers there only what rests on
// memory alone: a plain request that gets a verdict, and a refusal. All else goes aside
// first, for it may reach the database, such as for the event of a refused attempt.
func (f *FastServer) answer(c *fastCall) (err error) {
	defer func() {
		switch cause := recover(); {
		case cause == http.ErrAbortHandler: // of which the passage has told
			err = errBroken
		case cause != nil:
			f.server.log.Error("an answer panicked", "cause", token.Conceal(fmt.Sprint(cause)), "stack", string(debug.Stack()))
			err = errBroken
		}
	}()
	if c.plain.length > 0 && !c.answer.closes {
		if answered, err := f.plainly(c); answered {
			return err
		}
	}
	if c.refusal == nil {
		c.conn.wire.aside()
	}
	if c.plain.length > 0 {
		c.conn.reread()
	}
	f.handler.ServeHTTP(&c.answer, &c.request)
	return c.answer.err
}

var errBroken = errors.New("the answer was broken off")

// fastCallKey is where the context of a request has its fastCall.
type fastCallKey struct{}

// route answers the hot path, and says where all else is.
func (f *FastServer) route(w http.ResponseWriter, r *http.Request) {
	s, call := f.server, r.Context().Value(fastCallKey{}).(*fastCall)
	requestOf(r.Context()).direct = true
	w.Header()["Cache-Control"] = s.values.noStore
	if call.refusal != nil {
		s.fail(w, r, call.refusal)
		return
	}
	answer := s.hot[r.URL.Path]
	if call.stale {
		r.Pattern = http.MethodPost + " " + r.URL.Path
		s.metrics.verified[replica.Stale].Inc()
		s.fail(w, r, errStale)
		return
	}
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
