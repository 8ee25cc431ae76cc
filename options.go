package postern

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/standin"
	"github.com/posternhq/postern/internal/usage"
)

// Option says something about a new [Verifier].
type Option func(*options)

type options struct {
	servers     []string
	key         Secret
	workspace   string
	name        string
	client      *http.Client
	plainHTTP   bool
	behindProxy bool
	atOnce      bool
	log         *slog.Logger
	observe     Observer
	backing     *standin.Server // nil: a real server is followed
}

// Server says where Postern is, such as https://postern.internal. Of several servers
// of one deployment, the verifier follows one, and another when that is away. Without
// it, the environment says it: POSTERN_URL.
func Server(urls ...string) Option { return func(o *options) { o.servers = urls } }

// Key is the verifier's own key. It needs iam.keys:verify, which the role verifier
// gives. Without it, the environment has it: POSTERN_KEY.
func Key(text string) Option { return func(o *options) { o.key = NewSecret(text) } }

// Workspace says whose keys are accepted: an id, a slug, or "any", written out, for
// those of all workspaces. Without it they are those of the key's own workspace; for
// another, the key must be one of the system workspace.
func Workspace(ref string) Option { return func(o *options) { o.workspace = ref } }

// Name is what the verifier is called in lists of nodes and sources. Without it, it
// is called as the account of its key.
func Name(name string) Option { return func(o *options) { o.name = name } }

// HTTPClient is used for calls to the server. Its Timeout and CheckRedirect are not
// used: the verifier follows no redirect.
func HTTPClient(c *http.Client) Option { return func(o *options) { o.client = c } }

// PlainHTTP allows the key to be sent without encryption to another machine. To this
// one it always may.
func PlainHTTP() Option { return func(o *options) { o.plainHTTP = true } }

// BehindProxy makes [Require] take the address of a client from the last element of
// X-Forwarded-For, which the nearest proxy has to set itself. Nobody else may reach
// the service then.
func BehindProxy() Option { return func(o *options) { o.behindProxy = true } }

// AtOnce makes [New] return before the verifier answers: until then, [ErrStale].
func AtOnce() Option { return func(o *options) { o.atOnce = true } }

// Logger hears when the server is lost and found. Without it, or with nil, nobody does.
func Logger(log *slog.Logger) Option {
	return func(o *options) {
		if log != nil {
			o.log = log
		}
	}
}

// Observe tells an observer of each verification. Without it nothing is measured.
func Observe(o Observer) Option { return func(opts *options) { opts.observe = o } }

// Begins and ends of verifiers.
const (
	longestStart = 30 * time.Second // that New waits
	heartbeat    = 2 * time.Second  // of reports: others want to know that there was no use either
)

// New returns a verifier that answers. When it does not within 30 s, or before ctx
// ends, or when the server refuses its key, the error says why. What it began goes on
// until Close, also when ctx ends.
func New(ctx context.Context, opts ...Option) (*Verifier, error) {
	o := options{log: slog.New(slog.DiscardHandler), backing: standin.From(ctx)}
	for _, opt := range opts {
		opt(&o)
	}
	v, err := o.verifier()
	if err != nil {
		return nil, err
	}
	v.start(context.WithoutCancel(ctx))
	if o.atOnce {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, longestStart)
	defer cancel()
	if err := v.up(ctx); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// verifier puts a verifier together that does nothing yet.
func (o *options) verifier() (*Verifier, error) {
	v := &Verifier{clock: fence.SystemClock(), behindProxy: o.behindProxy, observe: o.observe}
	if o.backing != nil {
		v.clock, v.above = o.backing.Clock, &standIn{o.backing, terms{o.backing.Scope, o.backing.Prefixes}}
	}
	v.memory = replica.New(replica.Options{Log: o.log, Clock: v.clock.Now})
	if o.backing == nil {
		server, err := newRemote(o, v.clock)
		if err != nil {
			return nil, err
		}
		v.above = server
	}
	if o.backing != nil && o.backing.Began != nil {
		o.backing.Began(v.memory) // before anything follows
	}
	if o.backing == nil || o.backing.Reports != nil {
		var err error
		begun := time.Now()
		if v.uses, err = usage.New(usage.Options{
			Reporter: iam.Reporter{ID: v.above.reporter(), Name: o.name, Kind: "verifier"}, Store: v.above, Log: o.log,
			Now: func() time.Duration { return time.Since(begun) }, Heartbeat: heartbeat,
		}); err != nil {
			return nil, fmt.Errorf("postern: %w", err)
		}
	}
	v.follower = fence.NewVerifier(v.memory, &announced{upstream: v.above, uses: v.uses}, v.clock)
	return v, nil
}

// announced is what a verifier follows, which hears of its reports before it may
// answer: nothing is counted that nobody could be told of.
type announced struct {
	upstream
	uses *usage.Gatherer // nil: nobody counts
	done bool            // belongs to the goroutine that asks for sub-leases
}

// Renew implements [fence.Parent].
func (a *announced) Renew(ctx context.Context, p replica.Ping) (replica.Grant, error) {
	g, err := a.upstream.Renew(ctx, p)
	if err == nil && a.uses != nil && !a.done {
		err = a.uses.Register(ctx)
		a.done = err == nil
	}
	return g, err
}

// standIn is a backing as a verifier follows it.
type standIn struct {
	*standin.Server
	accepted terms
}

func (s *standIn) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	return s.Parent.Changes(ctx, after, limit)
}

func (s *standIn) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	return s.Parent.Snapshot(ctx, sink)
}

func (s *standIn) Renew(ctx context.Context, p replica.Ping) (replica.Grant, error) {
	return s.Parent.Renew(ctx, p)
}

func (s *standIn) Acknowledge(at iam.Position) error { return s.Parent.Acknowledge(at) }

func (s *standIn) Register(ctx context.Context, r iam.Reporter) (time.Time, error) {
	return s.Reports.Register(ctx, r)
}

func (s *standIn) Report(ctx context.Context, r iam.UsageReport) (time.Time, error) {
	return s.Reports.Report(ctx, r)
}

func (*standIn) run(ctx context.Context, _ *replica.Replica) { <-ctx.Done() }

func (s *standIn) terms() *terms               { return &s.accepted }
func (*standIn) trouble() error                { return nil }
func (*standIn) refused() <-chan struct{}      { return nil }
func (*standIn) reporter() string              { return "stand-in" }
func (*standIn) goodbye(context.Context) error { return nil }

func (o *options) fromEnvironment() {
	if len(o.servers) == 0 {
		o.servers = []string{os.Getenv("POSTERN_URL")}
	}
	if o.key.IsZero() {
		o.key = NewSecret(os.Getenv("POSTERN_KEY"))
	}
}

// start begins all that a verifier does by itself.
func (v *Verifier) start(ctx context.Context) {
	backing, stopBacking := context.WithCancel(ctx)
	following, stopFollowing := context.WithCancel(backing)
	v.backing.stop, v.following.stop = stopBacking, stopFollowing
	v.backing.running.Go(func() { v.above.run(backing, v.memory) })
	if v.uses != nil {
		v.backing.running.Go(func() { v.uses.Run(backing) })
	}
	v.following.running.Go(func() { v.follower.Run(following) })
}

// up returns nil once the verifier answers, and an error when it will not.
func (v *Verifier) up(ctx context.Context) error {
	for {
		published := v.memory.Published() // before the look, so that nothing is missed in between
		if v.memory.Ready() == nil {
			return nil
		}
		select {
		case <-published:
		case <-v.above.refused():
			return fmt.Errorf("postern: %w", v.above.trouble())
		case <-ctx.Done():
			return v.stale(cmp.Or(context.Cause(ctx), v.memory.Ready()))
		}
	}
}
