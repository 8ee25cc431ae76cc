package server_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
)

// line is an open call of a verifier's renewals.
type line struct {
	*outside
	both     *relay.Renewals
	protocol string
}

// tryLine begins such a call, over a connection by its id.
func (c *client) tryLine(by *http.Client, child, kind string, body io.Reader) *http.Response {
	c.t.Helper()
	req := c.request(http.MethodPost, "/v1/replica/"+child+"/renewals", nil).request(c.t, c.url)
	req.Body, req.ContentLength = io.NopCloser(body), -1
	req.Header.Set("Content-Type", kind)
	answer, err := by.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func (o *outside) line() *line { return o.lineBy(http.DefaultClient) }

func (o *outside) lineBy(by *http.Client) *line {
	o.c.t.Helper()
	sent, body := io.Pipe()
	o.c.t.Cleanup(func() { body.Close() })
	answer := o.c.tryLine(by, o.hello.Child, relay.RenewalsType, sent)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != relay.RenewalsType || answer.Header.Get("Cache-Control") != "no-store" {
		o.c.t.Fatalf("got %d %v, want renewals", answer.StatusCode, answer.Header)
	}
	return &line{o, relay.NewRenewals(answer.Body, body), answer.Proto}
}

// ask asks for a sub-lease, from where the verifier is.
func (l *line) ask() (replica.Grant, error) {
	l.asked++
	if err := l.both.Ask(replica.Ping{N: l.asked, At: l.at, Wanted: 2 * time.Second}); err != nil {
		return replica.Grant{}, err
	}
	return l.both.Answer()
}

// over fails the test unless the call has ended, or says that the key is no good.
func (l *line) over(why string) {
	l.c.t.Helper()
	_, err := l.ask()
	if p, said := errors.AsType[*api.Problem](err); err == nil || said && p.Status != http.StatusUnauthorized {
		l.c.t.Errorf("%s: it goes on with %v", why, err)
	}
}

// child is what the node knows of a verifier's connection.
func (o *outside) child(children server.Children) replica.Follower {
	all := children.Status()
	if i := slices.IndexFunc(all, func(f replica.Follower) bool { return f.ID == o.hello.Child }); i >= 0 {
		return all[i]
	}
	return replica.Follower{}
}

func TestVerifierRenewsOverACallThatStaysOpen(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		v := c.holder("iam.keys:verify").in(t)
		o := v.outside(url.Values{}, iam.Position{})
		l := o.line()
		for range 3 {
			g, err := l.ask()
			if err != nil || g.N != l.asked || g.At.Seq != o.at.Seq || g.At.Chain != o.at.Chain || g.For != 2*time.Second || time.Since(g.Time) > time.Minute {
				t.Fatalf("got %+v, %v at %+v", g, err, o.at)
			}
		}
		made := c.keyOf(c.account("operator").ID, api.CreateKey{})
		o.until("the new key", func() bool { _, there := o.known.keys[iam.KeyID(made.ID)]; return there })
		if err := l.both.Acknowledge(o.at); err != nil {
			t.Fatal(err)
		}
		if _, err := l.ask(); err != nil { // and so the other was heard
			t.Fatal(err)
		}
		if got := o.child(w.options.Children); got.Acked != o.at.Seq {
			t.Errorf("it is known to answer from %d, want %d", got.Acked, o.at.Seq)
		}
		right := o.at
		o.at.Chain[0]++
		_, err := l.ask()
		if p, said := errors.AsType[*api.Problem](err); !said || p.Code != api.CodeDiverged || p.Status != http.StatusConflict {
			t.Errorf("of another history it hears %v", err)
		}
		o.at = right
		if _, err := l.ask(); err != nil {
			t.Errorf("after a refusal: %v", err)
		}
		newer := o.line()
		l.over("a newer call")
		if _, err := newer.ask(); err != nil {
			t.Errorf("the newer call: %v", err)
		}
	})
}

// An acknowledgement that asks for nothing is heard, and is not answered.
func TestVerifierAcknowledgesOverACallThatStaysOpen(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		o := c.holder("iam.keys:verify").in(t).outside(url.Values{}, iam.Position{})
		l := o.line()
		if _, err := l.ask(); err != nil {
			t.Fatal(err)
		}
		made := c.keyOf(c.account("operator").ID, api.CreateKey{})
		o.until("the new key", func() bool { _, there := o.known.keys[iam.KeyID(made.ID)]; return there })
		if err := l.both.Acknowledge(o.at); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(30 * time.Second); o.child(w.options.Children).Acked != o.at.Seq; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("it is known to answer from %d, want %d", o.child(w.options.Children).Acked, o.at.Seq)
			}
		}
	})
}

// Over HTTP/2 a call is one of many on its connection, which outlives it.
func TestVerifierRenewsOverHTTP2(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		h := httptest.NewUnstartedServer(w.server.Handler())
		h.EnableHTTP2 = true
		h.StartTLS()
		t.Cleanup(h.Close)
		v := w.acme.in(t).holder("iam.keys:verify").in(t)
		o := v.outside(url.Values{}, iam.Position{})
		there := *v
		there.town = &town{world: &world{url: h.URL}, t: t}
		o.c = &there
		first := o.lineBy(h.Client())
		if _, err := first.ask(); err != nil || first.protocol != "HTTP/2.0" {
			t.Fatalf("over %s: %v", first.protocol, err)
		}
		second := o.lineBy(h.Client())
		first.over("a newer call")
		if _, err := second.ask(); err != nil {
			t.Fatal(err)
		}
		o.stop()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := second.ask(); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("it has lost its stream, and goes on")
			}
		}
	})
}

func TestRenewalsEndWithWhatTheyNeed(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		v := c.holder("iam.keys:verify").in(t)
		for _, test := range []struct {
			what string
			do   func(o *outside, l *line)
		}{
			{"its stream", func(o *outside, l *line) { o.stop() }},
			{"nonsense", func(_ *outside, l *line) { _ = l.both.Grant(replica.Grant{}) }},
			{"its key", func(o *outside, l *line) { c.post(here("/keys/"+v.id+"/revoke"), nil).want(http.StatusOK, nil) }},
		} {
			o := v.outside(url.Values{}, iam.Position{})
			l := o.line()
			if _, err := l.ask(); err != nil {
				t.Fatal(err)
			}
			test.do(o, l)
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
				if _, err := l.ask(); err != nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("it has lost %s, and goes on", test.what)
				}
			}
		}
	})
}

// Whoever may not renew hears so at once, though more of the body is to come.
func TestRenewalsAreOfWhoMayFollow(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		v, other := c.holder("iam.keys:verify").in(t), c.holder("iam.keys:verify").in(t)
		o := v.outside(url.Values{}, iam.Position{})
		for _, test := range []struct {
			name        string
			who         *client
			child, kind string
			status      int
		}{
			{"nobody", w.anybody().in(t), o.hello.Child, relay.RenewalsType, http.StatusUnauthorized},
			{"another verifier", other, o.hello.Child, relay.RenewalsType, http.StatusNotFound},
			{"no permission", c.holder("iam.keys:read").in(t), o.hello.Child, relay.RenewalsType, http.StatusForbidden},
			{"no connection", v, "nobody", relay.RenewalsType, http.StatusNotFound},
			{"JSON", v, o.hello.Child, "application/json", http.StatusUnsupportedMediaType},
		} {
			endless, body := io.Pipe()
			answer := test.who.tryLine(http.DefaultClient, test.child, test.kind, endless)
			body.Close()
			if answer.StatusCode != test.status {
				t.Errorf("%s: got %d, want %d", test.name, answer.StatusCode, test.status)
			}
		}
		if _, err := o.line().ask(); err != nil {
			t.Errorf("the one whose it is: %v", err)
		}
	})
}
