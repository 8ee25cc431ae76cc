package attacks_test

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// faulty is a store that fails where a test says: at the nth call inside the next
// transactions, or after the commit, when all is durable and nobody hears of it.
type faulty struct {
	iam.Store
	failAt  atomic.Int64           // counts down with each call of a transaction; 0: never
	failed  atomic.Int64           // how often it has failed
	unknown atomic.Bool            // fail after the commit
	err     error                  // what a failed call returns; not changed while one runs
	panics  atomic.Pointer[string] // what every call panics with, unless nil
	held    atomic.Pointer[held]   // holds back the next change, unless nil
}

// held is a change that the server has let in, and that is not yet anywhere in
// the database.
type held struct{ arrived, release chan struct{} }

var errDatabase = errors.New("the database said no")

// overtake begins a call that changes something, makes another while the first is
// held back before its transaction, and returns the answer of the first.
func (w *world) overtake(first, second func() answer) answer {
	w.t.Helper()
	h := &held{make(chan struct{}), make(chan struct{})}
	w.store.held.Store(h)
	answers := make(chan answer, 1)
	go func() { answers <- first() }()
	select {
	case <-h.arrived:
	case a := <-answers:
		w.t.Fatalf("%s changes nothing: %d %s", a.call, a.status, a.text)
	}
	a := second()
	close(h.release)
	if a.status < 200 || a.status > 299 {
		w.t.Errorf("%s, which came first: %d %s", a.call, a.status, a.text)
	}
	return <-answers
}

// Change implements [iam.Store].
func (f *faulty) Change(ctx context.Context, first iam.First, fn func(iam.Tx) (iam.Change, error)) (iam.Commit, error) {
	if h := f.held.Swap(nil); h != nil {
		close(h.arrived)
		<-h.release
	}
	commit, err := f.Store.Change(ctx, first, func(tx iam.Tx) (iam.Change, error) { return fn(&faultyTx{tx, f}) })
	if err == nil && f.unknown.Load() {
		f.failed.Add(1)
		return iam.Commit{}, errors.Join(iam.Unknown, errDatabase)
	}
	return commit, err
}

type faultyTx struct {
	iam.Tx
	f *faulty
}

// next fails when its turn has come, or panics.
func (t *faultyTx) next() error {
	if words := t.f.panics.Load(); words != nil {
		panic(*words)
	}
	if t.f.failAt.Load() > 0 && t.f.failAt.Add(-1) == 0 {
		t.f.failed.Add(1)
		return t.f.err
	}
	return nil
}

func (t *faultyTx) Key(ctx context.Context, ws iam.WorkspaceID, id iam.KeyID) (iam.Key, error) {
	if err := t.next(); err != nil {
		return iam.Key{}, err
	}
	return t.Tx.Key(ctx, ws, id)
}

func (t *faultyTx) Workspace(ctx context.Context, ref string) (iam.Workspace, error) {
	if err := t.next(); err != nil {
		return iam.Workspace{}, err
	}
	return t.Tx.Workspace(ctx, ref)
}

func (t *faultyTx) ServiceAccount(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.ServiceAccount, error) {
	if err := t.next(); err != nil {
		return iam.ServiceAccount{}, err
	}
	return t.Tx.ServiceAccount(ctx, ws, ref)
}

func (t *faultyTx) UpdateServiceAccount(ctx context.Context, a iam.ServiceAccount) error {
	if err := t.next(); err != nil {
		return err
	}
	return t.Tx.UpdateServiceAccount(ctx, a)
}

func (t *faultyTx) UpdateKey(ctx context.Context, k iam.Key) error {
	if err := t.next(); err != nil {
		return err
	}
	return t.Tx.UpdateKey(ctx, k)
}

func (t *faultyTx) Remember(ctx context.Context, r iam.Replay) error {
	if err := t.next(); err != nil {
		return err
	}
	return t.Tx.Remember(ctx, r)
}

func (t *faultyTx) AppendEvent(ctx context.Context, e audit.Event) error {
	if err := t.next(); err != nil {
		return err
	}
	return t.Tx.AppendEvent(ctx, e)
}

func (t *faultyTx) InsertReceipt(ctx context.Context, r iam.Receipt) error {
	if err := t.next(); err != nil {
		return err
	}
	return t.Tx.InsertReceipt(ctx, r)
}

func (t *faultyTx) Descendants(ctx context.Context, ws iam.WorkspaceID, id iam.KeyID) ([]iam.Key, []iam.ServiceAccount, error) {
	if err := t.next(); err != nil {
		return nil, nil, err
	}
	return t.Tx.Descendants(ctx, ws, id)
}
