package fence

import (
	"context"
	"errors"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

const (
	pollEvery   = 200 * time.Millisecond
	listenAgain = time.Second
)

// follow applies changes as they come, and acknowledges them. It is woken by
// whoever hears of one, and looks by itself if nobody does.
func (n *Node) follow(ctx context.Context) {
	var failed error
	for ctx.Err() == nil {
		err := n.advance(ctx)
		if err != nil && failed == nil && ctx.Err() == nil {
			n.log.Warn("the node cannot follow", "revision", n.replica.Position().Seq, "error", err)
		}
		failed = err
		n.clock.Sleep(ctx, n.children.left(pollEvery), n.replica.Kicked())
	}
}

// advance applies what there is and then acknowledges it: never the other way
// round, for an acknowledgement says that nothing older is answered any more.
func (n *Node) advance(ctx context.Context) error {
	if !n.replica.Standing().Fit {
		return nil // keep loads
	}
	limited, cancel := n.limited(ctx)
	defer cancel()
	failed := n.catchUp(limited)
	if !n.replica.Standing().Fit {
		n.renewal.ring()
	}
	if err := n.acknowledge(ctx); err != nil {
		return err
	}
	return failed
}

// acknowledge writes down from before which change neither the node nor a verifier
// that follows it can answer, if the server that writes it down has the same change.
// The row is read before the position: a row of later than the position may be one
// that has joined with an older log.
func (n *Node) acknowledge(ctx context.Context) error {
	row := n.me()
	view := n.replica.View()
	was := view.Standing()
	if row.incarnation == "" || row.acked >= was.Position.Seq {
		return nil
	}
	at, settled := n.children.settle(view)
	if !settled || row.acked >= at.Seq {
		return nil // follow comes back
	}
	ctx, cancel := n.limited(ctx)
	defer cancel()
	err := n.db.Ack(ctx, row.incarnation, at)
	switch {
	case errors.Is(err, iam.Diverged) && n.replica.Standing().Epoch == was.Epoch: // else what it is about is gone
		return n.diverge(err)
	case errors.Is(err, iam.NotFound):
		n.renewal.ring() // which finds out what it means
		return err
	case err != nil:
		return err
	}
	n.mu.Lock()
	if n.row.incarnation == row.incarnation {
		n.row.acked = at.Seq
	}
	n.mu.Unlock()
	n.acked.ring()
	return nil
}

// listen has the database tell of changes, so that they need not be looked for.
func (n *Node) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.db.Listen(ctx, n.replica.Kick); err != nil && ctx.Err() == nil {
			n.log.Debug("the node does not hear of changes, and looks for them", "error", err)
		}
		n.clock.Sleep(ctx, listenAgain, nil)
	}
}
