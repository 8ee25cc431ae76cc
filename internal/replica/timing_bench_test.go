package replica

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// BenchmarkNearMiss asks whether the time that a refusal takes tells how much of a
// text is that of a key that exists: Welch's t between texts that begin as a key does,
// and texts that begin as others do which are no key. Beyond 4.5 they differ.
//
// Three things make a difference where there is none. A text that is asked about again
// has its slot of the index in the processor's cache, and its slot has so many
// neighbours as it has: two sets of texts that are asked about over and over differ by
// which texts are in them. So no text is asked about twice. What has been read before
// is read sooner, whatever it is: so both begin as something that is read as often. And
// what else the machine does comes in bursts: so each pair is asked about in random
// order, the slowest twentieth is left out, and the median of the rounds counts.
//
// The control compares with what exists character by character, up to the first that
// differs. The benchmark fails when it does not see that.
func BenchmarkNearMiss(b *testing.B) {
	a := newTimed(b)
	for _, same := range []int{0, 1, 8, 16, 24, 30} {
		b.Run(fmt.Sprintf("%d", same), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(a.rounds(same, false), "t")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
	b.Run("control", func(b *testing.B) {
		for b.Loop() {
			t := a.rounds(30, true)
			b.ReportMetric(t, "t")
			if t < 4.5 {
				b.Errorf("t is %.1f where a comparison ends at the first difference: this machine is too busy to tell", t)
			}
		}
		b.ReportMetric(0, "ns/op")
	})
}

// timed is a replica that is asked about keys that do not exist.
type timed struct {
	*Replica
	prefixes token.Prefixes
	existing []string // some of the keys that there are
	none     []string // as many texts that are no key
	leaks    bool     // a text is compared with one that exists
	told     int      // keeps the comparison from being left out
}

const (
	timedRounds = 9
	timedPairs  = 30_000
)

func newTimed(b *testing.B) *timed {
	const others = 100_000
	made := newSynthetic(0, others/100)
	a := &timed{Replica: loaded(b, &streamed{made, others}), prefixes: token.Prefixes{token.DefaultPrefix}}
	var keys []iam.KeyRecord
	for i := range 64 { // not those of the others, whose texts have few different characters, which are sooner read
		k, text := made.key(others+i), madeUp("", 0)
		k.Hash = token.NewSecret(text).Hash()
		keys, a.existing, a.none = append(keys, k), append(a.existing, text), append(a.none, madeUp("", 0))
	}
	if err := a.Apply(iam.Change{Seq: 2, Keys: keys}, iam.Position{Seq: 2}); err != nil {
		b.Fatal(err)
	}
	return a
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// madeUp returns the text of a key of whose 33 random characters the first same, but
// not all, are those of another.
func madeUp(as string, same int) string {
	const begins = token.DefaultPrefix + "_sa_"
	body := []byte(begins)
	for i := range 33 {
		if i < same {
			body = append(body, as[len(begins)+i])
			continue
		}
		body = append(body, base62[rand.N(len(base62))])
	}
	if same > 0 && string(body) == as[:len(body)] {
		return madeUp(as, same) // the last characters are soon guessed
	}
	sum := crc32.ChecksumIEEE(body)
	var digits [6]byte
	for i := range digits {
		digits[len(digits)-1-i] = base62[sum%62]
		sum /= 62
	}
	return string(body) + string(digits[:])
}

// rounds returns the median of Welch's t over some rounds, as it is without its sign.
func (a *timed) rounds(same int, leaks bool) float64 {
	a.leaks = leaks
	var all []float64
	for range timedRounds {
		all = append(all, math.Abs(a.round(same)))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (a *timed) round(same int) float64 {
	texts := [2][]string{make([]string, timedPairs), make([]string, timedPairs)}
	for i := range timedPairs {
		texts[0][i], texts[1][i] = madeUp(a.none[i%len(a.none)], same), madeUp(a.existing[i%len(a.existing)], same)
	}
	var took [2][]float64
	for i := range timedPairs {
		first := rand.N(2)
		for _, class := range []int{first, 1 - first} {
			took[class] = append(took[class], a.time(texts[class][i], a.existing[i%len(a.existing)]))
		}
	}
	pooled := slices.Sorted(slices.Values(slices.Concat(took[0], took[1])))
	most := pooled[len(pooled)*19/20]
	slow := func(ns float64) bool { return ns > most }
	return welch(slices.DeleteFunc(took[0], slow), slices.DeleteFunc(took[1], slow))
}

// time returns how many nanoseconds a refusal took.
func (a *timed) time(text, existing string) float64 {
	text = strings.Clone(text) // as it comes from a connection, and in the cache for both
	began := time.Now()
	hash, err := a.prefixes.Parse(text)
	v := a.Verify(hash, Query{Permissions: []iam.Permission{execute}, Scope: AnyWorkspace()})
	if a.leaks {
		for a.told = 0; a.told < len(text) && text[a.told] == existing[a.told]; a.told++ {
		}
	}
	took := time.Since(began)
	if err != nil || v.Code != NotFound {
		panic("what was made up is a key, or has not the shape of one")
	}
	return float64(took.Nanoseconds())
}

// welch returns Welch's t of two samples.
func welch(a, b []float64) float64 {
	mean := func(all []float64) (m, variance float64) {
		for _, x := range all {
			m += x / float64(len(all))
		}
		for _, x := range all {
			variance += (x - m) * (x - m) / float64(len(all)-1)
		}
		return m, variance / float64(len(all))
	}
	ma, va := mean(a)
	mb, vb := mean(b)
	return (ma - mb) / math.Sqrt(va+vb)
}
