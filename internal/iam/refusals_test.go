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
		made(w.RevokeKey(w.t.Context(), revoker, "-", c.Key.ID, iam.Why{}))(w.t)
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
		for range 2 {
			if got := len(refuse(c, 10)); got != 10 {
				t.Errorf("got %d events of 10 refusals in a later second, want 10", got)
			}
			w.clock.advance(time.Second) // nobody has asked for sums: there are none
		}
		refuse(c, 12)
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
