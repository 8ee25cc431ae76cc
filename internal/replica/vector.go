package replica

// Tables are persistent: a change copies the few pages it touches and leaves
// the rest to be shared with the states before it. What an edit has copied or
// made itself it may write in place until it is published. To tell the two
// apart, everything that can be copied carries the number of the edit that made
// it; numbers begin at 1 and only grow, so that a published page is never written
// again.

// owned is a reference to something that only the edit gen may write.
type owned[T any] struct {
	gen uint64
	p   *T
}

// writable returns what o refers to, copied first unless edit gen made it.
func (o *owned[T]) writable(gen uint64) *T {
	if o.gen != gen {
		fresh := new(T)
		if o.p != nil {
			*fresh = *o.p
		}
		o.gen, o.p = gen, fresh
	}
	return o.p
}

const (
	pageBits  = 7
	pageLen   = 1 << pageBits // records that one change copies
	chunkBits = 7
	chunkLen  = 1 << chunkBits // pages that share a chunk of the directory
)

// vector is a persistent array in pages. Elements without pointers make pages
// that the garbage collector does not look into. The zero vector is empty.
type vector[T any] struct {
	chunks []owned[chunk[T]]
	gen    uint64 // of the edit that may write chunks
	len    uint32
}

type chunk[T any] [chunkLen]owned[[pageLen]T]

// at returns element i, which must not be written.
func (v *vector[T]) at(i uint32) *T {
	c := v.chunks[i>>(pageBits+chunkBits)].p
	return &c[i>>pageBits%chunkLen].p[i%pageLen]
}

// edit returns element i for the edit gen to write.
func (v *vector[T]) edit(gen uint64, i uint32) *T {
	v.ownChunks(gen)
	c := v.chunks[i>>(pageBits+chunkBits)].writable(gen)
	return &c[i>>pageBits%chunkLen].writable(gen)[i%pageLen]
}

// grow appends a zero element and returns its number and the element.
func (v *vector[T]) grow(gen uint64) (uint32, *T) {
	i := v.len
	v.len++
	if i%(pageLen*chunkLen) == 0 {
		v.ownChunks(gen)
		v.chunks = append(v.chunks, owned[chunk[T]]{})
	}
	return i, v.edit(gen, i)
}

func (v *vector[T]) ownChunks(gen uint64) {
	if v.gen != gen {
		v.chunks = append(make([]owned[chunk[T]], 0, len(v.chunks)+1), v.chunks...)
		v.gen = gen
	}
}
