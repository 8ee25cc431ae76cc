package usage

// A side that nobody counts into any more is reported as it is, when nothing else of it
// is under way: most keys then are in no other place than the two.

// last returns the number of the last key.
func (s *side) last() int { return min(int(s.usedKeys.Load()), len(s.keys)) }

// report implements [counted]. A key that lost the race for its slot was not used.
func (s *side) report(n int, c *cutter) {
	k := &s.keys[n-1]
	if k.minutes == [2]count{} {
		return
	}
	c.begin(k.id, &s.owners[n-1])
	for i, m := range k.minutes {
		if m != (count{}) {
			c.minute(s.minute.Load()+uint32(i), int64(m.ok), int64(m.refused))
		}
	}
	w := walk{of: s, key: k}
	for w.next() {
		c.detail(w.kind, &w.detail)
	}
	last := w.last()
	c.end(s.moment(last.ok), s.moment(last.refused))
}

// walk goes over all details of a key, the first of each kind before the others.
type walk struct {
	of     *side
	key    *keyCount
	kind   kind      // of the detail that next went to
	detail detailSum // likewise
	inside bool      // it went to the first of the kind, if the key has that
	follow uint32    // number of the next of the kind then; 0: there is none
	latest lastUses
}

// next goes to the next detail, if there is one.
func (w *walk) next() bool {
	for ; w.kind < kinds; w.kind, w.inside = w.kind+1, false {
		if !w.inside {
			w.inside, w.follow = true, w.key.told[w.kind].first
			if w.kind < general && w.key.own[w.kind].text != noOwn {
				o := &w.key.own[w.kind]
				w.tell(o.text, w.key.spotOf(w.kind), w.key.first, &o.tally)
				return true
			}
		}
		if w.follow != 0 {
			d := &w.of.details[w.follow-1]
			w.follow = d.next
			w.tell(d.what.text, d.what.spot, d.first, &d.tally)
			return true
		}
	}
	return false
}

func (w *walk) tell(text uint32, from spot, first tick, t *tally) {
	w.detail = detailSum{
		spot: from, first: w.of.moment(first), last: w.of.moment(max(t.last.ok, t.last.refused)), lastOK: w.of.moment(t.last.ok),
		ok: int64(t.ok), refused: int64(t.refused),
	}
	switch {
	case text == noText:
	case w.kind == sources:
		w.detail.text = w.of.agents.at(text)
	default:
		w.detail.text = w.of.asks.at(text)
	}
	w.latest = w.latest.or(t.last)
}

// last returns when the key was last used, by the details that next went to.
func (w *walk) last() lastUses { return w.latest.or(w.key.untold) }
