package fence

import (
	"context"
	"time"

	"github.com/posternhq/postern/internal/replica"
)

// Clock is time as one machine has it. All that a node knows of time comes from
// one, so that a simulation can be the other one.
type Clock interface {
	// Now reads both clocks of the machine.
	Now() replica.Instant

	// Sleep returns when d has passed, when something can be received from
	// wake, which it then has received, or when ctx has ended.
	Sleep(ctx context.Context, d time.Duration, wake <-chan struct{})

	// Limit returns a context that ends with ctx, or when d has passed.
	Limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// SystemClock returns the clocks of this machine.
func SystemClock() Clock { return systemClock{begun: time.Now()} }

type systemClock struct{ begun time.Time }

func (c systemClock) Now() replica.Instant {
	now := time.Now() // reads both clocks
	return replica.Instant{Monotonic: now.Sub(c.begun), Wall: time.Duration(now.UnixNano())}
}

func (systemClock) Sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

func (systemClock) Limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

// bell wakes one sleeper. A ring that finds nobody asleep is kept for the next.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default: // it rings already
	}
}
