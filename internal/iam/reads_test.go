package iam_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// reading is one of the methods of [iam.Service] that only read: the permission
// that it takes, and how the log names an attempt that was refused.
type reading struct {
	needs, action string
	as            ask
}

// readings returns every method that only reads and takes a permission, by name.
// They read about the account and the role subject, and the owner.
func readings() map[string]reading {
	all := readingsOfWhoMay()
	maps.Copy(all, readingsOfUse())
	maps.Copy(all, readingsOfWhatIs())
	return all
}

func readingsOfWhoMay() map[string]reading {
	page := iam.Page{Limit: 1}
	return map[string]reading{
		"ServiceAccount": {"iam.service_accounts:read", "service_account.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.ServiceAccount(ctx, c, "-", "subject")
			return err
		}},
		"CountServiceAccounts": {"iam.service_accounts:read", "service_account.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.CountServiceAccounts(ctx, c, "-", iam.AccountFilter{})
			return err
		}},
		"ServiceAccounts": {"iam.service_accounts:read", "service_account.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.ServiceAccounts(ctx, c, "-", iam.AccountFilter{}, page)
			return err
		}},
		"Key": {"iam.keys:read", "key.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Key(ctx, c, "-", w.owner.Key.ID)
			return err
		}},
		"Keys": {"iam.keys:read", "key.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Keys(ctx, c, "-", iam.KeyFilter{Now: w.clock.now()}, page)
			return err
		}},
		"AccountKeys": {"iam.keys:read", "service_account.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.AccountKeys(ctx, c, "-", "subject", iam.KeyFilter{Now: w.clock.now()}, page)
			return err
		}},
		"Rotation": {"iam.keys:read", "rotation.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Rotation(ctx, c, "-", w.anyRotation())
			return err
		}},
		"Rotations": {"iam.keys:read", "rotation.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Rotations(ctx, c, "-", "subject", iam.RotationFilter{}, page)
			return err
		}},
		"Member": {"iam.members:read", "member.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Member(ctx, c, "-", w.owner.Principal.ID)
			return err
		}},
		"Members": {"iam.members:read", "member.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Members(ctx, c, "-", iam.MemberFilter{}, page)
			return err
		}},
		"Seats": {"iam.members:read", "member.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Seats(ctx, c, "-")
			return err
		}},
		"Invitations": {"iam.members:read", "invitation.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Invitations(ctx, c, "-", iam.InvitationFilter{Now: w.clock.now()}, page)
			return err
		}},
	}
}

// readingsOfUse are those of how keys are used.
func readingsOfUse() map[string]reading {
	return map[string]reading{
		"HeldPermissions": {"iam.service_accounts:read", "service_account.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.HeldPermissions(ctx, c, "-", "subject")
			return err
		}},
		"Advice": {"iam.service_accounts:read", "service_account.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Advice(ctx, c, "-", "subject")
			return err
		}},
		"AccountImpact": {"iam.service_accounts:read", "service_account.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.AccountImpact(ctx, c, "-", "subject")
			return err
		}},
		"KeyUsage": {"iam.keys:read", "key.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.KeyUsage(ctx, c, "-", w.owner.Key.ID, iam.Span{Step: time.Hour})
			return err
		}},
		"Usage": {"iam.keys:read", "key.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Usage(ctx, c, "-", iam.Subjects{}, iam.Span{Step: time.Hour})
			return err
		}},
		"RoleImpact": {"iam.roles:read", "role.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.RoleImpact(ctx, c, "-", "subject", []string{"*:read"})
			return err
		}},
	}
}

func readingsOfWhatIs() map[string]reading {
	page := iam.Page{Limit: 1}
	return map[string]reading{
		"Role": {"iam.roles:read", "role.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Role(ctx, c, "-", "subject")
			return err
		}},
		"Roles": {"iam.roles:read", "role.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Roles(ctx, c, "-", iam.RoleFilter{}, page)
			return err
		}},
		"Catalogue": {"iam.roles:read", "permissions.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Catalogue(ctx, c, "-")
			return err
		}},
		"Check": {"iam.roles:read", "principal.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Check(ctx, c, "-", iam.Question{Principal: "subject", Permission: iam.ReadKeys})
			return err
		}},
		"Events": {"iam.audit:read", "audit_event.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Events(ctx, c, "-", iam.EventFilter{}, page)
			return err
		}},
		"Event": {"iam.audit:read", "audit_event.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Event(ctx, c, "-", iam.EventID(w.events(w.owner.Workspace.ID)[0].ID))
			return err
		}},
		"Export": {"iam.audit:export", "export.export", func(ctx context.Context, w *world, c iam.Caller) error {
			again := func() (iam.Caller, error) { return c, nil }
			return w.Export(ctx, c, "-", iam.EventFilter{}, again, func(iam.AuditEvent) error { return nil })
		}},
		"Workspace": {"iam.settings:read", "workspace.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Workspace(ctx, c, "-")
			return err
		}},
		"Nodes": {"iam.nodes:read", "node.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, err := w.Nodes(ctx, c, "-", page, nil)
			return err
		}},
		"Watch": {"iam.keys:read", "stream.read", func(ctx context.Context, w *world, c iam.Caller) error {
			_, _, err := w.Watch(ctx, c, "-", []iam.Topic{iam.KeysTopic})
			return err
		}},
		"Require": {"iam.keys:verify", "key.verify", func(ctx context.Context, w *world, c iam.Caller) error {
			return w.Require(ctx, c, iam.VerifyKeys, audit.Target{Type: "key"})
		}},
	}
}

// Reading is refused as changing is, and leaves an event only then.
func TestEveryReadIsRefusedToWhoLacksItsPermission(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.subject()
		w.rotation()
		c := w.holding("agents:read")
		for name, read := range readings() {
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				w.clock.advance(time.Second) // or a sum would be all that is left of some
				var err error
				events := w.since(func() { err = read.as(t.Context(), w, c) })
				wantDenied(t, err, read.needs)
				wantRefusal(t, events, c, read.action, "permission_denied: "+read.needs)
				events = w.since(func() { err = read.as(t.Context(), w, w.owner) })
				if want := name == "Export"; err != nil || len(events) > 0 != want {
					t.Errorf("an owner got error %v and the events %s, want none of either, but that of an export", err, text(events))
				}
			})
		}
	})
}

// Everybody may see their own; nobody but the operators sees all workspaces.
func TestWhatTakesNoPermissionOfTheWorkspace(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, person := w.member(w.role("agents:read").Name)
		account := w.holding("agents:read")
		if key, err := w.Self(t.Context(), account); err != nil || key.ID != account.Key.ID {
			t.Errorf("self: got %s and error %v, want %s", key.ID, err, account.Key.ID)
		}
		if none, err := w.SelfRotations(t.Context(), account, iam.Page{Limit: 9}); err != nil || len(none.Items) != 0 {
			t.Errorf("own rotations: got %s and error %v, want none", text(none.Items), err)
		}
		list, err := w.MyKeys(t.Context(), person, "-", iam.KeyFilter{Now: w.clock.now()}, iam.Page{Limit: 9})
		if err != nil || len(list.Items) != 1 || list.Items[0].Principal.ID != m.ID {
			t.Errorf("my keys: got %s and error %v, want the one of %s", text(list.Items), err, m.ID)
		}
		account = w.holding("agents:read", "iam.keys:write") // it is no permission that is missing
		_, err = w.MyKeys(t.Context(), account, "-", iam.KeyFilter{Now: w.clock.now()}, iam.Page{Limit: 9})
		wantDenied(t, err, "")
		_, _, err = w.CreateMyKey(t.Context(), account, "-", iam.NewKey{Name: "mine"})
		wantDenied(t, err, "")

		_, err = w.Workspaces(t.Context(), w.owner, iam.WorkspaceFilter{}, iam.Page{Limit: 9})
		wantKind(t, err, iam.NotFound)
		all, err := w.Workspaces(t.Context(), w.system, iam.WorkspaceFilter{}, iam.Page{Limit: 9})
		if err != nil || len(all.Items) != 2 {
			t.Errorf("workspaces: got %s and error %v, want both", text(all.Items), err)
		}
		_, err = w.Workspaces(t.Context(), w.by(w.system).holding("agents:read"), iam.WorkspaceFilter{}, iam.Page{Limit: 9})
		wantDenied(t, err, "iam.workspaces:read")
		if ws, err := w.Workspace(t.Context(), w.system, "acme"); err != nil || ws.ID != w.owner.Workspace.ID {
			t.Errorf("the tenant, to the operators: got %s and error %v, want %s", ws.ID, err, w.owner.Workspace.ID)
		}
	})
}
