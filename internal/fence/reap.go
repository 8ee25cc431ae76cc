package fence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// outlook is what a node has seen of the database and of the other nodes.
type outlook struct {
	authority iam.Authority // who answered last; zero: nobody yet
	since     replica.Instant
	longest   time.Duration // of all TTLs that were seen
	bounded   []iam.NodeRow // rows that say so, as they were last seen
	former    []iam.NodeRow // those that were last seen on another line of history than the present
	seen      map[string]sighting
}

// sighting says since when a row's counter has been seen at a value.
type sighting struct {
	counter int64
	since   replica.Instant // when the answer arrived that was the first to tell
}

// see takes note of who answered, and reports whether it is another than before.
func (n *Node) see(a iam.Authority, now replica.Instant) (moved bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.view.authority
	n.view.authority = a
	if before.Same(a) {
		if before.Started != a.Started {
			clear(n.view.seen)
		}
		return false
	}
	n.view.since, n.view.former = now, n.view.bounded
	clear(n.view.seen)
	return before.System != ""
}

// learn takes note of how long nodes may go on answering.
func (o *outlook) learn(rows []iam.NodeRow) {
	o.bounded = nil
	for _, row := range rows {
		o.longest = max(o.longest, row.TTL)
		if row.Bounded > 0 {
			o.bounded = append(o.bounded, row)
		}
	}
}

// lost names bounded nodes that had rows before the last failover and have none
// now, for as long as they may go on answering. A failover loses rows only where it
// can undo what was confirmed.
func (o *outlook) lost(rows []iam.NodeRow, now replica.Instant) (names []string) {
	o.former = slices.DeleteFunc(o.former, func(row iam.NodeRow) bool {
		return now.Monotonic-o.since.Monotonic >= row.Lingers() ||
			slices.ContainsFunc(rows, func(present iam.NodeRow) bool { return present.Incarnation == row.Incarnation })
	})
	for _, row := range o.former {
		names = append(names, row.Name)
	}
	return names
}

// settled reports whether this process has seen one line of history for so long
// that whoever had a strict lease in another has lost it. Nobody waits for a bounded
// one to end: its node is named.
func (o *outlook) settled(now replica.Instant) bool {
	return now.Monotonic-o.since.Monotonic >= o.longest
}

// reap removes the rows of nodes that are dead, so that nobody waits for them
// more than once.
func (n *Node) reap(ctx context.Context) {
	for ctx.Err() == nil {
		n.clock.Sleep(ctx, n.ttl/4, nil)
		if n.me().incarnation != "" {
			n.reapOnce(ctx)
		}
	}
}

func (n *Node) reapOnce(ctx context.Context) {
	limited, cancel := n.limited(ctx)
	defer cancel()
	roll, err := n.db.All(limited)
	if err != nil {
		return // keep finds out what it means
	}
	for _, row := range n.silent(roll, n.clock.Now()) {
		n.log.Warn("removing the row of a node that is silent", "node", row.Name, "incarnation", row.Incarnation)
		removed, err := n.db.Reap(limited, row.Incarnation, row.Counter)
		if err != nil {
			return
		}
		if removed { // else another did, or it has come back
			n.journal.Left(row, fmt.Sprintf("nothing was heard of it for %v", row.Lingers()))
		}
	}
}

// silent notes what was seen, and returns the rows whose counters have not moved
// since longer ago than their nodes can answer. now is when the answer arrived.
func (n *Node) silent(roll iam.Roll, now replica.Instant) (silent []iam.NodeRow) {
	if n.see(roll.Authority, now) {
		n.renewal.ring()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.view.learn(roll.Nodes)
	seen := map[string]sighting{}
	for _, row := range roll.Nodes {
		s, known := n.view.seen[row.Incarnation]
		if !known || s.counter != row.Counter {
			s = sighting{counter: row.Counter, since: now}
		}
		seen[row.Incarnation] = s
		if now.Monotonic-s.since.Monotonic >= row.Lingers() && row.Incarnation != n.row.incarnation {
			silent = append(silent, row)
		}
	}
	n.view.seen = seen
	return silent
}

const (
	trimEvery = time.Minute
	keepLog   = 10_000 // changes, for nodes that come back with what they had
)

// trim keeps the change log as long as nodes need it. Whoever is further behind
// loads a snapshot.
func (n *Node) trim(ctx context.Context) {
	for ctx.Err() == nil {
		n.clock.Sleep(ctx, trimEvery, nil)
		if n.me().incarnation == "" {
			continue
		}
		limited, cancel := n.limited(ctx)
		if err := n.db.Trim(limited, keepLog); err != nil && ctx.Err() == nil {
			n.log.Debug("the change log was not trimmed", "error", err)
		}
		cancel()
	}
}
