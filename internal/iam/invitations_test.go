package iam_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// accept joins with an invitation, without asking for a key.
func (w *world) accept(invitation token.Secret) (iam.AcceptedInvitation, error) {
	w.t.Helper()
	done, _, err := w.AcceptInvitation(w.t.Context(), w.anonymous(), iam.Acceptance{Token: invitation, Name: "Jo Park"})
	return done.Value, err
}

// ending is what may happen between an invitation and its acceptance.
type ending func(ctx context.Context, w *world, inviter iam.Caller, inv iam.Invitation) error

// endings make an invitation worthless.
func endings() map[string]ending {
	all := endingsOfTheInviter()
	maps.Copy(all, endingsOfTheOffer())
	return all
}

func endingsOfTheInviter() map[string]ending {
	return map[string]ending{
		"the inviting key was revoked": func(ctx context.Context, w *world, inviter iam.Caller, _ iam.Invitation) error {
			_, err := w.RevokeKey(ctx, w.owner, "-", inviter.Key.ID, iam.Why{})
			return err
		},
		"the inviting key was paused": func(ctx context.Context, w *world, inviter iam.Caller, _ iam.Invitation) error {
			_, err := w.PauseKey(ctx, w.owner, "-", inviter.Key.ID, iam.Why{})
			return err
		},
		"the inviter was removed": func(ctx context.Context, w *world, inviter iam.Caller, _ iam.Invitation) error {
			_, err := w.RemoveMember(ctx, w.owner, "-", inviter.Principal.ID)
			return err
		},
		"the inviter may no longer invite": func(ctx context.Context, w *world, inviter iam.Caller, _ iam.Invitation) error {
			_, err := w.UpdateMember(ctx, w.owner, "-", inviter.Principal.ID, iam.Editor)
			return err
		},
		"the inviter no longer holds what the role gives": func(ctx context.Context, w *world, inviter iam.Caller, _ iam.Invitation) error {
			role, err := w.CreateRole(ctx, w.owner, "-", iam.NewRole{Name: w.name("role"), Permissions: []string{"iam.*:*", "*:read"}})
			if err != nil {
				return err
			}
			_, err = w.UpdateMember(ctx, w.owner, "-", inviter.Principal.ID, role.Value.Name)
			return err
		},
		"the inviting key was narrowed": func(ctx context.Context, w *world, inviter iam.Caller, _ iam.Invitation) error {
			limit := iam.Optional[[]string]{Value: &[]string{"iam.members:write"}}
			_, err := w.UpdateKey(ctx, w.owner, "-", inviter.Key.ID, iam.KeyPatch{Limit: &limit})
			return err
		},
	}
}

func endingsOfTheOffer() map[string]ending {
	return map[string]ending{
		"the role was deleted": func(ctx context.Context, w *world, _ iam.Caller, inv iam.Invitation) error {
			_, err := w.DeleteRole(ctx, w.owner, "-", string(inv.Role.ID))
			return err
		},
		"the role was widened beyond the inviter": func(ctx context.Context, w *world, _ iam.Caller, inv iam.Invitation) error {
			_, err := w.UpdateRole(ctx, w.owner, "-", string(inv.Role.ID), iam.RolePatch{Permissions: &[]string{"iam.*:*", "*:*"}})
			return err
		},
		"it was cancelled": func(ctx context.Context, w *world, _ iam.Caller, inv iam.Invitation) error {
			_, err := w.CancelInvitation(ctx, w.owner, "-", inv.ID)
			return err
		},
		"the address was invited again": func(ctx context.Context, w *world, _ iam.Caller, inv iam.Invitation) error {
			_, _, err := w.Invite(ctx, w.owner, "-", iam.NewInvitation{Email: inv.Email, Role: iam.Viewer})
			return err
		},
		"it expired": func(_ context.Context, w *world, _ iam.Caller, inv iam.Invitation) error {
			w.clock.advance(inv.ExpiresAt.Sub(w.clock.now()))
			return nil
		},
		"the seats were taken away": func(_ context.Context, w *world, _ iam.Caller, _ iam.Invitation) error {
			w.seats(1)
			return nil
		},
		"the workspace was paused": func(ctx context.Context, w *world, inviter iam.Caller, _ iam.Invitation) error {
			_, err := w.PauseWorkspace(ctx, w.system, inviter.Workspace.Name, "")
			return err
		},
	}
}

// All that an invitation rests on is asked again when it is accepted. Whatever
// is missing then, the answer is the same.
func TestAcceptanceAsksAgainForAllThatTheInvitationRestedOn(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		answers := map[string]bool{}
		for name, end := range endings() {
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				w.system = w.recovered()
				w = w.by(w.tenant(w.name("tenant")))
				narrow := w.role("agents:read", "agents:execute")
				_, inviter := w.member(w.role("iam.*:*", "*:read", "agents:*").Name)
				inv, shown := w.by(inviter).invitation(narrow.Name)
				if err := end(t.Context(), w, inviter, inv); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				var err error
				changes := w.changed(func() { _, err = w.accept(shown) })
				wantKind(t, err, iam.Gone)
				wantNothing(t, changes)
				answers[fmt.Sprint(err)] = true
			})
		}
		_, err := w.accept(token.NewSecret("inv_0123456789abcdefghijklmnopqrstuvw"))
		wantKind(t, err, iam.Gone)
		answers[fmt.Sprint(err)] = true
		if len(answers) != 1 {
			t.Errorf("got these answers, want one and the same: %v", answers)
		}
	})
}

// A key that has merely come to its end does not take back what it gave.
func TestInvitationOutlivesTheEndOfTheKeyThatMadeIt(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		_, brief := w.key(w.account(iam.Admin), iam.NewKey{Expiry: &iam.Expiry{In: time.Hour}})
		_, shown := w.by(w.caller(brief)).invitation(iam.Viewer)
		w.clock.advance(2 * time.Hour)
		if _, err := w.accept(shown); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
}

func TestInvitationWorksOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		_, shown := w.invitation(iam.Viewer)
		call := func(ctx context.Context, c iam.Caller) (result, error) {
			return secret(w.AcceptInvitation(ctx, c, iam.Acceptance{Token: shown, Name: "Jo Park", KeyName: "laptop"}))
		}
		const at = 8
		var ended []<-chan outcome
		for range at {
			ended = append(ended, w.start(call, w.anonymous()))
		}
		joined := 0
		for _, e := range ended {
			if o := <-e; o.err == nil {
				joined++
			} else {
				wantKind(t, o.err, iam.Gone)
			}
		}
		if joined != 1 {
			t.Errorf("of %d acceptances at once %d succeeded, want 1", at, joined)
		}
	})
}

func TestInvitingAgainHoldsOneSeat(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.seats(2) // the owner, and one more
		in := iam.NewInvitation{Email: "jo@example.com", Role: iam.Viewer}
		former, _ := issued(w.Invite(t.Context(), w.owner, "-", in))(t)
		in.Email = " Jo@Example.COM "
		events := w.since(func() { issued(w.Invite(t.Context(), w.owner, "-", in))(t) })
		if len(events) != 2 || events[0].Action != "member.invited" || events[1].Action != "invitation.cancelled" ||
			events[1].Target.ID != string(former.ID) || events[1].Reason != "invited again" {
			t.Errorf("got the events %s, want member.invited and invitation.cancelled of %s", text(events), former.ID)
		}
		seats, err := w.Seats(t.Context(), w.owner, "-")
		if err != nil || seats.Used != 1 || seats.Pending != 1 {
			t.Errorf("got seats %+v and error %v, want 1 used and 1 pending", seats, err)
		}
		in.Email = "another@example.com"
		_, _, err = w.Invite(t.Context(), w.owner, "-", in)
		wantKind(t, err, iam.SeatLimitReached)
	})
}

func TestEndedInvitationFreesItsSeat(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.seats(2)
		inv, _ := w.invitation(iam.Viewer)
		made(w.CancelInvitation(t.Context(), w.owner, "-", inv.ID))(t)
		w.invitation(iam.Viewer)
		w.clock.advance(7 * 24 * time.Hour)
		w.invitation(iam.Viewer)
	})
}

func TestAcceptedInvitationCannotBeCancelled(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		inv, shown := w.invitation(iam.Viewer)
		if _, err := w.accept(shown); err != nil {
			t.Fatalf("accept: %v", err)
		}
		_, err := w.CancelInvitation(t.Context(), w.owner, "-", inv.ID)
		wantKind(t, err, iam.Gone)
	})
}

func TestMemberIsNotInvitedAgain(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _ := w.member(iam.Viewer)
		in := iam.NewInvitation{Email: m.Person.Email, Role: iam.Viewer}
		_, _, err := w.Invite(t.Context(), w.owner, "-", in)
		wantKind(t, err, iam.AlreadyMember)
	})
}

// The offer of a role that was deleted since can be taken back, or made anew with
// another role: it holds a seat and an address until then.
func TestInvitationToADeletedRoleCanBeTakenBack(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("agents:read")
		first, _ := w.invitation(role.Name)
		second, _ := w.invitation(role.Name)
		made(w.DeleteRole(t.Context(), w.owner, "-", role.Name))(t)
		made(w.CancelInvitation(t.Context(), w.owner, "-", first.ID))(t)
		issued(w.Invite(t.Context(), w.owner, "-", iam.NewInvitation{Email: second.Email, Role: iam.Viewer}))(t)
	})
}

// The token is the credential of an acceptance. What else the caller holds, and
// where, has no part in it.
func TestAcceptanceIsNobodyElsesAct(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		elsewhere := w.tenant("elsewhere")
		_, shown := w.invitation(iam.Viewer)
		var done iam.AcceptedInvitation
		events := w.since(func() {
			done, _ = issued(w.AcceptInvitation(t.Context(), elsewhere, iam.Acceptance{Token: shown, Name: "Jo Park", KeyName: "laptop"}))(t)
		})
		for _, e := range events {
			want := audit.Actor{Type: audit.Member, ID: string(done.Member.ID), Name: "Jo Park"}
			if e.Workspace != string(w.owner.Workspace.ID) || e.Actor != want || e.Key != nil {
				t.Errorf("got %s of %+v with key %+v in the log of %s, want %+v with none in that of %s",
					e.Action, e.Actor, e.Key, e.Workspace, want, w.owner.Workspace.ID)
			}
		}
		if len(events) != 2 || done.Key.CreatedByKey != "" {
			t.Errorf("got %d events and a key made with %q, want 2 and none", len(events), done.Key.CreatedByKey)
		}
		if want := (iam.KeyCounts{Active: 1, Total: 1}); done.Member.Keys != want {
			t.Errorf("the new member has keys %+v, want %+v", done.Member.Keys, want)
		}
	})
}

func TestFirstKeyOfAMemberIsCheckedWithAPointer(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		_, shown := w.invitation(iam.Viewer)
		in := iam.Acceptance{Token: shown, Name: "Jo Park", KeyName: "a/b"}
		var err error
		changes := w.changed(func() { _, _, err = w.AcceptInvitation(t.Context(), w.anonymous(), in) })
		wantField(t, err, "/key/name", "slash")
		wantNothing(t, changes)
		in.KeyName = "ab"
		issued(w.AcceptInvitation(t.Context(), w.anonymous(), in))(t)
	})
}

func TestNewTenantsFirstOwnerIsInvitedByTheOperators(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, end := range map[string]func(operator iam.Caller){
			"the operator's key was revoked": func(o iam.Caller) {
				made(w.RevokeKey(t.Context(), w.system, "-", o.Key.ID, iam.Why{}))(t)
			},
			"the operator may no longer make workspaces": func(o iam.Caller) {
				viewer := iam.Viewer
				made(w.UpdateServiceAccount(t.Context(), w.system, "-", string(o.Principal.ID), iam.AccountPatch{Role: &viewer}))(t)
			},
		} {
			operator := w.by(w.system).holding("iam.workspaces:write")
			_, shown := issued(w.CreateWorkspace(t.Context(), operator, iam.NewWorkspace{
				Name: "New", Slug: w.name("new"), OwnerEmail: "first@example.com",
			}))(t)
			end(operator)
			_, err := w.accept(shown)
			if kindOf(err) != iam.Gone {
				t.Errorf("%s: got error %v, want gone", name, err)
			}
		}
	})
}
