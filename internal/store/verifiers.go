package store

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Unfollow implements [iam.UsageStore].
func (s *Store) Unfollow(ctx context.Context, reporter string, f iam.Following, goodbye bool) error {
	text := `UPDATE usage_reporters SET cut_at = $3, acked = $4 WHERE id = $1 AND connection = $2 AND cut_at IS NULL`
	if goodbye {
		text = `UPDATE usage_reporters SET cut_at = $3, acked = $4, follows = '' WHERE id = $1 AND connection = $2`
	}
	return s.again(ctx, func() error {
		t, err := s.beginNote(ctx)
		if err != nil {
			return err
		}
		defer t.tx.rollback()
		if err := t.write(statement{text: text, args: []any{reporter, f.Connection, t.Now().UnixMicro(), f.Acked}}); err != nil {
			return fmt.Errorf("note that a verifier follows no more: %w", err)
		}
		return t.commit(ctx)
	})
}

// Verifiers implements [iam.Reader].
func (r reader) Verifiers(ctx context.Context, home iam.WorkspaceID) ([]iam.Follower, error) {
	clock, args := r.asked()
	w := &where{args: args}
	w.add(`r.follows <> ''`)
	w.add(`r.heard_at > ` + clock + ` - ` + fmt.Sprint(iam.VerifierShown.Microseconds()))
	if home != "" {
		w.add(`r.home_id = ?`, string(home))
	}
	found, err := collect(ctx, r, verifierFields, fmt.Sprintf(`
		SELECT r.id, r.name, r.home_id, COALESCE(h.slug, ''), r.connection, r.follows, r.acked, r.registered_at, r.heard_at,
			%[1]s - r.heard_at, CASE WHEN r.cut_at IS NULL THEN -1 ELSE %[1]s - r.cut_at END
		FROM usage_reporters r LEFT JOIN workspaces h ON h.id = r.home_id WHERE %[2]s ORDER BY r.id`, clock, w), w.args...)
	if err != nil {
		return nil, fmt.Errorf("read which verifiers there are: %w", err)
	}
	all := make([]iam.Follower, len(found))
	for i, f := range found {
		all[i] = f.Follower
		all[i].Silent = time.Duration(max(0, f.silent)) * time.Microsecond
		all[i].Cut = f.cut >= 0
		all[i].CutFor = time.Duration(max(0, f.cut)) * time.Microsecond
	}
	return all, nil
}

// verifierRow is a verifier with times as they are stored.
type verifierRow struct {
	iam.Follower
	silent, cut int64
}

func verifierFields(v *verifierRow) []any {
	return []any{
		&v.Reporter, &v.Name, &v.Home.ID, &v.Home.Name, &v.Connection, &v.Node, &v.Acked, instant{&v.Since}, instant{&v.Heard}, &v.silent, &v.cut,
	}
}
