package server

import (
	"regexp"
	"strings"
)

var (
	// secretShape matches what begins like a key of any deployment, or like an
	// invitation's token, and goes on for longer than an id does.
	secretShape = regexp.MustCompile(`(?:_(?:sa|usr)_|\binv_)[0-9A-Za-z]{27,}`)

	// secretPart matches what could be the greater part of a secret. Nothing that
	// Postern says by itself matches it, but a client's own ids may.
	secretPart = regexp.MustCompile(`[0-9A-Za-z]*_(?:sa|usr)_[0-9A-Za-z_]+|inv_[0-9a-z]*[A-Z][0-9A-Za-z]*|[0-9A-Za-z]{30,}`)
)

// looksSecret reports whether a text that a client sent where no secret belongs
// holds one. The pattern is slow, and most texts hold none of its beginnings.
func looksSecret(text string) bool {
	begins := strings.Contains(text, "_sa_") || strings.Contains(text, "_usr_") || strings.Contains(text, "inv_")
	return begins && secretShape.MatchString(text)
}

// conceal takes out of a text what could be a secret that was sent by mistake, so
// that the text can be answered and logged.
func conceal(text string) string { return secretPart.ReplaceAllLiteralString(text, "[hidden]") }
