package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

func crash(ctx context.Context, r *Run, _ *rand.Rand) error {
	return r.pair.Crash(context.WithoutCancel(ctx)) // there is no way back
}

// What becomes of the old primary in a failover. Nobody follows it any more, so
// that it can complete no commit.
type old uint8

const (
	oldStopped old = iota
	oldCutOff      // it runs, and nobody reaches it
	oldKept        // it runs, and one node goes on with it
)

// nobody stands for the node that goes on with an old primary, where none does.
const nobody = -1

// failover promotes the standby, leads the nodes to it, and gives it a standby.
func failover(what old) onDatabase {
	return func(ctx context.Context, r *Run, random *rand.Rand) error {
		ctx = context.WithoutCancel(ctx) // there is no way back
		kept := nobody
		if what == oldKept {
			kept = random.IntN(len(r.nodes))
		}
		if err := r.depose(ctx, what, kept); err != nil {
			return err
		}
		if err := r.pair.Promote(ctx); err != nil {
			return err
		}
		r.lead(kept, random)
		if err := r.pair.Follow(ctx); err != nil {
			return err
		}
		return r.bury(ctx, kept, random)
	}
}

// depose stops the primary, or keeps all nodes but one away from it.
func (r *Run) depose(ctx context.Context, what old, kept int) error {
	if what == oldStopped {
		return r.pair.stop(ctx, r.pair.primary, "immediate")
	}
	for i, n := range r.nodes {
		if i != kept {
			n.Proxy.Turn(Weather{HoldUp: true, HoldDown: true})
		}
	}
	return nil
}

// lead leads the nodes to the new primary. The one that goes on with the old one
// keeps its connections there; new ones may lead to the new one.
func (r *Run) lead(kept int, random *rand.Rand) {
	for i, n := range r.nodes {
		if i != kept {
			n.Proxy.Lead(r.pair.Addr())
			n.Proxy.Reset()
			n.Proxy.Turn(Weather{})
		} else if random.IntN(2) == 0 {
			n.Proxy.Lead(r.pair.Addr())
		}
	}
}

// bury ends the old primary. While a node goes on with it, every wait for a
// standby is cancelled there for a while: PostgreSQL then answers that the commit
// is done, with a warning that it may not have been replicated.
func (r *Run) bury(ctx context.Context, kept int, random *rand.Rand) error {
	if kept == nobody {
		return r.pair.Retire(ctx, "immediate")
	}
	if err := r.cancelWaits(ctx, 2*r.plan.TTL); err != nil {
		return err
	}
	err := r.pair.Retire(ctx, []string{"immediate", "fast"}[random.IntN(2)])
	r.nodes[kept].Proxy.Lead(r.pair.Addr())
	r.nodes[kept].Proxy.Reset()
	return err
}

// cancelWaits cancels what waits for a standby on the old primary, for some time.
func (r *Run) cancelWaits(ctx context.Context, d time.Duration) error {
	conn, err := pgx.Connect(ctx, r.pair.spare.url())
	if err != nil {
		return fmt.Errorf("connect to the old primary: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing was written
	for end := r.clock.Now() + d; r.clock.Now() < end; {
		if _, err := conn.Exec(ctx, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`); err != nil {
			return err
		}
		_ = pause(ctx, 20*time.Millisecond) // the loop looks
	}
	return nil
}
