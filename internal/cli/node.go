package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/usage"
)

// answerer is what the rest of the process needs of a node: changes wait for it,
// it lets answers out, and it knows all nodes.
type answerer interface {
	iam.Fence
	iam.Roster
	server.Door
}

// node is this process among those that answer from one store: the only one on
// SQLite, one of several on PostgreSQL.
type node struct {
	cfg     config.Config
	log     *slog.Logger
	rows    *store.Store
	memory  *replica.Replica
	claim   *store.Claim // nil: on PostgreSQL, where processes know of each other
	among   *fence.Node  // nil: it is the only one
	only    *fence.Alone // nil: it is one of several
	answers answerer     // among, or only
	journal *iam.Journal

	reporter string          // the id under which uses are reported; empty: nobody is answered, so that there are none
	uses     *usage.Gatherer // nil: nobody counts

	// pending is what has to be done on the store before the node can begin,
	// when the database was not there at the start; else nil.
	pending func(ctx context.Context) error

	closers []func() error // what is closed at the end, the last first
}

// duty is what a node is there for, beyond a command's own business.
type duty struct {
	observe  func(string, time.Duration, error) // hears of each operation of the store; nil: nobody does
	reporter string                             // as in node
}

// openNode opens the store as the settings say. On SQLite nobody else may have it;
// PostgreSQL need not be there yet.
func openNode(ctx context.Context, cfg config.Config, log *slog.Logger, d duty) (n *node, err error) {
	n = &node{cfg: cfg, log: log, reporter: d.reporter}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if !cfg.Postgres() {
		if n.claim, err = store.NewClaim(cfg.StoreURL); err != nil {
			return n, err
		}
		n.closers = append(n.closers, n.giveUp)
	}
	if n.rows, err = store.New(ctx, cfg.StoreURL, store.Options{Observe: d.observe}); err != nil {
		return n, err
	}
	n.closers = append(n.closers, n.rows.Close)
	n.journal = &iam.Journal{Store: n.rows, Node: nodeName(cfg), Now: time.Now}
	if cfg.Postgres() {
		return n, n.join()
	}
	n.memory = replica.New(replica.Options{Log: log, Node: nodeName(cfg), Version: buildVersion(), Tail: tailLen})
	n.only = fence.NewAlone(n.memory, fence.SystemClock(), n.claim.Lingering())
	n.answers = n.only
	return n, nil
}

// tailLen is how many batches of changes are kept for verifiers that follow the server,
// and have fallen behind or come back.
const tailLen = 256

// giveUp gives up the claim on the database of the only node. Whoever has it next is
// to know when verifiers may still answer that followed this one.
func (n *node) giveUp() error {
	if n.only != nil && n.children().Sum().Held > 0 {
		return n.claim.Abandon()
	}
	return n.claim.Release()
}

// children are the verifiers outside the server that follow this node.
func (n *node) children() *fence.Children {
	if n.among != nil {
		return n.among.Children()
	}
	return n.only.Children()
}

// join makes the process one of several.
func (n *node) join() error {
	lease, err := n.cfg.Lease()
	if err != nil {
		return err
	}
	table, err := n.rows.Nodes()
	if err != nil {
		return err
	}
	n.closers = append(n.closers, table.Close)
	clock := fence.SystemClock()
	n.memory = replica.New(replica.Options{Log: n.log, Node: nodeName(n.cfg), Clock: clock.Now, Tail: tailLen})
	n.among, err = fence.New(fence.Options{
		Name: nodeName(n.cfg), Version: buildVersion(), Reporter: n.reporter,
		TTL: lease.TTL, Bounded: lease.Bounded, Local: n.cfg.Durability == "local",
		Replica: n.memory, Database: table, Clock: clock, Random: rand.Reader, Log: n.log,
		Journal: n.journal,
	})
	n.answers = n.among
	return err
}

// close gives up what the node has, whatever it has.
func (n *node) close() (err error) {
	for len(n.closers) > 0 {
		last := len(n.closers) - 1
		err = errors.Join(err, n.closers[last]())
		n.closers = n.closers[:last]
	}
	return err
}

// prepare brings the store up to date, and returns the root secret and whether
// somebody has initialised the store. When PostgreSQL is not there, and no secret
// may have to be made, a node begins without it: run goes on asking.
func (n *node) prepare(ctx context.Context, missing missingSecret) (secret []byte, initialized bool, err error) {
	initialized, err = n.examine(ctx)
	if n.among == nil || missing == makeMissing || !errors.Is(err, iam.Unavailable) {
		if err != nil {
			return nil, false, err
		}
		secret, err = rootSecret(ctx, n.cfg, n.rows, initialized, missing)
		return secret, initialized, errors.Join(err, n.load(ctx))
	}
	n.log.Warn("PostgreSQL cannot be reached: this node answers nothing until it can", "error", err)
	path := n.cfg.SecretPath()
	if secret, err = readRootSecret(path); err != nil {
		return nil, false, err
	}
	n.pending = func(ctx context.Context) error {
		if _, err := n.examine(ctx); err != nil {
			return err
		}
		return checkFingerprint(ctx, n.rows, secret, path)
	}
	return secret, true, nil
}

// examine brings the store's tables up to date, refuses a database that no promise
// can be made on, and says whether somebody has initialised the store.
func (n *node) examine(ctx context.Context) (initialized bool, err error) {
	if n.among != nil {
		if err := n.reach(ctx); err != nil {
			return false, err
		}
	}
	if err := n.rows.Migrate(ctx); err != nil {
		return false, err
	}
	if n.among != nil {
		if err := n.among.Examine(ctx); err != nil {
			return false, err
		}
	}
	if initialized, err = n.rows.Initialized(ctx); err != nil {
		return false, fmt.Errorf("look whether the store is initialised: %w", err)
	}
	return initialized, nil
}

// reach asks whether the database is there, and does not wait for long.
func (n *node) reach(ctx context.Context) error {
	const long = 2 * time.Second
	limited, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	err := n.rows.Ping(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: no answer within %v: %w", iam.Unavailable, long, err)
	}
	return err
}

// run keeps the memory up to date until ctx ends. It returns an error only when
// it cannot go on.
func (n *node) run(ctx context.Context) error {
	if n.among == nil {
		n.alone(ctx, n.journal.Joined)
		return n.memory.Follow(ctx, n.rows)
	}
	for _, first := range []func(context.Context) error{n.pending, n.announce} {
		if err := reached(ctx, first); err != nil || ctx.Err() != nil {
			return err
		}
	}
	n.among.Run(ctx)
	return nil
}

// reached does what may be nil until the database was reached for it, or ctx ends.
func reached(ctx context.Context, do func(context.Context) error) error {
	const again = 500 * time.Millisecond
	for do != nil {
		err := do(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case !unreached(err):
			return err
		}
		_ = wait(ctx, again) // ctx ends the loop
	}
	return nil
}

// unreached reports whether an error says that the database could not be asked, or
// that nobody knows what it did.
func unreached(err error) bool {
	return errors.Is(err, iam.Unavailable) || errors.Is(err, iam.Unknown) || errors.Is(err, context.DeadlineExceeded)
}

// load fills the memory of a node that is the only one; others load when they join.
func (n *node) load(ctx context.Context) error {
	if n.among != nil {
		return nil
	}
	return n.memory.Load(ctx, n.rows)
}

// leave ends the node in order: nothing is answered any more, drain lets what is
// under way come to its end, all uses are reported, and then nobody waits for this
// node.
func (n *node) leave(ctx context.Context, drain func(context.Context) error) error {
	var unreported error
	finish := func(ctx context.Context) error {
		err := drain(ctx)
		unreported = n.lastReport(ctx)
		return err
	}
	if n.among != nil {
		return errors.Join(n.among.Leave(ctx, finish), unreported)
	}
	err := errors.Join(n.only.Leave(ctx, finish), unreported)
	n.alone(ctx, func(row iam.NodeRow) { n.journal.Left(row, fence.Stopped) })
	return err
}

// alone tells of the only node.
func (n *node) alone(ctx context.Context, tell func(iam.NodeRow)) {
	if all, err := n.memory.Nodes(ctx); err == nil { // it asks nobody
		for _, only := range all {
			tell(only.NodeRow)
		}
	}
}

// briefly calls fn with what its changes are to wait for, and then leaves.
func (n *node) briefly(ctx context.Context, fn func(context.Context, iam.Fence) error) (err error) {
	if n.among == nil {
		if err := wait(ctx, n.claim.Lingering()); err != nil {
			return err
		}
		return fn(ctx, iam.Nobody{}) // the claim says that nobody answers
	}
	below, stop := context.WithCancel(context.WithoutCancel(ctx)) // leaving needs it too
	var running sync.WaitGroup
	running.Go(func() { n.among.Run(below) })
	defer running.Wait()
	defer stop()
	if err := n.ready(ctx); err != nil {
		return err
	}
	err = fn(ctx, n.among)
	return errors.Join(err, n.leave(below, func(context.Context) error { return nil }))
}

// ready returns once the node answers, or why it does not.
func (n *node) ready(ctx context.Context) error {
	for {
		published := n.memory.Published() // before the look, so that nothing is missed in between
		err := n.answers.Ready()
		if err == nil {
			return nil
		}
		if trouble := n.trouble(); errors.Is(trouble, fence.ErrRefused) {
			return trouble
		}
		select {
		case <-published:
		case <-ctx.Done():
			return errors.Join(err, n.trouble())
		}
	}
}

// trouble is why the node has no lease.
func (n *node) trouble() error {
	if n.among == nil {
		return nil
	}
	return n.among.Trouble()
}

// wait returns after a while, or when ctx ends, which is an error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nodeName returns what this node is called.
func nodeName(cfg config.Config) string {
	if cfg.NodeName != "" {
		return cfg.NodeName
	}
	name, err := os.Hostname()
	if err != nil {
		return "node"
	}
	return name
}
