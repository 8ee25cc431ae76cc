package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/posternhq/postern/internal/iam"
)

const (
	poolSize    = 10               // connections, unless the URL says pool_max_conns
	poolWait    = 5 * time.Second  // for a free one
	poolLook    = time.Second      // after which whoever waits for a new one looks for a free one again
	commitWait  = 20 * time.Second // for the answer to a COMMIT, also when the caller has gone
	cleanupWait = 2 * time.Second
	// changesAtOnce is how many transactions of this process may be after the
	// head row: the one that has it and the next. The rest wait here, where
	// they hold no connection and no lock timeout runs.
	changesAtOnce = 2
)

// postgres is a [database] on a server.
type postgres struct {
	pool  *pgxpool.Pool
	turns chan struct{} // full while changesAtOnce transactions change something
}

// errBadURL does not repeat what it is about, which may hold a password.
var errBadURL = errors.New("the PostgreSQL URL cannot be read: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with the special characters of a password percent-encoded")

func openPostgres(ctx context.Context, url string) (*postgres, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errBadURL
	}
	if !strings.Contains(url, "pool_max_conns=") {
		cfg.MaxConns = poolSize
	}
	prepareConn(&cfg.ConnConfig.Config)
	maps.Copy(cfg.ConnConfig.RuntimeParams, map[string]string{
		"synchronous_commit":                  "on",
		"idle_in_transaction_session_timeout": "1s", // nobody holds the head row and sleeps
		"lock_timeout":                        "2s",
		"statement_timeout":                   "30s",
		"jit":                                 "off", // it costs more than any statement here takes
	})
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &postgres{pool: pool, turns: make(chan struct{}, changesAtOnce)}, nil
}

// beside returns the same database over a few connections of its own, which what
// goes on over the others cannot keep busy.
func (db *postgres) beside(connections int32) (*postgres, error) {
	cfg := db.pool.Config()
	cfg.MaxConns, cfg.MinConns = connections, 0
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg) // which connects when it is asked something
	if err != nil {
		return nil, err
	}
	return &postgres{pool: pool, turns: make(chan struct{}, changesAtOnce)}, nil
}

// prepareConn sets what every connection has: a name, keepalives and a limit on
// what is sent and not acknowledged, which find out within 5 seconds that the
// other side has gone, in both directions, and an ear for the warning that a commit
// may not have reached the standbys.
func prepareConn(cfg *pgconn.Config) {
	maps.Copy(cfg.RuntimeParams, map[string]string{
		"application_name":        "postern",
		"tcp_keepalives_idle":     "3",
		"tcp_keepalives_interval": "1",
		"tcp_keepalives_count":    "2",
		"tcp_user_timeout":        "5000",
		"client_min_messages":     "warning",
	})
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 2,
	}, Control: giveUpUnacknowledged}
	cfg.DialFunc = dialer.DialContext
	cfg.OnNotice = func(conn *pgconn.PgConn, notice *pgconn.Notice) {
		if notice.Code == "01000" {
			conn.CustomData()[warned] = true
		}
	}
}

// warned is where a connection remembers the warning 01000, as which "canceling
// wait for synchronous replication" comes.
const warned = "postern.warned"

func (db *postgres) words() words {
	return words{
		clock:     serverClock,
		notify:    `SELECT pg_notify('postern_changes', $1)`,
		unhurried: []statement{{text: `SET LOCAL statement_timeout = 0`}, {text: `SET LOCAL idle_in_transaction_session_timeout = 0`}},
		exclusive: []statement{
			{text: `SET LOCAL statement_timeout = 0`}, {text: `SET LOCAL lock_timeout = 0`},
			{text: `SELECT pg_advisory_xact_lock(` + migrationLock + `)`},
		},
		patient: []statement{{text: `SET LOCAL lock_timeout = '20s'`}},
		lateral: true,
		arrays:  true,
		made:    `xmax = 0`, // who updates a row on the way has locked it, which its xmax says
		tables:  `SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = ANY (current_schemas(false))`,
		schema:  func(text string) string { return textType.ReplaceAllString(text, `TEXT COLLATE "C"`) },
	}
}

// serverClock is the server's time in microseconds since 1970, at the moment at
// which it is asked: now() would stand still within a transaction.
const serverClock = `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`

// migrationLock is held while tables are changed. Like the other such number
// here it means nothing, but no other program is likely to use it.
const migrationLock = "7232180417001"

var textType = regexp.MustCompile(`\bTEXT\b`)

// acquire gets a connection. Whoever finds none free makes one and waits for it,
// which on a busy server takes longer than until another is free again.
func (db *postgres) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	for began := time.Now(); ; {
		wait, cancel := context.WithTimeout(ctx, poolLook)
		conn, err := db.pool.Acquire(wait)
		tooLong := wait.Err() != nil
		cancel()
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, err
		case !tooLong || time.Since(began) > poolWait:
			return nil, &lostError{fmt.Errorf("get a connection: %w", err), away}
		}
	}
}

func (db *postgres) query(ctx context.Context, text string, args ...any) (rows, error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	found, err := conn.Query(ctx, text, args...)
	if err != nil {
		defer conn.Release()
		return nil, lost(conn.Conn(), err)
	}
	return &pgRows{Rows: found, conn: conn.Conn(), done: conn.Release}, nil
}

func (db *postgres) begin(ctx context.Context, m mode, first ...statement) (transaction, error) {
	leave := func() {}
	if m == changing {
		select {
		case db.turns <- struct{}{}:
			leave = func() { <-db.turns }
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	conn, err := db.acquire(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	begin := statement{text: `BEGIN ISOLATION LEVEL READ COMMITTED`}
	if m == reading {
		begin.text = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	}
	tx := &pgTx{db: db, conn: conn, leave: leave}
	if err := tx.send(ctx, append([]statement{begin}, first...)); err != nil {
		tx.rollback()
		return nil, err
	}
	return tx, nil
}

func (db *postgres) fault(err error) fault {
	e, answered := errors.AsType[*pgconn.PgError](err)
	if answered && (e.Code[:2] == "28" || e.Code == "3D000") {
		return other // it does not let us in, or has no such database: waiting mends neither
	}
	if e, ok := errors.AsType[*lostError](err); ok {
		return e.fault
	}
	if !answered {
		return other
	}
	switch e.Code {
	case "23505": // unique_violation
		return taken
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return clash
	case "55P03", "25P03": // lock_not_available, idle_in_transaction_session_timeout
		return locked
	case "57014", "25006": // query_canceled by a timeout, read_only_sql_transaction: a standby
		return away
	}
	switch e.Code[:2] {
	case "08", "53", "57", "58": // connection, resources, operator intervention, system
		return away
	}
	return other
}

func (db *postgres) ping(ctx context.Context) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return lost(conn.Conn(), conn.Ping(ctx))
}

func (db *postgres) close() error {
	db.pool.Close()
	return nil
}

// lostError is an error that is not an answer of the server.
type lostError struct {
	err   error
	fault fault
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// lost marks err when the connection went away with it. As long as no COMMIT was
// sent nothing was changed, and another connection may do.
func lost(conn *pgx.Conn, err error) error {
	if _, answered := errors.AsType[*pgconn.PgError](err); answered || err == nil || !conn.IsClosed() {
		return err
	}
	return &lostError{err, locked}
}

// pgTx is a [transaction].
type pgTx struct {
	db    *postgres
	conn  *pgxpool.Conn // nil when the transaction has ended
	leave func()
}

func (t *pgTx) query(ctx context.Context, text string, args ...any) (rows, error) {
	found, err := t.conn.Query(ctx, text, args...)
	if err != nil {
		return nil, lost(t.conn.Conn(), err)
	}
	return &pgRows{Rows: found, conn: t.conn.Conn()}, nil
}

func (t *pgTx) send(ctx context.Context, statements []statement) error {
	if len(statements) == 0 {
		return nil
	}
	st, err := t.run(ctx, statements)
	return lost(t.conn.Conn(), st.failed(err, t.db.fault(err)))
}

// run runs statements in order. With an error it returns the one that failed.
func (t *pgTx) run(ctx context.Context, statements []statement) (failed statement, err error) {
	batch := &pgx.Batch{}
	for _, st := range statements {
		batch.Queue(st.text, st.args...)
	}
	results := t.conn.SendBatch(ctx, batch)
	for _, st := range statements {
		if err := t.read(results, st); err != nil {
			_ = results.Close() // err is the first, and says why
			return st, err
		}
	}
	return failed, results.Close()
}

func (t *pgTx) read(results pgx.BatchResults, st statement) error {
	if st.scan != nil {
		return st.scan(results.QueryRow())
	}
	tag, err := results.Exec()
	if err != nil {
		return err
	}
	if st.text == commitText && tag.String() != commitText {
		return pgx.ErrTxCommitRollback // the server's answer to COMMIT when the transaction has failed
	}
	return st.affected(tag.RowsAffected())
}

const commitText = `COMMIT`

func (t *pgTx) commit(ctx context.Context, statements []statement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(t.conn.Conn().PgConn().CustomData(), warned)
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWait)
	defer cancel()
	st, err := t.run(wait, append(statements, statement{text: commitText}))
	switch {
	case err == nil && t.conn.Conn().PgConn().CustomData()[warned] != nil:
		// Durable here, perhaps not on the standby that takes over.
		return fmt.Errorf("%w: PostgreSQL did not wait for its standbys", iam.Unknown)
	case err == nil:
		t.end()
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return err
	case refused(err):
		return st.failed(err, t.db.fault(err))
	}
	return fmt.Errorf("%w: commit: %w", iam.Unknown, err)
}

// refused reports whether an error from the batch with the COMMIT in it means
// that nothing was committed: the server answered one of its statements with an
// error and lives on, or had ended the transaction before the batch came.
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.SeverityUnlocalized == "ERROR" || e.Code == "25P03")
}

func (t *pgTx) rollback() {
	if t.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupWait)
	defer cancel()
	// When it fails the pool closes the connection, which rolls back too.
	_, _ = t.conn.Exec(ctx, `ROLLBACK`)
	t.end()
}

func (t *pgTx) end() {
	t.conn.Release()
	t.conn = nil
	t.leave()
}

// pgRows are [rows].
type pgRows struct {
	pgx.Rows
	conn *pgx.Conn
	done func() // nil: nothing is to be given back
}

func (r *pgRows) Err() error { return lost(r.conn, r.Rows.Err()) }

func (r *pgRows) Close() error {
	r.Rows.Close()
	if r.done != nil {
		r.done()
		r.done = nil
	}
	return nil
}
