package fence

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// elsewhere is a door whose reads go to another server than its writes, as those of
// connections do that were made before a failover.
type elsewhere struct {
	*door
	reads    atomic.Pointer[door]
	renewing atomic.Pointer[func()] // called before each renewal is asked for
}

// astray starts a node whose reads can be led elsewhere.
func (d *deployment) astray(t *testing.T) (*peer, *elsewhere) {
	t.Helper()
	p := d.prepare(t, Options{Name: "b"})
	ways := &elsewhere{door: p.door}
	ways.reads.Store(p.door)
	p.Node.db = ways
	p.start(t)
	settle()
	return p, ways
}

func (e *elsewhere) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	return e.reads.Load().Changes(ctx, after, limit)
}

func (e *elsewhere) Renew(ctx context.Context, incarnation string) (iam.Renewal, error) {
	if meanwhile := e.renewing.Load(); meanwhile != nil {
		(*meanwhile)()
	}
	return e.door.Renew(ctx, incarnation)
}

// fork returns a copy of the database, as an old primary has it.
func (m *memory) fork() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := newMemory()
	f.log, f.keys = slices.Clone(m.log), maps.Clone(m.keys)
	return f
}

// An old primary shows a change that was never confirmed, once somebody cancels its
// waiting for standbys. On the new one a revocation has the same number: a node that
// has read the former has not heard of the latter.
func TestAChangeReadFromAnOldPrimaryAcknowledgesNothing(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		b, ways := d.astray(t)
		old := d.memory.fork()
		ways.reads.Store(newDoor(old))
		old.commit(t, strangeKey(d.key))
		o := <-a.await(t, time.Minute, d.revoke(t))
		if got := b.ask(d.key); o.err == nil && got == replica.Valid {
			t.Errorf("confirmed by %s, %d of %d, after %v, and b accepts the key", o.By, o.Nodes.Confirmed, o.Nodes.Total, o.took)
		}
		if o.err != nil {
			t.Errorf("it was never confirmed: %v", o.err)
		}
	})
}

// Nor does such a node take up a lease that was given on another log, however often
// both logs go on between its look and the answer, and whatever becomes of its
// acknowledgements.
func TestNoLeaseIsTakenUpOnAnotherLog(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		b, ways := d.astray(t)
		old := d.memory.fork()
		b.door.fail("ack", errCut)
		b.door.fail("snapshot", errCut)
		ways.reads.Store(newDoor(old))
		bothGoOn := func() {
			d.commit(t, strangeKey(d.key))
			old.commit(t, strangeKey(d.key))
		}
		ways.renewing.Store(&bothGoOn)
		revoked := d.revoke(t)
		old.commit(t, strangeKey(d.key))
		o := <-a.await(t, time.Minute, revoked)
		if got := b.ask(d.key); o.err != nil || got != replica.Stale {
			t.Errorf("confirmed by %q, %v, and b says %s; want stale", o.By, o.err, got)
		}
	})
}

func strangeKey(like iam.KeyRecord) iam.KeyRecord {
	like.ID, like.Hash = iam.KeyID(iam.FormatID(iam.KeyPrefix, [16]byte{15: 2})), [32]byte{1}
	return like
}

// Commits no longer wait for standbys, and no renewal has come since.
func TestNoReceiptSaysQuorumOfAServerThatDoesNotWait(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		d.set(func() { d.authority.Settings.SynchronousStandbyNames = "ANY 1 (s1)" })
		a := d.node(t, Options{Name: "a", TTL: time.Minute})
		time.Sleep(2*time.Minute + time.Second) // it has seen this timeline for a TTL, and is between two renewals
		d.set(func() { d.authority.Settings.SynchronousStandbyNames = "" })
		if o := <-a.await(t, time.Hour, d.revoke(t)); o.err != nil || o.Durability != iam.Local {
			t.Errorf("got durability %q, %v; want local, once it has joined anew", o.Durability, o.err)
		}
	})
}

// A receipt says on what its confirmation rests, also of a node that had no row
// when the wait began.
func TestEveryConfirmationSaysWhatItSurvives(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{Name: "a"})
		settle()
		release := a.door.hold("join")
		d.set(func() { clear(d.rows) })
		time.Sleep(time.Second) // it is fenced, for its row is gone
		confirmed := a.await(t, time.Minute, d.revoke(t))
		time.Sleep(500 * time.Millisecond)
		release()
		if o := <-confirmed; o.err != nil || o.Durability != iam.Local {
			t.Errorf("confirmed by %q with durability %q, %v", o.By, o.Durability, o.err)
		}
	})
}
