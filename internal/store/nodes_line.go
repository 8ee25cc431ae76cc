package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/iam"
)

const (
	// authority describes the server that runs the statement. A user without
	// rights sees that there are senders of WAL, and no more; those of logical
	// replication are counted out.
	authority = `
		(SELECT CAST(system_identifier AS TEXT) FROM pg_control_system()),
		left(pg_walfile_name(pg_current_wal_lsn()), 8),
		CAST(pg_postmaster_start_time() AS TEXT),
		` + serverClock + `,
		current_setting('fsync'), current_setting('full_page_writes'),
		current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		(SELECT count(*) FROM pg_stat_get_wal_senders())
			- (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical' AND active)`

	backend = `CAST(pg_postmaster_start_time() AS TEXT) || ' ' || CAST(pg_backend_pid() AS TEXT)`
)

func authorityFields(a *iam.Authority) []any {
	s := &a.Settings
	return []any{
		&a.System, &a.Timeline, &a.Started, instant{&a.Now},
		&s.Fsync, &s.FullPageWrites, &s.SynchronousCommit, &s.SynchronousStandbyNames, &s.Standbys,
	}
}

// line is one connection that is opened when it is needed, and again after it
// was lost. One user has it at a time.
type line struct {
	db   *postgres
	free chan *connection // holds one; nil when it is not open
}

// connection is what a line knows of the connection it has.
type connection struct {
	*pgx.Conn
	proved proof
}

// proof says that a server process has completed a write to the row of an
// incarnation since a change was committed: its server was the one to commit to
// then. Behind a pooler one connection may reach several.
type proof struct {
	incarnation string
	seq         int64
	backend     string
}

func (p proof) covers(incarnation string, seq int64) bool {
	return p.incarnation == incarnation && p.seq >= seq
}

func newLine(db *postgres) *line {
	l := &line{db: db, free: make(chan *connection, 1)}
	l.free <- nil
	return l
}

func (l *line) config() *pgx.ConnConfig { return l.db.pool.Config().ConnConfig }

// use runs fn with the connection. After an error of which nobody can say what
// the server made of it the connection is closed.
func (l *line) use(ctx context.Context, fn func(*connection) error) (err error) {
	var c *connection
	select {
	case c = <-l.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { l.free <- c }()
	if c == nil || c.IsClosed() {
		if c, err = l.open(ctx); err != nil {
			return err
		}
	}
	delete(c.PgConn().CustomData(), warned)
	if err := fn(c); err != nil {
		err = lost(c.Conn, err)
		if l.db.fault(err) != taken && !errors.Is(err, iam.NotFound) {
			_ = closeConn(c.Conn) // err says why
		}
		return err
	}
	return nil
}

func (l *line) open(ctx context.Context) (*connection, error) {
	conn, err := pgx.ConnectConfig(ctx, l.config())
	if err != nil {
		return nil, &lostError{fmt.Errorf("connect: %w", err), away}
	}
	return &connection{Conn: conn}, nil
}

// close waits until nobody uses the line, and ends it for good.
func (l *line) close() error {
	c := <-l.free
	if c == nil {
		return nil
	}
	return closeConn(c.Conn)
}

// heard returns an error when PostgreSQL has warned, while the last statement
// ran, that its commit may not have reached the standbys.
func (c *connection) heard() error {
	if c.PgConn().CustomData()[warned] != nil {
		return fmt.Errorf("%w: PostgreSQL did not wait for its standbys", iam.Unknown)
	}
	return nil
}

// errElsewhere is the error of an acknowledgement of a change that this server has
// not: it was read from another one.
var errElsewhere = errors.New("the server that acknowledgements are written to has no such change")

// ack raises the acknowledgement of a row to a change that this server has, and
// says which process of the server did. It is a write also when the row shows it
// already: that can be what is left of an attempt whose commit no standby
// confirmed, and proves nothing. The statements are one transaction, and so reach
// one server process.
func (c *connection) ack(ctx context.Context, incarnation string, at iam.Position) (by string, err error) {
	batch := &pgx.Batch{}
	batch.Queue(`
		UPDATE nodes SET acked = CASE WHEN acked < $2 THEN $2 ELSE acked END WHERE incarnation = $1
			AND EXISTS (SELECT 1 FROM changes WHERE seq = $2 AND chain = $3)`, incarnation, at.Seq, chainText(at.Chain))
	batch.Queue(`
		SELECT EXISTS (SELECT 1 FROM nodes WHERE incarnation = $1), (SELECT chain FROM changes WHERE seq = $2), `+backend,
		incarnation, at.Seq)
	results := c.SendBatch(ctx, batch)
	_, err = results.Exec()
	var there bool
	var chain *string
	if err == nil {
		err = results.QueryRow().Scan(&there, &chain, &by)
	}
	err = errors.Join(err, results.Close(), c.heard())
	switch {
	case err != nil:
	case !there:
		err = errNoRow
	case chain == nil:
		err = fmt.Errorf("%w: %d", errElsewhere, at.Seq)
	case *chain != chainText(at.Chain):
		err = diverged("change %d has another chain where it is acknowledged", at.Seq)
	}
	return by, err
}

// touch reads all rows in a transaction that also completes a write, to the row
// of an incarnation, which it leaves as it is.
func (c *connection) touch(ctx context.Context, incarnation string) (iam.Roll, string, error) {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE nodes SET acked = acked WHERE incarnation = $1`, incarnation)
	queueRoll(batch)
	results := c.SendBatch(ctx, batch)
	tag, err := results.Exec()
	if err == nil && tag.RowsAffected() == 0 {
		err = errNoRow
	}
	if err != nil {
		return iam.Roll{}, "", errors.Join(err, results.Close())
	}
	return c.readRoll(results)
}

// roll reads all rows, and who answered, in one round trip.
func (c *connection) roll(ctx context.Context) (iam.Roll, string, error) {
	batch := &pgx.Batch{}
	queueRoll(batch)
	return c.readRoll(c.SendBatch(ctx, batch))
}

func queueRoll(batch *pgx.Batch) {
	batch.Queue(`
		SELECT incarnation, name, kind, version, reporter, ttl, bounded, acked, counter, started_at
		FROM nodes ORDER BY incarnation`)
	batch.Queue(`SELECT ` + authority + `, ` + backend)
}

// readRoll reads what queueRoll asked for, to the end: only then has the
// transaction been completed.
func (c *connection) readRoll(results pgx.BatchResults) (roll iam.Roll, by string, err error) {
	found, err := results.Query()
	if err == nil {
		roll.Nodes, err = pgx.CollectRows(found, scanNode)
	}
	if err == nil {
		err = results.QueryRow().Scan(append(authorityFields(&roll.Authority), &by)...)
	}
	return roll, by, errors.Join(err, results.Close(), c.heard())
}

func scanNode(row pgx.CollectableRow) (iam.NodeRow, error) {
	var n iam.NodeRow
	err := row.Scan(&n.Incarnation, &n.Name, &n.Kind, &n.Version, &n.Reporter,
		span{&n.TTL}, span{&n.Bounded}, &n.Acked, &n.Counter, instant{&n.StartedAt})
	return n, err
}

// span takes in a duration in microseconds.
type span struct{ to *time.Duration }

func (c span) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("a duration is a %T", value)
	}
	*c.to = time.Duration(n) * time.Microsecond
	return nil
}

// closeConn tells the server, but does not wait for long.
func closeConn(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupWait)
	defer cancel()
	return conn.Close(ctx)
}
