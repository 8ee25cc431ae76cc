package token

// EqualASCII reports whether text is want, which is in lower case, whatever the
// case of its letters, as the names of authentication schemes are compared (RFC
// 9110, section 11.1). Nothing beyond ASCII folds.
func EqualASCII(text, want string) bool {
	if len(text) != len(want) {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}
