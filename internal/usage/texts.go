package usage

import (
	"bytes"
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// texts gives each distinct text a number, so that a text is kept once. Texts are
// only added; one that is half full is replaced by an empty one. It is safe for
// concurrent use.
type texts struct {
	seed  maphash.Seed // clients choose the texts: they must not choose where those collide
	index index
	all   []text
	used  atomic.Uint32
	bytes atomic.Int64
}

type text struct {
	hash uint64
	text string
}

// Bounds on texts. The longest ask takes 64 permissions of 256 bytes each.
const (
	maxTextBytes = 4 << 20 // in all
	noText       = 0       // the number that no text has
)

func newTexts(capacity int) *texts {
	return &texts{seed: maphash.MakeSeed(), index: newIndex(capacity), all: make([]text, capacity)}
}

// at returns the text with a number.
func (t *texts) at(number uint32) string { return t.all[number-1].text }

// orFresh returns t, or an empty one when t is half full.
func (t *texts) orFresh() *texts {
	if int(t.used.Load()) < len(t.all)/2 && t.bytes.Load() < maxTextBytes/2 {
		return t
	}
	return newTexts(len(t.all))
}

// number returns the number of a text, which is added if it is new. It returns
// noText when there is no room.
func (t *texts) number(what []byte) uint32 {
	hash := maphash.Bytes(t.seed, what)
	for {
		n, free := t.look(hash, what)
		if n != noText || free == nil {
			return n
		}
		if n = t.add(hash, what); n == noText || free.CompareAndSwap(0, n) {
			return n
		}
	}
}

// find returns the number of a text that is there, or noText.
func (t *texts) find(what []byte) uint32 {
	n, _ := t.look(maphash.Bytes(t.seed, what), what)
	return n
}

// look returns the number of a text, or the slot that is free for it.
func (t *texts) look(hash uint64, what []byte) (n uint32, free *atomic.Uint32) {
	for try := range longestProbe {
		slot := t.index.slot(hash, try)
		n := slot.Load()
		if n == 0 {
			return noText, slot
		}
		if have := &t.all[n-1]; have.hash == hash && have.text == string(what) {
			return n, nil
		}
	}
	return noText, nil
}

// add keeps a text and returns its number, or noText.
func (t *texts) add(hash uint64, what []byte) uint32 {
	if t.bytes.Add(int64(len(what))) > maxTextBytes {
		return noText
	}
	n := t.used.Add(1)
	if int(n) > len(t.all) {
		return noText
	}
	t.all[n-1] = text{hash, string(what)}
	return n
}

// appendAsk appends the canonical text of an ask: its permissions in order, with
// a space between two, each of them once. With general, ids are left out.
func appendAsk(dst []byte, asked []string, general bool) []byte {
	if len(asked) == 1 {
		return appendPermission(dst, asked[0], general)
	}
	type span struct{ from, to int }
	var room [1024]byte
	var places [8]span
	words, order := room[:0], places[:0]
	for _, permission := range asked {
		from := len(words)
		words = appendPermission(words, permission, general)
		order = append(order, span{from, len(words)})
	}
	word := func(i int) []byte { return words[order[i].from:order[i].to] }
	for i := range order { // they are few, and mostly in order
		for j := i; j > 0 && bytes.Compare(word(j), word(j-1)) < 0; j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	for i := range order {
		if i > 0 && bytes.Equal(word(i), word(i-1)) {
			continue
		}
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, word(i)...)
	}
	return dst
}

// appendPermission appends a permission, with general without its id.
func appendPermission(dst []byte, permission string, general bool) []byte {
	typ, rest, hasID := strings.Cut(permission, "/")
	if !general || !hasID {
		return append(dst, permission...)
	}
	_, action, _ := strings.Cut(rest, ":")
	dst = append(dst, typ...)
	dst = append(dst, "/…:"...)
	return append(dst, action...)
}
