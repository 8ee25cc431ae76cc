package replica

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// longestSilence is how long a feed may say nothing before and while it streams a
// snapshot. The whole may take as long as it takes: there may be millions of keys.
const longestSilence = 10 * time.Second

var errSilent = fmt.Errorf("%w: nothing more of the snapshot has come for %v", iam.Unavailable, longestSilence)

// snapshot streams a snapshot into a sink, and gives up when the feed falls silent:
// a connection that leads nowhere any more can look alive for ever, behind a proxy.
func snapshot(ctx context.Context, feed Feed, into iam.Sink) (iam.Position, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	counted := &countedSink{Sink: into}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		counted.watch(ctx, giveUp)
	}()
	defer func() { giveUp(nil); <-watched }()
	at, err := feed.Snapshot(ctx, counted)
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		err = fmt.Errorf("%w: %w", errSilent, err)
	}
	return at, err
}

// countedSink counts what is poured into a sink.
type countedSink struct {
	iam.Sink
	poured atomic.Int64
}

// watch gives up when nothing was poured for too long, and returns when ctx ends.
func (c *countedSink) watch(ctx context.Context, giveUp context.CancelCauseFunc) {
	const looks = 10 // in the time of a silence
	tick := time.NewTicker(longestSilence / looks)
	defer tick.Stop()
	for last, silent := c.poured.Load(), 0; silent < looks; silent++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := c.poured.Load(); now != last {
			last, silent = now, -1
		}
	}
	giveUp(errSilent)
}

func (c *countedSink) Workspace(w iam.WorkspaceRecord) error {
	c.poured.Add(1)
	return c.Sink.Workspace(w)
}

func (c *countedSink) Role(r iam.RoleRecord) error {
	c.poured.Add(1)
	return c.Sink.Role(r)
}

func (c *countedSink) Principal(p iam.PrincipalRecord) error {
	c.poured.Add(1)
	return c.Sink.Principal(p)
}

func (c *countedSink) Key(k iam.KeyRecord) error {
	c.poured.Add(1)
	return c.Sink.Key(k)
}
