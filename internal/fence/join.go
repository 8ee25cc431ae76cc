package fence

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// keep joins when this process is no node, and renews its lease when it is.
func (n *Node) keep(ctx context.Context) {
	const (
		soonest = 100 * time.Millisecond // at most ten a second, however many ask
		retry   = 500 * time.Millisecond // so that a database that is back is found soon
		longest = 5 * time.Second        // between attempts that cannot end better
	)
	pause := retry
	for {
		err := n.attempt(ctx)
		if ctx.Err() != nil || errors.Is(err, errLeaving) {
			return
		}
		n.report(err)
		n.recount()
		next, wake := n.ttl/8, n.renewal
		switch {
		case err == nil:
			pause = retry
		case passing(err) || n.replica.Standing().Fit && !errors.Is(err, ErrRefused):
			next = min(next, retry)
		default: // somebody has to change something, and asking does not help
			next, pause, wake = pause, min(2*pause, longest), nil
		}
		n.clock.Sleep(ctx, soonest, nil)
		n.clock.Sleep(ctx, next-soonest, wake)
	}
}

// report writes down what changes about the node's lease: one line when it cannot
// be renewed, when nothing is answered any more, and when it is again.
func (n *Node) report(now error) {
	answers := n.Ready() == nil
	n.mu.Lock()
	before, answered, row := n.failure, n.answered, n.row
	n.failure, n.answered = now, answers
	n.mu.Unlock()
	refused := errors.Is(now, ErrRefused) && !errors.Is(before, ErrRefused) // whoever reads it has something to do
	log := n.log.With("node", n.name, "incarnation", row.incarnation, "revision", n.replica.Position().Seq)
	switch {
	case answered && !answers:
		log.Warn("the node is stale: it answers nothing until it has a lease again", "error", now)
	case now != nil && before == nil || refused:
		log.Warn("the node cannot renew its lease", "error", now)
	case !answered && answers:
		log.Info("the node answers", "durability", row.durability)
	case now == nil && before != nil:
		log.Info("the node has a lease again")
	}
}

func (n *Node) attempt(ctx context.Context) error {
	if !n.replica.Standing().Fit {
		n.forget()
	}
	switch row, leaving := n.membership(); {
	case leaving:
		return errLeaving
	case row.incarnation == "":
		return n.join(ctx)
	}
	return n.renew(ctx)
}

// join loads what there is, unless the node has a state that is fit to go on
// from, writes a row, and then renews: the head must be read after the row is
// there, for until then nobody waits for this node.
func (n *Node) join(ctx context.Context) error {
	durability, err := n.inspect(ctx)
	if err != nil {
		return err
	}
	if !n.replica.Standing().Fit {
		if err := n.replica.Load(ctx, n.db); err != nil {
			return fmt.Errorf("join: %w", err)
		}
		n.mu.Lock()
		n.lost = false
		n.mu.Unlock()
	}
	incarnation, err := n.newIncarnation()
	if err != nil {
		return err
	}
	if err := n.writeRow(ctx, incarnation); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	n.mu.Lock()
	before := n.rested
	n.row, n.rested = member{incarnation: incarnation, durability: durability}, durability
	n.mu.Unlock()
	if before == iam.Quorum && durability == iam.Local {
		n.log.Warn("the database no longer waits for standbys: from here on a failover can undo what it confirms, and receipts say durability local")
	}
	return n.renew(ctx)
}

func (n *Node) writeRow(ctx context.Context, incarnation string) error {
	ctx, cancel := n.limited(ctx)
	defer cancel()
	return n.db.Join(ctx, n.ownRow(incarnation))
}

// ownRow is what this node says of itself.
func (n *Node) ownRow(incarnation string) iam.NodeRow {
	return iam.NodeRow{
		Incarnation: incarnation, Name: n.name, Kind: iam.ServerNode, Version: n.version, Reporter: n.reporter,
		TTL: n.ttl, Bounded: n.bounded,
	}
}

// inspect asks whether the database keeps what it acknowledges.
func (n *Node) inspect(ctx context.Context) (durability string, err error) {
	ctx, cancel := n.limited(ctx)
	defer cancel()
	roll, err := n.db.All(ctx)
	if err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	return durabilityOf(roll.Settings, n.local)
}

// newIncarnation returns an id that no attempt to join had before.
func (n *Node) newIncarnation() (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(n.random, id[:]); err != nil {
		return "", fmt.Errorf("join: make an incarnation: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}

// forget gives the row up, for the reaper to remove when nobody can answer by it.
func (n *Node) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.row = member{}
}
