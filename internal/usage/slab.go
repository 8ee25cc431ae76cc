package usage

// slab is a list that grows by pieces, so that growing moves nothing. Numbers
// begin at 1.
type slab[T any] struct {
	pieces []*[piece]T
	used   int
}

const piece = 256

// add returns the number of a new element, which is zero.
func (s *slab[T]) add() uint32 {
	if s.used == len(s.pieces)*piece {
		s.pieces = append(s.pieces, new([piece]T))
	}
	s.used++
	n := uint32(s.used)
	*s.at(n) = *new(T) // somebody may have used its place before
	return n
}

// empty removes all elements, and keeps their places for others.
func (s *slab[T]) empty() { s.used = 0 }

func (s *slab[T]) at(number uint32) *T { return &s.pieces[(number-1)/piece][(number-1)%piece] }
