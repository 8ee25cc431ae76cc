// Package providertest is a real provider of OpenID Connect, on loopback, for tests:
// package op of github.com/zitadel/oidc. A test may have it lie. No program has it.
package providertest

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// What the server under test is to the provider.
const (
	ClientID = "postern"
	Secret   = "what only the two of them know"
)

const password = "correct horse"

// Person is somebody whom the provider knows.
type Person struct {
	Subject  string
	Email    string
	Verified bool
}

// Lies are what a provider does that it should not. Each may be nil.
type Lies struct {
	Metadata func(map[string]any)                                      // what it says of itself
	Claims   func(map[string]any)                                      // of the ID token, which is signed afterwards
	Info     func(map[string]any)                                      // what it says of somebody who has signed in
	Sign     func(claims []byte, k *rsa.PrivateKey, kid string) string // the ID token; nil: as it should be
	Instead  http.Handler                                              // answers in its place, unless it panics with [Pass]
}

// Pass lets the provider answer after all.
var Pass = new(int)

// Provider is a provider that runs until it is closed. It is safe for concurrent use.
type Provider struct {
	Issuer string

	server  *httptest.Server
	op      *op.Provider
	storage *storage.Storage

	mu     sync.Mutex // guards what is below
	people map[string]Person
	lies   Lies
	asked  map[string]int
}

// New starts a provider that sends browsers back to an address.
func New(redirect string) (*Provider, error) {
	p := &Provider{people: map[string]Person{}, asked: map[string]int{}}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	p.Issuer = p.server.URL
	clients := map[string]*storage.Client{ClientID: storage.WebClient(ClientID, Secret, redirect)}
	p.storage = storage.NewStorageWithClients(directory{p}, clients)
	var err error
	p.op, err = op.NewProvider(&op.Config{
		CryptoKey: sha256.Sum256([]byte("of the tests")), CryptoKeyId: "tests", CodeMethodS256: true,
	}, p.storage, op.StaticIssuer(p.Issuer), op.WithAllowInsecure())
	return p, err
}

// Close ends the provider.
func (p *Provider) Close() { p.server.Close() }

// Know has the provider know somebody, by their subject, as they are from now on.
func (p *Provider) Know(who Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people[who.Subject] = who
}

// Lie has the provider do what it should not from now on, and nothing else of that
// sort.
func (p *Provider) Lie(l Lies) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lies = l
}

// Asked returns how often a path was asked for.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// SignIn signs somebody in at the address that a server sent the browser to, and
// returns the address that the provider sends it back to.
func (p *Provider) SignIn(ctx context.Context, where, subject string) (back *url.URL, err error) {
	login, err := p.step(ctx, where)
	if err != nil {
		return nil, err
	}
	id := login.Query().Get("authRequestID")
	if id == "" {
		return login, nil // back at once, with what is wrong
	}
	if err := p.storage.CheckUsernamePassword(subject, password, id); err != nil {
		return nil, fmt.Errorf("sign %s in: %w", subject, err)
	}
	return p.step(ctx, op.AuthCallbackURL(p.op)(op.ContextWithIssuer(ctx, p.Issuer), id))
}

// step follows one address, and returns where it leads.
func (p *Provider) step(ctx context.Context, where string) (*url.URL, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := browser.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 3 {
		return nil, fmt.Errorf("the provider answered %s with %d %s (%v)", where, answer.StatusCode, text, err)
	}
	return answer.Location()
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	lies := p.lies
	p.asked[r.URL.Path]++
	p.mu.Unlock()
	if lies.Instead != nil && instead(lies.Instead, w, r) {
		return
	}
	rec := httptest.NewRecorder()
	p.op.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		body = changed(body, lies.Metadata)
	case "/userinfo":
		body = changed(body, lies.Info)
	case "/oauth/token":
		body = changed(body, func(answer map[string]any) { p.sign(answer, lies) })
	}
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = io.Copy(w, bytes.NewReader(body)) // whoever asked hears of it
}

func instead(h http.Handler, w http.ResponseWriter, r *http.Request) (answered bool) {
	defer func() {
		if cause := recover(); cause != nil && cause != Pass {
			panic(cause)
		} else if cause != nil {
			answered = false
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

func changed(body []byte, change func(map[string]any)) []byte {
	var all map[string]any
	if change == nil || json.Unmarshal(body, &all) != nil {
		return body
	}
	change(all)
	return must(json.Marshal(all))
}

// sign signs the ID token of an answer anew, as the lies have it.
func (p *Provider) sign(answer map[string]any, lies Lies) {
	raw, _ := answer["id_token"].(string)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || lies.Claims == nil && lies.Sign == nil {
		return
	}
	payload := changed(must(base64.RawURLEncoding.DecodeString(parts[1])), lies.Claims)
	key := must(p.storage.SigningKey(context.Background()))
	private := key.Key().(*rsa.PrivateKey)
	if lies.Sign != nil {
		answer["id_token"] = lies.Sign(payload, private, key.ID())
		return
	}
	answer["id_token"] = Sign(payload, jose.RS256, private, key.ID())
}

// Sign returns claims as a token that is signed with a key.
func Sign(claims []byte, alg jose.SignatureAlgorithm, key any, kid string) string {
	options := (&jose.SignerOptions{}).WithHeader("kid", kid)
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options))
	return must(must(signer.Sign(claims)).CompactSerialize())
}

// Unsigned returns claims as a token that says that nobody signed it.
func Unsigned(claims []byte) string {
	b64 := base64.RawURLEncoding
	return b64.EncodeToString([]byte(`{"alg":"none"}`)) + "." + b64.EncodeToString(claims) + "."
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // in a test: the provider is broken
	}
	return v
}

// directory is the people of a provider as its storage asks for them.
type directory struct{ p *Provider }

// GetUserByID implements storage.UserStore.
func (d directory) GetUserByID(subject string) *storage.User {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	who, known := d.p.people[subject]
	if !known {
		return nil
	}
	return &storage.User{ID: who.Subject, Username: who.Subject, Password: password, Email: who.Email, EmailVerified: who.Verified}
}

// GetUserByUsername implements storage.UserStore.
func (d directory) GetUserByUsername(name string) *storage.User { return d.GetUserByID(name) }

// ExampleClientID implements storage.UserStore.
func (directory) ExampleClientID() string { return "nobody" }
