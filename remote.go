package postern

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// remote is a server, as a verifier follows it over HTTP: one stream, which tells of
// changes, and calls beside it. What the stream says waits here until the verifier's
// memory takes it.
type remote struct {
	servers   []*Client // of one deployment, in the order in which they are tried
	workspace string    // as it is asked for; empty: the key's own
	name      string
	self      string // the id under which uses are reported
	clock     fence.Clock
	log       *slog.Logger

	accepted atomic.Pointer[terms]
	no       chan struct{} // closed when the server refuses for good
	sayNo    func()

	mu       sync.Mutex    // guards what follows
	changed  chan struct{} // closed when something of it changes
	link     *link         // nil: there is no connection
	failure  error         // why there is no answer; nil: there was one since
	news     []relay.News  // that were heard and not yet taken
	from     iam.Position  // what the first of them follows on
	heard    iam.Position  // what the last of them leads to; zero: a snapshot is needed
	promised int64         // a change that will be heard of
	latest   time.Time     // that the server's time can have been at
	asked    replica.Instant
}

// link is one connection.
type link struct {
	server *Client
	hello  relay.Hello
	reader *relay.Reader
	ctx    context.Context // of the connection
	end    context.CancelCauseFunc
	body   io.Closer
	loads  bool          // its snapshot has not been read
	loaded chan struct{} // closed when it has been

	granted  bool     // it got a sub-lease; the remote's mu guards it
	renewing renewing // used by who renews alone

	silence atomic.Pointer[time.Timer] // ends the connection when nothing is heard; nil: nobody listens
}

// listen ends the connection when nothing is heard for some beats, until stop is called.
func (l *link) listen() (stop func()) {
	timer := time.AfterFunc(fewBeats*l.hello.Heartbeat(), func() { l.end(errQuiet) })
	l.silence.Store(timer)
	return func() {
		l.silence.Store(nil)
		timer.Stop()
	}
}

// heard is the body of a stream, of which each part is a sign of life.
type heard struct {
	io.Reader
	link *link
}

// Read implements [io.Reader].
func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if timer := h.link.silence.Load(); timer != nil && n > 0 {
		timer.Reset(fewBeats * h.link.hello.Heartbeat())
	}
	return n, err
}

// newRemote returns what follows the servers that the options name.
func newRemote(o *options, clock fence.Clock) (*remote, error) {
	o.fromEnvironment()
	if o.key.IsZero() {
		return nil, errors.New("postern: a verifier needs a key of its own: postern.Key, or POSTERN_KEY in the environment")
	}
	r := &remote{
		workspace: o.workspace, name: o.name, self: rand.Text(), clock: clock, log: o.log,
		no: make(chan struct{}), changed: make(chan struct{}),
	}
	r.sayNo = sync.OnceFunc(func() { close(r.no) })
	client := http.Client{Transport: transport()}
	if o.client != nil {
		client = *o.client
		client.Timeout = 0
	}
	for _, server := range o.servers {
		c := &Client{Server: server, Key: o.key, HTTP: &client, PlainHTTP: o.plainHTTP}
		if _, err := c.base(); err != nil {
			return nil, err
		}
		r.servers = append(r.servers, c)
	}
	return r, nil
}

// transport returns a transport of the verifier's own. What comes over a stream must
// not be held back to be made smaller.
func transport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	own := t.Clone()
	own.DisableCompression = true
	return own
}

const (
	soonestAgain = 100 * time.Millisecond // after a connection that was lost
	latestAgain  = 2 * time.Second        // after many
	refusedAgain = 10 * time.Second       // when the server said no
	longestHello = 5 * time.Second        // that a server may take to begin
	fewBeats     = 5                      // that may not be heard
	mostNews     = 1024                   // that wait, until the rest has to
)

// run keeps up a connection until ctx ends. It stays with a server as long as that can
// be reached and says something, and else tries the next.
func (r *remote) run(ctx context.Context, memory *replica.Replica) {
	pause := soonestAgain
	for at := 0; ctx.Err() == nil; {
		l, err := r.connect(ctx, r.servers[at])
		if err == nil {
			err = r.hear(l, memory)
			l.close(err)
			if r.served(l) {
				pause = soonestAgain
			}
		}
		if l == nil || errors.Is(err, errQuiet) {
			at = (at + 1) % len(r.servers)
		}
		if ctx.Err() != nil {
			return
		}
		r.lose(err)
		r.wait(ctx, pause, err)
		pause = min(2*pause, latestAgain)
	}
}

// served reports whether a connection was of use. After those that were not, the next
// waits longer and longer: each may begin with all that there is.
func (r *remote) served(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.granted
}

// wait waits before the next connection, not as long as others that lost theirs at the
// same time.
func (r *remote) wait(ctx context.Context, pause time.Duration, why error) {
	if isRefusal(why) {
		pause = refusedAgain
	}
	r.clock.Sleep(ctx, pause/2+mathrand.N(pause/2), nil)
}

// connect opens a stream, which goes on where the last one ended if that is possible.
func (r *remote) connect(ctx context.Context, server *Client) (*link, error) {
	r.mu.Lock()
	from := r.heard
	r.mu.Unlock()
	l := &link{server: server, loaded: make(chan struct{})}
	l.ctx, l.end = context.WithCancelCause(ctx)
	patience := time.AfterFunc(longestHello, func() { l.end(errQuiet) })
	err := r.open(l, from)
	if patience.Stop(); err == nil {
		err = context.Cause(l.ctx)
	}
	if err != nil {
		err = cmp.Or(context.Cause(l.ctx), err)
		l.close(err)
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link = l
	if l.loads {
		r.news, r.heard, r.promised = nil, iam.Position{}, 0
	}
	r.tell()
	return l, nil
}

// open asks for a stream and reads its beginning.
func (r *remote) open(l *link, from iam.Position) error {
	base, err := l.server.base()
	if err != nil {
		return err
	}
	resp, err := l.server.send(l.ctx, call{method: http.MethodGet, url: base + "/v1/replica?" + r.query(from)})
	if err != nil {
		return err
	}
	l.body = resp.Body
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != relay.ContentType {
		return errors.New("what answers there is not Postern, or does not let verifiers follow")
	}
	l.reader = relay.NewReader(heard{resp.Body, l})
	if l.hello, err = l.reader.Hello(from); err != nil {
		return err
	}
	l.loads = !l.hello.Resumed
	if !l.loads {
		close(l.loaded)
	}
	return r.agree(l.hello)
}

// close ends a connection.
func (l *link) close(why error) {
	l.end(why)
	if l.body != nil {
		_ = l.body.Close() // nothing more is wanted of it
	}
}

func (r *remote) query(from iam.Position) string {
	q := url.Values{"reporter": {r.self}}
	if r.workspace != "" {
		q.Set("workspace", r.workspace)
	}
	if r.name != "" {
		q.Set("name", r.name)
	}
	if from.Seq != 0 {
		q.Set("from", relay.FormatPosition(from))
	}
	return q.Encode()
}

// anyWorkspace is what is written to have the keys of all workspaces accepted.
const anyWorkspace = "any"

// agree takes up what keys are accepted. It is asked for once and for all: a server
// that later answers for another workspace is not believed.
func (r *remote) agree(h relay.Hello) error {
	if h.Any != (r.workspace == anyWorkspace) {
		return errors.New("the server answers for other workspaces than it was asked about")
	}
	t := &terms{scope: replica.OneWorkspace(h.Workspace), prefixes: h.Prefixes}
	if h.Any {
		t.scope = replica.AnyWorkspace()
	}
	if before := r.accepted.Load(); before != nil && before.scope != t.scope {
		return errors.New("the server answers for another workspace than before")
	}
	r.accepted.Store(t)
	return nil
}

// hear takes down what a stream says until it ends.
func (r *remote) hear(l *link, memory *replica.Replica) error {
	memory.Kick() // there may be a snapshot
	select {
	case <-l.loaded:
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
	defer l.listen()()
	for {
		told, err := l.reader.Next()
		if err != nil {
			return cmp.Or(context.Cause(l.ctx), err)
		}
		if len(told.Changes) > 0 {
			r.note(l, told)
			memory.Kick()
		}
	}
}

// note keeps what was heard until it is taken. When too much waits, the stream does.
func (r *remote) note(l *link, told relay.News) {
	for {
		r.mu.Lock()
		if len(r.news) < mostNews {
			r.news, r.heard = append(r.news, told), told.At
			r.tell()
			r.mu.Unlock()
			return
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-l.ctx.Done():
			return
		}
	}
}

// lose notes that there is no connection, and why.
func (r *remote) lose(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.log.Warn("the verifier has lost its server, and tries to find it again", "error", why)
	}
	r.link, r.failure = nil, explain(why)
	if isRefusal(why) {
		r.sayNo()
	}
	r.tell()
}

// tell wakes whoever waits for something to change. r.mu is held.
func (r *remote) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// terms implements [upstream].
func (r *remote) terms() *terms { return r.accepted.Load() }

// refused implements [upstream].
func (r *remote) refused() <-chan struct{} { return r.no }

// reporter implements [upstream].
func (r *remote) reporter() string { return r.self }

// trouble implements [upstream].
func (r *remote) trouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}
