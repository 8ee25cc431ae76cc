package iam_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"math"
	"sync/atomic"
	"testing"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store/storetest"
)

// Whoever makes a change holds the head row from the first round trip to the
// last, and everybody else waits. The first takes the number and reads all that
// decides, the second brings everything and COMMIT.
func TestWhatIsDoneToOneThingTakesTwoRoundTrips(t *testing.T) {
	counted, url := countTrips(t, storetest.Postgres(t))
	w := newWorld(t, url)
	w.unfollow() // whose reads would count
	w.Fence = iam.Nobody{}
	for name, do := range oneThing(w) {
		fewest := int64(math.MaxInt64)
		for range 5 { // a connection prepares each statement when it first meets it
			account := w.account(iam.Viewer)
			key, _ := w.key(account, iam.NewKey{})
			c := w.owner
			c.Idempotency = &iam.Idempotency{Scope: "scope", Key: w.name("once")}
			before := counted.Load()
			if err := do(t.Context(), c, account.Name, key.ID); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			fewest = min(fewest, counted.Load()-before)
		}
		if fewest != 2 {
			t.Errorf("to %s took %d round trips, want 2", name, fewest)
		}
	}
}

// oneThing is what can be done to an account that works, and to its key.
func oneThing(w *world) map[string]func(ctx context.Context, c iam.Caller, account string, key iam.KeyID) error {
	return map[string]func(ctx context.Context, c iam.Caller, account string, key iam.KeyID) error{
		"make a key": func(ctx context.Context, c iam.Caller, account string, _ iam.KeyID) error {
			_, _, err := w.CreateKey(ctx, c, "-", account, iam.NewKey{Name: w.name("key")})
			return err
		},
		"rename a key": func(ctx context.Context, c iam.Caller, _ string, key iam.KeyID) error {
			name := w.name("key")
			_, err := w.UpdateKey(ctx, c, "-", key, iam.KeyPatch{Name: &name})
			return err
		},
		"pause a key": func(ctx context.Context, c iam.Caller, _ string, key iam.KeyID) error {
			_, err := w.PauseKey(ctx, c, "-", key, iam.Why{})
			return err
		},
		"revoke a key": func(ctx context.Context, c iam.Caller, _ string, key iam.KeyID) error {
			_, err := w.RevokeKey(ctx, c, "-", key, iam.Why{})
			return err
		},
		"describe an account": func(ctx context.Context, c iam.Caller, account string, _ iam.KeyID) error {
			text := "what it is for"
			_, err := w.UpdateServiceAccount(ctx, c, "-", account, iam.AccountPatch{Description: &text})
			return err
		},
		"pause an account": func(ctx context.Context, c iam.Caller, account string, _ iam.KeyID) error {
			_, err := w.PauseServiceAccount(ctx, c, "-", account, "")
			return err
		},
		"revoke an account": func(ctx context.Context, c iam.Caller, account string, _ iam.KeyID) error {
			_, err := w.RevokeServiceAccount(ctx, c, "-", account, "")
			return err
		},
	}
}

// countTrips counts how often a PostgreSQL server says that it is ready for more, and
// returns the URL by which it is met.
func countTrips(t *testing.T, at string) (*atomic.Int64, string) {
	t.Helper()
	trips := new(atomic.Int64)
	return trips, storetest.Way{Answers: func(client io.Writer, server io.Reader) error {
		return relay(trips, client, bufio.NewReader(server))
	}}.To(t, at)
}

// relay passes on the server's messages: a byte that says which, the length of the
// rest with itself, and the rest.
func relay(trips *atomic.Int64, to io.Writer, from *bufio.Reader) error {
	const readyForQuery = 'Z'
	for {
		head, err := from.Peek(5)
		if err != nil {
			return err
		}
		if head[0] == readyForQuery {
			trips.Add(1)
		}
		if _, err := io.CopyN(to, from, 1+int64(binary.BigEndian.Uint32(head[1:]))); err != nil {
			return err
		}
	}
}
