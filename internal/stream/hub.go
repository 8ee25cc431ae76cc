// Package stream tells many readers what happens in a workspace while it happens.
//
// For each workspace that has readers on this node, one goroutine looks at the
// store: when something was published, and once a second for what is not
// published. What it finds goes to all of them. A reader that does not keep up is
// dropped and holds nobody up; it can come back and resume, for a reader's
// [Position] is the last event of the audit log that it has.
//
// This package does not ask who may read: whoever passes something on does,
// each time.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Options says where a hub learns what happens.
type Options struct {
	Events    func(ctx context.Context, ws iam.WorkspaceID, f iam.EventFilter, p iam.Page) (iam.List[iam.AuditEvent], error)
	Event     func(ctx context.Context, ws iam.WorkspaceID, id iam.EventID) (iam.AuditEvent, error)
	Nodes     func(ctx context.Context, ws iam.WorkspaceID) ([]iam.NodeStatus, error) // those that the workspace may know of
	Published func() <-chan struct{}                                                  // closed when there is something new, most likely
	Log       *slog.Logger                                                            // nil: nothing is logged
}

// Wants says what a reader is told of beyond the audit log.
type Wants struct {
	Nodes bool
}

// Item is one thing that a reader is told. One of its fields is set.
type Item struct {
	Event *iam.AuditEvent
	Nodes []iam.NodeStatus // all of them; sent when something about them changed
}

// Hub has a room for each workspace with readers. It is safe for concurrent use.
type Hub struct {
	o Options

	mu    sync.Mutex // guards rooms, and who is in them
	rooms map[iam.WorkspaceID]*room
}

// New returns a hub that nobody reads from.
func New(o Options) *Hub {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Hub{o: o, rooms: map[iam.WorkspaceID]*room{}}
}

// head returns the newest position of a workspace's log.
func (h *Hub) head(ctx context.Context, ws iam.WorkspaceID) (Position, error) {
	list, err := h.o.Events(ctx, ws, iam.EventFilter{}, iam.Page{Limit: 1})
	if err != nil {
		return Position{}, fmt.Errorf("read the newest event: %w", err)
	}
	if len(list.Items) == 0 {
		return Position{}, nil
	}
	return PositionOf(&list.Items[0]), nil
}

// chunk is how many events are read at a time.
const chunk = 200

// After returns the next events of a workspace's log after a number, in order;
// none when there are no more.
func (h *Hub) After(ctx context.Context, ws iam.WorkspaceID, seq int64) ([]iam.AuditEvent, error) {
	// "~" comes after all ids. Where an order of the database has it otherwise,
	// the event with the number itself is among those that are found.
	page := iam.Page{Limit: chunk, Sort: "seq", After: []string{strconv.FormatInt(seq, 10), "~"}}
	list, err := h.o.Events(ctx, ws, iam.EventFilter{}, page)
	if err != nil {
		return nil, fmt.Errorf("read what happened after event %d: %w", seq, err)
	}
	return slices.DeleteFunc(list.Items, func(e iam.AuditEvent) bool { return e.Seq <= seq }), nil
}

// Join adds a reader to a workspace. From is where the log stands that it is told
// the rest of, so that what comes before can be read from the log.
func (h *Hub) Join(ctx context.Context, ws iam.WorkspaceID, w Wants) (*Reader, error) {
	head, err := h.head(ctx, ws) // outside the lock: only the reader that is new waits
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.rooms[ws]
	if m == nil {
		m = h.open(ws, head)
		h.rooms[ws] = m
	}
	r := &Reader{room: m, wants: w, ready: make(chan struct{}, 1)}
	m.add(r)
	return r, nil
}

// open opens a room whose readers know all up to a position.
func (h *Hub) open(ws iam.WorkspaceID, at Position) *room {
	ctx, stop := context.WithCancel(context.Background()) // it ends with the last reader, not with the first
	m := &room{hub: h, workspace: ws, at: at, stop: stop, kicked: make(chan struct{}, 1), readers: map[*Reader]struct{}{}}
	m.running.Go(func() { m.run(ctx) })
	return m
}

// Leave takes the reader out. When it was the last one, nobody looks at the store
// any more once Leave returns.
func (r *Reader) Leave() {
	m, h := r.room, r.room.hub
	h.mu.Lock()
	empty := m.remove(r)
	if empty && h.rooms[m.workspace] == m {
		delete(h.rooms, m.workspace)
	}
	h.mu.Unlock()
	if empty {
		m.stop()
		m.running.Wait()
	}
}

// Readers returns how many there are.
func (h *Hub) Readers() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.rooms {
		n += m.size()
	}
	return n
}

// ErrSlow ends a reader that did not keep up.
var ErrSlow = errors.New("the reader did not keep up")

// backlog is how much may wait for one reader. An event takes about a kilobyte,
// and all readers of a workspace share it.
const backlog = 1024

// Reader is told what happens in a workspace. It is for one goroutine.
type Reader struct {
	room  *room
	wants Wants
	from  Position
	ready chan struct{} // holds a sign that Take has something to return

	mu    sync.Mutex // guards what follows
	items []Item
	slow  bool
}

// From returns the position of the newest event that the reader is not told.
func (r *Reader) From() Position { return r.from }

// Ready returns a channel that has a value when it is worth calling Take.
func (r *Reader) Ready() <-chan struct{} { return r.ready }

// Take returns what has happened since it was last called, in order. It fails
// with [ErrSlow] when that was too much; then nothing is told any more.
func (r *Reader) Take() ([]Item, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slow {
		return nil, ErrSlow
	}
	items := r.items
	r.items = nil
	return items, nil
}

// tell gives the reader an item, unless there are too many already.
func (r *Reader) tell(it Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.items) >= backlog {
		r.slow, r.items = true, nil
	}
	if !r.slow {
		r.items = append(r.items, it)
	}
	select {
	case r.ready <- struct{}{}:
	default: // it knows already
	}
}

const (
	settle = 25 * time.Millisecond // between two looks, however much is published
	every  = time.Second           // between two looks when nothing is, and between two at the nodes
	slack  = 10 * time.Second      // that one look may take
)
