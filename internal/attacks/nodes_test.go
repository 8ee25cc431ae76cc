package attacks_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

// among returns so many nodes of one new deployment on PostgreSQL, each with a store,
// a lease and a door of its own.
func among(t *testing.T, names ...string) []*world {
	t.Helper()
	url := storetest.Postgres(t)
	all := make([]*world, len(names))
	for i, name := range names {
		all[i] = openWorld(t, url)
		if i == 0 {
			all[i].initialize()
		}
		all[i].owner, all[i].values, all[i].patient = all[0].owner, all[0].values, true
		all[i].join(name)
	}
	return all
}

// join begins to serve as one of the nodes of a deployment.
func (w *world) join(name string) {
	w.t.Helper()
	table, err := w.kept.Nodes()
	if err != nil {
		w.t.Fatal(err)
	}
	clock := fence.SystemClock()
	w.replica = replica.New(replica.Options{Clock: clock.Now, Node: name})
	node, err := fence.New(fence.Options{
		Name: name, TTL: 3 * time.Second, Replica: w.replica, Database: table, Clock: clock, Random: rand.Reader,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { node.Run(ctx) })
	w.t.Cleanup(func() {
		stop()
		running.Wait()
		if err := table.Close(); err != nil {
			w.t.Error(err)
		}
	})
	late := time.After(30 * time.Second)
	for published := w.replica.Published(); node.Ready() != nil; published = w.replica.Published() {
		select {
		case <-published:
		case <-late:
			w.t.Fatalf("%s does not answer: %v", name, node.Ready())
		}
	}
	w.serveAs(name, w.replica, node)
}

// Rows A22 and A29 once more, with sessions and three nodes: what one node has ended
// works on none once that has returned.
func TestASessionThatOneNodeEndedWorksOnNone(t *testing.T) {
	all := among(t, "one", "two", "three")
	one, two, three := all[0], all[1], all[2]
	b := one.newTenant("acme")
	for name, end := range map[string]func(p someone, other string){
		"signed out":       func(p someone, _ string) { three.must("DELETE", "/v1/sessions/current", p.browser, nil) },
		"others ended":     func(_ someone, other string) { three.must("POST", "/v1/sessions/end_others", other, nil) },
		"another password": func(_ someone, other string) { three.must("PUT", "/v1/password", other, anotherPassword) },
		"removed":          func(p someone, _ string) { three.must("DELETE", in("-", "members/"+p.id), b.owner, nil) },
	} {
		p := one.signedIn(b, "admin")
		other := two.again(p)
		endedEverywhere(t, all, b, name, p.browser, func() { end(p, other) })
	}
	p := one.signedIn(b, "admin")
	endedEverywhere(t, all, b, "paused", p.browser, func() { three.must("POST", "/v1/workspaces/acme/pause", one.owner, nil) })
}

var anotherPassword = body{"current": aPassword, "new": "another long password"}

// endedEverywhere uses a session on every node, has it ended, and uses it again: on
// what is answered from memory, on what asks the database, and on what changes it.
func endedEverywhere(t *testing.T, all []*world, b tenant, name, browser string, end func()) {
	t.Helper()
	for _, w := range all {
		w.must("GET", "/v1/whoami", browser, nil)
		w.must("GET", in(b.id, "service_accounts"), browser, nil)
	}
	end()
	for i, w := range all {
		for _, a := range []answer{
			w.call("GET", "/v1/whoami", browser, nil),
			w.call("GET", in(b.id, "service_accounts"), browser, nil),
			w.call("GET", "/v1/sessions", browser, nil),
			w.call("POST", in(b.id, "me/keys"), browser, body{"name": "late " + itoa(i)}),
		} {
			if a.status != http.StatusUnauthorized {
				t.Errorf("%s, node %d: %s: got %d %s, want 401", name, i+1, a.call, a.status, a.text)
			}
		}
	}
}

// Row J01 a thousand times, on three nodes at once.
func TestWhatWorksOnceIsUsedOnceOnManyNodes(t *testing.T) {
	all := among(t, "one", "two", "three")
	one := all[0]
	b := one.newTenant("acme")
	p := one.signedIn(b, "admin")
	invited := token.NewSecret(one.must("POST", in("-", "invitations"), b.owner, body{"email": "new@acme.example", "role": "viewer"}).str("token"))
	keyed := one.must("POST", in("-", "invitations"), b.owner, body{"email": "keyed@acme.example", "role": "viewer"})
	one.accept(one.values.plant(keyed.str("token")), "Keyed")
	link, err := one.service.MemberSetupLink(t.Context(), "keyed@acme.example")
	if err != nil {
		t.Fatal(err)
	}
	device := token.NewSecret(one.approved(p))
	ticket := iam.Ticket{Hash: token.NewSecret("a ticket").Hash(), Kind: "test"}
	if _, err := one.store.KeepTicket(t.Context(), ticket, time.Hour); err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(w *world, n string) error{
		"invitation": func(w *world, n string) error {
			_, _, err := w.service.AcceptInvitation(t.Context(), iam.Caller{}, iam.Acceptance{Token: invited, Name: "N" + n})
			return err
		},
		"setup link": func(w *world, n string) error {
			_, err := w.service.UseSetupLink(t.Context(), iam.Caller{}, iam.NewSetup{
				Token: link, Credential: iam.NewCredential{Password: "as it is kept " + n}, SignIn: fresh(n),
			})
			return err
		},
		"device": func(w *world, _ string) error {
			_, _, err := w.service.UseDevice(t.Context(), iam.Caller{}, device)
			return err
		},
		"ticket": func(w *world, _ string) error { return w.store.DropTicket(t.Context(), ticket.Hash) },
	} {
		usedOnce(t, all, name, use)
	}
}

// usedOnce uses something 252 times, 12 at a time on three nodes, and wants it to have
// worked once.
func usedOnce(t *testing.T, all []*world, name string, use func(w *world, n string) error) {
	t.Helper()
	hands, times := 4, 21 // of each node, and of each hand
	if testing.Short() {
		times = 3
	}
	var worked, refused atomic.Int64
	var working sync.WaitGroup
	for i, w := range all {
		for hand := range hands {
			working.Go(func() {
				for n := range times {
					err := use(w, itoa(i)+"-"+itoa(hand)+"-"+itoa(n))
					switch {
					case err == nil:
						worked.Add(1)
					case errors.Is(err, iam.Gone), errors.Is(err, iam.ExpiredToken):
						refused.Add(1)
					default:
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
	}
	working.Wait()
	if want := int64(len(all)*hands*times) - 1; worked.Load() != 1 || refused.Load() != want {
		t.Errorf("%s: it worked %d times and was refused %d, want once and %d", name, worked.Load(), refused.Load(), want)
	}
}

// fresh is a sign-in of its own.
func fresh(n string) iam.NewSignIn {
	return iam.NewSignIn{
		Proof: iam.Proof{Method: iam.ByPassword}, Cookie: token.NewSecret("cookie " + n).Hash(),
		Sessions: func(ws iam.WorkspaceID) token.Hash { return token.NewSecret("session " + n + string(ws)).Hash() },
	}
}
