package fence

import (
	"context"
	"errors"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// lease returns what an answer to a renewal gives: four fifths of what the row
// says, so that no two clocks that differ by the 8.3 % that are allowed disagree
// about whether it is over.
func (n *Node) lease(sent replica.Instant, answer iam.Renewal) replica.Lease {
	return replica.Lease{
		Sent: sent, Strict: n.ttl * 4 / 5, Bounded: (n.ttl + n.bounded) * 4 / 5, Time: answer.Time,
	}
}

// Answer calls encode with a view until what it encoded may be sent, and then
// returns nil. When there is no lease it asks for one and waits a little; after
// that the error is of kind [iam.Stale]. Nothing else leads to an answer: a lease
// that lives, looked at after everything else is done.
func (n *Node) Answer(ctx context.Context, encode func(replica.View)) error {
	err := n.replica.Answer(ctx, encode)
	if err == nil || !errors.Is(err, iam.Stale) {
		return err
	}
	return n.insist(ctx, encode)
}

// insist answers once there is a lease again, if that is soon.
func (n *Node) insist(ctx context.Context, encode func(replica.View)) error {
	for arrived := n.clock.Now(); ; {
		published := n.replica.Published() // before the look, so that nothing is missed in between
		err := n.replica.Answer(ctx, encode)
		if !errors.Is(err, iam.Stale) {
			return err
		}
		left := replica.Patience - (n.clock.Now().Monotonic - arrived.Monotonic)
		if left <= 0 || ctx.Err() != nil {
			return err
		}
		n.renewal.ring()
		n.clock.Sleep(ctx, left, published)
	}
}
