package postern_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/standin"
	"github.com/posternhq/postern/internal/token"
	"github.com/posternhq/postern/internal/usage"
)

// many is a parent with many keys, of a hundred to each account.
type many struct {
	*still
	texts []string
}

func newMany(b *testing.B, keys int, clock fence.Clock) *many {
	m := &many{still: &still{clock: clock}, texts: make([]string, keys)}
	mint := token.Mint{Rand: rand.NewChaCha8([32]byte{1})}
	for i := range m.texts {
		secret, err := mint.New(token.ServiceAccount)
		if err != nil {
			b.Fatal(err)
		}
		m.texts[i] = secret.Reveal()
	}
	return m
}

func (m *many) Acknowledge(iam.Position) error { return nil }

func (m *many) Snapshot(_ context.Context, sink iam.Sink) (at iam.Position, err error) {
	at.Seq = 1
	if err := sink.Workspace(stillWorkspace); err != nil {
		return at, err
	}
	if err := sink.Role(stillRole); err != nil {
		return at, err
	}
	account := stillAccount
	for i, text := range m.texts {
		if i%100 == 0 {
			account.ID = iam.PrincipalID(iam.NewID(iam.ServiceAccountPrefix, time.Now()))
			account.Name = fmt.Sprintf("support-bot-%d", i/100)
			if err := sink.Principal(account); err != nil {
				return at, err
			}
		}
		if err := sink.Key(iam.KeyRecord{
			ID: iam.KeyID(iam.NewID(iam.KeyPrefix, time.Now())), Principal: account.ID, Name: fmt.Sprintf("prod-2026-%02d", i%12+1),
			Hash: token.NewSecret(text).Hash(), Expires: time.Now().AddDate(1, 0, 0).UnixMicro(),
		}); err != nil {
			return at, err
		}
	}
	return at, nil
}

// BenchmarkVerifierRatio compares Verify with the least that it can be, SHA-256 of the
// same text and the same look-up, in pairs of rounds one after the other over the keys
// in random order, and reports the medians.
func BenchmarkVerifierRatio(b *testing.B) {
	for _, size := range []struct {
		name string
		keys int
	}{{"1k", 1000}, {"1M", 1_000_000}} {
		b.Run(size.name+"/counted", func(b *testing.B) { ratio(b, size.keys, forgetful{}) })
		b.Run(size.name+"/uncounted", func(b *testing.B) { ratio(b, size.keys, nil) })
	}
}

// forgetful takes reports, and keeps nothing of them, as one that sends them on.
type forgetful struct{}

func (forgetful) Register(context.Context, iam.Reporter) (time.Time, error) { return time.Now(), nil }

func (forgetful) Report(context.Context, iam.UsageReport) (time.Time, error) { return time.Now(), nil }

func ratio(b *testing.B, keys int, counts usage.Store) {
	clock := fence.SystemClock()
	parent := newMany(b, keys, clock)
	var memory *replica.Replica
	backing := standin.Server{
		Parent: parent, Clock: clock, Scope: replica.AnyWorkspace(), Prefixes: token.Prefixes{token.DefaultPrefix},
		Began: func(r *replica.Replica) { memory = r }, Reports: counts,
	}
	v, err := postern.New(standin.With(b.Context(), backing))
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	texts := make([]string, 0, keys)
	for _, i := range rand.Perm(keys) {
		texts = append(texts, strings.Clone(parent.texts[i]))
	}
	next := 0
	turn := func() string {
		if next++; next == len(texts) {
			next = 0
		}
		return texts[next]
	}
	ctx := context.Background()
	verify := func() bool {
		for text := turn(); ; { // a machine that is overloaded can lose a sub-lease
			if _, err := v.Verify(ctx, text, "tickets:read"); !errors.Is(err, postern.ErrStale) {
				return err == nil
			}
		}
	}
	least := func() bool {
		var text [64]byte
		return memory.View().Has(sha256.Sum256(text[:copy(text[:], turn())]))
	}
	timed := func(step func() bool) float64 {
		const round = 300_000
		begun := time.Now()
		for range round {
			if !step() {
				b.Fatal("a key that should be valid is not")
			}
		}
		return float64(time.Since(begun)) / round
	}
	const pairs = 11
	ratios, took := make([]float64, pairs), make([]float64, pairs)
	for i := range ratios {
		took[i] = timed(verify)
		ratios[i] = took[i] / timed(least)
	}
	slices.Sort(ratios)
	slices.Sort(took)
	b.ReportMetric(ratios[pairs/2], "x-lookup")
	b.ReportMetric(took[pairs/2], "ns/verify")
}

// BenchmarkNewVerifier1M reports how long a new verifier takes until it answers, of a
// server on the same machine that has a million keys.
func BenchmarkNewVerifier1M(b *testing.B) {
	clock := fence.SystemClock()
	kept := replica.New(replica.Options{})
	if err := kept.Load(b.Context(), newMany(b, 1_000_000, clock)); err != nil {
		b.Fatal(err)
	}
	n := newNode(b)
	n.hello.Workspace, n.hello.Any = "", true
	n.kept = kept
	took := make([]float64, 5)
	for i := range took {
		begun := time.Now()
		v, err := postern.New(b.Context(), postern.Server(n.URL), postern.Key(testKey), postern.Workspace("any"))
		if err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(begun).Seconds()
		if keys := v.Stats().Keys; keys != 1_000_000 {
			b.Fatalf("it has %d keys", keys)
		}
		_ = v.Close() // what it says at its end is nobody's business here
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "s/snapshot")
}
