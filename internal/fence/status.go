package fence

import (
	"context"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Alarms counts what must not happen, for metrics.
type Alarms struct {
	Diverged int64 // the database had lost changes that this node had applied
	Clocks   int64 // the clocks of this machine and the database disagreed by two TTLs
}

// Alarms returns what has happened since the process began.
func (n *Node) Alarms() Alarms {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alarms
}

func (n *Node) alarm(raise func(*Alarms)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	raise(&n.alarms)
}

// OldestAccept returns how old the news is that an answer of this node rests on,
// and false when it answers nothing: the gauge of how much could be missed.
func (n *Node) OldestAccept() (time.Duration, bool) { return n.replica.LeaseAge() }

// Status is what this node knows of a node.
type Status struct {
	iam.NodeRow
	Own       bool
	Lag       int64         // changes that it has not acknowledged
	Silent    time.Duration // since its last sign of life, as far as this node has watched
	LeaseLeft time.Duration // for how long it may answer, if that was its last
}

// Nodes returns all nodes, as the database has them.
func (n *Node) Nodes(ctx context.Context) ([]Status, error) {
	roll, err := n.db.All(ctx)
	if err != nil {
		return nil, err
	}
	now, head := n.clock.Now(), n.replica.Position().Seq
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]Status, len(roll.Nodes))
	for i, row := range roll.Nodes {
		all[i] = Status{NodeRow: row, Own: row.Incarnation == n.row.incarnation, Lag: max(0, head-row.Acked)}
		if s, known := n.view.seen[row.Incarnation]; known && s.counter == row.Counter {
			all[i].Silent = now.Monotonic - s.since.Monotonic
		}
		all[i].LeaseLeft = max(0, row.Lingers()-all[i].Silent)
	}
	return all, nil
}
