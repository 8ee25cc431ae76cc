package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

var rotations = listing[iam.Rotation]{
	nouns: "rotations",
	rows:  "rotations ro", id: "ro.id",
	columns: `ro.id, ro.workspace_id, ws.paused, p.id, p.type, p.workspace_id, p.name, p.state,
		o.id, o.name, o.hint, o.expires_at, o.pauses, o.revoked_at,
		n.id, n.name, n.hint, n.expires_at, n.pauses, n.revoked_at,
		ro.state, ro.quiet_for, ro.learnt, ro.auto_revoke, ro.deadline,
		ro.started_at, ro.started_by_id, ro.started_by_type, ro.started_by_name, COALESCE(starter.state, 'active'),
		ro.first_use_at, ro.overdue_at, ro.trial, ro.disturbed_at,
		ro.ended_at, ro.ended_by_id, ro.ended_by_type, ro.ended_by_name, COALESCE(ender.state, 'active'), ro.version`,
	tables: `
		JOIN workspaces ws ON ws.id = ro.workspace_id
		JOIN principals p ON p.id = ro.principal_id
		JOIN keys o ON o.id = ro.old_key_id
		JOIN keys n ON n.id = ro.new_key_id
		LEFT JOIN principals starter ON starter.id = ro.started_by_id
		LEFT JOIN principals ender ON ender.id = ro.ended_by_id`,
	fields: rotationFields,
	orders: []order{{name: "started_at", expression: "ro.started_at", number: true, descending: true}},
}

func rotationFields(r *iam.Rotation) []any {
	return slices.Concat([]any{
		text(&r.ID), text(&r.Workspace), yes{&r.Closed},
		text(&r.Principal.ID), text(&r.Principal.Type), text(&r.Principal.Workspace), &r.Principal.Name, text(&r.Principal.State),
	}, rotatedFields(&r.Old), rotatedFields(&r.New), []any{
		text(&r.State), span{&r.QuietFor}, yes{&r.Learnt}, yes{&r.AutoRevoke}, instant{&r.Deadline}, instant{&r.StartedAt},
	}, actor(&r.StartedBy), []any{
		instant{&r.FirstUseAt}, instant{&r.OverdueAt}, decode(&r.Trial), instant{&r.DisturbedAt}, instant{&r.EndedAt},
	}, whoEnded(r), []any{&r.Version})
}

func rotatedFields(k *iam.RotatedKey) []any {
	return []any{text(&k.ID), &k.Name, &k.Hint, instant{&k.ExpiresAt}, text(&k.Pauses), instant{&k.RevokedAt}}
}

// whoEnded takes in who ended a rotation: nobody, as long as it is open.
func whoEnded(r *iam.Rotation) []any {
	state := column(func(value any) error {
		if r.EndedAt.IsZero() {
			return nil
		}
		return text(&r.EndedBy.State).Scan(value)
	})
	return append(actor(&r.EndedBy)[:3], state)
}

// Rotation implements [iam.Reader].
func (r reader) Rotation(ctx context.Context, ws iam.WorkspaceID, id iam.RotationID) (iam.Rotation, error) {
	return rotations.one(ctx, r, "rotation", `ro.id = $2 AND ro.workspace_id || '' = $1`, string(ws), string(id))
}

// Rotations implements [iam.Reader].
func (r reader) Rotations(ctx context.Context, ws iam.WorkspaceID, f iam.RotationFilter, p iam.Page) (iam.List[iam.Rotation], error) {
	w := &where{}
	w.add(`ro.workspace_id = ?`, string(ws))
	match(w, `ro.state = ?`, f.State)
	match(w, `ro.principal_id = ?`, f.Principal)
	if f.Open {
		w.add(`ro.ended_at IS NULL`)
	}
	if f.Key != "" {
		w.add(`(ro.old_key_id = ? OR ro.new_key_id = ?)`, string(f.Key), string(f.Key))
	}
	return rotations.page(ctx, r, w, p)
}

// dated is a row and the time at which it was read.
type dated[T any] struct {
	item T
	now  time.Time
}

// OpenRotations implements [iam.Store].
func (s *Store) OpenRotations(ctx context.Context, after iam.RotationID, limit int) ([]iam.Rotation, time.Time, error) {
	return s.openRotations(ctx, `ro.ended_at IS NULL AND ro.id > ? ORDER BY ro.id`, limit, string(after))
}

// DueTrials implements [iam.Store].
func (s *Store) DueTrials(ctx context.Context, limit int) ([]iam.Rotation, time.Time, error) {
	clock, _ := s.clock()
	return s.openRotations(ctx, `ro.ended_at IS NULL AND ro.trial_until <= `+clock+` ORDER BY ro.trial_until`, limit)
}

// openRotations returns the rotations that fulfil a condition, which ends in their
// order, and the database's time.
func (s *Store) openRotations(ctx context.Context, condition string, limit int, args ...any) ([]iam.Rotation, time.Time, error) {
	clock, at := s.clock()
	w := &where{args: at}
	w.add(condition, args...)
	query := fmt.Sprintf(`SELECT CAST(%s AS BIGINT), %s FROM %s %s WHERE %s LIMIT %s`,
		clock, rotations.columns, rotations.rows, rotations.tables, w, w.arg(int64(limit)))
	found, err := collect(ctx, s.reader, func(d *dated[iam.Rotation]) []any {
		return append([]any{instant{&d.now}}, rotationFields(&d.item)...)
	}, query, w.args...)
	if err != nil || len(found) == 0 {
		return nil, time.Time{}, err
	}
	open := make([]iam.Rotation, len(found))
	for i := range found {
		open[i] = found[i].item
	}
	return open, found[0].now, nil
}

// InsertRotation implements [iam.Tx].
func (t *tx) InsertRotation(_ context.Context, r iam.Rotation) error {
	return t.write(statement{
		text: `
			INSERT INTO rotations (
				id, workspace_id, principal_id, old_key_id, new_key_id, started_at, started_by_id, started_by_type, started_by_name,
				quiet_for, learnt, auto_revoke, deadline,
				state, first_use_at, overdue_at, trial, trial_until, disturbed_at, ended_at, ended_by_id, ended_by_type, ended_by_name, version
			) VALUES (
				$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24
			)`,
		args: append([]any{
			string(r.ID), string(r.Workspace), string(r.Principal.ID), string(r.Old.ID), string(r.New.ID), micros(r.StartedAt),
			r.StartedBy.ID, string(r.StartedBy.Type), r.StartedBy.Name,
			r.QuietFor.Microseconds(), bit(r.Learnt), bit(r.AutoRevoke), micros(r.Deadline),
		}, t.progress(r)...),
		taken: iam.Errorf(iam.RotationInProgress, "%s takes part in a rotation already", r.Old.Name),
	})
}

// UpdateRotation implements [iam.Tx].
func (t *tx) UpdateRotation(_ context.Context, r iam.Rotation) error {
	return t.write(statement{
		text: `
			UPDATE rotations SET
				state = $3, first_use_at = $4, overdue_at = $5, trial = $6, trial_until = $7, disturbed_at = $8,
				ended_at = $9, ended_by_id = $10, ended_by_type = $11, ended_by_name = $12, version = $13,
				quiet_for = $14, learnt = $15, auto_revoke = $16, deadline = $17
			WHERE workspace_id = $1 AND id = $2`,
		args: slices.Concat([]any{string(r.Workspace), string(r.ID)}, t.progress(r), []any{
			r.QuietFor.Microseconds(), bit(r.Learnt), bit(r.AutoRevoke), micros(r.Deadline),
		}),
		missing: iam.Errorf(iam.NotFound, "there is no rotation %s", r.ID),
	})
}

// DisturbRotations implements [iam.Tx].
func (t *tx) DisturbRotations(_ context.Context, ws iam.WorkspaceID, owner iam.PrincipalID, old iam.KeyID) error {
	return t.write(statement{
		text: `
			UPDATE rotations SET disturbed_at = $1, version = $2
			WHERE workspace_id = $3 AND ended_at IS NULL AND ($4 = '' OR principal_id = $5) AND ($6 = '' OR old_key_id = $7)`,
		args: []any{micros(t.Now()), t.Seq(), string(ws), string(owner), string(owner), string(old), string(old)},
	})
}

// progress returns the columns of a rotation that change: state, first_use_at,
// overdue_at, trial, trial_until, disturbed_at, ended_at, ended_by and version.
func (t *tx) progress(r iam.Rotation) []any {
	var trial, until any
	if r.Trial != nil {
		trial = asJSON(r.Trial)
		if r.Trial.EndedAt.IsZero() {
			until = micros(r.Trial.Until)
		}
	}
	end := []any{nil, nil, nil, nil}
	if !r.EndedAt.IsZero() {
		end = []any{micros(r.EndedAt), r.EndedBy.ID, string(r.EndedBy.Type), r.EndedBy.Name}
	}
	return slices.Concat([]any{
		string(r.State), micros(r.FirstUseAt), micros(r.OverdueAt), trial, until, micros(r.DisturbedAt),
	}, end, []any{t.Seq()})
}
