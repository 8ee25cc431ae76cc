package server_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/session"
	"github.com/posternhq/postern/internal/session/providertest"
	"github.com/posternhq/postern/internal/token"
)

const (
	ssoStart    = "/v1/oidc/start"
	ssoCallback = "/v1/oidc/callback"
	notIn       = origin + "/signin#error=sso"
)

// provider is a provider of single sign-on for all tests that only need one to be
// there. It ends with the process.
var provider = sync.OnceValue(func() *providertest.Provider {
	p, err := providertest.New(origin + ssoCallback)
	if err != nil {
		panic(err)
	}
	return p
})

// ownProvider is one that a test may have lie.
func ownProvider(t *testing.T) *providertest.Provider {
	t.Helper()
	p, err := providertest.New(origin + ssoCallback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// sso returns single sign-on with a provider.
func (w *world) sso(t *testing.T, p *providertest.Provider, domains ...string) *session.SSO {
	t.Helper()
	s, err := session.NewSSO(w.people, session.SSOOptions{
		Issuer: p.Issuer, ClientID: providertest.ClientID, Secret: token.NewSecret(providertest.Secret), Name: "Example SSO", Domains: domains,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// vouched returns a server with a provider of its own, and a member of a tenant whose
// address the provider vouches for.
func vouched(t *testing.T, w *world, domains ...string) (*providertest.Provider, *tenant, somebody) {
	t.Helper()
	p := ownProvider(t)
	x := w.with(t, func(o *server.Options) { o.SSO, o.Metrics = w.sso(t, p, domains...), nil }).tenant(t, "acme")
	who := x.person("admin")
	p.Know(providertest.Person{Subject: "anna", Email: who.email, Verified: true})
	return p, x, who
}

// visit is a browser on its way through single sign-on.
type visit struct {
	x      *tenant
	p      *providertest.Provider
	cookie string // of the attempt
	where  *url.URL
}

// begin sends a browser to the provider.
func (x *tenant) begin(p *providertest.Provider, query string, header ...string) visit {
	x.t.Helper()
	c := get(ssoStart+query, "")
	if len(header) == 2 {
		c = c.holding(header[0], header[1])
	}
	r := x.w.do(x.t, c).want(http.StatusSeeOther, nil)
	where, err := url.Parse(r.header.Get("Location"))
	if err != nil {
		x.t.Fatal(err)
	}
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if c.Name == "postern_sso" && c.HttpOnly && c.SameSite == http.SameSiteLaxMode && c.MaxAge > 0 && c.MaxAge <= 600 {
			return visit{x, p, c.Value, where}
		}
	}
	x.t.Fatalf("no cookie of an attempt: %v", r.header)
	return visit{}
}

// answer signs somebody in at the provider, and returns what it tells the browser.
func (v visit) answer(subject string) url.Values {
	v.x.t.Helper()
	back, err := v.p.SignIn(v.x.t.Context(), v.where.String(), subject)
	if err != nil {
		v.x.t.Fatal(err)
	}
	if back.Scheme+"://"+back.Host+back.Path != origin+ssoCallback {
		v.x.t.Fatalf("the provider sends the browser to %s", back)
	}
	return back.Query()
}

// back brings an answer to the server, in the browser with a cookie.
func (v visit) back(answer url.Values) *reply {
	v.x.t.Helper()
	return v.x.w.do(v.x.t, get(ssoCallback+"?"+answer.Encode(), "").holding("Cookie", "postern_sso="+v.cookie)).want(http.StatusSeeOther, nil)
}

// through goes all the way, and returns where the browser ends up.
func (x *tenant) through(p *providertest.Provider, subject string) *reply {
	x.t.Helper()
	v := x.begin(p, "?next=/w/acme")
	return v.back(v.answer(subject))
}

// wantIn holds an answer to a sign-in of somebody.
func (r *reply) wantIn(x *tenant, who somebody) (cookie string) {
	r.t.Helper()
	if at := r.header.Get("Location"); at != origin+"/w/acme" {
		r.t.Fatalf("the browser ends up at %s", at)
	}
	cookie = r.cookie()
	var current api.CurrentSession
	x.w.do(r.t, get("/v1/sessions/current", cookie)).want(http.StatusOK, &current)
	if current.Person.Email != who.email || current.Session.Method != "sso" {
		r.t.Fatalf("%s has signed in by %s, want %s by sso", current.Person.Email, current.Session.Method, who.email)
	}
	return cookie
}

// wantOut holds an answer to the one of whoever does not get in.
func (r *reply) wantOut(what string) {
	r.t.Helper()
	if at := r.header.Get("Location"); at != notIn {
		r.t.Errorf("%s: the browser ends up at %s, want %s", what, at, notIn)
	}
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if strings.HasSuffix(c.Name, "postern_session") {
			r.t.Errorf("%s: there is the cookie of a session", what)
		}
	}
}

func TestMemberSignsInWithTheProvider(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, x, who := vouched(t, w)
		v := x.begin(p, "?next=/w/acme")
		asks := v.where.Query()
		for name, want := range map[string]string{
			"response_type": "code", "client_id": providertest.ClientID, "redirect_uri": origin + ssoCallback, "code_challenge_method": "S256",
		} {
			if got := asks.Get(name); got != want {
				t.Errorf("the provider is asked with %s %q, want %q", name, got, want)
			}
		}
		if len(asks.Get("state")) < 43 || len(asks.Get("nonce")) < 43 || asks.Get("state") == asks.Get("nonce") || len(asks.Get("code_challenge")) != 43 {
			t.Errorf("state, nonce and challenge are %v", asks)
		}
		cookie := v.back(v.answer("anna")).wantIn(x, who)
		x.w.do(t, get("/v1/workspaces/acme/members", cookie)).want(http.StatusOK, nil)

		p.Know(providertest.Person{Subject: "anna", Email: "anna@elsewhere.example"})
		x.through(p, "anna").wantIn(x, who) // linked: her address is no matter
		if metrics := string(x.w.do(t, get("/metrics", x.w.owner)).body); !strings.Contains(metrics, `postern_sso_total{outcome="let_in"} 2`) {
			t.Error("the metrics do not count two who were let in")
		}
		var methods api.SignInMethods
		x.w.do(t, get("/v1/sessions/methods", "")).want(http.StatusOK, &methods)
		if methods.SSO == nil || methods.SSO.Name != "Example SSO" || methods.SSO.Start != ssoStart {
			t.Errorf("the methods are %+v", methods.SSO)
		}
	})
}

func TestProviderLetsNobodyElseIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, x, who := vouched(t, w)
		gone := x.person("viewer")
		x.w.do(t, call{method: http.MethodDelete, path: x.root + "/members/" + gone.member, key: x.owner}).want(http.StatusOK, nil)
		var invited api.CreatedInvitation
		x.w.do(t, post(x.root+"/invitations", x.owner, api.CreateInvitation{Email: "ivan@acme.example", Role: "viewer"})).want(http.StatusCreated, &invited)
		for what, person := range map[string]providertest.Person{
			"an address that nobody verified": {Subject: "unverified", Email: who.email},
			"a stranger":                      {Subject: "eve", Email: "eve@acme.example", Verified: true},
			"no address":                      {Subject: "nobody", Verified: true},
			"a member who was removed":        {Subject: "gone", Email: gone.email, Verified: true},
			"somebody who is invited":         {Subject: "ivan", Email: "ivan@acme.example", Verified: true},
		} {
			p.Know(person)
			x.through(p, person.Subject).wantOut(what)
		}
		x.through(p, "anna").wantIn(x, who)
		p.Know(providertest.Person{Subject: "anna-the-second", Email: who.email, Verified: true})
		x.through(p, "anna-the-second").wantOut("an address that passed to somebody else")
		x.w.do(t, call{method: http.MethodDelete, path: x.root + "/members/" + who.member, key: x.owner}).want(http.StatusOK, nil)
		x.through(p, "anna").wantOut("linked, and removed")
	})
}

func TestAnswerWorksOnceAndInItsBrowserAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, x, who := vouched(t, w)
		mine, theirs := x.begin(p, "?next=/w/acme"), x.begin(p, "?next=/w/acme")
		answer := mine.answer("anna")
		theirs.back(answer).wantOut("in the browser of another attempt")
		visit{x, p, "", nil}.back(answer).wantOut("in a browser without an attempt")
		visit{x, p, "sso_0000000000000000000000000000000000000000", nil}.back(answer).wantOut("with a cookie that nobody made")
		forged := url.Values{"code": answer["code"], "state": {theirs.where.Query().Get("state")}}
		theirs.back(forged).wantOut("my code in another attempt")
		x.w.do(t, call{method: http.MethodHead, path: ssoCallback + "?" + answer.Encode()}.holding("Cookie", "postern_sso="+mine.cookie))
		twice := x.w.do(t, get(ssoCallback+"?"+answer.Encode(), "").holding("Cookie", "postern_sso="+mine.cookie+"; postern_sso="+theirs.cookie))
		twice.wantOut("with two cookies")
		mine.back(answer).wantIn(x, who)
		mine.back(answer).wantOut("once more")
	})
}

// J01: of many uses at once one gets in.
func TestAnswerIsRacedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, x, _ := vouched(t, w)
		v := x.begin(p, "")
		answer := v.answer("anna")
		var in atomic.Int64
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				if v.back(answer).header.Get("Location") != notIn {
					in.Add(1)
				}
			})
		}
		all.Wait()
		if in.Load() != 1 || p.Asked("/oauth/token") != 1 {
			t.Errorf("%d of 40 got in with %d codes exchanged, want 1 with 1", in.Load(), p.Asked("/oauth/token"))
		}
	})
}

func TestLieOfAProviderLetsNobodyIn(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	p, x, who := vouched(t, w)
	claim := func(name string, value any) providertest.Lies {
		return providertest.Lies{Claims: func(c map[string]any) { c[name] = value }}
	}
	without := func(name string) providertest.Lies {
		return providertest.Lies{Claims: func(c map[string]any) { delete(c, name) }}
	}
	signed := func(sign func(claims []byte, k *rsa.PrivateKey, kid string) string) providertest.Lies {
		return providertest.Lies{Sign: sign}
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour).Unix()
	for what, lies := range map[string]providertest.Lies{
		"another issuer":              claim("iss", "https://evil.example"),
		"another audience":            claim("aud", []string{"somebody-else"}),
		"issued to somebody else":     claim("azp", "somebody-else"),
		"many audiences and no party": {Claims: func(c map[string]any) { c["aud"] = []string{providertest.ClientID, "other"}; delete(c, "azp") }},
		"another nonce":               claim("nonce", "of another attempt"),
		"no nonce":                    without("nonce"),
		"over":                        claim("exp", past),
		"no end":                      without("exp"),
		"not yet":                     claim("nbf", time.Now().Add(time.Hour).Unix()),
		"another access token":        claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"nobody":                      claim("sub", ""),
		"a number for a subject":      claim("sub", 7),
		"signed by nobody":            signed(func(c []byte, _ *rsa.PrivateKey, _ string) string { return providertest.Unsigned(c) }),
		"signed by a stranger": signed(func(c []byte, _ *rsa.PrivateKey, kid string) string {
			return providertest.Sign(c, jose.RS256, stranger, kid)
		}),
		"signed with the client's secret": signed(func(c []byte, _ *rsa.PrivateKey, kid string) string {
			return providertest.Sign(c, jose.HS256, bytes.Repeat([]byte(providertest.Secret), 2), kid)
		}),
		"signed with the public key": signed(func(c []byte, k *rsa.PrivateKey, kid string) string {
			return providertest.Sign(c, jose.HS256, x509.MarshalPKCS1PublicKey(&k.PublicKey), kid)
		}),
		"no token":                  signed(func([]byte, *rsa.PrivateKey, string) string { return "" }),
		"a text that says verified": {Info: func(c map[string]any) { c["email_verified"] = "true" }},
		"nothing about verified":    {Info: func(c map[string]any) { delete(c, "email_verified") }},
		"one that says verified":    {Info: func(c map[string]any) { c["email_verified"] = 1 }},
		"a text in the ID token":    {Claims: func(c map[string]any) { c["email"], c["email_verified"] = who.email, "true" }},
		"word of somebody else":     {Info: func(c map[string]any) { c["sub"] = "otto" }},
	} {
		p.Lie(lies)
		x.through(p, "anna").wantOut(what)
	}
	p.Lie(providertest.Lies{Claims: func(c map[string]any) {
		c["email"], c["email_verified"], c["azp"], c["aud"] = who.email, true, providertest.ClientID, []string{providertest.ClientID, "other"}
	}})
	x.through(p, "anna").wantIn(x, who)
}

func TestAnswerNamesItsProvider(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	p, x, who := vouched(t, w)
	with := func(iss ...string) *reply {
		v := x.begin(p, "?next=/w/acme")
		answer := v.answer("anna")
		delete(answer, "iss")
		if len(iss) > 0 {
			answer["iss"] = iss
		}
		return v.back(answer)
	}
	with().wantIn(x, who)
	with(p.Issuer).wantIn(x, who)
	with("https://evil.example").wantOut("another provider's answer")

	p.Lie(providertest.Lies{Metadata: func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }})
	x = again(t, w, x, p)
	with().wantOut("an answer without the name that was promised")
	with(p.Issuer).wantIn(x, who)
}

// again returns the tenant behind a server that has not asked the provider yet.
func again(t *testing.T, w *world, x *tenant, p *providertest.Provider, domains ...string) *tenant {
	t.Helper()
	other := *x
	other.w = w.with(t, func(o *server.Options) { o.SSO, o.Metrics = w.sso(t, p, domains...), nil })
	return &other
}

func TestProviderVouchesForItsDomainsAlone(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	p, x, who := vouched(t, w, "corp.example")
	x.through(p, "anna").wantOut("an address of another domain")
	again(t, w, x, p, "corp.example", "ACME.example").through(p, "anna").wantIn(x, who)
}

// H06: nobody is sent to a page that somebody else chose.
func TestBrowserComesBackToThisServerAlone(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	p, x, _ := vouched(t, w)
	for _, next := range []string{
		"//evil.example", `\\evil.example`, `/\evil.example`, "https://evil.example", "evil.example", "/ /evil.example",
		"javascript:alert(1)", "///evil.example", "http:evil.example", "/" + strings.Repeat("a", 1024), "/\u00e9",
	} {
		v := x.begin(p, "?next="+url.QueryEscape(next))
		if at := v.back(v.answer("anna")).header.Get("Location"); at != origin+"/" {
			t.Errorf("next=%q leads to %s", next, at)
		}
	}
	v := x.begin(p, "?next="+url.QueryEscape("/w/acme?tab=1#keys"), "X-Forwarded-Host", "evil.example")
	if got := v.where.Query().Get("redirect_uri"); got != origin+ssoCallback {
		t.Errorf("the provider is to send the browser to %s", got)
	}
	if at := v.back(v.answer("anna")).header.Get("Location"); at != origin+"/w/acme?tab=1#keys" {
		t.Errorf("a page of this server leads to %s", at)
	}
}

func TestProviderProvesAgainWhoSomebodyIs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, x, who := vouched(t, w)
		p.Know(providertest.Person{Subject: "otto", Email: x.person("viewer").email, Verified: true})
		p.Lie(providertest.Lies{Claims: func(c map[string]any) { c["auth_time"] = time.Now().Add(-time.Hour).Unix() }})
		cookie := x.through(p, "anna").wantIn(x, who)
		invite := func() *reply {
			return x.w.do(t, post(x.root+"/invitations", cookie, api.CreateInvitation{Email: x.name("new") + "@acme.example", Role: "viewer"}))
		}
		invite().wantProblem(http.StatusForbidden, api.CodeStepUpRequired)

		stepUp := func(subject, session string) *reply {
			v := x.begin(p, "?for=step_up&next=/w/acme", "Cookie", "postern_session="+cookie)
			if asks := v.where.Query(); asks.Get("max_age") != "0" || asks.Get("prompt") != "login" {
				t.Errorf("the provider is not asked to ask again: %v", asks)
			}
			return x.w.do(t, get(ssoCallback+"?"+v.answer(subject).Encode(), "").holding("Cookie", "postern_sso="+v.cookie+"; postern_session="+session))
		}
		stepUp("anna", cookie).wantOut("a proof of an hour ago")
		p.Lie(providertest.Lies{Claims: func(c map[string]any) { delete(c, "auth_time") }})
		stepUp("anna", cookie).wantOut("a proof of nobody knows when")
		p.Lie(providertest.Lies{Claims: func(c map[string]any) { c["auth_time"] = time.Now().Add(-5 * time.Minute).Unix() }})
		stepUp("anna", cookie).wantOut("a proof from before it was asked for")
		p.Lie(providertest.Lies{})
		stepUp("otto", cookie).wantOut("a proof of somebody else")
		stepUp("anna", x.again(who).browser).wantOut("in another session")
		invite().wantProblem(http.StatusForbidden, api.CodeStepUpRequired)
		if r := stepUp("anna", cookie); r.header.Get("Location") != origin+"/w/acme" {
			t.Errorf("the browser ends up at %s", r.header.Get("Location"))
		}
		invite().want(http.StatusCreated, nil)
		for what, c := range map[string]call{
			"nobody":       get(ssoStart+"?for=step_up", ""),
			"another site": get(ssoStart+"?for=step_up", cookie).holding("Sec-Fetch-Site", "cross-site"),
			"a key":        get(ssoStart+"?for=step_up", x.owner),
			"what else":    get(ssoStart+"?for=else", cookie),
		} {
			x.w.do(t, c).wantOut(what)
		}
	})
}

// D11: what a provider says is bounded, and what it leads to is not followed.
func TestProviderThatMisbehavesHoldsNobodyUp(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	p, x, who := vouched(t, w)
	var sent atomic.Int64
	endless := func(rw http.ResponseWriter) {
		rw.Header().Set("Content-Type", "application/json")
		n, _ := io.Copy(rw, io.LimitReader(spaces{}, 1<<30)) // it ends when nobody reads on
		sent.Add(n)
	}
	elsewhere := ownProvider(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/oauth/token", "/keys", "/userinfo"} {
		for what, answer := range map[string]func(http.ResponseWriter, *http.Request){
			"an answer without end": func(rw http.ResponseWriter, _ *http.Request) { endless(rw) },
			"a failure":             func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) },
			"a way elsewhere": func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, elsewhere.Issuer+r.URL.Path, http.StatusTemporaryRedirect)
			},
			"nothing": func(http.ResponseWriter, *http.Request) {},
		} {
			p.Lie(providertest.Lies{Instead: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path != path {
					panic(providertest.Pass)
				}
				answer(rw, r)
			})})
			x := again(t, w, x, p)
			r := x.w.do(t, get(ssoStart, "")).want(http.StatusSeeOther, nil)
			if at := r.header.Get("Location"); at != notIn {
				v := x.begin(p, "")
				v.back(v.answer("anna")).wantOut(path + ": " + what)
			}
		}
	}
	if n := elsewhere.Asked("/oauth/token") + elsewhere.Asked("/userinfo") + elsewhere.Asked("/keys"); n != 0 {
		t.Errorf("another server was asked %d times", n)
	}
	if sent.Load() > 64<<20 {
		t.Errorf("%d MiB were read of answers without end", sent.Load()>>20)
	}
	p.Lie(providertest.Lies{})
	again(t, w, x, p).through(p, "anna").wantIn(x, who)
}

// spaces is JSON that never begins.
type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestProviderIsNotAskedInClear(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	p, x, _ := vouched(t, w)
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
		for _, at := range []string{"http://sso.example/x", "ftp://127.0.0.1/x", "//127.0.0.1/x", "http://u:p@127.0.0.1/x", ""} {
			p.Lie(providertest.Lies{Metadata: func(m map[string]any) { m[name] = at }})
			again(t, w, x, p).w.do(t, get(ssoStart, "")).want(http.StatusSeeOther, nil).wantOut(name + " " + at)
		}
	}
	p.Lie(providertest.Lies{Metadata: func(m map[string]any) { m["issuer"] = "https://evil.example" }})
	again(t, w, x, p).w.do(t, get(ssoStart, "")).want(http.StatusSeeOther, nil).wantOut("another issuer")
}

func TestServerWithoutSingleSignOnHasNone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		none := w.with(t, func(o *server.Options) { o.SSO, o.Metrics = nil, nil })
		for _, path := range []string{ssoStart, ssoCallback} {
			none.do(t, get(path, "")).wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
		var methods api.SignInMethods
		none.do(t, get("/v1/sessions/methods", "")).want(http.StatusOK, &methods)
		if methods.SSO != nil {
			t.Errorf("it says %+v", methods.SSO)
		}
	})
}

func TestLogSaysWhyAndNoSecret(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db")
	p, x, who := vouched(t, w)
	v := x.begin(p, "")
	answer := v.answer("anna")
	v.back(url.Values{"state": {"x"}, "code": answer["code"]}).wantOut("another state")
	p.Lie(providertest.Lies{Claims: func(c map[string]any) { c["nonce"] = "x" }})
	v.back(answer).wantOut("another nonce")
	log := w.log.String()
	for _, want := range []string{"not to an attempt of this browser", "not for this attempt", "outcome=refused"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for what, secret := range map[string]string{
		"the code": answer.Get("code"), "the state": answer.Get("state"), "the cookie": v.cookie,
		"the client's secret": providertest.Secret, "the nonce": v.where.Query().Get("nonce"), "the address": who.email,
	} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %s", what)
		}
	}
}
