package iam

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// The states of a rotation, besides [Cancelled]. Overdue is not final: a rotation
// that is late goes on, and may still become ready.
const (
	WaitingForFirstUse State = "waiting_for_first_use" // nobody has used the new key yet
	Overlapping        State = "overlapping"           // both keys are, or may be, in use
	Ready              State = "ready"                 // the old key is known to have been quiet for long enough
	Overdue            State = "overdue"               // the deadline has passed, and it is not ready
	Completed          State = "completed"             // the old key has ended
)

// Rotation is the change from an old key to a new one while both work. It is a
// thing of the server's: it goes on whoever watches, on whichever node is alive.
type Rotation struct {
	ID         RotationID
	Workspace  WorkspaceID
	Closed     bool      // the workspace is paused
	Principal  Principal // that owns both keys; its role is not read
	Old        RotatedKey
	New        RotatedKey
	State      State         // as of the last change; what is true now is in its [Judgement]
	QuietFor   time.Duration // how long the old key must have been quiet
	Learnt     bool          // QuietFor was not asked for: it grows with what is learnt of the old key
	AutoRevoke bool          // revoke the old key as soon as that is safe
	Deadline   time.Time     // zero: none
	StartedAt  time.Time
	StartedBy  Actor
	FirstUseAt time.Time // of the new key, as noted; zero: not yet
	OverdueAt  time.Time // when it was found late for the first time; zero: never
	Trial      *Trial    // the last attempt to do without the old key
	// DisturbedAt is until when quiet proves nothing: a trial before this one met
	// somebody, or the old key could not be used; zero: neither was the case.
	DisturbedAt time.Time
	EndedAt     time.Time // zero while it is open
	EndedBy     Actor
	Version     int64
}

// RotatedKey is one of the two keys of a rotation.
type RotatedKey struct {
	ID        KeyID
	Name      string
	Hint      string
	ExpiresAt time.Time // zero: never
	Pauses    Pauses
	RevokedAt time.Time // zero: it is not
}

// Trial is a while for which the old key of a rotation is paused, strictly, to see
// who still needs it. The rotation's keys are paused and resumed by changes like
// any other.
type Trial struct {
	From    time.Time
	Until   time.Time
	EndedAt time.Time        // zero while it runs
	Before  map[string]int64 // how often each source had been refused before it began
}

func (t *Trial) running() bool { return t != nil && t.EndedAt.IsZero() }

// open reports whether the rotation is under way.
func (r Rotation) open() bool { return r.EndedAt.IsZero() }

// stateOf returns the state of one of the two keys at a time.
func (r Rotation) stateOf(k RotatedKey, now time.Time) State {
	key := Key{Principal: r.Principal, Pauses: k.Pauses, ExpiresAt: k.ExpiresAt}
	if !k.RevokedAt.IsZero() {
		key.Revoked = &Revocation{At: k.RevokedAt}
	}
	return key.State(now)
}

// OldState returns the state of the old key at a time.
func (r Rotation) OldState(now time.Time) State { return r.stateOf(r.Old, now) }

// NewState returns the state of the new key at a time.
func (r Rotation) NewState(now time.Time) State { return r.stateOf(r.New, now) }

func (r Rotation) target() audit.Target {
	return audit.Target{Type: "rotation", ID: string(r.ID), Name: r.Old.Name}
}

func (r Rotation) workspace() WorkspaceID { return r.Workspace }

func (r Rotation) fields() audit.Fields {
	f := audit.Fields{
		"state": string(r.State), "principal": string(r.Principal.ID),
		"old_key": string(r.Old.ID), "new_key": string(r.New.ID),
		"quiet_for": FormatDuration(r.QuietFor), "auto_revoke": r.AutoRevoke, "deadline": nil, "trial_until": nil,
	}
	if !r.Deadline.IsZero() {
		f["deadline"] = r.Deadline.UTC().Format(timeLayout)
	}
	if r.Trial.running() {
		f["trial_until"] = r.Trial.Until.UTC().Format(timeLayout)
	}
	return f
}

// JudgedRotation is a rotation together with what is known of it at a moment.
type JudgedRotation struct {
	Rotation
	Judged Judgement
}

// RotationFilter narrows a list of rotations. Empty fields do not.
type RotationFilter struct {
	State     State
	Key       KeyID       // the old one or the new one
	Principal PrincipalID // that owns the keys
	Open      bool        // only those under way
}

// Rotation returns a rotation, judged as of now.
func (s *Service) Rotation(ctx context.Context, c Caller, ws string, id RotationID) (JudgedRotation, error) {
	in, err := s.reading(ctx, c, ws, ReadKeys, aim("rotation", string(id)))
	if err != nil {
		return JudgedRotation{}, err
	}
	r, err := s.Store.Rotation(ctx, in, id)
	if err != nil {
		return JudgedRotation{}, err
	}
	return judged(ctx, s.Store, r, s.Now())
}

// Rotations lists the rotations of a workspace, newest first, each judged as of
// now. owner, the id of a principal or the name of a service account, narrows the
// list when it is not empty. The filter's state is the one of the last change, which
// follows what is judged within a second or two.
func (s *Service) Rotations(ctx context.Context, c Caller, ws, owner string, f RotationFilter, page Page) (List[JudgedRotation], error) {
	in, err := s.reading(ctx, c, ws, ReadKeys, audit.Target{Type: "rotation"})
	if err != nil {
		return List[JudgedRotation]{}, err
	}
	if owner != "" {
		p, err := s.Store.Principal(ctx, in, owner)
		if err != nil {
			return List[JudgedRotation]{}, err
		}
		f.Principal = p.ID
	}
	return s.rotations(ctx, in, f, page)
}

// SelfRotations lists the rotations that the calling key takes part in. It needs no
// permission.
func (s *Service) SelfRotations(ctx context.Context, c Caller, page Page) (List[JudgedRotation], error) {
	if c.Key.ID == "" {
		return List[JudgedRotation]{}, errNoKey // a filter by no key lets everything through
	}
	return s.rotations(ctx, c.Workspace.ID, RotationFilter{Key: c.Key.ID}, page)
}

func (s *Service) rotations(ctx context.Context, ws WorkspaceID, f RotationFilter, page Page) (List[JudgedRotation], error) {
	found, err := s.Store.Rotations(ctx, ws, f, page)
	if err != nil {
		return List[JudgedRotation]{}, err
	}
	pairs := make([][2]KeyID, len(found.Items))
	for i, r := range found.Items {
		pairs[i] = [2]KeyID{r.Old.ID, r.New.ID}
	}
	known, err := s.Store.Evidences(ctx, ws, pairs)
	if err != nil {
		return List[JudgedRotation]{}, err
	}
	list, now := List[JudgedRotation]{Next: found.Next, Items: make([]JudgedRotation, len(found.Items))}, s.Now()
	for i, r := range found.Items {
		list.Items[i] = JudgedRotation{r, r.judge(known[i], now)}
	}
	return list, nil
}

// judged reads what is known of the use of a rotation's keys, and judges it.
func judged(ctx context.Context, from Reader, r Rotation, now time.Time) (JudgedRotation, error) {
	e, err := from.Evidence(ctx, r.Workspace, r.Old.ID, r.New.ID)
	if err != nil {
		return JudgedRotation{}, fmt.Errorf("read how the keys of %s are used: %w", r.ID, err)
	}
	return JudgedRotation{r, r.judge(e, now)}, nil
}
