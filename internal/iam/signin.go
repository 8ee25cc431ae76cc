package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// maxSignIns is how many sign-ins one person has at a time: the oldest ends when
// there is one more.
const maxSignIns = 50

// NewSignIn is a sign-in to be made. Whoever makes one has checked the proof; what
// the proof rested on is checked again, so that one that was taken back meanwhile
// proves nothing.
type NewSignIn struct {
	Proof     Proof
	Workspace WorkspaceID // where its holder wants to work; empty: anywhere
	Cookie    token.Hash
	Sessions  func(WorkspaceID) token.Hash // of the cookie in a workspace
}

// Proof is how somebody proved who they are.
type Proof struct {
	Person   PersonID
	Method   string
	Password string     // that matched, as it is kept
	Passkey  *Passkey   // that was used, as it is to be kept
	Ticket   token.Hash // of the challenge that was answered; zero: there was none

	// Of a provider of single sign-on, which knows the person by a name of its own. The
	// person is then found by that.
	Issuer  string
	Subject string
	Email   string    // that it vouches for; empty: none
	At      time.Time // when it saw them prove who they are; zero: it does not say
}

// SignedIn is a sign-in that was made, or changed.
type SignedIn struct {
	SignIn SignIn
	Places []Membership
}

func (s SignIn) target() audit.Target {
	return audit.Target{Type: "session", ID: string(s.ID), Name: s.Method}
}

func (s SignedIn) target() audit.Target { return s.SignIn.target() }

func (s SignIn) fields() audit.Fields {
	return audit.Fields{"method": s.Method, "expires_at": s.ExpiresAt.UTC().Format(timeLayout)}
}

var (
	errSignedInOnly = &Error{
		Kind:   PermissionDenied,
		Reason: "this is for people who signed in; no key does it",
	}
	errStepUp = Errorf(StepUpRequired, "prove again who you are: it has been more than %d minutes", StepUpLife/time.Minute)

	// ErrNotSignedIn is the one answer to whoever does not prove who they are,
	// whatever the reason.
	ErrNotSignedIn = Errorf(Unauthenticated, "that did not prove who you are")
)

// SignIn signs a person in. Once it returns nil, the cookie works on every node.
func (s *Service) SignIn(ctx context.Context, c Caller, in NewSignIn) (Done[SignedIn], error) {
	c = Caller{Source: c.Source, RequestID: c.RequestID, Prefer: c.Prefer}
	a := attempt{in: own, action: "session.created", open: true, target: audit.Target{Type: "session"}}
	return do(ctx, s, c, a, func(w *work) (SignedIn, error) {
		linked, err := w.whose(&in.Proof)
		if err != nil {
			return SignedIn{}, err
		}
		if err := w.stillProves(in.Proof); err != nil {
			return SignedIn{}, err
		}
		out, err := w.signIn(in)
		if linked && err == nil {
			w.tellLinked(out, in.Proof.Issuer)
		}
		return out, err
	})
}

// stillProves refuses a proof whose ground was taken away since it was checked, and
// uses up what works once.
func (w *work) stillProves(p Proof) error {
	if p.Method == ByPassword {
		kept, err := w.Password(w.ctx, p.Person)
		if err != nil && !errors.Is(err, NotFound) {
			return fmt.Errorf("read a password again: %w", err)
		}
		if err != nil || kept.Encoded != p.Password {
			return ErrNotSignedIn
		}
	}
	if p.Passkey != nil {
		kept, err := w.Passkey(w.ctx, p.Passkey.Credential)
		if err != nil && !errors.Is(err, NotFound) {
			return fmt.Errorf("read a passkey again: %w", err)
		}
		if err != nil || kept.ID != p.Passkey.ID || kept.Person != p.Person {
			return ErrNotSignedIn
		}
		used := *p.Passkey
		used.Name, used.LastUsedAt = kept.Name, w.Now()
		if err := w.UpdatePasskey(w.ctx, used); err != nil {
			return fmt.Errorf("note the use of a passkey: %w", err)
		}
	}
	return w.useTicket(p.Ticket)
}

// useTicket uses up what works once; zero is nothing.
func (w *work) useTicket(hash token.Hash) error {
	if hash == (token.Hash{}) {
		return nil
	}
	t, err := w.Ticket(w.ctx, hash)
	switch {
	case errors.Is(err, NotFound):
		return ErrNotSignedIn
	case err != nil:
		return fmt.Errorf("read a ticket: %w", err)
	case !w.Now().Before(t.ExpiresAt):
		return ErrNotSignedIn
	}
	return w.TakeTicket(w.ctx, hash)
}

// signIn makes a sign-in, and a session in each workspace that the person is in.
func (w *work) signIn(in NewSignIn) (SignedIn, error) {
	places, err := w.Memberships(w.ctx, in.Proof.Person)
	if err != nil {
		return SignedIn{}, fmt.Errorf("look for memberships: %w", err)
	}
	if len(places) == 0 {
		return SignedIn{}, ErrNotSignedIn
	}
	at := max(0, slices.IndexFunc(places, func(m Membership) bool { return m.Workspace.ID == in.Workspace }))
	if err := w.makeRoom(in.Proof.Person); err != nil {
		return SignedIn{}, err
	}
	made := SignIn{
		ID: SignInID(NewID(SignInPrefix, w.Now())), Person: in.Proof.Person, Hash: in.Cookie, Method: in.Proof.Method,
		Workspace: places[at].Workspace.ID, CreatedAt: w.Now(), SeenAt: w.Now(),
		AuthenticatedAt: in.Proof.provedAt(w.Now()), ExpiresAt: w.Now().Add(SignInLife), Source: w.caller.Source,
	}
	sessions := make([]Session, len(places))
	for i, m := range places {
		sessions[i] = Session{SignIn: made, Workspace: m.Workspace.ID, Principal: m.Principal, Hash: in.Sessions(m.Workspace.ID)}
		w.change.Keys = append(w.change.Keys, sessions[i].record())
	}
	w.actIn(places[at].Workspace, sessions)
	w.tellEach(sessions, audit.Event{Action: "session.created", Target: made.target(), After: made.fields()})
	w.issued = string(made.ID)
	return SignedIn{made, places}, w.InsertSignIn(w.ctx, made, sessions)
}

// makeRoom ends the oldest sign-in of a person who has very many.
func (w *work) makeRoom(person PersonID) error {
	all, err := w.SignIns(w.ctx, person, w.Now())
	if err != nil {
		return fmt.Errorf("count the sign-ins: %w", err)
	}
	for len(all) >= maxSignIns {
		last := len(all) - 1
		if err := w.endSignIn(&all[last], "there were too many"); err != nil {
			return err
		}
		all = all[:last]
	}
	return nil
}

// actIn makes the caller of an open call the member that the sessions are of: in
// ws, and for the logs of the others in those.
func (w *work) actIn(ws Workspace, sessions []Session) {
	if w.ws.ID == "" {
		w.ws = ws
	}
	if w.as == nil {
		w.as = map[WorkspaceID]Principal{}
	}
	for _, s := range sessions {
		w.as[s.Workspace] = s.Principal
		if s.Workspace == w.ws.ID && w.caller.Principal.ID == "" {
			w.caller.Principal = s.Principal
		}
	}
}

// tellEach writes an event into the log of each workspace that sessions are in.
// What is to stand in that of the attempt is the attempt's own event, when that is
// of the same action and about nothing yet.
func (w *work) tellEach(sessions []Session, e audit.Event) {
	e.Outcome = audit.Done
	for _, s := range sessions {
		own := s.Workspace == w.ws.ID
		if own && w.event.Target.ID == "" {
			w.event.Action, w.event.Target, w.event.Before, w.event.After = e.Action, e.Target, e.Before, e.After
			w.event.Reason = e.Reason
			continue
		}
		further := e
		further.Workspace = string(s.Workspace)
		w.further = append(w.further, further)
	}
}

// endSignIn ends a sign-in in all workspaces.
func (w *work) endSignIn(s *SignIn, reason string) error {
	sessions, err := w.Sessions(w.ctx, s.ID)
	if err != nil {
		return fmt.Errorf("read the sessions of a sign-in: %w", err)
	}
	s.EndedAt = w.Now()
	for i := range sessions {
		sessions[i].SignIn = *s
		w.change.Keys = append(w.change.Keys, sessions[i].record())
	}
	if w.as == nil {
		w.as = map[WorkspaceID]Principal{}
	}
	for _, session := range sessions {
		w.as[session.Workspace] = session.Principal
	}
	w.tellEach(sessions, audit.Event{Action: "session.ended", Target: s.target(), Reason: reason})
	return w.UpdateSignIn(w.ctx, *s)
}

// EndSignIn ends a sign-in of the calling person: this one, when id is empty. Once
// it returns nil, no node accepts its cookie.
func (s *Service) EndSignIn(ctx context.Context, c Caller, id SignInID) (Done[SignedIn], error) {
	id = cmp.Or(id, c.Session)
	a := attempt{in: own, action: "session.ended", person: true}
	return do(ctx, s, c, a, func(w *work) (SignedIn, error) {
		found, err := w.SignIn(ctx, id)
		if err != nil {
			return SignedIn{}, err
		}
		if found.Person != w.Found().Session.SignIn.Person {
			return SignedIn{}, Errorf(NotFound, "there is no such session")
		}
		if !found.EndedAt.IsZero() {
			w.event.Target, w.event.Reason = found.target(), repeated("")
			return SignedIn{SignIn: found}, nil
		}
		return SignedIn{SignIn: found}, w.endSignIn(&found, "")
	})
}

// EndedSignIns are the sign-ins that a call ended.
type EndedSignIns struct {
	Kept  SignIn
	Ended []SignIn
}

func (e EndedSignIns) target() audit.Target { return e.Kept.target() }

// EndOtherSignIns ends all sign-ins of the calling person but the one that they
// call with.
func (s *Service) EndOtherSignIns(ctx context.Context, c Caller) (Done[EndedSignIns], error) {
	a := attempt{in: own, action: "session.ended", person: true}
	return do(ctx, s, c, a, func(w *work) (EndedSignIns, error) {
		out := EndedSignIns{Kept: w.Found().Session.SignIn}
		w.event.Target = out.Kept.target()
		w.event.Reason = "all others of this person"
		var err error
		out.Ended, err = w.endOthers(out.Kept, "its person ended all others")
		return out, err
	})
}

// endOthers ends the sign-ins of a person but for one.
func (w *work) endOthers(kept SignIn, reason string) ([]SignIn, error) {
	all, err := w.SignIns(w.ctx, kept.Person, w.Now())
	if err != nil {
		return nil, fmt.Errorf("look for other sign-ins: %w", err)
	}
	others := slices.DeleteFunc(all, func(s SignIn) bool { return s.ID == kept.ID })
	for i := range others {
		if err := w.endSignIn(&others[i], reason); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// StepUp notes that the calling person has proved again who they are.
func (s *Service) StepUp(ctx context.Context, c Caller, proof Proof) (Done[SignedIn], error) {
	a := attempt{in: own, action: "session.renewed", person: true}
	return do(ctx, s, c, a, func(w *work) (SignedIn, error) {
		now := w.Found().Session.SignIn
		w.event.Target, w.event.After = now.target(), audit.Fields{"method": proof.Method}
		if err := w.stepsUp(&proof); err != nil {
			return SignedIn{}, err
		}
		if proof.Person != now.Person {
			return SignedIn{}, ErrNotSignedIn
		}
		if err := w.stillProves(proof); err != nil {
			return SignedIn{}, err
		}
		now.AuthenticatedAt = proof.provedAt(w.Now())
		if !now.Fresh(w.Now()) {
			return SignedIn{}, ErrNotSignedIn
		}
		return SignedIn{SignIn: now}, w.UpdateSignIn(ctx, now)
	})
}

// SignIns lists the sign-ins of the calling person that work, newest first.
func (s *Service) SignIns(ctx context.Context, c Caller) ([]SignIn, error) {
	now, err := s.person(ctx, c)
	if err != nil {
		return nil, err
	}
	return s.Store.SignIns(ctx, now.Person, s.Now())
}

// CurrentSignIn returns the sign-in of the calling person, and where they are
// members.
func (s *Service) CurrentSignIn(ctx context.Context, c Caller) (SignedIn, Person, error) {
	now, err := s.person(ctx, c)
	if err != nil {
		return SignedIn{}, Person{}, err
	}
	person, err := s.Store.Person(ctx, now.Person)
	if err != nil {
		return SignedIn{}, Person{}, err
	}
	sessions, err := s.Store.Sessions(ctx, now.ID)
	if err != nil {
		return SignedIn{}, Person{}, err
	}
	places, err := s.Store.Memberships(ctx, now.Person)
	places = slices.DeleteFunc(places, func(m Membership) bool { // joined since: they sign in again to get there
		return !slices.ContainsFunc(sessions, func(s Session) bool { return s.Workspace == m.Workspace.ID })
	})
	return SignedIn{now, places}, person, err
}

// Place notes in which workspace the calling person works now. They must have a
// session there.
func (s *Service) Place(ctx context.Context, c Caller, ref string) error {
	now, _, err := s.CurrentSignIn(ctx, c)
	if err != nil {
		return err
	}
	for _, m := range now.Places {
		if ref == string(m.Workspace.ID) || ref == m.Workspace.Slug {
			return s.Store.PlaceSignIn(ctx, now.SignIn.ID, m.Workspace.ID)
		}
	}
	return Errorf(NotFound, "no such workspace")
}

// person returns the sign-in that a call is made with.
func (s *Service) person(ctx context.Context, c Caller) (SignIn, error) {
	if c.Session == "" {
		return SignIn{}, errSignedInOnly
	}
	now, err := s.Store.SignIn(ctx, c.Session)
	if errors.Is(err, NotFound) {
		return now, errStopped
	}
	return now, err
}
