package iam

import (
	"context"
	"fmt"
	"time"
)

// RotationPatch is what changes of a rotation that is under way. A nil pointer
// leaves a field as it is.
type RotationPatch struct {
	QuietFor   *Optional[time.Duration] // no value: what the policy says, or twice the longest gap seen
	AutoRevoke *bool
	Deadline   *Optional[time.Time] // no value: none
}

// UpdateRotation changes for how long the old key of a rotation must be quiet,
// whether it is then revoked by itself, and until when all that is to be done. It
// gives nobody anything: both keys go on as they are until the rotation ends.
func (s *Service) UpdateRotation(ctx context.Context, c Caller, ws string, id RotationID, p RotationPatch) (Done[JudgedRotation], error) {
	return s.turnRotation(ctx, c, ws, id, "rotation.updated", func(w *work, j *JudgedRotation, _ Key) error {
		if _, over := j.overtaken(w.Now()); over || !j.open() {
			return Errorf(Gone, "the rotation is over")
		}
		was := j.fields()
		if err := w.patchRotation(&j.Rotation, p); err != nil {
			return err
		}
		return w.saveRotation(j, was)
	})
}

func (w *work) patchRotation(r *Rotation, p RotationPatch) error {
	quietFor, deadline := r.QuietFor, time.Time{}
	if p.QuietFor != nil && p.QuietFor.Value != nil {
		quietFor = *p.QuietFor.Value
	}
	if p.Deadline != nil && p.Deadline.Value != nil {
		deadline = p.Deadline.Value.UTC().Truncate(time.Microsecond)
	}
	if err := w.possible(quietFor, deadline); err != nil {
		return err
	}
	if p.AutoRevoke != nil {
		r.AutoRevoke = *p.AutoRevoke
	}
	if p.Deadline != nil {
		r.Deadline, r.OverdueAt = deadline, time.Time{} // it may be late once more
	}
	if p.QuietFor == nil {
		return nil
	}
	r.QuietFor, r.Learnt = quietFor, p.QuietFor.Value == nil
	if !r.Learnt {
		return nil
	}
	e, err := w.Evidence(w.ctx, r.Workspace, r.Old.ID, r.New.ID)
	if err != nil {
		return fmt.Errorf("read how the keys of %s are used: %w", r.ID, err)
	}
	r.QuietFor, err = w.learnt(e)
	return err
}
