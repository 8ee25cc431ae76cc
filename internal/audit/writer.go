package audit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// timeLayout is RFC 3339 with exactly six digits of fraction. Times are in UTC
// when they are written, so that the zone is always "Z".
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// maxInt is the largest integer that every reader of JSON keeps exactly
// (RFC 7493, section 2.2), as numbers may be read as IEEE 754 doubles.
const maxInt = 1<<53 - 1

var errNotUTF8 = errors.New("a text is not valid UTF-8")

// writer appends JSON without white space to buf. It keeps the first error and
// writes on, so that the caller asks for it once, at the end.
type writer struct {
	buf []byte
	err error

	// visible escapes what a terminal or a reader of lines could act on, such
	// as U+009B or U+2028. It means the same and is not canonical.
	visible bool
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// lit writes JSON as it stands.
func (w *writer) lit(json string) *writer {
	w.buf = append(w.buf, json...)
	return w
}

func (w *writer) int(n int64) {
	if n < -maxInt || n > maxInt {
		w.fail(fmt.Errorf("the number %d is further than 2^53-1 from zero", n))
	}
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

func (w *writer) time(t time.Time) {
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		w.fail(fmt.Errorf("the year %d has not four digits", t.Year()))
	}
	w.buf = append(w.buf, '"')
	w.buf = t.AppendFormat(w.buf, timeLayout)
	w.buf = append(w.buf, '"')
}

func (w *writer) str(s string) {
	if !utf8.ValidString(s) {
		w.fail(errNotUTF8)
	}
	w.buf = append(w.buf, '"')
	for _, r := range s {
		w.char(r)
	}
	w.buf = append(w.buf, '"')
}

// char writes one character of a string (RFC 8785, section 3.2.2.2).
func (w *writer) char(r rune) {
	const short, letters = "\"\\\b\t\n\f\r", `"\btnfr`
	const hex = "0123456789abcdef"
	if i := strings.IndexRune(short, r); i >= 0 {
		w.buf = append(w.buf, '\\', letters[i])
		return
	}
	if r >= ' ' && (!w.visible || unicode.IsPrint(r)) {
		w.buf = utf8.AppendRune(w.buf, r)
		return
	}
	for _, unit := range utf16.AppendRune(nil, r) {
		w.buf = append(w.buf, '\\', 'u', hex[unit>>12], hex[unit>>8&15], hex[unit>>4&15], hex[unit&15])
	}
}

func (w *writer) ref(r *Ref) {
	if r == nil {
		w.lit("null")
		return
	}
	w.lit(`{"id":`).str(r.ID)
	w.lit(`,"name":`).str(r.Name)
	w.lit(`}`)
}

func (w *writer) fields(f Fields) { writeObject(w, f, w.value) }

func (w *writer) value(v any) {
	switch v := v.(type) {
	case nil:
		w.lit("null")
	case bool:
		w.buf = strconv.AppendBool(w.buf, v)
	case int64:
		w.int(v)
	case string:
		w.str(v)
	case []string:
		w.texts(v)
	case map[string]string:
		writeObject(w, v, w.str)
	case Fields:
		w.fields(v)
	default:
		w.fail(fmt.Errorf("a value of type %T", v))
	}
}

func (w *writer) texts(texts []string) {
	if texts == nil {
		w.lit("null")
		return
	}
	w.lit("[")
	for i, text := range texts {
		if i > 0 {
			w.lit(",")
		}
		w.str(text)
	}
	w.lit("]")
}

// writeObject writes the members of an object in canonical order, each value
// with write.
func writeObject[V any](w *writer, members map[string]V, write func(V)) {
	if members == nil {
		w.lit("null")
		return
	}
	w.lit("{")
	for i, name := range slices.SortedFunc(maps.Keys(members), compareUTF16) {
		if i > 0 {
			w.lit(",")
		}
		w.str(name)
		w.lit(":")
		write(members[name])
	}
	w.lit("}")
}

// compareUTF16 orders names by their UTF-16 code units (RFC 8785, section
// 3.2.3). Beyond U+FFFF that is not the order of their bytes.
func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}
