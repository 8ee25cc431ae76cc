package server_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// roster is what a test says that the nodes are.
type roster []iam.NodeStatus

// Nodes implements [iam.Roster].
func (r roster) Nodes(context.Context) ([]iam.NodeStatus, error) { return r, nil }

func TestANodeThatIsAloneIsListedWithoutALease(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		var list api.List[api.Node]
		w.do(t, get(x.root+"/nodes", x.owner)).want(http.StatusOK, &list)
		if len(list.Data) != 1 || list.HasMore {
			t.Fatalf("got %+v, want one node", list)
		}
		n := list.Data[0]
		if n.Name != "test" || n.Kind != "server" || !n.Self || n.Lag == nil || *n.Lag != 0 || n.Follows != nil || n.SetAside != nil || n.Workspace != nil || n.Revision == 0 || len(n.ID) != 32 || n.LeaseTTLMS != nil || n.LeaseLeftMS != nil {
			t.Errorf("got %+v", n)
		}
		if since := time.Since(n.LastContact.Time); since < 0 || since > time.Minute {
			t.Errorf("it was heard of %v ago", since)
		}
	})
}

func TestAListOfNodesSaysWhatIsKnownOfEach(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		began := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
		w.faults.roster = roster{
			{
				NodeRow:   iam.NodeRow{Incarnation: "2", Name: "b", Kind: "server", Version: "v1", TTL: 5 * time.Second, Bounded: 10 * time.Second, Acked: 7, StartedAt: began},
				LeaseLeft: 1500 * time.Millisecond, Lag: 3, LastContact: began.Add(time.Hour + 999*time.Nanosecond),
			},
			{NodeRow: iam.NodeRow{Incarnation: "1", Name: "a", Kind: "server", TTL: time.Second}, Own: true},
		}
		var first, second api.List[api.Node]
		w.do(t, get(x.root+"/nodes?limit=1", x.owner)).want(http.StatusOK, &first)
		if len(first.Data) != 1 || first.Data[0].Name != "a" || *first.Data[0].LeaseLeftMS != 0 || first.Data[0].Consistency != "strict" || first.NextCursor == nil {
			t.Fatalf("first page: %+v", first)
		}
		w.do(t, get(x.root+"/nodes?limit=1&cursor="+*first.NextCursor, x.owner)).want(http.StatusOK, &second)
		if len(second.Data) != 1 || second.HasMore {
			t.Fatalf("second page: %+v", second)
		}
		got := second.Data[0]
		ttl, left, lag := *got.LeaseTTLMS, *got.LeaseLeftMS, *got.Lag
		if got.RequestsPerSecond == nil || *got.RequestsPerSecond != 0 {
			t.Errorf("got %v requests in a second, want 0: nobody reports for it", got.RequestsPerSecond)
		}
		got.LeaseTTLMS, got.LeaseLeftMS, got.RequestsPerSecond, got.Lag = nil, nil, nil, nil
		want := api.Node{ID: "2", Name: "b", Kind: "server", Version: "v1", Consistency: "bounded", Revision: 7, LastContact: api.NewTime(began.Add(time.Hour)), StartedAt: api.NewTime(began)}
		if got != want || ttl != 15_000 || left != 1500 || lag != 3 {
			t.Errorf("got %+v, lease %d of %d ms; want %+v, 1500 of 15000", got, left, ttl, want)
		}
	})
}

// listed returns the nodes that a caller is told of, by name.
func (c *client) listed() map[string]api.Node {
	c.t.Helper()
	var list api.List[api.Node]
	c.get(here("/nodes")).want(http.StatusOK, &list)
	named := map[string]api.Node{}
	for _, n := range list.Data {
		named[n.Name] = n
	}
	return named
}

// eventually waits until something is so.
func (c *client) eventually(what string, so func(map[string]api.Node) bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(c.listed()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("never: %s; there are %+v", what, c.listed())
		}
	}
}

func names(nodes map[string]api.Node) []string { return slices.Sorted(maps.Keys(nodes)) }

func TestVerifiersAreListedToTheWorkspaceOfTheirKeyAndToOperators(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		acme, globex, system := w.acme.in(t), w.globex.in(t), w.system.in(t)
		mine := acme.holder("iam.keys:verify").in(t).outside(url.Values{"name": {"mine"}}, iam.Position{})
		mine.renew().want(http.StatusOK, nil)
		globex.holder("iam.keys:verify").in(t).outside(url.Values{"name": {"theirs"}}, iam.Position{})
		system.holder("iam.keys:verify").in(t).outside(url.Values{"name": {"all"}, "workspace": {"any"}}, iam.Position{})
		system.holder("iam.keys:verify").in(t).outside(url.Values{"name": {"ours"}, "workspace": {"acme"}}, iam.Position{})
		for c, want := range map[*client][]string{acme: {"mine", "test"}, globex: {"test", "theirs"}, system: {"all", "mine", "ours", "test", "theirs"}} {
			if got := names(c.listed()); !slices.Equal(got, want) {
				t.Errorf("%s is told of %v, want %v", c.workspace, got, want)
			}
			var told api.StreamNodes
			events := c.stream("?topics=nodes")
			events.next()
			events.next().into(t, "nodes", &told)
			var got []string
			for _, n := range told.Nodes {
				got = append(got, n.Name)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the stream tells %s of %v, want %v", c.workspace, got, want)
			}
		}
		n := acme.listed()["mine"]
		if n.Kind != "verifier" || n.ID != mine.hello.Child || n.Version != "" || n.Self || n.Revision < mine.at.Seq || n.Lag == nil ||
			*n.LeaseTTLMS != 2000 || *n.LeaseLeftMS <= 0 || *n.LeaseLeftMS > 2000 || *n.Follows != "test" || *n.Workspace != "acme" || *n.SetAside || *n.RequestsPerSecond != 0 {
			t.Errorf("got %+v", n)
		}
		acme.holder("iam.keys:read").in(t).get(here("/nodes")).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
	})
}

// A verifier that another node knows of is listed by each, and that one alone knows how
// far it is behind, and for how long it may answer.
func TestVerifiersOfOtherNodesAreListed(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		if _, err := w.iam.Store.Register(t.Context(), iam.Reporter{
			ID: "far", Name: "far", Kind: iam.VerifierNode,
			Following: iam.Following{Connection: "1", Node: "other", Home: iam.Ref[iam.WorkspaceID]{ID: iam.WorkspaceID(c.workspace)}, Acked: 7},
		}); err != nil {
			t.Fatal(err)
		}
		n := c.listed()["far"]
		if n.ID != "1" || n.Kind != "verifier" || n.Revision != 7 || *n.Follows != "other" || *n.Workspace != "acme" || n.Lag != nil || n.LeaseLeftMS != nil ||
			*n.LeaseTTLMS != 2000 || n.SetAside != nil || time.Since(n.LastContact.Time) > time.Minute {
			t.Errorf("got %+v", n)
		}
	})
}

func TestAVerifierIsListedUntilItSaysGoodbyeAndWhenItWasCutOff(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		key := c.holder("iam.keys:verify").in(t)
		polite, rude := key.outside(url.Values{"name": {"polite"}}, iam.Position{}), key.outside(url.Values{"name": {"rude"}}, iam.Position{})
		rude.renew().want(http.StatusOK, nil)
		if all := c.listed(); len(all) != 3 {
			t.Fatalf("there are %v", names(all))
		}
		key.delete(polite.path("")).want(http.StatusNoContent, nil)
		if all := c.listed(); len(all) != 2 {
			t.Errorf("after a goodbye there are %v", names(all))
		}
		rude.stop()
		c.eventually("it is listed without a lease", func(all map[string]api.Node) bool {
			n, there := all["rude"]
			return there && len(all) == 2 && n.LeaseLeftMS != nil && *n.LeaseLeftMS == 0 && n.ID == rude.hello.Child
		})
		process := url.Values{"name": {"back"}, "reporter": {"bbbbbbbbbbbbbbbbbbbb"}}
		key.outside(process, iam.Position{}).stop()
		back := key.outside(process, iam.Position{})
		back.renew().want(http.StatusOK, nil)
		var list api.List[api.Node]
		c.get(here("/nodes")).want(http.StatusOK, &list)
		if len(list.Data) != 3 || list.Data[0].ID != back.hello.Child || *list.Data[0].LeaseLeftMS <= 0 {
			t.Errorf("a process that came back is listed as %+v", list.Data)
		}
	})
}
