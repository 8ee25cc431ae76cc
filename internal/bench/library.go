package bench

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// inProcess is what verifying in the same process takes, in nanoseconds a call.
type inProcess struct {
	Verify float64 `json:"verify"`
	Least  float64 `json:"least"` // SHA-256 of the same text, and the same look-up
	Allocs float64 `json:"allocs"`
}

// library verifies without a door between.
type library struct {
	replica  *replica.Replica
	prefixes token.Prefixes
	query    replica.Query
	texts    []string
	next     int
}

// newLibrary returns what verifies keys in random order, one after the other in memory
// as if each had just been received.
func newLibrary(r *replica.Replica, keys int) *library {
	_, asked, _ := newDeployment(keys).texts() // it worked before
	l := &library{
		replica: r, prefixes: token.Prefixes{token.DefaultPrefix}, texts: make([]string, len(asked)),
		query: replica.Query{Scope: replica.AnyWorkspace()},
	}
	if p, err := iam.ParsePermission(permission); err == nil {
		l.query.Permissions = []iam.Permission{p}
	}
	for i, n := range rand.New(rand.NewPCG(1, 2)).Perm(len(asked)) {
		l.texts[i] = strings.Clone(asked[n])
	}
	return l
}

func (l *library) turn() string {
	if l.next++; l.next == len(l.texts) {
		l.next = 0
	}
	return l.texts[l.next]
}

// verify is what the SDK's Verifier does with a key: the form of its text, its hash, the
// decision, and the last look that lets it out. Counting the use is not in it.
func (l *library) verify() bool {
	h, err := l.prefixes.Hash(l.turn())
	v := l.replica.View()
	return err == nil && v.Verify(h, l.query).Code == replica.Valid && l.replica.Still(v)
}

// least is the least that a verification can do.
func (l *library) least() bool {
	var text [64]byte
	return l.replica.View().Has(sha256.Sum256(text[:copy(text[:], l.turn())]))
}

// measure does one for a while, then the other.
func (l *library) measure(span time.Duration) (*inProcess, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	verify, calls, err := timed(l.verify, span)
	runtime.ReadMemStats(&after)
	if err != nil {
		return nil, fmt.Errorf("verify in memory: %w", err)
	}
	least, _, err := timed(l.least, span)
	if err != nil {
		return nil, fmt.Errorf("hash and look up: %w", err)
	}
	return &inProcess{Verify: verify, Least: least, Allocs: rounded(float64(after.Mallocs-before.Mallocs)/float64(calls), 2)}, nil
}

// timed returns how many nanoseconds a step takes, and how many were made.
func timed(step func() bool, span time.Duration) (nanos float64, calls int, err error) {
	const between = 1000 // steps that are made for each look at the clock
	begun := time.Now()
	for time.Since(begun) < span {
		for range between {
			if !step() {
				return 0, 0, errors.New("a key that is good is not found to be")
			}
		}
		calls += between
	}
	return float64(time.Since(begun)) / float64(calls), calls, nil
}
