package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/posternhq/postern/internal/iam"
)

// Meta returns what is kept under a name about the store as a whole, or nothing
// when nothing is.
func (s *Store) Meta(ctx context.Context, name string) (string, error) {
	value, err := find(ctx, s.reader, "value", func(v *string) []any { return []any{v} },
		`SELECT value FROM meta WHERE name = $1`, name)
	if errors.Is(err, iam.NotFound) {
		return "", nil
	}
	return value, err
}

// SetMeta keeps a value under a name. What is kept there already stays: it says
// what the store was made with.
func (s *Store) SetMeta(ctx context.Context, name, value string) error {
	err := s.again(ctx, func() error {
		tx, err := s.db.begin(ctx, noting)
		if err != nil {
			return err
		}
		defer tx.rollback()
		return tx.commit(ctx, []statement{{
			text: `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`,
			args: []any{name, value},
		}})
	})
	if err != nil {
		return s.explain(ctx, fmt.Errorf("keep %s: %w", name, err))
	}
	return nil
}
