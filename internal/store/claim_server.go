package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// claimLock is held by the process that answers from a PostgreSQL database.
const claimLock = "7232180417002"

// claimServer takes an advisory lock of the database, which lives as long as the
// connection it was taken on.
func claimServer(ctx context.Context, url string) (*Claim, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errBadURL
	}
	prepareConn(&cfg.Config)
	cfg.RuntimeParams["idle_session_timeout"] = "0" // a claim says nothing for as long as it is held
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("claim the database: %w", err)
	}
	var got bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+claimLock+`)`).Scan(&got); err != nil {
		return nil, errors.Join(fmt.Errorf("claim the database: %w", err), closeConn(conn))
	}
	if !got {
		return nil, errors.Join(fmt.Errorf("the database %s at %s is in use by another Postern process%s: this release answers from one node",
			cfg.Database, cfg.Host, holder(ctx, conn)), closeConn(conn))
	}
	return watch(conn), nil
}

// holder says where the process is that has the claim, if the server tells.
func holder(ctx context.Context, conn *pgx.Conn) string {
	var address string
	err := conn.QueryRow(ctx, `
		SELECT COALESCE(a.client_addr::text, 'a local socket') FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint << 32 | l.objid::bigint = `+claimLock+`
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&address)
	if err != nil {
		return ""
	}
	return " (from " + address + ")"
}

// watch returns the claim that conn holds, and waits for conn to end. Keepalives
// end it within seconds when the server is gone without a word.
func watch(conn *pgx.Conn) *Claim {
	ctx, stop := context.WithCancel(context.Background())
	claim := &Claim{lost: make(chan struct{})}
	var watching sync.WaitGroup
	watching.Go(func() {
		defer close(claim.lost)
		for {
			// Nobody notifies this connection: it returns when conn ends.
			if _, err := conn.WaitForNotification(ctx); err != nil {
				return
			}
		}
	})
	claim.release = sync.OnceValue(func() error {
		stop()
		watching.Wait()
		return closeConn(conn)
	})
	return claim
}

// closeConn tells the server, but does not wait for long.
func closeConn(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupWait)
	defer cancel()
	return conn.Close(ctx)
}
