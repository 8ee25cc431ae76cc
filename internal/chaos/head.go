package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// holdHead takes the head row of the change log, as every change does first of
// all, and keeps it until it is released, which may be done twice.
func (r *Run) holdHead(ctx context.Context) (release func(), err error) {
	conn, err := pgx.Connect(ctx, r.pair.primary.url())
	if err != nil {
		return nil, err
	}
	release = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // nothing was written
	})
	for _, text := range []string{`BEGIN`, `SELECT seq FROM head FOR UPDATE`} {
		if _, err := conn.Exec(ctx, text); err != nil {
			release()
			return nil, fmt.Errorf("%s: %w", text, err)
		}
	}
	return release, nil
}

// nextInLine returns a node that waits for the head row, and the database's
// process that does so for it, when there is one before others give up.
func (r *Run) nextInLine(ctx context.Context) (n *Node, pid int, err error) {
	conn, err := pgx.Connect(ctx, r.pair.primary.url())
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = conn.Close(ctx) }() // nothing was written
	for end := r.clock.Now() + 1500*time.Millisecond; r.clock.Now() < end; {
		var port int
		err := conn.QueryRow(ctx, `
			SELECT pid, client_port FROM pg_stat_activity
			WHERE application_name = 'postern' AND wait_event_type = 'Lock' AND query LIKE '%UPDATE head%' LIMIT 1`).Scan(&pid, &port)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return nil, 0, err
		}
		for _, n := range r.nodes {
			if err == nil && n.Proxy.Owns(port) {
				return n, pid, nil
			}
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, nil
}

// seeHead notes when a process of the database, which has had the head row, is
// left with its transaction open and nobody to end it.
func (r *Run) seeHead(ctx context.Context, pid int) error {
	conn, err := pgx.Connect(ctx, r.pair.primary.url())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // nothing was written
	for end := r.clock.Now() + 1500*time.Millisecond; r.clock.Now() < end; {
		var left bool
		err := conn.QueryRow(ctx, `
			SELECT COUNT(*) > 0 FROM pg_stat_activity
			WHERE pid = $1 AND state = 'idle in transaction' AND state_change < clock_timestamp() - INTERVAL '100 ms'`, pid).Scan(&left)
		if err != nil {
			return err
		}
		if left {
			r.mu.Lock()
			r.held++
			r.mu.Unlock()
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
