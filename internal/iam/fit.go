package iam

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/posternhq/postern/internal/token"
)

// MaxAgent is how many characters are kept of what a client says of itself.
const MaxAgent = 256

// SafeText returns what a client said of itself as it may stand in a log: short,
// valid, on one line, and without anything that could be a key.
func SafeText(text string) string {
	if len(text) > MaxAgent*utf8.UTFMax {
		text = text[:MaxAgent*utf8.UTFMax]
	}
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, token.Conceal(text))
	if runes := []rune(text); len(runes) > MaxAgent {
		text = string(runes[:MaxAgent])
	}
	return text
}

// Fit returns a use as it may be kept: what a client said of itself and asked for
// may be what the client likes, a secret too.
func (u Use) Fit() Use {
	u.UserAgent, u.Asked = FitAgent(u.UserAgent), fitAsked(u.Asked)
	return u
}

// FitAgent returns what a client said of itself as [SafeText] does. Most texts are
// fit as they are, which is found out without looking for patterns.
func FitAgent(text string) string {
	if len(text) > MaxAgent || token.Suspicious(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return SafeText(text)
	}
	return text
}

func fitAsked(asked []string) []string {
	for i := range asked {
		if !token.LooksSecret(asked[i]) {
			continue
		}
		fit := make([]string, len(asked)) // asked belongs to the call
		for j := range asked {
			fit[j] = token.Conceal(asked[j])
		}
		return fit
	}
	return asked
}

// FitRequestID returns the id that a client gave its request, once, if it is fit to
// be answered and written into logs, or a new one.
func FitRequestID(given []string, now time.Time) string {
	if len(given) == 1 && isRequestID(given[0]) && !token.LooksSecret(given[0]) {
		return given[0]
	}
	return newRequestID(now)
}

// newRequestID returns an id that is as unlikely to be another request's as any, and
// need not be hard to guess: [NewID] takes several times as long, with each request.
func newRequestID(now time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|rand.Uint64()>>48)
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return FormatID(RequestPrefix, id)
}

func isRequestID(text string) bool {
	const most = 64
	for i := range len(text) {
		c := text[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("_.-", c) >= 0) {
			return false
		}
	}
	return text != "" && len(text) <= most
}
