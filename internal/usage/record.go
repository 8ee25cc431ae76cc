package usage

import (
	"sync/atomic"

	"github.com/posternhq/postern/internal/iam"
)

// keyCount counts the uses of a key, in two cache lines. Like all that a side counts
// in, it is of plain numbers, so that whoever makes one writes it without waiting for
// other processors; once others can find it, what changes is only touched with atomics.
type keyCount struct {
	id      [16]byte
	spot         // of its own source
	first   tick // likewise
	minutes [2]count
	untold  lastUses // from where there was no room to say
	own     [general]own
	told    [kinds]chain // its other details
}

// owner is whose key it is.
type owner struct {
	principal iam.PrincipalID
	workspace iam.WorkspaceID
}

// own is the detail of a kind that a key had first. Mostly it is the only one, and
// it is found where its key is.
type own struct {
	text uint32 // as in what, or noOwn
	tally
}

// noOwn is the text of no detail: the first of a key could not be told.
const noOwn = ^uint32(0)

// begin makes a detail the first of its kind, with one use, while nobody can find the
// key.
func (k *keyCount) begin(kind kind, text uint32, ok bool, at tick) {
	o := &k.own[kind]
	o.text = text
	o.tally.begin(ok, at)
	k.told[kind].many = 1
}

// spotOf returns the spot of the first detail of a kind: asks have none.
func (k *keyCount) spotOf(kind kind) (from spot) {
	if kind == sources {
		from = k.spot
	}
	return from
}

// kind is what a detail tells apart.
type kind uint32

const (
	sources kind = iota // spot and user agent
	asks                // permissions that were asked for together
	general             // the same without ids
	kinds
)

// chain is the details of one kind that a key has beside its own.
type chain struct {
	first uint32 // its number; 0: there is none
	many  uint32 // its own counts too
}

// full reports whether a key has as many details of a kind as it may have.
func (c *chain) full() bool { return atomic.LoadUint32(&c.many) >= perKey }

// perKey is how many details of one kind a key has at most.
const perKey = 100

// count is how often something was accepted and refused.
type count struct{ ok, refused uint32 }

func (c *count) of(ok bool) *uint32 {
	if ok {
		return &c.ok
	}
	return &c.refused
}

func (c *count) begin(ok bool) { *c.of(ok) = 1 }
func (c *count) add(ok bool)   { atomic.AddUint32(c.of(ok), 1) }

// lastUses is when something was last accepted and refused; zero: never.
type lastUses struct{ ok, refused tick }

func (l *lastUses) of(ok bool) *tick {
	if ok {
		return &l.ok
	}
	return &l.refused
}

// or returns the later of each.
func (l lastUses) or(m lastUses) lastUses {
	return lastUses{max(l.ok, m.ok), max(l.refused, m.refused)}
}

func (l *lastUses) begin(ok bool, at tick) { *l.of(ok) = at }

func (l *lastUses) note(ok bool, at tick) {
	last := (*uint32)(l.of(ok))
	for {
		have := atomic.LoadUint32(last)
		if have >= uint32(at) || atomic.CompareAndSwapUint32(last, have, uint32(at)) {
			return
		}
	}
}

// tally is how often something was, and when last.
type tally struct {
	last lastUses
	count
}

func (t *tally) begin(ok bool, at tick) {
	t.last.begin(ok, at)
	t.count.begin(ok)
}

func (t *tally) note(ok bool, at tick) {
	t.last.note(ok, at)
	t.count.add(ok)
}
