package fence_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store/storetest"
)

// ended is how a call ended that ran beside the test.
type ended struct {
	iam.Receipt
	err error
}

// revoking revokes a key beside the test.
func (p *process) revoking(ctx context.Context, c iam.Caller, id iam.KeyID) <-chan ended {
	done := make(chan ended, 1)
	go func() {
		out, err := p.service.RevokeKey(ctx, c, "-", id, iam.Why{Reason: "compromised"})
		done <- ended{out.Receipt, err}
	}()
	return done
}

// looks counts how often a process looks which nodes lag, from now on.
func (p *process) looks() (n *atomic.Int64) {
	n = new(atomic.Int64)
	p.gate.set(func(_ context.Context, call string) error {
		if call == "lagging" {
			n.Add(1)
		}
		return nil
	})
	return n
}

// Hold a replica, revoke through one node, repeat and replay through others: none
// may return while a node still accepts the key.
func TestARepeatAndAReplayThroughOtherNodesWait(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	all := startProcesses(t, url, 2, time.Second)
	slow := startProcess(t, url, fence.Options{Name: "slow", TTL: 6 * time.Second})
	slow.ready(t)
	owner := all[0].initialize(t)
	all[0].account(t, owner, "bot", iam.Operator)
	key, secret := all[0].key(t, owner, "bot", "deploy")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()

	counts := []*atomic.Int64{all[0].looks(), all[1].looks()}
	release := slow.gate.hold("changes")
	defer release()
	once := owner
	once.Idempotency = &iam.Idempotency{Scope: "revoke", Key: "once"}
	first := all[0].revoking(ctx, once, key.ID)
	awaitLooks(t, counts[0], 5)
	repeat := all[1].revoking(ctx, owner, key.ID)
	replay := all[1].revoking(ctx, once, key.ID)
	awaitLooks(t, counts[1], 20)
	calls := map[string]<-chan ended{"the first": first, "the repeat": repeat, "the replay": replay}
	if code := slow.verdict(t.Context(), secret.Hash()).Code; code != replica.Valid {
		t.Errorf("the node that is held says %s, want valid: nothing was tried", code)
	}
	for name, call := range calls {
		select {
		case e := <-call:
			t.Errorf("%s returned %+v, %v while a node accepts the key", name, e.Receipt, e.err)
		default:
		}
	}
	release()
	revisions := map[int64]bool{}
	for name, call := range calls {
		e := <-call
		if e.err != nil || e.By != "acked" || e.Nodes.Confirmed != 3 {
			t.Errorf("%s: got %+v, %v; want it confirmed by three nodes", name, e.Receipt, e.err)
		}
		revisions[e.Revision] = true
	}
	if len(revisions) != 3 {
		t.Errorf("they waited for the revisions %v, want each for one of its own", revisions)
	}
	if code := slow.verdict(t.Context(), secret.Hash()).Code; code != replica.Revoked {
		t.Errorf("then the node says %s, want revoked", code)
	}
}

// awaitLooks returns once somebody has looked often enough.
func awaitLooks(t *testing.T, n *atomic.Int64, least int64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); n.Load() < least; time.Sleep(time.Millisecond) { // PostgreSQL tells nobody
		if time.Now().After(end) {
			t.Fatalf("it looked %d times, want %d", n.Load(), least)
		}
	}
}

// A stream that was authenticated once asks again before each part, of the node
// that sends it, which knows of what was revoked elsewhere.
func TestAStreamEndsWithItsKeyWhicheverNodeRevokedIt(t *testing.T) {
	t.Parallel()
	all := startProcesses(t, storetest.Postgres(t), 2, time.Second)
	owner := all[0].initialize(t)
	all[0].account(t, owner, "reader", iam.Admin)
	key, secret := all[0].key(t, owner, "reader", "stream")
	reader := all[0].caller(t, secret)
	const more = 450 // than go into two parts
	if err := all[0].store.Note(t.Context(), func(tx iam.NoteTx) error {
		for range more {
			e := audit.Event{ID: iam.NewID(iam.EventPrefix, tx.Now()), At: tx.Now(), Workspace: string(owner.Workspace.ID), Outcome: audit.Refused}
			if err := tx.AppendEvent(t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the key does not work")
	parts, sent := 0, 0
	again := func() (iam.Caller, error) {
		if parts++; all[0].verdict(t.Context(), secret.Hash()).Code != replica.Valid {
			return iam.Caller{}, gone
		}
		return reader, nil
	}
	err := all[0].service.Export(t.Context(), reader, "-", iam.EventFilter{}, again, func(iam.AuditEvent) error {
		if sent++; sent == 1 {
			if e := <-all[1].revoking(t.Context(), owner, key.ID); e.err != nil {
				t.Errorf("revoke: %v", e.err)
			}
		}
		return nil
	})
	if !errors.Is(err, gone) || parts != 2 || sent == 0 || sent >= more {
		t.Errorf("got %v after %d events in %d parts, want the first part and no more", err, sent, parts)
	}
}

// What an invitation rests on may have ended through another node.
func TestAnInvitationEndsWithItsInviterWhicheverNodeRevokedThem(t *testing.T) {
	t.Parallel()
	all := startProcesses(t, storetest.Postgres(t), 2, time.Second)
	owner := all[0].initialize(t)
	all[0].account(t, owner, "inviter", iam.Admin)
	key, secret := all[0].key(t, owner, "inviter", "invite")
	_, invitation, err := all[0].service.Invite(t.Context(), all[0].caller(t, secret), "-", iam.NewInvitation{Email: "jo@example.com", Role: iam.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	if e := <-all[1].revoking(t.Context(), owner, key.ID); e.err != nil {
		t.Fatal(e.err)
	}
	_, _, err = all[0].service.AcceptInvitation(t.Context(), iam.Caller{Source: owner.Source}, iam.Acceptance{Token: invitation, Name: "Jo", KeyName: "first"})
	if !errors.Is(err, iam.Gone) {
		t.Errorf("got %v, want gone", err)
	}
}

// Each row counts for as long as its node says, whoever waits.
func TestOnPostgreSQLANodeOfALongerLeaseIsWaitedForByItsOwn(t *testing.T) {
	t.Parallel()
	const long = 3 * time.Second
	url := storetest.Postgres(t)
	brief := startProcess(t, url, fence.Options{Name: "brief", TTL: time.Second})
	other := startProcess(t, url, fence.Options{Name: "long", TTL: long})
	brief.ready(t)
	other.ready(t)
	owner := brief.initialize(t)
	brief.account(t, owner, "bot", iam.Operator)
	key, secret := brief.key(t, owner, "bot", "deploy")
	other.gate.set(func(context.Context, string) error { return iam.Errorf(iam.Unavailable, "cut off") })
	begun := time.Now()
	e := <-brief.revoking(t.Context(), owner, key.ID)
	// Its row may have been removed meanwhile, a TTL after the last sign of life.
	if took := time.Since(begun); e.err != nil || took < long/2 {
		t.Errorf("after %v: %+v, %v; want it to wait for a lease of %v", took, e.Receipt, e.err, long)
	}
	if code := other.verdict(t.Context(), secret.Hash()).Code; code != replica.Stale {
		t.Errorf("the node that is cut off says %s, want stale", code)
	}
}

// manyKeys puts an account with so many keys into the database, as one change.
func (p *process) manyKeys(tb testing.TB, owner iam.Caller, account string, many int) (keys []iam.Key) {
	tb.Helper()
	a := p.account(tb, owner, account, iam.Operator)
	sample, _ := p.key(tb, owner, account, "sample")
	_, err := p.store.Change(tb.Context(), iam.First{}, func(tx iam.Tx) (c iam.Change, err error) {
		keys = keys[:0]
		for n := range many {
			k := sample
			k.ID, k.Name, k.Hash = iam.KeyID(iam.NewID(iam.KeyPrefix, tx.Now())), fmt.Sprint("key ", n), numberedKey(n).Hash
			if err := tx.InsertKey(tb.Context(), k); err != nil {
				return c, err
			}
			keys = append(keys, k)
			c.Keys = append(c.Keys, iam.KeyRecord{ID: k.ID, Principal: a.ID, Name: k.Name, Hash: k.Hash})
		}
		return c, nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// Revoking an account ends all its keys as one revision: whoever asks about all of
// them in one answer finds that all work, or none.
func TestAnAccountWithTenThousandKeysEndsAllAtOnce(t *testing.T) {
	t.Parallel()
	many := 10_000
	if testing.Short() {
		many = 1_000 // with the race detector, a transaction of more pauses for longer than one may
	}
	all := startProcesses(t, storetest.Postgres(t), 3, 2*time.Second)
	owner := all[0].initialize(t)
	keys := all[0].manyKeys(t, owner, "bot", many)
	ctx, stop := context.WithCancel(t.Context())
	var askers sync.WaitGroup
	defer askers.Wait()
	defer stop()
	var after atomic.Bool // the revocation has returned
	asked := make(chan struct{}, 3)
	for i, p := range all {
		askers.Go(func() {
			for ctx.Err() == nil {
				begunAfter := after.Load()
				valid, answered := p.countValid(ctx, keys)
				if answered && valid != 0 && valid != many {
					t.Errorf("node %d: in one answer %d of %d keys work", i, valid, many)
					return
				}
				if answered && valid != 0 && begunAfter {
					t.Errorf("node %d: the keys work after the revocation has returned", i)
					return
				}
				select {
				case asked <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 6 {
		<-asked
	}
	before, err := all[0].store.Snapshot(t.Context(), nothing{})
	if err != nil {
		t.Fatal(err)
	}
	done, err := all[1].service.RevokeServiceAccount(t.Context(), owner, "-", "bot", "no longer needed")
	after.Store(true)
	if err != nil || !done.Receipt.Confirmed || done.Receipt.KeysStopped != int64(many)+1 {
		t.Fatalf("got %+v, %v", done.Receipt, err)
	}
	if done.Revision != before.Seq+1 {
		t.Errorf("it took the revisions %d to %d, want one", before.Seq+1, done.Revision)
	}
	for range 6 {
		<-asked
	}
}

// countValid returns how many keys work in one answer.
func (p *process) countValid(ctx context.Context, keys []iam.Key) (valid int, answered bool) {
	err := p.Answer(ctx, func(v replica.View) {
		valid = 0
		for i := range keys {
			if v.Verify(keys[i].Hash, replica.Query{IP: address, Scope: replica.AnyWorkspace()}).Code == replica.Valid {
				valid++
			}
		}
	})
	return valid, err == nil
}

// nothing is a sink.
type nothing struct{}

func (nothing) Workspace(iam.WorkspaceRecord) error { return nil }
func (nothing) Role(iam.RoleRecord) error           { return nil }
func (nothing) Principal(iam.PrincipalRecord) error { return nil }
func (nothing) Key(iam.KeyRecord) error             { return nil }

// BenchmarkRevokeAccount measures the revocation of an account with ten thousand
// keys, through one of three nodes, from the call to the receipt.
func BenchmarkRevokeAccount(b *testing.B) {
	all := startProcesses(b, storetest.Postgres(b), 3, 2*time.Second)
	owner := all[0].initialize(b)
	all[0].manyKeys(b, owner, "bot", 10_000)
	begun := time.Now()
	done, err := all[1].service.RevokeServiceAccount(b.Context(), owner, "-", "bot", "")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(begun).Seconds()*1000, "ms-whole")
	b.ReportMetric(done.Receipt.Took.Seconds()*1000, "ms-on-all-nodes") // of it, from the commit
}
