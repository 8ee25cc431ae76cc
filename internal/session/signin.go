package session

import (
	"context"
	"errors"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

var errOneProof = iam.Invalid("/password", "one_of", "send a password or a passkey, one of them")

// SignIn signs somebody in by what they prove, and returns their cookie.
func (p *People) SignIn(ctx context.Context, c iam.Caller, in api.SignIn) (done iam.Done[iam.SignedIn], cookie token.Secret, err error) {
	if (in.Password == "") == (in.Passkey == nil) {
		return done, cookie, errOneProof
	}
	proof, err := p.prove(ctx, c, in)
	if err != nil {
		return done, cookie, err
	}
	return p.enter(ctx, c, proof, in.Workspace)
}

func (p *People) prove(ctx context.Context, c iam.Caller, in api.SignIn) (iam.Proof, error) {
	if in.Passkey != nil {
		return p.byPasskey(ctx, *in.Passkey, "")
	}
	return p.byPassword(ctx, c, in.Email, in.Password)
}

// enter signs in who proved who they are.
func (p *People) enter(ctx context.Context, c iam.Caller, proof iam.Proof, workspace string) (done iam.Done[iam.SignedIn], cookie token.Secret, err error) {
	if workspace != "" {
		ws, err := p.iam.Store.Workspace(ctx, workspace)
		if err != nil && !errors.Is(err, iam.NotFound) {
			return done, cookie, err
		}
		workspace = string(ws.ID) // empty where there is none: then anywhere
	}
	signIn, cookie, err := p.newSignIn(proof, workspace)
	if err != nil {
		return done, cookie, err
	}
	done, err = p.iam.SignIn(ctx, c, signIn)
	return done, cookie, err
}

// StepUp lets who has signed in prove again who they are.
func (p *People) StepUp(ctx context.Context, c iam.Caller, in api.StepUp) (done iam.Done[iam.SignedIn], err error) {
	if (in.Password == "") == (in.Passkey == nil) {
		return done, errOneProof
	}
	_, person, err := p.iam.CurrentSignIn(ctx, c)
	if err != nil {
		return done, err
	}
	var proof iam.Proof
	if in.Passkey != nil {
		proof, err = p.byPasskey(ctx, *in.Passkey, person.ID)
	} else {
		proof, err = p.byPassword(ctx, c, person.Email, in.Password)
	}
	if err != nil {
		return done, err
	}
	return p.iam.StepUp(ctx, c, proof)
}

// ChangePassword gives who has signed in another password.
func (p *People) ChangePassword(ctx context.Context, c iam.Caller, in api.ChangePassword) (done iam.Done[iam.ChangedPassword], err error) {
	_, person, err := p.iam.CurrentSignIn(ctx, c)
	if err != nil {
		return done, err
	}
	if err := checkPassword("/new", in.New, person.Email); err != nil {
		return done, err
	}
	change := iam.PasswordChange{}
	if in.Current != "" {
		proof, err := p.byPassword(ctx, c, person.Email, in.Current)
		if err != nil {
			return done, err
		}
		change.Was = proof.Password
	}
	if change.Encoded, err = p.hash(ctx, in.New); err != nil {
		return done, err
	}
	return p.iam.ChangePassword(ctx, c, change)
}

// SetUp uses a setup link, and returns the cookie of who is signed in by it.
func (p *People) SetUp(ctx context.Context, c iam.Caller, in api.Setup) (done iam.Done[iam.SetUp], cookie token.Secret, err error) {
	want := iam.NewSetup{Token: token.NewSecret(in.Token), Name: in.Owner.Name, Email: in.Owner.Email}
	if in.Workspace != nil {
		want.Workspace, want.Slug = in.Workspace.Name, in.Workspace.Slug
	}
	given, err := p.choose(ctx, "/owner/password", in.Owner.Email, in.Owner.Password, in.Owner.Passkey)
	if err != nil {
		return done, cookie, err
	}
	want.Credential, want.Person = given.credential, given.person
	if want.SignIn, cookie, err = p.newSignIn(given.proof, ""); err != nil {
		return done, cookie, err
	}
	done, err = p.iam.UseSetupLink(ctx, c, want)
	return done, cookie, err
}

// chosen is what somebody wants to sign in with from now on.
type chosen struct {
	credential iam.NewCredential
	person     iam.PersonID // that a passkey was made for
	proof      iam.Proof
}

// choose reads a new password or passkey.
func (p *People) choose(ctx context.Context, pointer, email, password string, key *api.NewPasskeyProof) (out chosen, err error) {
	switch {
	case (password == "") == (key == nil):
		return out, iam.Invalid(pointer, "one_of", "choose a password or a passkey, one of them")
	case key != nil:
		return p.newPasskey(ctx, *key, "")
	}
	if err := checkPassword(pointer, password, email); err != nil {
		return out, err
	}
	out.proof = iam.Proof{Method: iam.ByPassword}
	out.credential.Password, err = p.hash(ctx, password)
	return out, err
}

// Accept accepts an invitation, and signs the new member in when they say with what.
func (p *People) Accept(ctx context.Context, c iam.Caller, in api.AcceptInvitation) (done iam.Done[iam.AcceptedInvitation], key, cookie token.Secret, err error) {
	want := iam.Acceptance{Token: token.NewSecret(in.Token), Name: in.Name}
	if in.Key != nil {
		want.KeyName = in.Key.Name
	}
	if in.Password != "" || in.Passkey != nil {
		if cookie, err = p.identify(ctx, c, in, &want); err != nil {
			return done, key, cookie, err
		}
	}
	done, key, err = p.iam.AcceptInvitation(ctx, c, want)
	return done, key, cookie, err
}

// identify adds to an acceptance what the new member signs in with: what they have
// already, or what is theirs from now on.
func (p *People) identify(ctx context.Context, c iam.Caller, in api.AcceptInvitation, want *iam.Acceptance) (cookie token.Secret, err error) {
	invitation, err := p.iam.Store.InvitationByToken(ctx, want.Token.Hash())
	if err != nil && !errors.Is(err, iam.NotFound) {
		return cookie, err
	}
	known := err == nil && p.isKnown(ctx, invitation.Email)
	var proof iam.Proof
	switch {
	case known && in.Password != "":
		proof, err = p.byPassword(ctx, c, invitation.Email, in.Password)
	case known:
		proof, err = p.byPasskey(ctx, api.PasskeyProof{Ceremony: in.Passkey.Ceremony, Credential: in.Passkey.Credential}, "")
	default:
		var given chosen
		given, err = p.choose(ctx, "/password", invitation.Email, in.Password, in.Passkey)
		want.Credential, want.Person, proof = &given.credential, given.person, given.proof
	}
	if err != nil {
		return cookie, err
	}
	signIn, cookie, err := p.newSignIn(proof, string(invitation.Workspace))
	want.SignIn = &signIn
	return cookie, err
}

// isKnown reports whether somebody with an address has anything to sign in with. What
// follows from it is decided again in the transaction.
func (p *People) isKnown(ctx context.Context, email string) bool {
	person, err := p.iam.Store.PersonByEmail(ctx, email)
	if err != nil {
		return false
	}
	if _, err := p.iam.Store.Password(ctx, person.ID); err == nil {
		return true
	}
	keys, err := p.iam.Store.Passkeys(ctx, person.ID)
	return err == nil && len(keys) > 0
}
