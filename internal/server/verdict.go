package server

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/replica"
)

// appendVerdict appends an [api.Verdict] as JSON. texts are the permissions that
// were asked for, as they were written; fresh is for how long the answer may be
// relied on. It does not allocate when dst has room.
func appendVerdict(dst []byte, v *replica.Verdict, texts []string, fresh time.Duration, requestID string) []byte {
	dst = append(dst, `{"valid":`...)
	dst = strconv.AppendBool(dst, v.Code == replica.Valid)
	dst = append(dst, `,"code":"`...)
	dst = append(dst, v.Code.String()...)
	dst = append(dst, '"')
	if v.KeyFound {
		dst = appendHolder(dst, v)
	}
	if len(texts) > 0 {
		dst = append(dst, `,"decisions":{`...)
		for i, text := range texts {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendText(dst, text)
			dst = append(dst, ':')
			dst = strconv.AppendBool(dst, v.Allows(i))
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendInt(dst, v.Revision, 10)
	dst = append(dst, `,"fresh_for_ms":`...)
	dst = strconv.AppendInt(dst, fresh.Milliseconds(), 10)
	dst = append(dst, `,"request_id":`...)
	dst = appendPlain(dst, requestID)
	return append(dst, '}')
}

// appendHolder appends the key, whose it is and its role.
func appendHolder(dst []byte, v *replica.Verdict) []byte {
	dst = append(dst, `,"principal":{"id":`...)
	dst = appendPlain(dst, string(v.Principal.ID))
	dst = append(dst, `,"type":`...)
	dst = appendPlain(dst, string(v.Principal.Type))
	dst = append(dst, `,"name":`...)
	dst = appendText(dst, v.Principal.Name)
	dst = append(dst, `,"state":`...)
	dst = appendPlain(dst, string(v.Principal.State))
	dst = append(dst, `,"workspace":{"id":`...)
	dst = appendPlain(dst, string(v.Workspace.ID))
	dst = append(dst, `,"slug":`...)
	dst = appendText(dst, v.Workspace.Slug)
	dst = append(dst, `}},"key":{"id":"`...)
	dst = v.AppendKeyID(dst)
	dst = append(dst, `","name":`...)
	dst = appendText(dst, v.Key.Name)
	dst = append(dst, `,"expires_at":`...)
	dst = appendMicros(dst, v.Key.ExpiresAt)
	dst = append(dst, `},"role":{"id":`...)
	dst = appendPlain(dst, string(v.Role.ID))
	dst = append(dst, `,"name":`...)
	dst = appendText(dst, v.Role.Name)
	return append(dst, '}')
}

// appendPlain appends a JSON string of an id, or of a word of the product's own, which
// have nothing in them that JSON writes in another way.
func appendPlain(dst []byte, text string) []byte {
	return append(append(append(dst, '"'), text...), '"')
}

// appendMicros appends a time in microseconds since 1970, or null for 0.
func appendMicros(dst []byte, micros int64) []byte {
	if micros == 0 {
		return append(dst, `null`...)
	}
	dst = append(dst, '"')
	dst = time.UnixMicro(micros).UTC().AppendFormat(dst, api.TimeLayout)
	return append(dst, '"')
}

// appendText appends a JSON string (RFC 8259, section 7). What is not valid UTF-8
// is replaced, as package encoding/json does.
func appendText(dst []byte, text string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, text[start:i]...)
				dst = utf8.AppendRune(dst, utf8.RuneError)
				start = i + size
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, text[start:i]...)
			dst = appendEscape(dst, c)
			start = i + 1
		}
		i++
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	if c == '"' || c == '\\' {
		return append(dst, '\\', c)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
}
