package posterntest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// world is what a verifier follows in place of a server: a log in memory.
type world struct {
	clock *clock

	mu     sync.Mutex // guards what follows
	log    []iam.Change
	keys   map[token.Hash]iam.KeyRecord // as they are now
	made   int                          // for names
	away   bool
	memory *replica.Replica // nil: nothing follows yet
}

func newWorld() *world {
	return &world{clock: newClock(), keys: map[token.Hash]iam.KeyRecord{}}
}

// now returns the time that the world has.
func (w *world) now() time.Time { return time.Unix(0, int64(w.clock.Now().Wall)) }

func (w *world) began(memory *replica.Replica) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory = memory
}

func (w *world) key(h token.Hash) (iam.KeyRecord, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, known := w.keys[h]
	return k, known
}

// settle returns nil when the verifier answers from the end of the log, or cannot.
func (w *world) settle(ctx context.Context) error {
	memory, seq, away := w.state()
	for !away && memory != nil {
		published := memory.Published() // before the look, so that nothing is missed in between
		if memory.Position().Seq >= seq && memory.Ready() == nil {
			return nil
		}
		memory.Kick()
		select {
		case <-published:
		case <-ctx.Done():
			return fmt.Errorf("the verifier has not caught up for %v", longest)
		}
	}
	return nil
}

func (w *world) state() (memory *replica.Replica, seq int64, away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.memory, int64(len(w.log)), w.away
}

// write adds a change to the log.
func (w *world) write(c iam.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.Seq, c.Time = int64(len(w.log))+1, w.now()
	w.log = append(w.log, c)
	for _, k := range c.Keys {
		w.keys[k.Hash] = k
	}
}

// cut cuts the verifier off, or ends that.
func (w *world) cut(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
	if w.memory != nil {
		w.memory.Kick()
	}
}

var errAway = fmt.Errorf("%w: the test has cut the verifier off", iam.Unavailable)

// head returns where the log ends. w.mu is held.
func (w *world) head() iam.Position { return w.at(len(w.log)) }

// at returns the place after n changes. w.mu is held.
func (w *world) at(n int) iam.Position {
	at := iam.Position{Seq: int64(n)}
	if n > 0 {
		at.Time = w.log[n-1].Time
	}
	return at
}

// Changes implements [replica.Feed].
func (w *world) Changes(_ context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil, after, errAway
	}
	end := min(len(w.log), int(after.Seq)+limit)
	return w.log[after.Seq:end:end], w.at(end), nil
}

// Snapshot implements [replica.Feed].
func (w *world) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return iam.Position{}, errAway
	}
	for _, c := range w.log {
		if err := pour(c, sink); err != nil {
			return iam.Position{}, err
		}
	}
	return w.head(), nil
}

func pour(c iam.Change, sink iam.Sink) error {
	for _, r := range c.Workspaces {
		if err := sink.Workspace(r); err != nil {
			return err
		}
	}
	for _, r := range c.Roles {
		if err := sink.Role(r); err != nil {
			return err
		}
	}
	for _, r := range c.Principals {
		if err := sink.Principal(r); err != nil {
			return err
		}
	}
	for _, r := range c.Keys {
		if err := sink.Key(r); err != nil {
			return err
		}
	}
	return nil
}

const longestGrant = 2 * time.Second // as a server gives it

// Renew implements [fence.Parent].
func (w *world) Renew(_ context.Context, p replica.Ping) (replica.Grant, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return replica.Grant{}, errAway
	}
	return replica.Grant{N: p.N, At: w.head(), For: min(p.Wanted, longestGrant), Time: w.now()}, nil
}

// Acknowledge implements [fence.Parent]. Nothing waits for it here.
func (w *world) Acknowledge(iam.Position) error { return nil }

// clock is the clocks of this machine, as far ahead as a test has moved them.
type clock struct {
	machine fence.Clock

	mu    sync.Mutex // guards what follows
	ahead time.Duration
	moved chan struct{} // closed at the next move
}

func newClock() *clock { return &clock{machine: fence.SystemClock(), moved: make(chan struct{})} }

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	close(c.moved)
	c.moved = make(chan struct{})
}

// read returns how far the clock is ahead, and what is closed when that changes.
func (c *clock) read() (time.Duration, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead, c.moved
}

// Now implements [fence.Clock].
func (c *clock) Now() replica.Instant {
	ahead, _ := c.read()
	now := c.machine.Now()
	return replica.Instant{Monotonic: now.Monotonic + ahead, Wall: now.Wall + ahead}
}

// Sleep implements [fence.Clock].
func (c *clock) Sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	for end := c.Now().Monotonic + d; ; {
		_, moved := c.read() // before the look, so that nothing is missed in between
		left := end - c.Now().Monotonic
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-moved:
			timer.Stop()
			continue
		case <-timer.C:
		case <-wake:
		case <-ctx.Done():
		}
		timer.Stop()
		return
	}
}

// Limit implements [fence.Clock].
func (c *clock) Limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}
