package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Begin begins to wait for a change where there is one node. It implements
// [iam.Fence].
func (r *Replica) Begin(seq int64) iam.Waiting { return wait{r, seq, r.now()} }

// wait is a change that waits to have reached this node.
type wait struct {
	replica *Replica
	seq     int64
	begun   time.Time
}

// Wait has Follow ask the feed and returns once this process answers from the
// change or a later one. It fails with the kind [iam.Unconfirmed] when ctx ends
// before that, and when the replica is stale: then the change is recorded, and this
// node is not known to have applied it.
func (w wait) Wait(ctx context.Context) (iam.Receipt, error) {
	r := w.replica
	receipt := iam.Receipt{Revision: w.seq, Durability: iam.Local, Nodes: iam.ReceiptNodes{Total: 1}}
	err := r.reach(ctx, w.seq)
	receipt.Took = r.now().Sub(w.begun)
	if err != nil {
		receipt.Nodes.Waiting = []iam.WaitingNode{{Name: r.node}}
		return receipt, err
	}
	receipt.Confirmed, receipt.By, receipt.Nodes.Confirmed = true, iam.ByAcked, 1
	return receipt, nil
}

// Close implements [iam.Waiting]: there is nothing to end.
func (wait) Close() {}

// reach returns nil once a state that follows change seq is published.
func (r *Replica) reach(ctx context.Context, seq int64) error {
	for {
		published := r.Published() // before the look, so that nothing is missed in between
		s := r.current.Load()
		switch {
		case s.stale != nil:
			return unconfirmed(seq, s.stale)
		case s.position.Seq >= seq:
			return nil
		}
		r.Kick()
		select {
		case <-published:
		case <-ctx.Done():
			return unconfirmed(seq, context.Cause(ctx))
		}
	}
}

func unconfirmed(seq int64, cause error) error {
	return fmt.Errorf("%w: %w", iam.Errorf(iam.Unconfirmed,
		"revision %d is recorded, and this node is not known to have applied it yet", seq), cause)
}
