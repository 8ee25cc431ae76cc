package iam_test

import (
	"errors"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// What Check explains is what a verification decides.
func TestCheckSaysWhatAVerificationDecides(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("agents:*", "tools:read")
		bot := w.account(role.Name)
		limit := []string{"agents/a*:execute", "tools:read"}
		key, shown := w.key(bot, iam.NewKey{Limit: &limit, Expiry: &iam.Expiry{In: time.Hour}})
		agree := func(when string) {
			for _, p := range concrete {
				answer, err := w.Check(t.Context(), w.owner, "-", iam.Question{Key: key.ID, Permission: p})
				want := w.verify(shown, p).Code == replica.Valid
				if err != nil || answer.Allowed != want || len(answer.Because) == 0 {
					t.Errorf("%s, %s: got %+v and error %v, want allowed %t, and why", when, p, answer, err, want)
				}
			}
		}
		agree("active")
		made(w.PauseKey(t.Context(), w.owner, "-", key.ID, iam.Why{}))(t)
		agree("paused")
		made(w.ResumeKey(t.Context(), w.owner, "-", key.ID, iam.Why{}))(t)
		made(w.PauseServiceAccount(t.Context(), w.owner, "-", bot.Name, ""))(t)
		agree("account paused")
		made(w.ResumeServiceAccount(t.Context(), w.owner, "-", bot.Name, ""))(t)
		w.clock.advance(time.Hour)
		agree("expired")
		made(w.RevokeKey(t.Context(), w.owner, "-", key.ID, iam.Why{}))(t)
		agree("revoked")

		for _, principal := range []string{bot.Name, string(bot.ID)} {
			answer, err := w.Check(t.Context(), w.owner, "-", iam.Question{Principal: principal, Permission: iam.Permission{Type: "tools", Action: "read"}})
			if err != nil || !answer.Allowed {
				t.Errorf("%s: got %+v and error %v, want allowed: no key limits the account", principal, answer, err)
			}
		}
		answer, err := w.Check(t.Context(), w.owner, "-", iam.Question{Principal: string(w.owner.Principal.ID), Permission: iam.WriteKeys})
		if err != nil || !answer.Allowed {
			t.Errorf("a member: got %+v and error %v, want allowed", answer, err)
		}
		_, err = w.Check(t.Context(), w.owner, "-", iam.Question{Principal: "nobody"})
		wantKind(t, err, iam.NotFound)
	})
}

// An export is an event itself, has all that there was when it began, oldest
// first, and ends with the key that it began with.
func TestExportHasAllThatThereWasAndEndsWithItsKey(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		const more = 205 // than are read at a time
		refused := w.holding("agents:read")
		for n := range more {
			if n%10 == 0 {
				w.clock.advance(time.Second) // or they would be summed
			}
			wantDenied(t, w.Require(t.Context(), refused, iam.VerifyKeys, audit.Target{Type: "key"}), "iam.keys:verify")
		}
		w.clock.advance(time.Second)
		same := func() (iam.Caller, error) { return w.owner, nil }
		var seqs []int64
		events := w.since(func() {
			err := w.Export(t.Context(), w.owner, "-", iam.EventFilter{Outcome: audit.Refused}, same, func(e iam.AuditEvent) error {
				seqs = append(seqs, e.Seq)
				return nil
			})
			if err != nil {
				t.Errorf("export: %v", err)
			}
		})
		if len(events) != 1 || events[0].Action != "export.created" || text(events[0].After) != `{"outcome":"refused"}` {
			t.Errorf("got the events %s, want export.created that names the filter", text(events))
		}
		if len(seqs) != more {
			t.Errorf("got %d events, want %d", len(seqs), more)
		}
		for i := range seqs {
			if i > 0 && seqs[i] <= seqs[i-1] {
				t.Fatalf("event %d came after event %d", seqs[i], seqs[i-1])
			}
		}
		w.exportEnds(refused)
	})
}

// exportEnds fails the test unless an export ends when its caller may no longer.
func (w *world) exportEnds(refused iam.Caller) {
	w.t.Helper()
	lost := errors.New("the key is revoked")
	for want, again := range map[error]func() (iam.Caller, error){
		lost:                 func() (iam.Caller, error) { return iam.Caller{}, lost },
		iam.PermissionDenied: func() (iam.Caller, error) { return refused, nil },
	} {
		written := 0
		err := w.Export(w.t.Context(), w.owner, "-", iam.EventFilter{}, again, func(iam.AuditEvent) error { written++; return nil })
		if !errors.Is(err, want) || written > 0 {
			w.t.Errorf("got error %v after %d events, want %v after none", err, written, want)
		}
	}
	full := errors.New("the disk is full")
	same := func() (iam.Caller, error) { return w.owner, nil }
	err := w.Export(w.t.Context(), w.owner, "-", iam.EventFilter{}, same, func(iam.AuditEvent) error { return full })
	if !errors.Is(err, full) {
		w.t.Errorf("got error %v, want that of the reader", err)
	}
}
