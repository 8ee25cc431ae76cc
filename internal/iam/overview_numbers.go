package iam

import (
	"context"
	"sync"
	"time"
)

const (
	manyKeys     = 10_000           // that work in a workspace, and take long to be counted
	goodFor      = 30 * time.Second // are the numbers of such a workspace
	mostNumbered = 1_000            // workspaces whose numbers are remembered
)

// numbers remembers for a while how many keys there are in large workspaces: to count
// a hundred thousand takes the database a second, and those who look at a page that
// counts them look again and again. Others are counted each time. It is safe for
// concurrent use.
type numbers struct {
	mu    sync.Mutex // guards known
	known map[WorkspaceID]*counted
}

// counted is what is remembered of a workspace.
type counted struct {
	turn chan struct{} // is held by whoever counts
	mu   sync.Mutex    // guards what follows
	at   time.Time     // zero: nothing is remembered
	KeyNumbers
}

// of returns the numbers of a workspace, counted now or a while ago. When they are too
// old one counts anew, and the others who ask meanwhile take what there is.
func (n *numbers) of(ctx context.Context, ws WorkspaceID, now time.Time, count func(context.Context) (KeyNumbers, error)) (KeyNumbers, error) {
	c := n.about(ws)
	was, at := c.remembered()
	if !at.IsZero() && now.Sub(at) < goodFor {
		return was, nil
	}
	select {
	case c.turn <- struct{}{}:
	default:
		if !at.IsZero() {
			return was, nil
		}
		return count(ctx)
	}
	defer func() { <-c.turn }()
	found, err := count(ctx)
	if err == nil {
		c.remember(now, found)
	}
	return found, err
}

// about returns where the numbers of a workspace are remembered. What is forgotten is
// counted again.
func (n *numbers) about(ws WorkspaceID) *counted {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || n.known[ws] == nil && len(n.known) >= mostNumbered {
		n.known = map[WorkspaceID]*counted{}
	}
	if n.known[ws] == nil {
		n.known[ws] = &counted{turn: make(chan struct{}, 1)}
	}
	return n.known[ws]
}

func (c *counted) remembered() (n KeyNumbers, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.KeyNumbers, c.at
}

func (c *counted) remember(at time.Time, found KeyNumbers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.KeyNumbers = time.Time{}, KeyNumbers{}
	if found.Active >= manyKeys {
		c.at, c.KeyNumbers = at, found
	}
}
