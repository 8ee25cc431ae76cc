package iam

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// openPart is how many open rotations are read at a time.
const openPart = 100

// longestRound is for how long one look at the open rotations goes on. The next
// goes on where it ended.
const longestRound = 500 * time.Millisecond

// round is how far the look at the open rotations has come.
type round struct {
	mu    sync.Mutex // held while somebody looks
	after RotationID // empty: from the beginning
}

// AdvanceRotations looks at the rotations that are open and makes the changes that
// are due: what was found out of their keys' use, the end of a trial, the end of an
// old key that is to be revoked when that is safe. Every node calls it about once a
// second. Which of them makes a change does not matter, and none is made twice. When
// no rotation is open it costs one look at an index.
//
// flush is called before anything is judged, when there is something to judge, so
// that what this process counted is known. Its failure is part of the error, and
// keeps no trial from its end. node names the process in the audit log.
func (s *Service) AdvanceRotations(ctx context.Context, node string, flush func(context.Context) error) error {
	s.round.mu.Lock()
	defer s.round.mu.Unlock()
	open, now, err := s.Store.OpenRotations(ctx, s.round.after, openPart)
	if err != nil {
		return fmt.Errorf("read the open rotations: %w", err)
	}
	if len(open) == 0 && s.round.after == "" {
		return nil
	}
	failed := reportFirst(ctx, flush) // what is judged below is known up to when uses are known
	due, _, err := s.Store.DueTrials(ctx, openPart)
	if err != nil {
		return errors.Join(failed, fmt.Errorf("read the trials that are over: %w", err))
	}
	failed = errors.Join(failed, s.advanceAll(ctx, node, due, now))
	for began := s.Now(); ; {
		failed = errors.Join(failed, s.advanceAll(ctx, node, open, now))
		if len(open) < openPart {
			s.round.after = ""
			return failed
		}
		s.round.after = open[len(open)-1].ID
		if s.Now().Sub(began) > longestRound || ctx.Err() != nil {
			return failed
		}
		if open, now, err = s.Store.OpenRotations(ctx, s.round.after, openPart); err != nil {
			return errors.Join(failed, fmt.Errorf("read the open rotations: %w", err))
		}
	}
}

// longestFlush is for how long a look waits for uses to be reported.
const longestFlush = 2 * time.Second

func reportFirst(ctx context.Context, flush func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, longestFlush)
	defer cancel()
	if err := flush(ctx); err != nil {
		return fmt.Errorf("report what was counted: %w", err)
	}
	return nil
}

// advanceAll makes the changes that are due to some rotations. One that cannot be
// advanced does not hold up the others; the error is that of the first.
func (s *Service) advanceAll(ctx context.Context, node string, rotations []Rotation, now time.Time) (first error) {
	for _, r := range rotations {
		if err := s.advanceRotation(ctx, node, r, now); err != nil && first == nil {
			first = fmt.Errorf("advance rotation %s: %w", r.ID, err)
		}
	}
	return first
}

// advanceRotation makes the change that is due to a rotation, if there is one. It is
// decided anew inside the transaction: another node may have made it meanwhile.
func (s *Service) advanceRotation(ctx context.Context, node string, r Rotation, now time.Time) error {
	j, err := judged(ctx, s.Store, r, now)
	if err != nil || j.due(now) == nothingDue {
		return err
	}
	c := Internal("rotation", audit.Source{Node: node})
	c.Prefer = Preference{Async: true} // the receipt is waited for beside this
	a := attempt{in: own, action: "rotation.ready", target: r.target()}
	var made string
	_, err = do(ctx, s, c, a, func(w *work) (JudgedRotation, error) {
		again, err := w.Rotation(ctx, r.Workspace, r.ID)
		if err != nil {
			return JudgedRotation{}, err
		}
		w.ws.ID = r.Workspace
		j, err := judged(ctx, w, again, w.Now())
		if err != nil {
			return j, err
		}
		err = w.advance(&j)
		made = w.event.Action
		return j, err
	})
	switch {
	case errors.Is(err, errNothingDue):
		return nil
	case err == nil && s.Advanced != nil:
		s.Advanced(made)
	}
	return err
}

// errNothingDue ends a transaction that found nothing left to do.
var errNothingDue = errors.New("nothing is due")

// dueChange is a change that a rotation is due for.
type dueChange int

const (
	nothingDue  dueChange = iota
	trialEnds             // the old key is let work again
	stateMoves            // what is judged is not what is written down
	oldKeyEnds            // it is safe, and asked for
	overtakenBy           // a key has ended by other means
)

// due returns the change that a rotation is due for at a time. There may be another
// after it.
func (j JudgedRotation) due(now time.Time) dueChange {
	switch {
	case !j.open():
		return nothingDue
	case j.Judged.State == Completed || j.Judged.State == Cancelled:
		return overtakenBy
	case j.Trial.running() && !now.Before(j.Trial.Until):
		return trialEnds
	case j.Judged.State != j.State || j.newlyUsed():
		return stateMoves
	case j.AutoRevoke && j.Judged.Ready():
		return oldKeyEnds
	}
	return nothingDue
}

// newlyUsed reports whether the new key was used, and nobody has noted it.
func (j JudgedRotation) newlyUsed() bool {
	return j.FirstUseAt.IsZero() && !j.Judged.FirstUseAt.IsZero()
}

// advance makes the change that a rotation is due for.
func (w *work) advance(j *JudgedRotation) error {
	due := j.due(w.Now())
	switch due {
	case nothingDue:
		return errNothingDue
	case stateMoves:
		return w.moveState(j)
	}
	old, err := w.Key(w.ctx, j.Workspace, j.Old.ID)
	if err != nil {
		return err
	}
	was := j.fields()
	switch due {
	case oldKeyEnds:
		w.event.Action = "rotation.completed"
		return w.complete(j, old)
	case overtakenBy:
		w.event.Action = "rotation." + string(j.Judged.State)
		w.event.Reason = overtakenReason(j.Judged.State)
		if err := w.close(j, j.Judged.State, &old); err != nil {
			return err
		}
		return w.saveRotation(j, was)
	}
	w.event.Action, w.event.Reason = "rotation.try_without", trialReason(j.Judged.Refused)
	if err := w.endTrial(&j.Rotation, &old); err != nil {
		return err
	}
	return w.saveRotation(j, was)
}

func overtakenReason(as State) string {
	if as == Completed {
		return "the old key has ended"
	}
	return "the new key has ended"
}

// trialReason says how a trial ended.
func trialReason(refused []TrialSource) string {
	var times int64
	for _, s := range refused {
		times += s.Refused
	}
	return fmt.Sprintf("over; refused %d times, from %d sources", times, len(refused))
}

// moveState writes down what is judged of a rotation, with an event for each thing
// that happened.
func (w *work) moveState(j *JudgedRotation) error {
	was := j.fields()
	var happened []string
	if j.newlyUsed() {
		j.FirstUseAt = j.Judged.FirstUseAt
		happened = append(happened, "rotation.first_use")
	}
	before := j.State
	j.State = j.Judged.State
	switch {
	case j.State == before || j.State == Overlapping && len(happened) > 0:
	case j.State == Ready:
		happened = append(happened, "rotation.ready")
	case j.State == Overdue && j.OverdueAt.IsZero():
		j.OverdueAt = w.Now()
		happened = append(happened, "rotation.overdue")
	default:
		happened = append(happened, "rotation.overlapping")
	}
	if err := w.saveRotation(j, was); err != nil {
		return err
	}
	w.event.Action, w.event.Reason = happened[0], describeBlockers(j.Judged.Blockers)
	for _, action := range happened[1:] {
		e := w.event
		e.Action, e.Outcome, e.Target = action, audit.Done, j.target()
		w.further = append(w.further, e)
	}
	return nil
}
