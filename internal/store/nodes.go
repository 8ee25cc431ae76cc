package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/iam"
)

// Nodes is the table in which the nodes of a deployment keep their rows, and the
// feed that they follow. It speaks to the database over connections of its own,
// which no other work can keep busy. It is safe for concurrent use.
//
// An answer counts only once its command has completed: the rows of a statement
// arrive before PostgreSQL has heard of its standbys.
type Nodes struct {
	store    *Store
	feed     *Store // the log and snapshots are read over connections of its own
	renewing *line  // rows come, stay alive and go over this one
	acking   *line  // and what is known of changes over this one

	mu     sync.Mutex    // guards server
	server iam.Authority // that answered last, as far as it says which it is
}

// Nodes opens the table. On SQLite there is one process, and no such table is
// needed: then it is an error.
func (s *Store) Nodes() (*Nodes, error) {
	db, ok := s.db.(*postgres)
	if !ok {
		return nil, errors.New("store: several nodes need PostgreSQL")
	}
	feed, err := db.beside(feedConnections)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &Nodes{
		store: s, feed: newStore(feed, Options{Now: s.now, Observe: s.observe}), renewing: newLine(db), acking: newLine(db),
	}, nil
}

// feedConnections is how many connections the feed has: one for what is new, and
// one for a snapshot.
const feedConnections = 2

// Close waits for what is running and closes the connections.
func (n *Nodes) Close() error {
	return errors.Join(n.feed.Close(), n.renewing.close(), n.acking.close())
}

// Changes implements the feed of a replica. When the log has been trimmed beyond
// after, the error is not [iam.Diverged]: a snapshot leads on.
func (n *Nodes) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	changes, at, err := n.feed.Changes(ctx, after, limit)
	if !errors.Is(err, iam.Diverged) {
		return changes, at, err
	}
	first, failed := number(ctx, n.feed.reader, "the beginning of the log", `SELECT COALESCE(MIN(seq), 0) FROM changes`)
	switch {
	case failed != nil:
		return nil, after, failed
	case after.Seq < first-1 || after.Seq == first-1 && after.Seq > 0:
		return nil, after, fmt.Errorf("the log begins at change %d, after what follows on %d", first, after.Seq)
	}
	return nil, after, err
}

// Trim removes from the log what every node has acknowledged, but for the last
// keep changes, and not more than a few thousand at once.
func (n *Nodes) Trim(ctx context.Context, keep int64) error {
	const most = 5000
	_, err := n.write(ctx, n.renewing, "trim the log", nil, `
		DELETE FROM changes WHERE seq < (SELECT MIN(acked) FROM nodes) - $1
			AND seq < (SELECT MIN(seq) FROM changes) + $2`, keep, int64(most))
	return err
}

// Snapshot implements the feed of a replica.
func (n *Nodes) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	return n.feed.Snapshot(ctx, sink)
}

// Join writes the row of a node down, and in the same transaction that its process
// may accept keys, of which it is to report. After an error both may be there all
// the same, and the incarnation must not be used.
func (n *Nodes) Join(ctx context.Context, row iam.NodeRow) error {
	return n.run(ctx, n.renewing, "write the node's row", func(c *connection) error {
		batch := &pgx.Batch{} // one transaction
		batch.Queue(`
			INSERT INTO nodes (incarnation, name, kind, version, reporter, ttl, bounded, acked, counter, started_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, `+serverClock+`)`,
			row.Incarnation, row.Name, row.Kind, row.Version, row.Reporter, row.TTL.Microseconds(), row.Bounded.Microseconds())
		if row.Reporter != "" {
			batch.Queue(joinReporter, row.Reporter, row.Name, row.Kind)
		}
		return errors.Join(c.SendBatch(ctx, batch).Close(), c.heard())
	})
}

// Renew moves the counter of a node's row on. What it returns was true at some
// moment after it was called, and comes from a server that could commit then. An
// error of kind [iam.NotFound] means that the row is gone.
func (n *Nodes) Renew(ctx context.Context, incarnation string) (iam.Renewal, error) {
	var r iam.Renewal
	fields := append([]any{&r.Head.Seq, chain(&r.Head.Chain), instant{&r.Head.Time}, instant{&r.Time}}, authorityFields(&r.Authority)...)
	found, err := n.write(ctx, n.renewing, "renew the lease", fields, `
		UPDATE nodes SET counter = counter + 1 WHERE incarnation = $1
		RETURNING (SELECT seq FROM head), (SELECT chain FROM head), (SELECT time FROM head),
			(SELECT CASE WHEN time > `+serverClock+` THEN time ELSE `+serverClock+` END FROM head), `+authority, incarnation)
	if err == nil && !found {
		return r, errNoRow
	}
	if err == nil {
		n.answeredBy(r.Authority)
	}
	return r, err
}

var errNoRow = iam.Errorf(iam.NotFound, "the row of this node is gone")

// answeredBy has everything connect anew when another server answers than before:
// connections that were not in use when the old one was deposed may still lead to
// it, and what is read there is not so any more.
func (n *Nodes) answeredBy(a iam.Authority) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server.Same(a) && n.server.Started == a.Started {
		return
	}
	n.server = a
	n.store.db.(*postgres).pool.Reset()
	n.connectAnew()
}

// connectAnew has the feed's next questions go over new connections.
func (n *Nodes) connectAnew() { n.feed.db.(*postgres).pool.Reset() }

// Ack records that a node answers from the change at a position or a later one, or
// not at all. The change is looked for in the log of the server that records it,
// for the node may have read another's: when that has another change there, the
// error is [iam.Diverged]. An error of kind [iam.NotFound] means that the row is
// gone.
func (n *Nodes) Ack(ctx context.Context, incarnation string, at iam.Position) error {
	return n.run(ctx, n.acking, "acknowledge a change", func(c *connection) error {
		backend, err := c.ack(ctx, incarnation, at)
		if err == nil {
			c.proved = proof{incarnation, at.Seq, backend}
		}
		if errors.Is(err, errElsewhere) || errors.Is(err, iam.Diverged) {
			n.connectAnew()
		}
		return err
	})
}

// Lagging returns all nodes, for a process that waits for change seq to have
// reached them. It is sure to come from a server that was the one to commit to
// after seq was: it has completed a write since, or completes one now by touching
// the row of incarnation.
func (n *Nodes) Lagging(ctx context.Context, incarnation string, seq int64) (iam.Roll, error) {
	var roll iam.Roll
	err := n.run(ctx, n.acking, "ask which nodes lag", func(c *connection) (err error) {
		var backend string
		if c.proved.covers(incarnation, seq) {
			if roll, backend, err = c.roll(ctx); err != nil || backend == c.proved.backend {
				return err
			}
		}
		if roll, backend, err = c.touch(ctx, incarnation); err == nil {
			c.proved = proof{incarnation, seq, backend}
		}
		return err
	})
	return roll, err
}

// All returns all nodes, as some server has them.
func (n *Nodes) All(ctx context.Context) (iam.Roll, error) {
	var roll iam.Roll
	err := n.run(ctx, n.renewing, "list the nodes", func(c *connection) (err error) {
		roll, _, err = c.roll(ctx)
		return err
	})
	return roll, err
}

// Reap removes the row of a node whose counter still is what it was, and reports
// whether it did.
func (n *Nodes) Reap(ctx context.Context, incarnation string, counter int64) (removed bool, err error) {
	return n.write(ctx, n.renewing, "remove the row of a node that is silent", []any{new(string)},
		`DELETE FROM nodes WHERE incarnation = $1 AND counter = $2 RETURNING incarnation`, incarnation, counter)
}

// Leave removes the row of a node that has stopped to answer, and reports whether it
// was there.
func (n *Nodes) Leave(ctx context.Context, incarnation string) (removed bool, err error) {
	return n.write(ctx, n.renewing, "remove the node's row", []any{new(string)},
		`DELETE FROM nodes WHERE incarnation = $1 RETURNING incarnation`, incarnation)
}

// Listen calls heard whenever somebody says that there is a change, until ctx
// ends or the connection does. It is a hint and may be lost.
func (n *Nodes) Listen(ctx context.Context, heard func()) error {
	conn, err := pgx.ConnectConfig(ctx, n.acking.config())
	if err != nil {
		return n.store.explain(ctx, fmt.Errorf("listen for changes: %w", &lostError{err, away}))
	}
	defer func() { _ = closeConn(conn) }() // nothing was written
	if _, err := conn.Exec(ctx, `LISTEN postern_changes`); err != nil {
		return n.store.explain(ctx, fmt.Errorf("listen for changes: %w", lost(conn, err)))
	}
	for heard(); ; heard() { // what was said before LISTEN was missed
		if err := awaitNotification(ctx, conn); err != nil {
			return n.store.explain(ctx, fmt.Errorf("listen for changes: %w", &lostError{err, away}))
		}
	}
}

// awaitNotification returns when the server has said something. When it is quiet
// for a while it is asked whether it is there: a connection that leads nowhere any
// more, because something in between has forgotten it, is as quiet.
func awaitNotification(ctx context.Context, conn *pgx.Conn) error {
	const quiet = 2 * time.Second
	for {
		limited, cancel := context.WithTimeout(ctx, quiet)
		_, err := conn.WaitForNotification(limited)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		limited, cancel = context.WithTimeout(ctx, cleanupWait)
		err = conn.Ping(limited)
		cancel()
		if err != nil {
			return err
		}
	}
}

// write runs one statement that is a transaction of its own, and scans the row
// that it returns, if any.
func (n *Nodes) write(ctx context.Context, l *line, what string, into []any, text string, args ...any) (found bool, err error) {
	err = n.run(ctx, l, what, func(c *connection) error {
		if into == nil {
			_, err := c.Exec(ctx, text, args...)
			return errors.Join(err, c.heard())
		}
		err := c.QueryRow(ctx, text, args...).Scan(into...)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		found = err == nil
		return errors.Join(err, c.heard())
	})
	return found, err
}

func (n *Nodes) run(ctx context.Context, l *line, what string, fn func(*connection) error) (err error) {
	defer func(began time.Time) { n.store.observe("node", time.Since(began), err) }(time.Now())
	if err := l.use(ctx, fn); err != nil {
		return n.store.explain(ctx, fmt.Errorf("%s: %w", what, err))
	}
	return nil
}
