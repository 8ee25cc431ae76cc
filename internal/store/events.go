package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	if err := w.terms(string(ws), f.Query); err != nil {
		return iam.List[iam.AuditEvent]{}, err
	}
	return events.page(ctx, r, w, p)
}

// terms adds, for each word of a query, the condition that a term of the event
// begins with it.
func (w *where) terms(ws, query string) error {
	words := strings.Fields(query)
	if len(words) > maxQueryWords {
		return iam.Invalid("/q", "too_many_words", "has more than %d words", maxQueryWords)
	}
	for _, word := range words {
		word = clip(strings.ToLower(word))
		// The last character there is comes after all that may follow the word.
		w.add(`e.seq IN (SELECT t.seq FROM event_terms t WHERE t.workspace_id = ? AND t.term >= ? AND t.term < ?)`,
			ws, word, word+"\U0010FFFF")
	}
	return nil
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

// takeNumbers adds a write for each workspace that has events waiting, which
// yields the last of their numbers once it is sent.
func (t *tx) takeNumbers() map[string]*int64 {
	last, waiting := map[string]*int64{}, map[string]int64{}
	for _, e := range t.events {
		waiting[e.Workspace]++
		last[e.Workspace] = new(int64)
	}
	// In order, so that no two transactions wait for each other.
	for _, ws := range slices.Sorted(maps.Keys(waiting)) {
		t.writes = append(t.writes, statement{
			text: `
				INSERT INTO audit_heads (workspace_id, seq) VALUES ($1, $2)
				ON CONFLICT (workspace_id) DO UPDATE SET seq = audit_heads.seq + excluded.seq
				RETURNING seq`,
			args: []any{ws, waiting[ws]},
			scan: func(row scanner) error { return row.Scan(last[ws]) },
		})
	}
	return last
}

// placeEvents numbers the waiting events, of each workspace up to last, and makes
// writes of them.
func (t *tx) placeEvents(last map[string]*int64) error {
	waiting := t.events
	t.events = nil
	for i := len(waiting) - 1; i >= 0; i-- {
		e := &waiting[i]
		e.Seq = *last[e.Workspace]
		*last[e.Workspace]--
	}
	for _, e := range waiting {
		body, err := audit.Encode(e)
		if err != nil {
			return t.fail(fmt.Errorf("append event %s: %w", e.ID, err))
		}
		t.writes = append(t.writes, insertEvent(e, string(body), t.Seq()))
		if terms := termsOf(e); len(terms) > 0 {
			t.writes = append(t.writes, insertTerms(e, terms))
		}
	}
	return nil
}

func insertEvent(e audit.Event, body string, revision int64) statement {
	return statement{
		text: `
			INSERT INTO events (workspace_id, seq, id, at, actor_id, actor_type, action, target_id, outcome, ip, revision, body)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		args: []any{
			e.Workspace, e.Seq, e.ID, e.At.UnixMicro(), e.Actor.ID, string(e.Actor.Type), e.Action, plain(e.Target.ID),
			string(e.Outcome), plain(e.Source.IP), revision, body,
		},
	}
}
