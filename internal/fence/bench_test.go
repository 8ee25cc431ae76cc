package fence_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

// office is three nodes with somebody who may do everything, and an account.
type office struct {
	url   string
	nodes []*process
	owner token.Hash
}

func newOffice(b *testing.B, ttl time.Duration) *office {
	b.Helper()
	o := &office{url: storetest.Postgres(b)}
	o.nodes = startProcesses(b, o.url, 3, ttl)
	_, key, err := o.service(0).Initialize(b.Context(), iam.Initialization{Workspace: "Acme", Email: "owner@example.com", KeyName: "first"})
	if err != nil {
		b.Fatal(err)
	}
	o.owner = key.Hash()
	if _, err := o.service(0).CreateServiceAccount(b.Context(), o.caller(0), "-", iam.NewServiceAccount{Name: "bot", Role: "operator"}); err != nil {
		b.Fatal(err)
	}
	return o
}

func (o *office) service(node int) *iam.Service {
	p := o.nodes[node]
	return &iam.Service{Store: p.store, Fence: p, Mint: token.Mint{Prefix: token.DefaultPrefix}, Now: time.Now}
}

func (o *office) caller(node int) iam.Caller {
	return o.nodes[node].replica.Verify(o.owner, replica.Query{Scope: replica.AnyWorkspace()}).Caller()
}

// mint makes a key through a node.
func (o *office) mint(ctx context.Context, node int, name string) (iam.KeyID, token.Hash, error) {
	done, secret, err := o.service(node).CreateKey(ctx, o.caller(node), "-", "bot", iam.NewKey{Name: name})
	return done.Value.ID, secret.Hash(), err
}

func (o *office) revoke(ctx context.Context, node int, id iam.KeyID) error {
	_, err := o.service(node).RevokeKey(ctx, o.caller(node), "-", id, iam.Why{})
	return err
}

// bareCommit returns what commits one row durably and tells listeners of it, in
// one round trip, over a connection of its own to the same server.
func bareCommit(b *testing.B, url string) func() error {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) }) // nothing is written at the end
	if _, err := conn.Exec(b.Context(), `CREATE TABLE bare (n BIGINT PRIMARY KEY, body TEXT NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	n := 0
	return func() error {
		n++
		batch := &pgx.Batch{}
		batch.Queue(`BEGIN`)
		batch.Queue(`INSERT INTO bare (n, body) VALUES ($1, $2)`, n, "as long as an event is, more or less, which is some hundred bytes or two")
		batch.Queue(`SELECT pg_notify('bare', 'x')`)
		batch.Queue(`COMMIT`)
		return conn.SendBatch(b.Context(), batch).Close()
	}
}

// BenchmarkRevoke compares the revocation of a key through one of three healthy
// nodes, all of it from the call to the receipt, with one durable commit and a
// notification in the same database.
func BenchmarkRevoke(b *testing.B) {
	o := newOffice(b, 5*time.Second)
	commit := bareCommit(b, o.url)
	var bare, whole []time.Duration
	for n := range 500 {
		id, _, err := o.mint(b.Context(), n%3, fmt.Sprint("key-", n))
		if err != nil {
			b.Fatal(err)
		}
		bare = append(bare, timed(b, commit))
		whole = append(whole, timed(b, func() error { return o.revoke(b.Context(), n%3, id) }))
	}
	slices.Sort(bare)
	slices.Sort(whole)
	half, most := len(bare)/2, len(bare)*99/100
	b.ReportMetric(float64(bare[half].Microseconds()), "µs-commit-p50")
	b.ReportMetric(float64(whole[half].Microseconds()), "µs-revoke-p50")
	b.ReportMetric(float64(whole[most].Microseconds()), "µs-revoke-p99")
	b.ReportMetric(float64(whole[half])/float64(bare[half]), "x-commit")
	b.ReportMetric(float64(whole[most])/float64(whole[half]), "p99/p50")
}

func timed(b *testing.B, do func() error) time.Duration {
	b.Helper()
	begun := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// BenchmarkRevokeWithADeadNode measures the first revocation after a node died
// without a word, which waits for its lease, and the one after that.
func BenchmarkRevokeWithADeadNode(b *testing.B) {
	const ttl = 2 * time.Second
	var first, second []float64
	for range 3 {
		o := newOffice(b, ttl)
		var ids []iam.KeyID
		for n := range 2 {
			id, _, err := o.mint(b.Context(), 0, fmt.Sprint("key-", n))
			if err != nil {
				b.Fatal(err)
			}
			ids = append(ids, id)
		}
		o.nodes[2].kill()
		first = append(first, timed(b, func() error { return o.revoke(b.Context(), 0, ids[0]) }).Seconds()/ttl.Seconds())
		for o.nodes[0].nodes(b) > 2 {
			time.Sleep(10 * time.Millisecond) // until it is reaped, for once is all it is waited for
		}
		second = append(second, timed(b, func() error { return o.revoke(b.Context(), 1, ids[1]) }).Seconds()*1000)
		for _, p := range o.nodes[:2] {
			p.kill()
		}
	}
	b.ReportMetric(slices.Max(first), "TTL-first")
	b.ReportMetric(slices.Max(second), "ms-after")
}

// BenchmarkVerifyUnderChange compares how many verifications one thread makes on
// a node while a hundred keys a second are made and revoked through another, with
// how many it makes when nothing changes.
//
// Per second, which is what a caller sees, it also tells what the changes take of
// the processors: the database, three nodes and whoever changes share them with the
// thread. Per second that the thread had a processor, it tells whether verifying
// itself takes longer: for pointers that move, tries that are repeated, caches
// that are cold.
func BenchmarkVerifyUnderChange(b *testing.B) {
	o := newOffice(b, 5*time.Second)
	_, hash, err := o.mint(b.Context(), 0, "asked-about")
	if err != nil {
		b.Fatal(err)
	}
	const span = time.Second
	var seen, worked []float64
	for pair := range 7 {
		quiet := o.count(b, hash, span)
		ctx, cancel := context.WithCancel(b.Context())
		var changing sync.WaitGroup
		changes := 0
		changing.Go(func() { changes = o.churn(b, ctx, pair) })
		busy := o.count(b, hash, span)
		cancel()
		changing.Wait()
		if changes < 90 {
			b.Logf("only %d changes in a second", changes)
		}
		seen, worked = append(seen, busy.perSecond/quiet.perSecond), append(worked, busy.perWorked/quiet.perWorked)
	}
	slices.Sort(seen)
	slices.Sort(worked)
	b.ReportMetric(seen[len(seen)/2], "of-quiet")
	b.ReportMetric(worked[len(worked)/2], "of-quiet-per-processor-second")
}

// churn makes and revokes keys, a hundred changes a second, until ctx ends.
func (o *office) churn(b *testing.B, ctx context.Context, run int) (changes int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return changes
		}
		id, _, err := o.mint(b.Context(), 1, fmt.Sprintf("churn-%d-%d", run, n))
		if err == nil {
			err = o.revoke(b.Context(), 1, id)
		}
		if err != nil {
			b.Error(err)
			return changes
		}
		changes += 2
	}
}

// rate is how often something was done.
type rate struct {
	perSecond float64
	perWorked float64 // per second that its thread had a processor
}

// count verifies one key on the first node as often as one thread can.
func (o *office) count(b *testing.B, hash token.Hash, span time.Duration) rate {
	b.Helper()
	runtime.LockOSThread() // so that the thread does nothing else
	defer runtime.UnlockOSThread()
	n, code := 0, replica.Valid
	look := func(v replica.View) { code = v.Verify(hash, replica.Query{Scope: replica.AnyWorkspace()}).Code }
	before, err := threadTime()
	if err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	for ; time.Since(begun) < span; n++ {
		if err := o.nodes[0].Answer(b.Context(), look); err != nil || code != replica.Valid {
			b.Fatal(code, err)
		}
	}
	took := time.Since(begun)
	after, err := threadTime()
	if err != nil {
		b.Fatal(err)
	}
	return rate{perSecond: float64(n) / took.Seconds(), perWorked: float64(n) / (after - before).Seconds()}
}

// BenchmarkFlood measures how long the verification of a valid key takes while
// fifty thousand well-formed keys a second are asked about that nobody knows,
// against the same flood of keys that are known, and what the database sees of it.
func BenchmarkFlood(b *testing.B) {
	const known = 1000
	o := newOffice(b, 5*time.Second)
	_, valid, err := o.mint(b.Context(), 0, "valid")
	if err != nil {
		b.Fatal(err)
	}
	hashes := make([]token.Hash, known)
	for i := range hashes {
		if _, hashes[i], err = o.mint(b.Context(), 0, fmt.Sprint("known-", i)); err != nil {
			b.Fatal(err)
		}
	}
	strange := make([]token.Hash, known)
	for i := range strange {
		if _, err := rand.Read(strange[i][:]); err != nil {
			b.Fatal(err)
		}
	}
	var ratios, asked []float64
	for range 7 {
		friendly, _ := o.flooded(b, valid, hashes)
		hostile, statements := o.flooded(b, valid, strange)
		ratios, asked = append(ratios, float64(hostile)/float64(friendly)), append(asked, statements)
	}
	slices.Sort(ratios)
	slices.Sort(asked)
	b.ReportMetric(ratios[len(ratios)/2], "p99-unknown/known")
	b.ReportMetric(asked[len(asked)/2], "transactions/s") // renewals and looks at the log, of three nodes
}

// flooded asks for one key while a flood asks for others, and returns the 99th
// percentile and the database's transactions in a second.
func (o *office) flooded(b *testing.B, valid token.Hash, flood []token.Hash) (p99 time.Duration, transactions float64) {
	b.Helper()
	const span, rate = time.Second, 50_000
	ctx, cancel := context.WithCancel(b.Context())
	var flooding sync.WaitGroup
	flooding.Go(func() { o.pour(ctx, flood, rate) })
	before, begun := o.transactions(b), time.Now()
	var took []time.Duration
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for time.Since(begun) < span {
		<-tick.C
		took = append(took, timed(b, func() error {
			return o.nodes[0].Answer(ctx, func(v replica.View) { v.Verify(valid, replica.Query{Scope: replica.AnyWorkspace()}) })
		}))
	}
	transactions = (o.transactions(b) - before) / time.Since(begun).Seconds()
	cancel()
	flooding.Wait()
	slices.Sort(took)
	return took[len(took)*99/100], transactions
}

// pour asks about keys at a rate a second, in bursts of a millisecond.
func (o *office) pour(ctx context.Context, flood []token.Hash, rate int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for range rate / 1000 {
			h := flood[n%len(flood)]
			_ = o.nodes[0].Answer(ctx, func(v replica.View) { v.Verify(h, replica.Query{Scope: replica.AnyWorkspace()}) })
			n++
		}
	}
}

// transactions returns how many the database has seen.
func (o *office) transactions(b *testing.B) (n float64) {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), o.url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	err = conn.QueryRow(b.Context(), `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
