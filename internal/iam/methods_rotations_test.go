package iam_test

import (
	"context"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// started are the fields of the event that a rotation has begun, of a key that
// never was used.
func started() audit.Fields {
	return audit.Fields{
		"state": "waiting_for_first_use", "principal": anything, "old_key": anything, "new_key": anything,
		"quiet_for": "10m", "auto_revoke": false, "deadline": nil, "trial_until": nil,
	}
}

func rotationStarts() map[string]change {
	created := func(limit any) event {
		return event{action: "key.created", target: "key", after: audit.Fields{
			"name": anything, "principal": anything, "hint": anything, "limit": limit, "allowed_networks": nil,
			"expires_at": "2027-03-01T09:00:00.000000Z", "metadata": nil, "paused": false, "revoked": false,
		}}
	}
	return map[string]change{
		"StartRotation": {
			shows: true, needs: "iam.keys:write", gives: "*:execute",
			writes: []event{{action: "rotation.started", target: "rotation", after: started()}, created(nil)},
			ready: func(w *world, _ iam.Caller) call {
				id := w.freshKey()
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return secret(w.StartRotation(ctx, c, "-", id, iam.NewRotation{}))
				}
			},
		},
		"RotateSelf": {
			shows:  true,
			writes: []event{{action: "rotation.started", target: "rotation", after: started()}, created(nil)},
			ready: func(w *world, _ iam.Caller) call {
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return secret(w.RotateSelf(ctx, c, iam.NewRotation{}))
				}
			},
		},
	}
}

// rotation starts a rotation of a fresh key.
func (w *world) rotation() iam.JudgedRotation {
	w.t.Helper()
	begun, _ := issued(w.StartRotation(w.t.Context(), w.owner, "-", w.freshKey(), iam.NewRotation{}))(w.t)
	return begun.Rotation
}

// anyRotation returns the id of one of the tenant's rotations.
func (w *world) anyRotation() iam.RotationID {
	w.t.Helper()
	list, err := w.Store.Rotations(w.t.Context(), w.owner.Workspace.ID, iam.RotationFilter{}, iam.Page{Limit: 1})
	if err != nil || len(list.Items) == 0 {
		w.t.Fatalf("got %s and error %v, want a rotation", text(list.Items), err)
	}
	return list.Items[0].ID
}

func rotationEnds() map[string]change {
	ended := func(action, reason, state string) event {
		return event{action: action, target: "rotation", reason: reason,
			before: audit.Fields{"state": "waiting_for_first_use"}, after: audit.Fields{"state": state},
		}
	}
	revoked := func(reason string) event {
		return event{action: "key.revoked", target: "key", reason: reason,
			before: audit.Fields{"revoked": false}, after: audit.Fields{"revoked": true},
		}
	}
	return map[string]change{
		"FinishRotation": {
			needs: "iam.keys:write",
			writes: []event{
				ended("rotation.completed", "forced: nobody has used the new key yet; "+
					"the old key must be quiet for 10m: until 2026-03-01T09:10:00Z, if nobody uses it before", "completed"),
				revoked("superseded"),
			},
			ready: func(w *world, _ iam.Caller) call {
				id := w.rotation().ID
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.FinishRotation(ctx, c, "-", id, true))
				}
			},
		},
		"CancelRotation": {
			needs: "iam.keys:write",
			writes: []event{
				ended("rotation.cancelled", "keeps old", "cancelled"), revoked("other: the rotation was cancelled"),
			},
			ready: func(w *world, _ iam.Caller) call {
				id := w.rotation().ID
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.CancelRotation(ctx, c, "-", id, iam.KeepOld))
				}
			},
		},
		"UpdateRotation": {
			needs: "iam.keys:write",
			writes: []event{{
				action: "rotation.updated", target: "rotation",
				before: audit.Fields{"quiet_for": "10m", "auto_revoke": false}, after: audit.Fields{"quiet_for": "1h", "auto_revoke": true},
			}},
			ready: func(w *world, _ iam.Caller) call {
				id := w.rotation().ID
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.UpdateRotation(ctx, c, "-", id, iam.RotationPatch{
						QuietFor: &iam.Optional[time.Duration]{Value: new(time.Hour)}, AutoRevoke: new(true),
					}))
				}
			},
		},
		"TryWithout": {
			needs: "iam.keys:write",
			writes: []event{
				{action: "rotation.try_without", target: "rotation",
					before: audit.Fields{"trial_until": nil}, after: audit.Fields{"trial_until": "2026-03-01T09:05:00.000000Z"}},
				{action: "key.paused", target: "key", reason: "try_without",
					before: audit.Fields{"paused": false}, after: audit.Fields{"paused": true}},
			},
			ready: func(w *world, _ iam.Caller) call {
				id := w.rotation().ID
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.TryWithout(ctx, c, "-", id, 5*time.Minute))
				}
			},
		},
	}
}
