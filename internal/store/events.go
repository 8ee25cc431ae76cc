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
	columns: `e.body, COALESCE(who.state, 'active'), COALESCE(whom.state, '')`,
	// What somebody named in vain is a target too: of another workspace nothing is told.
	tables: `LEFT JOIN principals who ON who.id = e.actor_id
		LEFT JOIN principals whom ON whom.id = e.target_id AND whom.workspace_id = e.workspace_id`,
	fields: func(e *iam.AuditEvent) []any {
		return []any{event(&e.Event), text(&e.ActorState), text(&e.TargetState)}
	},
	orders: []order{
		{name: "seq", expression: "e.seq", number: true, descending: true, unique: true},
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

// AppendEvent implements [iam.NoteTx].
func (t *tx) AppendEvent(_ context.Context, e audit.Event) error {
	if t.failed != nil {
		return t.failed
	}
	t.events = append(t.events, e)
	return nil
}

// numbers are those that a transaction has taken for the events of a workspace.
// Nobody else gets one before the transaction ends, so that they have no gaps.
type numbers struct {
	last int64 // of them; known when the statement that takes it has been sent
	free int64 // how many, up to the last, no event has
}

// takeNumbers takes some more numbers for the events of a workspace.
func (t *tx) takeNumbers(ws string, count int64) statement {
	n := t.numbers[ws]
	if n == nil {
		n = &numbers{}
		t.numbers[ws] = n
	}
	return statement{
		text: `
			INSERT INTO audit_heads (workspace_id, seq) VALUES ($1, $2)
			ON CONFLICT (workspace_id) DO UPDATE SET seq = audit_heads.seq + excluded.seq
			RETURNING seq`,
		args: []any{ws, count},
		scan: func(row scanner) error {
			n.free += count
			return row.Scan(&n.last)
		},
	}
}

// giveBackNumbers gives back those that no event has.
func (t *tx) giveBackNumbers() {
	for ws, n := range t.numbers {
		if n.free > 0 {
			t.writes = append(t.writes, statement{
				text: `UPDATE audit_heads SET seq = seq - $2 WHERE workspace_id = $1`,
				args: []any{ws, n.free},
			})
		}
	}
}

// placeEvents puts the events that wait among the writes, each under its number.
// Only when there are not enough numbers does it send what waits and ask for more.
func (t *tx) placeEvents(ctx context.Context) error {
	if len(t.events) == 0 {
		return nil
	}
	wanted := map[string]int64{}
	for _, e := range t.events {
		wanted[e.Workspace]++
	}
	if err := t.haveNumbers(ctx, wanted); err != nil {
		return err
	}
	for _, e := range t.events {
		n := t.numbers[e.Workspace]
		e.Seq = n.last - n.free + 1
		n.free--
		body, err := audit.Encode(e)
		if err != nil {
			return t.fail(fmt.Errorf("append event %s: %w", e.ID, err))
		}
		t.writes = append(t.writes, insertEvent(e, string(body), t.Seq()))
	}
	t.events = nil
	return t.indexTerms(ctx, wanted)
}

// haveNumbers sees to it that there are as many numbers as are wanted.
func (t *tx) haveNumbers(ctx context.Context, wanted map[string]int64) error {
	enough := true
	// In order, so that no two transactions wait for each other.
	for _, ws := range slices.Sorted(maps.Keys(wanted)) {
		missing := wanted[ws]
		if n := t.numbers[ws]; n != nil {
			missing -= n.free
		}
		if missing > 0 {
			enough = false
			t.writes = append(t.writes, t.takeNumbers(ws, missing))
		}
	}
	if enough {
		return nil
	}
	return t.send(ctx)
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
