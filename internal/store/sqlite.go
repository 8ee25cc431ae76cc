package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/posternhq/postern/internal/iam"
)

const (
	sqliteReaders = 8 // reads of a file that may run at the same time
	// The one writer keeps what it writes to again and again; what SQLite gives
	// it by itself, 2 MB, is less than the inner pages of a million keys.
	writerCache = "_pragma=cache_size(-16384)" // 16 MiB, as it fills up
)

// sqlite is a [database] in one file: one connection that writes, and a few that
// only read and see what was committed before they began.
type sqlite struct {
	writer, readers *sessions
}

func openSQLite(ctx context.Context, path string) (*sqlite, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// SQLite gives the files that it makes beside this one the same mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database file: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	writer, err := newSessions(path, "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&"+writerCache, 1)
	if err != nil {
		return nil, err
	}
	readers, err := newSessions(path, "_pragma=query_only(1)", sqliteReaders)
	if err != nil {
		return nil, errors.Join(err, writer.close())
	}
	db := &sqlite{writer: writer, readers: readers}
	if err := db.settle(ctx); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// settle sets and checks what durability rests on. While another process does so, or
// is the last to close the file, SQLite refuses at once instead of waiting.
func (db *sqlite) settle(ctx context.Context) error {
	const longest, again = 5 * time.Second, 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for {
		err := db.checkPragmas(ctx)
		if e, ok := errors.AsType[*sqlitedriver.Error](err); !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY {
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return err
		}
	}
}

// checkPragmas reads back what durability rests on, for SQLite takes a setting
// that it cannot follow in silence.
func (db *sqlite) checkPragmas(ctx context.Context) error {
	ses, err := db.writer.take(ctx)
	if err != nil {
		return err
	}
	defer db.writer.give(ses)
	for _, p := range []struct{ name, want, why string }{
		{"journal_mode", "wal", "the file system must let processes share memory, which network file systems do not"},
		{"synchronous", "2", "without it a power failure takes back what was answered"},
		{"foreign_keys", "1", "this build of SQLite lacks them"},
	} {
		var got string
		if err := ses.conn.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got); err != nil {
			return fmt.Errorf("read SQLite's %s: %w", p.name, err)
		}
		if got != p.want {
			return fmt.Errorf("SQLite has %s %s here, Postern needs %s: %s", p.name, got, p.want, p.why)
		}
	}
	return nil
}

// words returns SQLite's: no other process writes to the file, and it keeps a
// table in one tree with its key, if that is asked for.
func (db *sqlite) words() words {
	own := strings.NewReplacer("BIGINT/* INTEGER */", "INTEGER", "/* WITHOUT ROWID */", " WITHOUT ROWID")
	return words{alone: true, schema: own.Replace, tables: `SELECT name FROM sqlite_master WHERE type = 'table'`}
}

func (db *sqlite) query(ctx context.Context, text string, args ...any) (rows, error) {
	ses, err := db.readers.take(ctx)
	if err != nil {
		return nil, err
	}
	found, err := ses.query(ctx, text, args)
	if err != nil {
		db.readers.give(ses)
		return nil, err
	}
	return &sqliteRows{Rows: found, done: func() { db.readers.give(ses) }}, nil
}

func (db *sqlite) begin(ctx context.Context, m mode, first ...statement) (transaction, error) {
	from, begin := db.writer, "BEGIN IMMEDIATE"
	if m == reading {
		from, begin = db.readers, "BEGIN"
	}
	ses, err := from.take(ctx)
	if err != nil {
		return nil, err
	}
	tx := &sqliteTx{db: db, from: from, ses: ses}
	// ctx ends the wait for the lock. It may end when the lock has just been
	// taken, so that there is something to roll back after an error too.
	if _, err := ses.conn.ExecContext(ctx, begin); err != nil {
		tx.rollback()
		return nil, err
	}
	if err := tx.send(ctx, first); err != nil {
		tx.rollback()
		return nil, err
	}
	return tx, nil
}

func (db *sqlite) fault(err error) fault {
	e, ok := errors.AsType[*sqlitedriver.Error](err)
	if !ok {
		return other
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return taken
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED: // after the busy timeout
		return locked
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return away
	}
	return other
}

func (db *sqlite) ping(ctx context.Context) error {
	rs, err := db.query(ctx, `SELECT seq FROM head`)
	if err != nil {
		return err
	}
	return rs.Close()
}

func (db *sqlite) close() error { return errors.Join(db.readers.close(), db.writer.close()) }

// sqliteTx is a [transaction]. Its statements do not end with a context: in the
// file each takes no time. The context is looked at between them.
type sqliteTx struct {
	db   *sqlite
	from *sessions
	ses  *session // nil when the transaction has ended
}

func (t *sqliteTx) query(ctx context.Context, text string, args ...any) (rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := t.ses.query(context.WithoutCancel(ctx), text, args)
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (t *sqliteTx) send(ctx context.Context, statements []statement) error {
	for _, st := range statements {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.ses.run(context.WithoutCancel(ctx), st); err != nil {
			return st.failed(err, t.db.fault(err))
		}
	}
	return nil
}

func (t *sqliteTx) commit(ctx context.Context, statements []statement) error {
	if err := t.send(ctx, statements); err != nil {
		return err
	}
	_, err := t.ses.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
	if err == nil {
		t.end()
		return nil
	}
	if e, ok := errors.AsType[*sqlitedriver.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL: // the last page was not written
			return err
		}
	}
	return fmt.Errorf("%w: commit: %w", iam.Unknown, err)
}

func (t *sqliteTx) rollback() {
	if t.ses == nil {
		return
	}
	_, _ = t.ses.conn.ExecContext(context.Background(), "ROLLBACK") // it fails when BEGIN did
	t.end()
}

func (t *sqliteTx) end() {
	t.from.give(t.ses)
	t.ses = nil
}

// sessions are connections that are lent out, each to one user at a time.
type sessions struct {
	db   *sql.DB
	free chan *session // nil: one that was not opened yet
}

func newSessions(path, settings string, most int) (*sessions, error) {
	name := &url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&" + settings}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	s := &sessions{db: db, free: make(chan *session, most)}
	for range most {
		s.free <- nil
	}
	return s, nil
}

func (s *sessions) take(ctx context.Context) (*session, error) {
	var ses *session
	select {
	case ses = <-s.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if ses != nil {
		return ses, nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		s.free <- nil
		return nil, err
	}
	return &session{conn: conn, statements: map[string]*sql.Stmt{}}, nil
}

func (s *sessions) give(ses *session) { s.free <- ses }

// close waits for whoever still has a session.
func (s *sessions) close() (err error) {
	for range cap(s.free) {
		if ses := <-s.free; ses != nil {
			err = errors.Join(err, ses.close())
		}
	}
	return errors.Join(err, s.db.Close())
}

// session is a connection with the statements that were prepared on it.
type session struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func (s *session) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	st, err := s.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (s *session) run(ctx context.Context, st statement) error {
	prepared, err := s.prepare(ctx, st.text)
	if err != nil {
		return err
	}
	if st.scan != nil {
		return st.scan(prepared.QueryRowContext(ctx, st.args...))
	}
	result, err := prepared.ExecContext(ctx, st.args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	return errors.Join(err, st.affected(n))
}

func (s *session) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if st := s.statements[text]; st != nil {
		return st, nil
	}
	const most = 500 // filters and sorts make more texts than are worth keeping
	if len(s.statements) >= most {
		if err := s.forget(); err != nil {
			return nil, err
		}
	}
	st, err := s.conn.PrepareContext(ctx, placeholders(text))
	if err != nil {
		return nil, err
	}
	s.statements[text] = st
	return st, nil
}

// placeholders returns a statement with SQLite's placeholders. It takes $1 as a
// name, and ?1 as a number that is a name too, for which it goes through the names
// of all that come before, at each value: with thousands that is most of the work.
// So those that stand in order, each once, become nothing but ?.
func placeholders(text string) string {
	parts := strings.Split(text, "$")
	for i, part := range parts[1:] {
		number := strconv.Itoa(i + 1)
		rest, inOrder := strings.CutPrefix(part, number)
		if !inOrder || rest != "" && '0' <= rest[0] && rest[0] <= '9' {
			return strings.ReplaceAll(text, "$", "?")
		}
		parts[i+1] = rest
	}
	return strings.Join(parts, "?")
}

func (s *session) forget() (err error) {
	for _, st := range s.statements {
		err = errors.Join(err, st.Close())
	}
	clear(s.statements)
	return err
}

func (s *session) close() error { return errors.Join(s.forget(), s.conn.Close()) }

// sqliteRows gives its connection back when it is closed.
type sqliteRows struct {
	*sql.Rows
	done func() // nil when it was called
}

func (r *sqliteRows) Close() error {
	err := r.Rows.Close()
	if r.done != nil {
		r.done()
		r.done = nil
	}
	return err
}
