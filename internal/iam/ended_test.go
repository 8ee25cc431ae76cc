package iam_test

import (
	"context"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// S10: revoking and removing are final. Nothing more is given to what has ended,
// whoever asks.
func TestWhatHasEndedStaysEnded(t *testing.T) {
	name, never := "renamed", &iam.Expiry{}
	eachWorld(t, func(t *testing.T, w *world) {
		w.subject()
		key, _ := w.key(w.account(iam.Viewer), iam.NewKey{})
		_, orphan := w.subjectKey()
		m, own := w.member(iam.Viewer)
		made(w.RevokeKey(t.Context(), w.owner, "-", key.ID, iam.Why{}))(t)
		made(w.RevokeServiceAccount(t.Context(), w.owner, "-", "subject", ""))(t)
		made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
		keys := func(id iam.KeyID) map[string]ask {
			return map[string]ask{
				"renamed": func(ctx context.Context, w *world, c iam.Caller) error {
					_, err := w.UpdateKey(ctx, c, "-", id, iam.KeyPatch{Name: &name})
					return err
				},
				"extended": func(ctx context.Context, w *world, c iam.Caller) error {
					_, err := w.UpdateKey(ctx, c, "-", id, iam.KeyPatch{Expiry: never})
					return err
				},
				"paused": func(ctx context.Context, w *world, c iam.Caller) error {
					_, err := w.PauseKey(ctx, c, "-", id, iam.Why{})
					return err
				},
				"resumed": func(ctx context.Context, w *world, c iam.Caller) error {
					_, err := w.ResumeKey(ctx, c, "-", id, iam.Why{})
					return err
				},
				"rotated": func(ctx context.Context, w *world, c iam.Caller) error {
					if id == own.Key.ID {
						c.Principal.ID = m.ID // nobody else may
					}
					_, _, err := w.StartRotation(ctx, c, "-", id, iam.NewRotation{})
					return err
				},
			}
		}
		for what, group := range map[string]struct {
			kind iam.Kind
			asks map[string]ask
		}{
			"revoked key":            {iam.KeyRevoked, keys(key.ID)},
			"key of revoked account": {iam.PrincipalInactive, keys(orphan)},
			"key of removed member":  {iam.PrincipalInactive, keys(own.Key.ID)},
			"revoked account":        {iam.PrincipalInactive, asksOfAccount()},
			"removed member": {iam.PrincipalInactive, map[string]ask{
				"given a role": func(ctx context.Context, w *world, c iam.Caller) error {
					_, err := w.UpdateMember(ctx, c, "-", m.ID, iam.Viewer)
					return err
				},
			}},
		} {
			for how, ask := range group.asks {
				t.Run(what+" "+how, func(t *testing.T) {
					w := w.in(t)
					var err error
					changes := w.changed(func() { err = ask(t.Context(), w, w.owner) })
					wantKind(t, err, group.kind)
					wantNothing(t, changes)
				})
			}
		}
	})
}

func asksOfAccount() map[string]ask {
	role := iam.Viewer
	return map[string]ask{
		"given a role": func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.UpdateServiceAccount(ctx, c, "-", "subject", iam.AccountPatch{Role: &role})
			return err
		},
		"paused": func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.PauseServiceAccount(ctx, c, "-", "subject", "")
			return err
		},
		"resumed": func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.ResumeServiceAccount(ctx, c, "-", "subject", "")
			return err
		},
		"given a key": keyInput{}.create,
	}
}

// Ending something twice changes nothing, and says so: who did it first, when and
// why stays.
func TestEndingTwiceKeepsTheFirstEnd(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.subject()
		_, id := w.subjectKey()
		endings := map[string]call{
			"key": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.RevokeKey(ctx, c, "-", id, iam.Why{Reason: "unused", Note: "again"}))
			},
			"account": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.RevokeServiceAccount(ctx, c, "-", "subject", "again"))
			},
		}
		made(w.RevokeKey(t.Context(), w.owner, "-", id, iam.Why{Reason: "compromised"}))(t)
		made(w.RevokeServiceAccount(t.Context(), w.owner, "-", "subject", "first"))(t)
		_, other := w.member(iam.Admin)
		for what, again := range endings {
			var events []iam.AuditEvent
			changes := w.changed(func() { events = w.since(func() { w.succeed(again, other) }) })
			for _, line := range changes {
				if !strings.HasPrefix(line, "head") {
					t.Errorf("%s again: got the change %s, want none but the number", what, line)
				}
			}
			if len(events) != 1 || events[0].Outcome != audit.Done || !strings.HasSuffix(events[0].Reason, "again (already so; nothing changed)") || events[0].After != nil {
				t.Errorf("%s again: got the events %s, want one that says that nothing changed", what, text(events))
			}
		}
	})
}

// The name of an account is never given again.
func TestNameOfARevokedAccountStaysTaken(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.subject()
		made(w.RevokeServiceAccount(t.Context(), w.owner, "-", "subject", ""))(t)
		wantKind(t, newAccountNamed("subject")(t.Context(), w, w.owner), iam.NameTaken)
	})
}

// What an admin changes on the ground of what they read is refused when it is no
// longer so, with who changed it.
func TestChangeOfAnOlderVersionIsRefused(t *testing.T) {
	owner := "Support"
	eachWorld(t, func(t *testing.T, w *world) {
		w.subject()
		_, id := w.subjectKey()
		m, _ := w.member(iam.Viewer)
		one := w.role("agents:read")
		name, description := "renamed", "changed"
		for what, change := range map[string]call{
			"account": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.UpdateServiceAccount(ctx, c, "-", "subject", iam.AccountPatch{Owner: &owner}))
			},
			"key": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.UpdateKey(ctx, c, "-", id, iam.KeyPatch{Name: &name}))
			},
			"member": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.UpdateMember(ctx, c, "-", m.ID, iam.Operator))
			},
			"role": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.UpdateRole(ctx, c, "-", one.Name, iam.RolePatch{Description: &description}))
			},
			"workspace": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.UpdateWorkspace(ctx, c, "-", iam.WorkspacePatch{Name: &name}))
			},
		} {
			t.Run(what, func(t *testing.T) {
				w := w.in(t)
				first := w.succeed(change, w.owner)
				c := w.owner
				older := first.revision - 1
				c.IfMatch = &older
				var err error
				changes := w.changed(func() { _, err = change(t.Context(), c) })
				wantKind(t, err, iam.PreconditionFailed)
				if said := asError(err).Reason; !strings.Contains(said, w.owner.Principal.Name+" changed ") {
					t.Errorf("got the reason %q, want it to say who changed what", said)
				}
				wantNothing(t, changes)
				c.IfMatch = &first.revision
				w.succeed(change, c)
			})
		}
		for what, end := range map[string]call{
			"member removed": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.RemoveMember(ctx, c, "-", m.ID))
			},
			"role deleted": func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.DeleteRole(ctx, c, "-", one.Name))
			},
		} {
			c, older := w.owner, int64(1)
			c.IfMatch = &older
			if _, err := end(t.Context(), c); kindOf(err) != iam.PreconditionFailed {
				t.Errorf("%s: got error %v, want precondition_failed", what, err)
			}
		}
	})
}

// Things of another workspace are not there.
func TestThingsOfAnotherWorkspaceAreNotFound(t *testing.T) {
	aimed := []string{
		"UpdateServiceAccount", "PauseServiceAccount", "ResumeServiceAccount", "RevokeServiceAccount", "CreateKey", "UpdateKey", "PauseKey",
		"ResumeKey", "RevokeKey", "CancelInvitation", "UpdateMember", "RemoveMember", "UpdateRole", "DeleteRole",
	}
	eachWorld(t, func(t *testing.T, w *world) {
		stranger := w.tenant("elsewhere")
		for _, name := range aimed {
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				call := changes()[name].ready(w, w.owner)
				for who, c := range map[string]iam.Caller{"an owner elsewhere": stranger, "the operators": w.system} {
					var err error
					changes := w.changed(func() { _, err = call(t.Context(), c) })
					if kindOf(err) != iam.NotFound {
						t.Errorf("%s: got error %v, want not_found", who, err)
					}
					wantNothing(t, changes)
				}
			})
		}
		for _, ref := range []string{"acme", string(w.owner.Workspace.ID), "nowhere", ""} {
			_, err := w.CreateServiceAccount(t.Context(), stranger, ref, iam.NewServiceAccount{Name: "bot", Role: iam.Viewer})
			wantKind(t, err, iam.NotFound)
			_, err = w.ServiceAccounts(t.Context(), stranger, ref, iam.AccountFilter{}, iam.Page{Limit: 1})
			wantKind(t, err, iam.NotFound)
			_, err = w.Workspace(t.Context(), stranger, ref)
			wantKind(t, err, iam.NotFound)
		}
		for _, name := range []string{"CreateWorkspace", "PauseWorkspace", "ResumeWorkspace"} {
			_, err := changes()[name].ready(w, w.system)(t.Context(), stranger)
			wantKind(t, err, iam.NotFound)
		}
	})
}

func TestSystemWorkspaceCannotBePaused(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, ref := range []string{"-", w.system.Workspace.Name} {
			_, err := w.PauseWorkspace(t.Context(), w.system, ref, "")
			wantKind(t, err, iam.ValidationFailed)
		}
		if !w.works(w.system) {
			t.Error("the operators' key does not work any more")
		}
	})
}

// A policy holds for what is made or changed from then on. An account that is
// older than it may still be changed in other ways.
func TestAccountsNameTheirTeamWhereThePolicySaysSo(t *testing.T) {
	none, team, what := "", "Support", "answers tickets"
	eachWorld(t, func(t *testing.T, w *world) {
		w.subject()
		w.policy(func(p iam.Policy) iam.Policy { p.OwnerRequired = true; return p })
		update := func(p iam.AccountPatch) error {
			_, err := w.UpdateServiceAccount(t.Context(), w.owner, "-", "subject", p)
			return err
		}
		wantField(t, newAccountNamed("other")(t.Context(), w, w.owner), "/owner", "policy_violation")
		for _, p := range []iam.AccountPatch{{Description: &what}, {Owner: &team}} {
			if err := update(p); err != nil {
				t.Errorf("got error %v, want none", err)
			}
		}
		wantField(t, update(iam.AccountPatch{Owner: &none}), "/owner", "policy_violation")
	})
}

// Replicas are told that a role is gone.
func TestDeletedRoleLeavesTheChangeLogAsOne(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("agents:read")
		at, err := w.Store.Snapshot(t.Context(), nothing{})
		if err != nil {
			t.Fatalf("read the position: %v", err)
		}
		made(w.DeleteRole(t.Context(), w.owner, "-", role.Name))(t)
		log, _, err := w.Store.Changes(t.Context(), at, 9)
		if err != nil || len(log) != 1 || len(log[0].Roles) != 1 || log[0].Roles[0].ID != role.ID || !log[0].Roles[0].Deleted {
			t.Errorf("got the changes %s and error %v, want role %s deleted", text(log), err, role.ID)
		}
	})
}
