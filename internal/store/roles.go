package store

import (
	"context"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

var roles = listing[iam.Role]{
	nouns: "roles",
	rows:  "roles r", id: "r.id",
	columns: `r.id, r.workspace_id, r.name, r.title, r.description, r.built_in, r.permissions, r.created_at, r.version,
		(SELECT COUNT(*) FROM principals p WHERE p.role_id = r.id AND p.type = 'member' AND p.state <> 'removed'),
		(SELECT COUNT(*) FROM principals p WHERE p.role_id = r.id AND p.type = 'service_account' AND p.state <> 'inactive')`,
	fields: func(r *iam.Role) []any {
		return []any{
			text(&r.ID), text(&r.Workspace), &r.Name, &r.Title, &r.Description, yes{&r.BuiltIn}, decode(&r.Permissions),
			instant{&r.CreatedAt}, &r.Version,
			&r.Members, &r.ServiceAccounts,
		}
	},
	orders: []order{
		{name: "kind", expression: `CASE WHEN r.built_in = 1 THEN '0' ELSE '1' END || r.name`}, // built-in ones first
		{name: "name", expression: "r.name"},
		{name: "created_at", expression: "r.created_at", number: true},
	},
}

// Role implements [iam.Reader].
func (r reader) Role(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.Role, error) {
	if strings.HasPrefix(ref, iam.RolePrefix) {
		return roles.one(ctx, r, "role", `r.workspace_id = $1 AND r.id = $2 AND r.deleted = 0`, string(ws), ref)
	}
	return roles.one(ctx, r, "role", `r.workspace_id = $1 AND r.name = $2 AND r.deleted = 0`, string(ws), strings.ToLower(ref))
}

// Roles implements [iam.Reader].
func (r reader) Roles(ctx context.Context, ws iam.WorkspaceID, f iam.RoleFilter, p iam.Page) (iam.List[iam.Role], error) {
	w := &where{}
	w.add(`r.workspace_id = ? AND r.deleted = 0`, string(ws))
	if f.Kind != "" {
		w.add(`r.built_in = ?`, bit(f.Kind == "built_in"))
	}
	w.holds(f.Query, "r.name", "r.title_folded")
	return roles.page(ctx, r, w, p)
}

// InsertRole implements [iam.Tx].
func (t *tx) InsertRole(_ context.Context, r iam.Role) error {
	return t.write(statement{
		text: `
			INSERT INTO roles (id, workspace_id, name, title, title_folded, description, built_in, permissions, created_at, version)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		args: []any{
			string(r.ID), string(r.Workspace), strings.ToLower(r.Name), r.Title, strings.ToLower(r.Title), r.Description,
			bit(r.BuiltIn), asJSON(r.Permissions), micros(r.CreatedAt), t.Seq(),
		},
		taken: roleTaken(r),
	})
}

// UpdateRole implements [iam.Tx].
func (t *tx) UpdateRole(_ context.Context, r iam.Role) error {
	return t.write(statement{
		text: `
			UPDATE roles SET name = $3, title = $4, title_folded = $5, description = $6, permissions = $7, version = $8
			WHERE workspace_id = $1 AND id = $2 AND deleted = 0`,
		args: []any{
			string(r.Workspace), string(r.ID),
			strings.ToLower(r.Name), r.Title, strings.ToLower(r.Title), r.Description, asJSON(r.Permissions), t.Seq(),
		},
		taken:   roleTaken(r),
		missing: iam.Errorf(iam.NotFound, "there is no role %s", r.ID),
	})
}

func roleTaken(r iam.Role) error {
	return iam.Errorf(iam.NameTaken, "there is already a role named %q", strings.ToLower(r.Name))
}

// DeleteRole implements [iam.Tx]. The row stays for those who had the role when
// they ended; its name is free again.
func (t *tx) DeleteRole(_ context.Context, ws iam.WorkspaceID, id iam.RoleID) error {
	return t.write(statement{
		text:    `UPDATE roles SET deleted = 1, version = $3 WHERE workspace_id = $1 AND id = $2 AND deleted = 0`,
		args:    []any{string(ws), string(id), t.Seq()},
		missing: iam.Errorf(iam.NotFound, "there is no role %s", id),
	})
}
