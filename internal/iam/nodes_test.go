package iam_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// roster is what a test says that the nodes are.
type roster []iam.NodeStatus

// Nodes implements [iam.Roster].
func (r roster) Nodes(context.Context) ([]iam.NodeStatus, error) { return slices.Clone(r), nil }

func nodeRow(name, incarnation, kind string) iam.NodeStatus {
	return iam.NodeStatus{NodeRow: iam.NodeRow{Name: name, Incarnation: incarnation, Kind: kind}}
}

// walk reads a list of nodes to its end, as name/incarnation.
func (w *world) walk(c iam.Caller, page iam.Page) (seen string) {
	w.t.Helper()
	for range 10 {
		list, err := w.Nodes(w.t.Context(), c, "-", page, nil)
		if err != nil {
			w.t.Fatalf("list nodes after %v: %v", page.After, err)
		}
		for _, n := range list.Items {
			seen += n.Name + "/" + n.Incarnation + " "
		}
		if list.Next == nil {
			return strings.TrimSpace(seen)
		}
		page.After = list.Next
	}
	w.t.Fatalf("the list has no end: %s", seen)
	return ""
}

func TestNodesAreListedByNameWhateverThePages(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.Roster = roster{nodeRow("b", "3", iam.ServerNode), nodeRow("a", "2", iam.ServerNode), nodeRow("b", "1", iam.ServerNode), nodeRow("c", "0", iam.ServerNode)}
		for sort, want := range map[string]string{"": "a/2 b/1 b/3 c/0", "name": "a/2 b/1 b/3 c/0", "-name": "c/0 b/3 b/1 a/2"} {
			for limit := 1; limit <= 5; limit++ {
				if got := w.walk(w.owner, iam.Page{Limit: limit, Sort: sort}); got != want {
					t.Errorf("sort %q, limit %d: got %s, want %s", sort, limit, got, want)
				}
			}
		}
		if _, err := w.Nodes(t.Context(), w.owner, "-", iam.Page{Limit: 1, Sort: "lag"}, nil); !errors.Is(err, iam.ValidationFailed) {
			t.Errorf("by what they are not sorted by: got %v, want %v", err, iam.ValidationFailed)
		}
		for _, after := range [][]string{{}, {"a"}, {"a", "2", "x"}} {
			if _, err := w.Nodes(t.Context(), w.owner, "-", iam.Page{Limit: 1, After: after}, nil); err != nil {
				t.Errorf("after %q: %v", after, err)
			}
		}
	})
}

// A node is told by the id of who reports for it, and one that is alone by its name.
func TestNodesSayHowOftenKeysAreUsedThere(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, r := range []iam.Reporter{{ID: "r1", Name: "a"}, {ID: "r2", Name: "b"}} { // on SQLite, the last one lives
			r.Kind = iam.ServerNode
			if _, err := w.Store.Register(t.Context(), r); err != nil {
				t.Fatalf("register %s: %v", r.ID, err)
			}
		}
		minutes := []iam.UsePoint{{At: w.Now().Truncate(time.Minute), OK: 30}}
		if _, err := w.Report(t.Context(), iam.UsageReport{Reporter: "r2", Number: 1, Keys: []iam.KeyUse{{
			Key: w.freshKey(), Principal: w.owner.Principal.ID, Workspace: w.owner.Workspace.ID, Minutes: minutes, LastOK: w.Now(),
		}}}); err != nil {
			t.Fatalf("report: %v", err)
		}
		one, other, alone := nodeRow("a", "1", iam.ServerNode), nodeRow("b", "2", iam.ServerNode), nodeRow("b", "3", iam.ServerNode)
		one.Reporter, other.Reporter = "r1", "r2"
		w.Roster = roster{one, other, alone}
		list, err := w.Nodes(t.Context(), w.owner, "-", iam.Page{Limit: 10}, nil)
		if err != nil || len(list.Items) != 3 {
			t.Fatalf("got %d nodes and error %v, want 3", len(list.Items), err)
		}
		for i, used := range []bool{false, true, true} {
			if rate := list.Items[i].UsesPerSec; rate == nil || (*rate > 0) != used {
				t.Errorf("%s is used %v times in a second, want more than 0: %t", list.Items[i].Incarnation, *rate, used)
			}
		}
	})
}

func TestATenantSeesServersAlone(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.Roster = roster{nodeRow("gateway", "1", "gateway"), nodeRow("server", "2", iam.ServerNode)}
		for _, tt := range []struct {
			who  string
			c    iam.Caller
			want string
		}{{"a tenant", w.owner, "server/2"}, {"an operator", w.system, "gateway/1 server/2"}} {
			if got := w.walk(tt.c, iam.Page{Limit: 10}); got != tt.want {
				t.Errorf("%s sees %s, want %s", tt.who, got, tt.want)
			}
		}
	})
}

// Of a verifier that follows another node only what that one told the store is known:
// for how long it may answer is, once it cannot for long.
func TestVerifiersAreListedToWhoseTheyAre(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.Roster = roster{nodeRow("server", "1", iam.ServerNode)}
		follow := func(c iam.Caller, name, connection string) {
			t.Helper()
			if _, err := w.Store.Register(t.Context(), iam.Reporter{
				ID: name, Name: name, Kind: iam.VerifierNode,
				Following: iam.Following{Connection: connection, Node: "other", Home: c.Workspace, Acked: 7},
			}); err != nil {
				t.Fatalf("register %s: %v", name, err)
			}
		}
		follow(w.owner, "mine", "2")
		follow(w.owner, "here", "3")
		follow(w.system, "theirs", "4")
		here := []iam.NodeStatus{nodeRow("here", "5", iam.VerifierNode), nodeRow("far", "6", iam.VerifierNode)}
		here[0].Reporter, here[0].Home, here[0].TTL, here[0].LeaseLeft = "here", w.owner.Workspace, iam.VerifierGrant, time.Second
		here[1].Reporter, here[1].Home = "far", w.system.Workspace
		seen := func(c iam.Caller) (all string, of map[string]iam.NodeStatus) {
			t.Helper()
			list, err := w.Nodes(t.Context(), c, "-", iam.Page{Limit: 10}, here)
			if err != nil {
				t.Fatalf("list nodes: %v", err)
			}
			of = map[string]iam.NodeStatus{}
			for _, n := range list.Items {
				all += n.Name + "/" + n.Incarnation + " "
				of[n.Name] = n
			}
			return all, of
		}
		if got, _ := seen(w.system); got != "far/6 here/5 mine/2 server/1 theirs/4 " {
			t.Errorf("an operator sees %s", got)
		}
		got, of := seen(w.owner)
		if got != "here/5 mine/2 server/1 " {
			t.Errorf("a tenant sees %s", got)
		}
		if n := of["mine"]; !n.Elsewhere || !n.Unwatched || n.Silent() || n.Follows != "other" || n.Acked != 7 || n.Home != w.owner.Workspace {
			t.Errorf("of a verifier that follows another node: %+v", n)
		}
		if n := of["here"]; n.Elsewhere || n.Unwatched || n.Silent() {
			t.Errorf("of one that follows this one: %+v", n)
		}
		if err := w.Store.Unfollow(t.Context(), "mine", iam.Following{Connection: "2"}, false); err != nil {
			t.Fatalf("unfollow: %v", err)
		}
		if _, of := seen(w.owner); of["mine"].Unwatched || !of["mine"].Elsewhere || of["mine"].LeaseLeft != iam.VerifierGrant {
			t.Errorf("just cut off: %+v, want that it may answer for %v", of["mine"], iam.VerifierGrant)
		}
		w.clock.advance(iam.VerifierGrant)
		if _, of := seen(w.owner); !of["mine"].Silent() {
			t.Errorf("cut off: %+v, want no lease", of["mine"])
		}
		w.clock.advance(iam.VerifierGone)
		if _, of := seen(w.system); !of["theirs"].Silent() {
			t.Errorf("not heard of for %v: %+v, want no lease", iam.VerifierGone, of["theirs"])
		}
	})
}
