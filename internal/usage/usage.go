// Package usage counts who uses which key, and reports it.
//
// Touch is on the hot path: it takes no lock, waits for nobody, and allocates only
// for a user agent or an ask that it has not seen of late. It counts into one of
// two sides. Once a second the sides change places; when nobody is on its way in
// the one that was live, it stands still, and is reported. When what stood still
// before is not in reports yet, because there are very many keys or the store is
// away, it is added to the sums that wait. So nothing is lost or counted twice, and
// what was counted before the sides changed places stands still or waits, all of it:
// that is what a report's Covers rests on.
//
// A side holds each key, source and ask once, in arrays of a fixed size. A key's
// first source and ask are where the key is, in two cache lines: what is first made
// up and then found costs little more than what is found. What does not fit counts
// in the sums of its key and is not told apart; a key that does not fit is counted
// in the waiting sums, under a lock, until a larger side is there.
package usage

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Store is where reports go: see [iam.UsageStore]. It keeps nothing of a report
// once it returned. An error of Report says that
// the report may have been taken; [iam.NotFound], that the store does not know
// the reporter.
type Store interface {
	Register(ctx context.Context, r iam.Reporter) (now time.Time, err error)
	Report(ctx context.Context, r iam.UsageReport) (now time.Time, err error)
}

// Options says what a gatherer needs.
type Options struct {
	Reporter iam.Reporter
	Store    Store
	Log      *slog.Logger // nil: nothing is logged

	// Now reads a clock that only runs forward, from zero or more. It is on the
	// hot path.
	Now func() time.Duration

	// Heartbeat is how often the store hears of a reporter that has nothing to
	// report, so that everybody knows that it has not. Zero: only when
	// [Gatherer.Flush] asks.
	Heartbeat time.Duration

	Limits Limits
}

// Limits bounds what is held in memory. A zero is the usual bound.
type Limits struct {
	Keys    int // of one side, beyond which keys are counted more slowly
	Details int // sources and asks of one side, and of the sums that wait
	Texts   int // distinct user agents, and distinct asks
	Points  int // minutes in the sums that wait, one for each key aside
}

func (l Limits) orUsual() Limits {
	return Limits{
		Keys: cmp.Or(l.Keys, 1<<17), Details: cmp.Or(l.Details, 1<<16), Texts: cmp.Or(l.Texts, 1<<14), Points: cmp.Or(l.Points, 1<<20),
	}
}

// Gatherer counts the uses of keys. It is safe for concurrent use.
type Gatherer struct {
	reporter  iam.Reporter
	store     Store
	log       *slog.Logger
	now       func() time.Duration
	heartbeat time.Duration
	limits    Limits

	offset atomic.Int64         // what makes a reading of now the database's time, in nanoseconds since 1970
	live   atomic.Pointer[side] // that is counted into
	full   bell                 // rings for a look now

	gathering sync.Mutex // guards spare, and the change of sides
	spare     *side      // that is empty, and will be live next; nil: there is none

	mu         sync.Mutex // guards what follows
	standing   *side      // what is in no report yet, and was counted first; nil: there is none
	lent       bool       // a side is standing, or outgoing
	waiting    *sums      // what else is in no report yet
	gathered   moment     // all that was counted before it stands, waits or is in reports
	watched    iam.Gathering
	reportedTo moment // all that was counted before it is known to have been reported

	turn      chan struct{} // is held by whoever reports, and guards what follows
	begun     bool          // uses may be counted: the store knew the reporter
	known     bool          // it still does, as far as we heard
	finished  bool          // the last report was taken
	failing   bool          // the last attempt to report failed
	number    int64         // of the last report that was taken
	covers    time.Time     // what the next report says that it covers
	covered   moment        // the same by our clock: all that was counted before it has been reported
	told      moment        // what the last report said of it
	reported  moment        // when the last report was taken
	lately    int           // how many keys were in the reports of this round
	attempted *attempt      // that was not seen to succeed; nil: none
	outgoing  []counted     // what reports are made of, one after the other
	done      int           // how many keys of the first are in reports
	emptied   *sums         // for what waits next; nil: a new one
	cutter    cutter
	taken     moment // all that was counted before it is in outgoing or in reports
}

// moment is a reading of a gatherer's clock, in nanoseconds and one more; zero is
// never.
type moment int64

// New returns a gatherer that has not counted anything. Nothing may be counted
// before [Gatherer.Register] has succeeded.
func New(o Options) (*Gatherer, error) {
	if o.Store == nil || o.Now == nil || o.Reporter.ID == "" {
		return nil, errors.New("usage: a reporter, a store and a clock are needed")
	}
	g := &Gatherer{
		reporter: o.Reporter, store: o.Store, log: o.Log, now: o.Now, heartbeat: o.Heartbeat, limits: o.Limits.orUsual(),
		full: make(bell, 1), turn: make(chan struct{}, 1),
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.waiting = newSums(g.limits)
	first := newSide(sizes{}.within(g.limits), g.full)
	first.open(aligned(g.moment()), newTexts(g.limits.Texts), newTexts(g.limits.Texts))
	g.live.Store(first)
	return g, nil
}

// Expect says that a use of a key may be counted soon, whose hash begins with head: the
// memory where it is counted is fetched until then. It costs next to nothing.
func (g *Gatherer) Expect(head uint64) { g.live.Load().byHash.fetch(head) }

// Touch counts a use. It keeps nothing of u that belongs to the caller.
func (g *Gatherer) Touch(u iam.Use) {
	g.Expect(u.HashHead)
	s, gate := g.enter(u.Key)
	at := g.moment() // in here, so that whatever is counted later was used later
	if s.count(&u, g.minute(at), at) {
		gate.leaveWithUse()
		return
	}
	g.countSlowly(&u, at)
	g.full.ring()
	gate.leave()
}

// enter returns the live side, which stands still only after the gate was left.
func (g *Gatherer) enter(key [16]byte) (*side, *gate) {
	for {
		s := g.live.Load()
		gate := s.gate(key)
		gate.enter()
		if g.live.Load() == s {
			return s, gate
		}
		gate.leave()
	}
}

// countSlowly counts a use that the live side has no room for.
func (g *Gatherer) countSlowly(u *iam.Use, at moment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.waiting.key(u.Key, owner{u.Principal, u.Workspace})
	k := g.waiting.keys.at(n)
	if u.OK {
		g.waiting.point(n, g.minute(at), 1, 0)
		k.lastOK = max(k.lastOK, at)
	} else {
		g.waiting.point(n, g.minute(at), 0, 1)
		k.lastRefused = max(k.lastRefused, at)
	}
	g.watched.Counted++
	g.watched.Dropped++
}

// gather makes what was counted stand still or wait: at least all of it that was
// counted before gather was called.
func (g *Gatherer) gather() {
	g.gathering.Lock()
	defer g.gathering.Unlock()
	old := g.live.Load()
	next := g.spare
	if want := old.wanted(g.limits); next == nil || next.sizes != want {
		next = newSide(want, g.full)
	}
	at := g.moment() // before the sides change places: what is counted later may be missed
	next.open(aligned(at), old.agents.orFresh(), old.asks.orFresh())
	g.live.Store(next)
	old.settle()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watched.Counted += old.takeUses()
	g.watched.Dropped += old.dropped.Load()
	g.gathered = at
	g.spare = nil
	if !g.lent && g.waiting.keys.used == 0 && old.last() > 0 {
		g.standing, g.lent = old, true
		return
	}
	g.watched.Dropped += g.waiting.take(old)
	old.reset()
	g.spare = old
}

// giveBack takes a side back that is in reports.
func (g *Gatherer) giveBack(s *side) {
	s.reset()
	g.gathering.Lock()
	defer g.gathering.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lent = false
	if g.spare == nil {
		g.spare = s
	}
}

// settle returns once nobody counts into the side any more. It must not be live.
func (s *side) settle() {
	const patience = 100
	for i := range s.gates {
		for n := 0; !s.gates[i].empty(); n++ {
			if n < patience {
				runtime.Gosched()
				continue
			}
			time.Sleep(50 * time.Microsecond) // somebody inside has lost its processor
		}
	}
}

// takeUses returns how many uses were counted into the side.
func (s *side) takeUses() (n int64) {
	for i := range s.gates {
		n += s.gates[i].takeUses()
	}
	return n
}

// Gathering returns what there is to know about the gatherer.
func (g *Gatherer) Gathering() iam.Gathering {
	now := g.moment()
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.watched
	if g.reportedTo > 0 {
		w.Unreported = time.Duration(now - g.reportedTo)
	}
	return w
}

// moment reads the clock.
func (g *Gatherer) moment() moment { return moment(g.now()) + 1 }

// minute returns the minute since 1970 that a moment lies in, by the database's
// time.
func (g *Gatherer) minute(at moment) uint32 {
	return uint32((g.offset.Load() + int64(at)) / int64(time.Minute))
}
