package replica

import (
	"crypto/subtle"
	"slices"

	"github.com/posternhq/postern/internal/token"
)

// keyRecord is what is kept of a key. It has no pointers, so that the garbage
// collector passes by a million of them, and every byte of it counts.
type keyRecord struct {
	hash      token.Hash
	id        [16]byte
	expires   int64  // microseconds since 1970; 0: never
	principal uint32 // number of its owner
	limit     uint32 // number of a set of permissions; 0: all that the role allows
	networks  uint32 // number of a list of networks; 0: from anywhere
	nameEnd   uint16 // where its name ends in its page's text, and the next one begins
	marks     marks
	end       ending
}

// marks are what is true of a key besides, a bit each: a record has no room to spare.
type marks uint8

const (
	pausedMark  marks = 1 << iota
	sessionMark       // it is a session of a person who signed in, and no key
)

func marksOf(paused, session bool) (m marks) {
	if paused {
		m |= pausedMark
	}
	if session {
		m |= sessionMark
	}
	return m
}

func (m marks) has(mark marks) bool { return m&mark != 0 }

// ending says whether and how a key has ended.
type ending uint8

const (
	running ending = iota
	revoked        // the log says so
	denied         // a log said so that has been lost since: no other can revive it
)

// maxName is how long a key's name may be, in bytes: the text of a page must not
// outgrow nameEnd. It is four times what package iam lets through in characters.
const maxName = 256

// keyTable holds the keys. The names of a page's keys are one text, in order.
type keyTable struct {
	rows  vector[keyRecord]
	names vector[string] // by page
	index index

	spare  uint32 // number of a record that is no key's, plus one, whose principal is the next such; 0: there is none
	spares uint32 // how many there are
}

// find returns the number of the key with a hash. The time that comparing takes
// does not tell how much of a hash was right.
func (t *keyTable) find(h *token.Hash) (number uint32, found bool) {
	for p := t.index.find(h.Head()); p.next(); {
		if subtle.ConstantTimeCompare(t.rows.at(p.number).hash[:], h[:]) == 1 {
			return p.number, true
		}
	}
	return 0, false
}

func (t *keyTable) hashOf(number uint32) uint64 { return t.rows.at(number).hash.Head() }

// name returns the name of a key. It shares the memory of its page's text.
func (t *keyTable) name(number uint32) string {
	start, end := t.span(number)
	return (*t.names.at(number / pageLen))[start:end]
}

// span says where in its page's text the name of a key is.
func (t *keyTable) span(number uint32) (start, end uint16) {
	if number%pageLen != 0 {
		start = t.rows.at(number - 1).nameEnd
	}
	return start, t.rows.at(number).nameEnd
}

// keyEdit is a keyTable that an edit may write, with the text of one page open.
// It builds each page's text once, however many of the names in it change.
type keyEdit struct {
	keyTable
	gen     uint64
	open    uint32 // the page whose text is open
	text    []byte // of the open page
	changed bool   // text is not what names holds for the page
}

// add enters a key with a name of no length, and returns its number.
func (e *keyEdit) add(h *token.Hash) (uint32, error) {
	if e.spare != 0 {
		number, row := e.reuse()
		row.hash = *h
		return number, e.index.add(e.gen, h.Head(), number, e.hashOf)
	}
	number, row := e.rows.grow(e.gen)
	row.hash = *h
	if number%pageLen == 0 {
		e.names.grow(e.gen)
	} else {
		row.nameEnd = e.rows.at(number - 1).nameEnd
	}
	return number, e.index.add(e.gen, h.Head(), number, e.hashOf)
}

// rename gives a key another name, of at most maxName bytes.
func (e *keyEdit) rename(number uint32, name string) {
	e.openPage(number / pageLen)
	start, end := e.span(number)
	if string(e.text[start:end]) == name {
		return
	}
	e.text = slices.Replace(e.text, int(start), int(end), []byte(name)...)
	e.changed = true
	last := min(number|(pageLen-1), e.rows.len-1)
	for i := number; i <= last; i++ {
		e.rows.edit(e.gen, i).nameEnd += uint16(len(name)) - (end - start)
	}
}

func (e *keyEdit) openPage(page uint32) {
	if e.open == page && e.text != nil {
		return
	}
	e.closePage()
	e.open, e.text = page, append(e.text[:0], *e.names.at(page)...)
	if e.text == nil {
		e.text = []byte{}
	}
}

// closePage puts the text of the open page in its place.
func (e *keyEdit) closePage() {
	if e.changed {
		*e.names.edit(e.gen, e.open) = string(e.text)
		e.changed = false
	}
}
