package replica

import "github.com/posternhq/postern/internal/token"

// Keys stay for as long as the process does: those that have ended are told from those
// that never were, and one that a lost log would revive stays denied. Sessions are many
// more, and come to an end by themselves within days. Once one is over by the time of
// the log, no log can revive it, and its record is the next key's.

// queue holds the numbers of sessions, in the order in which they came. They last for
// equally long, so that the first is over first; one that came out of turn waits for
// those before it.
type queue struct {
	numbers vector[uint32]
	first   uint32 // what came before it was let go of
}

func (q *queue) put(gen uint64, number uint32) {
	_, place := q.numbers.grow(gen)
	*place = number
}

// next returns the session that came first, if there is one.
func (q *queue) next() (number uint32, ok bool) {
	if q.first == q.numbers.len {
		return 0, false
	}
	return *q.numbers.at(q.first), true
}

// drop takes the first one out. Now and then it makes the queue as small as what is
// in it.
func (q *queue) drop(gen uint64) {
	q.first++
	if q.first < pageLen || 2*q.first < q.numbers.len {
		return
	}
	var rest queue
	for i := q.first; i < q.numbers.len; i++ {
		rest.put(gen, *q.numbers.at(i))
	}
	*q = rest
}

// letGoAtOnce is how many sessions one publication lets go of at most: more than came
// with it, and few enough to take no time.
const letGoAtOnce = 256

// letGo forgets sessions that are over at a time, in microseconds since 1970.
func (d *draft) letGo(now int64) {
	for range letGoAtOnce {
		number, ok := d.sessions.next()
		if !ok || d.keys.rows.at(number).expires > now {
			return
		}
		d.sessions.drop(d.gen)
		row := d.keys.rows.at(number)
		d.sets.drop(d.gen, row.limit)
		d.networks.drop(d.gen, row.networks)
		d.keys.free(number)
	}
}

// nobodys reports whether a record is no key's.
func (k *keyRecord) nobodys() bool { return k.hash == token.Hash{} }

// free lets go of a key. Its record is the next one's.
func (e *keyEdit) free(number uint32) {
	e.rename(number, "")
	row := e.rows.edit(e.gen, number)
	e.index.remove(e.gen, row.hash.Head(), number, e.hashOf)
	*row = keyRecord{principal: e.spare, nameEnd: row.nameEnd}
	e.spare = number + 1
	e.spares++
}

// reuse returns the record of a key that was let go of, with a name of no length.
func (e *keyEdit) reuse() (number uint32, row *keyRecord) {
	number = e.spare - 1
	row = e.rows.edit(e.gen, number)
	e.spare = row.principal
	e.spares--
	*row = keyRecord{nameEnd: row.nameEnd}
	return number, row
}
