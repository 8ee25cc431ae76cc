package server

import (
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func rotation(r iam.JudgedRotation, now time.Time) api.Rotation {
	out := api.Rotation{
		ID:        string(r.ID),
		Principal: api.Principal{Type: string(r.Principal.Type), ID: string(r.Principal.ID), Name: r.Principal.Name},
		OldKey:    rotatedKey(r.Old, r.OldState(now)), NewKey: rotatedKey(r.New, r.NewState(now)),
		State: string(r.Judged.State), Ready: r.Judged.Ready(),
		QuietFor: iam.FormatDuration(r.Judged.QuietFor), QuietForLearnt: r.Learnt, QuietSince: timeOrNull(r.Judged.QuietSince),
		AutoRevoke: r.AutoRevoke, Deadline: timeOrNull(r.Deadline),
		FirstUseAt: timeOrNull(r.Judged.FirstUseAt), StartedAt: api.NewTime(r.StartedAt), StartedBy: actor(r.StartedBy), EndedAt: timeOrNull(r.EndedAt),
		Sources: each(r.Judged.Sources, rotationSource), Blockers: each(r.Judged.Blockers, blocker), Trial: trial(r),
	}
	if !r.EndedAt.IsZero() {
		out.EndedBy = new(actor(r.EndedBy))
	}
	return out
}

func rotatedKey(k iam.RotatedKey, state iam.State) api.RotatedKey {
	return api.RotatedKey{ID: string(k.ID), Name: k.Name, Hint: k.Hint, State: string(state), ExpiresAt: timeOrNull(k.ExpiresAt)}
}

func rotationSource(s iam.RotationSource) api.RotationSource {
	return api.RotationSource{
		IP: s.IP, UserAgent: s.UserAgent, Node: s.Node, Via: s.Via, Others: s.Others,
		OldLastSeen: timeOrNull(s.OldLastSeen), NewLastSeen: timeOrNull(s.NewLastSeen), Moved: s.Moved,
	}
}

func blocker(b iam.Blocker) api.RotationBlocker {
	out := api.RotationBlocker{Code: string(b.Code), Detail: b.Detail, Node: orNull(b.Node), Until: timeOrNull(b.Until)}
	if b.Source != nil {
		out.Source = new(rotationSource(*b.Source))
	}
	return out
}

func trial(r iam.JudgedRotation) *api.RotationTrial {
	if r.Trial == nil {
		return nil
	}
	return &api.RotationTrial{
		StartedAt: api.NewTime(r.Trial.From), EndsAt: api.NewTime(r.Trial.Until), EndedAt: timeOrNull(r.Trial.EndedAt),
		Refused: each(r.Judged.Refused, func(s iam.TrialSource) api.RefusedSource {
			return api.RefusedSource{
				IP: s.IP, UserAgent: s.UserAgent, Node: s.Node, Via: s.Via, Others: s.Others, LastSeen: api.NewTime(s.LastSeen), Count: s.Refused,
			}
		}),
	}
}

// newRotation reads how a rotation is to be. A body need not be there.
func newRotation(in *api.StartRotation) (out iam.NewRotation, err error) {
	if in == nil {
		return out, nil
	}
	out.AutoRevoke = in.AutoRevoke
	if out.ExpiresIn, err = durationOf("/expires_in", in.ExpiresIn); err != nil {
		return out, err
	}
	if out.QuietFor, err = durationOf("/quiet_for", in.QuietFor); err != nil {
		return out, err
	}
	if in.Deadline == nil {
		return out, nil
	}
	if in.Deadline.IsZero() { // package iam would read it as none
		return out, iam.Invalid("/deadline", "in_the_past", "must be in the future")
	}
	out.Deadline = in.Deadline.Time
	return out, nil
}

func rotationPatch(in api.UpdateRotation) (out iam.RotationPatch, err error) {
	out.AutoRevoke = in.AutoRevoke
	if text, set := in.QuietFor.Get(); set {
		out.QuietFor = &iam.Optional[time.Duration]{}
		if text != nil {
			d, err := duration("/quiet_for", *text)
			if err != nil {
				return out, err
			}
			out.QuietFor.Value = &d
		}
	}
	if at, set := in.Deadline.Get(); set {
		out.Deadline = &iam.Optional[time.Time]{}
		if at != nil {
			if at.IsZero() { // package iam would read it as none
				return out, iam.Invalid("/deadline", "in_the_past", "must be in the future")
			}
			out.Deadline.Value = &at.Time
		}
	}
	return out, nil
}

// durationOf reads a duration that may be absent, which is zero.
func durationOf(pointer string, text *string) (time.Duration, error) {
	if text == nil {
		return 0, nil
	}
	return duration(pointer, *text)
}

func duration(pointer, text string) (time.Duration, error) {
	d, err := iam.ParseDuration(text)
	if err != nil {
		return 0, iam.Invalid(pointer, "not_a_duration", "must be a whole number and s, m, h or d, such as 90d")
	}
	return d, nil
}
