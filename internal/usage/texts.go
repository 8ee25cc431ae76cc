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
	all   []string
	used  atomic.Uint32
	bytes atomic.Int64
}

// Bounds on texts. The longest ask takes 64 permissions of 256 bytes each.
const (
	maxTextBytes = 4 << 20 // in all
	noText       = 0       // the number that no text has
)

func newTexts(capacity int) *texts {
	return &texts{seed: maphash.MakeSeed(), index: newIndex(capacity), all: make([]string, capacity)}
}

// at returns the text with a number.
func (t *texts) at(number uint32) string { return t.all[number-1] }

// orFresh returns t, or an empty one when t is half full.
func (t *texts) orFresh() *texts {
	if int(t.used.Load()) < len(t.all)/2 && t.bytes.Load() < maxTextBytes/2 {
		return t
	}
	return newTexts(len(t.all))
}

// is reports whether a text has a number.
func (t *texts) is(number uint32, what string) bool {
	switch number {
	case noText:
		return what == ""
	case noOwn:
		return false
	}
	return t.at(number) == what
}

// number returns the number of a text, or noText when there is no room for it, or it is
// new and must not be kept.
func number[T string | []byte](t *texts, what T, keep bool) uint32 {
	hash := hashText(t.seed, what)
	for {
		n, free := look(t, hash, what)
		if n != noText || free == nil || !keep {
			return n
		}
		if n = t.add(string(what)); n == noText || free.CompareAndSwap(0, t.index.entry(hash, n)) {
			return n
		}
	}
}

func hashText[T string | []byte](seed maphash.Seed, what T) uint64 {
	if text, ok := any(what).(string); ok {
		return maphash.String(seed, text)
	}
	return maphash.Bytes(seed, []byte(what))
}

// look returns the number of a text, or the slot that is free for it.
func look[T string | []byte](t *texts, hash uint64, what T) (n uint32, free *atomic.Uint32) {
	for try := range longestProbe {
		slot := t.index.slot(hash, try)
		entry := slot.Load()
		if entry == 0 {
			return noText, slot
		}
		if n := t.index.number(hash, entry); n != noText && t.at(n) == string(what) {
			return n, nil
		}
	}
	return noText, nil
}

// add keeps a text and returns its number, or noText.
func (t *texts) add(what string) uint32 {
	if t.bytes.Add(int64(len(what))) > maxTextBytes {
		return noText
	}
	n := t.used.Add(1)
	if int(n) > len(t.all) {
		return noText
	}
	t.all[n-1] = strings.Clone(what)
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
