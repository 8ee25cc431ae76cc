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
	now = `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`

	// authority describes the server that runs the statement. A user without
	// rights sees that there are senders of WAL, and no more; those of logical
	// replication are counted out.
	authority = `
		(SELECT CAST(system_identifier AS TEXT) FROM pg_control_system()),
		left(pg_walfile_name(pg_current_wal_lsn()), 8),
		CAST(pg_postmaster_start_time() AS TEXT),
		` + now + `,
		current_setting('fsync'), current_setting('full_page_writes'),
		current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		(SELECT count(*) FROM pg_stat_get_wal_senders())
			- (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical' AND active)`
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

// proof says that a connection has completed a write to the row of an incarnation
// since a change was committed: its server was the one to commit to then.
type proof struct {
	incarnation string
	seq         int64
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

// touch completes a write that changes nothing.
func (c *connection) touch(ctx context.Context, incarnation string) error {
	tag, err := c.Exec(ctx, `UPDATE nodes SET acked = acked WHERE incarnation = $1`, incarnation)
	if err == nil && tag.RowsAffected() == 0 {
		return iam.Errorf(iam.NotFound, "the row of this node is gone")
	}
	return errors.Join(err, c.heard())
}

// roll reads all rows, and then who answered, in one round trip.
func (c *connection) roll(ctx context.Context) (roll iam.Roll, err error) {
	batch := &pgx.Batch{}
	batch.Queue(`
		SELECT incarnation, name, kind, version, ttl, bounded, acked, counter, started_at
		FROM nodes ORDER BY incarnation`)
	batch.Queue(`SELECT ` + authority)
	results := c.SendBatch(ctx, batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	found, err := results.Query()
	if err != nil {
		return roll, err
	}
	roll.Nodes, err = pgx.CollectRows(found, scanNode)
	if err != nil {
		return roll, err
	}
	return roll, results.QueryRow().Scan(authorityFields(&roll.Authority)...)
}

func scanNode(row pgx.CollectableRow) (iam.NodeRow, error) {
	var n iam.NodeRow
	err := row.Scan(&n.Incarnation, &n.Name, &n.Kind, &n.Version,
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
