package fence

import (
	"context"
	"fmt"
	"time"
)

// farewell is how long a node tries to remove its row. Whoever is told to stop is
// not to wait for a database that does not answer.
const farewell = 2 * time.Second

// Stopped is why a node left that was told to.
const Stopped = "it was stopped"

// Leave ends this process as a node: it answers nothing from here on, then calls
// drain, which returns when every request in flight has been answered, waits until no
// verifier that follows it can answer either, and only then removes its row. When one
// of these fails, the row stays for the reaper, and changes wait for it once.
// [Node.Run] goes on, for those who wait.
func (n *Node) Leave(ctx context.Context, drain func(context.Context) error) error {
	n.mu.Lock()
	n.leaving = true // before the fence: see renew
	n.mu.Unlock()
	n.replica.Fence()
	if err := drain(ctx); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if err := n.children.Leave(ctx); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	row := n.me()
	if row.incarnation == "" {
		return nil
	}
	ctx, cancel := n.clock.Limit(ctx, farewell)
	defer cancel()
	removed, err := n.db.Leave(ctx, row.incarnation)
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	n.forget()
	if removed { // else a reaper was here before
		self := n.ownRow(row.incarnation)
		self.StartedAt = row.joined
		n.journal.Left(self, Stopped)
	}
	n.log.Info("the node has left", "node", n.name, "incarnation", row.incarnation)
	return nil
}
