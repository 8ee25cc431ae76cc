package token

import (
	"strings"
	"testing"
)

func TestShortestTextThatLooksLikeASecretDoes(t *testing.T) {
	for _, word := range secretWords {
		rest := strings.Repeat("a", shortest-len("_sa_"))
		if !LooksSecret(word + rest) {
			t.Errorf("%s and %d letters look like no secret", word, len(rest))
		}
		if LooksSecret(word + rest[1:]) {
			t.Errorf("%s and %d letters look like a secret", word, len(rest)-1)
		}
	}
}
