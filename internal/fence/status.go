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

func (n *Node) alarm(raise func(*iam.Alarms)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	raise(&n.alarms)
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

// roll is the list of all nodes as it was last read, for those who ask soon
// after: the connection that it comes over is the one that renews the lease.
type roll struct {
	free chan struct{} // holds one while nobody reads or asks
	iam.Roll
	at   replica.Instant
	read bool // there is one
}

func newRoll() *roll {
	r := &roll{free: make(chan struct{}, 1)}
	r.free <- struct{}{}
	return r
}

var _ iam.Roster = (*Node)(nil)

// Nodes returns all nodes, as the database had them within the last moment. It
// implements [iam.Roster].
func (n *Node) Nodes(ctx context.Context) ([]iam.NodeStatus, error) {
	roll, err := n.recentRoll(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	now, head := n.clock.Now(), n.replica.Position().Seq
	for _, row := range roll.Nodes {
		head = max(head, row.Acked)
	}
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

// recentRoll asks for the list, at most ten times a second, however many want it.
func (n *Node) recentRoll(ctx context.Context) (iam.Roll, error) {
	const recent = 100 * time.Millisecond
	select {
	case <-n.roll.free:
	case <-ctx.Done():
		return iam.Roll{}, ctx.Err()
	}
	defer func() { n.roll.free <- struct{}{} }()
	now := n.clock.Now()
	if n.roll.read && now.Since(n.roll.at) < recent {
		return n.roll.Roll, nil
	}
	limited, cancel := n.limited(ctx)
	defer cancel()
	roll, err := n.db.All(limited)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", iam.Errorf(iam.Unavailable, "the database does not answer"), err)
		}
		return iam.Roll{}, err
	}
	n.roll.Roll, n.roll.at, n.roll.read = roll, now, true
	return roll, nil
}
