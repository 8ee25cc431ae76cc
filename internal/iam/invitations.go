package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// invitationPurpose opens the text of an invitation's token.
const invitationPurpose = "inv"

// NewInvitation offers a membership to an address.
type NewInvitation struct {
	Email string
	Role  string // id or name
}

// Invite offers a membership. The token, which is shown once, is what accepts
// it. An earlier invitation of the same address that is still pending ends.
func (s *Service) Invite(ctx context.Context, c Caller, ws string, in NewInvitation) (Done[Invitation], token.Secret, error) {
	secret, err := s.Mint.NewOpaque(invitationPurpose)
	if err != nil {
		return Done[Invitation]{}, token.Secret{}, err
	}
	a := attempt{in: ws, action: "member.invited", needs: WriteMembers, fresh: true, target: audit.Target{Type: "invitation"}}
	done, err := do(ctx, s, c, a, func(w *work) (Invitation, error) {
		var v validation
		email := v.email("/email", in.Email)
		if err := v.err(); err != nil {
			return Invitation{}, err
		}
		role, err := w.roleNamed("/role", in.Role)
		if err != nil {
			return Invitation{}, err
		}
		if err := w.mayGive(role.Permissions, Permissions{}); err != nil {
			return Invitation{}, err
		}
		if err := w.notYetMember(email); err != nil {
			return Invitation{}, err
		}
		if err := w.cancelEarlier(email); err != nil {
			return Invitation{}, err
		}
		seats, err := w.Seats(ctx, w.ws.ID, w.Now())
		if err != nil {
			return Invitation{}, fmt.Errorf("count the seats: %w", err)
		}
		if !seats.free() {
			return Invitation{}, Errorf(SeatLimitReached, "all %d seats are held; service accounts take none", *seats.Limit)
		}
		inv := w.newInvitation(w.ws, email, role, secret)
		w.event.After = inv.fields()
		return inv, w.InsertInvitation(ctx, inv)
	})
	if err != nil {
		return done, token.Secret{}, err
	}
	return done, secret, nil
}

func (w *work) newInvitation(ws Workspace, email string, role Role, secret token.Secret) Invitation {
	id := InvitationID(NewID(InvitationPrefix, w.Now()))
	w.issued = string(id)
	return Invitation{
		ID: id, Workspace: ws.ID, Email: email, Role: Ref[RoleID]{role.ID, role.Name},
		TokenHash: secret.Hash(), InvitedBy: w.caller.createdBy(), InvitedByKey: w.caller.Key.ID,
		CreatedAt: w.Now(), ExpiresAt: w.Now().Add(time.Duration(ws.Policy.InvitationDays) * day),
		Version: w.Seq(),
	}
}

func (w *work) notYetMember(email string) error {
	list, err := w.Members(w.ctx, w.ws.ID, MemberFilter{State: Active, Email: email}, Page{Limit: 1})
	if err != nil {
		return fmt.Errorf("look for the member: %w", err)
	}
	if len(list.Items) > 0 {
		return Errorf(AlreadyMember, "%s is a member already", email)
	}
	return nil
}

// cancelEarlier ends a pending invitation of the same address, so that inviting
// twice holds one seat.
func (w *work) cancelEarlier(email string) error {
	list, err := w.Invitations(w.ctx, w.ws.ID, InvitationFilter{State: Pending, Email: email, Now: w.Now()}, Page{Limit: 1})
	if err != nil {
		return fmt.Errorf("look for an earlier invitation: %w", err)
	}
	for _, inv := range list.Items {
		e := audit.Event{Action: "invitation.cancelled", Outcome: audit.Done, Target: inv.target(), Reason: "invited again"}
		w.further = append(w.further, e)
		if err := w.endInvitation(&inv); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) endInvitation(inv *Invitation) error {
	role, err := w.Role(w.ctx, w.ws.ID, string(inv.Role.ID))
	if err != nil && !errors.Is(err, NotFound) { // a custom one may have been deleted since
		return fmt.Errorf("read the invitation's role: %w", err)
	}
	if err := w.mayActOn(role.Permissions); err != nil {
		return err
	}
	inv.CancelledAt, inv.Version = w.Now(), w.Seq()
	return w.UpdateInvitation(w.ctx, *inv)
}

// CancelInvitation takes an invitation back and frees its seat. Cancelling twice
// is not an error; one that was accepted is gone.
func (s *Service) CancelInvitation(ctx context.Context, c Caller, ws string, id InvitationID) (Done[Invitation], error) {
	a := attempt{in: ws, action: "invitation.cancelled", needs: WriteMembers, target: aim("invitation", string(id))}
	return do(ctx, s, c, a, func(w *work) (Invitation, error) {
		inv, err := w.Invitation(ctx, w.ws.ID, id)
		if err != nil {
			return inv, err
		}
		w.event.Target = inv.target()
		switch inv.State(w.Now()) {
		case Accepted:
			return inv, Errorf(Gone, "the invitation was accepted; remove the member instead")
		case Cancelled:
			w.event.Reason = repeated("")
			return inv, nil
		}
		return inv, w.endInvitation(&inv)
	})
}

// Invitations lists the invitations of a workspace.
func (s *Service) Invitations(ctx context.Context, c Caller, ws string, f InvitationFilter, page Page) (List[Invitation], error) {
	in, err := s.reading(ctx, c, ws, ReadMembers, audit.Target{Type: "invitation"})
	if err != nil {
		return List[Invitation]{}, err
	}
	return s.Store.Invitations(ctx, in, f, page)
}

// Acceptance makes a member of an invitation.
type Acceptance struct {
	Token   token.Secret
	Name    string
	KeyName string // not empty: the member's first key is wanted, with this name

	// SignIn signs the new member in, when it is not nil: with Credential, which is
	// theirs from now on, or else with its proof of what they have already. Person is
	// who a new passkey was made for.
	SignIn     *NewSignIn
	Credential *NewCredential
	Person     PersonID
}

// AcceptedInvitation is the member that an invitation made.
type AcceptedInvitation struct {
	Member   Member
	Key      *Key      // when one was asked for
	SignedIn *SignedIn // when they were signed in
}

func (a AcceptedInvitation) target() audit.Target   { return a.Member.target() }
func (a AcceptedInvitation) workspace() WorkspaceID { return a.Member.Workspace }

// errGone is the one answer to a token that does not work, whatever the reason.
var errGone = Errorf(Gone, "this invitation does not exist, was used or cancelled, or can no longer be given")

// AcceptInvitation makes a member. The token is the credential and works once.
// Everything that the invitation rested on is asked again: that whoever invited
// is active and still holds what they give, and that a seat is free. What else
// the caller holds, perhaps elsewhere, has no part in it.
func (s *Service) AcceptInvitation(ctx context.Context, c Caller, in Acceptance) (Done[AcceptedInvitation], token.Secret, error) {
	secret, err := s.Mint.New(token.Person)
	if err != nil {
		return Done[AcceptedInvitation]{}, token.Secret{}, err
	}
	c = Caller{Source: c.Source, RequestID: c.RequestID, Idempotency: c.Idempotency, Prefer: c.Prefer}
	a := attempt{in: own, action: "member.joined", open: true, target: audit.Target{Type: "invitation"}}
	done, err := do(ctx, s, c, a, func(w *work) (AcceptedInvitation, error) {
		var v validation
		v.name("/name", in.Name)
		if err := v.err(); err != nil {
			return AcceptedInvitation{}, err
		}
		inv, role, err := w.redeem(in.Token)
		if err != nil {
			return AcceptedInvitation{}, err
		}
		if err := w.mayBecome(inv.Email, in); err != nil {
			return AcceptedInvitation{}, err
		}
		var out AcceptedInvitation
		if out.Member, err = w.join(inv, role, in); err != nil {
			return out, err
		}
		if in.KeyName != "" {
			if out.Key, err = w.firstKey(out.Member, role, in.KeyName, secret); err != nil {
				return out, err
			}
			out.Member.Keys = KeyCounts{Active: 1, Total: 1}
		}
		if in.SignIn != nil {
			out.SignedIn, err = w.signInMember(out.Member, in)
		}
		return out, err
	})
	if err != nil || done.Value.Key == nil {
		return done, token.Secret{}, err
	}
	return done, secret, nil
}

// redeem looks up the invitation of a token and asks again all that it rests on.
func (w *work) redeem(secret token.Secret) (Invitation, Role, error) {
	inv, err := w.InvitationByToken(w.ctx, secret.Hash())
	switch {
	case errors.Is(err, NotFound):
		return inv, Role{}, errGone
	case err != nil:
		return inv, Role{}, fmt.Errorf("look up an invitation: %w", err)
	case inv.State(w.Now()) != Pending:
		return inv, Role{}, errGone
	}
	if w.ws, err = w.Workspace(w.ctx, string(inv.Workspace)); err != nil {
		return inv, Role{}, fmt.Errorf("read the workspace: %w", err)
	}
	role, err := w.Role(w.ctx, inv.Workspace, string(inv.Role.ID))
	if errors.Is(err, NotFound) || w.ws.Paused {
		return inv, role, errGone
	} else if err != nil {
		return inv, role, fmt.Errorf("read the invitation's role: %w", err)
	}
	if err := w.stillGiven(inv, role); err != nil {
		return inv, role, err
	}
	seats, err := w.Seats(w.ctx, inv.Workspace, w.Now())
	if err != nil {
		return inv, role, fmt.Errorf("count the seats: %w", err)
	}
	if seats.Limit != nil && seats.Used >= *seats.Limit {
		return inv, role, errGone
	}
	return inv, role, nil
}

// stillGiven refuses an invitation whose maker, or the key it was made with, has
// ended since or is paused, or no longer holds what it gives. A key that has merely expired
// does not take back what it gave.
func (w *work) stillGiven(inv Invitation, role Role) error {
	from := inv.Workspace
	if inv.InvitedFrom != "" {
		from = inv.InvitedFrom
	}
	if inv.InvitedByKey == "" && inv.InvitedBy.Type == audit.System {
		return nil // made by Postern itself
	}
	if inv.InvitedByKey == "" {
		return w.stillGivenBy(inv, from, role)
	}
	key, err := w.Key(w.ctx, from, inv.InvitedByKey)
	if err != nil {
		return fmt.Errorf("read the inviting key: %w", err)
	}
	holds := key.Effective().Covers(role.Permissions) && key.Effective().Allow(WriteMembers)
	if from != inv.Workspace { // a new workspace's first owner, invited by the deployment's operators
		holds = key.Effective().Allow(WriteWorkspaces)
	}
	if key.Revoked != nil || key.Pauses != "" || key.Principal.State != Active || !holds {
		return errGone
	}
	return nil
}

// stillGivenBy is stillGiven of an invitation by somebody who had signed in: signing
// out takes nothing back, being removed does.
func (w *work) stillGivenBy(inv Invitation, from WorkspaceID, role Role) error {
	inviter, err := w.Principal(w.ctx, from, inv.InvitedBy.ID)
	if err != nil {
		return fmt.Errorf("read the inviting member: %w", err)
	}
	held := inviter.Role.Permissions
	holds := held.Covers(role.Permissions) && held.Allow(WriteMembers)
	if from != inv.Workspace {
		holds = held.Allow(WriteWorkspaces)
	}
	if inviter.State != Active || !holds {
		return errGone
	}
	return nil
}

// join makes the person, where they are new, and the member.
func (w *work) join(inv Invitation, role Role, in Acceptance) (Member, error) {
	name := in.Name
	person, err := w.PersonByEmail(w.ctx, inv.Email)
	if errors.Is(err, NotFound) {
		id := cmp.Or(in.Person, PersonID(NewID(PersonPrefix, w.Now())))
		person = Person{ID: id, Email: inv.Email, Name: name, CreatedAt: w.Now()}
		err = w.InsertPerson(w.ctx, person)
	}
	if err != nil {
		return Member{}, fmt.Errorf("look up or add a person: %w", err)
	}
	m := Member{
		ID: PrincipalID(NewID(MemberPrefix, w.Now())), Workspace: inv.Workspace, Person: person, Name: name,
		Role: Ref[RoleID]{role.ID, role.Name}, CreatedAt: w.Now(), Version: w.Seq(),
	}
	inv.AcceptedAt, inv.Version = w.Now(), w.Seq()
	if err := w.UpdateInvitation(w.ctx, inv); err != nil {
		return m, fmt.Errorf("use up the invitation: %w", err)
	}
	w.caller.Principal = Principal{ID: m.ID, Type: MemberType, Workspace: m.Workspace, Name: m.Name}
	w.event.After = m.fields()
	w.change.Principals = append(w.change.Principals, m.record())
	return m, w.InsertMember(w.ctx, m)
}

// mayBecome refuses who accepts in the name of a person that there is, and does not
// prove to be them. Who invites sees the token; it must not open what the person has
// elsewhere, nor may whoever took the address first get into what others are given.
func (w *work) mayBecome(email string, in Acceptance) error {
	person, err := w.PersonByEmail(w.ctx, email)
	if errors.Is(err, NotFound) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look up a person: %w", err)
	}
	has, err := hasCredential(w.ctx, w, person.ID)
	switch {
	case err != nil:
		return fmt.Errorf("look for what a person signs in with: %w", err)
	case has && in.SignIn != nil && in.Credential == nil && in.SignIn.Proof.Person == person.ID:
		return w.stillProves(in.SignIn.Proof)
	case has:
		return errProveFirst
	case in.Person != "" && in.Person != person.ID:
		return ErrNotSignedIn // the passkey was made for somebody else
	case in.SignIn == nil:
		return nil
	}
	elsewhere, err := w.IsMember(w.ctx, person.ID)
	if err != nil {
		return fmt.Errorf("look for memberships: %w", err)
	}
	if elsewhere {
		return errLinkFirst
	}
	return nil
}

var (
	errProveFirst = Errorf(Unauthenticated, "this person can sign in already: accept with the password or a passkey that they have")
	errLinkFirst  = Errorf(Unauthenticated, "this person is a member elsewhere and has nothing to sign in with yet: ask for a link from postern setup-link")
)

// signInMember signs in who has just joined.
func (w *work) signInMember(m Member, in Acceptance) (*SignedIn, error) {
	joined := w.event
	w.event.Target = m.target() // so that signing in is an event of its own
	signIn := *in.SignIn
	signIn.Proof.Person = m.Person.ID
	var out SignedIn
	var err error
	if in.Credential != nil {
		if err := w.useTicket(signIn.Proof.Ticket); err != nil {
			return nil, err
		}
		out, err = w.beginWith(m.Person, *in.Credential, signIn)
		w.further = append(w.further, audit.Event{
			Workspace: string(m.Workspace), Action: in.Credential.action(), Outcome: audit.Done, Target: m.Person.target(),
		})
	} else {
		out, err = w.signIn(signIn)
	}
	w.event = joined
	return &out, err
}

// firstKey makes the key that a new member asked for along with joining.
func (w *work) firstKey(m Member, role Role, name string, secret token.Secret) (*Key, error) {
	p := Principal{
		ID: m.ID, Type: MemberType, Workspace: m.Workspace, Name: m.Name, State: Active,
		Role: PrincipalRole{role.ID, role.Name, role.Permissions},
	}
	w.may = role.Permissions
	joined := w.event.After
	key, err := w.newKey(p, NewKey{Name: name}, secret)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Fields != nil {
			for i := range e.Fields {
				e.Fields[i].Pointer = "/key" + e.Fields[i].Pointer
			}
		}
		return nil, err
	}
	w.further = append(w.further, audit.Event{
		Action: "key.created", Outcome: audit.Done, Target: key.target(), After: w.event.After,
	})
	w.event.After = joined
	return &key, nil
}
