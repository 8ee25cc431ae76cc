package chaos

import (
	"context"
	"time"
)

// Clock shows the time since a run began, and nothing can set it.
type Clock time.Time

// Now returns the time since the run began.
func (c Clock) Now() time.Duration { return time.Since(time.Time(c)) }

// pause waits for a while, or until ctx ends, which is an error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
