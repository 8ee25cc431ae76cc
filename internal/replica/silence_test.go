package replica

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// pausing is a feed that lets time pass before each key of a snapshot.
type pausing struct {
	Feed
	before func(ctx context.Context, key int) error
}

// pausingSink is the sink that such a feed pours into.
type pausingSink struct {
	iam.Sink
	ctx    context.Context
	before func(ctx context.Context, key int) error
	keys   int
}

func (p *pausing) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	return p.Feed.Snapshot(ctx, &pausingSink{Sink: sink, ctx: ctx, before: p.before})
}

func (s *pausingSink) Key(k iam.KeyRecord) error {
	s.keys++
	if err := s.before(s.ctx, s.keys); err != nil {
		return err
	}
	return s.Sink.Key(k)
}

// A proxy keeps the connection alive, and nothing comes over it.
func TestASnapshotThatFallsSilentIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Now: time.Now})
		feed := &pausing{newSynthetic(100, 1), func(ctx context.Context, key int) error {
			if key < 50 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		begun := time.Now()
		err := r.Load(t.Context(), feed)
		if took := time.Since(begun); !errors.Is(err, iam.Unavailable) || took < longestSilence || took > longestSilence*3/2 {
			t.Errorf("got %v after %v; want that the database is not there, after about %v", err, took, longestSilence)
		}
		if err := r.Ready(); !errors.Is(err, iam.Stale) {
			t.Errorf("afterwards: got %v, want stale", err)
		}
	})
}

func TestASnapshotThatNeverBeginsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, feed := New(Options{Now: time.Now}), newFakeFeed()
		defer feed.hold()()
		if err := r.Load(t.Context(), feed); !errors.Is(err, iam.Unavailable) {
			t.Errorf("got %v, want that the database is not there", err)
		}
	})
}

// A hundred keys, each of which takes nine seconds.
func TestASnapshotMayTakeAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Now: time.Now})
		feed := &pausing{newSynthetic(100, 1), func(context.Context, int) error {
			time.Sleep(longestSilence * 9 / 10)
			return nil
		}}
		if err := r.Load(t.Context(), feed); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// Whoever is told to stop does not wait for the feed, and is not told that it was
// silent.
func TestASnapshotEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, feed := New(Options{Now: time.Now}), newFakeFeed()
		defer feed.hold()()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Load(ctx, feed); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errSilent) {
			t.Errorf("got %v, want the context's end", err)
		}
	})
}
