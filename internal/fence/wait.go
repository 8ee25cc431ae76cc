package fence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// waiter is a change that waits to have reached every node. All that was seen is
// its own, and goes on for as long as anybody asks.
type waiter struct {
	node    *Node
	seq     int64
	since   replica.Instant // when it was known to be committed
	looked  replica.Instant // when the first look was answered
	clock   time.Time       // what the database's clock showed then; zero: not heard yet
	done    chan struct{}   // closed when the receipt is confirmed
	receipt iam.Receipt     // as of the last look; guarded by Node.mu
	lagged  []iam.NodeRow   // that had not acknowledged when they were last seen; guarded by Node.mu
	alarmed bool            // the clocks disagreed; guarded by Node.mu
}

var _ iam.Fence = (*Node)(nil)

// Begin begins to wait until no node can answer from before change seq, which must
// have been committed when it is called. It implements [iam.Fence].
func (n *Node) Begin(seq int64) iam.Waiting {
	now := n.clock.Now()
	w := &waiter{node: n, seq: seq, since: now, done: make(chan struct{})}
	w.receipt = iam.Receipt{Revision: seq}
	n.mu.Lock()
	n.waiters = append(n.waiters, w)
	n.mu.Unlock()
	n.waiting.ring()
	n.replica.Kick()
	return w
}

// Wait returns once no node can answer from before the change. It implements
// [iam.Waiting].
func (w *waiter) Wait(ctx context.Context) (iam.Receipt, error) {
	n := w.node
	n.clock.Sleep(ctx, MaxTTL*1000, w.done) // in effect as long as ctx lasts
	n.mu.Lock()
	defer n.mu.Unlock()
	receipt := w.receipt
	if receipt.Confirmed {
		return receipt, nil
	}
	receipt.Took = n.clock.Now().Monotonic - w.since.Monotonic
	return receipt, fmt.Errorf("%w: %w", iam.Errorf(iam.Unconfirmed,
		"revision %d is recorded, and not every node is known to have applied it yet", w.seq), context.Cause(ctx))
}

// Close has nobody look on behalf of the change any more.
func (w *waiter) Close() {
	n := w.node
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, other := range n.waiters {
		if other == w {
			n.waiters = append(n.waiters[:i:i], n.waiters[i+1:]...)
			return
		}
	}
}

const (
	soonestLook = 300 * time.Microsecond // again, for a healthy node acknowledges within a millisecond or two
	latestLook  = 20 * time.Millisecond
)

// look asks, on behalf of everybody in this process who waits, which nodes lag. It
// asks as soon as this node has acknowledged, often at first, and less and less
// often for those who have waited for long.
func (n *Node) look(ctx context.Context) {
	const idle = time.Hour
	for ctx.Err() == nil {
		pause, waiting := n.pause()
		if !waiting {
			n.clock.Sleep(ctx, idle, n.waiting)
			continue
		}
		n.clock.Sleep(ctx, pause, n.acked)
		n.lookOnce(ctx)
	}
}

// pause returns when to look again, unless this node acknowledges before that. As
// long as it has not, its own row lags, and a look on behalf of those who wait for
// that finds nothing out: it would only be in the way of the acknowledgement.
func (n *Node) pause() (pause time.Duration, waiting bool) {
	now := n.clock.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	pause = latestLook
	for _, w := range n.waiters {
		if w.receipt.Confirmed {
			continue
		}
		waiting = true
		if w.seq <= n.row.acked {
			pause = max(min(pause, (now.Monotonic-w.since.Monotonic)/4), soonestLook)
		}
	}
	return pause, waiting
}

// due returns the highest change that it is worth asking about on behalf of
// somebody who waits, or zero. One that this node has acknowledged needs no other
// write to prove that the answer is not an old server's. When no acknowledgement
// comes, those who wait are not let wait for it.
func (n *Node) due(now replica.Instant) (seq int64) {
	for _, w := range n.waiters {
		late := now.Monotonic-w.since.Monotonic >= latestLook
		if !w.receipt.Confirmed && (w.seq <= n.row.acked || late) {
			seq = max(seq, w.seq)
		}
	}
	return seq
}

// lookOnce judges everybody who waited before it asked, as far as it asks about
// what they wait for: of a later change the answer proves nothing.
func (n *Node) lookOnce(ctx context.Context) {
	begun := n.clock.Now()
	n.mu.Lock()
	row, waiters, seq := n.row, n.waiters[:len(n.waiters):len(n.waiters)], n.due(begun)
	n.mu.Unlock()
	if row.incarnation == "" || seq == 0 {
		return // nobody to prove by that the answer is not an old server's, or nothing to ask
	}
	ctx, cancel := n.limited(ctx)
	defer cancel()
	roll, err := n.db.Lagging(ctx, row.incarnation, seq)
	now := n.clock.Now()
	if err != nil {
		return // keep finds out what it means
	}
	if n.see(roll.Authority, now) {
		n.renewal.ring()
	}
	if stillKeeps(roll.Settings, row.durability, n.local) != nil {
		n.renewal.ring() // which fences the node, and says why
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.view.learn(roll.Nodes)
	settled := n.view.settled(now)
	for _, w := range waiters {
		if !w.receipt.Confirmed && w.seq <= seq {
			w.receipt.Durability = row.durability
			n.judge(w, roll, now, settled)
		}
	}
}

// judge decides whether any node can still answer from before a change. Each row
// counts for as long as it says itself, on the clock of this process and on that
// of the database.
func (n *Node) judge(w *waiter, roll iam.Roll, now replica.Instant, settled bool) {
	if w.clock.IsZero() {
		w.looked, w.clock = now, roll.Now
	}
	local, remote := now.Monotonic-w.since.Monotonic, roll.Now.Sub(w.clock)
	passed := min(local, remote)
	nodes := iam.ReceiptNodes{Total: int64(len(roll.Nodes))}
	for _, row := range roll.Nodes {
		switch {
		case row.Acked >= w.seq:
			nodes.Confirmed++
		case passed < row.TTL:
			nodes.Waiting = append(nodes.Waiting, iam.WaitingNode{Name: row.Name, LeaseLeft: row.TTL - passed})
			n.compare(w, now.Monotonic-w.looked.Monotonic, remote, row.TTL)
		case passed < row.Lingers():
			nodes.Bounded = append(nodes.Bounded, row.Name)
		default:
			nodes.Expired = append(nodes.Expired, row.Name)
		}
	}
	lost := n.view.lost(roll.Nodes, now)
	gone := slices.DeleteFunc(w.gone(roll.Nodes), func(name string) bool { return slices.Contains(lost, name) })
	nodes.Total += int64(len(gone) + len(lost))
	nodes.Expired, nodes.Bounded = append(nodes.Expired, gone...), append(nodes.Bounded, lost...)
	w.receipt.Nodes, w.receipt.By = nodes, by(nodes)
	if settled && len(nodes.Waiting) == 0 {
		w.receipt.Confirmed, w.receipt.Took = true, local
		close(w.done)
	}
}

// gone names the nodes that had not acknowledged when they were last seen, and have
// no row any more: it was removed once their leases were over, or they left. They
// cannot answer, and whoever waited for them is to know of it.
func (w *waiter) gone(rows []iam.NodeRow) (names []string) {
	present := func(lagged iam.NodeRow) bool {
		return slices.ContainsFunc(rows, func(row iam.NodeRow) bool { return row.Incarnation == lagged.Incarnation })
	}
	w.lagged = slices.DeleteFunc(w.lagged, present)
	for _, row := range w.lagged {
		names = append(names, row.Name)
	}
	for _, row := range rows {
		if row.Acked < w.seq {
			w.lagged = append(w.lagged, row)
		}
	}
	return names
}

func by(nodes iam.ReceiptNodes) string {
	switch {
	case len(nodes.Waiting) > 0:
		return ""
	case len(nodes.Bounded) > 0:
		return iam.ByBounded
	case len(nodes.Expired) > 0:
		return iam.ByExpired
	}
	return iam.ByAcked
}

// compare raises an alarm when two clocks that should agree do not.
func (n *Node) compare(w *waiter, local, remote, ttl time.Duration) {
	if (local-remote).Abs() <= 2*ttl || w.alarmed {
		return
	}
	w.alarmed = true
	n.alarms.Clocks++
	n.log.Error("the clocks of this machine and of the database disagree: one of them runs wrong, or was set",
		"passed_here", local, "passed_there", remote)
}
