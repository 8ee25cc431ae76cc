package iam_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// browser is a cookie, as a browser holds it.
type browser struct{ cookie string }

func (b browser) hash(ws iam.WorkspaceID) token.Hash {
	return token.NewSecret(b.cookie + "\x00" + string(ws)).Hash()
}

// signIn signs a person in, as a door does that has found their password right.
func (w *world) signIn(person iam.PersonID) (browser, iam.SignIn) {
	w.t.Helper()
	b := browser{w.name("cookie")}
	in := iam.NewSignIn{
		Proof:  iam.Proof{Person: person, Method: iam.BySSO},
		Cookie: token.NewSecret(b.cookie).Hash(), Sessions: b.hash,
	}
	return b, made(w.SignIn(w.t.Context(), w.anonymous(), in))(w.t).SignIn
}

// seen returns what the replica says of a browser in a workspace.
func (w *world) seen(b browser, ws iam.WorkspaceID) replica.Verdict {
	return w.replica.Verify(b.hash(ws), replica.Query{IP: address, Scope: replica.OneWorkspace(ws), Session: true})
}

// inBrowser returns who works with a browser in a workspace, as a door would.
func (w *world) inBrowser(b browser, ws iam.WorkspaceID) iam.Caller {
	w.t.Helper()
	v := w.seen(b, ws)
	if v.Code != replica.Valid {
		w.t.Fatalf("the session is %s, want valid", v.Code)
	}
	c := v.Caller()
	c.Source, c.RequestID = whence, w.name("req")
	return c
}

// person returns the person that a member is.
func (w *world) person(id iam.PrincipalID) iam.PersonID {
	w.t.Helper()
	m, err := w.Store.Member(w.t.Context(), w.owner.Workspace.ID, id)
	if err != nil {
		w.t.Fatalf("read %s: %v", id, err)
	}
	return m.Person.ID
}

// signedIn returns a member of the tenant who has signed in.
func (w *world) signedIn(role string) (iam.Member, browser, iam.Caller) {
	w.t.Helper()
	m, _ := w.member(role)
	b, _ := w.signIn(m.Person.ID)
	return m, b, w.inBrowser(b, m.Workspace)
}

func TestSessionDoesWhatItsMemberMayAndStandsInTheLog(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _, c := w.signedIn(iam.Admin)
		if c.Session == "" || c.Key.ID != "" || c.Principal.ID != m.ID {
			t.Fatalf("the caller is %+v, want the member with a session and no key", c)
		}
		account := made(w.CreateServiceAccount(t.Context(), c, "-", iam.NewServiceAccount{Name: "bot", Role: iam.Viewer}))(t)
		if account.CreatedBy.ID != string(m.ID) || account.CreatedByKey != "" {
			t.Errorf("made by %s with the key %q, want %s and none", account.CreatedBy.ID, account.CreatedByKey, m.ID)
		}
		events, err := w.Store.Events(t.Context(), m.Workspace, iam.EventFilter{Actor: string(m.ID)}, iam.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var actions []string
		for _, e := range events.Items {
			actions = append(actions, e.Action)
			if strings.HasPrefix(e.Action, "service_account") && e.Key != nil {
				t.Errorf("%s names the key %v, want none", e.Action, e.Key)
			}
		}
		for _, want := range []string{"session.created", "service_account.created"} {
			if !slices.Contains(actions, want) {
				t.Errorf("the log of the member has %v, and not %s", actions, want)
			}
		}
	})
}

func TestSessionIsNoKey(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, b, c := w.signedIn(iam.Admin)
		if v := w.verifyHash(b.hash(m.Workspace)); v.Code != replica.NotFound {
			t.Errorf("a verification of keys says %s of a session, want not_found", v.Code)
		}
		_, key := w.key(w.account(iam.Viewer), iam.NewKey{})
		asSession := w.replica.Verify(key.Hash(), replica.Query{IP: address, Scope: replica.AnyWorkspace(), Session: true})
		if asSession.Code != replica.NotFound {
			t.Errorf("a key reads %s where sessions are asked about, want not_found", asSession.Code)
		}
		keys, err := w.Keys(t.Context(), c, "-", iam.KeyFilter{Principal: m.ID, Now: w.clock.now()}, iam.Page{Limit: 10})
		if err != nil || len(keys.Items) != 1 {
			t.Errorf("the member has %d keys, %v; want the one they were given", len(keys.Items), err)
		}
		if found, err := w.Store.Member(t.Context(), m.Workspace, m.ID); err != nil || found.Keys.Total != 1 {
			t.Errorf("the member counts %d keys, %v; want 1", found.Keys.Total, err)
		}
		if _, err := w.Self(t.Context(), c); !errors.Is(err, iam.NotFound) {
			t.Errorf("the key of a session: %v, want not found", err)
		}
	})
}

// takings are the ways in which a session loses all of its power.
func takings() map[string]func(w *world, m iam.Member, c iam.Caller) (iam.Receipt, error) {
	return map[string]func(w *world, m iam.Member, c iam.Caller) (iam.Receipt, error){
		"its member is removed": func(w *world, m iam.Member, _ iam.Caller) (iam.Receipt, error) {
			done, err := w.RemoveMember(w.t.Context(), w.owner, "-", m.ID)
			return done.Receipt, err
		},
		"the workspace is paused": func(w *world, m iam.Member, _ iam.Caller) (iam.Receipt, error) {
			done, err := w.PauseWorkspace(w.t.Context(), w.system, string(m.Workspace), "")
			return done.Receipt, err
		},
		"it signs out": func(w *world, _ iam.Member, c iam.Caller) (iam.Receipt, error) {
			done, err := w.EndSignIn(w.t.Context(), c, "")
			return done.Receipt, err
		},
		"another of the same person ends the others": func(w *world, m iam.Member, _ iam.Caller) (iam.Receipt, error) {
			b, _ := w.signIn(m.Person.ID)
			done, err := w.EndOtherSignIns(w.t.Context(), w.inBrowser(b, m.Workspace))
			return done.Receipt, err
		},
		"the password is changed elsewhere": func(w *world, m iam.Member, _ iam.Caller) (iam.Receipt, error) {
			b, _ := w.signIn(m.Person.ID)
			done, err := w.ChangePassword(w.t.Context(), w.inBrowser(b, m.Workspace), iam.PasswordChange{Encoded: "encoded"})
			return done.Receipt, err
		},
	}
}

func TestSessionEndsAtOnceWhen(t *testing.T) {
	for name, take := range takings() {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world) {
				m, b, c := w.signedIn(iam.Admin)
				receipt, err := take(w, m, c)
				if err != nil || !receipt.Confirmed {
					t.Fatalf("got %+v, %v; want a confirmed receipt", receipt, err)
				}
				if v := w.seen(b, m.Workspace); v.Code == replica.Valid {
					t.Error("the session is valid after the call returned")
				}
				_, err = w.CreateServiceAccount(t.Context(), c, "-", iam.NewServiceAccount{Name: "late", Role: iam.Viewer})
				if !errors.Is(err, iam.Unauthenticated) {
					t.Errorf("a change that was under way ends with %v, want unauthenticated", err)
				}
			})
		})
	}
}

// Held back: as long as a node has not heard of it, nobody is told that a session ended.
func TestEndOfASessionWaitsForEveryNode(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, b, c := w.signedIn(iam.Viewer)
		w.unfollow()
		returned := make(chan error, 1)
		there, release := w.hold(committed)
		go func() {
			_, err := w.EndSignIn(t.Context(), c, "")
			returned <- err
		}()
		<-there
		release()
		select {
		case err := <-returned:
			t.Fatalf("it returned %v while a node accepts the session", err)
		case <-time.After(50 * time.Millisecond):
		}
		if v := w.seen(b, m.Workspace); v.Code != replica.Valid {
			t.Fatalf("the node that heard of nothing says %s, want valid", v.Code)
		}
		w.follow()
		if err := <-returned; err != nil {
			t.Fatal(err)
		}
		if v := w.seen(b, m.Workspace); v.Code == replica.Valid {
			t.Error("the session is valid after the call returned")
		}
	})
}

func TestSessionIsOverByTheDatabasesTime(t *testing.T) {
	for name, after := range map[string]struct {
		days int
		seen bool
	}{"nobody used it for twelve hours": {0, false}, "seven days have passed": {7, true}} {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world) {
				_, _, c := w.signedIn(iam.Admin)
				account := func(name string) error {
					_, err := w.CreateServiceAccount(t.Context(), c, "-", iam.NewServiceAccount{Name: name, Role: iam.Viewer})
					return err
				}
				for range after.days*24/11 + 1 {
					w.clock.advance(11 * time.Hour)
					if after.seen {
						if err := w.Store.SeeSignIn(t.Context(), c.Session); err != nil {
							t.Fatal(err)
						}
					}
				}
				if !after.seen {
					if err := account("in-time"); err != nil {
						t.Fatalf("after eleven hours: %v", err)
					}
					w.clock.advance(time.Hour)
				}
				if err := account("late"); !errors.Is(err, iam.Unauthenticated) {
					t.Errorf("got %v, want unauthenticated", err)
				}
				if err := w.Store.SeeSignIn(t.Context(), c.Session); err != nil {
					t.Fatal(err)
				}
				if err := account("revived"); !errors.Is(err, iam.Unauthenticated) {
					t.Errorf("after it was used again: %v, want unauthenticated", err)
				}
			})
		})
	}
}

func TestGivingNeedsAFreshProof(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _, c := w.signedIn(iam.Owner)
		account := w.account(iam.Viewer)
		other, _ := w.member(iam.Viewer)
		calls := map[string]func() error{
			"mint a key": func() error {
				_, _, err := w.CreateKey(t.Context(), c, "-", string(account.ID), iam.NewKey{Name: w.name("key")})
				return err
			},
			"mint a personal key": func() error {
				_, _, err := w.CreateMyKey(t.Context(), c, "-", iam.NewKey{Name: w.name("key")})
				return err
			},
			"change a member's role": func() error {
				_, err := w.UpdateMember(t.Context(), c, "-", other.ID, iam.Operator)
				return err
			},
			"invite": func() error {
				_, _, err := w.Invite(t.Context(), c, "-", iam.NewInvitation{Email: w.name("x") + "@example.com", Role: iam.Viewer})
				return err
			},
			"make a role": func() error {
				_, err := w.CreateRole(t.Context(), c, "-", iam.NewRole{Name: w.name("role"), Permissions: []string{"docs:read"}})
				return err
			},
		}
		for name, call := range calls {
			if err := call(); err != nil {
				t.Errorf("%s, fresh: %v", name, err)
			}
		}
		w.clock.advance(iam.StepUpLife)
		for name, call := range calls {
			if err := call(); !errors.Is(err, iam.StepUpRequired) {
				t.Errorf("%s, after a while: %v, want step_up_required", name, err)
			}
		}
		made(w.CreateServiceAccount(t.Context(), c, "-", iam.NewServiceAccount{Name: w.name("bot"), Role: iam.Viewer}))(t)
		if _, err := w.StepUp(t.Context(), c, iam.Proof{Person: w.person(other.ID), Method: iam.BySSO}); !errors.Is(err, iam.Unauthenticated) {
			t.Errorf("a proof of somebody else: %v, want unauthenticated", err)
		}
		made(w.StepUp(t.Context(), c, iam.Proof{Person: m.Person.ID, Method: iam.BySSO}))(t)
		for name, call := range calls {
			if err := call(); err != nil {
				t.Errorf("%s, proved again: %v", name, err)
			}
		}
	})
}

func TestSignInRestsOnWhatIsThereNow(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _, c := w.signedIn(iam.Viewer)
		made(w.ChangePassword(t.Context(), c, iam.PasswordChange{Encoded: "first"}))(t)
		try := func(p iam.Proof) error {
			b := browser{w.name("cookie")}
			p.Person = m.Person.ID
			_, err := w.SignIn(t.Context(), w.anonymous(), iam.NewSignIn{Proof: p, Cookie: token.NewSecret(b.cookie).Hash(), Sessions: b.hash})
			return err
		}
		if err := try(iam.Proof{Method: iam.ByPassword, Password: "first"}); err != nil {
			t.Errorf("the password that is kept: %v", err)
		}
		if err := try(iam.Proof{Method: iam.ByPassword, Password: "before"}); !errors.Is(err, iam.Unauthenticated) {
			t.Errorf("one that was changed meanwhile: %v, want unauthenticated", err)
		}
		ticket, err := w.Store.KeepTicket(t.Context(), iam.Ticket{Hash: token.NewSecret("t").Hash(), Kind: "challenge"}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := try(iam.Proof{Method: iam.BySSO, Ticket: ticket.Hash}); err != nil {
			t.Errorf("a ticket: %v", err)
		}
		if err := try(iam.Proof{Method: iam.BySSO, Ticket: ticket.Hash}); !errors.Is(err, iam.Unauthenticated) {
			t.Errorf("the ticket again: %v, want unauthenticated", err)
		}
		made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
		if err := try(iam.Proof{Method: iam.BySSO}); !errors.Is(err, iam.Unauthenticated) {
			t.Errorf("somebody who is no member any more: %v, want unauthenticated", err)
		}
	})
}

func TestNobodyEndsTheSessionOfSomebodyElse(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		_, _, mine := w.signedIn(iam.Owner)
		theirs, b, c := w.signedIn(iam.Viewer)
		if _, err := w.EndSignIn(t.Context(), mine, c.Session); !errors.Is(err, iam.NotFound) {
			t.Errorf("got %v, want not found", err)
		}
		if _, err := w.EndSignIn(t.Context(), w.owner, c.Session); !errors.Is(err, iam.PermissionDenied) {
			t.Errorf("with a key: %v, want permission denied", err)
		}
		if v := w.seen(b, theirs.Workspace); v.Code != replica.Valid {
			t.Errorf("the session is %s, want valid", v.Code)
		}
	})
}

func TestNodeThatStartsKnowsTheSessionsThatWork(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, b, _ := w.signedIn(iam.Viewer)
		_, ended, out := w.signedIn(iam.Viewer)
		made(w.EndSignIn(t.Context(), out, ""))(t)
		fresh := replica.New(replica.Options{Now: w.clock.now, Node: "node-2"})
		if err := fresh.Load(t.Context(), w.db); err != nil {
			t.Fatal(err)
		}
		q := replica.Query{IP: address, Scope: replica.OneWorkspace(m.Workspace), Session: true}
		if v := fresh.Verify(b.hash(m.Workspace), q); v.Code != replica.Valid {
			t.Errorf("one that works is %s, want valid", v.Code)
		}
		if v := fresh.Verify(ended.hash(m.Workspace), q); v.Code == replica.Valid {
			t.Error("one that was ended is valid")
		}
	})
}

func TestInvitationBySomebodySignedInRestsOnTheirMembership(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _, c := w.signedIn(iam.Admin)
		invite := func() token.Secret {
			_, secret := issued(w.Invite(t.Context(), c, "-", iam.NewInvitation{Email: w.name("p") + "@example.com", Role: iam.Viewer}))(t)
			return secret
		}
		accept := func(secret token.Secret) error {
			_, _, err := w.AcceptInvitation(t.Context(), w.anonymous(), iam.Acceptance{Token: secret, Name: w.name("P")})
			return err
		}
		first, second := invite(), invite()
		if err := accept(first); err != nil {
			t.Errorf("while the inviter is there: %v", err)
		}
		made(w.RemoveMember(t.Context(), w.owner, "-", m.ID))(t)
		if err := accept(second); !errors.Is(err, iam.Gone) {
			t.Errorf("when the inviter has been removed: %v, want gone", err)
		}
	})
}

// An older node goes on as long as nobody signs in.
func TestOnlyChangesWithSessionsNeedAReaderThatKnowsThem(t *testing.T) {
	session := iam.Change{Keys: []iam.KeyRecord{{Session: true}}}
	if got := session.LowestReader(); got != 2 {
		t.Errorf("a change with a session: got %d, want 2", got)
	}
	if got := (iam.Change{Keys: []iam.KeyRecord{{}}}).LowestReader(); got != 1 {
		t.Errorf("a change with a key: got %d, want 1", got)
	}
	text, err := iam.Change{Keys: []iam.KeyRecord{{}}}.Payload()
	if err != nil || strings.Contains(text, "session") || !strings.Contains(text, `"reader":1`) {
		t.Errorf("got %s, %v; want version 1 and no word of sessions", text, err)
	}
}

func TestLastWayToSignInStays(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, _, c := w.signedIn(iam.Viewer)
		proof := iam.Proof{Person: m.Person.ID}
		key := made(w.AddPasskey(t.Context(), c, proof, iam.Passkey{Credential: w.name("cred"), Name: "laptop", Record: "{}"}))(t)
		if _, err := w.RemovePasskey(t.Context(), c, key.ID); !errors.Is(err, iam.LastCredential) {
			t.Errorf("got %v, want last_credential", err)
		}
		made(w.ChangePassword(t.Context(), c, iam.PasswordChange{Encoded: "encoded"}))(t)
		made(w.RemovePasskey(t.Context(), c, key.ID))(t)
		if keys, password, err := w.Passkeys(t.Context(), c); err != nil || len(keys) != 0 || !password {
			t.Errorf("got %d passkeys, a password %v, %v; want none and one", len(keys), password, err)
		}
	})
}
