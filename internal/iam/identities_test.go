package iam_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

const provider = "https://sso.example"

// named is what a provider says that has just seen somebody prove who they are.
func (w *world) named(subject, email string) iam.Proof {
	return iam.Proof{Method: iam.BySSO, Issuer: provider, Subject: subject, Email: email, At: w.clock.now()}
}

// enter signs in whom a proof is of.
func (w *world) enter(p iam.Proof) (browser, iam.SignIn, error) {
	b := browser{w.name("cookie")}
	done, err := w.SignIn(w.t.Context(), w.anonymous(), iam.NewSignIn{
		Proof: p, Cookie: token.NewSecret(b.cookie).Hash(), Sessions: b.hash,
	})
	return b, done.Value.SignIn, err
}

func TestProviderLinksByAddressOnceAndBySubjectThen(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _ := w.member(iam.Viewer)
		other, _ := w.member(iam.Viewer)
		b, in, err := w.enter(w.named("anna", strings.ToUpper(m.Person.Email)))
		if err != nil || in.Person != m.Person.ID || in.Method != iam.BySSO {
			t.Fatalf("by the address: %+v, %v; want a sign-in of %s", in, err, m.Person.ID)
		}
		if v := w.seen(b, m.Workspace); v.Code != replica.Valid {
			t.Errorf("the session is %s, want valid", v.Code)
		}
		for name, email := range map[string]string{
			"the same address":       m.Person.Email,
			"no address":             "",
			"another one":            "anna@elsewhere.example",
			"that of another member": other.Person.Email,
		} {
			if _, in, err := w.enter(w.named("anna", email)); err != nil || in.Person != m.Person.ID {
				t.Errorf("linked, with %s: person %s, %v; want %s", name, in.Person, err, m.Person.ID)
			}
		}
		linked := w.logged(m.Workspace, "identity.linked")
		if len(linked) != 1 || linked[0].Target.ID != string(m.ID) || linked[0].Actor.ID != string(m.ID) {
			t.Errorf("the log says %+v, want once that the member was linked", linked)
		}
	})
}

// logged returns the events of one action.
func (w *world) logged(ws iam.WorkspaceID, action string) (all []iam.AuditEvent) {
	w.t.Helper()
	events, err := w.Store.Events(w.t.Context(), ws, iam.EventFilter{}, iam.Page{Limit: 100})
	if err != nil {
		w.t.Fatalf("read the log: %v", err)
	}
	return slices.DeleteFunc(events.Items, func(e iam.AuditEvent) bool { return e.Action != action || e.Outcome != audit.Done })
}

func TestProviderSignsNobodyElseIn(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _ := w.member(iam.Viewer)
		if _, _, err := w.enter(w.named("anna", m.Person.Email)); err != nil {
			t.Fatal(err)
		}
		invited, _ := w.invitation(iam.Viewer)
		elsewhere := w.named("anna", "")
		elsewhere.Issuer = "https://other.example"
		for name, p := range map[string]iam.Proof{
			"an address that passed to somebody else": w.named("anna-the-second", m.Person.Email),
			"a stranger":                      w.named("eve", "eve@example.com"),
			"an address nobody vouches for":   w.named("eve", ""),
			"somebody who is invited":         w.named("ivan", invited.Email),
			"no subject":                      w.named("", m.Person.Email),
			"a subject without end":           w.named(strings.Repeat("a", 256), m.Person.Email),
			"the subject of another provider": elsewhere,
		} {
			if _, in, err := w.enter(p); !errors.Is(err, iam.ErrNotSignedIn) {
				t.Errorf("%s: a sign-in of %q, %v; want refused as all are", name, in.Person, err)
			}
		}
		for _, email := range []string{"eve@example.com", invited.Email} {
			if _, err := w.Store.PersonByEmail(t.Context(), email); !errors.Is(err, iam.NotFound) {
				t.Errorf("%s is a person now (%v)", email, err)
			}
		}
	})
}

func TestLetterThatFoldsIntoAnotherIsNotTheSamePerson(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		_, invitation := issued(w.Invite(t.Context(), w.owner, "-", iam.NewInvitation{Email: "kim@example.com", Role: iam.Viewer}))(t)
		issued(w.AcceptInvitation(t.Context(), w.anonymous(), iam.Acceptance{Token: invitation, Name: "Kim", KeyName: "laptop"}))(t)
		if _, _, err := w.enter(w.named("eve", "\u212aim@example.com")); !errors.Is(err, iam.ErrNotSignedIn) {
			t.Errorf("the sign of kelvin in the place of a k: %v, want refused", err)
		}
		if _, _, err := w.enter(w.named("kim", "KIM@example.com")); err != nil {
			t.Errorf("a capital K: %v, want none", err)
		}
	})
}

func TestRemovedMemberIsNobodyToTheProvider(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _ := w.member(iam.Viewer)
		b, _, err := w.enter(w.named("anna", m.Person.Email))
		if err != nil {
			t.Fatal(err)
		}
		made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
		if v := w.seen(b, m.Workspace); v.Code == replica.Valid {
			t.Error("the session of somebody who was removed is valid")
		}
		if _, _, err := w.enter(w.named("anna", m.Person.Email)); !errors.Is(err, iam.ErrNotSignedIn) {
			t.Errorf("they sign in again: %v, want refused", err)
		}
		if _, err := w.Store.Identity(t.Context(), provider, "anna"); !errors.Is(err, iam.NotFound) {
			t.Errorf("the link is still there (%v): whoever gets the address could not sign in", err)
		}
	})
}

func TestPausedWorkspaceIsNotEntered(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _ := w.member(iam.Viewer)
		made(w.PauseWorkspace(t.Context(), w.system, string(m.Workspace), ""))(t)
		if _, _, err := w.enter(w.named("anna", m.Person.Email)); !errors.Is(err, iam.ErrNotSignedIn) {
			t.Errorf("got %v, want refused", err)
		}
	})
}

func TestSignInIsAsFreshAsTheProviderSays(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _ := w.member(iam.Admin)
		now := w.clock.now()
		for name, tt := range map[string]struct {
			at    time.Time
			fresh bool
		}{
			"just now":         {now, true},
			"an hour ago":      {now.Add(-time.Hour), false},
			"it does not say":  {time.Time{}, false},
			"in the future":    {now.Add(time.Hour), true},
			"a few minutes":    {now.Add(-14 * time.Minute), true},
			"a quarter passed": {now.Add(-iam.StepUpLife), false},
		} {
			p := w.named("anna", m.Person.Email)
			p.At = tt.at
			b, in, err := w.enter(p)
			if err != nil || in.Fresh(now) != tt.fresh || in.AuthenticatedAt.After(now) {
				t.Errorf("%s: authenticated at %s, %v; want fresh %t at %s", name, in.AuthenticatedAt, err, tt.fresh, now)
			}
			_, _, err = w.Invite(t.Context(), w.inBrowser(b, m.Workspace), "-", iam.NewInvitation{Email: w.name("x") + "@example.com", Role: iam.Viewer})
			if errors.Is(err, iam.StepUpRequired) == tt.fresh {
				t.Errorf("%s: inviting somebody: %v", name, err)
			}
		}
	})
}

func TestProviderStepsUpWhomItLinked(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _ := w.member(iam.Admin)
		other, _ := w.member(iam.Admin)
		for subject, email := range map[string]string{"anna": m.Person.Email, "otto": other.Person.Email} {
			if _, _, err := w.enter(w.named(subject, email)); err != nil {
				t.Fatal(err)
			}
		}
		b, in, err := w.enter(w.named("anna", ""))
		if err != nil {
			t.Fatal(err)
		}
		c := w.inBrowser(b, m.Workspace)
		w.clock.advance(iam.StepUpLife)
		old := w.named("anna", "")
		old.At = w.clock.now().Add(-iam.StepUpLife)
		pretending := w.named("otto", m.Person.Email)
		pretending.Person = m.Person.ID
		for name, p := range map[string]iam.Proof{
			"somebody else":                w.named("otto", m.Person.Email),
			"somebody else, said to be me": pretending,
			"somebody not linked":          w.named("eve", m.Person.Email),
			"what was long ago":            old,
		} {
			if _, err := w.StepUp(t.Context(), c, p); !errors.Is(err, iam.ErrNotSignedIn) {
				t.Errorf("%s: %v, want refused", name, err)
			}
		}
		if now := w.signInRow(in.ID); now.Fresh(w.clock.now()) {
			t.Errorf("authenticated at %s after nothing but refusals", now.AuthenticatedAt)
		}
		made(w.StepUp(t.Context(), c, w.named("anna", "")))(t)
		if now := w.signInRow(in.ID); !now.Fresh(w.clock.now()) {
			t.Errorf("authenticated at %s, want now", now.AuthenticatedAt)
		}
	})
}

func (w *world) signInRow(id iam.SignInID) iam.SignIn {
	w.t.Helper()
	in, err := w.Store.SignIn(w.t.Context(), id)
	if err != nil {
		w.t.Fatalf("read %s: %v", id, err)
	}
	return in
}

// Whoever is given the address later is somebody else, and the password and passkeys
// of who had it before must not open what they have.
func TestRemovedMemberLeavesNothingToSignInWith(t *testing.T) {
	for name, tt := range map[string]struct {
		elsewhere bool
		want      int
	}{
		"a member of one workspace":          {false, 0},
		"a member of another workspace, too": {true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world) {
				m, _, c := w.signedIn(iam.Viewer)
				if tt.elsewhere {
					w.joinElsewhere(m.Person.Email)
				}
				proof := iam.Proof{Person: m.Person.ID}
				made(w.AddPasskey(t.Context(), c, proof, iam.Passkey{Credential: w.name("cred"), Name: "laptop", Record: "{}"}))(t)
				made(w.ChangePassword(t.Context(), c, iam.PasswordChange{Encoded: "encoded"}))(t)
				if got := w.credentials(m.Person.ID); got != 2 {
					t.Fatalf("a member has %d ways to sign in, want 2", got)
				}
				made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
				if got := w.credentials(m.Person.ID); got != tt.want {
					t.Errorf("somebody who was removed has %d ways to sign in, want %d", got, tt.want)
				}
			})
		})
	}
}

// credentials counts the passkeys and the password of a person.
func (w *world) credentials(person iam.PersonID) int {
	w.t.Helper()
	keys, err := w.Store.Passkeys(w.t.Context(), person)
	if err != nil {
		w.t.Fatalf("read how a person signs in: %v", err)
	}
	_, err = w.Store.Password(w.t.Context(), person)
	if err != nil && !errors.Is(err, iam.NotFound) {
		w.t.Fatalf("read how a person signs in: %v", err)
	}
	if err == nil {
		return len(keys) + 1
	}
	return len(keys)
}
