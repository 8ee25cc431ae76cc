package replica

import "github.com/posternhq/postern/internal/token"

// Has reports whether there is a key with a hash, be it usable or not. It is the
// look-up of a verification without the decision, for comparing the two.
func (v View) Has(h token.Hash) bool {
	_, found := v.state.keys.find(&h)
	return found
}
