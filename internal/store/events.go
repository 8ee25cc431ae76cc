package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

var events = listing[iam.AuditEvent]{
	nouns: "events",
	rows:  "events e", id: "e.id",
	columns: `e.body, COALESCE(who.state, 'active')`,
	tables:  `LEFT JOIN principals who ON who.id = e.actor_id`,
	fields: func(e *iam.AuditEvent) []any {
		return []any{event(&e.Event), text(&e.ActorState)}
	},
	orders: []order{
		{name: "seq", expression: "e.seq", number: true, descending: true},
		{name: "at", expression: "e.at", number: true},
	},
}

// event takes in the canonical form of an event.
func event(to *audit.Event) column {
	return func(value any) (err error) {
		var body string
		if err := text(&body).Scan(value); err != nil {
			return err
		}
		*to, err = audit.Decode([]byte(body))
		return err
	}
}

// Event implements [iam.Reader].
func (r reader) Event(ctx context.Context, ws iam.WorkspaceID, id iam.EventID) (iam.AuditEvent, error) {
	return events.one(ctx, r, "event", `e.workspace_id = $1 AND e.id = $2`, string(ws), string(id))
}

// Events implements [iam.Reader].
func (r reader) Events(ctx context.Context, ws iam.WorkspaceID, f iam.EventFilter, p iam.Page) (iam.List[iam.AuditEvent], error) {
	w := &where{}
	w.add(`e.workspace_id = ?`, string(ws))
	if !f.From.IsZero() {
		w.add(`e.at >= ?`, f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		w.add(`e.at < ?`, f.To.UnixMicro())
	}
	match(w, `e.actor_id = ?`, f.Actor)
	match(w, `e.actor_type = ?`, f.ActorType)
	match(w, `e.action = ?`, f.Action)
	match(w, `e.target_id = ?`, f.Target)
	match(w, `e.outcome = ?`, f.Outcome)
	match(w, `e.ip = ?`, f.Source)
	if err := w.terms(ws, f.Query); err != nil {
		return iam.List[iam.AuditEvent]{}, err
	}
	return events.page(ctx, r, w, p)
}

// EventsAbout implements [iam.Reader].
func (r reader) EventsAbout(ctx context.Context, ws iam.WorkspaceID, target string, after int64) ([]audit.Event, error) {
	found, err := collect(ctx, r, func(e *audit.Event) []any { return []any{event(e)} }, `
		SELECT body FROM events WHERE workspace_id = $1 AND target_id = $2 AND revision > $3 ORDER BY seq`,
		string(ws), target, after)
	if err != nil {
		return nil, fmt.Errorf("read what happened to %s: %w", target, err)
	}
	return found, nil
}

// AppendEvent implements [iam.NoteTx]. The number is taken when the event is
// sent, for whoever takes it makes other writers of the same log wait.
func (t *tx) AppendEvent(_ context.Context, e audit.Event) error {
	if t.failed != nil {
		return t.failed
	}
	t.events = append(t.events, e)
	return nil
}

// numbers are those that the events of one workspace get: the last, and how many.
type numbers struct{ last, count int64 }

// takeNumbers adds a write for each workspace that has events waiting, which
// fills in the last of their numbers once it is sent.
func (t *tx) takeNumbers() map[string]*numbers {
	taken := map[string]*numbers{}
	for _, e := range t.events {
		if taken[e.Workspace] == nil {
			taken[e.Workspace] = &numbers{}
		}
		taken[e.Workspace].count++
	}
	// In order, so that no two transactions wait for each other.
	for _, ws := range slices.Sorted(maps.Keys(taken)) {
		n := taken[ws]
		t.writes = append(t.writes, statement{
			text: `
				INSERT INTO audit_heads (workspace_id, seq) VALUES ($1, $2)
				ON CONFLICT (workspace_id) DO UPDATE SET seq = audit_heads.seq + excluded.seq
				RETURNING seq`,
			args: []any{ws, n.count},
			scan: func(row scanner) error { return row.Scan(&n.last) },
		})
	}
	return taken
}

// placeEvents numbers the waiting events and makes writes of them.
func (t *tx) placeEvents(taken map[string]*numbers) error {
	waiting, placed := t.events, map[string]int64{}
	t.events = nil
	for _, e := range waiting {
		n := taken[e.Workspace]
		placed[e.Workspace]++
		e.Seq = n.last - n.count + placed[e.Workspace]
		body, err := audit.Encode(e)
		if err != nil {
			return t.fail(fmt.Errorf("append event %s: %w", e.ID, err))
		}
		t.writes = append(t.writes, insertEvent(e, string(body), t.Seq()))
	}
	return nil
}

func insertEvent(e audit.Event, body string, revision int64) statement {
	return statement{
		text: `
			INSERT INTO events (workspace_id, seq, id, at, actor_id, actor_type, action, target_id, outcome, ip, revision, words, body)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		args: []any{
			e.Workspace, e.Seq, e.ID, e.At.UnixMicro(), e.Actor.ID, string(e.Actor.Type), e.Action, plain(e.Target.ID),
			string(e.Outcome), plain(e.Source.IP), revision, wordsOf(e), body,
		},
	}
}
