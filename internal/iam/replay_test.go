package iam_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// once returns c as it calls with an Idempotency-Key that is new.
func (w *world) once(c iam.Caller) iam.Caller {
	c.Idempotency = &iam.Idempotency{Scope: w.name("scope"), Key: "once", Body: sha256.Sum256([]byte("a body"))}
	return c
}

// The same call again has the same result and is not done again. A value that
// was shown is not shown again (J06).
func TestAttackJ06ReplayReturnsTheSameAndDoesNothing(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		if ch.ends {
			return // the key of the call is gone with it: see TestReplayAsksAgainWhetherTheCallerMay
		}
		c, _ := w.admin(ch)
		call := ch.ready(w, c)
		c = w.once(c)
		first := w.succeed(call, c)
		rows := w.rows()
		delete(rows, "head")
		head := w.head()
		var again result
		var err error
		events := w.since(func() { again, err = call(w.t.Context(), c) })
		if ch.shows {
			wantShownBefore(w.t, err, first)
		} else if err != nil {
			w.t.Fatalf("again: got error %v, want none", err)
		}
		if !again.shown.IsZero() || text(again.value) != text(first.value) || again.revision != first.revision {
			w.t.Errorf("again: got\n%s\nrevision %d, secret %t; want\n%s\nrevision %d and no secret",
				text(again.value), again.revision, !again.shown.IsZero(), text(first.value), first.revision)
		}
		after := w.rows()
		delete(after, "head")
		wantNothing(w.t, diff(rows, after))
		if got := w.head(); got != head+1 || again.receipt.Revision != got || !again.receipt.Confirmed {
			w.t.Errorf("again: got revision %d and %+v, want %d, confirmed: a number of its own", got, again.receipt, head+1)
		}
		wantReplayEvent(w.t, events, ch, c, first)
	})
}

// wantShownBefore fails the test unless an error says that the value of what was
// made has been shown.
func wantShownBefore(t tb, err error, first result) {
	t.Helper()
	e, ok := errors.AsType[*iam.Error](err)
	if !ok || e.Kind != iam.ValueAlreadyIssued || e.Object == "" || e.Object != issuedID(first.value) {
		t.Errorf("got error %v, want value_already_issued of %s", err, issuedID(first.value))
	}
}

// issuedID returns the id of what a secret was shown with.
func issuedID(value any) string {
	switch v := value.(type) {
	case iam.AcceptedInvitation:
		return string(v.Key.ID)
	case iam.CreatedWorkspace:
		return string(v.Invitation.ID)
	}
	return targets(value)
}

// wantReplayEvent fails the test unless there is one event, in the log that has
// those of the first call, which says that nothing was changed.
func wantReplayEvent(t tb, events []iam.AuditEvent, ch change, c iam.Caller, first result) {
	t.Helper()
	const reason = "repeated with the same Idempotency-Key; nothing changed"
	if len(events) != 1 {
		t.Fatalf("got %d events, want one: %s", len(events), text(events))
	}
	e := events[0]
	if e.Workspace == "" || e.Reason != reason || e.Before != nil || e.After != nil || e.Target.ID != targets(first.value) && targets(first.value) != "" {
		t.Errorf("got %s, want an event of a workspace about %s, for the reason %q", text(e), targets(first.value), reason)
	}
	actor := string(c.Principal.ID)
	if ch.caller == byNobody {
		actor = string(audit.Anonymous)
	}
	if e.Actor.ID != actor || e.Action != ch.writes[0].action && e.Action != "service_account.updated" {
		t.Errorf("got %s of %s, want %s of %s", e.Action, e.Actor.ID, ch.writes[0].action, actor)
	}
}

func TestReplayWaitsForTheFenceAsWell(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for name, ch := range changes() {
			if ch.ends {
				continue
			}
			c, _ := w.admin(ch)
			call := ch.ready(w, c)
			c = w.once(c)
			w.succeed(call, c)
			there, release := w.hold(waiting)
			defer release()
			again := w.start(call, c)
			reach(t, there, again)
			synctest.Wait()
			running(t, again, name+" again, while the fence has not confirmed")
			release()
			<-again

			w.fail(waiting, iam.Errorf(iam.Unconfirmed, "held back"))
			_, err := call(t.Context(), c)
			wantKind(t, err, iam.Unconfirmed)
		}
	})
}

func TestReplayAsksAgainWhetherTheCallerMay(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		c, revoker := w.admin(ch)
		call := ch.ready(w, c)
		c = w.once(c)
		w.succeed(call, c)
		if !ch.ends && ch.caller != byNobody {
			made(w.RevokeKey(w.t.Context(), revoker, "-", c.Key.ID, iam.Why{}))(w.t)
		}
		again, err := call(w.t.Context(), c)
		if ch.caller == byNobody {
			wantKind(w.t, err, iam.ValueAlreadyIssued) // there is no credential that could have ended
			return
		}
		wantKind(w.t, err, iam.Unauthenticated)
		if text(again) != text(result{}) {
			w.t.Errorf("got %s, want nothing", text(again))
		}
	})
}

func TestReplayOfWhoLostThePermissionIsRefused(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("iam.service_accounts:write", "*:read")
		c := w.once(w.holder(role.Name))
		call := w.making()
		w.succeed(call, c)
		made(w.UpdateRole(t.Context(), w.owner, "-", role.Name, iam.RolePatch{Permissions: &[]string{"*:read"}}))(t)
		_, err := call(t.Context(), c)
		wantDenied(t, err, "iam.service_accounts:write")
	})
}

func TestAttackJ06SameKeyWithAnotherBodyIsRefused(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c := w.once(w.owner)
		w.succeed(w.making(), c)
		other := *c.Idempotency
		other.Body = sha256.Sum256([]byte("another body"))
		c.Idempotency = &other
		rows := w.rows()
		_, err := w.making()(t.Context(), c)
		wantKind(t, err, iam.IdempotencyKeyReused)
		wantNothing(t, diff(rows, w.rows()))

		other.Scope = "another caller, method or path"
		w.succeed(w.making(), c)
	})
}

func TestSecondOfTwoCallsAtOnceHearsThatTheFirstRuns(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c, call := w.once(w.owner), w.making()
		there, release := w.hold(decided)
		defer release()
		first := w.start(call, c)
		reach(t, there, first)
		arrived, goOn := w.hold(beforeChange)
		goOn()
		second := w.start(call, c)
		select {
		case o := <-second:
			wantKind(t, o.err, iam.IdempotencyInProgress)
		case <-arrived:
			t.Error("the second went on to the store while the first was running")
		}
		release()
		if o := <-first; o.err != nil {
			t.Fatalf("the first: got error %v, want none", o.err)
		}
		w.succeed(call, c)
	})
}

// final is a refusal that stays as it is for its Idempotency-Key, and what would
// let the call succeed if it were made anew.
func TestFinalRefusalsAreKept(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, f := range finals() {
			t.Run(name, func(t *testing.T) {
				w := w.in(t).by(w.tenant(w.name("tenant")))
				call, mend := f.ready(w)
				c := w.once(w.owner)
				_, first := call(t.Context(), c)
				wantKind(t, first, f.kind)
				mend()
				head := w.head()
				_, again := call(t.Context(), c)
				wantKind(t, again, f.kind)
				if text(again) != text(first) {
					t.Errorf("again: got %s, want %s", text(again), text(first))
				}
				if got := w.head(); got != head {
					t.Errorf("again: got revision %d, want %d: a refusal takes no number", got, head)
				}
				w.succeed(call, w.once(w.owner)) // else this test would show nothing
			})
		}
	})
}

// refusal is a call that is refused until it is mended.
type refusal struct {
	kind  iam.Kind
	ready func(w *world) (call call, mend func())
}

func finals() map[string]refusal {
	return map[string]refusal{
		"name taken": {iam.NameTaken, func(w *world) (call, func()) {
			role := iam.NewRole{Name: w.name("taken"), Permissions: []string{"docs:read"}}
			free := w.name("free")
			taken := made(w.CreateRole(w.t.Context(), w.owner, "-", role))(w.t)
			call := func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.CreateRole(ctx, c, "-", role))
			}
			return call, func() {
				made(w.UpdateRole(w.t.Context(), w.owner, "-", string(taken.ID), iam.RolePatch{Name: &free}))(w.t)
			}
		}},
		"not found": {iam.NotFound, func(w *world) (call, func()) {
			name := w.name("bot")
			call := func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.PauseServiceAccount(ctx, c, "-", name, ""))
			}
			return call, func() {
				made(w.CreateServiceAccount(w.t.Context(), w.owner, "-", iam.NewServiceAccount{Name: name, Role: iam.Viewer}))(w.t)
			}
		}},
		"validation failed": {iam.ValidationFailed, func(w *world) (call, func()) {
			name := w.name("role")
			call := func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.CreateServiceAccount(ctx, c, "-", iam.NewServiceAccount{Name: w.name("bot"), Role: name}))
			}
			return call, func() {
				made(w.CreateRole(w.t.Context(), w.owner, "-", iam.NewRole{Name: name, Permissions: []string{"*:read"}}))(w.t)
			}
		}},
		"seats": {iam.SeatLimitReached, func(w *world) (call, func()) {
			w.seats(1)
			call := func(ctx context.Context, c iam.Caller) (result, error) {
				return secret(w.Invite(ctx, c, "-", iam.NewInvitation{Email: w.name("p") + "@example.com", Role: iam.Viewer}))
			}
			return call, func() { w.seats(9) }
		}},
		"policy": {iam.PolicyViolation, func(w *world) (call, func()) {
			w.policy(func(p iam.Policy) iam.Policy { p.OwnerRequired = true; return p })
			return w.making(), func() { w.policy(func(p iam.Policy) iam.Policy { p.OwnerRequired = false; return p }) }
		}},
		"last owner": {iam.LastOwner, func(w *world) (call, func()) {
			call := func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.RemoveMember(ctx, c, "-", w.owner.Principal.ID))
			}
			return call, func() { w.member(iam.Owner) }
		}},
		"role in use": {iam.RoleInUse, func(w *world) (call, func()) {
			role, viewer := w.role("agents:read"), iam.Viewer
			account := w.account(role.Name)
			call := func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.DeleteRole(ctx, c, "-", role.Name))
			}
			return call, func() {
				made(w.UpdateServiceAccount(w.t.Context(), w.owner, "-", account.Name, iam.AccountPatch{Role: &viewer}))(w.t)
			}
		}},
	}
}

// policy changes the policy of the tenant.
func (w *world) policy(change func(iam.Policy) iam.Policy) {
	w.t.Helper()
	made(w.UpdateWorkspace(w.t.Context(), w.owner, "-", iam.WorkspacePatch{Policy: change}))(w.t)
}

// seats sets the seat limit of the tenant.
func (w *world) seats(limit int64) {
	w.t.Helper()
	w.policy(func(p iam.Policy) iam.Policy { p.SeatLimit = &limit; return p })
}

func TestPassingRefusalsAreNotKept(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("*:read")
		c, call := w.once(w.holder(role.Name)), w.making()
		_, err := call(t.Context(), c)
		wantDenied(t, err, "iam.service_accounts:write")
		made(w.UpdateRole(t.Context(), w.owner, "-", role.Name, iam.RolePatch{Permissions: &[]string{"*:read", "iam.service_accounts:write"}}))(t)
		w.succeed(call, c)

		version := int64(1)
		c = w.once(w.owner)
		c.IfMatch = &version
		account := w.account(iam.Viewer)
		renaming := func(ctx context.Context, c iam.Caller) (result, error) {
			return plain(w.UpdateServiceAccount(ctx, c, "-", account.Name, iam.AccountPatch{Owner: &account.Name}))
		}
		_, err = renaming(t.Context(), c)
		wantKind(t, err, iam.PreconditionFailed)
		c.IfMatch = &account.Version
		w.succeed(renaming, c)

		c, call = w.once(w.owner), w.making()
		for _, p := range []point{beforeChange, numbered, decided} {
			w.fail(p, errInjected)
			if _, err := call(t.Context(), c); !errors.Is(err, errInjected) {
				t.Errorf("the store fails %s: got error %v, want that", p, err)
			}
		}
		w.succeed(call, c)
	})
}

// Whoever has no credential could fill the store with a day's refusals.
func TestNothingIsKeptOfACallThatNeedsNoCredentialAndIsRefused(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c := w.once(w.anonymous())
		_, _, err := w.AcceptInvitation(t.Context(), c, iam.Acceptance{Token: token.NewSecret("made up"), Name: "Jo Park"})
		wantKind(t, err, iam.Gone)
		_, err = w.Store.Change(t.Context(), iam.First{Replay: c.Idempotency}, func(tx iam.Tx) (iam.Change, error) {
			if r := tx.Found().Replay; r != nil {
				t.Errorf("got %+v, want nothing kept", r)
			}
			return iam.Change{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestReplaysAreKeptForADay(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		c, call := w.once(w.owner), w.making()
		first := w.succeed(call, c)
		w.clock.advance(iam.ReplayWindow - time.Microsecond)
		if again := w.succeed(call, c); again.revision != first.revision {
			t.Errorf("within a day: got revision %d, want %d", again.revision, first.revision)
		}
		w.clock.advance(2 * time.Microsecond)
		_, err := call(t.Context(), c)
		wantKind(t, err, iam.NameTaken) // it is done anew
	})
}
