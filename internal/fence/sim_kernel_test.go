package fence

import (
	"context"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/replica"
)

// kernel runs processes one step after the other in a time of its own. The same
// seed runs the same steps. Product code runs as it is: where it would wait, for
// time or for an answer, it is put aside, and goes on when that has come.
type kernel struct {
	*rand.Rand
	now     time.Duration // true time
	events  []event       // a heap
	order   uint64
	current *routine // whose code runs
}

type event struct {
	at    time.Duration
	order uint64 // of two at the same time the first to be planned comes first
	do    func()
}

func newKernel(seed uint64) *kernel { return &kernel{Rand: rand.New(rand.NewPCG(seed, 0))} }

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.order < o.order }

// after plans something.
func (k *kernel) after(d time.Duration, do func()) {
	k.order++
	e := event{k.now + max(0, d), k.order, do}
	k.events = append(k.events, e)
	i := len(k.events) - 1
	for i > 0 && e.before(k.events[(i-1)/2]) {
		k.events[i] = k.events[(i-1)/2]
		i = (i - 1) / 2
	}
	k.events[i] = e
}

func (k *kernel) pop() event {
	first, last := k.events[0], k.events[len(k.events)-1]
	k.events[len(k.events)-1] = event{}
	k.events = k.events[:len(k.events)-1]
	n, i := len(k.events), 0
	for n > 0 {
		child := 2*i + 1
		if child+1 < n && k.events[child+1].before(k.events[child]) {
			child++
		}
		if child >= n || !k.events[child].before(last) {
			k.events[i] = last
			break
		}
		k.events[i] = k.events[child]
		i = child
	}
	return first
}

// run goes on until a moment, or until stop says so.
func (k *kernel) run(until time.Duration, stop func() bool) {
	for len(k.events) > 0 && !stop() {
		e := k.pop()
		if e.at > until {
			k.now = until
			return
		}
		k.now = e.at
		e.do()
	}
}

// between returns a random duration.
func (k *kernel) between(least, most time.Duration) time.Duration {
	return least + time.Duration(k.Float64()*float64(most-least))
}

// about returns a random duration with a mean, exponentially spread.
func (k *kernel) about(mean time.Duration) time.Duration {
	return time.Duration(k.ExpFloat64() * float64(mean))
}

func (k *kernel) chance(p float64) bool { return k.Float64() < p }

// rate is how fast a clock runs: within 8.3 %, and often at one of the ends.
func (k *kernel) rate() float64 { return 1 + min(1, max(-1, 4*k.Float64()-2))*0.083 }

// hand is a clock that runs at a rate of its own, which changes.
type hand struct {
	at, shown time.Duration
	rate      float64
}

func (h *hand) read(now time.Duration) time.Duration {
	return h.shown + time.Duration(float64(now-h.at)*h.rate)
}

func (h *hand) set(now time.Duration, rate float64) {
	h.shown, h.at, h.rate = h.read(now), now, rate
}

// proc is a process with clocks, that can be stopped and killed.
type proc struct {
	*kernel
	name        string
	monotonic   hand
	wall        hand
	pausedUntil time.Duration
	dead        bool
	routines    []*routine
}

func (k *kernel) newProc(name string) *proc {
	rate := k.rate()
	return &proc{
		kernel: k, name: name,
		monotonic: hand{k.now, k.between(0, time.Hour), rate},
		wall:      hand{k.now, 500_000*time.Hour + k.between(0, time.Hour), rate},
	}
}

// kill ends a process where it stands.
func (p *proc) kill() {
	p.dead = true
	for _, r := range slices.Clone(p.routines) {
		r.stop()
	}
	p.routines = nil
}

// stopFor stops a process as SIGSTOP does.
func (p *proc) stopFor(d time.Duration) { p.pausedUntil = max(p.pausedUntil, p.now+d) }

// routine is one thread of a process.
type routine struct {
	proc   *proc
	step   uint64 // counts how often it went on: what was planned for an earlier wait is void
	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	parked bool

	ctx  context.Context // while it sleeps
	wake <-chan struct{}
}

// killed unwinds a routine whose process was killed.
type killed struct{}

// spawn begins a routine. It runs as soon as others have had their turn.
func (p *proc) spawn(do func()) {
	r := &routine{proc: p}
	r.resume, r.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if reason := recover(); reason != nil && reason != (killed{}) {
				panic(reason)
			}
		}()
		r.yield = yield
		do()
	})
	r.parked = true
	p.routines = append(p.routines, r)
	p.after(0, r.goOn(0))
}

// goOn returns what continues a routine, unless it has gone on meanwhile. A
// process that is stopped goes on later.
func (r *routine) goOn(step uint64) func() {
	return func() {
		p := r.proc
		switch {
		case p.dead || r.step != step || !r.parked:
			return
		case p.now < p.pausedUntil:
			p.after(p.pausedUntil-p.now+time.Duration(p.IntN(1000)), r.goOn(step))
			return
		}
		r.step++
		r.parked = false
		p.current = r
		if _, running := r.resume(); !running && !p.dead {
			p.routines = slices.DeleteFunc(p.routines, func(o *routine) bool { return o == r })
		}
		p.current = nil
		p.wakeSleepers()
	}
}

// park puts the current routine aside until goOn.
func (r *routine) park() {
	if r.proc.dead {
		panic(killed{})
	}
	r.parked = true
	if !r.yield(struct{}{}) {
		panic(killed{})
	}
}

// wakeSleepers lets routines go on that sleep until something that has happened.
func (p *proc) wakeSleepers() {
	for _, r := range p.routines {
		if !r.parked || r.ctx == nil {
			continue
		}
		if r.ctx.Err() == nil {
			select {
			case <-r.wake:
			default:
				continue
			}
		}
		r.ctx = nil
		p.after(0, r.goOn(r.step))
	}
}

// Now implements [Clock].
func (p *proc) Now() replica.Instant {
	return replica.Instant{Monotonic: p.monotonic.read(p.now), Wall: p.wall.read(p.now)}
}

// Sleep implements [Clock].
func (p *proc) Sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	if ctx.Err() != nil {
		return
	}
	select {
	case <-wake:
		return
	default:
	}
	r := p.current
	r.ctx, r.wake = ctx, wake
	p.after(min(d, left(ctx, d)), r.goOn(r.step))
	r.park()
	r.ctx, r.wake = nil, nil
}

// Limit implements [Clock].
func (p *proc) Limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	limited := &simContext{Context: ctx, proc: p, until: p.Now().Monotonic + min(d, left(ctx, d))}
	return limited, limited.cancel
}

// simContext is a context in simulated time.
type simContext struct {
	context.Context // the one that it ends with; nil: none
	proc            *proc
	until           time.Duration // on the monotonic clock
	cancelled       bool
}

const never = 1 << 62

// life returns a context that lasts as long as a process.
func (p *proc) life() *simContext {
	return &simContext{Context: context.Background(), proc: p, until: never}
}

func (c *simContext) cancel() { c.cancelled = true }

func (c *simContext) Err() error {
	switch {
	case c.cancelled:
		return context.Canceled
	case c.proc.monotonic.read(c.proc.now) >= c.until:
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// left returns for how long a context lasts at most, or d if that is longer.
func left(ctx context.Context, d time.Duration) time.Duration {
	c, ok := ctx.(*simContext)
	if !ok || c.until == never {
		return d
	}
	return max(0, c.until-c.proc.monotonic.read(c.proc.now))
}
