package replica

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
)

// viewFeed is a replica as the feed of another.
type viewFeed struct{ *Replica }

func (f viewFeed) Changes(_ context.Context, after iam.Position, _ int) ([]iam.Change, iam.Position, error) {
	return f.View().After(after, AnyWorkspace())
}

func (f viewFeed) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	return f.View().Pour(AnyWorkspace(), sink)
}

// A replica that follows another from a snapshot of its memory answers as it does.
func TestAReplicaThatFollowsAnotherAnswersAsItDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom([]int{3, 40}).Draw(t, "keys"))
		now := clock{epoch.Add(1000 * time.Second)}
		parent, child := New(Options{Now: now.Now, Tail: 100}), New(Options{Now: now.Now})
		m := newModel()
		m.time = epoch
		mustLoad(t, parent, m)
		follow := func() {
			if !child.Standing().Fit {
				mustLoadFrom(t, child, parent)
			}
			if err := child.CatchUp(t.Context(), viewFeed{parent}); err != nil {
				t.Fatalf("follow: %v", err)
			}
		}
		loadAt := rapid.Int64Range(0, 20).Draw(t, "loaded at")
		for seq := range int64(20) {
			if seq >= loadAt && w.IntN(2) == 0 {
				follow()
			}
			c := w.change()
			c.Seq, c.Time = seq+1, epoch
			if err := parent.Apply(c, iam.Position{Seq: c.Seq, Chain: iam.Chain{byte(c.Seq)}, Time: c.Time}); err != nil {
				t.Fatalf("apply: %v", err)
			}
		}
		follow()
		if got, want := child.Position(), parent.Position(); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		for range 100 {
			hash, q := w.hash(), w.query()
			if d := diff(parent.Verify(hash, q), child.Verify(hash, q)); d != "" {
				t.Fatalf("(-parent +child):\n%s", d)
			}
		}
		checkReferences(t, child.current.Load())
	})
}

func mustLoadFrom(t interface{ Fatalf(string, ...any) }, r, from *Replica) {
	if err := r.Load(context.Background(), viewFeed{from}); err != nil {
		t.Fatalf("load: %v", err)
	}
}

func TestAReplicaKnowsTheEndOfItsLog(t *testing.T) {
	r := New(Options{Tail: 3})
	if _, _, err := r.View().After(iam.Position{}, AnyWorkspace()); !errors.Is(err, iam.Unavailable) {
		t.Errorf("before it has loaded: %v", err)
	}
	mustLoad(t, r, newModel())
	at := []iam.Position{{}}
	for seq := range int64(5) {
		p := iam.Position{Seq: seq + 1, Chain: iam.Chain{byte(seq + 1)}, Time: epoch}
		if err := r.Apply(iam.Change{Seq: p.Seq, Time: epoch}, p); err != nil {
			t.Fatal(err)
		}
		at = append(at, p)
	}
	for seq, want := range []int{-1, -1, 3, 2, 1, 0} {
		changes, to, err := r.View().After(at[seq], AnyWorkspace())
		if want < 0 {
			if !errors.Is(err, ErrTooOld) {
				t.Errorf("after %d: %v", seq, err)
			}
			continue
		}
		if err != nil || len(changes) != want || to.Seq != 5 || to.Chain != at[5].Chain {
			t.Errorf("after %d: got %d changes up to %+v, %v; want %d", seq, len(changes), to, err, want)
		}
		other := at[seq]
		other.Chain[7]++
		if err := r.View().Knows(other); !errors.Is(err, iam.Diverged) {
			t.Errorf("after another change %d: %v", seq, err)
		}
	}
	if err := r.View().Knows(iam.Position{Seq: 6}); !errors.Is(err, iam.Unavailable) {
		t.Errorf("ahead: %v", err)
	}
}

func TestPouringLeavesSessionsOut(t *testing.T) {
	from, to := New(Options{}), New(Options{})
	m := newModel()
	w := newWorld(1, 3)
	mustLoad(t, from, m)
	c := w.change()
	c.Seq, c.Time = 1, epoch
	session := w.key()
	session.ID, session.Session = iam.KeyID(testID(iam.SignInPrefix, 1)), true
	session.Hash[0]++
	c.Keys = append(c.Keys, session)
	if err := from.Apply(c, iam.Position{Seq: 1, Time: epoch}); err != nil {
		t.Fatal(err)
	}
	mustLoadFrom(t, to, from)
	had, _ := from.Size()
	if has, _ := to.Size(); had == 0 || has != had-1 {
		t.Errorf("of %d keys, one of which is a session, %d were poured", had, has)
	}
}
