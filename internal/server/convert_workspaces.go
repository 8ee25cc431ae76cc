package server

import (
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func workspace(w iam.Workspace) api.Workspace {
	return api.Workspace{
		ID: string(w.ID), Name: w.Name, Slug: w.Slug, System: w.System, State: string(w.State()),
		Policy: api.Policy(w.Policy), CreatedAt: api.NewTime(w.CreatedAt), Etag: etag(w.Version),
	}
}

func newWorkspace(in api.CreateWorkspace) (iam.NewWorkspace, error) {
	out := iam.NewWorkspace{Name: in.Name, Slug: in.Slug}
	if in.Owner == nil {
		return out, nil
	}
	if in.Owner.Email == "" { // package iam would read it as no owner
		return out, iam.Invalid("/owner/email", "required", "must not be empty")
	}
	out.OwnerEmail = in.Owner.Email
	return out, nil
}

func workspacePatch(in api.UpdateWorkspace) iam.WorkspacePatch {
	patch := iam.WorkspacePatch{Name: in.Name}
	if in.Policy != nil {
		patch.Policy = func(p iam.Policy) iam.Policy { return changePolicy(p, *in.Policy) }
	}
	return patch
}

// changePolicy returns a policy with the settings that a patch names.
func changePolicy(p iam.Policy, in api.UpdatePolicy) iam.Policy {
	set(&p.AccountKeyDefaultDays, in.AccountKeyDefaultDays)
	set(&p.MemberKeyDefaultDays, in.MemberKeyDefaultDays)
	set(&p.OwnerRequired, in.OwnerRequired)
	set(&p.InvitationDays, in.InvitationDays)
	set(&p.QuietFor, in.QuietFor)
	set(&p.UsageDays, in.UsageDays)
	set(&p.SelfRotation, in.SelfRotation)
	set(&p.RevealRefusalReason, in.RevealRefusalReason)
	setOrClear(&p.AccountKeyMaxDays, in.AccountKeyMaxDays)
	setOrClear(&p.MemberKeyMaxDays, in.MemberKeyMaxDays)
	setOrClear(&p.SeatLimit, in.SeatLimit)
	return p
}

// set replaces a value when there is a new one.
func set[T any](value *T, to *T) {
	if to != nil {
		*value = *to
	}
}

// setOrClear replaces a value, or takes it away, when a patch names it.
func setOrClear[T any](value **T, to api.Optional[T]) {
	if v, named := to.Get(); named {
		*value = v
	}
}
