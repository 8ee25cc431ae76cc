package iam_test

import (
	"context"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// S2: removing a person stops the keys that they own in that workspace, and
// nothing else.
func TestAttackA03RemovingAPersonStopsTheirKeysAndNothingElse(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, first := w.member(iam.Admin)
		_, shown := issued(w.CreateMyKey(t.Context(), first, "-", iam.NewKey{Name: "second"}))(t)
		second := w.caller(shown)
		made := w.by(first).holder(iam.Operator) // an account of theirs, with a key
		elsewhere := w.joinElsewhere(m.Person.Email)

		done, err := w.RemoveMember(t.Context(), w.owner, "-", m.ID)
		if err != nil || done.Value.KeysStopped != 2 || done.Receipt.KeysStopped != 2 {
			t.Errorf("got %+v, %+v and error %v, want 2 keys stopped", done.Value, done.Receipt, err)
		}
		for name, c := range map[string]struct {
			iam.Caller
			works bool
		}{
			"the first key": {first, false}, "the second key": {second, false},
			"the account's key": {made, true}, "the key in another workspace": {elsewhere, true},
		} {
			if got := w.works(c.Caller); got != c.works {
				t.Errorf("%s works: got %t, want %t", name, got, c.works)
			}
		}
		w.wantNamed(m)
	})
}

// joinElsewhere makes a person a member of another workspace too.
func (w *world) joinElsewhere(email string) iam.Caller {
	w.t.Helper()
	ctx, other := w.t.Context(), w.by(w.tenant(w.name("other")))
	_, invitation := issued(w.Invite(ctx, other.owner, "-", iam.NewInvitation{Email: email, Role: iam.Viewer}))(w.t)
	_, shown := issued(w.AcceptInvitation(ctx, w.anonymous(), iam.Acceptance{Token: invitation, Name: "Jo", KeyName: "laptop"}))(w.t)
	return w.caller(shown)
}

// wantNamed fails the test unless what a removed member did still names them,
// and as removed (S10).
func (w *world) wantNamed(m iam.Member) {
	w.t.Helper()
	found := all(w.t, func(p iam.Page) (iam.List[iam.AuditEvent], error) {
		return w.Events(w.t.Context(), w.owner, "-", iam.EventFilter{Actor: string(m.ID)}, p)
	})
	if len(found) == 0 {
		w.t.Errorf("got no event of the removed member, want those that they caused")
	}
	for _, e := range found {
		if e.Actor.Name != m.Name || e.ActorState != iam.Removed {
			w.t.Errorf("%s: got actor %q, %s, want %q, removed", e.Action, e.Actor.Name, e.ActorState, m.Name)
		}
	}
}

func TestRemovedPersonMayBeInvitedAgain(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, old := w.member(iam.Editor)
		made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
		_, shown := issued(w.Invite(t.Context(), w.owner, "-", iam.NewInvitation{Email: m.Person.Email, Role: iam.Viewer}))(t)
		again, err := w.accept(shown)
		if err != nil || again.Member.Person.ID != m.Person.ID || again.Member.ID == m.ID {
			t.Errorf("got %+v and error %v, want a new member of the same person %s", again.Member, err, m.Person.ID)
		}
		if w.works(old) {
			t.Error("the key of the former membership works again")
		}
		_, err = w.UpdateMember(t.Context(), w.owner, "-", m.ID, iam.Admin)
		wantKind(t, err, iam.PrincipalInactive)
	})
}

// Removing twice is not an error, also when the member's role is gone since.
func TestRemovingTwiceIsNoError(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("agents:read")
		m, _ := w.member(role.Name)
		first := made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
		w.clock.advance(time.Second)
		made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
		made(w.DeleteRole(t.Context(), w.owner, "-", role.Name))(t)
		again := made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
		if again.KeysStopped != 0 || !again.Member.RemovedAt.Equal(first.Member.RemovedAt) {
			t.Errorf("again: got %d keys stopped, removed at %s, want 0 and %s", again.KeysStopped, again.Member.RemovedAt, first.Member.RemovedAt)
		}
		_, err := w.UpdateMember(t.Context(), w.owner, "-", m.ID, iam.Viewer)
		wantKind(t, err, iam.PrincipalInactive)
	})
}

// S3: only people take seats.
func TestAccountsTakeNoSeats(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.seats(2)
		w.member(iam.Viewer)
		_, _, err := w.Invite(t.Context(), w.owner, "-", iam.NewInvitation{Email: "late@example.com", Role: iam.Viewer})
		wantKind(t, err, iam.SeatLimitReached)
		for range 20 {
			w.account(iam.Viewer)
		}
		seats, err := w.Seats(t.Context(), w.owner, "-")
		if err != nil || seats.Used != 2 || seats.Pending != 0 || *seats.Limit != 2 {
			t.Errorf("got %+v and error %v, want 2 of 2 used", seats, err)
		}
	})
}

// Several invite at once, when one seat is left.
func TestSeatsAreNotOverdrawnAtOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.seats(2)
		var ended []<-chan outcome
		for range 6 {
			in := iam.NewInvitation{Email: w.name("p") + "@example.com", Role: iam.Viewer}
			ended = append(ended, w.start(func(ctx context.Context, c iam.Caller) (result, error) {
				return secret(w.Invite(ctx, c, "-", in))
			}, w.owner))
		}
		invited := 0
		for _, e := range ended {
			if o := <-e; o.err == nil {
				invited++
			} else {
				wantKind(t, o.err, iam.SeatLimitReached)
			}
		}
		if invited != 1 {
			t.Errorf("got %d invitations, want 1", invited)
		}
	})
}

func TestWorkspaceKeepsAnOwner(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		only := w.owner.Principal.ID
		_, err := w.RemoveMember(t.Context(), w.owner, "-", only)
		wantKind(t, err, iam.LastOwner)
		_, err = w.UpdateMember(t.Context(), w.owner, "-", only, iam.Admin)
		wantKind(t, err, iam.LastOwner)
		made(w.UpdateMember(t.Context(), w.owner, "-", only, iam.Owner))(t) // stays one

		m, other := w.member(iam.Owner)
		made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t) // a removed one does not count
		_, err = w.UpdateMember(t.Context(), w.owner, "-", only, iam.Admin)
		wantKind(t, err, iam.LastOwner)
		if w.works(other) {
			t.Error("the removed owner's key works")
		}
	})
}

// Two owners, who are all there are, remove or demote each other at once.
func TestAttackB14LastOwnerStaysWhateverHappensAtOnce(t *testing.T) {
	demote := func(w *world, id iam.PrincipalID) call {
		return func(ctx context.Context, c iam.Caller) (result, error) {
			return plain(w.UpdateMember(ctx, c, "-", id, iam.Viewer))
		}
	}
	remove := func(w *world, id iam.PrincipalID) call {
		return func(ctx context.Context, c iam.Caller) (result, error) { return plain(w.RemoveMember(ctx, c, "-", id)) }
	}
	eachWorld(t, func(t *testing.T, w *world) {
		loops := 12
		if testing.Short() {
			loops = 3
		}
		for n := range loops {
			w := w.by(w.tenant(w.name("tenant")))
			m, other := w.member(iam.Owner)
			first, second := demote, remove
			if n%2 == 0 {
				first, second = remove, demote
			}
			self := n%3 == 0 // each acts on themselves, else on the other
			a, b := m.ID, w.owner.Principal.ID
			if self {
				a, b = b, a
			}
			one, two := w.start(first(w, a), w.owner), w.start(second(w, b), other)
			left := 2
			for _, ended := range []<-chan outcome{one, two} {
				if o := <-ended; o.err == nil {
					left--
				}
			}
			owners, err := w.Store.ActiveOwners(t.Context(), w.owner.Workspace.ID)
			if err != nil || owners != 1 || left != 1 {
				t.Errorf("loop %d: got %d owners, %d calls refused and error %v, want 1 and 1", n, owners, left, err)
			}
		}
	})
}
