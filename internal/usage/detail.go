package usage

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"

	"github.com/posternhq/postern/internal/iam"
)

// detail counts what is told apart of a key's uses, and is not the first of its kind.
type detail struct {
	what  what
	next  uint32
	first tick
	tally
}

// what says which detail of which key.
type what struct {
	key  uint32 // its number
	kind kind
	text uint32 // number of the user agent or the ask; noText: there is none
	spot
}

// spot is from where, and at which door, a key was used. Asks have none.
type spot struct {
	ip      [16]byte // all zero: nobody said, or ::, which nobody comes from
	gateway bool     // a proxy asked, at a gateway's listener
}

// spotOf returns where a key was used.
func spotOf(u *iam.Use) spot {
	p := spot{gateway: u.Gateway}
	if u.IP.IsValid() {
		p.ip = u.IP.As16()
	}
	return p
}

// hash returns a hash that a client cannot make collide.
func (w *what) hash(seed maphash.Seed) uint64 {
	var b [29]byte
	binary.NativeEndian.PutUint32(b[0:], w.key)
	binary.NativeEndian.PutUint32(b[4:], uint32(w.kind))
	binary.NativeEndian.PutUint32(b[8:], w.text)
	copy(b[12:], w.ip[:])
	if w.gateway {
		b[28] = 1
	}
	return maphash.Bytes(seed, b[:])
}

// source counts where a key was used, unless there is no room.
func (s *side) source(key uint32, u *iam.Use, at tick) bool {
	k, from := &s.keys[key-1], spotOf(u)
	if o := &k.own[sources]; k.spot == from && s.agents.is(o.text, u.UserAgent) {
		o.note(u.OK, at)
		return true
	}
	text, ok := s.agentNumber(k, u.UserAgent)
	return ok && s.tell(what{key: key, kind: sources, text: text, spot: from}, u.OK, at)
}

// ask counts what was asked, without ids when the key has been asked about too
// much to tell it all apart, unless there is no room.
func (s *side) ask(key uint32, u *iam.Use, at tick) bool {
	k := &s.keys[key-1]
	for _, kind := range [...]kind{asks, general} {
		text, ok := s.askNumber(k, kind, u.Asked)
		if !ok {
			continue
		}
		if kind == asks && k.own[asks].text == text {
			k.own[asks].note(u.OK, at)
			return true
		}
		if s.tell(what{key: key, kind: kind, text: text}, u.OK, at) {
			return true
		}
	}
	return false
}

// agentNumber returns the number of a user agent of a key, if it has one. One that is
// new is kept only if the key has room for another source.
func (s *side) agentNumber(k *keyCount, agent string) (text uint32, ok bool) {
	if agent == "" {
		return noText, true
	}
	text = number(s.agents, agent, !k.told[sources].full())
	return text, text != noText
}

// askNumber is agentNumber for what was asked, which is kept as [appendAsk] has it.
func (s *side) askNumber(k *keyCount, kind kind, asked []string) (text uint32, ok bool) {
	keep := !k.told[kind].full()
	switch {
	case len(asked) == 0:
		return noText, true
	case len(asked) == 1 && kind == asks:
		if own := k.own[asks].text; s.asks.is(own, asked[0]) {
			return own, true
		}
		text = number(s.asks, asked[0], keep)
	default:
		var room [512]byte
		text = number(s.asks, appendAsk(room[:0], asked, kind == general), keep)
	}
	return text, text != noText
}

// tell counts a use in a detail, which is added if it is new. It returns false
// when there is no room.
func (s *side) tell(w what, ok bool, at tick) bool {
	hash := w.hash(s.agents.seed)
	n, free := s.lookForDetail(hash, &w)
	var mine uint32
	if free != nil {
		if mine = s.newDetail(&w, ok, at); mine == 0 {
			return false
		}
	}
	for free != nil {
		if free.CompareAndSwap(0, s.byDetail.entry(hash, mine)) {
			s.keys[w.key-1].told[w.kind].push(s, mine)
			return true
		}
		n, free = s.lookForDetail(hash, &w)
	}
	if n == 0 {
		return false
	}
	s.details[n-1].note(ok, at)
	return true
}

func (s *side) lookForDetail(hash uint64, w *what) (n uint32, free *atomic.Uint32) {
	for try := range longestProbe {
		slot := s.byDetail.slot(hash, try)
		entry := slot.Load()
		if entry == 0 {
			return 0, slot
		}
		if n := s.byDetail.number(hash, entry); n != 0 && s.details[n-1].what == *w {
			return n, nil
		}
	}
	return 0, nil
}

// newDetail returns the number of a new detail with its first use counted, or 0 when
// there is no room. Nobody finds it yet.
func (s *side) newDetail(w *what, ok bool, at tick) uint32 {
	if atomic.AddUint32(&s.keys[w.key-1].told[w.kind].many, 1) > perKey {
		return 0
	}
	n := s.usedDetails.Add(1)
	if nearlyFull(n, len(s.details)) {
		s.bell.ring()
	}
	if int(n) > len(s.details) {
		return 0
	}
	d := &s.details[n-1]
	d.what, d.first = *w, at
	d.begin(ok, at)
	return n
}

// push adds a detail to a chain. Whoever follows the chain does so when nobody
// counts any more.
func (c *chain) push(s *side, n uint32) {
	next := &s.details[n-1].next
	for {
		first := atomic.LoadUint32(&c.first)
		atomic.StoreUint32(next, first)
		if atomic.CompareAndSwapUint32(&c.first, first, n) {
			return
		}
	}
}
