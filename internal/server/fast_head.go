package server

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/token"
)

// head is what was found out from the lines before the body of a request (RFC 9112).
// They are read in the plainest form that there is, and refused in any other that some
// reader takes: an address that is no path, HTTP of another version, a line that ends
// without CR or goes on in the next, white space before a colon, a body in chunks, a
// length or a host that is there twice.
type head struct {
	complete bool
	length   int  // of the lines, with the empty one
	body     int  // bytes that follow
	closes   bool // the client wants no answer after this one
	awaits   bool // it sends the body when it is told to
}

var endOfHead = []byte("\r\n\r\n")

// read reads the head that a text begins with, if all of it is there, into a call.
func (h *head) read(text []byte, into *fastCall) *problem {
	end := bytes.Index(text, endOfHead)
	switch {
	case end < 0 && len(text) >= fastMaxHead || end > fastMaxHead:
		return withStatus(http.StatusRequestHeaderFieldsTooLarge, api.CodeTooLarge, "the headers of a request have at most 8 KiB here")
	case end < 0:
		return nil
	}
	h.complete, h.length = true, end+len(endOfHead)
	line, rest, _ := strings.Cut(string(text[:end]), "\r\n")
	if refusal := h.readLine(line, into); refusal != nil {
		return refusal
	}
	return h.readHeaders(rest, into)
}

// readLine reads the method and the address.
func (h *head) readLine(line string, into *fastCall) *problem {
	method, rest, _ := strings.Cut(line, " ")
	target, version, found := strings.Cut(rest, " ")
	switch {
	case !isToken(method) || !found || !strings.HasPrefix(target, "/") || !isVisible(target):
		return malformed("the request does not begin with a method, an address and HTTP/1.1")
	case version != "HTTP/1.1":
		return withStatus(http.StatusHTTPVersionNotSupported, api.CodeInvalidRequest, "only HTTP/1.1 is spoken here")
	}
	into.request.Method = method
	return addressOf(target, &into.url)
}

// readHeaders reads the headers, each of which is a line.
func (h *head) readHeaders(text string, into *fastCall) *problem {
	header := into.request.Header
	clear(header)
	for n := 0; text != ""; n++ {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, found := strings.Cut(line, ":")
		switch {
		case !found || !isToken(name) || !isText(value):
			return malformed("a header of the request is not well formed")
		case n == maxHeaders:
			return withStatus(http.StatusRequestHeaderFieldsTooLarge, api.CodeTooLarge, "a request has at most 64 headers here")
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		into.values[n] = strings.Trim(value, " \t")
		if given := header[name]; given != nil {
			header[name] = append(given, into.values[n])
		} else {
			header[name] = into.values[n : n+1 : n+1]
		}
	}
	return h.frame(header)
}

// frame finds out where the request ends, and what its connection is to do then.
func (h *head) frame(header http.Header) *problem {
	lengths := header["Content-Length"]
	switch {
	case len(header["Host"]) != 1:
		return malformed("the request does not name its host, once")
	case len(header["Transfer-Encoding"]) > 0 || len(lengths) > 1:
		return malformed("the length of the body is to be told by Content-Length, once")
	case len(lengths) == 1:
		n, ok := decimal(lengths[0])
		if !ok {
			return malformed("Content-Length is not a number")
		}
		if n > maxBody {
			return errTooLarge
		}
		h.body = n
	}
	for _, value := range header["Connection"] {
		for option := range strings.SplitSeq(value, ",") {
			h.closes = h.closes || token.EqualASCII(strings.Trim(option, " \t"), "close")
		}
	}
	switch given := header["Expect"]; {
	case len(given) == 1 && token.EqualASCII(given[0], "100-continue"):
		h.awaits = true
	case len(given) > 0:
		return withStatus(http.StatusExpectationFailed, api.CodeInvalidRequest, "what the request expects is not known here")
	}
	return nil
}

// decimal reads a number of digits alone. One that is beyond every bound reads as one
// that is just beyond.
func decimal(text string) (n int, ok bool) {
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int(c-'0'), maxBody+1)
	}
	return n, text != ""
}

// isToken reports whether a text is a token (RFC 9110, section 5.6.2), as methods and
// the names of headers are. What begins with white space is none, so that no line is
// taken for the rest of the one before.
func isToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return text != ""
}

// isVisible reports whether a text has visible characters of ASCII alone.
func isVisible(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// isText reports whether a text has no control character but tabs (RFC 9110, section
// 5.5), and so no half of the end of a line.
func isText(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
