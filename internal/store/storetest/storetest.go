// Package storetest says, as tests, what an [iam.Store] must do, and gives other
// packages' tests real databases to do it on.
package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"net/netip"

	"github.com/posternhq/postern/internal/iam"
)

// Open makes an empty store that is closed with the test. now is its clock; nil
// means the database's own.
type Open func(t *testing.T, now func() time.Time) iam.Store

// contract is one promise of [iam.Store] and the test of it.
type contract struct {
	promise string
	test    func(t *testing.T, open Open)
}

// Run runs the contract of [iam.Store] against stores made by open.
func Run(t *testing.T, open Open) {
	for _, group := range [][]contract{nouns, constraints, lists, filters, receipts, transactions, firsts, logs, events, usage, rotations, people} {
		for _, c := range group {
			t.Run(c.promise, func(t *testing.T) {
				t.Parallel()
				c.test(t, open)
			})
		}
	}
}

// change runs fn as a change that tells replicas nothing.
func change(t *testing.T, s iam.Store, fn func(tx iam.Tx) error) iam.Commit {
	t.Helper()
	commit, err := tryChange(t, s, fn)
	if err != nil {
		t.Fatal(err)
	}
	return commit
}

func tryChange(t *testing.T, s iam.Store, fn func(tx iam.Tx) error) (iam.Commit, error) {
	t.Helper()
	return s.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) { return iam.Change{}, fn(tx) })
}

func note(t *testing.T, s iam.Store, fn func(tx iam.NoteTx) error) {
	t.Helper()
	if err := s.Note(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// equal fails the test unless got is want.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("%s (- want, + got):\n%s", what, diff)
	}
}

// must returns a value that was to be had without an error.
func must[T any](t *testing.T, what string) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return value
	}
}

// isKind fails the test unless err is of a kind.
func isKind(t *testing.T, what string, err error, want iam.Kind) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %s", what, err, want)
	}
}
