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

// How often a server writes down what need not be written at once.
const (
	sumsEvery     = time.Second            // sums of refused attempts
	noticesEvery  = time.Minute            // that keys are about to end
	receiptsEvery = 200 * time.Millisecond // what receipts rest on
	journalEvery  = time.Second            // what happened to nodes
	lookEvery     = time.Second            // at the rotations that are open
	tendEvery     = 5 * time.Second        // sums of uses, and which processes that counted them have ended
)

// parts is what runs while a server does.
type parts struct {
	doors    *doors
	log      *slog.Logger
	node     func(ctx context.Context) error // keeps the memory up to date until ctx ends
	streams  func()                          // ends the streams, which do not end by themselves
	leave    func(ctx context.Context, drain func(context.Context) error) error
	await    func(ctx context.Context) // waits for what nobody else waits for any more, until ctx ends
	receipts func(ctx context.Context) error
	sums     func(ctx context.Context, all bool) error
	notices  func(ctx context.Context) error
	journal  journal
	uses     func(ctx context.Context) // reports uses of keys until ctx ends
	tend     func(ctx context.Context) error
	look     func(ctx context.Context) error // at the rotations that are open, and does what is due
}

// journal is what happened to nodes and is not written down yet.
type journal interface {
	Write(ctx context.Context) error // what may be written now
	Close(ctx context.Context) error // all that is left
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
	work.Go(func() { p.await(below) })
	work.Go(func() { p.repeat(below, receiptsEvery, "write down what receipts rest on", p.receipts) })
	work.Go(func() {
		p.repeat(below, sumsEvery, "write sums of refused attempts", func(ctx context.Context) error { return p.sums(ctx, false) })
	})
	work.Go(func() { p.repeat(below, noticesEvery, "write which keys are about to end", p.notices) })
	work.Go(func() { p.repeat(below, journalEvery, "write down what happened to nodes", p.journal.Write) })
	work.Go(func() { p.uses(below) })
	work.Go(func() { p.repeat(below, tendEvery, "tend what is known of uses", p.tend) })
	work.Go(func() { p.repeat(below, lookEvery, "carry rotations on", p.look) })
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
	p.streams() // before the node leaves, so that they hear why
	err := p.leave(context.WithoutCancel(ctx), p.doors.close)
	stopBelow()
	work.Wait()
	last, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer done()
	err = errors.Join(err, p.receipts(last), p.sums(last, true), p.journal.Close(last))
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// repeat does something over and over. What fails is tried again; the log hears of
// the first of several failures.
func (p parts) repeat(ctx context.Context, every time.Duration, what string, do func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
			limited, cancel := context.WithTimeout(ctx, grace)
			err := do(limited)
			cancel()
			if err != nil && !failing && ctx.Err() == nil {
				p.log.Warn("it is tried again: "+what, "error", err)
			}
			failing = err != nil
		case <-ctx.Done():
			return
		}
	}
}
