package chaos

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func startPair(t *testing.T) *Pair {
	t.Helper()
	p, err := StartPair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// The failover that the faults make is one that the promise allows: what was
// acknowledged survives it, and the old primary completes nothing.
func TestAPromotedStandbyHasWhatWasAcknowledgedAndTheOldPrimaryCompletesNothing(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(p.Synchronous(t.Context()))
	do(p.exec(t.Context(), p.primary, `CREATE TABLE kept (n BIGINT)`, `INSERT INTO kept VALUES (1)`))
	do(p.Promote(t.Context()))
	alone := make(chan error, 1)
	go func() { alone <- p.exec(t.Context(), p.primary, `INSERT INTO kept VALUES (4)`) }()
	do(p.await(t.Context(), p.primary, `SELECT COUNT(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'`))

	old, err := pgx.Connect(t.Context(), p.spare.url())
	do(err)
	done := make(chan error, 1)
	go func() { _, err := old.Exec(t.Context(), `INSERT INTO kept VALUES (2)`); done <- err }()
	do(p.await(t.Context(), p.spare, `SELECT COUNT(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'`))
	select {
	case err := <-done:
		t.Errorf("the old primary answered a write: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	do(p.Follow(t.Context()))
	do(<-alone)
	do(p.exec(t.Context(), p.primary, `INSERT INTO kept VALUES (3)`)) // it has a standby again
	do(p.Retire(t.Context(), "immediate"))
	if err := <-done; err == nil {
		t.Error("the old primary completed a write")
	}
	do(p.Crash(t.Context()))
	do(p.await(t.Context(), p.primary, `SELECT COUNT(*) = 3 FROM kept`))
}
