package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// What is asked of a provider takes so long at most, and answers so much.
const (
	askFor     = 10 * time.Second
	mostAnswer = 1 << 20 // bytes, of each
	mostHeader = 64 << 10
)

const (
	knownFor   = time.Hour        // what a provider says of itself is asked again then
	awayFor    = 5 * time.Second  // and one that is away, then
	untilAgain = 60 * time.Second // and one that was there before, then
)

// provider finds out where a provider is to be asked for what.
type provider struct {
	http *http.Client
	now  func() time.Time
	turn chan struct{} // one asks, and writes what is below, at a time

	known   *discovered
	again   time.Time // when it is to be asked again
	trouble error     // why it could not be asked last
}

// discovered is what a provider says of itself (OpenID Connect Discovery 1.0, 3).
type discovered struct {
	provider   *oidc.Provider
	style      oauth2.AuthStyle
	saysIssuer bool // it names itself in each answer (RFC 9207, 3)
}

// newProvider returns what asks the provider with an issuer.
func newProvider(issuer *url.URL, now func() time.Time) *provider {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = mostHeader
	return &provider{now: now, turn: make(chan struct{}, 1), http: &http.Client{
		Timeout: askFor, Transport: guarded{transport, issuer.Scheme == "http" && isLoopback(issuer.Hostname())},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}}
}

// with returns a context in which packages oidc and oauth2 ask with care.
func (p *provider) with(ctx context.Context) context.Context { return oidc.ClientContext(ctx, p.http) }

// find returns what the provider says of itself, as it was a while ago, or why it
// cannot be asked. One that was there before is taken for what it was.
func (p *provider) find(ctx context.Context, issuer string) (*discovered, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the provider of single sign-on: %w", ctx.Err())
	}
	if p.now().Before(p.again) {
		return p.known, p.trouble
	}
	found, err := p.discover(ctx, issuer)
	switch {
	case err == nil:
		p.known, p.trouble, p.again = found, nil, p.now().Add(knownFor)
	case ctx.Err() != nil: // that says nothing about the provider
		return nil, err
	case p.known != nil:
		p.again = p.now().Add(untilAgain)
	default:
		p.trouble, p.again = err, p.now().Add(awayFor)
	}
	return p.known, p.trouble
}

func (p *provider) discover(ctx context.Context, issuer string) (*discovered, error) {
	found, err := oidc.NewProvider(p.with(ctx), issuer)
	if wrong, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return nil, fmt.Errorf("discover the provider of single sign-on: it calls itself %q: write it so", short(errors.New(wrong.Discovered)))
	} else if err != nil {
		return nil, fmt.Errorf("discover the provider of single sign-on: %w", asked(err))
	}
	var says struct {
		SaysIssuer  bool     `json:"authorization_response_iss_parameter_supported"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		Keys        string   `json:"jwks_uri"`
	}
	if err := found.Claims(&says); err != nil {
		return nil, errors.New("discover the provider of single sign-on: what it says of itself is of another type")
	}
	for _, text := range []string{found.Endpoint().AuthURL, found.Endpoint().TokenURL, says.Keys} {
		if u, err := url.Parse(text); err != nil || !p.http.Transport.(guarded).may(u) {
			return nil, errors.New("discover the provider of single sign-on: an address of its own does not begin with https://")
		}
	}
	out := &discovered{provider: found, saysIssuer: says.SaysIssuer, style: oauth2.AuthStyleInHeader}
	if len(says.AuthMethods) > 0 && !slices.Contains(says.AuthMethods, "client_secret_basic") {
		out.style = oauth2.AuthStyleInParams
	}
	return out, nil
}

// endpoint returns where package oauth2 asks, and how: it would try both ways else,
// and a code works once.
func (d *discovered) endpoint() oauth2.Endpoint {
	at := d.provider.Endpoint()
	at.AuthStyle = d.style
	return at
}

var (
	errRedirect = errors.New("the provider of single sign-on leads elsewhere")
	errInClear  = errors.New("the provider of single sign-on would be asked without TLS")
)

// guarded asks over TLS only, or on this machine where the provider is here, and reads
// no more than a bounded answer.
type guarded struct {
	next  *http.Transport
	plain bool // the provider is on this machine, without TLS
}

func (g guarded) may(u *url.URL) bool {
	return u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && g.plain && isLoopback(u.Hostname()))
}

// RoundTrip implements [http.RoundTripper].
func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if !g.may(r.URL) {
		return nil, errInClear
	}
	answer, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, mostAnswer)
	return answer, nil
}

func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// asked returns an error without anything that the other side wrote.
func asked(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	return errors.New("the provider's answer cannot be read")
}
