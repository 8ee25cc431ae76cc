package store

import (
	"context"
	"fmt"
	"maps"
)

// tendedAtOnce is how many rows one transaction that tends usage goes through: on
// SQLite whoever changes something waits for it.
const tendedAtOnce = 2000

// folding is how far minutes have been added to their hours, and hours to days.
type folding struct{ minutes, hours place }

// place is one in the order in which points are added to those of a wider step: by
// time, and of one time by subject. What is before it, and at it, has been added.
type place struct {
	at    int64
	after string
}

func (p place) covers(q point) bool { return q.at < p.at || q.at == p.at && q.subject <= p.after }

func (p point) in(step int64) point { return point{p.subject, step, p.at - p.at%step} }

// complete returns the time before which all hours have all of their minutes.
func (f folding) complete() int64 { return f.minutes.at - f.minutes.at%hourStep }

// takeFolding reads how far it is and lets nobody move on before the end.
func (t *tx) takeFolding(ctx context.Context) (folding, error) {
	return find(ctx, t.reader, "state of usage", func(f *folding) []any {
		return []any{&f.minutes.at, &f.minutes.after, &f.hours.at, &f.hours.after}
	}, `UPDATE usage_state SET one = 1 RETURNING minutes_to, minutes_after, hours_to, hours_after`)
}

// withFolded returns minutes together with the hours and days that they must be
// added to because the minutes before them have been. Whoever adds to no minute
// that is late need not look, nor to one before where folding was: that is late too
// when the clock has been set back.
func (t *tx) withFolded(ctx context.Context, minutes map[point]counts, folded int64) (map[point]counts, error) {
	late := false
	for p := range minutes {
		late = late || p.at+minuteStep <= t.Now().Add(-lateAfter).UnixMicro() || p.at <= folded
	}
	if !late {
		return minutes, nil
	}
	f, err := t.takeFolding(ctx)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(minutes)
	for p, c := range minutes {
		hour, day := p.in(hourStep), p.in(dayStep)
		if !f.minutes.covers(p) {
			continue
		}
		all[hour] = all[hour].plus(c)
		if f.hours.covers(hour) {
			all[day] = all[day].plus(c)
		}
	}
	return all, nil
}

// fold adds to hours the minutes that nobody adds to any more without looking, and
// complete hours to their days. It goes on from where the last one stopped, whoever
// that was, and each transaction says how far it came.
func (s *Store) fold(ctx context.Context) error {
	for {
		due, err := s.foldingIsDue(ctx)
		if err != nil || !due {
			return err
		}
		if err := s.again(ctx, func() error { return s.foldSome(ctx) }); err != nil {
			return err
		}
	}
}

// foldingIsDue looks without a transaction that writes: most of the time it is not.
func (s *Store) foldingIsDue(ctx context.Context) (bool, error) {
	clock, args := s.clock()
	due, err := number(ctx, s.reader, "state of usage", fmt.Sprintf(`
		SELECT CASE
			WHEN minutes_to < %[1]s AND EXISTS (
				SELECT 1 FROM usage_points WHERE step = %[2]d AND at >= minutes_to - minutes_to %% %[3]d AND at < %[1]s
			) THEN 1
			WHEN hours_to < %[4]s AND EXISTS (
				SELECT 1 FROM usage_points WHERE step = %[3]d AND at >= hours_to - hours_to %% %[5]d AND at < %[4]s
			) THEN 1
			ELSE 0 END
		FROM usage_state`,
		fmt.Sprintf(`(%[1]s - %[2]d - (%[1]s) %% %[3]d)`, clock, foldAfter.Microseconds(), minuteStep), minuteStep, hourStep,
		fmt.Sprintf(`(minutes_to - minutes_to %% %d)`, hourStep), dayStep), args...)
	return due == 1, err
}

func (s *Store) foldSome(ctx context.Context) error {
	t, err := s.beginNote(ctx)
	if err != nil {
		return err
	}
	defer t.tx.rollback()
	f, err := t.takeFolding(ctx)
	if err != nil {
		return err
	}
	now := t.Now().UnixMicro()
	f.minutes, err = t.foldInto(ctx, minuteStep, hourStep, f.minutes, now-now%minuteStep-foldAfter.Microseconds())
	if err != nil {
		return err
	}
	if f.hours, err = t.foldInto(ctx, hourStep, dayStep, f.hours, f.complete()); err != nil {
		return err
	}
	err = t.write(statement{
		text: `UPDATE usage_state SET minutes_to = $1, minutes_after = $2, hours_to = $3, hours_after = $4`,
		args: []any{f.minutes.at, f.minutes.after, f.hours.at, f.hours.after},
	})
	if err != nil {
		return err
	}
	return t.commit(ctx)
}

// foldInto adds points of one step, before a time and from a place on, to those of
// a wider one, and returns how far it came.
func (t *tx) foldInto(ctx context.Context, from, to int64, p place, before int64) (place, error) {
	if before <= p.at {
		return p, nil
	}
	next, n, err := t.stretches(ctx, from, p, before)
	if err != nil {
		return p, err
	}
	for _, s := range next {
		if err := t.write(statement{
			text: `
				INSERT INTO usage_points (subject_id, step, at, ok, refused)
				SELECT subject_id, CAST($5 AS BIGINT), CAST($6 AS BIGINT), ok, refused FROM usage_points
				WHERE step = $1 AND at = $2 AND subject_id >= $3 AND subject_id <= $4 ORDER BY subject_id
				ON CONFLICT (subject_id, step, at) DO UPDATE SET
					ok = usage_points.ok + excluded.ok, refused = usage_points.refused + excluded.refused`,
			args: []any{from, s.at, s.first, s.last, to, s.at - s.at%to},
		}); err != nil {
			return p, err
		}
		p = place{s.at, s.last}
	}
	if n < t.store.tended {
		p = place{at: before}
	}
	return p, nil
}

// stretch is some points of one time, by their subjects.
type stretch struct {
	at          int64
	first, last string
}

// stretches returns the next points of a step after a place and before a time, and
// how many they are: fewer than it goes through at once when there are no more.
func (t *tx) stretches(ctx context.Context, step int64, after place, before int64) (all []stretch, n int, err error) {
	found, err := collect(ctx, t.reader, func(p *point) []any { return []any{&p.at, &p.subject} }, `
		SELECT at, subject_id FROM usage_points WHERE step = $1 AND at < $2 AND (at, subject_id) > ($3, $4)
		ORDER BY at, subject_id LIMIT $5`, step, before, after.at, after.after, int64(t.store.tended))
	for _, p := range found {
		if len(all) == 0 || all[len(all)-1].at != p.at {
			all = append(all, stretch{at: p.at, first: p.subject})
		}
		all[len(all)-1].last = p.subject
	}
	return all, len(found), err
}
