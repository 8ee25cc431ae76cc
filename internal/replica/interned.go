package replica

// interned keeps each distinct value once and counts who refers to it. The last
// one to let go frees the place for another value, so that it holds what is in
// use and no more. Numbers begin at 1; 0 stands for no value.
type interned[T any] struct {
	entries vector[entry[T]]
	index   index
	free    uint32 // the first free place's number, or 0
}

type entry[T any] struct {
	value T
	hash  uint64
	refs  uint32
	next  uint32 // the next free place after this one, while it is free
}

// at returns the value with a number other than 0, which must not be written.
func (t *interned[T]) at(number uint32) *T { return &t.entries.at(number - 1).value }

// take returns the number of a value, with one more reference to it. It keeps
// value when it is the first of its kind.
func (t *interned[T]) take(gen, hash uint64, value T, equal func(a, b T) bool) (uint32, error) {
	for p := t.index.find(hash); p.next(); {
		if e := t.entries.at(p.number); e.hash == hash && equal(e.value, value) {
			t.entries.edit(gen, p.number).refs++
			return p.number + 1, nil
		}
	}
	place := t.place(gen)
	e := t.entries.edit(gen, place)
	e.value, e.hash, e.refs = value, hash, 1
	return place + 1, t.index.add(gen, hash, place, t.hashOf)
}

// place takes a free place, or makes one.
func (t *interned[T]) place(gen uint64) uint32 {
	if t.free == 0 {
		place, _ := t.entries.grow(gen)
		return place
	}
	place := t.free - 1
	t.free = t.entries.at(place).next
	return place
}

// drop gives back one reference to the value with a number; 0 is ignored.
func (t *interned[T]) drop(gen uint64, number uint32) {
	if number == 0 {
		return
	}
	place := number - 1
	e := t.entries.edit(gen, place)
	if e.refs--; e.refs > 0 {
		return
	}
	t.index.remove(gen, e.hash, place, t.hashOf)
	*e = entry[T]{next: t.free}
	t.free = number
}

func (t *interned[T]) hashOf(place uint32) uint64 { return t.entries.at(place).hash }
