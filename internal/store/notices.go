package store

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// TakeNotices implements [iam.NoteTx]. Whoever comes second waits for the row.
func (t *tx) TakeNotices(ctx context.Context) (time.Time, error) {
	type state struct{ doneTo int64 }
	s, err := find(ctx, t.reader, "state of notices", func(s *state) []any { return []any{&s.doneTo} },
		`UPDATE notices_head SET done_to = done_to RETURNING done_to`)
	if err != nil || s.doneTo == 0 {
		return time.Time{}, err
	}
	return time.UnixMicro(s.doneTo).UTC(), nil
}

// NoticeKeys implements [iam.NoteTx].
func (t *tx) NoticeKeys(ctx context.Context, due iam.Notice, limit int) ([]iam.Key, error) {
	before := (time.Duration(due.Days) * 24 * time.Hour).Microseconds()
	ids, err := collect(ctx, t.reader, func(id *string) []any { return []any{id} }, `
		INSERT INTO key_notices (key_id, expires_at, days, due_at)
		SELECT k.id, k.expires_at, CAST($1 AS BIGINT), k.expires_at - CAST($2 AS BIGINT)
		FROM keys k JOIN principals p ON p.id = k.principal_id
		WHERE k.expires_at IS NOT NULL AND (k.expires_at, k.id) > ($3, $4) AND k.expires_at <= $5
			AND k.created_at < k.expires_at - CAST($2 AS BIGINT)
			AND k.revoked_at IS NULL AND p.state NOT IN ('inactive', 'removed')
			AND NOT EXISTS (
				SELECT 1 FROM key_notices n WHERE n.key_id = k.id AND n.expires_at = k.expires_at AND n.days = $1
			)
		ORDER BY k.expires_at, k.id LIMIT $6
		RETURNING key_id`,
		due.Days, before, due.From.UnixMicro(), string(due.FromKey), due.To.UnixMicro(), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("find keys whose end is near: %w", err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	w := &where{}
	w.in("k.id", ids)
	found, err := keys.all(ctx, t.reader, w.String()+` ORDER BY k.expires_at, k.id`, w.args...)
	if err != nil {
		return nil, fmt.Errorf("read keys whose end is near: %w", err)
	}
	return found, nil
}

// EndNotices implements [iam.NoteTx].
func (t *tx) EndNotices(_ context.Context, doneTo, keep time.Time) error {
	err := t.write(statement{
		text: `UPDATE notices_head SET done_to = $1 WHERE done_to < $1`,
		args: []any{doneTo.UnixMicro()},
	})
	if err != nil {
		return err
	}
	return t.write(statement{
		text: `DELETE FROM key_notices WHERE due_at < $1`,
		args: []any{keep.UnixMicro()},
	})
}
