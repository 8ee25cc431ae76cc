package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// room is the readers of one workspace, and the goroutine that looks for them.
type room struct {
	hub       *Hub
	workspace iam.WorkspaceID
	stop      func()
	running   sync.WaitGroup
	kicked    chan struct{} // holds a wish to look at once

	mu      sync.Mutex // guards what follows
	readers map[*Reader]struct{}
	at      Position // of the newest event that the readers were told
	nodes   []iam.NodeStatus
}

// add lets a reader in. It is told what comes after what the others know.
func (m *room) add(r *Reader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.from = m.at
	m.readers[r] = struct{}{}
	if r.wants.Nodes && m.nodes != nil {
		r.tell(Item{Nodes: m.nodes})
	}
	select {
	case m.kicked <- struct{}{}:
	default: // it will look
	}
}

// remove takes a reader out, and reports whether it was the last.
func (m *room) remove(r *Reader) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, here := m.readers[r]; !here {
		return false
	}
	delete(m.readers, r)
	return len(m.readers) == 0
}

func (m *room) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.readers)
}

// run looks until ctx ends.
func (m *room) run(ctx context.Context) {
	var nodesAt time.Time
	failing := false
	for ctx.Err() == nil {
		published := m.hub.o.Published() // before the look, so that nothing is missed in between
		err := m.lookAtLog(ctx)
		if now := time.Now(); err == nil && m.wantsNodes() && now.Sub(nodesAt) >= every {
			nodesAt = now
			err = m.lookAtNodes(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil {
			m.hub.o.Log.Warn("streams are late, it is tried again: the store cannot be read", "workspace", m.workspace, "error", err)
		}
		failing = err != nil
		least := settle
		if failing {
			published, least = nil, every // a store that is away is not asked at each change of the lease
		}
		m.rest(ctx, published, least)
	}
}

// rest waits until it is time to look again.
func (m *room) rest(ctx context.Context, published <-chan struct{}, least time.Duration) {
	pause, idle := time.NewTimer(least), time.NewTimer(every)
	defer pause.Stop()
	defer idle.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return
	}
	select {
	case <-published:
	case <-m.kicked:
	case <-idle.C:
	case <-ctx.Done():
	}
}

// lookAtLog tells the readers of the events that are new.
func (m *room) lookAtLog(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	for {
		found, err := m.hub.After(ctx, m.workspace, m.at.Seq) // only this goroutine writes at
		if err != nil || len(found) == 0 {
			return err
		}
		m.mu.Lock()
		for i := range found {
			for r := range m.readers {
				r.tell(Item{Event: &found[i]})
			}
		}
		m.at = PositionOf(&found[len(found)-1])
		m.mu.Unlock()
	}
}

func (m *room) wantsNodes() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r := range m.readers {
		if r.wants.Nodes {
			return true
		}
	}
	return false
}

// lookAtNodes tells the readers of all nodes when something about one changed
// that lasts: not for how long its lease goes on, but whether it does.
func (m *room) lookAtNodes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	found, err := m.hub.o.Nodes(ctx, m.workspace)
	if err != nil {
		return err
	}
	slices.SortFunc(found, compareNodes)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes != nil && slices.EqualFunc(m.nodes, found, sameNode) {
		return nil
	}
	m.nodes = found
	for r := range m.readers {
		if r.wants.Nodes {
			r.tell(Item{Nodes: found})
		}
	}
	return nil
}
