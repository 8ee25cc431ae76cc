package iam

import (
	"maps"
	"reflect"
	"slices"

	"github.com/posternhq/postern/internal/audit"
)

func (w Workspace) target() audit.Target {
	return audit.Target{Type: "workspace", ID: string(w.ID), Name: w.Slug}
}

func (a ServiceAccount) target() audit.Target {
	return audit.Target{Type: "service_account", ID: string(a.ID), Name: a.Name}
}

func (m Member) target() audit.Target {
	return audit.Target{Type: "member", ID: string(m.ID), Name: m.Name}
}

func (k Key) target() audit.Target {
	return audit.Target{Type: "key", ID: string(k.ID), Name: k.Name}
}

func (r Role) target() audit.Target {
	return audit.Target{Type: "role", ID: string(r.ID), Name: r.Name}
}

func (i Invitation) target() audit.Target {
	return audit.Target{Type: "invitation", ID: string(i.ID), Name: i.Email}
}

// aim is the target of an attempt on something that a caller named, before it is
// known whether it is there. What could not be an id or a name is left out.
func aim(kind, ref string) audit.Target {
	var v validation
	v.text("", ref, maxName)
	if v.fields != nil {
		return audit.Target{Type: kind}
	}
	return audit.Target{Type: kind, ID: ref}
}

// differences returns what changed between two descriptions of one thing, as it
// was and as it is.
func differences(was, is audit.Fields) (before, after audit.Fields) {
	before, after = audit.Fields{}, audit.Fields{}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if !same(was[name], is[name]) {
			before[name], after[name] = was[name], is[name]
		}
	}
	return before, after
}

// same reports whether two values of fields are. No metadata is the same as
// empty metadata.
func same(a, b any) bool {
	if ma, ok := a.(map[string]string); ok {
		mb, ok := b.(map[string]string)
		return ok && maps.Equal(ma, mb)
	}
	return reflect.DeepEqual(a, b)
}

// changed notes in the event what is different about the target.
func (w *work) changed(was, is audit.Fields) {
	w.event.Before, w.event.After = differences(was, is)
}

func (w Workspace) fields() audit.Fields {
	p := w.Policy
	return audit.Fields{
		"name": w.Name, "slug": w.Slug, "state": string(w.State()),
		"policy": audit.Fields{
			"account_key_default_days": p.AccountKeyDefaultDays, "account_key_max_days": orNil(p.AccountKeyMaxDays),
			"member_key_default_days": p.MemberKeyDefaultDays, "member_key_max_days": orNil(p.MemberKeyMaxDays),
			"owner_required": p.OwnerRequired, "seat_limit": orNil(p.SeatLimit),
			"invitation_days": p.InvitationDays, "quiet_for": p.QuietFor, "usage_days": p.UsageDays,
			"self_rotation": p.SelfRotation, "reveal_refusal_reason": p.RevealRefusalReason,
		},
	}
}

func orNil(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

func (a ServiceAccount) fields() audit.Fields {
	return audit.Fields{
		"name": a.Name, "description": a.Description, "owner": a.Owner, "role": a.Role.Name,
		"metadata": a.Metadata, "state": string(a.State()),
	}
}

func (m Member) fields() audit.Fields {
	return audit.Fields{"name": m.Name, "email": m.Person.Email, "role": m.Role.Name, "state": string(m.State())}
}

func (r Role) fields() audit.Fields {
	return audit.Fields{
		"name": r.Name, "title": r.Title, "description": r.Description, "permissions": r.Permissions.Strings(),
	}
}

func (k Key) fields() audit.Fields {
	f := audit.Fields{
		"name": k.Name, "principal": string(k.Principal.ID), "hint": k.Hint, "limit": nil,
		"allowed_networks": nil, "expires_at": nil, "metadata": k.Metadata,
		"paused": k.Pauses != "", "revoked": k.Revoked != nil,
	}
	if k.Limit != nil {
		f["limit"] = k.Limit.Strings()
	}
	if k.AllowedNetworks != nil {
		f["allowed_networks"] = networkTexts(k.AllowedNetworks)
	}
	if !k.ExpiresAt.IsZero() {
		f["expires_at"] = k.ExpiresAt.UTC().Format(timeLayout)
	}
	return f
}

func (i Invitation) fields() audit.Fields {
	return audit.Fields{"email": i.Email, "role": i.Role.Name, "expires_at": i.ExpiresAt.UTC().Format(timeLayout)}
}
