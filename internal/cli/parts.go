package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// grace is how long a server that is told to stop goes on answering what was
// asked before.
const grace = 10 * time.Second

// sumsEvery is how often sums of refused attempts are written.
const sumsEvery = time.Second

// parts is what runs while a server does.
type parts struct {
	doors *doors
	log   *slog.Logger
	node  func(ctx context.Context) error // keeps the memory up to date until ctx ends
	leave func(ctx context.Context, drain func(context.Context) error) error
	sums  func(ctx context.Context, all bool) error
}

// run serves until ctx ends or something fails, then stops in reverse: first no
// new requests, then an end to those under way, then what they depend on.
func (p parts) run(ctx context.Context, up func(ctx context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	below, stopBelow := context.WithCancel(context.WithoutCancel(ctx)) // what requests under way still need
	defer stopBelow()
	var work sync.WaitGroup
	work.Go(func() {
		if err := p.node(below); err != nil {
			stop(fmt.Errorf("follow the store: %w", err))
		}
	})
	work.Go(func() { p.writeSums(below) })
	for _, d := range p.doors.all {
		work.Go(func() {
			if err := d.serve(); err != nil {
				stop(fmt.Errorf("serve %s: %w", d.listener.Addr(), err))
			}
		})
	}
	if err := up(ctx); err != nil {
		stop(err)
	}
	<-ctx.Done()
	err := p.leave(context.WithoutCancel(ctx), p.doors.close)
	stopBelow()
	work.Wait()
	last, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer done()
	err = errors.Join(err, p.sums(last, true))
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// writeSums writes the sums of refused attempts as their seconds end.
func (p parts) writeSums(ctx context.Context) {
	tick := time.NewTicker(sumsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := p.sums(ctx, false); err != nil && ctx.Err() == nil {
				p.log.Warn("sums of refused attempts are kept for the next try", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
