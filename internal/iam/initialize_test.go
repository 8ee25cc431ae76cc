package iam_test

import (
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store/storetest"
)

// B13: nothing exists by default, and nothing is made again.
func TestAttackB13InitializationHappensOnce(t *testing.T) {
	storetest.Above(t, func(t *testing.T, url string) {
		w := emptyWorld(t, url)
		if rows := w.rows(); len(rows) != 1 {
			t.Errorf("a new store has %v, want nothing but its position", rows)
		}
		in := iam.Initialization{Workspace: "Operations", Email: "Ops@Example.com", KeyName: "first"}
		var first iam.Done[iam.Initialized]
		events := w.since(func() {
			done, shown, err := w.Initialize(t.Context(), in)
			if err != nil {
				t.Fatalf("initialize: %v", err)
			}
			first = done
			w.owner = w.caller(shown)
		})
		if !w.owner.System || w.owner.Principal.Role.Name != iam.Owner || first.Value.Owner.Person.Email != "ops@example.com" || first.Value.Workspace.Slug != "operations" {
			t.Errorf("got %s, want an owner of the system workspace", text(first.Value))
		}
		var actions []string
		for _, e := range events {
			actions = append(actions, e.Action)
			if e.Actor != (audit.Actor{Type: audit.System, ID: "system", Name: "initialisation"}) || e.Workspace != string(first.Value.Workspace.ID) {
				t.Errorf("%s: got actor %+v in %s, want Postern itself in %s", e.Action, e.Actor, e.Workspace, first.Value.Workspace.ID)
			}
		}
		if got := text(actions); got != `["workspace.created","member.joined","key.created"]` {
			t.Errorf("got the events %s", got)
		}
		made(w.RevokeSelf(t.Context(), w.owner, iam.Why{}))(t) // not even when nobody is left who can do anything
		changes := w.changed(func() {
			_, shown, err := w.Initialize(t.Context(), in)
			wantKind(t, err, iam.Gone)
			if !shown.IsZero() {
				t.Error("got a key of the second initialisation, want none")
			}
		})
		wantNothing(t, changes)
	})
}

// Recovery is for an owner who exists, and gives a key that does not last.
func TestRecoveryGivesAnOwnerABriefKey(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _ := w.member(iam.Owner)
		admin, _ := w.member(iam.Admin)
		removed, _ := w.member(iam.Owner)
		made(w.RemoveMember(t.Context(), w.owner, "-", removed.ID))(t)
		for name, to := range map[string]struct{ email, workspace string }{
			"nobody":                              {"nobody@example.com", ""},
			"an admin":                            {admin.Person.Email, "acme"},
			"a removed owner":                     {removed.Person.Email, "acme"},
			"an owner elsewhere":                  {m.Person.Email, ""},
			"the operators' owner, in the tenant": {"ops@example.com", "acme"},
		} {
			_, shown, err := w.Recover(t.Context(), to.email, to.workspace)
			if kindOf(err) != iam.NotFound || !shown.IsZero() {
				t.Errorf("%s: got error %v, want not_found", name, err)
			}
		}
		var shownTo iam.Caller
		events := w.since(func() {
			key, shown := issued(w.Recover(t.Context(), " "+m.Person.Email, "acme"))(t)
			if shownTo = w.caller(shown); !key.ExpiresAt.Equal(began.Add(time.Hour)) || shownTo.Principal.ID != m.ID {
				t.Errorf("got a key of %s until %s, want one of %s until %s", shownTo.Principal.ID, key.ExpiresAt, m.ID, began.Add(time.Hour))
			}
		})
		if len(events) != 1 || events[0].Action != "key.created" || events[0].Actor.Name != "recovery" || events[0].Workspace != string(w.owner.Workspace.ID) {
			t.Errorf("got the events %s, want key.created by recovery in the tenant's log", text(events))
		}
		_, again := issued(w.Recover(t.Context(), m.Person.Email, "acme"))(t) // at the same time to the microsecond
		if w.caller(again).Key.ID == shownTo.Key.ID {
			t.Error("the second recovery gave the key of the first, want another")
		}
		w.clock.advance(time.Hour)
		if w.works(shownTo) {
			t.Error("the key works after an hour")
		}
	})
}
