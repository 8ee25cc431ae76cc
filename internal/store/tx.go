package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// tx is an [iam.Tx]. As long as one that changes something runs it holds the head
// row, and all others wait. So what it writes is kept back and leaves together:
// with COMMIT, or before a read, which is to see it.
type tx struct {
	reader
	store   *Store
	tx      transaction
	head    head
	found   iam.Found
	writes  []statement         // in the order in which they were asked for
	events  []audit.Event       // without numbers yet
	numbers map[string]*numbers // of events, by workspace
	failed  error               // the first error of the database: nothing after it counts
}

// head is the head row as the transaction found it, but that a change has taken
// the next number already.
type head struct {
	seq   int64
	chain iam.Chain
	time  time.Time
}

// Change implements [iam.Store].
func (s *Store) Change(ctx context.Context, first iam.First, fn func(iam.Tx) (iam.Change, error)) (commit iam.Commit, err error) {
	defer func(began time.Time) { s.observe("change", time.Since(began), err) }(time.Now())
	err = s.again(ctx, func() error {
		commit, err = s.change(ctx, first, fn)
		return err
	})
	return commit, err
}

func (s *Store) change(ctx context.Context, first iam.First, fn func(iam.Tx) (iam.Change, error)) (iam.Commit, error) {
	t, err := s.begin(ctx, changing, first, `
		UPDATE head SET seq = seq + 1, time = CASE WHEN time > %[1]s THEN time ELSE %[1]s END
		RETURNING seq, chain, time`)
	if err != nil {
		return iam.Commit{}, fmt.Errorf("take the next number: %w", err)
	}
	defer t.tx.rollback()
	change, err := fn(t)
	if err := t.outcome(err); err != nil {
		return iam.Commit{}, err
	}
	return t.commitChange(ctx, change)
}

// Note implements [iam.Store].
func (s *Store) Note(ctx context.Context, fn func(iam.NoteTx) error) (err error) {
	defer func(began time.Time) { s.observe("note", time.Since(began), err) }(time.Now())
	return s.again(ctx, func() error { return s.note(ctx, fn) })
}

func (s *Store) note(ctx context.Context, fn func(iam.NoteTx) error) error {
	t, err := s.beginNote(ctx)
	if err != nil {
		return err
	}
	defer t.tx.rollback()
	if err := t.outcome(fn(t)); err != nil {
		return err
	}
	return t.commit(ctx)
}

// beginNote opens a transaction that takes no number.
func (s *Store) beginNote(ctx context.Context) (*tx, error) {
	t, err := s.begin(ctx, noting, iam.First{}, `
		SELECT seq, chain, CASE WHEN time > %[1]s THEN time ELSE %[1]s END FROM head`)
	if err != nil {
		return nil, fmt.Errorf("begin a note: %w", err)
	}
	t.head.seq = 0 // a note changes nothing, and its events say so
	return t, nil
}

// begin opens a transaction with a statement that yields the head row, in which
// %[1]s stands for the time, and with what is to be read first.
func (s *Store) begin(ctx context.Context, m mode, first iam.First, query string) (*tx, error) {
	t := &tx{store: s, numbers: map[string]*numbers{}}
	clock, args := s.clock()
	head := statement{text: fmt.Sprintf(query, clock), args: args, scan: t.head.scan}
	begun, err := s.db.begin(ctx, m, append([]statement{head}, t.first(first)...)...)
	if err != nil {
		return nil, err
	}
	t.tx = begun
	t.reader = reader{querier: t, heard: t.heard, clock: t.Now, asked: s.clock, words: s.words}
	return t, nil
}

func (h *head) scan(row scanner) error {
	return row.Scan(&h.seq, chain(&h.chain), instant{&h.time})
}

// Seq implements [iam.Tx].
func (t *tx) Seq() int64 { return t.head.seq }

// Now implements [iam.NoteTx].
func (t *tx) Now() time.Time { return t.head.time }

// query sends what waits and reads.
func (t *tx) query(ctx context.Context, query string, args ...any) (rows, error) {
	if err := t.flush(ctx); err != nil {
		return nil, err
	}
	return t.tx.query(ctx, query, args...)
}

// heard remembers that a read failed, which ends the transaction.
func (t *tx) heard(_ context.Context, _ time.Time, err error) error {
	return t.fail(err)
}

func (t *tx) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// outcome returns the error of fn, or of a statement whose error fn passed over.
func (t *tx) outcome(err error) error {
	if t.failed != nil && !errors.Is(err, t.failed) {
		return errors.Join(err, t.failed)
	}
	return err
}

// write keeps a statement for later.
func (t *tx) write(st statement) error {
	if t.failed != nil {
		return t.failed
	}
	if !storable(st.args) {
		return t.fail(iam.Errorf(iam.InvalidRequest, "%v", errNotStorable))
	}
	t.writes = append(t.writes, st)
	return nil
}

// flush sends everything that waits.
func (t *tx) flush(ctx context.Context) error {
	if err := t.placeEvents(ctx); err != nil {
		return err
	}
	return t.send(ctx)
}

// send sends the writes that wait.
func (t *tx) send(ctx context.Context) error {
	if t.failed != nil || len(t.writes) == 0 {
		return t.failed
	}
	writes := t.writes
	t.writes = nil
	return t.fail(t.tx.send(ctx, writes))
}

// commitChange ends the transaction with the change under its number.
func (t *tx) commitChange(ctx context.Context, change iam.Change) (iam.Commit, error) {
	payload, err := change.Payload()
	if err != nil {
		return iam.Commit{}, err
	}
	next := t.head.chain.Next(t.head.seq, payload)
	t.writes = append(t.writes, statement{
		text: `INSERT INTO changes (seq, payload, chain, time, reader) VALUES ($1, $2, $3, $4, $5)`,
		args: []any{t.head.seq, payload, chainText(next), t.head.time.UnixMicro(), int64(change.LowestReader())},
	}, statement{
		text: `UPDATE head SET chain = $1, reader = CASE WHEN reader > $2 THEN reader ELSE $2 END`,
		args: []any{chainText(next), int64(change.LowestReader())},
	})
	if notify := t.store.words.notify; notify != "" {
		t.writes = append(t.writes, statement{text: notify, args: []any{fmt.Sprint(t.head.seq)}})
	}
	if err := t.commit(ctx); err != nil {
		return iam.Commit{}, err
	}
	return iam.Commit{Seq: t.head.seq, Time: t.head.time}, nil
}

// commit sends what waits and COMMIT with it. What the number of affected rows
// decides goes before: COMMIT does not wait to hear it.
func (t *tx) commit(ctx context.Context) (err error) {
	if err := t.placeEvents(ctx); err != nil {
		return err
	}
	t.giveBackNumbers()
	if slices.ContainsFunc(t.writes, func(st statement) bool { return st.missing != nil }) {
		if err := t.send(ctx); err != nil {
			return err
		}
	}
	defer func(began time.Time) { t.store.observe("commit", time.Since(began), err) }(time.Now())
	return t.tx.commit(ctx, t.writes)
}
