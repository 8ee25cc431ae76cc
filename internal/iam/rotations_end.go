package iam

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// Keep says what stays when a rotation is cancelled.
type Keep string

// What may stay of a rotation that is cancelled.
const (
	KeepBoth Keep = "both" // both keys go on working
	KeepOld  Keep = "old"  // the new key is revoked
)

// The shortest and the longest trial.
const (
	minTrial = time.Second
	maxTrial = time.Hour
)

// turnRotation changes a rotation that a caller names. turn may change the rotation
// and its old key, which is as it is in the rows.
func (s *Service) turnRotation(ctx context.Context, c Caller, ws string, id RotationID, action string, turn func(*work, *JudgedRotation, Key) error) (Done[JudgedRotation], error) {
	a := attempt{in: ws, action: action, needs: WriteKeys, target: aim("rotation", string(id))}
	return do(ctx, s, c, a, func(w *work) (JudgedRotation, error) {
		r, err := w.Rotation(ctx, w.ws.ID, id)
		if err != nil {
			return JudgedRotation{}, err
		}
		w.event.Target = r.target()
		old, err := w.Key(ctx, w.ws.ID, r.Old.ID)
		if err != nil {
			return JudgedRotation{}, fmt.Errorf("read the old key: %w", err)
		}
		if err := w.mayActOn(old.Principal.Role.Permissions); err != nil {
			return JudgedRotation{}, err
		}
		out, err := judged(ctx, w, r, w.Now())
		if err != nil {
			return out, err
		}
		return out, turn(w, &out, old)
	})
}

// saveRotation writes down what became of a rotation, and in the event what is
// different. What is known of it is judged again.
func (w *work) saveRotation(j *JudgedRotation, was audit.Fields) error {
	j.Version = w.Seq()
	w.changed(was, j.fields())
	if err := w.UpdateRotation(w.ctx, j.Rotation); err != nil {
		return err
	}
	again, err := judged(w.ctx, w, j.Rotation, w.Now())
	j.Judged = again.Judged
	return err
}

// FinishRotation revokes the old key, once it has been quiet for long enough, or at
// once when forced. Once it returns nil, no node accepts the old key. Finishing twice
// is not an error: the second call waits for the fence as well.
func (s *Service) FinishRotation(ctx context.Context, c Caller, ws string, id RotationID, force bool) (Done[JudgedRotation], error) {
	return s.turnRotation(ctx, c, ws, id, "rotation.completed", func(w *work, j *JudgedRotation, old Key) error {
		switch {
		case j.State == Completed:
			w.event.Reason = repeated("")
			return nil
		case j.State == Cancelled:
			return Errorf(Gone, "the rotation was cancelled")
		case j.Judged.State == Cancelled:
			return Errorf(Gone, "the new key has ended: without the old one there would be none")
		case len(j.Judged.Blockers) > 0 && !force:
			return notReady(j.Judged.Blockers)
		case len(j.Judged.Blockers) > 0:
			w.event.Reason = "forced: " + describeBlockers(j.Judged.Blockers)
		}
		return w.complete(j, old)
	})
}

// notReady says what is in the way of a rotation.
func notReady(blockers []Blocker) error {
	e := &Error{Kind: NotReady, Reason: describeBlockers(blockers)}
	for _, b := range blockers {
		e.Fields = append(e.Fields, Field{Code: string(b.Code), Detail: b.Detail})
	}
	return e
}

// described is how many blockers are written out.
const described = 5

func describeBlockers(blockers []Blocker) string {
	var said []string
	for _, b := range blockers[:min(len(blockers), described)] {
		said = append(said, b.Detail)
	}
	if more := len(blockers) - described; more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, "; ")
}

// complete revokes the old key and ends the rotation by that.
func (w *work) complete(j *JudgedRotation, old Key) error {
	was := j.fields()
	if old.Revoked == nil {
		why := Why{Reason: "superseded"}
		e := audit.Event{Action: "key.revoked", Outcome: audit.Done, Target: old.target(), Reason: why.text()}
		if err := w.endKey(&old, why, &e); err != nil {
			return err
		}
		w.further = append(w.further, e)
		j.Old = rotated(old)
	}
	if err := w.close(j, Completed, &old); err != nil {
		return err
	}
	return w.saveRotation(j, was)
}

// close ends a rotation, and a trial with it.
func (w *work) close(j *JudgedRotation, as State, old *Key) error {
	j.State, j.EndedAt, j.EndedBy = as, w.Now(), w.caller.createdBy()
	if !j.Trial.running() {
		return nil
	}
	return w.endTrial(&j.Rotation, old)
}

// CancelRotation ends a rotation and keeps the old key. A trial ends with it, which
// gives all that the old key holds.
func (s *Service) CancelRotation(ctx context.Context, c Caller, ws string, id RotationID, keep Keep) (Done[JudgedRotation], error) {
	return s.turnRotation(ctx, c, ws, id, "rotation.cancelled", func(w *work, j *JudgedRotation, old Key) error {
		if keep != KeepBoth && keep != KeepOld {
			return Invalid("/keep", "unknown_value", "is both or old")
		}
		switch j.State {
		case Cancelled:
			w.event.Reason = repeated("")
			return nil
		case Completed:
			return Errorf(Gone, "the rotation is completed: its old key is revoked or has expired")
		}
		if j.Trial.running() {
			if err := w.mayGive(old.Effective(), Permissions{}); err != nil {
				return err
			}
		}
		was := j.fields()
		if keep == KeepOld {
			if err := w.endSuccessor(j); err != nil {
				return err
			}
		}
		w.event.Reason = "keeps " + string(keep)
		if err := w.close(j, Cancelled, &old); err != nil {
			return err
		}
		return w.saveRotation(j, was)
	})
}

// endSuccessor revokes the new key of a rotation that is given up.
func (w *work) endSuccessor(j *JudgedRotation) error {
	key, err := w.Key(w.ctx, w.ws.ID, j.New.ID)
	if err != nil || key.Revoked != nil {
		return err
	}
	why := Why{Reason: "other", Note: "the rotation was cancelled"}
	e := audit.Event{Action: "key.revoked", Outcome: audit.Done, Target: key.target(), Reason: why.text()}
	if err := w.endKey(&key, why, &e); err != nil {
		return err
	}
	w.further = append(w.further, e)
	j.New = rotated(key)
	return nil
}

// TryWithout pauses the old key of a rotation for a while. Once it returns nil, no
// node accepts it. The pause ends by itself, by a change that any node makes which
// finds it due. A trial that runs is made longer or shorter, and what was refused
// since it began still counts.
func (s *Service) TryWithout(ctx context.Context, c Caller, ws string, id RotationID, lasting time.Duration) (Done[JudgedRotation], error) {
	return s.turnRotation(ctx, c, ws, id, "rotation.try_without", func(w *work, j *JudgedRotation, old Key) error {
		if lasting < minTrial || lasting > maxTrial {
			return Invalid("/for", "out_of_range", "must be between 1s and 1h")
		}
		if _, over := j.overtaken(w.Now()); over || !j.open() {
			return Errorf(Gone, "the rotation is over")
		}
		was, until := j.fields(), w.Now().Add(lasting)
		if j.Trial.running() {
			if until.Before(j.Trial.Until) {
				if err := w.mayGive(old.Effective(), Permissions{}); err != nil {
					return err
				}
			}
			longer := *j.Trial
			longer.Until = until
			j.Trial = &longer
			return w.saveRotation(j, was)
		}
		return w.beginTrial(j, old, until, was)
	})
}

// beginTrial pauses the old key, and notes how often whom it was refused before.
func (w *work) beginTrial(j *JudgedRotation, old Key, until time.Time, was audit.Fields) error {
	e, err := w.Evidence(w.ctx, j.Workspace, j.Old.ID, j.New.ID)
	if err != nil {
		return fmt.Errorf("read how the keys of %s are used: %w", j.ID, err)
	}
	j.DisturbedAt = j.lastRefused(e)
	j.Trial = &Trial{From: w.Now(), Until: until, Before: refusedBefore(e)}
	if w.works(old) {
		w.keysStopped = 1
	}
	if err := w.repause(&old, old.Pauses.With(ByTrial), "key.paused"); err != nil {
		return err
	}
	j.Old.Pauses = old.Pauses
	return w.saveRotation(j, was)
}

// endTrial lets the old key work again, unless it has ended or something else pauses
// it.
func (w *work) endTrial(r *Rotation, old *Key) error {
	over := *r.Trial
	over.EndedAt = w.Now()
	r.Trial = &over
	if old.Revoked != nil {
		return nil
	}
	if err := w.repause(old, old.Pauses.Without(ByTrial), "key.resumed"); err != nil {
		return err
	}
	r.Old.Pauses = old.Pauses
	return nil
}

// repause sets for which reasons a key is paused, on account of a trial. When that
// pauses it or lets it work again, an event says so.
func (w *work) repause(key *Key, pauses Pauses, action string) error {
	was := key.fields()
	key.Pauses = pauses
	e := audit.Event{Action: action, Outcome: audit.Done, Target: key.target(), Reason: "try_without"}
	if e.Before, e.After = differences(was, key.fields()); len(e.After) > 0 {
		w.further = append(w.further, e)
	}
	return w.saveKey(key)
}

// cutTrialShort ends the trial that a key is paused by, for who resumes the key.
func (w *work) cutTrialShort(key *Key) error {
	if !key.Pauses.Has(ByTrial) {
		return nil
	}
	key.Pauses = key.Pauses.Without(ByTrial)
	r, err := w.Rotation(w.ctx, w.ws.ID, key.Rotation)
	if err != nil {
		return fmt.Errorf("read the rotation that paused the key: %w", err)
	}
	over := *r.Trial
	over.EndedAt = w.Now()
	r.Trial = &over
	return w.UpdateRotation(w.ctx, r)
}
