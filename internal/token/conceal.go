package token

import (
	"regexp"
	"slices"
	"strings"
)

var (
	// secretShape matches what begins like a key of any deployment, or like another
	// secret that Postern makes, and goes on for longer than an id does.
	secretShape = regexp.MustCompile(`(?:_(?:sa|usr)_|\b(?:inv|setup|member|sess|dev|cer)_)[0-9A-Za-z]{27,}`)

	// secretPart matches what could be the greater part of a secret. Nothing that
	// Postern says by itself matches it, but a client's own ids may.
	secretPart = regexp.MustCompile(`[0-9A-Za-z]*_(?:sa|usr)_[0-9A-Za-z_]+|inv_[0-9a-z]*[A-Z][0-9A-Za-z]*|[0-9A-Za-z]{30,}`)
)

// secretWords are what every secret that Postern makes has in it.
var secretWords = []string{"_sa_", "_usr_", "inv_", "setup_", "member_", "sess_", "dev_", "cer_"}

// shortest is how long a text is at least that secretShape matches.
const shortest = len("_sa_") + 27

// LooksSecret reports whether a text that a client sent where no secret belongs
// holds one. The pattern is slow, and most texts hold none of its beginnings, or are
// too short.
func LooksSecret(text string) bool {
	return len(text) >= shortest && slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(text, w) }) && secretShape.MatchString(text)
}

// Conceal takes out of a text what could be a secret that was sent by mistake, so
// that the text can be answered and logged.
func Conceal(text string) string { return secretPart.ReplaceAllLiteralString(text, "[hidden]") }

// Suspicious reports whether a text may have in it what [Conceal] takes out. It is
// fast, and true of some texts that have nothing to hide.
func Suspicious(text string) bool {
	const longest = 30 // letters and digits in a row that cannot be the part of a secret, and one more
	run := 0
	for i := range len(text) {
		c := text[i]
		switch {
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			if run++; run == longest {
				return true
			}
		case c == '_' && mayBegin(text, i):
			return true
		default:
			run = 0
		}
	}
	return false
}

// mayBegin reports whether a secret may begin around the _ that a text has at i.
func mayBegin(text string, i int) bool {
	return slices.ContainsFunc(secretWords, func(w string) bool {
		return w[0] == '_' && strings.HasPrefix(text[i:], w) || w[0] != '_' && strings.HasSuffix(text[:i+1], w)
	})
}
