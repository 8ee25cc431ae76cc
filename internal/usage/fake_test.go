package usage

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// epoch is what time it is in the database when the clock of a test reads 0.
var epoch = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// clock is one that a test sets. It is safe for concurrent use.
type clock struct {
	mu      sync.Mutex // guards what follows
	at      time.Duration
	passing func() time.Duration // passes by itself beside; nil: nothing does
	before  func()               // is called by whoever is about to read it; nil: nothing is
	hold    func()               // is called by whoever has read it; nil: nothing is
}

func (c *clock) now() time.Duration {
	c.mu.Lock()
	if before := c.before; before != nil {
		c.before = nil
		c.mu.Unlock()
		before()
		c.mu.Lock()
	}
	at, hold := c.at, c.hold
	if c.passing != nil {
		at += c.passing()
	}
	c.mu.Unlock()
	if hold != nil {
		hold()
	}
	return at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at += d
}

// outcome is how a fake store answers a report.
type outcome int

const (
	takes    outcome = iota
	fails            // and nothing was taken
	loses            // it was taken, and the answer is lost
	forgets          // it does not know the reporter
	outcomes         // how many there are
)

var errLost = errors.New("the connection broke")

// ledger is a store that keeps what was reported, in memory, and does with each
// report what a test wants. It is safe for concurrent use.
type ledger struct {
	t     testing.TB
	clock *clock
	slow  time.Duration // how long a call takes, half of it before the clock is read
	waits time.Duration // for how long a report is waited for, in a bubble of time
	next  func() outcome

	mu         sync.Mutex // guards what follows
	registered int
	attempts   []iam.UsageReport
	taken      []iam.UsageReport
	sums       map[iam.KeyID]*sum
}

// sum is what is known of a key.
type sum struct {
	of                  owner
	minutes             map[time.Time]iam.UsePoint
	sources             map[source]iam.SourceUse
	asks                map[asked]iam.AskUse
	lastOK, lastRefused time.Time
}

type source struct {
	ip, agent string
	others    bool
}

type asked struct {
	ask    string
	others bool
}

func newLedger(t testing.TB, c *clock) *ledger {
	return &ledger{t: t, clock: c, next: func() outcome { return takes }, sums: map[iam.KeyID]*sum{}}
}

// ends says how each report that is sent from now on ends.
func (l *ledger) ends(next func() outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = next
}

// time returns what time it is in the database.
func (l *ledger) time() time.Time { return epoch.Add(l.clock.now()) }

func (l *ledger) Register(context.Context, iam.Reporter) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.registered++
	return l.time(), nil
}

func (l *ledger) Report(_ context.Context, r iam.UsageReport) (time.Time, error) {
	if l.waits > 0 {
		time.Sleep(l.waits)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r = copied(r)
	l.attempts = append(l.attempts, r)
	l.clock.advance(l.slow / 2)
	defer l.clock.advance(l.slow / 2)
	how := l.next()
	if how == fails {
		return time.Time{}, errLost
	}
	if how == forgets {
		return time.Time{}, iam.Errorf(iam.NotFound, "no such reporter")
	}
	if n := int64(len(l.taken)); r.Number == n+1 {
		l.take(r)
	} else if r.Number != n {
		l.t.Errorf("report %d came after report %d", r.Number, n)
	}
	if how == loses {
		return time.Time{}, errLost
	}
	return l.time(), nil
}

// copied returns a report that shares nothing with another.
func copied(r iam.UsageReport) iam.UsageReport {
	r.Keys = slices.Clone(r.Keys)
	for i := range r.Keys {
		k := &r.Keys[i]
		k.Minutes, k.Sources, k.Asks = slices.Clone(k.Minutes), slices.Clone(k.Sources), slices.Clone(k.Asks)
	}
	return r
}

func (l *ledger) take(r iam.UsageReport) {
	l.taken = append(l.taken, r)
	seen := map[iam.KeyID]bool{}
	for _, k := range r.Keys {
		if seen[k.Key] {
			l.t.Errorf("report %d has the key %s twice", r.Number, k.Key)
		}
		seen[k.Key] = true
		l.add(k)
	}
}

func (l *ledger) add(k iam.KeyUse) {
	s := l.sums[k.Key]
	if s == nil {
		s = &sum{
			of: owner{k.Principal, k.Workspace}, minutes: map[time.Time]iam.UsePoint{},
			sources: map[source]iam.SourceUse{}, asks: map[asked]iam.AskUse{},
		}
		l.sums[k.Key] = s
	}
	var minutes, sources, asks [2]int64
	for _, m := range k.Minutes {
		p := s.minutes[m.At]
		s.minutes[m.At] = iam.UsePoint{At: m.At, OK: p.OK + m.OK, Refused: p.Refused + m.Refused}
		minutes[0], minutes[1] = minutes[0]+m.OK, minutes[1]+m.Refused
	}
	for _, u := range k.Sources {
		have := s.sources[source{u.IP, u.UserAgent, u.Others}]
		u.OK, u.Refused = u.OK+have.OK, u.Refused+have.Refused
		sources[0], sources[1] = sources[0]+u.OK-have.OK, sources[1]+u.Refused-have.Refused
		s.sources[source{u.IP, u.UserAgent, u.Others}] = u
	}
	for _, u := range k.Asks {
		have := s.asks[asked{u.Ask, u.Others}]
		u.OK, u.Refused = u.OK+have.OK, u.Refused+have.Refused
		asks[0], asks[1] = asks[0]+u.OK-have.OK, asks[1]+u.Refused-have.Refused
		s.asks[asked{u.Ask, u.Others}] = u
	}
	if minutes != sources || minutes != asks {
		l.t.Errorf("a key was used %v times (accepted, refused), from sources %v times, and asked about %v times", minutes, sources, asks)
	}
	s.lastOK, s.lastRefused = later(s.lastOK, k.LastOK), later(s.lastRefused, k.LastRefused)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// total returns how often a key was accepted and refused.
func (l *ledger) total(key iam.KeyID) (ok, refused int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sums[key]; s != nil {
		for _, m := range s.minutes {
			ok, refused = ok+m.OK, refused+m.Refused
		}
	}
	return ok, refused
}

// bench is a gatherer with a ledger, and a clock that both go by.
type bench struct {
	*Gatherer
	clock  *clock
	ledger *ledger
}

func newBench(t testing.TB, change func(*Options)) *bench {
	t.Helper()
	b := &bench{clock: new(clock)}
	b.ledger = newLedger(t, b.clock)
	o := Options{Reporter: iam.Reporter{ID: "r1", Name: "a", Kind: iam.ServerNode}, Store: b.ledger, Now: b.clock.now}
	if change != nil {
		change(&o)
	}
	var err error
	if b.Gatherer, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := b.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// flush reports everything.
func (b *bench) flush(t testing.TB) {
	t.Helper()
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// keyID returns number n of made-up keys.
func keyID(n int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[8:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[:8], uint64(n))
	return id
}

func headOf(n int) uint64 { return uint64(n) * 0x9e3779b97f4a7c15 }

func keyText(n int) iam.KeyID { return iam.KeyID(iam.FormatID(iam.KeyPrefix, keyID(n))) }

// use returns a use of a key that was accepted.
func use(key int, asked ...string) iam.Use {
	return iam.Use{
		Key: keyID(key), HashHead: headOf(key), Principal: "sa_1", Workspace: "ws_1", OK: true, IP: netip.AddrFrom4([4]byte{192, 0, 2, 7}), UserAgent: "curl/8.5", Asked: asked,
	}
}

// sent returns all attempts to report.
func (l *ledger) sent() []iam.UsageReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]iam.UsageReport(nil), l.attempts...)
}
