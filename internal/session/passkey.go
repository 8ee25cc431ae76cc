package session

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// What a ceremony is for.
const (
	toSignIn   = "sign_in"
	toStepUp   = "step_up"
	toRegister = "register"
)

const (
	ceremonyPurpose = "cer"           // opens the text that names one
	ceremonyLife    = 5 * time.Minute // as browsers wait for an authenticator
	passkeyTicket   = "passkey"       // the kind of ticket that a ceremony is
	displayName     = "Postern"       // of this server, in the browser's dialog
	newKeyName      = "Passkey"       // of one whose owner did not name it
)

// ceremony is what is kept of a challenge until it is answered.
type ceremony struct {
	For     string               `json:"for"`
	Person  iam.PersonID         `json:"person"` // empty: whoever answers
	Session webauthn.SessionData `json:"session"`
}

// errPasskey is the one answer to what an authenticator did not prove.
var errPasskey = iam.ErrNotSignedIn

// CanHavePasskeys reports whether browsers make passkeys for this server's address: they
// do for names over TLS, and for localhost.
func (p *People) CanHavePasskeys() bool {
	u, err := url.Parse(p.url())
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err != nil && (u.Scheme == "https" || u.Hostname() == "localhost")
}

// relyingParty returns this server as package webauthn knows it: by the address that
// users reach it under, and nothing that a request says.
func (p *People) relyingParty() (*webauthn.WebAuthn, error) {
	u, err := url.Parse(p.url())
	if err != nil || !p.CanHavePasskeys() {
		return nil, iam.Errorf(iam.InvalidRequest, "this server's address cannot have passkeys: it takes https, or localhost")
	}
	selection := protocol.AuthenticatorSelection{
		ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
	}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: displayName, RPOrigins: []string{u.Scheme + "://" + u.Host},
		AuthenticatorSelection: selection, AttestationPreference: protocol.PreferNoAttestation,
	})
}

// user is a person as package webauthn knows them.
type user struct {
	id          iam.PersonID
	name, shown string
	passkeys    []iam.Passkey
}

// WebAuthnID implements webauthn.User.
func (u user) WebAuthnID() []byte { return []byte(u.id) }

// WebAuthnName implements webauthn.User.
func (u user) WebAuthnName() string { return u.name }

// WebAuthnDisplayName implements webauthn.User.
func (u user) WebAuthnDisplayName() string { return cmp.Or(u.shown, u.name) }

// WebAuthnCredentials implements webauthn.User.
func (u user) WebAuthnCredentials() (all []webauthn.Credential) {
	for _, k := range u.passkeys {
		var c webauthn.Credential
		if json.Unmarshal([]byte(k.Record), &c) == nil { // one that cannot be read proves nothing
			all = append(all, c)
		}
	}
	return all
}

// PasskeyOptions begins a ceremony.
func (p *People) PasskeyOptions(ctx context.Context, c iam.Caller, in api.PasskeyOptionsRequest) (api.PasskeyOptions, error) {
	rp, err := p.relyingParty()
	if err != nil {
		return api.PasskeyOptions{}, err
	}
	if in.For == toRegister {
		who, err := p.registrant(ctx, c, in)
		if err != nil {
			return api.PasskeyOptions{}, err
		}
		options, session, err := rp.BeginRegistration(who, webauthn.WithExclusions(webauthn.Credentials(who.WebAuthnCredentials()).CredentialDescriptors()))
		if err != nil {
			return api.PasskeyOptions{}, fmt.Errorf("begin a registration: %w", err)
		}
		return p.begin(ctx, ceremony{toRegister, who.id, *session}, options.Response)
	}
	var person iam.PersonID
	if in.For == toStepUp {
		_, me, err := p.iam.CurrentSignIn(ctx, c)
		if err != nil {
			return api.PasskeyOptions{}, err
		}
		person = me.ID
	}
	options, session, err := rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return api.PasskeyOptions{}, fmt.Errorf("begin a sign-in: %w", err)
	}
	return p.begin(ctx, ceremony{in.For, person, *session}, options.Response)
}

// begin keeps a ceremony and answers its options.
func (p *People) begin(ctx context.Context, c ceremony, options any) (out api.PasskeyOptions, err error) {
	secret, err := p.iam.Mint.NewOpaque(ceremonyPurpose)
	if err != nil {
		return out, err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return out, fmt.Errorf("keep a ceremony: %w", err)
	}
	kept, err := p.iam.Store.KeepTicket(ctx, iam.Ticket{
		Hash: secret.Hash(), Kind: passkeyTicket, Person: c.Person, Data: string(data),
	}, ceremonyLife)
	if err != nil {
		return out, err
	}
	out = api.PasskeyOptions{Ceremony: secret.Reveal(), ExpiresAt: api.NewTime(kept.ExpiresAt)}
	text, err := json.Marshal(options)
	if err != nil {
		return out, fmt.Errorf("write the options of a ceremony: %w", err)
	}
	return out, json.Unmarshal(text, &out.PublicKey)
}

// registrant returns for whom a passkey is wanted: who has signed in, or who shows the
// token of a setup link or an invitation.
func (p *People) registrant(ctx context.Context, c iam.Caller, in api.PasskeyOptionsRequest) (user, error) {
	if in.Token == "" {
		_, me, err := p.iam.CurrentSignIn(ctx, c)
		if err != nil {
			return user{}, err
		}
		all, err := p.iam.Store.Passkeys(ctx, me.ID)
		return user{me.ID, me.Email, me.Name, all}, err
	}
	hash := token.NewSecret(in.Token).Hash()
	link, err := p.iam.Store.Ticket(ctx, hash)
	if err != nil && !errors.Is(err, iam.NotFound) {
		return user{}, err
	}
	if err == nil && p.now().Before(link.ExpiresAt) && link.Kind == iam.MemberSetup {
		person, err := p.iam.Store.Person(ctx, link.Person)
		return user{id: person.ID, name: person.Email, shown: person.Name}, err
	}
	if err == nil && p.now().Before(link.ExpiresAt) && link.Kind == iam.FirstSetup {
		return p.newcomer(in.Email, in.Name)
	}
	invitation, err := p.iam.Store.InvitationByToken(ctx, hash)
	switch {
	case errors.Is(err, iam.NotFound) || err == nil && invitation.State(p.now()) != iam.Pending:
		return user{}, iam.Errorf(iam.Gone, "this link does not exist, was used, or is over")
	case err != nil:
		return user{}, err
	}
	person, err := p.iam.Store.PersonByEmail(ctx, invitation.Email)
	if errors.Is(err, iam.NotFound) {
		return p.newcomer(invitation.Email, in.Name)
	}
	return user{id: person.ID, name: person.Email, shown: in.Name}, err
}

// newcomer returns somebody who is nobody yet.
func (p *People) newcomer(email, name string) (user, error) {
	if email == "" {
		return user{}, iam.Invalid("/email", "required", "must not be empty")
	}
	return user{id: iam.PersonID(iam.NewID(iam.PersonPrefix, p.now())), name: email, shown: name}, nil
}

// answered returns the ceremony that an answer is to, and its ticket. What changes
// something uses the ticket up.
func (p *People) answered(ctx context.Context, name, what string) (ceremony, token.Hash, error) {
	hash := token.NewSecret(name).Hash()
	kept, err := p.iam.Store.Ticket(ctx, hash)
	if errors.Is(err, iam.NotFound) {
		return ceremony{}, hash, errPasskey
	} else if err != nil {
		return ceremony{}, hash, err
	}
	var c ceremony
	if kept.Kind != passkeyTicket || !p.now().Before(kept.ExpiresAt) || json.Unmarshal([]byte(kept.Data), &c) != nil || c.For != what {
		return ceremony{}, hash, errPasskey
	}
	c.Session.Expires = time.Time{} // the ticket's own end counts
	return c, hash, nil
}

// byPasskey checks what an authenticator answered to the challenge of a sign-in, or,
// when it must be somebody, of a step-up of theirs.
func (p *People) byPasskey(ctx context.Context, in api.PasskeyProof, must iam.PersonID) (iam.Proof, error) {
	rp, err := p.relyingParty()
	if err != nil {
		return iam.Proof{}, err
	}
	what := toSignIn
	if must != "" {
		what = toStepUp
	}
	c, ticket, err := p.answered(ctx, in.Ceremony, what)
	if err != nil {
		return iam.Proof{}, err
	}
	text, err := json.Marshal(in.Credential)
	if err != nil {
		return iam.Proof{}, errPasskey
	}
	answer, err := protocol.ParseCredentialRequestResponseBytes(text)
	if err != nil {
		return iam.Proof{}, errPasskey
	}
	kept, err := p.iam.Store.Passkey(ctx, credentialID(answer.RawID))
	if errors.Is(err, iam.NotFound) {
		return iam.Proof{}, errPasskey
	} else if err != nil {
		return iam.Proof{}, err
	}
	who := user{id: kept.Person, passkeys: []iam.Passkey{kept}}
	_, proved, err := rp.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if string(handle) != string(kept.Person) {
			return nil, errPasskey
		}
		return who, nil
	}, c.Session, answer)
	if err != nil || proved.Authenticator.CloneWarning || must != "" && must != kept.Person {
		return iam.Proof{}, errPasskey
	}
	if kept.Record, err = recordOf(proved); err != nil {
		return iam.Proof{}, err
	}
	return iam.Proof{Person: kept.Person, Method: iam.ByPasskey, Passkey: &kept, Ticket: ticket}, nil
}

// newPasskey checks what an authenticator answered to the wish for a new passkey, of a
// person when one is named.
func (p *People) newPasskey(ctx context.Context, in api.NewPasskeyProof, must iam.PersonID) (out chosen, err error) {
	rp, err := p.relyingParty()
	if err != nil {
		return out, err
	}
	c, ticket, err := p.answered(ctx, in.Ceremony, toRegister)
	if err != nil {
		return out, err
	}
	text, err := json.Marshal(in.Credential)
	if err != nil || must != "" && must != c.Person {
		return out, errPasskey
	}
	answer, err := protocol.ParseCredentialCreationResponseBytes(text)
	if err != nil {
		return out, errPasskey
	}
	made, err := rp.CreateCredential(user{id: c.Person}, c.Session, answer)
	if err != nil {
		return out, errPasskey
	}
	record, err := recordOf(made)
	if err != nil {
		return out, err
	}
	out.person = c.Person
	out.proof = iam.Proof{Person: c.Person, Method: iam.ByPasskey, Ticket: ticket}
	out.credential.Passkey = &iam.Passkey{Credential: credentialID(made.ID), Name: cmp.Or(in.Name, newKeyName), Record: record}
	return out, nil
}

// AddPasskey adds a passkey to who has signed in.
func (p *People) AddPasskey(ctx context.Context, c iam.Caller, in api.NewPasskeyProof) (done iam.Done[iam.Passkey], err error) {
	_, me, err := p.iam.CurrentSignIn(ctx, c)
	if err != nil {
		return done, err
	}
	given, err := p.newPasskey(ctx, in, me.ID)
	if err != nil {
		return done, err
	}
	return p.iam.AddPasskey(ctx, c, given.proof, *given.credential.Passkey)
}

func recordOf(c *webauthn.Credential) (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("write a passkey: %w", err)
	}
	return string(text), nil
}

func credentialID(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
