package iam_test

import (
	"context"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// ask is a call that a caller makes in the hope for more than they have.
type ask func(ctx context.Context, w *world, c iam.Caller) error

// escalation is a caller who asks for more than they have, and the permission
// that the refusal names.
type escalation struct {
	role  []string // of the caller's account
	limit []string // of the caller's key; nil: none
	ask   ask
	names string
}

func newRole(permissions ...string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		_, err := w.CreateRole(ctx, c, "-", iam.NewRole{Name: w.name("role"), Permissions: permissions})
		return err
	}
}

func newAccount(role string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		_, err := w.CreateServiceAccount(ctx, c, "-", iam.NewServiceAccount{Name: w.name("bot"), Role: role})
		return err
	}
}

// ownKey asks for one more key of the caller's own account.
func ownKey(limit ...string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		in := iam.NewKey{Name: w.name("key")}
		if limit != nil {
			in.Limit = &limit
		}
		_, _, err := w.CreateKey(ctx, c, "-", string(c.Principal.ID), in)
		return err
	}
}

// ownLimit asks for another limit of the caller's own key; none: no limit.
func ownLimit(limit ...string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		patch := iam.KeyPatch{Limit: &iam.Optional[[]string]{}}
		if limit != nil {
			patch.Limit.Value = &limit
		}
		_, err := w.UpdateKey(ctx, c, "-", c.Key.ID, patch)
		return err
	}
}

// ownRole asks that the caller's own role hold more.
func ownRole(permissions ...string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		_, err := w.UpdateRole(ctx, c, "-", string(w.row(c).Principal.Role.ID), iam.RolePatch{Permissions: &permissions})
		return err
	}
}

// ownAssignment asks that the caller's own account have another role.
func ownAssignment(role string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		_, err := w.UpdateServiceAccount(ctx, c, "-", string(c.Principal.ID), iam.AccountPatch{Role: &role})
		return err
	}
}

func invite(role string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		_, _, err := w.Invite(ctx, c, "-", iam.NewInvitation{Email: w.name("p") + "@example.com", Role: role})
		return err
	}
}

func promote(from, to string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		m, _ := w.member(from)
		_, err := w.UpdateMember(ctx, c, "-", m.ID, to)
		return err
	}
}

func escalations() map[string]map[string]escalation {
	admin := []string{"*:*", "iam.*:*"}
	return map[string]map[string]escalation{
		"B01": {
			"a limited key mints an unlimited one": {admin, []string{"iam.keys:write", "agents:read"}, ownKey(), "*:*"},
			"a limited key mints a wider one":      {admin, []string{"iam.keys:write", "agents/a*:read"}, ownKey("agents/a:read", "agents/b:read"), "agents/b:read"},
			"a limited key takes off its limit":    {admin, []string{"iam.keys:write"}, ownLimit(), "*:*"},
			"a limited key widens its limit":       {admin, []string{"iam.keys:write"}, ownLimit("iam.keys:*"), "iam.keys:*"},
			"a limited key makes an account":       {admin, []string{"iam.service_accounts:write"}, newAccount(iam.Viewer), "*:read"},
			"a limited key makes a role":           {admin, []string{"iam.roles:write", "agents:*"}, newRole("agents:read", "tools:read"), "tools:read"},
			"all of a product makes no admin":      {[]string{"*:*", "iam.service_accounts:write"}, nil, newAccount(iam.Admin), "iam.*:*"},
			"every action is not any action":       {[]string{"agents:read", "agents:write", "agents:delete", "agents:execute", "iam.roles:write"}, nil, newRole("agents:*"), "agents:*"},
		},
		"B02": {
			"a key that reads mints one that writes":                  {[]string{"*:*", "iam.*:*"}, []string{"iam.keys:write", "*:read"}, ownKey("*:write"), "*:write"},
			"an editor mints everything":                              {[]string{"*:read", "*:write", "*:delete", "*:execute", "iam.roles:write"}, nil, newRole("*:*"), "*:*"},
			"a key that verifies makes an account that verifies more": {[]string{"iam.keys:verify", "iam.roles:write"}, nil, newRole("iam.keys:*"), "iam.keys:*"},
		},
		"B08": {
			"a role gives itself more":           {[]string{"iam.roles:write", "agents:read"}, nil, ownRole("iam.roles:write", "agents:*"), "agents:*"},
			"a role gives itself administration": {[]string{"iam.roles:write"}, nil, ownRole("iam.*:*"), "iam.*:*"},
			"an account gives itself a role":     {[]string{"iam.service_accounts:write", "*:read"}, nil, ownAssignment(iam.Editor), "*:delete"},
			"a member is given a role":           {[]string{"iam.members:write", "*:read"}, nil, promote(iam.Viewer, iam.Editor), "*:delete"},
			"an invitation gives a role":         {[]string{"iam.members:write", "*:read"}, nil, invite(iam.Operator), "*:execute"},
		},
		"B05": {
			"an admin makes an owner":     {admin, nil, promote(iam.Admin, iam.Owner), "iam.owners:write"},
			"an admin invites an owner":   {admin, nil, invite(iam.Owner), "iam.owners:write"},
			"an admin demotes an owner":   {admin, nil, promote(iam.Owner, iam.Viewer), "iam.owners:write"},
			"an admin keeps an owner one": {admin, nil, promote(iam.Owner, iam.Owner), "iam.owners:write"},
		},
	}
}

func TestAttackB01B02B05B08NobodyMintsMoreThanTheyHold(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for id, group := range escalations() {
			for name, e := range group {
				t.Run(id+" "+name, func(t *testing.T) {
					w := w.in(t)
					c := w.holder(w.role(e.role...).Name, e.limit...)
					err := e.ask(t.Context(), w, c)
					wantDenied(t, err, e.names)
					// The rest of the world did not notice.
					events := w.events(c.Workspace.ID)
					if last := events[len(events)-1]; last.Outcome != "refused" || last.Reason != "permission_denied: "+e.names {
						t.Errorf("got the event %s, reason %q, want it refused for %s", last.Outcome, last.Reason, e.names)
					}
				})
			}
		}
	})
}

// What a limited key may do, it may give: the rule is no more than it says.
func TestALimitedKeyGivesWhatItHolds(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("*:*", "iam.*:*").Name
		for name, ask := range map[string]ask{
			"a key of its own limit":  ownKey("iam.keys:write", "iam.roles:*", "agents:*"),
			"a narrower key":          ownKey("agents/a:read"),
			"a role of what it holds": newRole("agents/a*:read", "iam.roles:read"),
			"a narrower own limit":    ownLimit("iam.keys:write", "iam.roles:write"),
		} {
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				if err := ask(t.Context(), w, w.holder(role, "iam.keys:write", "iam.roles:*", "agents:*")); err != nil {
					t.Errorf("got error %v, want none", err)
				}
			})
		}
	})
}

// boss is an owner, their key and an invitation of another owner.
type boss struct {
	member iam.Member
	key    iam.Caller
	inv    iam.Invitation
}

func (w *world) boss() boss {
	w.t.Helper()
	m, key := w.member(iam.Owner)
	inv, _ := w.invitation(iam.Owner)
	return boss{m, key, inv}
}

// actsOnOwners are all the ways to act on an owner.
func actsOnOwners() map[string]func(b boss) ask {
	name := "renamed"
	patched := func(p iam.KeyPatch) func(boss) ask {
		return func(b boss) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.UpdateKey(ctx, c, "-", b.key.Key.ID, p)
				return err
			}
		}
	}
	turned := func(turn func(*world) keyTurn) func(boss) ask {
		return func(b boss) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := turn(w)(ctx, c, "-", b.key.Key.ID, iam.Why{})
				return err
			}
		}
	}
	return map[string]func(b boss) ask{
		"changes their role": func(b boss) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.UpdateMember(ctx, c, "-", b.member.ID, iam.Viewer)
				return err
			}
		},
		"removes them": func(b boss) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.RemoveMember(ctx, c, "-", b.member.ID)
				return err
			}
		},
		"renames their key":  patched(iam.KeyPatch{Name: &name}),
		"shortens their key": patched(iam.KeyPatch{Expiry: &iam.Expiry{In: time.Hour}}),
		"pauses their key":   turned(func(w *world) keyTurn { return w.PauseKey }),
		"resumes their key":  turned(func(w *world) keyTurn { return w.ResumeKey }),
		"revokes their key": func(b boss) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.RevokeKey(ctx, c, "-", b.key.Key.ID, iam.Why{Descendants: true})
				return err
			}
		},
		"cancels their invitation": func(b boss) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.CancelInvitation(ctx, c, "-", b.inv.ID)
				return err
			}
		},
		"invites them again as less": func(b boss) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, _, err := w.Invite(ctx, c, "-", iam.NewInvitation{Email: b.inv.Email, Role: iam.Viewer})
				return err
			}
		},
	}
}

type keyTurn = func(context.Context, iam.Caller, string, iam.KeyID, iam.Why) (iam.Done[iam.Key], error)

// Only an Owner acts on an Owner, whatever else somebody holds.
func TestAttackB05OnlyAnOwnerActsOnAnOwner(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		b := w.boss()
		_, admin := w.member(iam.Admin)
		_, limited := issued(w.CreateMyKey(t.Context(), b.key, "-", iam.NewKey{Name: "limited", Limit: &[]string{"*:*", "iam.*:*"}}))(t)
		for who, c := range map[string]iam.Caller{
			"an admin": admin, "an admin's account": w.holder(iam.Admin), "an owner's limited key": w.caller(limited),
		} {
			for what, act := range actsOnOwners() {
				t.Run(who+" "+what, func(t *testing.T) {
					w := w.in(t)
					var err error
					changes := w.changed(func() { err = act(b)(t.Context(), w, c) })
					wantDenied(t, err, "iam.owners:write")
					wantNothing(t, changes)
				})
			}
		}
		for what, act := range actsOnOwners() {
			t.Run("an owner "+what, func(t *testing.T) {
				w := w.in(t)
				if err := act(w.boss())(t.Context(), w, w.owner); err != nil {
					t.Errorf("got error %v, want none", err)
				}
			})
		}
	})
}
