package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

var keys = listing[iam.Key]{
	nouns: "keys",
	rows:  "keys k", id: "k.id",
	joined: "JOIN principals p ON p.id = k.principal_id",
	columns: `k.id, k.workspace_id, k.name, k.hash, k.hint, k.permission_limit, k.allowed_networks, k.expires_at, k.pauses,
		k.metadata, k.created_at,
		k.created_by_id, k.created_by_type, k.created_by_name, COALESCE(maker.state, 'active'), k.created_by_key, k.replaces,
		k.revoked_at, k.revoked_by_id, k.revoked_by_type, k.revoked_by_name, COALESCE(ender.state, 'active'),
		k.revoked_reason, k.revoked_note, k.version, ` + keyRotation + `, ` + lastUseColumns + `k.name, ` + principalColumns,
	tables: `
		JOIN principals p ON p.id = k.principal_id
		JOIN roles r ON r.id = p.role_id
		LEFT JOIN principals maker ON maker.id = k.created_by_id
		LEFT JOIN principals ender ON ender.id = k.revoked_by_id
		LEFT JOIN usage_last used ON used.key_id = k.id`,
	fields: func(k *iam.Key) []any {
		return slices.Concat([]any{
			text(&k.ID), text(&k.Workspace), &k.Name, hash(&k.Hash), &k.Hint, decode(&k.Limit), decode(&k.AllowedNetworks),
			instant{&k.ExpiresAt}, text(&k.Pauses), decode(&k.Metadata), instant{&k.CreatedAt},
		}, actor(&k.CreatedBy), []any{text(&k.CreatedByKey), text(&k.Replaces)}, revocation(&k.Revoked), []any{
			&k.Version, text(&k.Rotation),
		}, lastUseFields(&k.LastUse), principalFields(&k.Principal))
	},
	orders: []order{
		{name: "created_at", expression: "k.created_at", number: true, descending: true},
		{name: "name", expression: "k.name_folded"},
		{name: "expires_at", expression: fmt.Sprintf("COALESCE(k.expires_at, %d)", int64(math.MaxInt64)), number: true},                       // never: last
		{name: "last_used_at", expression: "COALESCE(lu.last_ok_at, 0)", joined: "LEFT JOIN usage_last lu ON lu.key_id = k.id", number: true}, // never: first
	},
}

// keyRotation is the open rotation that the key k takes part in, or NULL.
const keyRotation = `COALESCE(
		(SELECT ro.id FROM rotations ro WHERE ro.old_key_id = k.id AND ro.ended_at IS NULL),
		(SELECT ro.id FROM rotations ro WHERE ro.new_key_id = k.id AND ro.ended_at IS NULL))`

// Key implements [iam.Reader].
func (r reader) Key(ctx context.Context, ws iam.WorkspaceID, id iam.KeyID) (iam.Key, error) {
	return keys.one(ctx, r, "key", keyByID, string(ws), string(id))
}

// keyByID finds the key by its id and hides the workspace from the planner: the
// index of the list begins with the workspace and holds the id too, and as long
// as there are no statistics PostgreSQL may read all of it.
const keyByID = `k.id = $2 AND k.workspace_id || '' = $1`

// Keys implements [iam.Reader].
func (r reader) Keys(ctx context.Context, ws iam.WorkspaceID, f iam.KeyFilter, p iam.Page) (iam.List[iam.Key], error) {
	return keys.page(ctx, r, keysLike(ws, f), p)
}

// CountKeys implements [iam.Reader].
func (r reader) CountKeys(ctx context.Context, ws iam.WorkspaceID, f iam.KeyFilter) (int64, error) {
	return keys.count(ctx, r, keysLike(ws, f))
}

// KeyNumbers implements [iam.Reader].
func (r reader) KeyNumbers(ctx context.Context, ws iam.WorkspaceID, now, expireBefore, unusedSince time.Time) (iam.KeyNumbers, error) {
	w := &where{}
	soon, since := w.arg(expireBefore.UnixMicro()), w.arg(unusedSince.UnixMicro())
	w.add(`k.workspace_id = ?`, string(ws))
	w.keyState(iam.KeyFilter{State: iam.Active, Now: now})
	return find(ctx, r, "numbers of keys", func(n *iam.KeyNumbers) []any {
		return []any{&n.Active, &n.Expiring, &n.Unused, &n.NeverUsed, &n.NeverExpires}
	}, fmt.Sprintf(`
		SELECT COUNT(*),
			COUNT(CASE WHEN k.expires_at < %[1]s THEN 1 END),
			COUNT(CASE WHEN k.created_at < %[2]s AND COALESCE(used.last_ok_at, 0) < %[2]s THEN 1 END),
			COUNT(CASE WHEN used.last_ok_at IS NULL THEN 1 END),
			COUNT(CASE WHEN k.expires_at IS NULL THEN 1 END)
		FROM keys k JOIN principals p ON p.id = k.principal_id LEFT JOIN usage_last used ON used.key_id = k.id
		WHERE %[3]s`, soon, since, w), w.args...)
}

// keysLike is the condition that a filter stands for.
func keysLike(ws iam.WorkspaceID, f iam.KeyFilter) *where {
	w := &where{}
	w.inWorkspace(ws, f)
	match(w, `k.principal_id = ?`, f.Principal)
	match(w, `p.type = ?`, f.PrincipalType)
	match(w, `k.name = ?`, f.Name)
	if !f.ExpiresBefore.IsZero() {
		w.add(`k.expires_at < ?`, f.ExpiresBefore.UnixMicro())
	}
	if f.NeverExpires {
		w.add(`k.expires_at IS NULL`)
	}
	w.keyState(f)
	w.keyUse(f)
	w.keysNamed(ws, f.Query)
	return w
}

// inWorkspace adds the condition that a key is of a workspace. Where another one leads
// to much less, the workspace is hidden from the planner, as in [keyByID]: of a few
// days there are few keys in all workspaces, and of a workspace few are of members, or
// of one principal.
func (w *where) inWorkspace(ws iam.WorkspaceID, f iam.KeyFilter) {
	const fewDays = 4 * 24 * time.Hour
	soon := f.State == iam.Active && !f.ExpiresBefore.IsZero() && f.ExpiresBefore.Before(f.Now.Add(fewDays))
	people := f.MachineLike || f.PrincipalType == iam.MemberType
	if !soon && !people && f.Principal == "" {
		w.add(`k.workspace_id = ?`, string(ws))
		return
	}
	w.add(`k.workspace_id || '' = ?`, string(ws))
	switch {
	case f.Principal != "":
	case people:
		w.add(`k.principal_id IN (SELECT m.id FROM principals m WHERE m.workspace_id = ? AND m.type = 'member')`, string(ws))
	default:
		w.add(`k.expires_at > ?`, f.Now.UnixMicro())
	}
}

// keysNamed adds the condition that a key's name or its owner's holds a text. The
// owners are found first: they are fewer, and an index has their names.
func (w *where) keysNamed(ws iam.WorkspaceID, text string) {
	const owned = `k.principal_id IN (SELECT o.id FROM principals o WHERE o.workspace_id = %s AND o.name_folded %%s)`
	if text == "" || len(text) > maxSearched {
		w.holds(text)
		return
	}
	w.holds(text, "k.name_folded", fmt.Sprintf(owned, w.arg(string(ws))))
}

// keyUse adds the condition that a key is used as a filter says.
func (w *where) keyUse(f iam.KeyFilter) {
	const accepted = `EXISTS (SELECT 1 FROM usage_last u WHERE u.key_id = k.id AND u.last_ok_at >= ?)`
	if !f.UnusedSince.IsZero() {
		since := f.UnusedSince.UnixMicro()
		w.add(`k.created_at < ? AND NOT `+accepted, since, since)
	}
	if !f.UsedSince.IsZero() {
		w.add(accepted, f.UsedSince.UnixMicro())
	}
	if f.NeverUsed {
		w.add(`NOT `+accepted, int64(0))
	}
	if f.MachineLike {
		days := f.Now.UnixMicro() - f.Now.UnixMicro()%dayStep
		w.add(machineDays+` >= ?`,
			days-iam.MachineWindow*dayStep, days, int64(iam.MachineHours), int64(iam.MachineUses), int64(iam.MachineDays))
	}
}

// machineDays counts the days of a time on which the key k was used as people do
// not use one.
var machineDays = fmt.Sprintf(`(
	SELECT COUNT(*) FROM (
		SELECT u.at / %[2]d FROM usage_points u
		WHERE u.subject_id = k.id AND u.step = %[1]d AND u.at >= ? AND u.at < ? AND u.ok > 0
		GROUP BY u.at / %[2]d HAVING COUNT(*) >= ? OR SUM(u.ok) >= ?
	) d)`, hourStep, dayStep)

// keyState adds the condition that the key has a state, as [iam.Key.State] has it.
func (w *where) keyState(f iam.KeyFilter) {
	const (
		over = `(k.revoked_at IS NOT NULL OR p.state IN ('inactive', 'removed'))`
		on   = `k.revoked_at IS NULL AND p.state NOT IN ('inactive', 'removed')`
	)
	switch f.State {
	case "":
	case iam.Revoked:
		w.add(over)
	case iam.Paused:
		w.add(on + ` AND k.pauses <> ''`)
	case iam.Expired:
		w.add(on+` AND k.pauses = '' AND k.expires_at <= ?`, f.Now.UnixMicro())
	case iam.Active:
		w.add(on+` AND k.pauses = '' AND (k.expires_at IS NULL OR k.expires_at > ?)`, f.Now.UnixMicro())
	default:
		w.add(`1 = 0`)
	}
}

// makerQuery says whether a key or an account was made with the key $1. It looks
// for the next maker in the order of the index: asked for one that is equal,
// PostgreSQL may read the whole table when a few keys have made all others.
const makerQuery = `
	SELECT CAST(CASE
		WHEN (SELECT created_by_key FROM keys WHERE created_by_key >= $1 ORDER BY created_by_key LIMIT 1) = $1 THEN 1
		WHEN (SELECT created_by_key FROM principals WHERE created_by_key >= $1 ORDER BY created_by_key LIMIT 1) = $1 THEN 1
		ELSE 0 END AS BIGINT)`

// Descendants implements [iam.Reader].
func (r reader) Descendants(ctx context.Context, ws iam.WorkspaceID, id iam.KeyID) ([]iam.Key, []iam.ServiceAccount, error) {
	made, err := collect(ctx, r, keys.fields, `
		WITH RECURSIVE `+lineage+`
		SELECT `+keys.columns+` FROM made JOIN keys k ON k.id = made.id `+keys.tables+`
		WHERE k.id <> $1 ORDER BY k.created_at, k.id`, string(id), string(ws), string(id))
	if err != nil {
		return nil, nil, fmt.Errorf("find the keys made with %s: %w", id, err)
	}
	owners, err := collect(ctx, r, accounts.fields, `
		WITH RECURSIVE `+lineage+`
		SELECT `+accounts.columns+` FROM made JOIN principals p ON p.created_by_key = made.id `+accounts.tables+`
		WHERE p.workspace_id = $2 ORDER BY p.created_at, p.id`, r.clock().UnixMicro(), string(ws), string(id))
	if err != nil {
		return nil, nil, fmt.Errorf("find the accounts made with %s: %w", id, err)
	}
	return made, owners, nil
}

// lineage is the table made: the key $3 of the workspace $2, and the keys that
// were made with it or with one that was made so.
const lineage = `made (id) AS (
	SELECT k.id FROM keys k WHERE k.workspace_id = $2 AND k.id = $3
	UNION
	SELECT k.id FROM made JOIN keys k ON k.created_by_key = made.id WHERE k.workspace_id = $2
)`

// InsertKey implements [iam.Tx].
func (t *tx) InsertKey(_ context.Context, k iam.Key) error {
	return t.write(statement{
		text: `
			INSERT INTO keys (
				id, workspace_id, principal_id, name, name_folded, hash, hint, permission_limit, allowed_networks, expires_at,
				pauses, metadata, created_at, created_by_id, created_by_type, created_by_name, created_by_key, replaces, version,
				revoked_at, revoked_by_id, revoked_by_type, revoked_by_name, revoked_reason, revoked_note
			) VALUES (
				$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25
			)`,
		args: append([]any{
			string(k.ID), string(k.Workspace), string(k.Principal.ID), k.Name, strings.ToLower(k.Name), k.Hash.String(), k.Hint,
			limitText(k), networksText(k), micros(k.ExpiresAt), string(k.Pauses), asJSON(metadata(k.Metadata)), micros(k.CreatedAt),
			k.CreatedBy.ID, string(k.CreatedBy.Type), k.CreatedBy.Name, orNull(k.CreatedByKey), orNull(k.Replaces), t.Seq(),
		}, ended(k.Revoked)...),
		taken: keyTaken(k),
	})
}

// UpdateKey implements [iam.Tx].
func (t *tx) UpdateKey(_ context.Context, k iam.Key) error {
	return t.write(statement{
		text: `
			UPDATE keys SET
				name = $3, name_folded = $4, permission_limit = $5, allowed_networks = $6, expires_at = $7, pauses = $8,
				metadata = $9, version = $10,
				revoked_at = $11, revoked_by_id = $12, revoked_by_type = $13, revoked_by_name = $14,
				revoked_reason = $15, revoked_note = $16
			WHERE workspace_id = $1 AND id = $2`,
		args: append([]any{
			string(k.Workspace), string(k.ID),
			k.Name, strings.ToLower(k.Name), limitText(k), networksText(k), micros(k.ExpiresAt), string(k.Pauses),
			asJSON(metadata(k.Metadata)), t.Seq(),
		}, ended(k.Revoked)...),
		taken:   keyTaken(k),
		missing: t.unlessFound(string(k.ID), iam.Errorf(iam.NotFound, "there is no key %s", k.ID)),
	})
}

func keyTaken(k iam.Key) error {
	return iam.Errorf(iam.NameTaken, "%s has or had a key named %q already", k.Principal.Name, k.Name)
}

func limitText(k iam.Key) any {
	if k.Limit == nil {
		return nil
	}
	return asJSON(*k.Limit)
}

func networksText(k iam.Key) any {
	if k.AllowedNetworks == nil {
		return nil
	}
	return asJSON(k.AllowedNetworks)
}
