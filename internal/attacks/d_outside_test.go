package attacks_test

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/posternhq/postern/internal/session/providertest"
)

// outsideAttacks come from servers that this one asks.
var outsideAttacks = map[string]func(*testing.T, *world){
	"D11": answersWithoutEnd,
}

// ssoWith has a world sign people in with a provider that has not been asked yet.
func (w *world) ssoWith(known providertest.Person) {
	w.t.Helper()
	p, err := providertest.New(origin + "/v1/oidc/callback")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	p.Know(known)
	w.provider = p
	w.serve(w.replica)
}

// visit sends a browser to the provider; cookie is of the attempt.
func (w *world) visit() (where, cookie string) {
	w.t.Helper()
	a := w.call("GET", "/v1/oidc/start?next=/w/acme", "", nil)
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == "postern_sso" {
			cookie = c.Value
		}
	}
	return a.header.Get("Location"), cookie
}

// comesBack brings the provider's answer, and returns where the browser ends up.
func (w *world) comesBack(where, cookie, subject string) string {
	w.t.Helper()
	back, err := w.provider.SignIn(w.t.Context(), where, subject)
	if err != nil {
		w.t.Fatal(err)
	}
	a := w.call("GET", back.RequestURI(), "", nil, "Cookie", "postern_sso="+cookie)
	if a.status != http.StatusSeeOther {
		w.t.Fatalf("%s: %d %s", a.call, a.status, a.text)
	}
	return a.header.Get("Location")
}

// D11: what a provider sends is read up to a bound, whatever it is asked for.
func answersWithoutEnd(t *testing.T, w *world) {
	anna := providertest.Person{Subject: "anna", Email: w.signedIn(w.newTenant("acme"), "viewer").email, Verified: true}
	var sent atomic.Int64
	for _, path := range []string{"/.well-known/openid-configuration", "/oauth/token", "/keys", "/userinfo"} {
		w.ssoWith(anna)
		w.provider.Lie(providertest.Lies{Instead: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				panic(providertest.Pass)
			}
			rw.Header().Set("Content-Type", "application/json")
			n, _ := io.Copy(rw, io.LimitReader(blanks{}, 1<<30)) // it ends when nobody reads on
			sent.Add(n)
		})})
		where, cookie := w.visit()
		if where == outside {
			continue
		}
		if at := w.comesBack(where, cookie, "anna"); at != outside {
			t.Errorf("%s without an end: the browser ends up at %s", path, at)
		}
	}
	if sent.Load() > 64<<20 { // what is on its way between the two of them included
		t.Errorf("%d MiB were read", sent.Load()>>20)
	}
	w.ssoWith(anna)
	where, cookie := w.visit()
	if at := w.comesBack(where, cookie, "anna"); at != origin+"/w/acme" {
		t.Errorf("when the provider behaves, the browser ends up at %s", at)
	}
}

// outside is where a browser ends up that did not get in.
const outside = origin + "/signin#error=sso"

// blanks is JSON that never begins.
type blanks struct{}

func (blanks) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte(" "), len(b))), nil }
