package fence_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// process is what a process of Postern has of this: a store, a node, and the
// service on both.
type process struct {
	*fence.Node
	service *iam.Service
	store   *store.Store
	replica *replica.Replica
	gate    *gate
	kill    func() // ends it without a word
}

// gate stands between a node and its database, and lets pass what a test lets.
type gate struct {
	fence.Database
	meet atomic.Pointer[func(ctx context.Context, call string) error] // nil: everything passes
}

// set has every call meet something first, whose error is what it gets. Nil ends
// that.
func (g *gate) set(meet func(ctx context.Context, call string) error) {
	if meet == nil {
		g.meet.Store(nil)
		return
	}
	g.meet.Store(&meet)
}

// hold holds calls of one kind back until release.
func (g *gate) hold(call string) (release func()) {
	held := make(chan struct{})
	g.set(func(ctx context.Context, name string) error {
		if name != call {
			return nil
		}
		select {
		case <-held:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return sync.OnceFunc(func() { g.set(nil); close(held) })
}

func (g *gate) pass(ctx context.Context, call string) error {
	if meet := g.meet.Load(); meet != nil {
		return (*meet)(ctx, call)
	}
	return nil
}

func (g *gate) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	if err := g.pass(ctx, "changes"); err != nil {
		return nil, after, err
	}
	return g.Database.Changes(ctx, after, limit)
}

func (g *gate) Renew(ctx context.Context, incarnation string) (iam.Renewal, error) {
	if err := g.pass(ctx, "renew"); err != nil {
		return iam.Renewal{}, err
	}
	return g.Database.Renew(ctx, incarnation)
}

func (g *gate) Ack(ctx context.Context, incarnation string, at iam.Position) error {
	if err := g.pass(ctx, "ack"); err != nil {
		return err
	}
	return g.Database.Ack(ctx, incarnation, at)
}

func (g *gate) Lagging(ctx context.Context, incarnation string, seq int64) (iam.Roll, error) {
	if err := g.pass(ctx, "lagging"); err != nil {
		return iam.Roll{}, err
	}
	return g.Database.Lagging(ctx, incarnation, seq)
}

// startProcess starts a process, which is killed at the latest with the test.
func startProcess(tb testing.TB, url string, o fence.Options) *process {
	tb.Helper()
	s, err := store.Open(tb.Context(), url, store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	db, err := s.Nodes()
	if err != nil {
		tb.Fatal(err)
	}
	clock := fence.SystemClock()
	if o.Replica == nil {
		o.Replica = replica.New(replica.Options{Clock: clock.Now, Node: o.Name})
	}
	p := &process{store: s, replica: o.Replica, gate: &gate{Database: db}}
	o.Database, o.Clock, o.Random = p.gate, clock, rand.Reader
	if p.Node, err = fence.New(o); err != nil {
		tb.Fatal(err)
	}
	p.service = &iam.Service{Store: s, Fence: p.Node, Now: time.Now}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	p.kill = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(p.kill)
	return p
}

// ready waits until a node answers.
func (p *process) ready(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	for p.Ready() != nil {
		select {
		case <-p.replica.Published():
		case <-ctx.Done():
			tb.Fatalf("it is not ready: %v", p.Ready())
		}
	}
}

// startProcesses starts so many, and waits until they answer.
func startProcesses(tb testing.TB, url string, many int, ttl time.Duration) (all []*process) {
	tb.Helper()
	for i := range many {
		all = append(all, startProcess(tb, url, fence.Options{Name: fmt.Sprint("node-", i), TTL: ttl}))
	}
	for _, p := range all {
		p.ready(tb)
	}
	return all
}

// verdict verifies a key on a node, as a door does.
func (p *process) verdict(ctx context.Context, h token.Hash) (v replica.Verdict) {
	if err := p.Answer(ctx, func(view replica.View) {
		v = view.Verify(h, replica.Query{IP: address, Scope: replica.AnyWorkspace()})
	}); err != nil {
		return replica.Verdict{Code: replica.Stale}
	}
	return v
}

// address is where callers are.
var address = netip.MustParseAddr("192.0.2.7")

// caller returns who holds a key, as a node knows them.
func (p *process) caller(tb testing.TB, secret token.Secret) iam.Caller {
	tb.Helper()
	v := p.verdict(tb.Context(), secret.Hash())
	if v.Code != replica.Valid {
		tb.Fatalf("the key is %s, want valid", v.Code)
	}
	c := v.Caller()
	c.Source, c.RequestID = audit.Source{IP: address.String(), Node: "test"}, "req"
	return c
}

// initialize makes the first owner, through one of the processes.
func (p *process) initialize(tb testing.TB) iam.Caller {
	tb.Helper()
	_, secret, err := p.service.Initialize(tb.Context(), iam.Initialization{Workspace: "Operations", Email: "ops@example.com", KeyName: "first"})
	if err != nil {
		tb.Fatal(err)
	}
	return p.caller(tb, secret)
}

// account makes a service account.
func (p *process) account(tb testing.TB, owner iam.Caller, name, role string) iam.ServiceAccount {
	tb.Helper()
	done, err := p.service.CreateServiceAccount(tb.Context(), owner, "-", iam.NewServiceAccount{Name: name, Role: role})
	if err != nil {
		tb.Fatal(err)
	}
	return done.Value
}

// key makes a key of an account.
func (p *process) key(tb testing.TB, owner iam.Caller, account, name string) (iam.Key, token.Secret) {
	tb.Helper()
	done, secret, err := p.service.CreateKey(tb.Context(), owner, "-", account, iam.NewKey{Name: name})
	if err != nil {
		tb.Fatal(err)
	}
	return done.Value, secret
}
