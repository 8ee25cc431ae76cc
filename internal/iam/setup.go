package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// The kinds of setup links, which are also how the text of one begins.
const (
	FirstSetup  = "setup"  // of a deployment: it makes the system workspace and its owner
	MemberSetup = "member" // of a member who has nothing to sign in with
)

// SetupLife is how long a setup link works.
const SetupLife = 15 * time.Minute

// errLinkOver is the one answer to a setup link that does not work, whatever the
// reason.
var errLinkOver = Errorf(Gone, "this link does not exist, was used, or is over; make another with postern setup-link")

// FirstSetupLink returns the secret of a link that sets up an empty store.
func (s *Service) FirstSetupLink(ctx context.Context) (token.Secret, error) {
	if already, err := s.Store.Initialized(ctx); err != nil {
		return token.Secret{}, fmt.Errorf("look for a system workspace: %w", err)
	} else if already {
		return token.Secret{}, Errorf(Gone, "this store is initialised already")
	}
	return s.keepLink(ctx, FirstSetup, "")
}

// MemberSetupLink returns the secret of a link by which a member, found by address,
// gets something to sign in with. Who has something already needs no link. It is for
// whoever holds the store itself, and stands in the audit log as Postern's own act.
func (s *Service) MemberSetupLink(ctx context.Context, email string) (token.Secret, error) {
	person, err := s.Store.PersonByEmail(ctx, folded(strings.TrimSpace(email)))
	if err != nil {
		return token.Secret{}, err
	}
	places, err := s.Store.Memberships(ctx, person.ID)
	if err != nil {
		return token.Secret{}, err
	}
	if len(places) == 0 {
		return token.Secret{}, Errorf(NotFound, "nobody who is a member has this address")
	}
	if has, err := hasCredential(ctx, s.Store, person.ID); err != nil {
		return token.Secret{}, err
	} else if has {
		return token.Secret{}, Errorf(AlreadyMember, "%s can sign in already", person.Email)
	}
	secret, err := s.keepLink(ctx, MemberSetup, person.ID)
	if err != nil {
		return secret, err
	}
	return secret, s.Store.Note(ctx, func(tx NoteTx) error {
		for _, m := range places {
			e := audit.Event{
				Workspace: string(m.Workspace.ID), Action: "setup_link.created", Outcome: audit.Done,
				Target: audit.Target{Type: "member", ID: string(m.Principal.ID), Name: m.Principal.Name},
			}
			Internal("setup link", audit.Source{}).sign(&e, tx.Now())
			if err := tx.AppendEvent(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) keepLink(ctx context.Context, kind string, person PersonID) (token.Secret, error) {
	secret, err := s.Mint.NewOpaque(kind)
	if err != nil {
		return secret, err
	}
	_, err = s.Store.KeepTicket(ctx, Ticket{Hash: secret.Hash(), Kind: kind, Person: person}, SetupLife)
	return secret, err
}

// hasCredential reports whether a person has anything to sign in with.
func hasCredential(ctx context.Context, r PeopleReader, person PersonID) (bool, error) {
	if _, err := r.Password(ctx, person); !errors.Is(err, NotFound) {
		return err == nil, err
	}
	keys, err := r.Passkeys(ctx, person)
	return len(keys) > 0, err
}

// NewSetup is what is made of a setup link.
type NewSetup struct {
	Token      token.Secret
	Workspace  string // name; with the first link
	Slug       string // empty: made of the name
	Name       string // of the owner; with the first link
	Email      string
	Person     PersonID // that a new passkey was made for; empty: it is a password
	Credential NewCredential
	SignIn     NewSignIn // its proof is the credential
}

// SetUp is what came of a setup link.
type SetUp struct {
	SignedIn
	Workspace Workspace
	Owner     Person
	first     bool
}

func (s SetUp) target() audit.Target {
	if s.first {
		return s.Workspace.target()
	}
	return s.Owner.target()
}

// UseSetupLink makes the system workspace and its owner, or gives a member something
// to sign in with, and signs them in. The link works once, and the first one only as
// long as nothing has been set up.
func (s *Service) UseSetupLink(ctx context.Context, c Caller, in NewSetup) (Done[SetUp], error) {
	c = Caller{Source: c.Source, RequestID: c.RequestID, Prefer: c.Prefer}
	a := attempt{in: own, action: "workspace.created", open: true, target: audit.Target{Type: "workspace"}}
	return do(ctx, s, c, a, func(w *work) (SetUp, error) {
		link, err := w.Ticket(ctx, in.Token.Hash())
		switch {
		case errors.Is(err, NotFound):
			return SetUp{}, errLinkOver
		case err != nil:
			return SetUp{}, fmt.Errorf("read a setup link: %w", err)
		case !w.Now().Before(link.ExpiresAt):
			return SetUp{}, errLinkOver
		}
		if err := w.useTicket(in.SignIn.Proof.Ticket); err != nil {
			return SetUp{}, err
		}
		if err := w.TakeTicket(ctx, link.Hash); err != nil {
			return SetUp{}, err
		}
		switch link.Kind {
		case FirstSetup:
			return w.setUpFirst(in)
		case MemberSetup:
			return w.setUpMember(link.Person, in)
		}
		return SetUp{}, errLinkOver
	})
}

func (w *work) setUpFirst(in NewSetup) (SetUp, error) {
	if already, err := w.Initialized(w.ctx); err != nil {
		return SetUp{}, fmt.Errorf("look for a system workspace: %w", err)
	} else if already {
		return SetUp{}, errLinkOver
	}
	var v validation
	email := v.email("/owner/email", in.Email)
	v.name("/owner/name", in.Name)
	v.name("/workspace/name", in.Workspace)
	if err := v.err(); err != nil {
		return SetUp{}, err
	}
	ws, err := w.newWorkspace(in.Workspace, cmp.Or(in.Slug, slugOf(in.Workspace)), true)
	if err != nil {
		return SetUp{}, err
	}
	w.ws = ws
	role, err := w.Role(w.ctx, ws.ID, Owner)
	if err != nil {
		return SetUp{}, fmt.Errorf("read the role owner: %w", err)
	}
	owner, err := w.firstOwner(Person{ID: in.Person, Email: email, Name: in.Name}, role)
	if err != nil {
		return SetUp{}, err
	}
	w.event.Target, w.event.After = ws.target(), ws.fields()
	out := SetUp{Workspace: ws, Owner: owner.Person, first: true}
	out.SignedIn, err = w.beginWith(owner.Person, in.Credential, in.SignIn)
	return out, err
}

func (w *work) setUpMember(id PersonID, in NewSetup) (SetUp, error) {
	person, err := w.Person(w.ctx, id)
	if err != nil {
		return SetUp{}, fmt.Errorf("read the person of a setup link: %w", err)
	}
	if in.Person != "" && in.Person != id {
		return SetUp{}, ErrNotSignedIn // the passkey was made for somebody else
	}
	if has, err := hasCredential(w.ctx, w, id); err != nil {
		return SetUp{}, err
	} else if has {
		return SetUp{}, errLinkOver
	}
	w.event.Action, w.event.Target = in.Credential.action(), person.target()
	out := SetUp{Owner: person}
	out.SignedIn, err = w.beginWith(person, in.Credential, in.SignIn)
	return out, err
}

// action is what the audit log calls it that somebody got a credential.
func (n NewCredential) action() string {
	if n.Passkey != nil {
		return "passkey.added"
	}
	return "password.changed"
}

// beginWith gives a person their first credential, and signs them in with it.
func (w *work) beginWith(p Person, credential NewCredential, in NewSignIn) (SignedIn, error) {
	if err := w.give(p.ID, credential); err != nil {
		return SignedIn{}, err
	}
	in.Proof.Person = p.ID
	return w.signIn(in)
}
