package store

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// maxSourceRows is how many rows are put together to the sources of a principal.
const maxSourceRows = 5_000

// PrincipalSources implements [iam.Reader].
func (r reader) PrincipalSources(ctx context.Context, ws iam.WorkspaceID, principal iam.PrincipalID, since time.Time, most int) ([]iam.KeySource, error) {
	found, err := collect(ctx, r, sourceFields, `
		SELECT `+sourceColumns+` FROM keys k JOIN usage_sources s ON s.key_id = k.id
		WHERE k.principal_id = $1 AND k.workspace_id || '' = $2 AND k.revoked_at IS NULL AND s.last_ok_at >= $3
		ORDER BY s.last_at DESC, s.ip, s.user_agent LIMIT $4`,
		string(principal), string(ws), since.UnixMicro(), int64(maxSourceRows))
	if err != nil {
		return nil, fmt.Errorf("read where the keys of %s are used from: %w", principal, err)
	}
	var all []iam.KeySource
	at := map[source]int{}
	for _, u := range found {
		u.key = ""
		i, known := at[u.source]
		if !known {
			at[u.source] = len(all)
			all = append(all, u.known(r.clock().UnixMicro()))
			continue
		}
		k := u.known(r.clock().UnixMicro())
		if k.First.Before(all[i].First) {
			all[i].First = k.First
		}
		all[i].OK, all[i].Refused = all[i].OK+k.OK, all[i].Refused+k.Refused
		all[i].LongestGap = max(all[i].LongestGap, k.LongestGap)
		all[i].LastOK = latest(all[i].LastOK, k.LastOK)
	}
	return all[:min(len(all), most)], nil
}

// Asked implements [iam.Reader].
func (r reader) Asked(ctx context.Context, ws iam.WorkspaceID, q iam.AskQuery) ([]iam.AskGroup, error) {
	w := &where{}
	text := w.askGroups(ws, q) + ` LIMIT ` + w.arg(int64(q.Most))
	found, err := collect(ctx, r, askGroupFields, text, w.args...)
	if err != nil {
		return nil, fmt.Errorf("read what was asked: %w", err)
	}
	return found, nil
}

// AskedBeyond implements [iam.Reader]. What no limit is set to is not much at all.
func (r reader) AskedBeyond(ctx context.Context, ws iam.WorkspaceID, q iam.AskQuery, first int) (int64, error) {
	w := &where{}
	groups := w.askGroups(ws, q)
	return number(ctx, r, "what else was asked", fmt.Sprintf(
		`SELECT CAST(COALESCE(SUM(ok), 0) AS BIGINT) FROM (%s LIMIT %s OFFSET %s) beyond`,
		groups, w.arg(int64(1_000_000_000)), w.arg(int64(first))), w.args...)
}

// askGroups is the query for groups of asks, in their order.
func (w *where) askGroups(ws iam.WorkspaceID, q iam.AskQuery) string {
	w.add(`p.workspace_id || '' = ?`, string(ws)) // hidden from the planner as in [keyByID]
	match(w, `p.id = ?`, q.Principal)
	if q.Role != "" {
		w.add(`p.role_id = ? AND p.state NOT IN ('inactive', 'removed')`, string(q.Role))
	}
	day := q.Since.UnixMicro()
	w.add(`a.day >= ? AND a.ok > 0`, day-day%dayStep)
	if q.Asks != nil {
		w.in("a.ask", q.Asks)
	}
	who, by, order := `'' AS id, '' AS type, '' AS name, '' AS state`, ``, `SUM(a.ok) DESC`
	if q.Each {
		who = `p.id, p.type, p.name, p.state`
		by, order = who+`,`, `MAX(a.last_at) DESC, p.id`
	}
	return fmt.Sprintf(`
		SELECT %s, k.permission_limit, a.ask, a.others, MAX(a.last_at) AS last_at, CAST(SUM(a.ok) AS BIGINT) AS ok
		FROM principals p JOIN usage_asks a ON a.principal_id = p.id JOIN keys k ON k.id = a.key_id
		WHERE %s GROUP BY %s k.permission_limit, a.ask, a.others
		ORDER BY %s, a.ask, a.others, k.permission_limit`, who, w, by, order)
}

func askGroupFields(g *iam.AskGroup) []any {
	return []any{
		text(&g.Principal.ID), text(&g.Principal.Type), &g.Principal.Name, text(&g.Principal.State),
		decode(&g.Limit), &g.Ask, yes{&g.Others}, instant{&g.Last}, &g.OK,
	}
}
