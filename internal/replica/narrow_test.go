package replica

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// scopedFeed is what a scope sees of a replica, as the feed of another.
type scopedFeed struct {
	*Replica
	scope Scope
}

func (f scopedFeed) Changes(_ context.Context, after iam.Position, _ int) ([]iam.Change, iam.Position, error) {
	changes, at, err := f.View().After(after, f.scope)
	for _, c := range changes {
		if c.LowestReader() == iam.ReaderVersion {
			return nil, at, fmt.Errorf("change %d tells of a session", c.Seq)
		}
	}
	return changes, at, err
}

func (f scopedFeed) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	return f.View().Pour(f.scope, sink)
}

// tamed are the changes of a world as a deployment makes them: what has ended stays
// so, and what is of one workspace stays there, unless things move.
type tamed struct {
	*world
	moving   bool
	roles    map[iam.RoleID]iam.WorkspaceID
	homes    map[iam.PrincipalID]iam.WorkspaceID
	owners   map[token.Hash]iam.PrincipalID
	ended    map[token.Hash]bool
	gone     map[iam.PrincipalID]iam.State
	sessions int
}

func tame(w *world, moving bool) *tamed {
	t := &tamed{
		world: w, moving: moving, roles: map[iam.RoleID]iam.WorkspaceID{}, homes: map[iam.PrincipalID]iam.WorkspaceID{},
		owners: map[token.Hash]iam.PrincipalID{}, ended: map[token.Hash]bool{}, gone: map[iam.PrincipalID]iam.State{},
	}
	for n := range 6 {
		var home iam.WorkspaceID // those of none are built in
		if n > 1 {
			home = iam.WorkspaceID(testID(iam.WorkspacePrefix, n%3))
		}
		t.roles[iam.RoleID(testID(iam.RolePrefix, n))] = home
	}
	return t
}

// stay returns where a thing is, which is where it is said to be when it is new, or
// has moved.
func stay[K comparable, V any](w *tamed, where map[K]V, what K, said V) V {
	at, known := where[what]
	if !known || w.moving && w.IntN(8) == 0 {
		at = said
	}
	where[what] = at
	return at
}

func (w *tamed) change() iam.Change {
	c := w.world.change()
	for i := range c.Roles {
		r := &c.Roles[i]
		r.Workspace = stay(w, w.roles, r.ID, one(w.world, "", w.anyWorkspace()))
	}
	for i := range c.Principals {
		p := &c.Principals[i]
		p.Workspace = stay(w, w.homes, p.ID, p.Workspace)
		if home := w.roles[p.Role]; home != "" && home != p.Workspace {
			p.Role = iam.RoleID(testID(iam.RolePrefix, 6)) // which there never is
		}
		if end, gone := w.gone[p.ID]; gone {
			p.State = end
		} else if p.State == iam.Inactive || p.State == iam.Removed {
			w.gone[p.ID] = p.State
		}
	}
	for i := range c.Keys {
		k := &c.Keys[i]
		k.Principal = stay(w, w.owners, k.Hash, k.Principal)
		w.ended[k.Hash] = w.ended[k.Hash] || k.Revoked
		k.Revoked = w.ended[k.Hash]
	}
	if len(c.Keys) > 0 && w.IntN(3) == 0 {
		c.Keys = append(c.Keys, w.session(c.Keys[0].Principal))
	}
	return c
}

// session returns a session, which is over soon and lets go of its record.
func (w *tamed) session(of iam.PrincipalID) iam.KeyRecord {
	w.sessions++
	return iam.KeyRecord{
		ID: iam.KeyID(testID(iam.SignInPrefix, w.sessions)), Session: true, Principal: of,
		Hash: token.NewSecret(fmt.Sprint("session ", w.sessions)).Hash(), Expires: epoch.Add(time.Duration(w.sessions+2) * time.Second).UnixMicro(),
	}
}

// poured returns what a view tells a scope.
func poured(t *rapid.T, r *Replica, sc Scope) *model {
	t.Helper()
	m := newModel()
	if _, err := r.View().Pour(sc, m); err != nil {
		t.Fatalf("pour: %v", err)
	}
	return m
}

func (m *model) Workspace(w iam.WorkspaceRecord) error { m.workspaces[w.ID] = w; return nil }
func (m *model) Role(r iam.RoleRecord) error           { m.roles[r.ID] = r; return nil }
func (m *model) Principal(p iam.PrincipalRecord) error { m.principals[p.ID] = p; return nil }
func (m *model) Key(k iam.KeyRecord) error             { m.keys[k.Hash] = k; return nil }

func sameModels(a, b *model) string {
	return gocmp.Diff(a, b, gocmp.AllowUnexported(model{}), gocmp.Comparer(iam.Permissions.Equal), gocmp.Comparer(func(a, b token.Hash) bool { return a == b }),
		gocmp.FilterPath(func(p gocmp.Path) bool { return p.String() == "seq" || p.String() == "time" }, gocmp.Ignore()), cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty())
}

// A replica that follows as far as a scope sees knows what one would that was loaded
// anew, and nothing of anybody else; what of it works, works as it does above.
func TestAScopedReplicaKnowsWhatOneThatIsLoadedAnewDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moving := rapid.Bool().Draw(t, "things move")
		w := tame(newWorld(rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom([]int{3, 40}).Draw(t, "keys")), moving)
		sc := OneWorkspace(iam.WorkspaceID(testID(iam.WorkspacePrefix, rapid.IntRange(0, 2).Draw(t, "workspace"))))
		now := clock{epoch.Add(1000 * time.Second)}
		parent, child := New(Options{Now: now.Now, Tail: 100}), New(Options{Now: now.Now})
		m := newModel()
		m.time = epoch
		mustLoad(t, parent, m)
		above := scopedFeed{parent, sc}
		follow := func() {
			if !child.Standing().Fit {
				if err := child.Load(t.Context(), above); err != nil {
					t.Fatalf("load: %v", err)
				}
			}
			err := child.CatchUp(t.Context(), above)
			if moving && errors.Is(err, ErrTooOld) {
				err = child.Load(t.Context(), above)
			}
			if err != nil {
				t.Fatalf("follow: %v", err)
			}
		}
		var batch []iam.Change
		for seq := range int64(30) {
			if w.IntN(3) == 0 {
				follow()
			}
			c := w.change()
			c.Seq, c.Time = seq+1, epoch.Add(time.Duration(seq)*time.Second)
			if batch = append(batch, c); w.IntN(2) == 0 && seq < 29 {
				continue // it is published together with the next
			}
			at := iam.Position{Seq: c.Seq, Chain: iam.Chain{byte(c.Seq)}, Time: c.Time}
			if _, err := parent.advance(parent.current.Load(), batch, at); err != nil {
				t.Fatalf("apply: %v", err)
			}
			batch = nil
		}
		follow()
		if got, want := child.Position(), parent.Position(); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		if d := sameModels(poured(t, parent, sc), poured(t, child, AnyWorkspace())); d != "" {
			t.Fatalf("(-loaded anew +child):\n%s", d)
		}
		for range 50 {
			hash, q := w.hash(), w.query()
			q.Scope = sc
			got := child.Verify(hash, q)
			if d := diff(parent.Verify(hash, q), got); d != "" && !moving {
				t.Fatalf("(-parent +child):\n%s", d)
			}
			q.Scope = AnyWorkspace()
			if d := diff(got, child.Verify(hash, q)); d != "" {
				t.Fatalf("it knows of others' keys (-as to its scope +as to all):\n%s", d)
			}
		}
		checkReferences(t, child.current.Load())
	})
}

// Whoever need not wait for a change is whoever would not notice it.
func TestWhomAChangeTouchesIsWhoHearsOfIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := tame(newWorld(rapid.Uint64().Draw(t, "seed"), 5), rapid.Bool().Draw(t, "things move"))
		const kept = 10
		r := New(Options{Tail: kept})
		m := newModel()
		m.time = epoch
		mustLoad(t, r, m)
		before := map[Scope][]*model{}
		scopes := []Scope{AnyWorkspace()}
		for n := range 3 {
			scopes = append(scopes, OneWorkspace(iam.WorkspaceID(testID(iam.WorkspacePrefix, n))))
		}
		const changes = 20
		for seq := range int64(changes + 1) {
			for _, sc := range scopes {
				before[sc] = append(before[sc], poured(t, r, sc))
			}
			if seq == changes {
				break
			}
			var c iam.Change // every other says nothing
			if seq%2 == 0 {
				c = w.change()
			}
			c.Seq, c.Time = seq+1, epoch
			if err := r.Apply(c, iam.Position{Seq: c.Seq, Chain: iam.Chain{byte(c.Seq)}, Time: c.Time}); err != nil {
				t.Fatalf("apply: %v", err)
			}
		}
		for range 50 {
			sc, from := scopes[w.IntN(len(scopes))], int64(w.IntN(changes+1))
			upTo := from + int64(w.IntN(changes+1-int(from)))
			touches := r.View().Touches(sc, from, upTo)
			if d := sameModels(before[sc][from], before[sc][upTo]); d != "" && !touches {
				t.Fatalf("after %d, up to %d, nobody is told of (-before +after):\n%s", from, upTo, d)
			}
			if from < changes-kept && upTo > from && !touches {
				t.Fatalf("what led from %d to %d is not kept, and is taken to say nothing", from, upTo)
			}
			if from == upTo && touches {
				t.Fatalf("nothing led from %d to %d, and it touches somebody", from, upTo)
			}
		}
		if !r.View().Touches(scopes[0], changes, changes+1) {
			t.Fatal("what has not come yet is taken to say nothing")
		}
	})
}

// A verifier of one workspace is not waited for on behalf of another, nor for a
// sign-in; it is for whatever it sees.
func TestAChangeTouchesTheWorkspacesThatItIsOf(t *testing.T) {
	here, there := OneWorkspace("ws_acme"), OneWorkspace("ws_other")
	for name, tt := range map[string]struct {
		change                iam.Change
		acme, elsewhere, anys bool
	}{
		"nothing":           {iam.Change{}, false, false, false},
		"a key":             {iam.Change{Keys: []iam.KeyRecord{theKey}}, true, false, true},
		"a session":         {iam.Change{Keys: []iam.KeyRecord{theSession}}, false, false, false},
		"an account":        {iam.Change{Principals: []iam.PrincipalRecord{theBot}}, true, false, true},
		"its workspace":     {iam.Change{Workspaces: []iam.WorkspaceRecord{{ID: "ws_acme", Slug: "acme", Paused: true}}}, true, false, true},
		"another workspace": {iam.Change{Workspaces: []iam.WorkspaceRecord{{ID: "ws_other", Slug: "other", Paused: true}}}, false, true, true},
		"a role":            {iam.Change{Roles: []iam.RoleRecord{{ID: "role_op", Workspace: "ws_acme"}}}, true, false, true},
		"a built-in role":   {iam.Change{Roles: []iam.RoleRecord{{ID: "role_in"}}}, true, true, true},
		"a deleted role":    {iam.Change{Roles: []iam.RoleRecord{{ID: "role_op", Workspace: "ws_acme", Deleted: true}}}, true, false, true},
		"an account that moves": {iam.Change{Principals: []iam.PrincipalRecord{{
			ID: "sa_bot", Type: iam.ServiceAccountType, Workspace: "ws_other", State: iam.Active, Role: "role_op"}}}, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(Options{Tail: 3})
			mustLoad(t, r, newModel())
			first := iam.Change{
				Seq: 1, Workspaces: []iam.WorkspaceRecord{{ID: "ws_acme", Slug: "acme"}, {ID: "ws_other", Slug: "other"}},
				Roles: []iam.RoleRecord{{ID: "role_op", Workspace: "ws_acme"}}, Principals: []iam.PrincipalRecord{theBot},
			}
			tt.change.Seq = 2
			for _, c := range []iam.Change{first, tt.change} {
				if err := r.Apply(c, iam.Position{Seq: c.Seq, Time: epoch}); err != nil {
					t.Fatal(err)
				}
			}
			for sc, want := range map[Scope]bool{here: tt.acme, there: tt.elsewhere, AnyWorkspace(): tt.anys} {
				if got := r.View().Touches(sc, 1, 2); got != want {
					t.Errorf("%+v: got %v, want %v", sc, got, want)
				}
			}
		})
	}
}

var (
	theBot = iam.PrincipalRecord{ID: "sa_bot", Type: iam.ServiceAccountType, Workspace: "ws_acme", State: iam.Active, Role: "role_op"}
	theKey = iam.KeyRecord{
		ID: iam.KeyID(testID(iam.KeyPrefix, 1)), Principal: "sa_bot", Hash: token.NewSecret("one").Hash(),
	}
	theSession = iam.KeyRecord{
		ID: iam.KeyID(testID(iam.SignInPrefix, 1)), Session: true, Principal: "sa_bot", Hash: token.NewSecret("two").Hash(),
		Expires: epoch.Add(time.Hour).UnixMicro(),
	}
)

// What a server has seen end, and its log has lost, stays denied there and below.
func TestWhatALostLogEndedStaysEndedBelow(t *testing.T) {
	m := newModel()
	m.apply(iam.Change{
		Seq: 1, Time: epoch, Workspaces: []iam.WorkspaceRecord{{ID: "ws_acme", Slug: "acme"}},
		Principals: []iam.PrincipalRecord{theBot}, Keys: []iam.KeyRecord{theKey},
	})
	for name, end := range map[string]func(*iam.Change){
		"a key":      func(c *iam.Change) { c.Keys[0].Revoked = true },
		"an account": func(c *iam.Change) { c.Principals[0].State = iam.Removed },
	} {
		for _, sc := range []Scope{AnyWorkspace(), OneWorkspace("ws_acme")} {
			t.Run(name, func(t *testing.T) {
				parent, child := New(Options{Tail: 10}), New(Options{})
				mustLoad(t, parent, m)
				again := func() iam.Change {
					return iam.Change{Seq: 2, Time: epoch, Principals: []iam.PrincipalRecord{theBot}, Keys: []iam.KeyRecord{theKey}}
				}
				ended := again()
				end(&ended)
				if err := parent.Apply(ended, iam.Position{Seq: 2, Time: epoch}); err != nil {
					t.Fatal(err)
				}
				parent.Fail(iam.Diverged)
				mustLoad(t, parent, m)
				if err := child.Load(t.Context(), scopedFeed{parent, sc}); err != nil {
					t.Fatal(err)
				}
				if err := parent.Apply(again(), iam.Position{Seq: 2, Time: epoch}); err != nil {
					t.Fatal(err)
				}
				if err := child.CatchUp(t.Context(), scopedFeed{parent, sc}); err != nil {
					t.Fatal(err)
				}
				for name, r := range map[string]*Replica{"parent": parent, "child": child} {
					if got := r.Verify(theKey.Hash, Query{Scope: AnyWorkspace()}).Code; got != Revoked && got != PrincipalInactive {
						t.Errorf("%s: got %s, want what it was before", name, got)
					}
				}
			})
		}
	}
}

// The record of a session that is over is nobody's, until it is the next key's.
func TestPouringPassesByWhatSessionsLeft(t *testing.T) {
	from := New(Options{Now: func() time.Time { return epoch }})
	mustLoad(t, from, newModel())
	at := iam.Position{Seq: 1, Time: epoch}
	if err := from.Apply(iam.Change{
		Seq: 1, Workspaces: []iam.WorkspaceRecord{{ID: "ws_acme", Slug: "acme"}},
		Principals: []iam.PrincipalRecord{theBot}, Keys: []iam.KeyRecord{theSession, theKey},
	}, at); err != nil {
		t.Fatal(err)
	}
	at = iam.Position{Seq: 2, Time: epoch.Add(2 * time.Hour)}
	if err := from.Apply(iam.Change{Seq: 2, Time: at.Time}, at); err != nil {
		t.Fatal(err)
	}
	m := newModel()
	if _, err := from.View().Pour(AnyWorkspace(), m); err != nil {
		t.Fatal(err)
	}
	if _, there := m.keys[theKey.Hash]; len(m.keys) != 1 || !there {
		t.Errorf("got %+v, want the one key", m.keys)
	}
}
