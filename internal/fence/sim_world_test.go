package fence

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// The two workspaces of the simulated deployment, with a role and an account each.
var (
	simWorkspaces = []iam.WorkspaceRecord{{ID: "ws_sim", Slug: "sim"}, {ID: "ws_other", Slug: "other"}}
	simRoles      = []iam.RoleRecord{
		{ID: "role_sim", Workspace: "ws_sim", Name: "operator"}, {ID: "role_other", Workspace: "ws_other", Name: "operator"},
	}
	simPrincipals = []iam.PrincipalRecord{
		{ID: "sa_sim", Type: iam.ServiceAccountType, Workspace: "ws_sim", Name: "bot", State: iam.Active, Role: "role_sim"},
		{ID: "sa_other", Type: iam.ServiceAccountType, Workspace: "ws_other", Name: "bot", State: iam.Active, Role: "role_other"},
	}
)

// world is a deployment: machines with a node each, whose clients change and
// verify keys, a database, and what has been promised about each key.
type world struct {
	*kernel
	db        *database
	machines  []*machine
	followers []*follower
	keys      []*simKey
	faults    bool
	sort      int // of misfortunes
	tally     tally
	broken    []string                         // promises that were, in words
	tell      func(format string, args ...any) // what happens, when somebody wants to know
}

// tally counts what a run has done.
type tally struct {
	Simulated     time.Duration
	Verifications int // that were answered
	Valid         int
	Close         int // of a key whose change had returned less than a TTL before, on another node
	Stale         int
	Changes       int // that returned
	Revocations   int // of which took something away for good
	By            map[string]int
	Took          []time.Duration
}

func (t *tally) add(o tally) {
	t.Simulated += o.Simulated
	t.Verifications += o.Verifications
	t.Valid += o.Valid
	t.Close += o.Close
	t.Stale += o.Stale
	t.Changes += o.Changes
	t.Revocations += o.Revocations
	t.Took = append(t.Took, o.Took...)
	if t.By == nil {
		t.By = map[string]int{}
	}
	for by, n := range o.By {
		t.By[by] += n
	}
}

// simKey is a key and what may be expected of it.
type simKey struct {
	record    iam.KeyRecord
	workspace iam.WorkspaceID
	promise   promise
	since     time.Duration // when the promise was made
	by        *machine      // who made it
	bounded   []string      // nodes for which it was not made
}

// promise is what the last change that returned says about a key.
type promise int

const (
	either promise = iota // a change is under way, or its outcome is unknown
	works
	doesNotWork
)

// machine runs one process after the other, each of which is a node.
type machine struct {
	*world
	name     string
	ttl      time.Duration
	bounded  time.Duration
	proc     *proc // nil: none runs
	db       *client
	node     *Node
	scope    iam.WorkspaceID // what it knows of; empty: all
	flights  int             // requests that have begun and are not answered
	wentBack time.Duration   // when the wall clock was last set back
	slept    time.Duration   // until when the machine was last suspended
}

const hot = 8 // keys, the last that were changed, of which most verifications are

// newWorld returns a deployment of four machines with TTLs of 1, 2, 2 and 4 s.
func newWorld(seed uint64, faults bool) *world {
	k := newKernel(seed)
	w := &world{kernel: k, db: newDatabase(k), faults: faults, sort: int(seed / 2 % sorts), tally: tally{By: map[string]int{}}, tell: func(string, ...any) {}}
	for i, ttl := range []time.Duration{1, 2, 2, 4} {
		m := &machine{world: w, name: fmt.Sprint("node-", i), ttl: ttl * time.Second, wentBack: -time.Hour, slept: -time.Hour}
		if i == 2 && seed%2 == 0 {
			m.bounded = 2 * time.Second
		}
		w.machines = append(w.machines, m)
		m.start()
	}
	for i := range 2 {
		w.followers = append(w.followers, w.newFollower(i))
	}
	if faults {
		k.after(2*time.Second, w.fault)
		k.after(2*time.Second, w.trouble)
	}
	return w
}

// start starts a process.
func (m *machine) start() {
	if m.proc != nil {
		return
	}
	p := m.newProc(m.name)
	m.proc, m.flights = p, 0
	m.db = newClient(p, m.world.db)
	if m.faults {
		m.db.stumbles = 0.004
	}
	r := replica.New(replica.Options{
		Now: func() time.Time { return time.Unix(0, int64(p.Now().Wall)) }, Clock: p.Now,
		Publishing: func() { m.hesitate(); m.told() }, Tail: 64,
	})
	node, err := New(Options{
		Name: m.name, TTL: m.ttl, Bounded: m.bounded, Replica: r, Database: m.db, Clock: p, Random: chaos{m.kernel},
	})
	if err != nil {
		panic(err)
	}
	node.children.giving = m.hesitate
	m.node = node
	m.tell("%s starts", m.name)
	ctx := p.life()
	for _, part := range node.parts() {
		p.spawn(func() { part(ctx) })
	}
	for range 2 {
		p.spawn(func() { m.verify(ctx, node.Answer) })
	}
	for range 2 {
		p.spawn(func() { m.administer(ctx) })
	}
}

// hesitate lets others run between two steps of the code that calls it.
func (m *machine) hesitate() {
	switch {
	case m.current == nil:
	case m.chance(0.02):
		m.proc.Sleep(context.Background(), m.between(0, 300*time.Millisecond), nil)
	case m.chance(0.2):
		m.proc.Sleep(context.Background(), m.about(time.Millisecond), nil)
	}
}

// chaos is randomness that the seed decides.
type chaos struct{ *kernel }

func (c chaos) Read(b []byte) (int, error) {
	for i := 0; i < len(b); i += 8 {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], c.Uint64())
		copy(b[i:], n[:])
	}
	return len(b), nil
}

// verify asks this node about keys, one after the other.
func (m *machine) verify(ctx context.Context, answer func(context.Context, func(replica.View)) error) {
	for {
		m.proc.Sleep(ctx, m.about(20*time.Millisecond), nil)
		if len(m.keys) == 0 {
			continue
		}
		key := m.keys[len(m.keys)-1-m.IntN(min(len(m.keys), hot))]
		begun, code := m.now, replica.Stale
		m.flights++
		err := answer(ctx, func(v replica.View) {
			code = v.Verify(key.record.Hash, replica.Query{Scope: replica.AnyWorkspace()}).Code
			if m.chance(0.2) { // it takes a while to write the answer down
				m.proc.Sleep(ctx, m.between(0, 30*time.Millisecond), nil)
			}
		})
		if err != nil {
			code = replica.Stale
		}
		m.flights--
		m.check(key, begun, code)
	}
}

// check holds an answer that is being given against what was promised.
func (m *machine) check(key *simKey, begun time.Duration, code replica.Code) {
	t := &m.tally
	if code == replica.Stale {
		t.Stale++
		return
	}
	t.Verifications++
	if m.scope != "" && m.scope != key.workspace {
		if code != replica.NotFound {
			m.violation("%s on %s: %s, of another workspace", key.record.ID, m.name, code)
		}
		return
	}
	if key.promise == doesNotWork && key.by != m && m.now-key.since < m.ttl {
		t.Close++
	}
	switch {
	case slices.Contains(key.bounded, m.name): // the receipt said that this node may not know
	case code == replica.Valid && key.promise == doesNotWork:
		if begun > key.since {
			m.violation("P1: %s on %s: accepted %v after what stopped it had returned", key.record.ID, m.name, begun-key.since)
		} else {
			m.violation("P2: %s on %s: an acceptance left %v after what stopped it had returned", key.record.ID, m.name, m.now-key.since)
		}
	case code != replica.Valid && key.promise == works && begun > key.since:
		m.violation("P3: %s on %s: %s %v after what gave it power had returned", key.record.ID, m.name, code, begun-key.since)
	case code == replica.Valid:
		t.Valid++
	}
}

func (w *world) violation(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf("at %v: ", w.now)+fmt.Sprintf(format, args...))
}

// administer makes keys and takes them through their lives.
func (m *machine) administer(ctx context.Context) {
	for {
		m.proc.Sleep(ctx, m.about(2*time.Second), nil)
		key := m.newKey()
		m.change(ctx, key, works)
		for range m.IntN(3) {
			key.record.Paused = true
			m.change(ctx, key, doesNotWork)
			m.proc.Sleep(ctx, m.about(300*time.Millisecond), nil)
			key.record.Paused = false
			m.change(ctx, key, works)
		}
		m.proc.Sleep(ctx, m.about(300*time.Millisecond), nil)
		key.record.Revoked = true
		m.change(ctx, key, doesNotWork)
		if key.promise == doesNotWork {
			m.tally.Revocations++
		}
	}
}

func (m *machine) newKey() *simKey {
	var id [16]byte
	n := len(m.keys)
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	text := fmt.Sprint("key ", n)
	owner := simPrincipals[m.IntN(len(simPrincipals))]
	key := &simKey{workspace: owner.Workspace, record: iam.KeyRecord{
		ID: iam.KeyID(iam.FormatID(iam.KeyPrefix, id)), Principal: owner.ID, Name: text, Hash: token.NewSecret(text).Hash(),
	}}
	m.keys = append(m.keys, key)
	return key
}

// change changes a key as the service does: it commits, waits, and returns, and
// only then is there a promise. When the outcome is unknown it tries once more.
func (m *machine) change(ctx context.Context, key *simKey, then promise) {
	key.promise, key.bounded = either, nil
	begun := m.now
	for range 2 {
		patient, cancel := m.proc.Limit(ctx, 30*time.Second)
		seq, err := m.db.change(patient, key.record)
		if err != nil {
			cancel()
			continue
		}
		for _, other := range m.machines {
			other.db.notify()
		}
		m.tell("%s has committed change %d of %s, to %v", m.name, seq, key.record.ID, then)
		receipt, err := iam.Await(patient, m.node, seq)
		m.tell("%s returns change %d: %+v, %v", m.name, seq, receipt.Nodes, err)
		cancel()
		if err == nil && receipt.Confirmed {
			key.promise, key.since, key.by, key.bounded = then, m.now, m, receipt.Nodes.Bounded
			m.tally.Changes++
			m.tally.By[receipt.By]++
			m.tally.Took = append(m.tally.Took, m.now-begun)
		}
		return
	}
}
