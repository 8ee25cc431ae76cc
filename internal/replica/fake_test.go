package replica

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// fakeFeed is a change log in memory that can be held back and can fail. Changes
// go through their payload, as they do in a store.
type fakeFeed struct {
	mu      sync.Mutex
	log     []logged // change n is log[n-1]
	model   *model
	failing error         // what both calls return, when not nil
	held    chan struct{} // both calls wait until it is closed, when not nil
	loads   int
}

type logged struct {
	payload string
	at      iam.Position
}

func newFakeFeed() *fakeFeed { return &fakeFeed{model: newModel()} }

// commit appends a change, numbered and timed, and returns it with its position.
func (f *fakeFeed) commit(tb testing.TB, c iam.Change) (iam.Change, iam.Position) {
	tb.Helper()
	payload, err := c.Payload()
	if err != nil {
		tb.Fatalf("payload: %v", err)
	}
	at := f.commitPayload(payload)
	c.Seq, c.Time = at.Seq, at.Time
	f.mu.Lock()
	defer f.mu.Unlock()
	f.model.apply(c)
	return c, at
}

// commitPayload appends a change that may be one that nobody can read.
func (f *fakeFeed) commitPayload(payload string) iam.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.position(int64(len(f.log)))
	at := iam.Position{
		Seq: before.Seq + 1, Chain: before.Chain.Next(before.Seq+1, payload), Time: before.Time.Add(time.Second),
	}
	f.log = append(f.log, logged{payload, at})
	return at
}

// position returns the place in the log after change seq. f.mu is held.
func (f *fakeFeed) position(seq int64) iam.Position {
	if seq == 0 {
		return iam.Position{Time: epoch}
	}
	return f.log[seq-1].at
}

func (f *fakeFeed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = err
}

// hold makes calls wait from now on, until release is called.
func (f *fakeFeed) hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return sync.OnceFunc(func() { close(held) })
}

// forget makes further calls not wait. Those that do go on waiting.
func (f *fakeFeed) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = nil
}

// lose takes the last change out of the log, and puts back what was before it.
func (f *fakeFeed) lose(was iam.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = f.log[:len(f.log)-1]
	was.Seq = int64(len(f.log))
	was.Time = f.position(was.Seq).Time
	f.model.apply(was)
}

// loaded returns how often a snapshot was asked for.
func (f *fakeFeed) loaded() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loads
}

// enter waits while the feed is held back and returns with f.mu held.
func (f *fakeFeed) enter(ctx context.Context) error {
	f.mu.Lock()
	held := f.held
	f.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			f.mu.Lock()
			return ctx.Err()
		}
	}
	f.mu.Lock()
	return f.failing
}

func (f *fakeFeed) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	err := f.enter(ctx)
	defer f.mu.Unlock()
	if err != nil {
		return nil, iam.Position{}, err
	}
	if after.Seq > int64(len(f.log)) || f.position(after.Seq).Chain != after.Chain {
		return nil, iam.Position{}, fmt.Errorf("read changes: %w", iam.Diverged)
	}
	var changes []iam.Change
	for _, l := range f.log[after.Seq:min(after.Seq+int64(limit), int64(len(f.log)))] {
		c, err := iam.ParseChange(l.payload)
		if err != nil {
			return nil, iam.Position{}, err
		}
		c.Seq, c.Time = l.at.Seq, l.at.Time
		changes, after = append(changes, c), l.at
	}
	return changes, after, nil
}

func (f *fakeFeed) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	err := f.enter(ctx)
	defer f.mu.Unlock()
	f.loads++
	if err != nil {
		return iam.Position{}, err
	}
	at := f.position(int64(len(f.log)))
	_, err = f.model.Snapshot(ctx, sink)
	return at, err
}
