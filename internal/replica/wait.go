package replica

import (
	"context"
	"fmt"

	"github.com/posternhq/postern/internal/iam"
)

// Wait is the [iam.Fence] of a deployment with one node: it has Follow ask the
// feed and returns once this process answers from change seq or a later one. It
// fails with the kind [iam.Unconfirmed] when ctx ends before that, and when the
// replica is stale: then the change is recorded, and this node is not known to
// have applied it.
func (r *Replica) Wait(ctx context.Context, seq int64) (iam.Receipt, error) {
	begun := r.now()
	receipt := iam.Receipt{Revision: seq, Durability: iam.Local, Nodes: iam.ReceiptNodes{Total: 1}}
	err := r.reach(ctx, seq)
	receipt.Took = r.now().Sub(begun)
	if err != nil {
		receipt.Nodes.Waiting = []iam.WaitingNode{{Name: r.node}}
		return receipt, err
	}
	receipt.Confirmed, receipt.By, receipt.Nodes.Confirmed = true, iam.ByAcked, 1
	return receipt, nil
}

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
