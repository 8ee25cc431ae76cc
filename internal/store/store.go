// Package store keeps everything in SQLite or PostgreSQL.
//
// There is one text of SQL, in the words both databases share; what they do not
// share is in sqlite.go and postgres.go. Package storetest holds both to the
// contract of [iam.Store].
package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Options are what a [Store] may be told. The zero value is for production.
type Options struct {
	// Now says what time it is. Without it SQLite uses time.Now, and PostgreSQL
	// the server's own clock.
	Now func() time.Time
	// Observe hears how long an operation took and how it ended: "change",
	// "note", "commit" or "read". It is called often and must not block.
	Observe func(op string, took time.Duration, err error)
}

// Store is an [iam.Store]. It is safe for concurrent use.
type Store struct {
	reader
	db      database
	words   words
	now     func() time.Time // nil: the database's clock
	observe func(op string, took time.Duration, err error)
	close   func() error

	tended     int           // rows that one transaction that tends usage goes through
	remembered atomic.Uint64 // outcomes of calls, since the start
}

var _ iam.Store = (*Store)(nil)

// Open opens the database at url, which is "sqlite:PATH" or "postgres://…", and
// brings its tables up to date as [Store.Migrate] does. No error repeats a
// password that url holds.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	s, err := New(ctx, url, o)
	if err != nil {
		return nil, err
	}
	if err := s.Migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// New returns the store at url, whose tables are as they are: [Store.Migrate] has
// to succeed before anything else is asked. PostgreSQL need not be there yet.
func New(ctx context.Context, url string, o Options) (*Store, error) {
	db, err := open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return newStore(db, o), nil
}

func newStore(db database, o Options) *Store {
	s := &Store{db: db, words: db.words(), now: o.Now, observe: o.Observe, tended: tendedAtOnce, close: sync.OnceValue(db.close)}
	if s.now == nil && s.words.clock == "" {
		s.now = time.Now
	}
	if s.observe == nil {
		s.observe = func(string, time.Duration, error) {}
	}
	s.reader = reader{querier: db, heard: s.heard, clock: s.localTime, asked: s.clock, words: s.words}
	return s
}

func open(ctx context.Context, url string) (database, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok && path != "" {
		return openSQLite(ctx, path)
	}
	if isPostgres(url) {
		return openPostgres(ctx, url)
	}
	return nil, errBadScheme
}

var errBadScheme = errors.New("the store's URL must be sqlite:PATH or postgres://…")

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// Close waits for what is running and releases the database. Closing twice is
// closing once.
func (s *Store) Close() error { return s.close() }

// Ping reports whether the database answers; the error is [iam.Unavailable] when
// it does not.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.ping(ctx); err != nil {
		return s.explain(ctx, fmt.Errorf("ask the store: %w", err))
	}
	return nil
}

// localTime is what lists count by, outside a transaction.
func (s *Store) localTime() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}

// clock returns an expression for the time in microseconds, and what stands for
// $1 in it.
func (s *Store) clock() (expression string, args []any) {
	if s.now != nil {
		return "CAST($1 AS BIGINT)", []any{s.now().UnixMicro()}
	}
	return s.words.clock, nil
}

// again runs once until it succeeds, or fails in a way that running it again
// does not mend. Only what has changed nothing is run again.
func (s *Store) again(ctx context.Context, once func() error) error {
	for try := 1; ; try++ {
		err := once()
		if err == nil || errors.Is(err, iam.Unknown) || ctx.Err() != nil || try >= s.db.fault(err).tries() {
			return s.explain(ctx, err)
		}
		pause := time.Duration(try) * (2*time.Millisecond + rand.N(8*time.Millisecond))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// explain marks an error that says that the database cannot be asked now, or
// that the caller did not wait for it.
func (s *Store) explain(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, iam.Unknown) {
		return err
	}
	switch s.db.fault(err) {
	case clash, locked, away:
		if cause := ctx.Err(); cause != nil {
			return errors.Join(cause, err)
		}
		return fmt.Errorf("%w: %w", iam.Unavailable, err)
	}
	return err
}

// heard is told of every read outside a transaction.
func (s *Store) heard(ctx context.Context, began time.Time, err error) error {
	s.observe("read", time.Since(began), err)
	return s.explain(ctx, err)
}
