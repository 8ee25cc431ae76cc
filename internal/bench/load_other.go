//go:build !linux

package bench

import (
	"context"
	"sync"
	"time"
)

// run makes calls on all lines until a time, each from a goroutine of its own.
func (l *load) run(ctx context.Context, lines []*line, until time.Time) error {
	parts := make([]load, len(lines))
	var running sync.WaitGroup
	for i, x := range lines {
		running.Go(func() { parts[i].talk(ctx, x, until) })
	}
	running.Wait()
	l.join(parts)
	return nil
}

func (l *load) talk(ctx context.Context, x *line, until time.Time) {
	for time.Now().Before(until) && ctx.Err() == nil {
		x.out = x.speaker.next(x.out[:0])
		x.asked = time.Now()
		if err := l.call(x); err != nil {
			l.lost(err)
			return
		}
	}
}

// call sends a call, and receives until its answer has ended.
func (l *load) call(x *line) error {
	if err := x.conn.SetDeadline(x.asked.Add(patience)); err != nil {
		return err
	}
	for send, ended := x.out, false; ; {
		if _, err := x.conn.Write(send); err != nil || ended {
			return err
		}
		for send = nil; len(send) == 0 && !ended; {
			n, err := x.conn.Read(x.room())
			if err != nil {
				return err
			}
			if send, ended, err = l.heard(x, n, time.Now()); err != nil {
				return err
			}
		}
		if len(send) == 0 {
			return nil
		}
	}
}
