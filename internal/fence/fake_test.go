package fence

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// memory is a database in memory, of which each node has its own [door]. It keeps
// what was written even when the answer is lost.
type memory struct {
	mu        sync.Mutex // guards what follows
	log       []logged
	keys      map[token.Hash]iam.KeyRecord
	rows      map[string]iam.NodeRow
	authority iam.Authority
	ahead     time.Duration // of its clock, on time.Now
	trimmed   int64         // the log begins after this change
	calls     map[string]int
}

func newMemory() *memory {
	return &memory{
		keys: map[token.Hash]iam.KeyRecord{}, rows: map[string]iam.NodeRow{}, calls: map[string]int{},
		authority: iam.Authority{System: "sys", Timeline: "1", Started: "now", Settings: iam.DurabilitySettings{
			Fsync: "on", FullPageWrites: "on", SynchronousCommit: "on",
		}},
	}
}

// now and what follows it are called with mu held.
func (m *memory) now() time.Time { return time.Now().Add(m.ahead) }

func (m *memory) who() iam.Authority {
	a := m.authority
	a.Now = m.now()
	return a
}

func (m *memory) head() iam.Position {
	if len(m.log) == 0 {
		return iam.Position{}
	}
	return m.log[len(m.log)-1].at
}

// set changes something about the database.
func (m *memory) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// commit appends a change of a key and returns its number.
func (m *memory) commit(tb testing.TB, key iam.KeyRecord) int64 {
	tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	c := iam.Change{Keys: []iam.KeyRecord{key}}
	if len(m.log) == 0 {
		c.Workspaces, c.Roles, c.Principals = simWorkspaces, simRoles, simPrincipals
	}
	payload, err := c.Payload()
	if err != nil {
		tb.Fatal(err)
	}
	m.keys[key.Hash] = key
	return m.append(payload)
}

func (m *memory) append(payload string) int64 {
	last := m.head()
	at := iam.Position{Seq: last.Seq + 1, Chain: last.Chain.Next(last.Seq+1, payload), Time: m.now()}
	m.log = append(m.log, logged{at: at, payload: payload})
	return at.Seq
}

// door is the way of one node to the database. It can be held and can fail.
type door struct {
	*memory
	mu      sync.Mutex // guards what follows
	failing map[string]error
	before  map[string]chan struct{} // calls wait before they are carried out
	after   map[string]chan struct{} // their answers wait
}

// every stands for all calls.
const every = ""

var errCut = iam.Errorf(iam.Unavailable, "no database")

func newDoor(m *memory) *door {
	return &door{memory: m, failing: map[string]error{}, before: map[string]chan struct{}{}, after: map[string]chan struct{}{}}
}

// fail has a call fail; err nil lets it succeed again.
func (d *door) fail(call string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing[call] = err
}

// hold holds a call back before it is carried out, until release is called.
func (d *door) hold(call string) (release func()) { return d.holdIn(d.before, call) }

// holdAnswer holds the answer to a call back.
func (d *door) holdAnswer(call string) (release func()) { return d.holdIn(d.after, call) }

func (d *door) holdIn(where map[string]chan struct{}, call string) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := make(chan struct{})
	where[call] = held
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(where, call)
		close(held)
	})
}

// pass carries a call out.
func (d *door) pass(ctx context.Context, call string, do func() error) error {
	if err := d.wait(ctx, d.before, call); err != nil {
		return err
	}
	done := d.carryOut(call, do)
	if err := d.wait(ctx, d.after, call); err != nil {
		return err
	}
	return done
}

func (d *door) carryOut(call string, do func() error) error {
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	d.calls[call]++
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.failing[call], d.failing[every]); err != nil {
		return err
	}
	return do()
}

func (d *door) wait(ctx context.Context, where map[string]chan struct{}, call string) error {
	for _, name := range []string{call, every} {
		d.mu.Lock()
		held := where[name]
		d.mu.Unlock()
		if held == nil {
			continue
		}
		select {
		case <-held:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", iam.Unavailable, ctx.Err())
		}
	}
	return nil
}

func (d *door) Changes(ctx context.Context, after iam.Position, limit int) (changes []iam.Change, at iam.Position, err error) {
	at = after
	err = d.pass(ctx, "changes", func() error {
		if after.Seq < d.trimmed {
			return errors.New("the log does not reach back so far")
		}
		if after.Seq > int64(len(d.log)) || after.Seq > 0 && d.log[after.Seq-1].at.Chain != after.Chain {
			return fmt.Errorf("%w: change %d", iam.Diverged, after.Seq)
		}
		for _, l := range d.log[after.Seq:min(after.Seq+int64(limit), int64(len(d.log)))] {
			c, err := iam.ParseChange(l.payload)
			if err != nil {
				return err
			}
			c.Seq, c.Time = l.at.Seq, l.at.Time
			changes, at = append(changes, c), l.at
		}
		return nil
	})
	return changes, at, err
}

func (d *door) Snapshot(ctx context.Context, sink iam.Sink) (at iam.Position, err error) {
	err = d.pass(ctx, "snapshot", func() error {
		at = d.head()
		for _, l := range d.log {
			if _, err := iam.ParseChange(l.payload); err != nil {
				return err
			}
		}
		if at.Seq == 0 {
			return nil
		}
		keys := slices.SortedFunc(maps.Values(d.keys), func(a, b iam.KeyRecord) int { return cmp.Compare(a.ID, b.ID) })
		return pour(sink, keys)
	})
	return at, err
}

func (d *door) Join(ctx context.Context, row iam.NodeRow) error {
	return d.pass(ctx, "join", func() error {
		if _, taken := d.rows[row.Incarnation]; taken {
			if mutated() == "an incarnation used again" {
				return nil
			}
			return errors.New("the incarnation is taken")
		}
		d.rows[row.Incarnation] = row
		return nil
	})
}

func (d *door) Renew(ctx context.Context, incarnation string) (r iam.Renewal, err error) {
	err = d.pass(ctx, "renew", func() error {
		row, there := d.rows[incarnation]
		if !there {
			return iam.Errorf(iam.NotFound, "no row")
		}
		row.Counter++
		d.rows[incarnation] = row
		r = iam.Renewal{Authority: d.who(), Head: d.head(), Time: d.now()}
		return nil
	})
	return r, err
}

func (d *door) Ack(ctx context.Context, incarnation string, at iam.Position) error {
	return d.pass(ctx, "ack", func() error {
		seq := at.Seq
		row, there := d.rows[incarnation]
		switch {
		case !there:
			return iam.Errorf(iam.NotFound, "no row")
		case seq > int64(len(d.log)):
			return fmt.Errorf("no change %d here", seq)
		case seq > 0 && d.log[seq-1].at.Chain != at.Chain:
			return fmt.Errorf("%w: acknowledge %d", iam.Diverged, seq)
		default:
			row.Acked = max(row.Acked, seq)
			d.rows[incarnation] = row
		}
		return nil
	})
}

func (d *door) Lagging(ctx context.Context, incarnation string, _ int64) (roll iam.Roll, err error) {
	err = d.pass(ctx, "lagging", func() error {
		if _, there := d.rows[incarnation]; !there {
			return iam.Errorf(iam.NotFound, "no row")
		}
		roll = d.roll()
		return nil
	})
	return roll, err
}

func (d *door) All(ctx context.Context) (roll iam.Roll, err error) {
	err = d.pass(ctx, "all", func() error { roll = d.roll(); return nil })
	return roll, err
}

func (m *memory) roll() iam.Roll {
	return iam.Roll{Authority: m.who(), Nodes: slices.SortedFunc(maps.Values(m.rows), func(a, b iam.NodeRow) int {
		return cmp.Compare(a.Incarnation, b.Incarnation)
	})}
}

func (d *door) Reap(ctx context.Context, incarnation string, counter int64) (removed bool, err error) {
	err = d.pass(ctx, "reap", func() error {
		row, there := d.rows[incarnation]
		if removed = there && (row.Counter == counter || mutated() == "reap whatever the counter"); removed {
			delete(d.rows, incarnation)
		}
		return nil
	})
	return removed, err
}

func (d *door) Leave(ctx context.Context, incarnation string) (removed bool, err error) {
	err = d.pass(ctx, "leave", func() error {
		_, removed = d.rows[incarnation]
		delete(d.rows, incarnation)
		return nil
	})
	return removed, err
}

func (d *door) Trim(ctx context.Context, keep int64) error {
	return d.pass(ctx, "trim", func() error {
		least := int64(len(d.log))
		for _, row := range d.rows {
			least = min(least, row.Acked)
		}
		d.trimmed = max(d.trimmed, least-keep)
		return nil
	})
}

func (d *door) Listen(ctx context.Context, heard func()) error {
	<-ctx.Done() // nobody tells of anything: nodes look by themselves
	return ctx.Err()
}

// shifted is the clock of this machine with a wall clock that tests set.
type shifted struct {
	Clock
	mu   sync.Mutex // guards wall
	wall time.Duration
}

func (s *shifted) Now() replica.Instant {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock.Now()
	now.Wall += s.wall
	return now
}

func (s *shifted) shift(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wall += d
}

// peer is a node of a test.
type peer struct {
	*Node
	door    *door
	clock   *shifted
	publish atomic.Pointer[chan struct{}] // publishers wait for it; nil: for nobody
	end     func()                        // ends Run and waits for it
}

// holdPublishers holds whoever publishes a state back, when it is made and not yet
// in its place, until release is called.
func (p *peer) holdPublishers() (release func()) {
	held := make(chan struct{})
	p.publish.Store(&held)
	return sync.OnceFunc(func() { p.publish.Store(nil); close(held) })
}

func (p *peer) publishing() {
	if held := p.publish.Load(); held != nil {
		<-*held
	}
}

// deployment is a database in memory and the nodes that a test starts on it.
type deployment struct {
	*memory
	key iam.KeyRecord
}

// deploy runs a test in a bubble of its own time.
func deploy(t *testing.T, test func(t *testing.T, d *deployment)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &deployment{memory: newMemory()}
		d.key = iam.KeyRecord{
			ID: iam.KeyID(iam.FormatID(iam.KeyPrefix, [16]byte{15: 1})), Principal: "sa_sim", Name: "one", Hash: token.NewSecret("one").Hash(),
		}
		d.commit(t, d.key)
		test(t, d)
	})
}

// node starts a node that ends with the test. Fields of o that are not set are.
func (d *deployment) node(t *testing.T, o Options) *peer {
	t.Helper()
	p := d.prepare(t, o)
	p.start(t)
	return p
}

// prepare makes a node that does not run yet.
func (d *deployment) prepare(t testing.TB, o Options) *peer {
	t.Helper()
	p := &peer{door: newDoor(d.memory), clock: &shifted{Clock: SystemClock()}}
	o.Name = cmp.Or(o.Name, "a")
	o.TTL = cmp.Or(o.TTL, 5*time.Second)
	o.Replica = replica.New(replica.Options{Now: time.Now, Clock: p.clock.Now, Publishing: p.publishing, Tail: 16})
	o.Database, o.Clock, o.Random = p.door, p.clock, rand.Reader
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.Node = n
	return p
}

func (p *peer) start(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	p.end = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(p.end)
	synctest.Wait()
}

// settle lets so much time pass that changes wait for nobody who was before.
func settle() { time.Sleep(MaxTTL + time.Second) }

// ask verifies a key on a node, as a door does.
func (p *peer) ask(key iam.KeyRecord) replica.Code {
	code := replica.Stale
	if err := p.Answer(context.Background(), func(v replica.View) {
		code = v.Verify(key.Hash, replica.Query{Scope: replica.AnyWorkspace()}).Code
	}); err != nil {
		return replica.Stale
	}
	return code
}

func (p *peer) expect(t *testing.T, key iam.KeyRecord, when string, want replica.Code) {
	t.Helper()
	if got := p.ask(key); got != want {
		t.Errorf("%s, %s: got %s, want %s", p.name, when, got, want)
	}
}

// revoke commits the end of the key.
func (d *deployment) revoke(t *testing.T) int64 {
	t.Helper()
	d.key.Revoked = true
	return d.commit(t, d.key)
}

// outcome is how a wait ended.
type outcome struct {
	iam.Receipt
	err  error
	took time.Duration
}

// await waits for a change in the background.
func (p *peer) await(t *testing.T, patience time.Duration, seq int64) <-chan outcome {
	done := make(chan outcome, 1)
	begun := time.Now()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		receipt, err := iam.Await(ctx, p, seq)
		done <- outcome{receipt, err, time.Since(begun)}
	}()
	return done
}

// pending fails the test when a wait has ended.
func pending(t *testing.T, when string, done <-chan outcome) {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-done:
		t.Fatalf("%s: it returned %+v, %v", when, o.Receipt, o.err)
	default:
	}
}

// count returns how many calls of a kind have reached the database.
func (m *memory) count(call string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[call]
}

func (m *memory) names() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, row := range m.rows {
		names = append(names, row.Name)
	}
	slices.Sort(names)
	return names
}

// empty commits a change that says nothing, as that of a call that finds its change
// made.
func (d *deployment) empty(t *testing.T) int64 {
	t.Helper()
	payload, err := iam.Change{}.Payload()
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.append(payload)
}
