package server

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const (
	maxAsked = 64    // permissions in one verification: a verdict holds a bit for each
	maxItems = 1_000 // verifications in one batch
)

// asks are verifications as they were asked: the one of a call, or those of a
// batch. They share the memory of the body, and are used again for other calls.
type asks struct {
	batch  bool // they are answered as a list
	items  []ask
	wanted []iam.Permission // of all items
	texts  []string         // the same, as they were written

	revision int64 // the greatest min_revision
}

// ask is one verification.
type ask struct {
	key       string
	workspace string // as named; the caller's own when named is false
	named     bool
	ip        netip.Addr
	agent     string // as the caller says
	from, to  int    // its part of wanted and texts
}

func (q *asks) reset() {
	clear(q.items)
	clear(q.wanted)
	clear(q.texts)
	*q = asks{items: q.items[:0], wanted: q.wanted[:0], texts: q.texts[:0]}
}

// readOne reads the body of POST /v1/verify.
func (q *asks) readOne(text string) error {
	s := scanner{text: text, most: maxValues}
	if err := q.item(&s); err != nil {
		return err.shown()
	}
	return s.end()
}

// readBatch reads the body of POST /v1/verify/batch.
func (q *asks) readBatch(text string) error {
	q.batch = true
	s := scanner{text: text, most: maxValues}
	seen := false
	err := s.fields(func(name string) *jsonError {
		if name != "items" {
			return unknownField()
		}
		if seen {
			return errTwice
		}
		seen = true
		return s.list(func(n int) *jsonError {
			if n == maxItems {
				return &jsonError{kind: api.CodeTooLarge, code: "too_many", detail: "a batch has at most " + strconv.Itoa(maxItems) + " items"}
			}
			return q.item(&s)
		})
	})
	if err == nil && !seen {
		err = required("items")
	}
	if err != nil {
		return err.shown()
	}
	return s.end()
}

// Bits for the members that an item has had.
const (
	sawKey = 1 << iota
	sawPermissions
	sawSource
	sawWorkspace
	sawRevision
)

// item reads one verification.
func (q *asks) item(s *scanner) *jsonError {
	a := ask{from: len(q.wanted)}
	saw := 0
	err := s.fields(func(name string) *jsonError {
		bit := 0
		switch name {
		case "key":
			bit = sawKey
		case "permissions":
			bit = sawPermissions
		case "source":
			bit = sawSource
		case "workspace":
			bit = sawWorkspace
		case "min_revision":
			bit = sawRevision
		default:
			return unknownField()
		}
		if saw&bit != 0 {
			return errTwice
		}
		saw |= bit
		return q.member(s, &a, bit)
	})
	switch {
	case err != nil:
		return err
	case saw&sawKey == 0:
		return required("key")
	}
	a.to = len(q.wanted)
	q.items = append(q.items, a)
	return nil
}

// member reads the value of one member of a verification. Null is as good as
// leaving it out, but for the key.
func (q *asks) member(s *scanner, a *ask, bit int) (err *jsonError) {
	if bit != sawKey && s.peek() == 'n' {
		return s.literal("null")
	}
	switch bit {
	case sawKey:
		a.key, err = s.textValue()
	case sawPermissions:
		err = s.list(func(n int) *jsonError { return q.permission(s, a, n) })
	case sawSource:
		err = a.source(s)
	case sawWorkspace:
		a.named = true
		a.workspace, err = s.textValue()
	case sawRevision:
		var revision int64
		revision, err = s.wholeNumber()
		q.revision = max(q.revision, revision)
	}
	return err
}

func (q *asks) permission(s *scanner, a *ask, n int) *jsonError {
	if n == maxAsked {
		return invalid("too_many", "a verification asks for at most "+strconv.Itoa(maxAsked)+" permissions")
	}
	text, err := s.textValue()
	if err != nil {
		return err
	}
	p, bad := iam.ParsePermission(text)
	if bad != nil {
		return invalid("not_a_permission", "write type:action or type/id:action")
	}
	if !slices.Contains(q.texts[a.from:], text) {
		q.wanted, q.texts = append(q.wanted, p), append(q.texts, text)
	}
	return nil
}

// source reads where the key was used.
func (a *ask) source(s *scanner) *jsonError {
	var ip, agent bool
	return s.fields(func(name string) (err *jsonError) {
		switch {
		case name == "ip" && !ip:
			ip = true
			return a.address(s)
		case name == "user_agent" && !agent:
			agent = true
			a.agent, err = s.textValue()
			return err
		case name == "ip" || name == "user_agent":
			return errTwice
		}
		return unknownField()
	})
}

func (a *ask) address(s *scanner) *jsonError {
	text, err := s.textValue()
	if err != nil {
		return err
	}
	addr, bad := netip.ParseAddr(text)
	if bad != nil || addr.Zone() != "" {
		return invalid("not_an_address", "must be an IPv4 or IPv6 address")
	}
	a.ip = addr
	return nil
}

// fields reads an object and calls read with the name of each member to read its
// value.
func (s *scanner) fields(read func(name string) *jsonError) *jsonError {
	if s.peek() != '{' {
		return s.wrongType("object")
	}
	s.pos++
	for n := 0; ; n++ {
		name, done, err := s.member(n)
		if err != nil || done {
			return err
		}
		s.space()
		if err := read(name); err != nil {
			return err.below(name)
		}
	}
}

// list reads an array and calls read to read each of its elements.
func (s *scanner) list(read func(n int) *jsonError) *jsonError {
	if s.peek() != '[' {
		return s.wrongType("array")
	}
	s.pos++
	for n := 0; ; n++ {
		if done, err := s.element(n); err != nil || done {
			return err
		}
		if err := read(n); err != nil {
			return err.below(strconv.Itoa(n))
		}
	}
}

// textValue reads a value that must be a string.
func (s *scanner) textValue() (string, *jsonError) {
	if s.peek() != '"' {
		return "", s.wrongType("string")
	}
	return s.str()
}

// wholeNumber reads a value that must be a whole number, and not a negative one.
func (s *scanner) wholeNumber() (int64, *jsonError) {
	if c := s.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, s.wrongType("integer")
	}
	text, err := s.number()
	if err != nil {
		return 0, err
	}
	n, bad := strconv.ParseInt(text, 10, 64)
	switch {
	case bad != nil:
		return 0, invalid("wrong_type", "must be integer")
	case n < 0:
		return 0, invalid("out_of_range", "must not be negative")
	}
	return n, nil
}

// wrongType returns the error of a value that is not what it must be, or of a
// text that is no value at all.
func (s *scanner) wrongType(want string) *jsonError {
	if err := s.value(1); err != nil {
		return err
	}
	return invalid("wrong_type", "must be "+want)
}

func invalid(code, detail string) *jsonError {
	return &jsonError{kind: iam.ValidationFailed, code: code, detail: detail}
}

func required(name string) *jsonError { return invalid("required", "must be there").below(name) }

func unknownField() *jsonError {
	return &jsonError{kind: api.CodeUnknownField, code: api.CodeUnknownField, detail: "there is no such field"}
}

var errTwice = &jsonError{code: "duplicate", detail: "is there twice"}
