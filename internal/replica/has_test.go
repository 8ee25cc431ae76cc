package replica

import (
	"testing"

	"github.com/posternhq/postern/internal/token"
)

// Looking ahead decides nothing, and fails at nothing: not at keys that are not there,
// and not where there are none.
func TestKeysAreFoundAndLookedAheadAt(t *testing.T) {
	made := newSynthetic(300, 10)
	r := loaded(t, made)
	var hashes []token.Hash
	for _, k := range made.keys {
		hashes = append(hashes, k.Hash, token.Hash{byte(len(hashes))})
	}
	v := r.View()
	v.Warm(hashes)
	v.Warm(nil)
	New(Options{}).View().Warm(hashes)
	for i, h := range hashes {
		if got, want := v.Has(h), i%2 == 0; got != want {
			t.Fatalf("hash %d: got %t, want %t", i, got, want)
		}
		if got := v.Verify(h, Query{Scope: AnyWorkspace()}).Code; (got == NotFound) == (i%2 == 0) {
			t.Fatalf("hash %d: got %v after looking ahead", i, got)
		}
	}
}
