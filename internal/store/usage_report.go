package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

const (
	// lateAfter is how long after its end a minute is reported late. foldAfter,
	// after which minutes are added to their hours, is longer by more than the
	// longest transaction, so that whoever adds to a minute that may have been
	// folded looks whether it was.
	lateAfter = 60 * time.Minute
	foldAfter = 75 * time.Minute
	// sentAtOnce is how many statements of a report leave in one round trip.
	sentAtOnce = 32
)

// Report implements [iam.UsageStore].
func (s *Store) Report(ctx context.Context, r iam.UsageReport, first func(iam.NoteTx, []iam.Key) error) (now time.Time, err error) {
	began, sums, taken := time.Now(), sumUp(r), false
	err = s.again(ctx, func() error {
		now, err = s.report(ctx, r, sums, first)
		if taken = errors.Is(err, iam.ErrReported); taken {
			return nil
		}
		return err
	})
	s.observe("report", time.Since(began), err)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("report use: %w", err)
	case taken:
		return now, iam.ErrReported
	}
	return now, nil
}

// report takes the row of the reporter at the very end: a node must not wait for
// its report when it joins again.
func (s *Store) report(ctx context.Context, r iam.UsageReport, sums sums, first func(iam.NoteTx, []iam.Key) error) (time.Time, error) {
	t, err := s.beginNote(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer t.tx.rollback()
	now := t.Now()
	for _, st := range s.words.patient {
		if err := t.write(st); err != nil {
			return now, err
		}
	}
	from, err := t.from(ctx, r)
	if err != nil {
		return now, err
	}
	if err := t.addUse(ctx, from, sums); err != nil {
		return now, err
	}
	if err := t.outcome(t.tellFirst(ctx, first)); err != nil {
		return now, err
	}
	if err := t.writeAll(ctx, []statement{missed(r, now), taking(r, now)}); err != nil {
		return now, err
	}
	return now, t.commit(ctx)
}

// origin is who reports, and how far minutes had been folded then.
type origin struct {
	name    string
	kind    string
	number  int64
	minutes int64
}

// from returns who reports, or [iam.ErrReported].
func (t *tx) from(ctx context.Context, r iam.UsageReport) (origin, error) {
	from, err := find(ctx, t.reader, "reporter", func(o *origin) []any { return []any{&o.name, &o.kind, &o.number, &o.minutes} },
		`SELECT name, kind, number, (SELECT minutes_to FROM usage_state) FROM usage_reporters WHERE id = $1`, r.Reporter)
	if err == nil && from.number >= r.Number {
		return origin{}, iam.ErrReported
	}
	return from, err
}

// missed writes down that reports were lost which had been taken, as a reporter that
// has ended without a word: the database has lost what it had said was durable, in a
// failover or by an older copy. What those reports said is unknown until now.
func missed(r iam.UsageReport, now time.Time) statement {
	return statement{
		text: `
			INSERT INTO usage_reporters (id, name, kind, number, covers, joins, registered_at, ended_at, workspace_id, principal_id)
			SELECT $2, name, kind, 0, 0, 0, registered_at, $3, workspace_id, principal_id FROM usage_reporters WHERE id = $1 AND number < $4
			ON CONFLICT (id) DO NOTHING`,
		args: []any{r.Reporter, fmt.Sprintf("%s, before %d", r.Reporter, r.Number), now.UnixMicro(), r.Number - 1},
	}
}

// taking takes the number of a report, unless somebody has meanwhile. What is
// covered is not taken back, but when it lies in the future: the database's clock
// has been set back, and what is accepted from now on is told to be earlier.
func taking(r iam.UsageReport, now time.Time) statement {
	var covers int64
	var ended any
	switch {
	case r.Last:
		covers, ended = now.UnixMicro(), now.UnixMicro()
	case r.Covers.After(now):
		covers = now.UnixMicro()
	case !r.Covers.IsZero():
		covers = r.Covers.UnixMicro()
	}
	return statement{
		text: `
			UPDATE usage_reporters SET
				number = $2, covers = CASE WHEN covers > $3 AND covers <= $5 THEN covers ELSE $3 END,
				ended_at = COALESCE($4, CASE WHEN kind = '` + iam.VerifierNode + `' THEN NULL ELSE ended_at END), heard_at = $5,
				window_before = CASE WHEN window_at = $6 THEN window_before WHEN window_at = $7 THEN window_uses ELSE 0 END,
				window_uses = CASE WHEN window_at = $6 THEN window_uses + $8 ELSE $8 END,
				window_at = $6
			WHERE id = $1 AND number < $2`,
		args: []any{
			r.Reporter, r.Number, covers, ended, now.UnixMicro(), windowOf(now), windowOf(now) - 1, usesIn(r),
		},
		missing: iam.ErrReported,
	}
}

// addUse adds the sums of a report to the tables. Each table is gone through in the
// order of its key, and first the one with one row for each key: two reports never
// wait for each other in a circle.
func (t *tx) addUse(ctx context.Context, from origin, s sums) error {
	points, err := t.withFolded(ctx, s.points, from.minutes)
	if err != nil {
		return err
	}
	if err := t.writeAll(ctx, lastStatements(t.store.words, from.name, s.last)); err != nil {
		return err
	}
	grown, err := t.addDetails(ctx, from, s)
	if err != nil {
		return err
	}
	if err := t.keepWithin(ctx, grown, s.firstDay()); err != nil {
		return err
	}
	return t.writeAll(ctx, pointStatements(t.store.words, points))
}

// writeAll writes statements, and sends them as they become many.
func (t *tx) writeAll(ctx context.Context, all []statement) error {
	for _, st := range all {
		if err := t.write(st); err != nil {
			return err
		}
		if len(t.writes) >= sentAtOnce {
			if err := t.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellFirst calls first with the keys that were accepted for the first time ever.
// Their rows are those that are not marked as told, for nobody else leaves one so.
func (t *tx) tellFirst(ctx context.Context, first func(iam.NoteTx, []iam.Key) error) error {
	ids, err := collect(ctx, t.reader, func(id *string) []any { return []any{id} },
		`SELECT key_id FROM usage_last WHERE told = 0 AND first_ok_at IS NOT NULL ORDER BY key_id`)
	if err != nil || len(ids) == 0 {
		return err
	}
	err = t.write(statement{text: `UPDATE usage_last SET told = 1 WHERE told = 0 AND first_ok_at IS NOT NULL`})
	if err != nil {
		return err
	}
	var all []iam.Key
	for chunk := range chunks(ids) {
		w := &where{}
		w.in("k.id", chunk)
		some, err := keys.all(ctx, t.reader, w.String()+` ORDER BY k.id`, w.args...)
		if err != nil {
			return fmt.Errorf("read keys that were used for the first time: %w", err)
		}
		all = append(all, some...)
	}
	if len(all) == 0 { // what was counted are no keys of this store
		return nil
	}
	return first(t, all)
}
