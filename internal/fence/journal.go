package fence

import (
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Journal hears what happens to nodes, for the audit log; [iam.Journal] is one. Its
// methods return at once, and are called by several at a time.
type Journal interface {
	// Joined hears of the first lease of an incarnation.
	Joined(n iam.NodeRow)
	// Stale hears of a lease that comes when the last one was over: between two
	// moments by the clock of the node it answered nothing.
	Stale(n iam.NodeRow, from, to time.Time)
	// Left hears of a row that this node has removed, its own or another's.
	Left(n iam.NodeRow, why string)
}

// nobody is the journal of a node that has none.
type nobody struct{}

func (nobody) Joined(iam.NodeRow)                      {}
func (nobody) Stale(iam.NodeRow, time.Time, time.Time) {}
func (nobody) Left(iam.NodeRow, string)                {}

// tenure is for how long a node has answered. It is zero when it never has.
type tenure struct {
	incarnation string
	until       replica.Instant // when its lease ends, or ended
}

// recount tells the journal what the last attempt to get a lease has changed. A gap
// that is so short that whoever asks waits it out is none.
func (n *Node) recount() {
	now := n.clock.Now()
	age, answers := n.replica.LeaseAge()
	before, row := n.reckon(now, age, answers)
	if row.incarnation == "" {
		return
	}
	self := n.ownRow(row.incarnation)
	self.StartedAt = row.joined
	if gap := now.Since(before.until); before.incarnation != "" && gap >= replica.Patience {
		to := time.Unix(0, int64(now.Wall))
		n.journal.Stale(self, to.Add(-gap), to)
	}
	if before.incarnation != row.incarnation {
		n.journal.Joined(self)
	}
}

// reckon notes until when the node answers, or when it ceased to, and returns what
// was noted before and the row that it answers by, if it does.
func (n *Node) reckon(now replica.Instant, age time.Duration, answers bool) (before tenure, row member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before = n.last
	if !answers || n.row.incarnation == "" {
		if now.Since(before.until) < 0 {
			n.last.until = now // it was fenced
		}
		return before, member{}
	}
	left := (n.ttl+n.bounded)*4/5 - age
	n.last = tenure{n.row.incarnation, replica.Instant{Monotonic: now.Monotonic + left, Wall: now.Wall + left}}
	return before, n.row
}
