package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/store/storetest"
)

// The console listens with a session. Its end is the end of a key.
func TestAStreamOfSomebodyWhoSignedInEndsWithTheSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.with(t, func(o *server.Options) { o.Limits.Heartbeat = time.Millisecond }) // which counts for no key
		x := w.tenant(t, "acme")
		for what, end := range map[string]func(p somebody){
			"they sign out": func(p somebody) {
				w.do(t, call{method: http.MethodDelete, path: "/v1/sessions/current", key: p.browser}).want(http.StatusOK, nil)
			},
			"they end it elsewhere": func(p somebody) {
				w.do(t, call{method: http.MethodDelete, path: "/v1/sessions/" + p.session, key: x.again(p).browser}).want(http.StatusOK, nil)
			},
			"they are removed": func(p somebody) {
				w.do(t, call{method: http.MethodDelete, path: x.root + "/members/" + p.member, key: x.owner}).want(http.StatusOK, nil)
			},
			"their role may no longer": func(p somebody) {
				w.do(t, call{method: http.MethodPatch, path: x.root + "/members/" + p.member, key: x.owner, body: api.UpdateMember{Role: "viewer"}}).want(http.StatusOK, nil)
			},
		} {
			p := x.person("admin")
			r := (&client{town: &town{world: w, t: t}, t: t, key: p.browser}).stream("?topics=keys,audit")
			var open api.StreamOpen
			r.next().into(t, "open", &open)
			for made := x.account("viewer").ID; !strings.Contains(r.next().data, made); { // it tells what happens
			}
			end(p)
			r.breaksOff(what, x.account("viewer").ID)
		}
	})
}

// Hundreds listen, each on a connection of its own, and as many as a browser or a
// gateway has on one of HTTP/2. All hear of what happens, and none of what comes
// after their right was taken away.
func TestHundredsOfStreamsAreAllToldAndAllBrokenOff(t *testing.T) {
	own, shared := 200, 100
	if testing.Short() {
		own, shared = 40, 20
	}
	w := newWorld(t, storetest.SQLite(t)).with(t, func(o *server.Options) { o.BehindProxy, o.Limits.Streams = true, own+shared })
	c := (&town{world: w, t: t}).client(w.owner)
	holder := c.holder("iam.keys:read")
	srv := httptest.NewUnstartedServer(w.server.Handler())
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(stop)

	trusted := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	one := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	one.Protocols = new(http.Protocols)
	one.Protocols.SetHTTP1(true)
	both := one.Clone()
	both.Protocols.SetHTTP2(true)
	t.Cleanup(one.CloseIdleConnections)
	t.Cleanup(both.CloseIdleConnections)

	opened, told := make(chan error, own+shared), make(chan struct{}, own+shared)
	ended := make([]string, own+shared) // all that each was told after it was open
	var reading sync.WaitGroup
	for i := range ended {
		from, version := one, 1
		if i >= own {
			from, version = both, 2
		}
		reading.Go(func() {
			answer, err := openOn(ctx, from, srv.URL, holder.key, version)
			opened <- err
			if err != nil {
				return
			}
			defer answer.Body.Close()
			var all strings.Builder
			for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
				fmt.Fprintln(&all, lines.Text())
				if strings.Contains(lines.Text(), "service_account.created") {
					told <- struct{}{}
				}
			}
			ended[i] = all.String()
		})
	}
	for range ended {
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
	}
	c.account("viewer")
	for i := range ended {
		select {
		case <-told:
		case <-ctx.Done():
			t.Fatalf("%d of %d streams were told within a minute", i, len(ended))
		}
	}
	c.post(here("/keys/"+holder.id+"/revoke"), nil).want(http.StatusOK, nil)
	later := c.account("viewer")
	reading.Wait()
	if ctx.Err() != nil {
		t.Fatal("streams whose key was revoked were open for a minute")
	}
	for i, all := range ended {
		if strings.Contains(all, later.ID) || strings.Contains(all, "event: end") {
			t.Errorf("stream %d was told after the right to it was lost:\n%s", i, all)
		}
	}
}

// openOn opens a stream on a connection of a version of HTTP, and returns once it
// has begun.
func openOn(ctx context.Context, from *http.Transport, url, key string, version int) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+here("/stream?topics=keys"), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	answer, err := from.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK || answer.ProtoMajor != version {
		return nil, fmt.Errorf("got %d over %s, want 200 over HTTP/%d", answer.StatusCode, answer.Proto, version)
	}
	return answer, nil
}
