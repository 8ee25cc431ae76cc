package iam

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/posternhq/postern/internal/token"
)

const (
	maxName         = 64 // characters
	maxDescription  = 500
	maxOwner        = 128
	maxTitle        = 128
	maxEmail        = 254 // RFC 5321, 4.5.3.1.3, less the angle brackets
	maxNote         = 500
	maxMetadata     = 50 // entries
	maxMetadataText = 500
	maxGrants       = 256 // in one role or limit
	maxNetworks     = 64
	maxTypes        = 500 // in a workspace's catalogue
	maxActions      = 64
)

// validation gathers everything that is wrong with an input, so that the caller
// hears of all of it at once.
type validation struct{ fields []Field }

func (v *validation) add(pointer, code, format string, args ...any) {
	v.fields = append(v.fields, Field{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)})
}

func (v *validation) err() error {
	if v.fields == nil {
		return nil
	}
	return &Error{Kind: ValidationFailed, Reason: v.fields[0].Detail, Fields: v.fields}
}

func (v *validation) between(pointer string, n, least, most int64) {
	if n < least || n > most {
		v.add(pointer, "out_of_range", "must be between %d and %d", least, most)
	}
}

func (v *validation) optionalBetween(pointer string, n *int64, least, most int64) {
	if n != nil {
		v.between(pointer, *n, least, most)
	}
}

func (v *validation) notAbove(pointer string, n int64, most *int64) {
	if most != nil && n > *most {
		v.add(pointer, "out_of_range", "must not be above the longest lifetime of %d days", *most)
	}
}

// text checks free text: short enough, valid UTF-8, nothing that moves a cursor
// or turns the direction of writing around.
func (v *validation) text(pointer, s string, most int) {
	switch {
	case utf8.RuneCountInString(s) > most: // before what takes longer
		v.add(pointer, "too_long", "is longer than %d characters", most)
	case token.LooksLikeSecret(s):
		v.add(pointer, "looks_like_key", "holds what looks like a key or the token of an invitation, which are kept nowhere")
	case !utf8.ValidString(s):
		v.add(pointer, "not_utf8", "is not valid UTF-8")
	case strings.ContainsFunc(s, isControl):
		v.add(pointer, "control_character", "has a control character")
	}
}

// isControl reports whether a character could deceive who reads it in a terminal
// or a list: controls, line separators, and what reorders or hides text.
func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// name checks what every noun's name has in common (see api.md, names).
func (v *validation) name(pointer, s string) {
	v.text(pointer, s, maxName)
	switch {
	case strings.TrimSpace(s) == "":
		v.add(pointer, "required", "must not be empty")
	case s != strings.TrimSpace(s):
		v.add(pointer, "surrounding_space", "must not begin or end with white space")
	case strings.Contains(s, "/"):
		v.add(pointer, "slash", "must not have a slash")
	case hasInvisible(s):
		v.add(pointer, "invisible_character", "has a character that nobody sees, so that it reads like another name")
	case slices.Contains([]string{"-", ".", "..", "self", "me"}, s):
		v.add(pointer, "reserved", "%q has a meaning of its own", s)
	case looksLikeID(s):
		v.add(pointer, "looks_like_id", "must not begin like an id (%s)", s[:strings.IndexByte(s, '_')+1])
	}
}

// hasInvisible reports whether a name has a character that shows as nothing, beyond
// those that no text may have: one of Unicode's default ignorables, the Braille
// blank, or a selector of variants at the front or after a character of ASCII, of
// which there are none. Many emoji end in such a selector.
func hasInvisible(s string) bool {
	var before rune
	for _, r := range s {
		selects := unicode.Is(unicode.Variation_Selector, r)
		if selects && before < utf8.RuneSelf || !selects && unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == '\u2800' {
			return true
		}
		before = r
	}
	return false
}

var (
	accountNameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	slugForm        = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	emailForm       = regexp.MustCompile(`^[^\s@<>"]+@[^\s@<>"]+$`)
)

func (v *validation) accountName(pointer, s string) {
	before := len(v.fields)
	v.name(pointer, s)
	if len(v.fields) == before && !accountNameForm.MatchString(s) {
		v.add(pointer, "bad_name", "may have lower-case letters, digits and hyphens, and begins with a letter or digit")
	}
}

func (v *validation) slug(pointer, s string) {
	before := len(v.fields)
	v.name(pointer, s)
	switch {
	case len(v.fields) > before:
	case !slugForm.MatchString(s):
		v.add(pointer, "bad_name", "may have lower-case letters, digits and hyphens, and begins with a letter or digit")
	case s == "any":
		v.add(pointer, "reserved", "%q means every workspace, where a verification names one", s)
	}
}

// folded returns a text in lower case. One that is not UTF-8 stays as it is, to
// be refused: [strings.ToLower] would mend it.
func folded(s string) string {
	if !utf8.ValidString(s) {
		return s
	}
	return strings.ToLower(s)
}

// email checks an address and returns it in the one spelling that is kept.
func (v *validation) email(pointer, s string) string {
	s = folded(strings.TrimSpace(s))
	v.text(pointer, s, maxEmail)
	if !emailForm.MatchString(s) {
		v.add(pointer, "not_an_address", "is not an email address")
	}
	return s
}

func (v *validation) metadata(pointer string, m map[string]string) {
	if len(m) > maxMetadata {
		v.add(pointer, "too_many", "has more than %d entries", maxMetadata)
		return
	}
	for key, value := range m {
		at := pointer + "/" + pointerToken(key)
		if token.LooksLikeSecret(key) {
			at = pointer // not to repeat it
		}
		if key == "" {
			v.add(at, "required", "an entry needs a name")
		}
		v.text(at, key, maxName)
		v.text(at, value, maxMetadataText)
	}
	slices.SortFunc(v.fields, func(a, b Field) int { return strings.Compare(a.Pointer, b.Pointer) })
}

// pointerToken escapes a member's name for a JSON pointer (RFC 6901, section 3).
func pointerToken(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// ParseNetworks reads a list of networks in CIDR notation, or addresses, which
// stand for themselves alone. The error points below pointer.
func ParseNetworks(pointer string, texts []string) ([]netip.Prefix, error) {
	var v validation
	var nets []netip.Prefix
	if len(texts) > maxNetworks {
		v.add(pointer, "too_many", "has more than %d networks", maxNetworks)
		return nil, v.err()
	}
	for i, text := range texts {
		n, err := parseNetwork(text)
		if err != nil {
			v.add(pointer+"/"+strconv.Itoa(i), "not_a_network", "is not a network such as 10.2.0.0/16 or 2001:db8::/32")
			continue
		}
		if !slices.Contains(nets, n) {
			nets = append(nets, n)
		}
	}
	return nets, v.err()
}

func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("not an address")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	n, err := netip.ParsePrefix(text)
	if err != nil || n.Addr().Is4In6() || n != n.Masked() {
		return netip.Prefix{}, fmt.Errorf("not a network")
	}
	return n, nil
}

// ParseDuration reads a whole number and s, m, h or d, at least one second.
func ParseDuration(text string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': day}
	bad := errors.New("is not a duration: write a whole number and s, m, h or d, such as 90d")
	if len(text) < 2 || text[0] < '1' || text[0] > '9' {
		return 0, bad
	}
	unit, ok := units[text[len(text)-1]]
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	if !ok || err != nil || n > int64(maxDays*day/unit) {
		return 0, bad
	}
	return time.Duration(n) * unit, nil
}

// FormatDuration writes a duration as [ParseDuration] reads it, in the largest unit
// that needs no fraction. What is less than a second is rounded up.
func FormatDuration(d time.Duration) string {
	d = max(time.Second, (d + time.Second - 1).Truncate(time.Second))
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
