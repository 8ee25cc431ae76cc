package server

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// Bounds on what one body may hold. They are far above what any operation needs:
// the greatest is a batch of verifications, or a catalogue of permissions.
const (
	maxDepth   = 32
	maxMembers = 1_000  // of one object
	maxValues  = 50_000 // in all
)

// scanner reads JSON (RFC 8259) and accepts only what has one meaning for every
// reader: valid UTF-8, no member twice, no half of a surrogate pair, nothing
// before or after. Its methods return an error that points at the place.
type scanner struct {
	text   string
	pos    int
	values int // read so far
	most   int // of them

	names []string // of the objects that are open, for finding a name that is there twice
}

// checkJSON returns an error unless body is one JSON value within the bounds.
func checkJSON(body []byte) error { return checkJSONOf(body, maxValues) }

// checkJSONOf is checkJSON of what may hold another number of values.
func checkJSONOf(body []byte, most int) error {
	s := scanner{text: string(body), most: most}
	if err := s.value(1); err != nil {
		return err.shown()
	}
	return s.end()
}

// end returns an error unless all of the text has been read.
func (s *scanner) end() error {
	s.space()
	if s.pos < len(s.text) {
		return s.syntax("there is something after the JSON value").shown()
	}
	return nil
}

// value reads any value, at a depth of nesting that counts from 1.
func (s *scanner) value(depth int) *jsonError {
	if s.values++; s.values > s.most {
		return &jsonError{code: "too_many", detail: "the body has more than " + strconv.Itoa(s.most) + " values"}
	}
	switch s.peek() {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		_, err := s.str()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, err := s.number()
	return err
}

func (s *scanner) object(depth int) *jsonError {
	if depth > maxDepth {
		return errDepth
	}
	base := len(s.names)
	var many map[string]bool // the names, once there are more than a few
	s.pos++                  // the brace
	for n := 0; ; n++ {
		name, done, err := s.member(n)
		if err != nil || done {
			s.names = s.names[:base]
			return err
		}
		if n >= maxMembers {
			return &jsonError{code: "too_many", detail: "an object has more than " + strconv.Itoa(maxMembers) + " members"}
		}
		if s.twice(base, name, &many) {
			return duplicate(name)
		}
		if err := s.value(depth + 1); err != nil {
			return err.below(name)
		}
	}
}

// member reads on to the value of an object's next member, the n-th from 0, and
// returns its name, or that the object is done.
func (s *scanner) member(n int) (name string, done bool, err *jsonError) {
	c := s.peek()
	if c == '}' {
		s.pos++
		return "", true, nil
	}
	if n > 0 {
		if c != ',' {
			return "", false, s.syntax("a comma or the end of the object is missing")
		}
		s.pos++
		c = s.peek()
	}
	if c != '"' {
		return "", false, s.syntax("a member's name is missing")
	}
	if name, err = s.str(); err != nil {
		return "", false, err
	}
	if s.peek() != ':' {
		return "", false, s.syntax("a colon is missing")
	}
	s.pos++
	return name, false, nil
}

// twice notes a name of an object, whose first name is names[base], and reports
// whether it was there before.
func (s *scanner) twice(base int, name string, many *map[string]bool) bool {
	const few = 16
	if *many != nil {
		seen := (*many)[name]
		(*many)[name] = true
		return seen
	}
	for _, other := range s.names[base:] {
		if other == name {
			return true
		}
	}
	s.names = append(s.names, name)
	if len(s.names)-base > few {
		*many = make(map[string]bool, 2*few)
		for _, other := range s.names[base:] {
			(*many)[other] = true
		}
	}
	return false
}

func (s *scanner) array(depth int) *jsonError {
	if depth > maxDepth {
		return errDepth
	}
	s.pos++ // the bracket
	for n := 0; ; n++ {
		if done, err := s.element(n); err != nil || done {
			return err
		}
		if err := s.value(depth + 1); err != nil {
			return err.below(strconv.Itoa(n))
		}
	}
}

// element reads on to an array's next element, the n-th from 0, or reports that
// the array is done.
func (s *scanner) element(n int) (done bool, err *jsonError) {
	c := s.peek()
	switch {
	case c == ']':
		s.pos++
		return true, nil
	case n == 0:
		return false, nil
	case c != ',':
		return false, s.syntax("a comma or the end of the array is missing")
	}
	s.pos++
	if s.peek() == ']' {
		return false, s.syntax("there is nothing after a comma")
	}
	return false, nil
}

// space skips white space.
func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte after white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos == len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

func (s *scanner) literal(word string) *jsonError {
	if !strings.HasPrefix(s.text[s.pos:], word) {
		return s.syntax("a value is missing or misspelt")
	}
	s.pos += len(word)
	return nil
}

// str reads a string whose opening quote is next. Unless it has escapes, what it
// returns shares the memory of the text.
func (s *scanner) str() (string, *jsonError) {
	s.pos++
	start := s.pos
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return s.text[start : s.pos-1], nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return "", s.syntax("a string has a control character that is not escaped")
		case c < utf8.RuneSelf:
			s.pos++
		default:
			if err := s.rune(); err != nil {
				return "", err
			}
		}
	}
	return "", s.syntax("a string does not end")
}

// rune skips a character beyond ASCII.
func (s *scanner) rune() *jsonError {
	r, size := utf8.DecodeRuneInString(s.text[s.pos:])
	if r == utf8.RuneError && size == 1 {
		return &jsonError{code: "not_utf8", detail: "the body is not valid UTF-8"}
	}
	s.pos += size
	return nil
}

// escaped reads the rest of a string that has escapes and began at start.
func (s *scanner) escaped(start int) (string, *jsonError) {
	out := []byte(s.text[start:s.pos])
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return string(out), nil
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < ' ':
			return "", s.syntax("a string has a control character that is not escaped")
		case c < utf8.RuneSelf:
			out = append(out, c)
			s.pos++
		default:
			from := s.pos
			if err := s.rune(); err != nil {
				return "", err
			}
			out = append(out, s.text[from:s.pos]...)
		}
	}
	return "", s.syntax("a string does not end")
}

// escape reads one escape, or the two of a surrogate pair.
func (s *scanner) escape() (rune, *jsonError) {
	const short, stands = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	s.pos++
	if s.pos == len(s.text) {
		return 0, s.syntax("a string does not end")
	}
	if i := strings.IndexByte(short, s.text[s.pos]); i >= 0 {
		s.pos++
		return rune(stands[i]), nil
	}
	r, ok := s.unicode()
	switch {
	case !ok:
		return 0, s.syntax("a string has an escape that does not exist")
	case r == 0:
		return 0, &jsonError{code: "control_character", detail: "has the character U+0000", kind: iam.ValidationFailed}
	case !utf16.IsSurrogate(r):
		return r, nil
	}
	if s.pos+1 < len(s.text) && s.text[s.pos] == '\\' {
		s.pos++
		if low, ok := s.unicode(); ok {
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, nil
			}
		}
	}
	return 0, s.syntax("a string has half of a surrogate pair")
}

// unicode reads u and four hexadecimal digits.
func (s *scanner) unicode() (rune, bool) {
	const digits = 4
	if len(s.text)-s.pos < 1+digits || s.text[s.pos] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s.text[s.pos+1:s.pos+1+digits], 16, 32)
	if err != nil {
		return 0, false
	}
	s.pos += 1 + digits
	return rune(n), true
}

// number reads a number and returns it as it is written.
func (s *scanner) number() (string, *jsonError) {
	start := s.pos
	s.skip('-')
	if !s.skip('0') && !s.digits() {
		return "", s.syntax("a value is missing or misspelt")
	}
	if s.skip('.') && !s.digits() {
		return "", s.syntax("a number ends with a point")
	}
	if s.skip('e') || s.skip('E') {
		_ = s.skip('+') || s.skip('-')
		if !s.digits() {
			return "", s.syntax("a number has no exponent")
		}
	}
	return s.text[start:s.pos], nil
}

func (s *scanner) skip(c byte) bool {
	if s.pos < len(s.text) && s.text[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.text) && '0' <= s.text[s.pos] && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// jsonError is what is wrong with a body, and where: the steps from the place up
// to the whole. It costs nothing until there is one.
type jsonError struct {
	kind   iam.Kind // empty: InvalidRequest
	code   string
	detail string
	steps  []string
}

var errDepth = &jsonError{code: "too_deep", detail: "the body is nested more than " + strconv.Itoa(maxDepth) + " deep"}

func (s *scanner) syntax(detail string) *jsonError {
	return &jsonError{code: "not_json", detail: detail}
}

func duplicate(name string) *jsonError {
	return (&jsonError{code: "duplicate", detail: "is there twice"}).below(name)
}

// below returns the error as one of a value that stands under a name.
func (e *jsonError) below(name string) *jsonError {
	return &jsonError{kind: e.kind, code: e.code, detail: e.detail, steps: append(e.steps, name)}
}

// pointer returns the place as a JSON pointer. Names that a client made up are
// told only as far as they can be no secrets.
func (e *jsonError) pointer() string {
	var p strings.Builder
	for i := len(e.steps) - 1; i >= 0; i-- {
		p.WriteByte('/')
		p.WriteString(echo(e.steps[i]))
	}
	return p.String()
}

// shown returns the error as the caller hears it.
func (e *jsonError) shown() error {
	shown := &iam.Error{Kind: e.kind, Fields: []iam.Field{{Pointer: e.pointer(), Code: e.code, Detail: e.detail}}}
	switch e.kind {
	case "":
		shown.Kind, shown.Reason = iam.InvalidRequest, "the body is not JSON that has one meaning: "+e.detail
	case api.CodeUnknownField:
		shown.Reason = "the request has a field that does not exist"
	case api.CodeTooLarge:
		shown.Reason = e.detail
	default:
		shown.Reason = "a field cannot be used as it is"
	}
	return shown
}
