package store_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/chaos"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

// meeting is a database with a table of nodes.
type meeting struct {
	*store.Nodes
	store *store.Store
	url   string
}

func meet(t *testing.T) *meeting {
	t.Helper()
	m := &meeting{url: storetest.Postgres(t)}
	m.store = open(t, m.url, store.Options{})
	m.Nodes = openNodes(t, m.store)
	return m
}

func openNodes(t *testing.T, s *store.Store) *store.Nodes {
	t.Helper()
	n, err := s.Nodes()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (m *meeting) join(t *testing.T, incarnation string) {
	t.Helper()
	m.joinAs(t, incarnation, "")
}

// joinAs joins as a node whose process reports how keys are used.
func (m *meeting) joinAs(t *testing.T, incarnation, reporter string) {
	t.Helper()
	row := iam.NodeRow{
		Incarnation: incarnation, Name: "a", Kind: "server", Version: "1", Reporter: reporter, TTL: 5 * time.Second, Bounded: time.Minute,
	}
	if err := m.Join(t.Context(), row); err != nil {
		t.Fatal(err)
	}
}

func (m *meeting) change(t *testing.T) int64 {
	t.Helper()
	c, err := m.store.Change(t.Context(), iam.First{}, empty)
	if err != nil {
		t.Fatal(err)
	}
	return c.Seq
}

// position returns where a change of the log leads to.
func (m *meeting) position(t *testing.T, seq int64) iam.Position {
	t.Helper()
	at, digits := iam.Position{Seq: seq}, ""
	if err := raw(t, m.url).QueryRowContext(t.Context(), `SELECT chain FROM changes WHERE seq = $1`, seq).Scan(&digits); err != nil {
		t.Fatal(err)
	}
	if _, err := hex.Decode(at.Chain[:], []byte(digits)); err != nil {
		t.Fatal(err)
	}
	return at
}

// ack acknowledges a change of the log.
func (m *meeting) ack(t *testing.T, incarnation string, seq int64) error {
	t.Helper()
	return m.Ack(t.Context(), incarnation, m.position(t, seq))
}

// A node may have read a change from a server that is not the one to commit to any
// more. It has not heard of what has the same number here.
func TestAChangeOfAnotherLogIsNotAcknowledged(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	m.change(t)
	seq := m.change(t)
	at := m.position(t, seq)
	other, later := at, at
	other.Chain[0]++
	later.Seq++
	if err := m.Ack(t.Context(), "one", other); !errors.Is(err, iam.Diverged) {
		t.Errorf("another chain: got %v, want diverged", err)
	}
	if err := m.Ack(t.Context(), "one", later); err == nil || errors.Is(err, iam.Diverged) {
		t.Errorf("a change that is not here: got %v, want an error that says no more", err)
	}
	if err := m.Ack(t.Context(), "gone", at); !errors.Is(err, iam.NotFound) {
		t.Errorf("a row that is gone: got %v, want not found", err)
	}
	if roll, err := m.All(t.Context()); err != nil || roll.Nodes[0].Acked != 0 {
		t.Errorf("got %+v, %v; want nothing acknowledged", roll, err)
	}
	if err := m.Ack(t.Context(), "one", at); err != nil {
		t.Errorf("the change itself: %v", err)
	}
}

// Connections that nobody uses outlive a failover, and may lead to a server that has
// been deposed: lists would show what is not so any more.
func TestAnotherServerIsAskedOverNewConnections(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	renewal, err := m.Renew(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	m.change(t)
	m.AnsweredBy(renewal.Authority)
	if got := m.store.Connected(); got == 0 {
		t.Errorf("after an answer of the same server: %d connections, want those there were", got)
	}
	other := renewal.Authority
	other.Timeline = "00000002"
	m.AnsweredBy(other)
	for m.store.Connected() > 0 { // they are closed in the background
		runtime.Gosched()
	}
	m.change(t)
}

// Whatever keeps the pool busy, such as slow lists, a node goes on following.
func TestABusyPoolDoesNotKeepANodeFromFollowing(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	m.change(t)
	const poolSize = 10
	begun, stop, ended := make(chan struct{}), make(chan struct{}), make(chan error, poolSize)
	for range poolSize {
		go func() {
			ended <- m.store.Note(t.Context(), func(iam.NoteTx) error {
				begun <- struct{}{}
				<-stop
				return errors.New("nothing to note")
			})
		}()
	}
	for range poolSize {
		<-begun
	}
	if _, at, err := m.Changes(t.Context(), iam.Position{}, 10); err != nil || at.Seq != 1 {
		t.Errorf("the changes: at %d, %v", at.Seq, err)
	}
	close(stop)
	for range poolSize {
		<-ended // each fails, as told to
	}
}

func TestARowSaysWhatItsNodeWrote(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	roll, err := m.All(t.Context())
	if err != nil || len(roll.Nodes) != 1 {
		t.Fatalf("got %+v, %v; want one node", roll, err)
	}
	got := roll.Nodes[0]
	if since := roll.Now.Sub(got.StartedAt); since < 0 || since > time.Minute {
		t.Errorf("it started %v before the database's time", since)
	}
	got.StartedAt = time.Time{}
	want := iam.NodeRow{Incarnation: "one", Name: "a", Kind: "server", Version: "1", TTL: 5 * time.Second, Bounded: time.Minute}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAnIncarnationIsNotUsedTwice(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	if err := m.Join(t.Context(), iam.NodeRow{Incarnation: "one", Name: "b", Kind: "server", TTL: time.Second}); err == nil {
		t.Error("two nodes have the same row")
	}
}

func TestARenewalTellsTheHeadAndWhoAnswered(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	seq := m.change(t)
	changes, at, err := m.Changes(t.Context(), iam.Position{}, 10)
	if err != nil || len(changes) != 1 {
		t.Fatal(changes, err)
	}
	r, err := m.Renew(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if r.Head != at || r.Head.Seq != seq {
		t.Errorf("head: got %+v, want %+v", r.Head, at)
	}
	if r.Time.Before(r.Head.Time) || r.Time.Before(r.Now.Add(-time.Second)) {
		t.Errorf("time: got %v, with the head's at %v and the clock's at %v", r.Time, r.Head.Time, r.Now)
	}
	if r.System == "" || r.Timeline != "00000001" || r.Started == "" {
		t.Errorf("who answered: %+v", r.Authority)
	}
	want := iam.DurabilitySettings{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "on"}
	if r.Settings != want {
		t.Errorf("settings: got %+v, want %+v", r.Settings, want)
	}
	if _, err := m.Renew(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	roll, err := m.All(t.Context())
	if err != nil || roll.Nodes[0].Counter != 2 || !roll.Same(r.Authority) {
		t.Errorf("got %+v, %v; want the counter at 2", roll, err)
	}
}

func TestTheTimeOfARenewalIsNeverBeforeThatOfAChange(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	disturb(t, raw(t, m.url), `UPDATE head SET time = time + 100000000000000000`)
	seq := m.change(t)
	r, err := m.Renew(t.Context(), "one")
	if err != nil || r.Head.Seq != seq || !r.Time.Equal(r.Head.Time) || !r.Time.After(r.Now) {
		t.Errorf("got %+v, %v; want the time of the log", r, err)
	}
}

func TestARowThatIsGoneIsNotRenewed(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	if removed, err := m.Leave(t.Context(), "one"); err != nil || !removed {
		t.Fatalf("leave: got %t, %v", removed, err)
	}
	if removed, err := m.Leave(t.Context(), "one"); err != nil || removed {
		t.Errorf("leave again: got %t, %v; want that it had left", removed, err)
	}
	if _, err := m.Renew(t.Context(), "one"); !errors.Is(err, iam.NotFound) {
		t.Errorf("renew: got %v, want not_found", err)
	}
	if _, err := m.Lagging(t.Context(), "one", 1); !errors.Is(err, iam.NotFound) {
		t.Errorf("lagging: got %v, want not_found", err)
	}
}

// A server that cannot commit must not answer a renewal: a renewal is a write.
func TestAServerThatOnlyReadsRenewsNothing(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	db := raw(t, m.url)
	disturb(t, db, `ALTER DATABASE `+databaseOf(t, m.url)+` SET default_transaction_read_only = on`)
	fresh := openNodes(t, m.store)
	if _, err := fresh.Renew(t.Context(), "one"); !errors.Is(err, iam.Unavailable) {
		t.Errorf("renew: got %v, want unavailable", err)
	}
	if _, err := fresh.Lagging(t.Context(), "one", 1); !errors.Is(err, iam.Unavailable) {
		t.Errorf("lagging: got %v, want unavailable", err)
	}
	if roll, err := fresh.All(t.Context()); err != nil || len(roll.Nodes) != 1 {
		t.Errorf("list: got %v, %v; reading needs no proof", roll, err)
	}
}

func databaseOf(t *testing.T, url string) string {
	t.Helper()
	_, name, _ := strings.Cut(strings.TrimPrefix(url, "postgres://"), "/")
	name, _, _ = strings.Cut(name, "?")
	return name
}

func TestWhoLagsIsAskedOfTheServerThatCommits(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	m.join(t, "two")
	seq := m.change(t)
	for range 2 { // the first has to prove it, the second has done so
		roll, err := m.Lagging(t.Context(), "one", seq)
		if err != nil || len(roll.Nodes) != 2 || roll.Nodes[0].Acked != 0 || roll.Nodes[1].Acked != 0 {
			t.Fatalf("got %+v, %v; want two nodes that lag", roll, err)
		}
	}
	if err := m.ack(t, "two", seq); err != nil {
		t.Fatal(err)
	}
	roll, err := m.Lagging(t.Context(), "one", seq)
	if err != nil || roll.Nodes[0].Acked != 0 || roll.Nodes[1].Acked != seq {
		t.Errorf("got %+v, %v; want one that lags", roll, err)
	}
}

func TestAnAcknowledgementIsNeverTakenBack(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	for range 7 {
		m.change(t)
	}
	for _, seq := range []int64{7, 5} {
		if err := m.ack(t, "one", seq); err != nil {
			t.Fatal(err)
		}
	}
	if roll, err := m.All(t.Context()); err != nil || roll.Nodes[0].Acked != 7 {
		t.Errorf("got %+v, %v; want 7", roll, err)
	}
}

func TestOnlyASilentRowIsReaped(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	if _, err := m.Renew(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		incarnation string
		counter     int64
		left        int
	}{{"one", 0, 1}, {"two", 1, 1}, {"one", 1, 0}, {"one", 1, 0}} {
		before, err := m.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		removed, err := m.Reap(t.Context(), tt.incarnation, tt.counter)
		if want := len(before.Nodes) > tt.left; err != nil || removed != want {
			t.Errorf("%s at %d: got %t, %v; want %t", tt.incarnation, tt.counter, removed, err, want)
		}
		if roll, err := m.All(t.Context()); err != nil || len(roll.Nodes) != tt.left {
			t.Errorf("%s at %d: %d rows are left, %v; want %d", tt.incarnation, tt.counter, len(roll.Nodes), err, tt.left)
		}
	}
}

func TestTheLogIsTrimmedBelowWhatEveryNodeHas(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	m.join(t, "two")
	for range 10 {
		m.change(t)
	}
	_, at, err := m.Changes(t.Context(), iam.Position{}, 100)
	if err != nil || at.Seq != 10 {
		t.Fatal(at, err)
	}
	_, fourth, err := m.Changes(t.Context(), iam.Position{}, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		one, two, keep int64
		first          int64 // what is left begins with it
	}{{0, 0, 0, 1}, {9, 0, 0, 1}, {9, 7, 4, 3}, {9, 7, 0, 7}, {9, 7, 100, 7}} {
		for incarnation, seq := range map[string]int64{"one": step.one, "two": step.two} {
			if seq == 0 {
				continue
			}
			if err := m.ack(t, incarnation, seq); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Trim(t.Context(), step.keep); err != nil {
			t.Fatal(err)
		}
		var first int64
		if err := raw(t, m.url).QueryRow(`SELECT MIN(seq) FROM changes`).Scan(&first); err != nil || first != step.first {
			t.Errorf("%+v: it begins with %d, %v", step, first, err)
		}
	}
	for name, behind := range map[string]iam.Position{"in the middle": fourth, "at the beginning": {}} {
		if _, _, err := m.Changes(t.Context(), behind, 100); err == nil || errors.Is(err, iam.Diverged) {
			t.Errorf("from %s: got %v, want that the log does not reach back", name, err)
		}
	}
	fourth.Seq = 8
	if _, _, err := m.Changes(t.Context(), fourth, 100); !errors.Is(err, iam.Diverged) {
		t.Errorf("from another chain: got %v, want diverged", err)
	}
	if changes, _, err := m.Changes(t.Context(), at, 100); err != nil || len(changes) != 0 {
		t.Errorf("from the end: got %v, %v", changes, err)
	}
}

func TestAListenerHearsOfAChangeAndOfWhatItMissed(t *testing.T) {
	m := meet(t)
	heard := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	listening.Go(func() {
		if err := m.Listen(ctx, func() { heard <- struct{}{} }); !errors.Is(err, context.Canceled) {
			t.Errorf("listen: got %v, want it to end with its context", err)
		}
	})
	hearsSoon(t, heard) // as soon as it listens
	m.change(t)
	hearsSoon(t, heard)
	cancel()
	listening.Wait()
}

// Something between a listener and its server drops what the server says, and
// tells neither.
func TestAListenerNoticesThatItHearsNothing(t *testing.T) {
	t.Parallel()
	at := storetest.Postgres(t)
	proxy, through := behindProxy(t, at)
	s := open(t, through, store.Options{})
	n := openNodes(t, s)
	heard, ended := make(chan struct{}, 100), make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { ended <- n.Listen(ctx, func() { heard <- struct{}{} }) }()
	hearsSoon(t, heard)
	untilYes(t, raw(t, at), `SELECT COUNT(*) > 0 FROM pg_stat_activity WHERE query = '-- ping' AND datname = current_database()`)
	if _, err := s.Change(t.Context(), iam.First{}, empty); err != nil {
		t.Fatal(err)
	}
	hearsSoon(t, heard) // after it was quiet
	proxy.Turn(chaos.Weather{HoldDown: true})
	if err := <-ended; !errors.Is(err, iam.Unavailable) {
		t.Errorf("listen: got %v, want unavailable", err)
	}
	proxy.Turn(chaos.Weather{})
}

func hearsSoon(t *testing.T, heard <-chan struct{}) {
	t.Helper()
	select {
	case <-heard:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was heard for 30 seconds")
	}
}

func TestConnectionsThatAreLostAreOpenedAgain(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	seq := m.change(t)
	if _, err := m.Lagging(t.Context(), "one", seq); err != nil {
		t.Fatal(err)
	}
	disturb(t, raw(t, m.url), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE application_name = 'postern' AND datname = current_database()`)
	for name, do := range map[string]func() error{
		"renew":   func() error { _, err := m.Renew(t.Context(), "one"); return err },
		"lagging": func() error { _, err := m.Lagging(t.Context(), "one", seq); return err },
	} {
		first := do()
		if first != nil && !errors.Is(first, iam.Unavailable) {
			t.Errorf("%s: got %v, want unavailable", name, first)
		}
		if err := do(); err != nil {
			t.Errorf("%s again: %v", name, err)
		}
	}
}

func TestAContextEndsTheWaitForTheDatabase(t *testing.T) {
	m := meet(t)
	m.join(t, "one")
	db := raw(t, m.url)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `SELECT * FROM nodes FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := m.Renew(ctx, "one"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's end", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Renew(t.Context(), "one"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSQLiteHasOneNode(t *testing.T) {
	if _, err := open(t, storetest.SQLite(t), store.Options{}).Nodes(); err == nil {
		t.Error("it has a table of nodes")
	}
}

// PostgreSQL commits locally and warns when somebody cancels its wait for the
// standbys. What was written so may be undone by a failover.
func TestWhatWasNotReplicatedIsNotDone(t *testing.T) {
	server := storetest.OwnServer(t)
	m := &meeting{url: server, store: open(t, server, store.Options{})}
	m.Nodes = openNodes(t, m.store)
	m.join(t, "one")
	seq := m.change(t)
	at := m.position(t, seq)
	db := raw(t, m.url)
	disturb(t, db, `ALTER SYSTEM SET synchronous_standby_names = 'nobody'`, `SELECT pg_reload_conf()`)
	untilCommitsWait(t, m.url, db)
	for _, tt := range []struct {
		name string
		do   func() error
	}{
		{"join", func() error { return m.Join(t.Context(), iam.NodeRow{Incarnation: "two", TTL: time.Second}) }},
		{"renew", func() error { _, err := m.Renew(t.Context(), "one"); return err }},
		{"acknowledge", func() error { return m.Ack(t.Context(), "one", at) }},
		{"acknowledge again", func() error { return m.Ack(t.Context(), "one", at) }}, // though its row shows it
		{"lagging", func() error { _, err := m.Lagging(t.Context(), "one", seq+1); return err }},
		{"reap", func() error { _, err := m.Reap(t.Context(), "one", 1); return err }}, // which was committed here, after all
	} {
		done := make(chan error, 1)
		go func() { done <- tt.do() }()
		untilYes(t, db, `SELECT COUNT(pg_cancel_backend(pid)) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
		if err := <-done; !errors.Is(err, iam.Unknown) {
			t.Errorf("%s: got %v, want that the outcome is unknown", tt.name, err)
		}
	}
}

// untilCommitsWait commits until the server holds a commit back for its standbys. The
// setting reaches the sessions before the checkpointer has told them all to wait, so
// reading it back says too little.
func untilCommitsWait(t *testing.T, url string, db *sql.DB) {
	t.Helper()
	probe := raw(t, url)
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		for err := error(nil); err == nil; {
			_, err = probe.ExecContext(t.Context(), `SELECT pg_current_xact_id()`)
		}
	}()
	untilYes(t, db, `SELECT COUNT(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	<-waited
}
