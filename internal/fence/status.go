package fence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Alarms returns what has happened since the process began.
func (n *Node) Alarms() iam.Alarms {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alarms
}

// OldestAccept returns how old the news is that an answer of this node rests on,
// and false when it answers nothing: the gauge of how much could be missed.
func (n *Node) OldestAccept() (time.Duration, bool) { return n.replica.LeaseAge() }

// Vitals returns what this node knows of itself.
func (n *Node) Vitals() iam.Vitals {
	v := iam.Vitals{Leased: true}
	if v.NewsAge, v.Answers = n.OldestAccept(); v.Answers {
		v.LeaseLeft = max(0, (n.ttl+n.bounded)*4/5-v.NewsAge)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	v.Durability, v.Waiting, v.Alarms = n.row.durability, len(n.waiters), n.alarms
	return v
}

// roll is the list of all nodes as it was last read, for all who asked before it
// was: the connection that it comes over is the one that renews the lease.
type roll struct {
	free chan struct{} // holds one while nobody reads or asks
	iam.Roll
	head  int64 // the last change, when it was asked for
	asked replica.Instant
	read  bool // there is one
}

func newRoll() *roll {
	r := &roll{free: make(chan struct{}, 1)}
	r.free <- struct{}{}
	return r
}

var _ iam.Roster = (*Node)(nil)

// Nodes returns all nodes, as the database had them at some moment after it was
// called. It implements [iam.Roster].
func (n *Node) Nodes(ctx context.Context) ([]iam.NodeStatus, error) {
	roll, head, err := n.freshRoll(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	for _, row := range roll.Nodes {
		head = max(head, row.Acked)
	}
	now := n.clock.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]iam.NodeStatus, len(roll.Nodes))
	for i, row := range roll.Nodes {
		var silent time.Duration
		if s, known := n.view.seen[row.Incarnation]; known && s.counter == row.Counter {
			silent = now.Monotonic - s.since.Monotonic
		}
		all[i] = iam.NodeStatus{
			NodeRow: row, Own: row.Incarnation == n.row.incarnation, Lag: head - row.Acked,
			LastContact: roll.Now.Add(-silent), LeaseLeft: max(0, row.Lingers()-silent),
		}
	}
	return all, nil
}

// freshRoll asks for the list, at most ten times a second, however many want it:
// they wait, and share the answer. head is the last change that this node knew of
// when it asked.
func (n *Node) freshRoll(ctx context.Context) (list iam.Roll, head int64, err error) {
	const pause = 100 * time.Millisecond
	arrived := n.clock.Now().Monotonic
	select {
	case <-n.roll.free:
	case <-ctx.Done():
		return iam.Roll{}, 0, ctx.Err()
	}
	defer func() { n.roll.free <- struct{}{} }()
	r := n.roll
	if r.read && r.asked.Monotonic > arrived {
		return r.Roll, r.head, nil
	}
	if since := n.clock.Now().Monotonic - r.asked.Monotonic; since < pause {
		n.clock.Sleep(ctx, pause-since, nil)
	}
	head, r.asked, r.read = n.replica.Position().Seq, n.clock.Now(), false
	if list, err = n.askRoll(ctx); err != nil {
		return iam.Roll{}, 0, err
	}
	r.Roll, r.head, r.read = list, head, true
	return list, head, nil
}

func (n *Node) askRoll(ctx context.Context) (iam.Roll, error) {
	limited, cancel := n.limited(ctx)
	defer cancel()
	list, err := n.db.All(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", iam.Errorf(iam.Unavailable, "the database does not answer"), err)
	}
	return list, err
}
