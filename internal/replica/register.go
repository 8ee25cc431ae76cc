package replica

import "hash/maphash"

// register is a table of records that are found by an id, or another text that
// belongs to one record for good.
type register[T interface{ key() string }] struct {
	rows  vector[T]
	index index
	seed  maphash.Seed
}

// find returns the number of the record with a key.
func (t *register[T]) find(key string) (number uint32, found bool) {
	for p := t.index.find(maphash.String(t.seed, key)); p.next(); {
		if (*t.rows.at(p.number)).key() == key {
			return p.number, true
		}
	}
	return 0, false
}

// add appends a record whose key is not in the table and returns its number.
func (t *register[T]) add(gen uint64, row T) (uint32, error) {
	number, place := t.rows.grow(gen)
	*place = row
	return number, t.index.add(gen, maphash.String(t.seed, row.key()), number, t.hashOf)
}

func (t *register[T]) hashOf(number uint32) uint64 {
	return maphash.String(t.seed, (*t.rows.at(number)).key())
}
