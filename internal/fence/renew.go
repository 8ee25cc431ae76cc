package fence

import (
	"context"
	"errors"
	"fmt"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

var (
	errFenced  = errors.New("the node was fenced, and joins anew")
	errLeaving = errors.New("the node is leaving")

	errUnproved = fmt.Errorf("%w: a verifier that follows has not heard of a change yet, and the renewal is asked for again", iam.Unavailable)
)

// renew asks for a lease, applies what its answer tells of, and takes it up.
func (n *Node) renew(ctx context.Context) error {
	was := n.replica.Standing() // first: a fence from here on voids the answer
	row, leaving := n.membership()
	if leaving {
		return errLeaving
	}
	sent := n.clock.Now() // before the write: what was committed by now, its answer tells of
	answer, err := n.askRenewal(ctx, row.incarnation)
	if errors.Is(err, iam.NotFound) {
		return n.fence("its row is gone")
	}
	if err != nil {
		return err
	}
	if err := n.examine(was, row, answer); err != nil {
		return err
	}
	if err := n.apply(ctx, answer.Head); err != nil {
		return err
	}
	if err := n.sameLog(ctx, answer.Head); err != nil {
		return err
	}
	return n.replica.Extend(was.Epoch, n.lease(sent, answer), answer.Head.Seq)
}

// sameLog returns an error unless what was applied is the log whose head a renewal
// told of. It was read over another connection, which may lead to another server;
// only an answer to a write proves which log counts.
func (n *Node) sameLog(ctx context.Context, head iam.Position) error {
	switch at := n.replica.Position(); {
	case at.Seq > head.Seq:
		return n.prove(ctx, at)
	case at.Seq == head.Seq && at.Chain != head.Chain:
		return n.diverge(fmt.Errorf("%w: change %d was read, and the log ends with another there", iam.Diverged, at.Seq))
	}
	return nil
}

// prove returns nil when a write has proved the log as far as a position: an
// acknowledgement is one. While verifiers hold it up the next renewal is to do it.
func (n *Node) prove(ctx context.Context, at iam.Position) error {
	if err := n.acknowledge(ctx); err != nil {
		return err
	}
	if row := n.me(); row.incarnation != "" && row.acked < at.Seq {
		n.renewal.ring()
		return errUnproved
	}
	return nil
}

func (n *Node) membership() (row member, leaving bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.row, n.leaving
}

func (n *Node) askRenewal(ctx context.Context, incarnation string) (iam.Renewal, error) {
	ctx, cancel := n.limited(ctx)
	defer cancel()
	return n.db.Renew(ctx, incarnation)
}

// examine compares an answer with what the node was when it asked. Another line
// of history, a log that lost what was applied, and a database that keeps less
// than it did, each fence the node.
func (n *Node) examine(was replica.Standing, row member, answer iam.Renewal) error {
	n.see(answer.Authority, n.clock.Now())
	if row.authority.System == "" {
		n.answeredBy(row.incarnation, answer)
	} else if !row.authority.Same(answer.Authority) {
		return n.fence("another timeline of the database answers")
	}
	head, own := answer.Head, was.Position
	if head.Seq < own.Seq || head.Seq == own.Seq && head.Chain != own.Chain {
		return n.diverge(fmt.Errorf("%w: change %d was applied, and the log ends with another at %d", iam.Diverged, own.Seq, head.Seq))
	}
	if err := stillKeeps(answer.Settings, row.durability, n.local); err != nil {
		return n.fence(err.Error())
	}
	return nil
}

// answeredBy notes which line of history the row of an incarnation belongs to.
func (n *Node) answeredBy(incarnation string, first iam.Renewal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.row.incarnation == incarnation {
		n.row.authority, n.row.joined = first.Authority, first.Time
	}
}

// apply brings the replica up to a head, if it is not there yet.
func (n *Node) apply(ctx context.Context, head iam.Position) error {
	if n.replica.Position().Seq >= head.Seq {
		return nil
	}
	ctx, cancel := n.limited(ctx)
	defer cancel()
	defer n.replica.Kick() // for the acknowledgement
	return n.catchUp(ctx)
}

// catchUp applies all changes that there are.
func (n *Node) catchUp(ctx context.Context) error {
	err := n.replica.CatchUp(ctx, n.db)
	if errors.Is(err, iam.Diverged) && !n.replica.Standing().Fit {
		return n.diverge(err)
	}
	return err
}

// fence ends the lease at once and voids what is in flight. The row is given up.
func (n *Node) fence(why string) error {
	n.replica.Fence()
	n.forget()
	return fmt.Errorf("%w: %s", errFenced, why)
}

// diverge fences the node for good as long as it has what the database has not.
// Several may find the same loss, and one tells of it.
func (n *Node) diverge(cause error) error {
	n.replica.Fail(cause)
	n.forget()
	n.mu.Lock()
	told := n.lost
	n.lost = true
	if !told {
		n.alarms.Diverged++
	}
	n.mu.Unlock()
	if !told {
		n.log.Error("the database has lost changes that this node had applied: what they ended stays denied here", "error", cause)
	}
	return fmt.Errorf("%w: %w", errFenced, cause)
}
