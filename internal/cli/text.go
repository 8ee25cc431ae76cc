package cli

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// secretLike matches what could be a key that lost its end, or an invitation's
// token. An id of an invitation is shorter than a token.
var secretLike = regexp.MustCompile(`[a-z0-9]_(sa|usr)_[0-9A-Za-z]{16,}|inv_[0-9A-Za-z]{33}`)

// safe returns text with everything spelled out that could move the cursor,
// change colours or turn the direction of writing around: names come from other
// people.
func safe(text string) string {
	if !strings.ContainsFunc(text, isUnsafe) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isUnsafe(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// safeLines is safe for text of our own that has lines.
func safeLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = safe(lines[i])
	}
	return strings.Join(lines, "\n")
}

func isUnsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

// count returns a number and a noun in the right form.
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote returns a word as a shell takes it, for lines that are meant to be
// copied.
func quote(word string) string {
	word = safe(word)
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
