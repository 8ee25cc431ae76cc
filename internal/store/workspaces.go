package store

import (
	"context"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

var workspaces = listing[iam.Workspace]{
	nouns: "workspaces",
	rows:  "workspaces w", id: "w.id",
	columns: `w.id, w.name, w.slug, w.system, w.paused, w.policy, w.created_at, w.version`,
	fields: func(w *iam.Workspace) []any {
		return []any{
			text(&w.ID), &w.Name, &w.Slug, yes{&w.System}, yes{&w.Paused}, decode(&w.Policy), instant{&w.CreatedAt}, &w.Version,
		}
	},
	orders: []order{
		{name: "name", expression: "w.name_folded"},
		{name: "slug", expression: "w.slug"},
		{name: "created_at", expression: "w.created_at", number: true},
	},
}

// Workspace implements [iam.Reader].
func (r reader) Workspace(ctx context.Context, ref string) (iam.Workspace, error) {
	if strings.HasPrefix(ref, iam.WorkspacePrefix) {
		return workspaces.one(ctx, r, "workspace", workspaceByID, ref)
	}
	return workspaces.one(ctx, r, "workspace", `w.slug = $1`, ref)
}

// SystemWorkspace implements [iam.Reader].
func (r reader) SystemWorkspace(ctx context.Context) (iam.Workspace, error) {
	return workspaces.one(ctx, r, "system workspace", `w.system = $1`, bit(true))
}

const workspaceByID = `w.id = $1`

// Workspaces implements [iam.Reader].
func (r reader) Workspaces(ctx context.Context, f iam.WorkspaceFilter, p iam.Page) (iam.List[iam.Workspace], error) {
	w := &where{}
	if f.State != "" {
		w.add(`w.paused = ?`, bit(f.State == iam.Paused))
	}
	w.holds(f.Query, "w.name_folded", "w.slug")
	return workspaces.page(ctx, r, w, p)
}

// Initialized implements [iam.Reader].
func (r reader) Initialized(ctx context.Context) (bool, error) {
	n, err := number(ctx, r, "the system workspace", `SELECT COUNT(*) FROM workspaces WHERE system = 1`)
	return n > 0, err
}

// InsertWorkspace implements [iam.Tx].
func (t *tx) InsertWorkspace(_ context.Context, w iam.Workspace) error {
	return t.write(statement{
		text: `
			INSERT INTO workspaces (id, name, name_folded, slug, system, paused, policy, created_at, version)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		args: []any{
			string(w.ID), w.Name, strings.ToLower(w.Name), w.Slug, bit(w.System), bit(w.Paused), asJSON(w.Policy),
			micros(w.CreatedAt), t.Seq(),
		},
		taken: iam.Errorf(iam.NameTaken, "there is already a workspace with the slug %q", w.Slug),
	})
}

// UpdateWorkspace implements [iam.Tx].
func (t *tx) UpdateWorkspace(_ context.Context, w iam.Workspace) error {
	return t.write(statement{
		text:    `UPDATE workspaces SET name = $2, name_folded = $3, paused = $4, policy = $5, version = $6 WHERE id = $1`,
		args:    []any{string(w.ID), w.Name, strings.ToLower(w.Name), bit(w.Paused), asJSON(w.Policy), t.Seq()},
		missing: iam.Errorf(iam.NotFound, "there is no workspace %s", w.ID),
	})
}
