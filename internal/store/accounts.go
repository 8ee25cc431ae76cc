package store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

// keyCounts counts the keys of the principal p: those that work at $1, or, when
// that is NULL, at the time that the change has of which the query is a part, and
// all.
const keyCounts = `
	CASE WHEN p.state <> 'active' THEN 0 ELSE (
		SELECT COUNT(*) FROM keys c WHERE c.principal_id = p.id
		AND c.revoked_at IS NULL AND c.pauses = ''
		AND (c.expires_at IS NULL OR c.expires_at > COALESCE($1, (SELECT time FROM head)))
	) END,
	(SELECT COUNT(*) FROM keys c WHERE c.principal_id = p.id)`

// accounts are listed and found with the time as $1: see keyCounts.
var accounts = listing[iam.ServiceAccount]{
	nouns: "service accounts",
	rows:  "principals p", id: "p.id",
	joined: "JOIN roles r ON r.id = p.role_id",
	columns: `p.id, p.workspace_id, p.name, p.description, p.owner, r.id, r.name, p.pauses, p.metadata, p.created_at,
		p.created_by_id, p.created_by_type, p.created_by_name, COALESCE(maker.state, 'active'), p.created_by_key,
		p.revoked_at, p.revoked_by_id, p.revoked_by_type, p.revoked_by_name, COALESCE(ender.state, 'active'),
		p.revoked_reason, p.revoked_note, p.version, ` + lastUseColumns + `lately.name,` + keyCounts,
	tables: `
		JOIN roles r ON r.id = p.role_id
		LEFT JOIN principals maker ON maker.id = p.created_by_id
		LEFT JOIN principals ender ON ender.id = p.revoked_by_id
		LEFT JOIN usage_last used ON used.key_id = (
			SELECT l.key_id FROM usage_last l WHERE l.principal_id = p.id AND l.last_ok_at IS NOT NULL
			ORDER BY l.last_ok_at DESC, l.key_id LIMIT 1
		)
		LEFT JOIN keys lately ON lately.id = used.key_id`,
	fields: func(a *iam.ServiceAccount) []any {
		return slices.Concat([]any{
			text(&a.ID), text(&a.Workspace), &a.Name, &a.Description, &a.Owner, text(&a.Role.ID), &a.Role.Name,
			text(&a.Pauses), decode(&a.Metadata), instant{&a.CreatedAt},
		}, actor(&a.CreatedBy), []any{text(&a.CreatedByKey)}, revocation(&a.Revoked), []any{
			&a.Version,
		}, lastUseFields(&a.LastUse), []any{
			&a.Keys.Active, &a.Keys.Total,
		})
	},
	orders: []order{
		{name: "name", expression: "p.name_folded"},
		{name: "owner", expression: "COALESCE(p.owner, '')"},
		{name: "role", expression: "r.name"},
		{name: "created_at", expression: "p.created_at", number: true},
		{
			name:       "last_used",
			expression: "COALESCE((SELECT MAX(l.last_ok_at) FROM usage_last l WHERE l.principal_id = p.id), 0)", number: true,
		},
	},
}

// ServiceAccount implements [iam.Reader].
func (r reader) ServiceAccount(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.ServiceAccount, error) {
	return accounts.one(ctx, r, "service account", accountBy(ref), r.clock().UnixMicro(), string(ws), ref)
}

// accountBy finds the account $3 of the workspace $2.
func accountBy(ref string) string {
	if strings.HasPrefix(ref, iam.ServiceAccountPrefix) {
		return `p.workspace_id = $2 AND p.type = 'service_account' AND p.id = $3`
	}
	return `p.workspace_id = $2 AND p.type = 'service_account' AND p.name = $3`
}

// ServiceAccounts implements [iam.Reader].
func (r reader) ServiceAccounts(ctx context.Context, ws iam.WorkspaceID, f iam.AccountFilter, p iam.Page) (iam.List[iam.ServiceAccount], error) {
	w := &where{args: []any{r.clock().UnixMicro()}}
	w.accountsLike(ws, f)
	return accounts.page(ctx, r, w, p)
}

// CountServiceAccounts implements [iam.Reader].
func (r reader) CountServiceAccounts(ctx context.Context, ws iam.WorkspaceID, f iam.AccountFilter) (int64, error) {
	w := &where{}
	w.accountsLike(ws, f)
	return accounts.count(ctx, r, w)
}

// accountsLike adds the condition that a filter stands for.
func (w *where) accountsLike(ws iam.WorkspaceID, f iam.AccountFilter) {
	w.add(`p.workspace_id = ? AND p.type = 'service_account'`, string(ws))
	match(w, `p.state = ?`, f.State)
	match(w, `p.owner = ?`, f.Owner)
	if f.Name != "" {
		w.add(`p.id = (SELECT n.principal_id FROM account_names n WHERE n.workspace_id = ? AND n.name = ?)`, string(ws), f.Name)
	}
	w.role(f.Role)
	w.holds(f.Query, "p.name_folded", "p.text_folded")
	w.need(f.Need)
}

// need adds the condition that an account that has not ended needs something.
func (w *where) need(n iam.Need) {
	if n.What != "" {
		w.add(`p.state <> 'inactive'`)
	}
	switch n.What {
	case "":
	case iam.NeedsOwner:
		w.add(`COALESCE(p.owner, '') = ''`)
	case iam.NeedsKeys:
		w.add(`NOT EXISTS (
			SELECT 1 FROM keys c WHERE c.principal_id = p.id AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > ?))`,
			n.Now.UnixMicro())
	case iam.NeedsLessPower:
		if len(n.Roles) == 0 {
			w.add(`1 = 0`)
			return
		}
		since := n.Since.UnixMicro()
		w.in("p.role_id", roleIDs(n.Roles))
		w.add(`p.created_at < ? AND COALESCE((
			SELECT e.at FROM events e WHERE e.workspace_id = p.workspace_id AND e.actor_id = p.id AND e.revision > 0
			ORDER BY e.seq DESC LIMIT 1), 0) < ?`, since, since)
	default:
		w.add(`1 = 0`)
	}
}

func roleIDs(roles []iam.RoleID) []string {
	ids := make([]string, len(roles))
	for i, id := range roles {
		ids[i] = string(id)
	}
	return ids
}

// role adds the condition that the role r is the one that ref names.
func (w *where) role(ref string) {
	switch {
	case strings.HasPrefix(ref, iam.RolePrefix):
		w.add(`r.id = ?`, ref)
	case ref != "":
		w.add(`r.name = ?`, strings.ToLower(ref))
	}
}

// InsertServiceAccount implements [iam.Tx].
func (t *tx) InsertServiceAccount(_ context.Context, a iam.ServiceAccount) error {
	end := ended(a.Revoked)
	err := t.write(statement{
		text: `
			INSERT INTO principals (
				id, workspace_id, type, name, name_folded, text_folded, state, role_id, created_at, version,
				description, owner, pauses, metadata,
				created_by_id, created_by_type, created_by_name, created_by_key,
				revoked_at, revoked_by_id, revoked_by_type, revoked_by_name, revoked_reason, revoked_note
			) VALUES (
				$1, $2, 'service_account', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
				$18, $19, $20, $21, $22, $23
			)`,
		args: append([]any{
			string(a.ID), string(a.Workspace), a.Name, strings.ToLower(a.Name), accountText(a), string(a.State()),
			string(a.Role.ID), micros(a.CreatedAt), t.Seq(), a.Description, a.Owner, string(a.Pauses), asJSON(metadata(a.Metadata)),
			a.CreatedBy.ID, string(a.CreatedBy.Type), a.CreatedBy.Name, orNull(a.CreatedByKey),
		}, end...),
		taken: accountTaken(a),
	})
	return errors.Join(err, t.takeName(a))
}

// takeName keeps an account's name for it, for good. That it has it already is
// not an error.
func (t *tx) takeName(a iam.ServiceAccount) error {
	return t.write(statement{
		text: `
			INSERT INTO account_names (workspace_id, name, principal_id) VALUES ($1, $2, $3)
			ON CONFLICT (workspace_id, name) DO UPDATE SET principal_id = excluded.principal_id
			WHERE account_names.principal_id = excluded.principal_id`,
		args:    []any{string(a.Workspace), a.Name, string(a.ID)},
		missing: accountTaken(a),
	})
}

// UpdateServiceAccount implements [iam.Tx].
func (t *tx) UpdateServiceAccount(_ context.Context, a iam.ServiceAccount) error {
	err := t.write(statement{
		text: `
			UPDATE principals SET
				name = $3, name_folded = $4, text_folded = $5, state = $6, role_id = $7, version = $8,
				description = $9, owner = $10, pauses = $11, metadata = $12,
				revoked_at = $13, revoked_by_id = $14, revoked_by_type = $15, revoked_by_name = $16,
				revoked_reason = $17, revoked_note = $18
			WHERE workspace_id = $1 AND id = $2 AND type = 'service_account'`,
		args: append([]any{
			string(a.Workspace), string(a.ID),
			a.Name, strings.ToLower(a.Name), accountText(a), string(a.State()), string(a.Role.ID), t.Seq(),
			a.Description, a.Owner, string(a.Pauses), asJSON(metadata(a.Metadata)),
		}, ended(a.Revoked)...),
		taken:   accountTaken(a),
		missing: t.unlessFound(string(a.ID), iam.Errorf(iam.NotFound, "there is no service account %s", a.ID)),
	})
	if found := t.found.Account; found != nil && found.ID == a.ID && found.Name == a.Name {
		return err // it has its name
	}
	return errors.Join(err, t.takeName(a))
}

func accountTaken(a iam.ServiceAccount) error {
	return iam.Errorf(iam.NameTaken, "there is or was a service account named %q, and names are not given twice", a.Name)
}

func accountText(a iam.ServiceAccount) string {
	return strings.ToLower(a.Description + "\n" + a.Owner)
}

// ended returns the columns of a revocation: at, by id, type and name, reason and
// note.
func ended(r *iam.Revocation) []any {
	if r == nil {
		return []any{nil, nil, nil, nil, nil, nil}
	}
	return []any{micros(r.At), r.By.ID, string(r.By.Type), r.By.Name, r.Reason, r.Note}
}
