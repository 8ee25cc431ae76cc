package replica

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// A replica that applied changes one by one, one that loaded a snapshot at the
// end, and the model give the same answers.
func TestChangesOneByOneEqualASnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom([]int{3, 40, 400}).Draw(t, "keys"))
		now := clock{epoch.Add(time.Duration(rapid.Int64Range(0, 2000).Draw(t, "now")) * time.Second)}
		applied, loaded := New(Options{Now: now.Now}), New(Options{Now: now.Now})
		m := newModel()
		m.time = epoch
		mustLoad(t, applied, m)
		for seq := range int64(rapid.IntRange(1, 60).Draw(t, "changes")) {
			c := w.change()
			c.Seq, c.Time = seq+1, epoch.Add(time.Duration(seq)*time.Second)
			if err := applied.Apply(c, iam.Position{Seq: c.Seq, Time: c.Time}); err != nil {
				t.Fatalf("apply: %v", err)
			}
			m.apply(c)
		}
		mustLoad(t, loaded, m)
		for range 200 {
			hash, q := w.hash(), w.query()
			want := m.verify(hash, q, now.now)
			if d := diff(want, applied.Verify(hash, q)); d != "" {
				t.Fatalf("after changes (-want +got):\n%s", d)
			}
			if d := diff(want, loaded.Verify(hash, q)); d != "" {
				t.Fatalf("after a snapshot (-want +got):\n%s", d)
			}
			if d := diff(want, judged(loaded.View(), hash, q)); d != "" {
				t.Fatalf("judged (-want +got):\n%s", d)
			}
		}
		ak, ap := applied.Size()
		lk, lp := loaded.Size()
		if ak != lk || ap != lp || ak != len(m.keys) || ap != len(m.principals) {
			t.Fatalf("%d and %d keys, %d and %d principals; want %d and %d", ak, lk, ap, lp, len(m.keys), len(m.principals))
		}
		checkReferences(t, applied.current.Load())
	})
}

func mustLoad(t interface{ Fatalf(string, ...any) }, r *Replica, m *model) {
	if err := r.Load(context.Background(), snapshotOf{m}); err != nil {
		t.Fatalf("load: %v", err)
	}
}

// snapshotOf is a feed that has a snapshot and no changes.
type snapshotOf struct{ *model }

func (snapshotOf) Changes(_ context.Context, after iam.Position, _ int) ([]iam.Change, iam.Position, error) {
	return nil, after, nil
}

// checkReferences fails unless each interned value is counted as often as it is
// referred to.
func checkReferences(t interface{ Fatalf(string, ...any) }, s *state) {
	sets, networks := map[uint32]uint32{}, map[uint32]uint32{}
	for i := range s.roles.rows.len {
		sets[s.roles.rows.at(i).permissions]++
	}
	for i := range s.keys.rows.len {
		k := s.keys.rows.at(i)
		sets[k.limit]++
		networks[k.networks]++
	}
	for i := range s.sets.entries.len {
		if got, want := s.sets.entries.at(i).refs, sets[i+1]; got != want {
			t.Fatalf("set %d is counted %d times, want %d", i+1, got, want)
		}
	}
	for i := range s.networks.entries.len {
		if got, want := s.networks.entries.at(i).refs, networks[i+1]; got != want {
			t.Fatalf("networks %d are counted %d times, want %d", i+1, got, want)
		}
	}
}

// contents copies all that can be reached from a state.
type contents struct {
	Keys       []keyRecord
	Names      []string
	Principals []principal
	Roles      []role
	Workspaces []workspace
	Slugs      []slug
	Sets       []string
	Networks   []string
	Found      []uint32 // where the index leads for each key's hash
}

func contentsOf(s *state) contents {
	var c contents
	for i := range s.keys.rows.len {
		k := *s.keys.rows.at(i)
		number, _ := s.keys.find(&k.hash)
		c.Keys, c.Names, c.Found = append(c.Keys, k), append(c.Names, s.keys.name(i)), append(c.Found, number)
	}
	all(&s.principals.rows, &c.Principals)
	all(&s.roles.rows, &c.Roles)
	all(&s.workspaces.rows, &c.Workspaces)
	all(&s.slugs.rows, &c.Slugs)
	for i := range s.sets.entries.len {
		e := s.sets.entries.at(i)
		c.Sets = append(c.Sets, fmt.Sprint(e.refs, e.next, e.hash, e.value.Strings()))
	}
	for i := range s.networks.entries.len {
		c.Networks = append(c.Networks, fmt.Sprint(*s.networks.entries.at(i)))
	}
	return c
}

func all[T any](v *vector[T], to *[]T) {
	for i := range v.len {
		*to = append(*to, *v.at(i))
	}
}

func TestNothingThatWasPublishedIsWrittenAgain(t *testing.T) {
	w := newWorld(1, 3000)
	r := New(Options{Now: (&clock{epoch}).Now})
	mustLoad(t, r, newModel())
	seq := int64(0)
	step := func() {
		seq++
		c := w.change()
		c.Seq = seq
		if err := r.Apply(c, iam.Position{Seq: seq}); err != nil {
			t.Fatalf("apply: %v", err)
		}
	}
	for range 500 {
		step()
	}
	published := r.current.Load()
	before := contentsOf(published)
	type answer struct {
		hash token.Hash
		q    Query
		got  Verdict
	}
	var answers []answer
	for range 1000 {
		a := answer{hash: w.hash(), q: w.query()}
		a.got = r.Verify(a.hash, a.q)
		answers = append(answers, a)
	}
	for range 10_000 {
		step()
	}
	exported := gocmp.AllowUnexported(keyRecord{}, principal{}, role{}, workspace{}, slug{})
	if d := gocmp.Diff(before, contentsOf(published), exported); d != "" {
		t.Fatalf("what was published has changed (-before +after):\n%.2000s", d)
	}
	old := New(Options{Now: r.now})
	old.current.Store(published)
	changed := 0
	for _, a := range answers {
		if d := diff(a.got, old.Verify(a.hash, a.q)); d != "" {
			t.Fatalf("the answer has changed (-before +after):\n%s", d)
		}
		if diff(a.got, r.Verify(a.hash, a.q)) != "" {
			changed++
		}
	}
	if changed < 100 {
		t.Errorf("only %d of 1000 answers differ now: the changes did not change enough to tell", changed)
	}
}

func TestVerifyRunsBesideApply(t *testing.T) {
	w := newWorld(2, 500)
	r := New(Options{Now: (&clock{epoch}).Now})
	mustLoad(t, r, newModel())
	asking := newWorld(3, 500)
	asking.made.apply(iam.Change{Workspaces: []iam.WorkspaceRecord{asking.workspace()}})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for seed := range 2 {
		readers.Go(func() {
			w := newWorld(uint64(seed), 500)
			w.made.workspaces = asking.made.workspaces
			last := int64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				v := r.Verify(w.hash(), w.query())
				if v.Revision < last {
					t.Errorf("revision %d was answered after %d", v.Revision, last)
				}
				if last = v.Revision; v.KeyFound && v.Workspace.ID == "" {
					t.Error("a verdict was made of two states")
				}
				_, _, _ = v.Caller(), r.Position(), r.Ready()
			}
		})
	}
	for seq := range int64(2000) {
		c := w.change()
		c.Seq = seq + 1
		if err := r.Apply(c, iam.Position{Seq: c.Seq}); err != nil {
			t.Fatalf("apply: %v", err)
		}
	}
	close(stop)
	readers.Wait()
}

// A fixed set of keys that is changed for ever takes a fixed amount of memory.
func TestMemoryDoesNotGrowWithChanges(t *testing.T) {
	s := newSynthetic(2000, 20)
	r := loaded(t, s)
	seq := int64(1)
	churn := func(changes int) uint64 {
		for range changes {
			seq++
			k := s.keys[seq%2000]
			limit := iam.NewPermissions(iam.Grant{Type: "agents", ID: fmt.Sprint(seq), Action: "read"})
			k.Limit, k.Name = &limit, fmt.Sprint("renamed-", seq)
			if err := r.Apply(iam.Change{Seq: seq, Keys: []iam.KeyRecord{k}}, iam.Position{Seq: seq}); err != nil {
				t.Fatalf("apply: %v", err)
			}
		}
		return heap()
	}
	first := churn(4000)
	second := churn(20_000)
	if second > first+first/10 {
		t.Errorf("the heap grew from %d to %d bytes", first, second)
	}
	runtime.KeepAlive(r)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one found to be finished
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestWhatAFullReplicaWeighs(t *testing.T) {
	if size := unsafe.Sizeof(keyRecord{}); size != 72 {
		t.Errorf("a key record takes %d bytes, want 72", size)
	}
	if size := unsafe.Sizeof(bucket{}); size != 2048 {
		t.Errorf("a bucket takes %d bytes, want 2048, which the allocator does not round up", size)
	}
	if testing.Short() {
		t.Skip("loads a million keys")
	}
	for _, accounts := range []int{10_000, 100_000} {
		perKey := weigh(t, 1_000_000, accounts)
		t.Logf("1,000,000 keys of %d accounts: %.1f bytes per key", accounts, perKey)
		if perKey > 110 {
			t.Errorf("1,000,000 keys of %d accounts: %.1f bytes per key, want at most 110", accounts, perKey)
		}
	}
}

// weigh returns how many bytes of the heap a replica takes for each key. What it
// loads is made while it loads and counted out.
func weigh(tb testing.TB, keys, accounts int) float64 {
	tb.Helper()
	before := heap()
	r := loaded(tb, &streamed{synthetic: newSynthetic(0, accounts), count: keys})
	after := heap()
	if got, _ := r.Size(); got != keys {
		tb.Fatalf("%d keys were loaded, want %d", got, keys)
	}
	return float64(after-before) / float64(keys)
}

// streamed is a synthetic deployment whose keys are made up one at a time.
type streamed struct {
	*synthetic
	count int
}

func (s *streamed) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	at, err := s.synthetic.Snapshot(ctx, sink)
	for i := 0; err == nil && i < s.count; i++ {
		err = sink.Key(s.key(i))
	}
	return at, err
}

func TestWhatCannotBeUnderstoodIsRefused(t *testing.T) {
	tests := map[string]func(s *small, c *iam.Change){
		"a gap":                         func(s *small, c *iam.Change) { c.Seq++ },
		"a higher reader version":       func(s *small, c *iam.Change) { c.Reader = iam.ReaderVersion + 1 },
		"a key of nobody":               func(s *small, c *iam.Change) { c.Keys[0].Principal = "sa_nobody" },
		"a key without an id":           func(s *small, c *iam.Change) { c.Keys[0].ID = "" },
		"a hash that is another key's":  func(s *small, c *iam.Change) { c.Keys[0].ID = iam.KeyID(testID(iam.KeyPrefix, 9)) },
		"a name of 257 bytes":           func(s *small, c *iam.Change) { c.Keys[0].Name = string(make([]byte, 257)) },
		"a principal of no workspace":   func(s *small, c *iam.Change) { c.Principals[0].Workspace = "ws_none" },
		"an unknown type of principal":  func(s *small, c *iam.Change) { c.Principals[0].Type = "robot" },
		"an unknown state of principal": func(s *small, c *iam.Change) { c.Principals[0].State = "asleep" },
		"a workspace without an id":     func(s *small, c *iam.Change) { c.Workspaces[0].ID = "" },
		"another slug":                  func(s *small, c *iam.Change) { c.Workspaces[0].Slug = "other" },
		"a slug that is taken":          func(s *small, c *iam.Change) { c.Workspaces[0].ID = "ws_second" },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSmall(t)
			c := iam.Change{
				Seq: 2, Workspaces: []iam.WorkspaceRecord{s.ws},
				Principals: []iam.PrincipalRecord{s.who}, Keys: []iam.KeyRecord{s.key},
			}
			spoil(s, &c)
			if err := s.Apply(c, iam.Position{Seq: c.Seq}); err == nil {
				t.Fatal("it was applied")
			}
			s.expect(t, "after the error", Stale)
			if got := s.Position().Seq; got != 1 {
				t.Errorf("position: got %d, want 1", got)
			}
			if err := s.Load(t.Context(), s.feed); err != nil {
				t.Fatalf("load: %v", err)
			}
			s.expect(t, "after a load", Valid)
		})
	}
}

func TestChangesLeadWhereTheySayTheyLead(t *testing.T) {
	from := newSmall(t).current.Load() // at 1
	for name, tt := range map[string]struct {
		seqs []int64
		at   int64
		ok   bool
	}{
		"in order":          {[]int64{2, 3}, 3, true},
		"one left out":      {[]int64{2, 4}, 3, false},
		"one repeated":      {[]int64{2, 2}, 3, false},
		"one from before":   {[]int64{1, 2}, 2, false},
		"the first missed":  {[]int64{3}, 3, false},
		"to somewhere else": {[]int64{2}, 3, false},
	} {
		var changes []iam.Change
		for _, seq := range tt.seqs {
			changes = append(changes, iam.Change{Seq: seq})
		}
		if _, err := from.after(changes, iam.Position{Seq: tt.at}); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestNothingOfTheCallersIsKept(t *testing.T) {
	s := newSmall(t)
	nets := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	s.key.Networks = nets
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{s.key}})
	nets[0] = netip.MustParsePrefix("0.0.0.0/0")
	got := s.Verify(s.key.Hash, Query{Scope: AnyWorkspace(), IP: netip.MustParseAddr("192.0.2.1")})
	if got.Code != NetworkDenied {
		t.Errorf("got %s after the caller wrote to its list, want network_denied", got.Code)
	}
}

func TestLaterRecordsOfAChangeWin(t *testing.T) {
	s := newSmall(t)
	paused := s.key
	paused.Paused, paused.Name = true, "paused"
	renamed := s.key
	renamed.Name = "renamed"
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{paused, renamed}})
	if v := s.ask(); v.Code != Valid || v.Key.Name != "renamed" {
		t.Errorf("got %s with the name %q, want valid and renamed", v.Code, v.Key.Name)
	}
}

func TestNamesOfNeighboursStayTheirOwn(t *testing.T) {
	s := newSynthetic(3*pageLen+5, 7)
	r := loaded(t, s)
	names := map[int]string{}
	for i, k := range s.keys {
		names[i] = k.Name
	}
	seq := int64(1)
	for _, i := range []int{0, pageLen - 1, pageLen, 2*pageLen + 7, len(s.keys) - 1, 5, 5, 6} {
		seq++
		k := s.keys[i]
		k.Name = slices.Repeat([]string{"", "a", "ein viel längerer Name"}, 3)[seq%9]
		names[i] = k.Name
		if err := r.Apply(iam.Change{Seq: seq, Keys: []iam.KeyRecord{k}}, iam.Position{Seq: seq}); err != nil {
			t.Fatalf("apply: %v", err)
		}
		for j, k := range s.keys {
			if got := r.Verify(k.Hash, Query{Scope: AnyWorkspace()}).Key.Name; got != names[j] {
				t.Fatalf("key %d after key %d was renamed: got %q, want %q", j, i, got, names[j])
			}
		}
	}
}

func TestAChangeIsAppliedByOneOfManyWhoTry(t *testing.T) {
	s := newSynthetic(10, 1)
	r := loaded(t, s)
	for seq := int64(2); seq < 300; seq++ {
		var done atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if r.Apply(iam.Change{Seq: seq, Keys: s.keys}, iam.Position{Seq: seq}) == nil {
					done.Add(1)
				}
			})
		}
		all.Wait()
		if done.Load() != 1 || r.Position().Seq != seq || r.Ready() != nil {
			t.Fatalf("change %d was applied %d times, and the position is %d", seq, done.Load(), r.Position().Seq)
		}
	}
}
