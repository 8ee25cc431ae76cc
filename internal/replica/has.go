package replica

import "github.com/posternhq/postern/internal/token"

// Has reports whether there is a key with a hash, be it usable or not. It is the
// look-up of a verification without the decision, for comparing the two.
func (v View) Has(h token.Hash) bool {
	_, found := v.state.keys.find(&h)
	return found
}

// Warm looks at what verifications of some keys will look at, and returns a number that
// means nothing. Each step is made for all of them before the next one, so that a
// processor waits for the memory of many keys at once, and verifying them one after the
// other then finds it near. It decides nothing.
func (v View) Warm(hashes []token.Hash) (sum uint32) {
	const together = 128
	var numbers, owners [together]uint32
	s := v.state
	for len(hashes) > 0 {
		some := hashes[:min(len(hashes), together)]
		hashes = hashes[len(some):]
		for i := range some {
			p := s.keys.index.find(some[i].Head())
			if p.bucket != nil {
				sum += p.bucket.slot[p.pos]
			}
		}
		n := 0
		for i := range some {
			if p := s.keys.index.find(some[i].Head()); p.next() {
				numbers[n] = p.number
				n++
			}
		}
		for i, number := range numbers[:n] {
			owners[i] = s.keys.rows.at(number).principal
		}
		for _, owner := range owners[:n] {
			sum += uint32(s.principals.rows.at(owner).state)
		}
		for i, owner := range owners[:n] {
			sum += first(string(s.principals.rows.at(owner).id)) + first(s.principals.rows.at(owner).name) + first(s.keys.name(numbers[i]))
		}
	}
	return sum
}

func first(text string) uint32 {
	if text == "" {
		return 0
	}
	return uint32(text[0])
}
