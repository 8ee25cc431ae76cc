// Package session is how people prove who they are: by a password, a passkey or a
// provider of single sign-on, on a browser or for a program that has none. It checks
// proofs and makes cookies; who may do what, and what follows from a proof, package
// iam decides.
package session

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// Options says what people need to sign in.
type Options struct {
	IAM    *iam.Service
	Secret []byte           // the deployment's root secret, at least 32 bytes
	Now    func() time.Time // nil: [time.Now]

	// URL returns the address under which users reach the server, which links and
	// passkeys go by. It is asked when somebody signs in, not before.
	URL func() string

	Mail *Mail // nil: nothing is sent

	// Cost is for tests that are not about passwords, and would hash them for much of
	// their time. The zero value is what the passwords of people need.
	Cost Cost
}

// People knows the people who sign in. It is safe for concurrent use.
type People struct {
	iam  *iam.Service
	now  func() time.Time
	url  func() string
	keys keys
	mail *Mail // nil: nothing is sent
	cost Cost

	hashing chan struct{} // one for each password that may be hashed at a time
	seen    seen
}

// keys are derived from the root secret, one for each purpose.
type keys struct{ session, guess, sso []byte }

const keyLen = 32 // bytes, of each

// New returns what knows the people of a deployment.
func New(o Options) (*People, error) {
	if o.IAM == nil || o.URL == nil || len(o.Secret) < keyLen {
		return nil, errors.New("session: the service, the address and a root secret of 32 bytes are needed")
	}
	p := &People{iam: o.IAM, now: o.Now, url: o.URL, mail: o.Mail, cost: o.Cost, hashing: make(chan struct{}, runtime.GOMAXPROCS(0))}
	if p.now == nil {
		p.now = time.Now
	}
	if p.cost == (Cost{}) {
		p.cost = owasp
	}
	for label, to := range map[string]*[]byte{"session": &p.keys.session, "guess": &p.keys.guess, "sso": &p.keys.sso} {
		key, err := hkdf.Key(sha256.New, o.Secret, nil, label, keyLen)
		if err != nil {
			return nil, fmt.Errorf("session: derive a key: %w", err)
		}
		*to = key
	}
	return p, nil
}

// cookiePurpose opens the text of a cookie.
const cookiePurpose = "sess"

// signInPlace stands for the sign-in itself where a hash names a workspace.
const signInPlace = iam.WorkspaceID("")

// Hash returns the hash of a cookie's session in a workspace. Whoever can only write
// rows signs nobody in: it is made with the root secret.
func (p *People) Hash(cookie token.Secret, ws iam.WorkspaceID) token.Hash {
	mac := hmac.New(sha256.New, p.keys.session)
	mac.Write([]byte(cookie.Reveal()))
	mac.Write([]byte{0})
	mac.Write([]byte(ws))
	return sha256.Sum256(mac.Sum(nil))
}

// newSignIn returns a fresh cookie, and the sign-in that it is for.
func (p *People) newSignIn(proof iam.Proof, workspace string) (iam.NewSignIn, token.Secret, error) {
	cookie, err := p.iam.Mint.NewOpaque(cookiePurpose)
	if err != nil {
		return iam.NewSignIn{}, cookie, err
	}
	return iam.NewSignIn{
		Proof: proof, Workspace: iam.WorkspaceID(workspace), Cookie: p.Hash(cookie, signInPlace),
		Sessions: func(ws iam.WorkspaceID) token.Hash { return p.Hash(cookie, ws) },
	}, cookie, nil
}

// Secure reports whether users reach the server over TLS.
func (p *People) Secure() bool { return strings.HasPrefix(p.url(), "https:") }

// Host returns the name, and the port if it is said, under which users reach the
// server.
func (p *People) Host() string {
	u, err := url.Parse(p.url())
	if err != nil {
		return ""
	}
	return u.Host
}

const (
	seenFor   = 30 * time.Second // how long a sign-in is taken for used without a look
	seenEvery = time.Minute      // how often at most it is written down that it is used
	maxSeen   = 4096             // how many are remembered
)

// seen remembers sign-ins that were found to be in use, each for a moment. Whether
// one was ended is not its business: the replica knows that.
type seen struct {
	mu    sync.Mutex // guards known
	known map[token.Hash]seenUntil
}

type seenUntil struct {
	signIn iam.SignIn
	until  time.Time
}

func (s *seen) get(h token.Hash, now time.Time) (iam.SignIn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.known[h]
	return found.signIn, ok && now.Before(found.until) && found.signIn.Works(now)
}

func (s *seen) put(h token.Hash, in iam.SignIn, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSeen {
		s.known = map[token.Hash]seenUntil{}
	}
	s.known[h] = seenUntil{in, until}
}

// Find returns the sign-in of a cookie, if it may be used, as it was a moment ago; or
// as it is now, when exact is asked for. That it is used is noted.
func (p *People) Find(ctx context.Context, cookie token.Secret, exact bool) (iam.SignIn, error) {
	if cookie.IsZero() {
		return iam.SignIn{}, iam.ErrNotSignedIn
	}
	h, now := p.Hash(cookie, signInPlace), p.now()
	if in, ok := p.seen.get(h, now); ok && !exact {
		return in, nil
	}
	in, err := p.look(ctx, h, now)
	if err != nil {
		return in, err
	}
	if now.Sub(in.SeenAt) >= seenEvery {
		if err := p.iam.Store.SeeSignIn(ctx, in.ID); err != nil {
			return in, err
		}
	}
	p.seen.put(h, in, now.Add(seenFor))
	return in, nil
}

// look reads a sign-in that may be used.
func (p *People) look(ctx context.Context, h token.Hash, now time.Time) (iam.SignIn, error) {
	in, err := p.iam.Store.SignInByHash(ctx, h)
	if errors.Is(err, iam.NotFound) || err == nil && !in.Works(now) {
		return in, iam.ErrNotSignedIn
	}
	return in, err
}

// Still returns nil if a cookie may be used. Nothing is noted of it: what lasts by
// itself, such as a stream, is no sign that somebody is there.
func (p *People) Still(ctx context.Context, cookie token.Secret) error {
	h, now := p.Hash(cookie, signInPlace), p.now()
	if _, ok := p.seen.get(h, now); ok {
		return nil
	}
	in, err := p.look(ctx, h, now)
	if err == nil {
		p.seen.put(h, in, now.Add(seenFor))
	}
	return err
}
