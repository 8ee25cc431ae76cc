package replica

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// loaded returns a replica with the wall clock that has loaded a feed.
func loaded(tb testing.TB, f Feed) *Replica {
	tb.Helper()
	r := New(Options{Now: time.Now})
	if err := r.Load(tb.Context(), f); err != nil {
		tb.Fatalf("load: %v", err)
	}
	return r
}

// asked is a replica and what is asked of it: the texts of its keys in random
// order, one after the other in memory, as if each had just been received.
type asked struct {
	*Replica
	texts  []string
	hashes []token.Hash
	plain  map[token.Hash]uint32
	query  Query
	next   int
}

func newAsked(b *testing.B, keys int) *asked {
	a := &asked{
		Replica: loaded(b, &streamed{newSynthetic(0, max(keys/100, 1)), keys}),
		plain:   map[token.Hash]uint32{},
		query:   Query{Permissions: []iam.Permission{execute}, Scope: AnyWorkspace()},
	}
	for _, n := range rand.Perm(keys) {
		text := strings.Clone(keyText(n))
		hash := token.NewSecret(text).Hash()
		a.texts, a.hashes, a.plain[hash] = append(a.texts, text), append(a.hashes, hash), uint32(n)
	}
	return a
}

func (a *asked) turn() int {
	if a.next++; a.next == len(a.texts) {
		a.next = 0
	}
	return a.next
}

// library is what a program does that verifies keys without the server.
func (a *asked) library() bool {
	h, err := token.Prefixes{token.DefaultPrefix}.Parse(a.texts[a.turn()])
	return err == nil && a.Verify(h, a.query).Code == Valid
}

func (a *asked) lookUp() bool {
	_, found := a.current.Load().keys.find(&a.hashes[a.turn()])
	return found
}

// hashAndLookUp is the least that a verification can do.
func (a *asked) hashAndLookUp() bool {
	h := hashOf(a.texts[a.turn()])
	_, found := a.current.Load().keys.find(&h)
	return found
}

func (a *asked) hashAndMap() bool {
	_, found := a.plain[hashOf(a.texts[a.turn()])]
	return found
}

func hashOf(text string) token.Hash {
	var buf [64]byte
	return sha256.Sum256(buf[:copy(buf[:], text)])
}

func run(b *testing.B, step func() bool) {
	b.ReportAllocs()
	for b.Loop() {
		if !step() {
			b.Fatal("a key that should be valid is not")
		}
	}
}

var sizes = []struct {
	name string
	keys int
}{{"1k", 1000}, {"1M", 1_000_000}}

func BenchmarkVerify(b *testing.B) {
	for _, size := range sizes {
		a := newAsked(b, size.keys)
		b.Run("Library/"+size.name, func(b *testing.B) { run(b, a.library) })
		b.Run("Replica/"+size.name, func(b *testing.B) {
			run(b, func() bool { return a.Verify(a.hashes[a.turn()], a.query).Code == Valid })
		})
		b.Run("LookupAlone/"+size.name, func(b *testing.B) { run(b, a.lookUp) })
		b.Run("SHA256PlusLookup/"+size.name, func(b *testing.B) { run(b, a.hashAndLookUp) })
		b.Run("SHA256PlusMap/"+size.name, func(b *testing.B) { run(b, a.hashAndMap) })
	}
}

// BenchmarkVerifyLeased verifies under a lease, with the clocks of the machine,
// and looks once more at the end, as a door does.
func BenchmarkVerifyLeased(b *testing.B) {
	for _, size := range sizes {
		a := newAsked(b, size.keys)
		begun := time.Now()
		a.clock = func() Instant {
			now := time.Now()
			return Instant{Monotonic: now.Sub(begun), Wall: time.Duration(now.UnixNano())}
		}
		if err := a.Extend(0, Lease{Sent: a.clock(), Strict: time.Hour, Bounded: time.Hour, Time: epoch}, 0); err != nil {
			b.Fatal(err)
		}
		b.Run("Verify/"+size.name, func(b *testing.B) {
			run(b, func() bool { return a.Verify(a.hashes[a.turn()], a.query).Code == Valid })
		})
		b.Run("VerifyAndStill/"+size.name, func(b *testing.B) {
			run(b, func() bool {
				v := a.View()
				return v.Verify(a.hashes[a.turn()], a.query).Code == Valid && a.Still(v)
			})
		})
	}
}

// BenchmarkVerifyRatio compares verifying with the least that it can be, in
// pairs of rounds one after the other, and reports the medians of the ratios.
func BenchmarkVerifyRatio(b *testing.B) {
	for _, size := range sizes {
		a := newAsked(b, size.keys)
		b.Run(size.name, func(b *testing.B) {
			const round = 200_000
			b.ReportMetric(ratio(11, round, a.library, a.hashAndLookUp), "x-lookup")
			b.ReportMetric(ratio(11, round, a.library, a.hashAndMap), "x-map")
		})
	}
}

// ratio returns the median over pairs of rounds of how much longer many calls of
// step take than as many of least.
func ratio(pairs, round int, step, least func() bool) float64 {
	timed := func(f func() bool) float64 {
		begun := time.Now()
		for range round {
			f()
		}
		return float64(time.Since(begun))
	}
	ratios := make([]float64, pairs)
	for i := range ratios {
		first := timed(step)
		ratios[i] = first / timed(least)
	}
	slices.Sort(ratios)
	return ratios[pairs/2]
}

// writer applies changes to a replica of a million keys.
type writer struct {
	*Replica
	made *synthetic
	seq  int64
}

func newWriter(b *testing.B) *writer {
	s := newSynthetic(0, 10_000)
	return &writer{Replica: loaded(b, &streamed{s, 1_000_000}), made: s, seq: 1}
}

func (w *writer) apply(b *testing.B, keys ...iam.KeyRecord) {
	w.seq++
	if err := w.Apply(iam.Change{Seq: w.seq, Keys: keys}, iam.Position{Seq: w.seq}); err != nil {
		b.Fatal(err)
	}
}

func (w *writer) revoked() iam.KeyRecord {
	k := w.made.key(rand.IntN(1_000_000))
	k.Revoked = true
	return k
}

func BenchmarkApply(b *testing.B) {
	w := newWriter(b)
	next := 1_000_000
	b.Run("Create", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			k := w.made.key(next)
			next++
			b.StartTimer()
			w.apply(b, k)
		}
	})
	b.Run("Revoke", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			k := w.revoked()
			b.StartTimer()
			w.apply(b, k)
		}
	})
	b.Run("BulkRevoke10k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			keys := make([]iam.KeyRecord, 10_000)
			for i := range keys {
				keys[i] = w.revoked()
			}
			b.StartTimer()
			w.apply(b, keys...)
		}
	})
}

// BenchmarkLoad1M compares loading with reading the same records into maps.
func BenchmarkLoad1M(b *testing.B) {
	s := newSynthetic(1_000_000, 10_000)
	var r *Replica
	load := func() bool { r = loaded(b, s); return true }
	b.Run("Replica", func(b *testing.B) { run(b, load) })
	b.Run("Map", func(b *testing.B) { run(b, func() bool { return readIntoMaps(b, s) }) })
	b.Run("Ratio", func(b *testing.B) {
		b.ReportMetric(ratio(7, 1, load, func() bool { return readIntoMaps(b, s) }), "x-map")
	})
	runtime.KeepAlive(r)
}

func readIntoMaps(b *testing.B, s *synthetic) bool {
	m := plainMaps{keys: map[token.Hash]iam.KeyRecord{}, principals: map[iam.PrincipalID]iam.PrincipalRecord{}}
	if _, err := s.Snapshot(b.Context(), &m); err != nil {
		b.Fatal(err)
	}
	return len(m.keys) == len(s.keys)
}

// plainMaps is the simplest sink there is.
type plainMaps struct {
	keys       map[token.Hash]iam.KeyRecord
	principals map[iam.PrincipalID]iam.PrincipalRecord
}

func (m *plainMaps) Workspace(iam.WorkspaceRecord) error   { return nil }
func (m *plainMaps) Role(iam.RoleRecord) error             { return nil }
func (m *plainMaps) Principal(p iam.PrincipalRecord) error { m.principals[p.ID] = p; return nil }
func (m *plainMaps) Key(k iam.KeyRecord) error             { m.keys[k.Hash] = k; return nil }

// BenchmarkWeight reports how many bytes of the heap each key takes.
func BenchmarkWeight(b *testing.B) {
	for _, size := range []struct{ keys, accounts int }{
		{1_000_000, 10_000}, {1_000_000, 100_000}, {10_000_000, 100_000},
	} {
		b.Run(fmt.Sprintf("%dKeys%dAccounts", size.keys, size.accounts), func(b *testing.B) {
			b.ReportMetric(weigh(b, size.keys, size.accounts), "B/key")
		})
	}
}
