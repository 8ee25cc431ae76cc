package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// For how long minutes and hours are kept, unless a workspace's policy keeps less.
// Days, sources and asks are kept for as long as the policy says.
const (
	keepMinutes   = 3 * 24 * time.Hour
	keepHours     = 35 * 24 * time.Hour
	keepReporters = 60 * 24 * time.Hour // that ended: longer than any quiet period
)

// drop drops what is older than it is kept.
func (s *Store) drop(ctx context.Context) error {
	for step, keep := range map[int64]time.Duration{minuteStep: keepMinutes, hourStep: keepHours} {
		if err := s.dropPoints(ctx, step, keep); err != nil {
			return err
		}
	}
	return s.dropByPolicy(ctx)
}

// dropPoints drops the points of a step that are old, and have been folded.
func (s *Store) dropPoints(ctx context.Context, step int64, keep time.Duration) error {
	clock, args := s.clock()
	for {
		old, err := number(ctx, s.reader, "oldest point", fmt.Sprintf(`
			SELECT COUNT(*) FROM (SELECT 1 FROM usage_points WHERE step = %d AND at < %s - %d LIMIT 1) p`,
			step, clock, keep.Microseconds()+dayStep), args...)
		if err != nil || old == 0 {
			return err
		}
		n := 0
		err = s.again(ctx, func() error {
			n, err = s.dropSomePoints(ctx, step, keep)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

func (s *Store) dropSomePoints(ctx context.Context, step int64, keep time.Duration) (n int, err error) {
	t, err := s.beginNote(ctx)
	if err != nil {
		return 0, err
	}
	defer t.tx.rollback()
	f, err := t.takeFolding(ctx)
	if err != nil {
		return 0, err
	}
	folded := f.complete()
	if step == hourStep {
		folded = f.hours.at - f.hours.at%dayStep
	}
	old, n, err := t.stretches(ctx, step, place{}, min(folded, t.Now().Add(-keep).UnixMicro()))
	if err != nil {
		return 0, err
	}
	for _, s := range old {
		if err := t.write(statement{
			text: `DELETE FROM usage_points WHERE step = $1 AND at = $2 AND subject_id >= $3 AND subject_id <= $4`,
			args: []any{step, s.at, s.first, s.last},
		}); err != nil {
			return 0, err
		}
	}
	return n, t.commit(ctx)
}

// dropByPolicy goes through all keys that were ever used, once a day, and drops
// what is older than the policy of their workspace says. It goes on from where the
// last one stopped.
func (s *Store) dropByPolicy(ctx context.Context) error {
	clock, args := s.clock()
	for {
		today, err := number(ctx, s.reader, "state of usage", fmt.Sprintf(`
			SELECT CASE WHEN dropped_at < %[1]s - (%[1]s) %% %[2]d THEN 0 ELSE 1 END FROM usage_state`, clock, dayStep), args...)
		if err != nil || today == 1 {
			return err
		}
		if err := s.again(ctx, func() error { return s.dropSome(ctx) }); err != nil {
			return err
		}
	}
}

func (s *Store) dropSome(ctx context.Context) error {
	t, err := s.beginNote(ctx)
	if err != nil {
		return err
	}
	defer t.tx.rollback()
	done, err := find(ctx, t.reader, "state of usage", func(p *place) []any { return []any{&p.at, &p.after} },
		`UPDATE usage_state SET one = 1 RETURNING dropped_at, dropped_after`)
	if err != nil {
		return err
	}
	now := t.Now().UnixMicro()
	today := now - now%dayStep
	if done.at >= today {
		return nil // somebody has come to the end meanwhile
	}
	keys, err := collect(ctx, t.reader, func(u *lastUse) []any { return []any{&u.key, &u.principal, &u.workspace} }, `
		SELECT key_id, principal_id, workspace_id FROM usage_last WHERE key_id > $1 ORDER BY key_id LIMIT $2`,
		done.after, int64(s.tended))
	if err != nil {
		return err
	}
	if err := t.dropOf(ctx, keys, today); err != nil {
		return err
	}
	if len(keys) == s.tended {
		done.after = keys[len(keys)-1].key
	} else {
		done = place{at: today}
		err = t.write(statement{
			text: `DELETE FROM usage_reporters WHERE ended_at < $1`, args: []any{t.Now().Add(-keepReporters).UnixMicro()},
		})
	}
	if err != nil {
		return err
	}
	if err := t.write(statement{
		text: `UPDATE usage_state SET dropped_at = $1, dropped_after = $2`, args: []any{done.at, done.after},
	}); err != nil {
		return err
	}
	return t.commit(ctx)
}

// dropOf drops what is old of some keys, of their principals and workspaces.
func (t *tx) dropOf(ctx context.Context, keys []lastUse, today int64) error {
	of := map[string][]lastUse{}
	for _, k := range keys {
		of[k.workspace] = append(of[k.workspace], k)
	}
	for _, ws := range slices.Sorted(maps.Keys(of)) {
		days, err := t.usageDays(ctx, ws)
		if err != nil {
			return err
		}
		before := today - days*dayStep
		var ids []string
		subjects := map[string]bool{ws: true}
		for _, k := range of[ws] {
			ids = append(ids, k.key)
			subjects[k.key], subjects[k.principal] = true, true
		}
		steps := fmt.Sprintf(`step IN (%d, %d, %d)`, minuteStep, hourStep, dayStep)
		err = t.writeAll(ctx, slices.Concat(
			drops(`usage_points`, `subject_id`, slices.Sorted(maps.Keys(subjects)), steps+` AND at < ?`, before),
			drops(`usage_asks`, `key_id`, ids, `day < ?`, before),
			drops(`usage_sources`, `key_id`, ids, `last_at < ?`, before)))
		if err != nil {
			return err
		}
	}
	return nil
}

// usageDays returns for how many days a workspace keeps what is known of use.
func (t *tx) usageDays(ctx context.Context, ws string) (int64, error) {
	policies, err := collect(ctx, t.reader, func(p *iam.Policy) []any { return []any{decode(p)} },
		`SELECT policy FROM workspaces WHERE id = $1`, ws)
	if err != nil || len(policies) == 0 {
		return iam.ShippedPolicy().UsageDays, err
	}
	return policies[0].UsageDays, nil
}

// drops returns the statements that delete rows with one of some ids that are old.
func drops(table, column string, ids []string, old string, before int64) (all []statement) {
	for chunk := range chunks(ids) {
		w := &where{}
		w.in(column, chunk)
		w.add(old, before)
		all = append(all, statement{text: `DELETE FROM ` + table + ` WHERE ` + w.String(), args: w.args})
	}
	return all
}
