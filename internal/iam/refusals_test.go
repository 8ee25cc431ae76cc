package iam_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// lacking returns a caller who works and holds nothing that a change takes.
func (w *world) lacking(ch change) iam.Caller {
	w.t.Helper()
	if ch.caller == byOperator {
		return w.by(w.system).holding("agents:read")
	}
	return w.holding("agents:read")
}

// S13: who is refused for want of a permission leaves an event that names it, and
// no number of the change log is taken.
func TestEveryChangeIsRefusedToWhoLacksItsPermission(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		if ch.needs == "" {
			return
		}
		admin, _ := w.admin(ch)
		call, c := ch.ready(w, admin), w.lacking(ch)
		var err error
		var events []iam.AuditEvent
		changes := w.changed(func() {
			events = w.since(func() { _, err = call(w.t.Context(), c) })
		})
		wantDenied(w.t, err, ch.needs)
		wantNothing(w.t, changes)
		wantRefusal(w.t, events, c, ch.writes[0].action, "permission_denied: "+ch.needs)
	})
}

// wantRefusal fails the test unless there is one event, of a refused attempt.
func wantRefusal(t tb, events []iam.AuditEvent, c iam.Caller, action, reason string) {
	t.Helper()
	if len(events) != 1 {
		t.Fatalf("got %d events, want one: %s", len(events), text(events))
	}
	e := events[0]
	if e.Action == "service_account.updated" && action == "service_account.role_changed" {
		action = e.Action // what it would have become was not decided
	}
	if e.Action != action || e.Outcome != audit.Refused || e.Reason != reason || e.Before != nil || e.After != nil {
		t.Errorf("got %s, %s, %q, want %s, refused, %q", e.Action, e.Outcome, e.Reason, action, reason)
	}
	if e.Workspace != string(c.Workspace.ID) || e.Actor.ID != string(c.Principal.ID) || e.Key == nil || e.Key.ID != string(c.Key.ID) ||
		e.Source != c.Source || e.RequestID != c.RequestID {
		t.Errorf("got %s, want it signed by %s with key %s", text(e), c.Principal.ID, c.Key.ID)
	}
}

// The permission alone is enough to take power away, and not to give any.
func TestEveryChangeThatGivesTakesWhatItGives(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		if ch.caller == byNobody || ch.needs == "" {
			return
		}
		in := w
		if ch.caller == byOperator {
			in = w.by(w.system)
		}
		call, c := ch.ready(w, w.owner), in.holding(ch.needs)
		if ch.gives == "" {
			w.succeed(call, c)
			return
		}
		var err error
		var events []iam.AuditEvent
		changes := w.changed(func() {
			events = w.since(func() { _, err = call(w.t.Context(), c) })
		})
		wantDenied(w.t, err, ch.gives)
		wantNothing(w.t, changes)
		wantRefusal(w.t, events, c, ch.writes[0].action, "permission_denied: "+ch.gives)
	})
}

// Reading is refused in the same way; it has no event unless it is refused.
func TestEveryReadIsRefusedToWhoLacksItsPermission(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c, account, role := w.holding("agents:read"), w.account(iam.Viewer), w.role("agents:read")
		m, _ := w.member(iam.Viewer)
		page := iam.Page{Limit: 1}
		for name, read := range map[string]struct {
			needs, action string
			as            func(ctx context.Context, c iam.Caller) error
		}{
			"ServiceAccount": {"iam.service_accounts:read", "service_account.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.ServiceAccount(ctx, c, "-", account.Name)
				return err
			}},
			"ServiceAccounts": {"iam.service_accounts:read", "service_account.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.ServiceAccounts(ctx, c, "-", iam.AccountFilter{}, page)
				return err
			}},
			"Key": {"iam.keys:read", "key.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Service.Key(ctx, c, "-", w.owner.Key.ID)
				return err
			}},
			"Keys": {"iam.keys:read", "key.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Service.Keys(ctx, c, "-", iam.KeyFilter{Now: w.clock.now()}, page)
				return err
			}},
			"AccountKeys": {"iam.keys:read", "service_account.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.AccountKeys(ctx, c, "-", account.Name, iam.KeyFilter{Now: w.clock.now()}, page)
				return err
			}},
			"Member": {"iam.members:read", "member.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Member(ctx, c, "-", m.ID)
				return err
			}},
			"Members": {"iam.members:read", "member.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Members(ctx, c, "-", iam.MemberFilter{}, page)
				return err
			}},
			"Seats": {"iam.members:read", "member.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Seats(ctx, c, "-")
				return err
			}},
			"Invitations": {"iam.members:read", "invitation.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Invitations(ctx, c, "-", iam.InvitationFilter{Now: w.clock.now()}, page)
				return err
			}},
			"Role": {"iam.roles:read", "role.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Role(ctx, c, "-", role.Name)
				return err
			}},
			"Roles": {"iam.roles:read", "role.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Roles(ctx, c, "-", iam.RoleFilter{}, page)
				return err
			}},
			"Catalogue": {"iam.roles:read", "permissions.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Catalogue(ctx, c, "-")
				return err
			}},
			"Check": {"iam.roles:read", "principal.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Check(ctx, c, "-", iam.Question{Principal: account.Name, Permission: iam.ReadKeys})
				return err
			}},
			"Events": {"iam.audit:read", "audit_event.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Events(ctx, c, "-", iam.EventFilter{}, page)
				return err
			}},
			"Event": {"iam.audit:read", "audit_event.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Event(ctx, c, "-", iam.EventID(w.events(w.owner.Workspace.ID)[0].ID))
				return err
			}},
			"Export": {"iam.audit:export", "export.export", func(ctx context.Context, c iam.Caller) error {
				again := func() (iam.Caller, error) { return c, nil }
				return w.Export(ctx, c, "-", iam.EventFilter{}, again, func(iam.AuditEvent) error { return nil })
			}},
			"Workspace": {"iam.settings:read", "workspace.read", func(ctx context.Context, c iam.Caller) error {
				_, err := w.Workspace(ctx, c, "-")
				return err
			}},
			"Require": {"iam.keys:verify", "keys.verify", func(ctx context.Context, c iam.Caller) error {
				return w.Require(ctx, c, iam.VerifyKeys)
			}},
		} {
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				w.clock.advance(time.Second) // or their sum would be all that is left of some
				var err error
				events := w.since(func() { err = read.as(t.Context(), c) })
				wantDenied(t, err, read.needs)
				wantRefusal(t, events, c, read.action, "permission_denied: "+read.needs)
				if err := read.as(t.Context(), w.owner); err != nil {
					t.Errorf("an owner got error %v, want none", err)
				}
			})
		}
	})
}

// A refusal by seats, policy or the last-owner rule is written down as one by
// permission is. Other refusals are not: they say nothing about who may.
func TestRefusalsOfRulesAreWrittenDown(t *testing.T) {
	written := map[iam.Kind]string{
		iam.SeatLimitReached: "seat_limit_reached", iam.PolicyViolation: "policy_violation: owner_required", iam.LastOwner: "last_owner",
	}
	eachWorld(t, func(t *testing.T, w *world) {
		for name, f := range finals() {
			t.Run(name, func(t *testing.T) {
				w := w.in(t).by(w.tenant(w.name("tenant")))
				call, _ := f.ready(w)
				var err error
				events := w.since(func() { _, err = call(t.Context(), w.owner) })
				wantKind(t, err, f.kind)
				if want := written[f.kind]; want == "" && len(events) > 0 {
					t.Errorf("got the events %s, want none", text(events))
				} else if want != "" && (len(events) != 1 || events[0].Outcome != audit.Refused || events[0].Reason != want) {
					t.Errorf("got the events %s, want one, refused, %q", text(events), want)
				}
			})
		}
	})
}

func TestWhoCannotProveWhoTheyAreLeavesNoEvent(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		c, revoker := w.admin(ch)
		call := ch.ready(w, c)
		made(w.RevokeKey(w.t.Context(), revoker, "-", c.Key.ID, iam.Ending{}))(w.t)
		for name, c := range map[string]iam.Caller{"a revoked key": c, "nobody": w.anonymous()} {
			var err error
			var events []iam.AuditEvent
			changes := w.changed(func() {
				events = w.since(func() { _, err = call(w.t.Context(), c) })
			})
			if kind := kindOf(err); kind != iam.Unauthenticated && kind != iam.Gone && kind != iam.NotFound {
				w.t.Errorf("%s: got error %v, want unauthenticated, or gone or not found", name, err)
			}
			wantNothing(w.t, changes)
			if len(events) > 0 {
				w.t.Errorf("%s: got the events %s, want none", name, text(events))
			}
		}
	})
}

// Above ten a second the refused attempts of a principal are summed.
func TestRefusalsWithoutEndAreSummed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c, other, call := w.holding("agents:read"), w.holding("agents:read"), w.making()
		refuse := func(c iam.Caller, times int) []iam.AuditEvent {
			return w.since(func() {
				for range times {
					_, err := call(t.Context(), c)
					wantDenied(t, err, "iam.service_accounts:write")
				}
			})
		}
		if got := len(refuse(c, 25)); got != 10 {
			t.Errorf("got %d events of 25 refusals in a second, want 10", got)
		}
		if got := len(refuse(other, 1)); got != 1 {
			t.Errorf("got %d events of another principal's one refusal, want 1", got)
		}
		if got := len(w.sums(false)); got != 0 {
			t.Errorf("got %d sums within the second, want none", got)
		}
		w.clock.advance(time.Second)
		wantSum(t, w.sums(false), c, 15)
		if got := len(refuse(c, 3)); got != 3 {
			t.Errorf("got %d events of 3 refusals in the next second, want 3", got)
		}
		refuse(c, 9)
		wantSum(t, w.sums(true), c, 2)
		if got := len(w.sums(true)); got != 0 {
			t.Errorf("got %d more sums, want none", got)
		}
	})
}

// sums writes the sums that are due and returns their events.
func (w *world) sums(all bool) []iam.AuditEvent {
	w.t.Helper()
	return w.since(func() {
		if err := w.WriteSums(w.t.Context(), all); err != nil {
			w.t.Errorf("write sums: %v", err)
		}
	})
}

func wantSum(t tb, events []iam.AuditEvent, c iam.Caller, attempts int64) {
	t.Helper()
	if len(events) != 1 {
		t.Fatalf("got %d sums, want one: %s", len(events), text(events))
	}
	e, reason := events[0], fmt.Sprintf("permission_denied: iam.service_accounts:write; stands for %d attempts", attempts)
	if e.Outcome != audit.Refused || e.Reason != reason || e.Actor.ID != string(c.Principal.ID) || text(e.After) != fmt.Sprintf(`{"attempts":%d}`, attempts) {
		t.Errorf("got %s, want it refused by %s, %q", text(e), c.Principal.ID, reason)
	}
}

func TestSumThatCannotBeWrittenIsKept(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c, call := w.holding("agents:read"), w.making()
		refuse := func(times int) {
			for range times {
				_, err := call(t.Context(), c)
				wantDenied(t, err, "iam.service_accounts:write")
			}
		}
		refuse(13)
		w.clock.advance(time.Second)
		w.fail(beforeNote, errInjected)
		if err := w.WriteSums(t.Context(), false); !errors.Is(err, errInjected) {
			t.Errorf("got error %v, want that of the store", err)
		}
		refuse(4) // the window is not over until its sum is written
		wantSum(t, w.sums(false), c, 7)
	})
}

// A note that fails takes nothing away from the refusal.
func TestRefusalStaysOneWhenItCannotBeWritten(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c, call := w.holding("agents:read"), w.making()
		w.fail(beforeNote, errInjected)
		_, err := call(t.Context(), c)
		wantDenied(t, err, "iam.service_accounts:write")
		if !errors.Is(err, errInjected) {
			t.Errorf("got error %v, want that of the store in it", err)
		}
	})
}

// Who hangs up does not thereby keep a refused attempt out of the log.
func TestRefusalIsWrittenForWhoHangsUp(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c, call := w.once(w.holding("agents:read")), w.making()
		for name, attempt := range map[string]func(context.Context) error{
			"to change": func(ctx context.Context) error { _, err := call(ctx, c); return err },
			"to read": func(ctx context.Context) error {
				_, err := w.ServiceAccounts(ctx, c, "-", iam.AccountFilter{}, iam.Page{Limit: 1})
				return err
			},
		} {
			ctx, hangUp := context.WithCancel(t.Context())
			w.put(beforeNote, func() error { hangUp(); return nil })
			var err error
			events := w.since(func() { err = attempt(ctx) })
			if kind := kindOf(err); kind != iam.PermissionDenied || len(events) != 1 {
				t.Errorf("an attempt %s: got error %v and the events %s, want permission_denied and one event", name, err, text(events))
			}
		}
	})
}
