package session

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// SSOOptions names a provider of OpenID Connect, and what this server is to it.
type SSOOptions struct {
	Issuer   string // as the provider writes it in its tokens
	ClientID string
	Secret   token.Secret
	Name     string   // of the provider, for people
	Domains  []string // of the addresses that it may vouch for; none: all
}

// SSO lets people sign in with a provider of OpenID Connect (Core 1.0, with the code
// flow and PKCE). It is safe for concurrent use. The provider is asked when somebody
// wants to sign in, not before.
type SSO struct {
	people   *People
	options  SSOOptions
	provider *provider
}

// NewSSO returns single sign-on for the people of a deployment.
func NewSSO(p *People, o SSOOptions) (*SSO, error) {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || o.ClientID == "" || o.Secret.IsZero() {
		return nil, errors.New("session: single sign-on needs an issuer, a client id and its secret")
	}
	return &SSO{people: p, options: o, provider: newProvider(u, p.now)}, nil
}

const (
	ssoPurpose  = "sso"            // opens the text of the cookie
	ssoTicket   = "sso"            // the kind of ticket that an attempt is
	attemptLife = 10 * time.Minute // for which somebody may be at the provider
	callback    = "/v1/oidc/callback"
	failedPlace = "/signin#error=sso"
	longestNext = 1024 // characters
	longestCode = 4096 // bytes, of what the provider sends to be exchanged
)

// attempt is what is kept of an attempt to sign in until the provider has answered.
type attempt struct {
	Next string       `json:"next"`              // where its holder wants to go then
	Step iam.SignInID `json:"step_up,omitempty"` // the sign-in that is to be renewed; empty: a new one
}

// Name returns what people call the provider.
func (s *SSO) Name() string { return s.options.Name }

// Life returns for how long the cookie of an attempt is good.
func (s *SSO) Life() time.Duration { return attemptLife }

// Failed returns where the browser goes whom the provider did not get in.
func (s *SSO) Failed() string { return s.people.url() + failedPlace }

// Start returns where the browser goes to prove to the provider whose it is, and the
// cookie that this one attempt belongs to. next is where it wants to go then: a path
// of this server, or it comes to its front page. With a sign-in it is that which is to
// be renewed: then the provider must ask again who they are.
func (s *SSO) Start(ctx context.Context, next string, step iam.SignInID) (location string, cookie token.Secret, err error) {
	at, err := s.provider.find(ctx, s.options.Issuer)
	if err != nil {
		return "", cookie, err
	}
	if cookie, err = s.people.iam.Mint.NewOpaque(ssoPurpose); err != nil {
		return "", cookie, err
	}
	if !isOwnPath(next) {
		next = "/"
	}
	data, err := json.Marshal(attempt{next, step})
	if err != nil {
		return "", cookie, fmt.Errorf("keep an attempt to sign in: %w", err)
	}
	_, err = s.people.iam.Store.KeepTicket(ctx, iam.Ticket{Hash: cookie.Hash(), Kind: ssoTicket, Data: string(data)}, attemptLife)
	if err != nil {
		return "", cookie, err
	}
	asks := []oauth2.AuthCodeOption{
		oauth2.SetAuthURLParam("nonce", s.bound(cookie, "nonce")),
		oauth2.S256ChallengeOption(s.bound(cookie, "verifier")),
		// With max_age the provider says when it saw them prove who they are (Core 1.0, 2).
		oauth2.SetAuthURLParam("max_age", fmt.Sprint(int(iam.SignInLife/time.Second))),
	}
	if step != "" {
		asks = append(asks, oauth2.SetAuthURLParam("max_age", "0"), oauth2.SetAuthURLParam("prompt", "login"))
	}
	return s.client(at).AuthCodeURL(s.bound(cookie, "state"), asks...), cookie, nil
}

// bound returns a value of an attempt, made from its cookie under the root secret: no
// other browser has it, and no row of the store gives it away.
func (s *SSO) bound(cookie token.Secret, what string) string {
	mac := hmac.New(sha256.New, s.people.keys.sso)
	mac.Write([]byte(what))
	mac.Write([]byte{0})
	mac.Write([]byte(cookie.Reveal()))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// client returns this server as package oauth2 knows it.
func (s *SSO) client(at *discovered) *oauth2.Config {
	return &oauth2.Config{
		ClientID: s.options.ClientID, ClientSecret: s.options.Secret.Reveal(), Endpoint: at.endpoint(),
		RedirectURL: s.people.url() + callback, Scopes: []string{"openid", "email"},
	}
}

// Finish takes what the provider told the browser, and signs in whom it is. It works
// once, for the browser that has the cookie of the attempt. me says who has signed in
// there: it is asked when that is to be renewed, and there is no new session then.
// Refusals are of kind [iam.Unauthenticated].
func (s *SSO) Finish(ctx context.Context, c iam.Caller, cookie token.Secret, answer url.Values, me func() (iam.Caller, error)) (location string, session token.Secret, err error) {
	kept, what, err := s.take(ctx, cookie, answer.Get("state"))
	if err != nil {
		return "", session, err
	}
	who, err := s.ask(ctx, cookie, answer)
	if err != nil {
		return "", session, err
	}
	location = s.people.url() + what.Next
	if what.Step != "" {
		return location, session, s.renew(ctx, what.Step, kept.CreatedAt, who, me)
	}
	proof, err := s.prove(ctx, who)
	if err != nil {
		return "", session, err
	}
	in, session, err := s.people.newSignIn(proof, "")
	if err != nil {
		return "", session, err
	}
	_, err = s.people.iam.SignIn(ctx, c, in)
	return location, session, err
}

// take uses an attempt up. The state is this browser's, or it is nobody's: whoever
// brings another's answer here does not get in.
func (s *SSO) take(ctx context.Context, cookie token.Secret, state string) (kept iam.Ticket, what attempt, err error) {
	if cookie.IsZero() || !hmac.Equal([]byte(state), []byte(s.bound(cookie, "state"))) {
		return kept, what, refuse("the answer is not to an attempt of this browser")
	}
	kept, err = s.people.iam.Store.Ticket(ctx, cookie.Hash())
	if errors.Is(err, iam.NotFound) {
		return kept, what, refuse("the attempt was made already, or never")
	} else if err != nil {
		return kept, what, err
	}
	if kept.Kind != ssoTicket || json.Unmarshal([]byte(kept.Data), &what) != nil || !isOwnPath(what.Next) {
		return kept, what, refuse("the attempt is of another kind")
	}
	err = s.people.iam.Store.DropTicket(ctx, cookie.Hash())
	if errors.Is(err, iam.Gone) {
		return kept, what, refuse("the attempt was made already, or took too long")
	}
	return kept, what, err
}

// ask exchanges what the browser brought for what the provider says of its holder.
func (s *SSO) ask(ctx context.Context, cookie token.Secret, answer url.Values) (*said, error) {
	at, err := s.provider.find(ctx, s.options.Issuer)
	if err != nil {
		return nil, err
	}
	if iss := answer.Get("iss"); iss != s.options.Issuer && (iss != "" || at.saysIssuer) { // RFC 9207, 2.4
		return nil, refuse("the answer does not name this provider")
	}
	code := answer.Get("code")
	switch {
	case answer.Has("error"):
		return nil, refuse("the provider said " + plainCode(answer.Get("error")))
	case code == "" || len(code) > longestCode:
		return nil, refuse("the answer has no code")
	}
	tokens, err := s.client(at).Exchange(s.provider.with(ctx), code, oauth2.VerifierOption(s.bound(cookie, "verifier")))
	if err != nil {
		return nil, exchangeError(err)
	}
	return s.verify(ctx, at, tokens, s.bound(cookie, "nonce"))
}

// prove returns the proof that somebody gave to the provider. It asks for their
// address only where it knows them by nothing else.
func (s *SSO) prove(ctx context.Context, who *said) (iam.Proof, error) {
	p := iam.Proof{Method: iam.BySSO, Issuer: s.options.Issuer, Subject: who.Subject, At: who.authenticatedAt()}
	_, err := s.people.iam.Store.Identity(ctx, p.Issuer, p.Subject)
	if !errors.Is(err, iam.NotFound) {
		return p, err
	}
	p.Email, err = s.address(ctx, who)
	return p, err
}

// renew notes that whoever has signed in has proved again who they are, after they
// were asked to.
func (s *SSO) renew(ctx context.Context, step iam.SignInID, asked time.Time, who *said, me func() (iam.Caller, error)) error {
	c, err := me()
	if err != nil {
		return err
	}
	at := who.authenticatedAt()
	switch {
	case c.Session != step:
		return refuse("somebody else has signed in meanwhile")
	case at.Before(asked.Add(-clockSkew)):
		return refuse("the provider did not ask again who they are, or does not say when it did")
	}
	_, err = s.people.iam.StepUp(ctx, c, iam.Proof{
		Method: iam.BySSO, Issuer: s.options.Issuer, Subject: who.Subject, At: at,
	})
	return err
}

// clockSkew is how far a provider's clock may be behind.
const clockSkew = time.Minute

// isOwnPath reports whether a text is a path of this server, and cannot be read as
// anything else by a browser: not as another host, with two slashes or a backslash,
// nor with what browsers leave out of an address (WHATWG URL, 4.4).
func isOwnPath(text string) bool {
	if len(text) > longestNext || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") {
		return false
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}

// refuse returns a refusal. Why is for the log: its caller hears what all hear.
func refuse(why string) error { return fmt.Errorf("%w: %s", iam.ErrNotSignedIn, why) }

// plainCode returns an error's code as a provider may write one (RFC 6749, 4.1.2.1),
// as far as it can stand in a log.
func plainCode(text string) string {
	for _, c := range []byte(text) {
		if c != '_' && (c < 'a' || c > 'z') {
			return "that it could not"
		}
	}
	const most = 64
	return cmp.Or(text[:min(len(text), most)], "that it could not")
}

// exchangeError says why a code could not be exchanged, and nothing that the provider
// wrote beyond an error's code: it may have written anything.
func exchangeError(err error) error {
	if answered, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		status := 0
		if answered.Response != nil {
			status = answered.Response.StatusCode
		}
		if status >= http.StatusInternalServerError {
			return fmt.Errorf("exchange a code: the provider answered %d", status)
		}
		return refuse(fmt.Sprintf("the provider answered the code with %d and said %s", status, plainCode(answered.ErrorCode)))
	}
	return fmt.Errorf("exchange a code: %w", asked(err))
}
