package relay_test

import (
	"context"
	"io"
	"testing"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// made is a feed of many keys, which are made as they are poured.
type made struct{ keys, principals int }

func (m made) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	err := (&snapshot{workspaces: []iam.WorkspaceRecord{workspaceRecord()}, roles: []iam.RoleRecord{roleRecord()}}).pour(sink)
	for n := 0; err == nil && n < m.principals; n++ {
		err = sink.Principal(principalRecord(n))
	}
	for n := 0; err == nil && n < m.keys; n++ {
		err = sink.Key(keyRecord(n, m.principals))
	}
	return place(1), err
}

func (made) Changes(context.Context, iam.Position, int) ([]iam.Change, iam.Position, error) {
	return nil, iam.Position{}, iam.Unavailable
}

// read is a feed that reads its snapshot from a stream.
type read struct {
	made
	from io.Reader
}

func (f read) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	r := relay.NewReader(f.from)
	if _, err := r.Hello(iam.Position{}); err != nil {
		return iam.Position{}, err
	}
	return r.Snapshot(sink)
}

// follow gives a new verifier all that a replica knows.
func follow(b *testing.B, from *replica.Replica) *replica.Replica {
	in, out := io.Pipe()
	go func() {
		w := relay.NewWriter(out)
		err := w.Hello(hello)
		if err == nil {
			var at iam.Position
			at, err = from.View().Pour(replica.AnyWorkspace(), w)
			err = firstOf(err, w.Loaded(at))
		}
		_ = out.CloseWithError(err) // never fails
	}()
	to := replica.New(replica.Options{})
	if err := to.Load(b.Context(), read{from: in}); err != nil {
		b.Fatal(err)
	}
	return to
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkFollow1M is how long a million keys take from one replica into another, on
// one machine, by way of a pipe.
func BenchmarkFollow1M(b *testing.B) {
	const keys = 1_000_000
	from := replica.New(replica.Options{})
	if err := from.Load(b.Context(), made{keys, 10_000}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		to := follow(b, from)
		if got, _ := to.Size(); got != keys {
			b.Fatalf("%d keys came, not %d", got, keys)
		}
	}
}
