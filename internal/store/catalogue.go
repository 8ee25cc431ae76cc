package store

import (
	"context"
	"fmt"

	"github.com/posternhq/postern/internal/iam"
)

// PermissionTypes implements [iam.Reader]. They come in the order of their types.
func (r reader) PermissionTypes(ctx context.Context, ws iam.WorkspaceID) ([]iam.PermissionType, error) {
	types, err := collect(ctx, r, func(t *iam.PermissionType) []any {
		return []any{&t.Type, &t.Title, decode(&t.Actions)}
	}, `SELECT type, title, actions FROM permission_types WHERE workspace_id = $1 ORDER BY type`, string(ws))
	if err != nil {
		return nil, fmt.Errorf("list permission types: %w", err)
	}
	return types, nil
}

// ReplacePermissionTypes implements [iam.Tx].
func (t *tx) ReplacePermissionTypes(_ context.Context, ws iam.WorkspaceID, types []iam.PermissionType) error {
	err := t.write(statement{
		text: `DELETE FROM permission_types WHERE workspace_id = $1`,
		args: []any{string(ws)},
	})
	for _, pt := range types {
		if err != nil {
			return err
		}
		err = t.write(statement{
			text:  `INSERT INTO permission_types (workspace_id, type, title, actions) VALUES ($1, $2, $3, $4)`,
			args:  []any{string(ws), pt.Type, pt.Title, asJSON(pt.Actions)},
			taken: iam.Errorf(iam.NameTaken, "the type %q is there twice", pt.Type),
		})
	}
	return err
}
