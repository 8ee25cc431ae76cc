package usage

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"github.com/posternhq/postern/internal/iam"
)

// side is one of the two that uses are counted into. While it is live, many count
// at the same time; what is written without an atomic is written before its
// number can be found. A key, source or ask that lost the race for its slot stays
// behind with nothing counted.
type side struct {
	gates [16]gate
	sizes sizes

	keys   []keyCount
	owners []owner // of the keys, apart from them so that the collector passes the keys over
	byID   index

	details  []detail
	byDetail index

	agents, asks *texts // shared with the other side

	usedKeys    atomic.Uint32 // numbers that were given out, and those that would have been
	usedDetails atomic.Uint32
	dropped     atomic.Int64 // details that there was no room for
}

// gate counts those who are inside. Each has a cache line of its own.
type gate struct {
	inside atomic.Int64
	_      [56]byte
}

func (g *gate) enter()      { g.inside.Add(1) }
func (g *gate) leave()      { g.inside.Add(-1) }
func (g *gate) empty() bool { return g.inside.Load() == 0 }

// gate returns the gate for uses of a key.
func (s *side) gate(key [16]byte) *gate { return &s.gates[key[15]&15] }

// owner is whose key it is.
type owner struct {
	principal iam.PrincipalID
	workspace iam.WorkspaceID
}

// keyCount counts the uses of a key.
type keyCount struct {
	id          [16]byte
	minutes     [2]minuteCount // by whether the minute is odd
	lastOK      latest
	lastRefused latest
	own         [general]own // of sources and asks, the first of each
	told        [kinds]chain // its other details
}

// own is the detail of a kind that a key had first. Mostly it is the only one, and
// it is found where its key is.
type own struct {
	state atomic.Uint32
	text  uint32 // likewise the others as in what and detail
	ip    [16]byte
	first moment
	tally
}

// The states of own, in this order.
const (
	nothing uint32 = iota
	coming         // somebody writes what it is
	there
)

// is reports whether a detail is the first one of its key, which it becomes if there
// is none. While somebody else writes what that is, nobody waits: what is counted
// elsewhere meanwhile is added to it later.
func (o *own) is(w *what, many *atomic.Uint32, at moment) bool {
	switch o.state.Load() {
	case there:
		return o.text == w.text && o.ip == w.ip
	case nothing:
		if o.state.CompareAndSwap(nothing, coming) {
			many.Add(1)
			o.text, o.ip, o.first = w.text, w.ip, at
			o.state.Store(there)
			return true
		}
	}
	return false
}

// minuteCount counts the uses in one minute.
type minuteCount struct {
	minute  atomic.Uint32 // since 1970; 0: none yet
	ok      atomic.Uint32
	refused atomic.Uint32
}

// kind is what a detail tells apart.
type kind uint32

const (
	sources kind = iota // address and user agent
	asks                // permissions that were asked for together
	general             // the same without ids
	kinds
)

// chain is the details of one kind that a key has beside its own.
type chain struct {
	first atomic.Uint32 // its number; 0: there is none
	many  atomic.Uint32 // its own counts too
}

// perKey is how many details of one kind a key has at most.
const perKey = 100

// detail counts what is told apart of a key's uses.
type detail struct {
	what  what
	next  atomic.Uint32
	first moment
	tally
}

// tally is how often something was, and when last.
type tally struct {
	lastOK      latest
	lastRefused latest
	ok          atomic.Uint32
	refused     atomic.Uint32
}

func (t *tally) note(ok bool, at moment) {
	if ok {
		t.lastOK.note(at)
		t.ok.Add(1)
	} else {
		t.lastRefused.note(at)
		t.refused.Add(1)
	}
}

// what says which detail of which key.
type what struct {
	key  uint32 // its number
	kind kind
	text uint32   // number of the user agent or the ask; noText: there is none
	ip   [16]byte // all zero: nobody said, or ::, which nobody comes from
}

// hash returns a hash that a client cannot make collide.
func (w *what) hash(seed maphash.Seed) uint64 {
	var b [28]byte
	binary.NativeEndian.PutUint32(b[0:], w.key)
	binary.NativeEndian.PutUint32(b[4:], uint32(w.kind))
	binary.NativeEndian.PutUint32(b[8:], w.text)
	copy(b[12:], w.ip[:])
	return maphash.Bytes(seed, b[:])
}

// latest is the latest moment that was noted; zero: none was.
type latest struct{ at atomic.Int64 }

func (l *latest) load() moment { return moment(l.at.Load()) }

func (l *latest) note(at moment) {
	for {
		have := l.at.Load()
		if have >= int64(at) || l.at.CompareAndSwap(have, int64(at)) {
			return
		}
	}
}

// sizes is how much a side has room for, in powers of two.
type sizes struct{ keys, details int }

const (
	leastKeys    = 1 << 12
	leastDetails = 1 << 13
)

// within returns sizes that are no smaller than is worth it, and no larger than
// the limits.
func (z sizes) within(l Limits) sizes {
	power := func(n int) int { return 1 << bits.Len(uint(n-1)) }
	return sizes{min(power(max(z.keys, leastKeys)), l.Keys), min(power(max(z.details, leastDetails)), l.Details)}
}

func newSide(z sizes) *side {
	return &side{
		sizes: z,
		keys:  make([]keyCount, z.keys), owners: make([]owner, z.keys), byID: newIndex(z.keys),
		details: make([]detail, z.details), byDetail: newIndex(z.details),
	}
}

// wanted returns how large the next side should be: twice what this one needed, so
// that it is not full before the next look, and not smaller before much less is
// enough.
func (s *side) wanted(l Limits) sizes {
	size := func(used, now int) int {
		if used > now/2 || used < now/32 {
			return 2 * used
		}
		return now
	}
	return sizes{size(int(s.usedKeys.Load()), s.sizes.keys), size(int(s.usedDetails.Load()), s.sizes.details)}.within(l)
}

// nearlyFull reports whether it is time for a larger side.
func (s *side) nearlyFull() bool {
	return int(s.usedKeys.Load()) > s.sizes.keys/4*3 || int(s.usedDetails.Load()) > s.sizes.details/4*3
}

// reset empties a side that nobody counts into.
func (s *side) reset() {
	keys, details := min(int(s.usedKeys.Load()), len(s.keys)), min(int(s.usedDetails.Load()), len(s.details))
	clear(s.keys[:keys])
	clear(s.owners[:keys])
	clear(s.details[:details])
	s.byID.reset()
	if details > 0 {
		s.byDetail.reset()
	}
	s.usedKeys.Store(0)
	s.usedDetails.Store(0)
	s.dropped.Store(0)
	s.agents, s.asks = nil, nil
}

// count counts a use, or returns false and has counted nothing.
func (s *side) count(u *iam.Use, minute uint32, at moment) bool {
	n := s.key(u)
	if n == 0 {
		return false
	}
	k := &s.keys[n-1]
	if !k.minutes[minute&1].add(minute, u.OK) {
		return false
	}
	if u.OK {
		k.lastOK.note(at)
	} else {
		k.lastRefused.note(at)
	}
	s.source(n, u, at)
	s.ask(n, u, at)
	return true
}

// add counts a use in a minute, unless another minute has the place: nobody has
// looked at the side for as long as that.
func (c *minuteCount) add(minute uint32, ok bool) bool {
	if c.minute.Load() != minute && !c.minute.CompareAndSwap(0, minute) && c.minute.Load() != minute {
		return false
	}
	if ok {
		c.ok.Add(1)
	} else {
		c.refused.Add(1)
	}
	return true
}

// key returns the number of a key, which is added if it is new, or 0 when there is
// no room.
func (s *side) key(u *iam.Use) uint32 {
	for {
		n, free := s.lookForKey(u.Key)
		if n != 0 || free == nil {
			return n
		}
		if n = s.newKey(u); n == 0 || free.CompareAndSwap(0, n) {
			return n
		}
	}
}

func (s *side) lookForKey(id [16]byte) (n uint32, free *atomic.Uint32) {
	hash := binary.LittleEndian.Uint64(id[8:]) // which is random: no client made it up
	for try := range longestProbe {
		slot := s.byID.slot(hash, try)
		n := slot.Load()
		if n == 0 {
			return 0, slot
		}
		if s.keys[n-1].id == id {
			return n, nil
		}
	}
	return 0, nil
}

func (s *side) newKey(u *iam.Use) uint32 {
	n := s.usedKeys.Add(1)
	if int(n) > len(s.keys) {
		return 0
	}
	s.keys[n-1].id, s.owners[n-1] = u.Key, owner{u.Principal, u.Workspace}
	return n
}

// source counts where a key was used, as far as there is room.
func (s *side) source(key uint32, u *iam.Use, at moment) {
	w := what{key: key, kind: sources}
	if u.IP.IsValid() {
		w.ip = u.IP.As16()
	}
	if u.UserAgent != "" {
		var room [256]byte
		if w.text = s.number(key, sources, s.agents, append(room[:0], u.UserAgent...)); w.text == noText {
			s.dropped.Add(1)
			return
		}
	}
	if !s.tell(w, u.OK, at) {
		s.dropped.Add(1)
	}
}

// ask counts what was asked, without ids when the key has been asked about too
// much to tell it all apart.
func (s *side) ask(key uint32, u *iam.Use, at moment) {
	for _, kind := range [...]kind{asks, general} {
		w := what{key: key, kind: kind}
		if len(u.Asked) > 0 {
			var room [512]byte
			w.text = s.number(key, kind, s.asks, appendAsk(room[:0], u.Asked, kind == general))
		}
		if (w.text != noText || len(u.Asked) == 0) && s.tell(w, u.OK, at) {
			return
		}
	}
	s.dropped.Add(1)
}

// number returns the number of a text of one of a key's details. A text that is
// new is kept only if the key has room for it.
func (s *side) number(key uint32, kind kind, t *texts, text []byte) uint32 {
	if s.keys[key-1].told[kind].many.Load() >= perKey {
		return t.find(text)
	}
	return t.number(text)
}

// tell counts a use in a detail, which is added if it is new. It returns false
// when there is no room.
func (s *side) tell(w what, ok bool, at moment) bool {
	k := &s.keys[w.key-1]
	if w.kind != general && k.own[w.kind].is(&w, &k.told[w.kind].many, at) {
		k.own[w.kind].note(ok, at)
		return true
	}
	n := s.detail(w, at)
	if n == 0 {
		return false
	}
	s.details[n-1].note(ok, at)
	return true
}

// detail returns the number of a detail, which is added if it is new, or 0 when
// there is no room.
func (s *side) detail(w what, at moment) uint32 {
	hash := w.hash(s.agents.seed)
	for {
		n, free := s.lookForDetail(hash, w)
		if n != 0 || free == nil {
			return n
		}
		if n = s.newDetail(w, at); n == 0 {
			return 0
		}
		if free.CompareAndSwap(0, n) {
			s.keys[w.key-1].told[w.kind].push(s, n)
			return n
		}
	}
}

func (s *side) lookForDetail(hash uint64, w what) (n uint32, free *atomic.Uint32) {
	for try := range longestProbe {
		slot := s.byDetail.slot(hash, try)
		n := slot.Load()
		if n == 0 {
			return 0, slot
		}
		if s.details[n-1].what == w {
			return n, nil
		}
	}
	return 0, nil
}

func (s *side) newDetail(w what, at moment) uint32 {
	if s.keys[w.key-1].told[w.kind].many.Add(1) > perKey {
		return 0
	}
	n := s.usedDetails.Add(1)
	if int(n) > len(s.details) {
		return 0
	}
	d := &s.details[n-1]
	d.what, d.first = w, at
	return n
}

// push adds a detail to a chain. Whoever follows the chain does so when nobody
// counts any more.
func (c *chain) push(s *side, n uint32) {
	next := &s.details[n-1].next
	for {
		first := c.first.Load()
		next.Store(first)
		if c.first.CompareAndSwap(first, n) {
			return
		}
	}
}
