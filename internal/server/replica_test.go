package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/store/storetest"
)

// seen is a sink that keeps what it was told of, by id.
type seen struct {
	workspaces map[iam.WorkspaceID]iam.WorkspaceRecord
	principals map[iam.PrincipalID]iam.PrincipalRecord
	keys       map[iam.KeyID]iam.KeyRecord
}

func newSeen() *seen {
	return &seen{map[iam.WorkspaceID]iam.WorkspaceRecord{}, map[iam.PrincipalID]iam.PrincipalRecord{}, map[iam.KeyID]iam.KeyRecord{}}
}

func (s *seen) Workspace(r iam.WorkspaceRecord) error { s.workspaces[r.ID] = r; return nil }
func (s *seen) Role(iam.RoleRecord) error             { return nil }
func (s *seen) Principal(r iam.PrincipalRecord) error { s.principals[r.ID] = r; return nil }
func (s *seen) Key(r iam.KeyRecord) error             { s.keys[r.ID] = r; return nil }

// outside is a verifier outside the server, as far as it is needed to see what that
// tells it.
type outside struct {
	c     *client
	hello relay.Hello
	read  *relay.Reader
	raw   *bytes.Buffer // all that was sent
	known *seen
	at    iam.Position
	asked int64
	stop  func() // breaks the connection off
}

// tryOutside asks for a stream.
func (c *client) tryOutside(query url.Values, from iam.Position) *http.Response {
	c.t.Helper()
	ctx, stop := context.WithTimeout(c.t.Context(), time.Minute)
	c.t.Cleanup(stop)
	if from.Seq != 0 {
		query.Set("from", relay.FormatPosition(from))
	}
	req := c.request(http.MethodGet, "/v1/replica?"+query.Encode(), nil).request(c.t, c.url).WithContext(ctx)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// outside opens a stream, which has to begin.
func (c *client) outside(query url.Values, from iam.Position) *outside {
	c.t.Helper()
	answer := c.tryOutside(query, from)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != relay.ContentType || answer.Header.Get("Cache-Control") != "no-store" {
		body, _ := io.ReadAll(answer.Body)
		c.t.Fatalf("got %d %v, want a stream: %s", answer.StatusCode, answer.Header, body)
	}
	o := &outside{c: c, raw: new(bytes.Buffer), known: newSeen(), at: from, stop: func() { answer.Body.Close() }}
	o.read = relay.NewReader(io.TeeReader(answer.Body, o.raw))
	var err error
	if o.hello, err = o.read.Hello(from); err != nil {
		c.t.Fatalf("hello: %v", err)
	}
	if o.hello.Resumed {
		return o
	}
	if o.at, err = o.read.Snapshot(o.known); err != nil {
		c.t.Fatalf("snapshot: %v", err)
	}
	return o
}

// until takes in news until something is so.
func (o *outside) until(what string, so func() bool) {
	o.c.t.Helper()
	for !so() {
		news, err := o.read.Next()
		if err != nil {
			o.c.t.Fatalf("the stream ends with %v before %s", err, what)
		}
		if news.At.Seq != 0 {
			o.at = news.At
		}
		for _, c := range news.Changes {
			for _, k := range c.Keys {
				o.known.keys[k.ID] = k
			}
			for _, p := range c.Principals {
				o.known.principals[p.ID] = p
			}
		}
	}
}

// ends returns how the stream ends.
func (o *outside) ends() error {
	for {
		if _, err := o.read.Next(); err != nil {
			return err
		}
	}
}

func (o *outside) path(rest string) string { return "/v1/replica/" + o.hello.Child + rest }

// question asks for a sub-lease, from where the verifier is.
func (o *outside) question() api.RenewReplica {
	o.asked++
	return api.RenewReplica{N: o.asked, Seq: o.at.Seq, Chain: relay.FormatChain(o.at.Chain), WantedMS: 2000}
}

func (o *outside) renew() *reply { return o.c.post(o.path("/renew"), o.question()) }

// broken fails the test unless a stream broke off without a word.
func broken(t *testing.T, err error) {
	t.Helper()
	if ended := new(relay.Ended); !errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &ended) {
		t.Errorf("the stream ends with %v, want it to break off", err)
	}
}

func replicaSamples() map[string]sample {
	// one is a call over a stream that is opened for it, by the owner's own key.
	one := func(method, path string, body func(o *outside) any) sample {
		return func(x *tenant) call {
			x.t.Helper()
			o := (&client{town: &town{world: x.w, t: x.t}, t: x.t, key: x.owner}).outside(url.Values{"reporter": {"aaaaaaaaaaaaaaaaaaaa"}}, iam.Position{})
			return call{method: method, path: o.path(path), key: x.owner, body: body(o)}
		}
	}
	none := func(*outside) any { return nil }
	return map[string]sample{
		"follow-replica": func(x *tenant) call { return get("/v1/replica", x.owner) },
		"renew-replica":  one(http.MethodPost, "/renew", func(o *outside) any { return o.question() }),
		"renew-replica-again": func(x *tenant) call {
			c := one(http.MethodPost, "/renewals", none)(x)
			c.header = http.Header{"Content-Type": {relay.RenewalsType}}
			return c
		},
		"report-replica-use": one(http.MethodPost, "/usage", func(o *outside) any {
			o.renew().want(http.StatusOK, nil) // it has to be one that may answer
			return api.ReportReplicaUse{Number: 1}
		}),
		"leave-replica": one(http.MethodDelete, "", none),
	}
}

func TestVerifierOutsideFollows(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		before := c.keyOf(c.account("operator").ID, api.CreateKey{})
		v := c.holder("iam.keys:verify").in(t)
		o := v.outside(url.Values{"name": {"tickets"}}, iam.Position{})
		if h := o.hello; h.Workspace != iam.WorkspaceID(c.workspace) || h.Any || h.Resumed || h.Node != "test" || h.HeartbeatMS != 1000 || h.Child == "" || len(h.Prefixes) == 0 {
			t.Errorf("it begins with %+v", h)
		}
		if k, there := o.known.keys[iam.KeyID(before.ID)]; !there || k.Revoked {
			t.Errorf("the snapshot has %+v of the key", k)
		}
		var g api.ReplicaGrant
		o.renew().want(http.StatusOK, &g)
		if g.N != 1 || g.Seq != o.at.Seq || g.Chain != relay.FormatChain(o.at.Chain) || g.ForUS != 2_000_000 || time.Since(g.Time.Time) > time.Minute {
			t.Errorf("got %+v at %+v", g, o.at)
		}
		after := c.keyOf(c.account("operator").ID, api.CreateKey{})
		o.until("the new key", func() bool { _, there := o.known.keys[iam.KeyID(after.ID)]; return there })
		c.post(here("/keys/"+before.ID+"/revoke"), nil).want(http.StatusOK, nil)
		o.until("the revocation", func() bool { return o.known.keys[iam.KeyID(before.ID)].Revoked })
		o.renew().want(http.StatusOK, &g)
		if g.N != 2 || g.Seq < o.at.Seq {
			t.Errorf("got %+v at %+v", g, o.at)
		}
		for _, secret := range []string{before.Value, after.Value, before.Hint, before.Value[len(before.Value)-4:], v.key} {
			if bytes.Contains(o.raw.Bytes(), []byte(secret)) {
				t.Errorf("the stream holds %q", secret)
			}
		}
	})
}

// Whose keys a verifier is told of goes by its own key's workspace.
func TestVerifierIsToldOfItsScopeAlone(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		acme, globex := w.acme.in(t).holder("iam.keys:verify").in(t), w.globex.in(t)
		operators := w.system.in(t).holder("iam.keys:verify").in(t)
		theirs := globex.keyOf(globex.account("operator").ID, api.CreateKey{})
		all := operators.outside(url.Values{"workspace": {"any"}}, iam.Position{})
		for _, ref := range []string{"", "-", acme.workspace, "acme"} {
			o := acme.outside(url.Values{"workspace": {ref}}, iam.Position{})
			if _, told := o.known.keys[iam.KeyID(theirs.ID)]; told || len(o.known.workspaces) != 1 || o.hello.Workspace != iam.WorkspaceID(acme.workspace) {
				t.Errorf("%q: told of %d workspaces and of another's key: %t", ref, len(o.known.workspaces), told)
			}
			more := globex.keyOf(globex.account("operator").ID, api.CreateKey{})
			mine := w.acme.in(t).account("viewer")
			o.until("its own account", func() bool { _, there := o.known.principals[iam.PrincipalID(mine.ID)]; return there })
			if _, told := o.known.keys[iam.KeyID(more.ID)]; told {
				t.Errorf("%q: it hears of a change elsewhere", ref)
			}
			all.until("both", func() bool {
				_, key := all.known.keys[iam.KeyID(more.ID)]
				_, account := all.known.principals[iam.PrincipalID(mine.ID)]
				return key && account
			})
		}
		for _, ref := range []string{"any", globex.workspace, "globex", "nowhere"} {
			acme.get("/v1/replica?workspace="+ref).wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
		if o := operators.outside(url.Values{"workspace": {"globex"}}, iam.Position{}); o.hello.Workspace != iam.WorkspaceID(globex.workspace) || len(o.known.workspaces) != 1 {
			t.Errorf("the operators' verifier for globex has %+v", o.hello)
		}
		if o := operators.outside(url.Values{"workspace": {"any"}}, iam.Position{}); !o.hello.Any || len(o.known.workspaces) != 3 {
			t.Errorf("the operators' verifier for all has %+v and %d workspaces", o.hello, len(o.known.workspaces))
		}
		operators.get("/v1/replica?workspace=nowhere").wantProblem(http.StatusNotFound, api.CodeNotFound)
	})
}

// The stream ends, and nothing is granted, once its own key may not verify any more.
func TestVerifierWhoseKeyLosesTheRightEnds(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		lose := map[string]func(v *client, role api.CreatedRole){
			"revoked": func(v *client, _ api.CreatedRole) {
				c.post(here("/keys/"+v.id+"/revoke"), nil).want(http.StatusOK, nil)
			},
			"paused": func(v *client, _ api.CreatedRole) { c.post(here("/keys/"+v.id+"/pause"), nil).want(http.StatusOK, nil) },
			"narrowed": func(v *client, role api.CreatedRole) {
				c.patch(here("/roles/"+role.ID), api.UpdateRole{Permissions: &[]string{"tickets:read"}}).want(http.StatusOK, nil)
			},
		}
		for name, take := range lose {
			t.Run(name, func(t *testing.T) {
				role := c.role("iam.keys:verify")
				key := c.keyOf(c.account(role.Name).ID, api.CreateKey{})
				v := w.client(key.Value).in(t)
				o := v.outside(url.Values{}, iam.Position{})
				o.renew().want(http.StatusOK, nil)
				take(v, role)
				if got := o.renew().status; got != http.StatusUnauthorized && got != http.StatusForbidden {
					t.Errorf("it is granted more: %d", got)
				}
				broken(t, o.ends())
			})
		}
	})
}

func TestConnectionIsItsOwnersAlone(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("verifier")
		mine := w.client(c.keyOf(account.ID, api.CreateKey{}).Value).in(t)
		o := mine.outside(url.Values{}, iam.Position{})
		for name, other := range map[string]*client{
			"another key of the account": w.client(c.keyOf(account.ID, api.CreateKey{}).Value).in(t),
			"another account":            c.holder("iam.keys:verify").in(t),
			"another workspace":          w.globex.in(t),
			"whoever operates it all":    w.system.in(t),
		} {
			if p := other.post(o.path("/renew"), o.question()).wantProblem(http.StatusNotFound, api.CodeNotFound); strings.Contains(p.Detail, "acme") {
				t.Errorf("%s hears %q", name, p.Detail)
			}
			other.delete(o.path("")).wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
		mine.post("/v1/replica/nobody/renew", o.question()).wantProblem(http.StatusNotFound, api.CodeNotFound)
		o.renew().want(http.StatusOK, nil) // nobody ended it
		mine.delete(o.path("")).want(http.StatusNoContent, nil)
		o.renew().wantProblem(http.StatusNotFound, api.CodeNotFound)
	})
}

func TestVerifierResumesWhereItWas(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		v := c.holder("iam.keys:verify").in(t)
		first := v.outside(url.Values{}, iam.Position{})
		made := c.account("viewer") // while nobody listens, as far as that one knows
		again := v.outside(url.Values{}, first.at)
		if !again.hello.Resumed {
			t.Fatal("it gets a snapshot")
		}
		again.until("what it missed", func() bool { _, there := again.known.principals[iam.PrincipalID(made.ID)]; return there })
		if again.raw.Len() > 4096 {
			t.Errorf("it is told %d bytes", again.raw.Len())
		}
		wrong, ahead := first.at, first.at
		wrong.Chain[0]++
		ahead.Seq += 1000
		for name, from := range map[string]iam.Position{"another history": wrong, "what has not been": ahead} {
			if o := v.outside(url.Values{}, from); o.hello.Resumed || len(o.known.keys) == 0 {
				t.Errorf("from %s it resumes", name)
			}
		}
		for _, query := range []url.Values{{"from": {"7"}}, {"from": {"x." + strings.Repeat("0", 64)}}, {"name": {strings.Repeat("n", 65)}}, {"reporter": {"short"}}, {"reporter": {"aaaaaaaaaaaaaaa/../../"}}} {
			v.get("/v1/replica?"+query.Encode()).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
		}
		o := v.outside(url.Values{}, iam.Position{})
		o.at = wrong
		o.renew().wantProblem(http.StatusConflict, api.CodeDiverged)
	})
}

func TestStreamOfANodeThatEndsSaysSo(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		other := &town{world: w.with(t, func(o *server.Options) { o.Metrics = nil }), t: t}
		v := w.acme.in(t).holder("iam.keys:verify").in(t)
		v.town = other
		o := v.outside(url.Values{}, iam.Position{})
		o.renew().want(http.StatusOK, nil)
		other.server.EndStreams()
		var ended *relay.Ended
		if err := o.ends(); !errors.As(err, &ended) || ended.Reason != relay.Shutdown {
			t.Errorf("the stream ends with %v, want %s", err, relay.Shutdown)
		}
		o.renew().wantProblem(http.StatusNotFound, api.CodeNotFound)
		v.delete(o.path("")).want(http.StatusNoContent, nil) // and may say goodbye
	})
}

// entering are children of which is known who they are.
type entering struct {
	server.Children
	last atomic.Pointer[replica.Entrant]
}

func (e *entering) Enter(id string, who replica.Entrant) {
	e.last.Store(&who)
	e.Children.Enter(id, who)
}

// What a verifier does is held against the account of its key and its workspace, and
// against itself alone where those are the operator's.
func TestVerifiersOwnerAnswersForIt(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		all := &entering{}
		w = &town{world: w.with(t, func(o *server.Options) { all.Children, o.Metrics, o.Children = o.Children, nil, all }), t: t, system: w.system, acme: w.acme}
		follow := func(c *client, reporter string) replica.Entrant {
			c.town = w
			c.outside(url.Values{"reporter": {reporter}}, iam.Position{})
			return *all.last.Load()
		}
		tenant, operator := w.acme.in(t).holder("iam.keys:verify").in(t), w.system.in(t).holder("iam.keys:verify").in(t)
		one, other := follow(tenant, strings.Repeat("a", 20)), follow(tenant, strings.Repeat("b", 20))
		if one.Owner != other.Owner || one.Process == other.Process || one.Tenant != tenant.workspace || other.Tenant != tenant.workspace || one.Owner == "" {
			t.Errorf("two of one account answer for each other as %+v and %+v", one, other)
		}
		one, other = follow(operator, strings.Repeat("a", 20)), follow(operator, strings.Repeat("b", 20))
		if one.Owner == other.Owner || one.Tenant == other.Tenant || one.Owner != one.Process {
			t.Errorf("two of the operator's answer for each other as %+v and %+v", one, other)
		}
	})
}

// refusing are children who get nothing.
type refusing struct {
	server.Children
	why error
}

func (r *refusing) Renew(string, replica.Ping) (replica.Grant, error) { return replica.Grant{}, r.why }

func TestVerifierHearsWhyItGetsNothing(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		no := &refusing{}
		other := &town{world: w.with(t, func(o *server.Options) {
			no.Children = o.Children
			o.Metrics, o.Children, o.Limits.Verifiers = nil, no, 2
		}), t: t}
		v := w.acme.in(t).holder("iam.keys:verify").in(t)
		v.town = other
		o := v.outside(url.Values{}, iam.Position{})
		for _, test := range []struct {
			why    error
			status int
			code   string
		}{
			{replica.ErrNoFollower, http.StatusNotFound, api.CodeNotFound},
			{replica.ErrSetAside, http.StatusTooManyRequests, api.CodeRateLimited},
			{replica.ErrTooOld, http.StatusConflict, api.CodeTooOld},
			{iam.Diverged, http.StatusConflict, api.CodeDiverged},
			{iam.Errorf(iam.Unavailable, "x"), http.StatusServiceUnavailable, api.CodeUnavailable},
			{iam.Stale, http.StatusServiceUnavailable, api.CodeStale},
		} {
			no.why = test.why
			o.renew().wantProblem(test.status, test.code)
		}
		v.outside(url.Values{}, iam.Position{})
		v.get("/v1/replica").wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
		alone := &town{world: w.with(t, func(o *server.Options) { o.Metrics, o.Children = nil, nil }), t: t}
		v.town = alone
		v.get("/v1/replica").wantProblem(http.StatusServiceUnavailable, api.CodeUnavailable)
	})
}

// What a verifier counted counts as what a node did, in its scope and nowhere else.
func TestVerifierReportsUses(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		mine, theirs := c.keyOf(c.account("operator").ID, api.CreateKey{}), w.globex.in(t).keyOf(w.globex.in(t).account("operator").ID, api.CreateKey{})
		v := c.holder("iam.keys:verify").in(t)
		o := v.outside(url.Values{"name": {"tickets"}, "reporter": {"aaaaaaaaaaaaaaaaaaaa"}}, iam.Position{})
		v.post(o.path("/usage"), api.ReportReplicaUse{Number: 1}).wantProblem(http.StatusNotFound, api.CodeNotFound) // it can have accepted nothing
		o.renew().want(http.StatusOK, nil)
		at := api.NewTime(time.Now().Add(-time.Second))
		use := func(k api.CreatedKey, workspace string) api.ReplicaUse {
			return api.ReplicaUse{
				Key: k.ID, Principal: k.Principal.ID, Workspace: workspace, LastOK: &at,
				Minutes: []api.UsagePoint{{T: api.NewTime(at.Truncate(time.Minute)), OK: 3}},
				Sources: []api.ReplicaUseSource{{IP: "192.0.2.9", UserAgent: "ticketd/1", First: at, Last: at, LastOK: &at, OK: 3}},
			}
		}
		report := func(number int64, uses ...api.ReplicaUse) *reply {
			return v.post(o.path("/usage"), api.ReportReplicaUse{Number: number, Keys: uses})
		}
		later := use(mine, c.workspace)
		later.LastOK = new(api.NewTime(at.Add(time.Hour)))
		less := use(mine, c.workspace)
		less.Minutes[0].OK = -1
		more, long := use(mine, c.workspace), use(mine, c.workspace)
		for range 3 { // each by itself is possible
			more.Minutes = append(more.Minutes, api.UsagePoint{T: more.Minutes[0].T, OK: 1 << 31})
		}
		long.Minutes = slices.Repeat(long.Minutes, 50_001)
		for name, bad := range map[string]api.ReplicaUse{
			"more than can be, in parts":      more,
			"what takes the store too long":   long,
			"a key of others":                 use(theirs, w.globex.workspace),
			"a key of others, said to be its": use(theirs, c.workspace),
			"a key of nobody":                 {Key: "key_x", Principal: mine.Principal.ID, Workspace: c.workspace},
			"a use to come":                   later,
			"less than nothing":               less,
		} {
			t.Run(name, func(t *testing.T) {
				report(1, use(mine, c.workspace), bad).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
			})
		}
		usage := func(k api.CreatedKey, of *client) (u api.KeyUsage) {
			of.get(here("/keys/"+k.ID+"/usage")).want(http.StatusOK, &u)
			return u
		}
		if u := usage(mine, c); len(u.Sources) != 0 {
			t.Errorf("a refused report left %+v", u.Sources)
		}
		for range 2 { // it is taken once
			report(1, use(mine, c.workspace)).want(http.StatusOK, nil)
		}
		if u := usage(mine, c); len(u.Sources) != 1 || u.Sources[0].Node != "tickets" || u.Sources[0].OK != 3 || u.Sources[0].IP != "192.0.2.9" {
			t.Errorf("got %+v", u.Sources)
		}
		w.globex.in(t).post(o.path("/usage"), api.ReportReplicaUse{Number: 2}).wantProblem(http.StatusNotFound, api.CodeNotFound)
		same := w.globex.in(t).outside(url.Values{"reporter": {"aaaaaaaaaaaaaaaaaaaa"}}, iam.Position{}) // the same text is another's
		same.renew().want(http.StatusOK, nil)
		w.globex.in(t).post(same.path("/usage"), api.ReportReplicaUse{Number: 1, Last: true}).want(http.StatusOK, nil)
		report(2, use(mine, c.workspace)).want(http.StatusOK, nil)
		if u := usage(mine, c); u.Sources[0].OK != 6 {
			t.Errorf("after somebody else with the same text said that it ends: %+v", u.Sources)
		}
	})
}

// A verifier of which nobody knows that it may have accepted keys gets nothing. That it
// is known of is said again in the background: a store that hangs keeps no verifier from
// acknowledging, nor from going on until it would be taken for gone.
func TestVerifierThatIsNotRegisteredGetsNothing(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		v := w.acme.in(t).holder("iam.keys:verify").in(t)
		later := new(atomic.Int64)
		all := server.Children(nil)
		other := &town{world: w.with(t, func(o *server.Options) {
			all, o.Metrics, o.Now = o.Children, nil, func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		}), t: t}
		v.town = other
		o := v.outside(url.Values{}, iam.Position{})
		w.faults.set(func() error { return iam.Errorf(iam.Unavailable, "away") }, nil, nil)
		defer w.faults.set(nil, nil, nil)
		o.renew().wantProblem(http.StatusServiceUnavailable, api.CodeUnavailable)
		w.faults.set(nil, nil, nil)
		o.renew().want(http.StatusOK, nil)
		asked, held := make(chan struct{}, 8), make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		defer release()
		w.faults.set(func() error { asked <- struct{}{}; <-held; return nil }, nil, nil)
		later.Store(int64(iam.VerifierHeard / 2))
		for range 3 {
			o.renew().want(http.StatusOK, nil)
		}
		<-asked // in the background
		later.Store(int64(iam.VerifierHeard))
		before := o.at
		w.faults.set(nil, nil, nil)
		made := w.acme.in(t).account("viewer")
		o.until("a change", func() bool { _, there := o.known.principals[iam.PrincipalID(made.ID)]; return there })
		o.renew().wantProblem(http.StatusServiceUnavailable, api.CodeStale)
		if acked := acknowledged(all, o.hello.Child); acked < o.at.Seq || o.at.Seq <= before.Seq {
			t.Errorf("it answers from %d, and is known to from %d", o.at.Seq, acked)
		}
		if n := len(asked); n > 0 {
			t.Errorf("the store was asked %d times more while it hung, want once", n)
		}
		release()
		for deadline := time.Now().Add(30 * time.Second); o.renew().status != http.StatusOK; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it gets nothing, though the store answers again")
			}
		}
	})
}

// acknowledged returns from which change a verifier is known to answer.
func acknowledged(all server.Children, child string) int64 {
	for _, f := range all.Status() {
		if f.ID == child {
			return f.Acked
		}
	}
	return 0
}

// What was reported before says nothing of whoever reports it again.
func TestVerifierThatRepeatsItselfIsNotHeardOf(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		v := w.acme.in(t).holder("iam.keys:verify").in(t)
		later := new(atomic.Int64)
		v.town = &town{world: w.with(t, func(o *server.Options) {
			o.Metrics, o.Now = nil, func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		}), t: t}
		o := v.outside(url.Values{}, iam.Position{})
		o.renew().want(http.StatusOK, nil)
		report := func(number int64) {
			v.post(o.path("/usage"), api.ReportReplicaUse{Number: number}).want(http.StatusOK, nil)
		}
		report(1)
		later.Store(int64(iam.VerifierHeard - iam.VerifierHeard/10))
		report(2)
		later.Store(int64(2*iam.VerifierHeard - iam.VerifierHeard/5))
		report(2)
		var asked atomic.Int64
		held := make(chan struct{})
		defer close(held)
		w.faults.set(func() error { asked.Add(1); <-held; return nil }, nil, nil)
		defer w.faults.set(nil, nil, nil)
		o.renew().want(http.StatusOK, nil) // report 2 was heard
		for deadline := time.Now().Add(30 * time.Second); asked.Load() == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the store is not told of a verifier whose last report was a repeated one")
			}
		}
	})
}

// However often a verifier connects, and however many of one owner: it is bounded.
func TestConnectionsOfVerifiersAreBounded(t *testing.T) {
	w := newTown(t, newWorld(t, storetest.SQLite(t)))
	in := func(change func(l *server.Limits)) *client {
		v := w.acme.in(t).holder("iam.keys:verify").in(t)
		v.town = &town{world: w.with(t, func(o *server.Options) { o.Metrics = nil; change(&o.Limits) }), t: t}
		return v
	}
	often := in(func(l *server.Limits) { l.Opening = server.Rate{Burst: 2, Window: time.Hour} })
	for range 2 {
		often.outside(url.Values{}, iam.Position{})
	}
	for name, v := range map[string]*client{
		"too often":            often,
		"too many on the node": in(func(l *server.Limits) { l.Connected = 1 }),
	} {
		t.Run(name, func(t *testing.T) {
			v := v.in(t)
			if v.url != often.url {
				first := w.globex.in(t)
				first.town = v.town
				first.outside(url.Values{}, iam.Position{})
			}
			r := v.get("/v1/replica")
			r.wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
			if after := r.header.Get("Retry-After"); after == "" || after == "0" {
				t.Errorf("it is to come back after %q seconds", after)
			}
		})
	}
	stranger := w.globex.in(t)
	stranger.town = often.town
	stranger.outside(url.Values{}, iam.Position{}) // somebody else may
}

// One verifier reports as often as it may, over however many connections; and all of
// one owner together, whoever they say that they are.
func TestReportsOfVerifiersAreBounded(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		v := w.acme.in(t).holder("iam.keys:verify").in(t)
		v.town = &town{world: w.with(t, func(o *server.Options) {
			o.Metrics, o.Limits.Reports = nil, server.Rate{Burst: 1, Window: time.Hour}
		}), t: t}
		report := func(process string, number int64) *reply {
			o := v.outside(url.Values{"reporter": {process}}, iam.Position{})
			o.renew().want(http.StatusOK, nil) // so that the store knows it
			return v.post(o.path("/usage"), api.ReportReplicaUse{Number: number})
		}
		report("aaaaaaaaaaaaaaaa", 1).want(http.StatusOK, nil)
		r := report("aaaaaaaaaaaaaaaa", 2)
		r.wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
		if after := r.header.Get("Retry-After"); after == "" || after == "0" {
			t.Errorf("it is to come back after %q seconds", after)
		}
		for i := range 63 {
			report(fmt.Sprintf("bbbbbbbbbbbbbb%02d", i), 1).want(http.StatusOK, nil)
		}
		report("cccccccccccccccc", 1).wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
	})
}

// beginning is a verifier whose connection the store has not been told of, on a server
// whose store hangs when it is, until release is called.
func beginning(t *testing.T, w *town, held <-chan struct{}, asked chan<- struct{}) *outside {
	t.Helper()
	v := w.acme.in(t).holder("iam.keys:verify").in(t)
	o := v.outside(url.Values{"name": {"mine"}}, iam.Position{})
	w.faults.set(func() error { asked <- struct{}{}; <-held; return nil }, nil, nil)
	t.Cleanup(func() { w.faults.set(nil, nil, nil) })
	return o
}

// However long the store takes to be told of a verifier, that begins: its requests end
// before, and the store is not told over again for each.
func TestVerifierBeginsOverAStoreThatTakesLong(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		asked, held := make(chan struct{}, 100), make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		defer release()
		o := beginning(t, w, held, asked)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		req := o.c.request(http.MethodPost, o.path("/renew"), o.question()).request(t, o.c.url).WithContext(ctx)
		if answer, err := http.DefaultClient.Do(req); err == nil {
			answer.Body.Close()
			t.Fatalf("while the store hangs: %d", answer.StatusCode)
		}
		time.AfterFunc(50*time.Millisecond, release)
		o.renew().want(http.StatusOK, nil)
		if len(asked) != 0 {
			t.Errorf("the store was told %d times more", len(asked))
		}
	})
}

// A verifier that says goodbye while the store is being told of it is not listed, as one
// would be that was cut off.
func TestVerifierThatLeavesWhileItBeginsIsNotListed(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		asked, held := make(chan struct{}, 100), make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		defer release()
		o := beginning(t, w, held, asked)
		begun := make(chan struct{})
		go func() { defer close(begun); o.renew() }()
		<-asked
		time.AfterFunc(200*time.Millisecond, release) // else it says goodbye first
		o.c.delete(o.path("")).want(http.StatusNoContent, nil)
		release()
		<-begun
		o.stop()
		if got := names(w.system.in(t).listed()); slices.Contains(got, "mine") {
			t.Errorf("%v are listed, and it said goodbye", got)
		}
	})
}

// However many verifiers the tenants have on a node, those of the operator find room.
func TestTenantsLeaveRoomForTheOperatorsVerifiers(t *testing.T) {
	w := newTown(t, newWorld(t, storetest.SQLite(t)))
	on := &town{world: w.with(t, func(o *server.Options) { o.Metrics, o.Limits.Connected = nil, 4 }), t: t}
	of := func(c *client) *client {
		v := c.in(t).holder("iam.keys:verify").in(t)
		v.town = on
		return v
	}
	full := func(when string, c *client) {
		t.Helper()
		if got := of(c).tryOutside(url.Values{}, iam.Position{}).StatusCode; got != http.StatusTooManyRequests {
			t.Errorf("%s: %d, want 429", when, got)
		}
	}
	first := of(w.acme).outside(url.Values{}, iam.Position{})
	of(w.globex).outside(url.Values{}, iam.Position{})
	of(w.acme).outside(url.Values{}, iam.Position{})
	full("a tenant's fourth of four", w.globex)
	of(w.system).outside(url.Values{}, iam.Position{})
	full("the operator's when there is no room at all", w.system)
	first.stop()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if answer := of(w.globex).tryOutside(url.Values{}, iam.Position{}); answer.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what has ended leaves no room")
		}
	}
}
