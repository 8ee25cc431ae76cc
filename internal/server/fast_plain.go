package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// plainVerify is POST /v1/verify as nearly every client sends it: each of a few headers
// at most once, and in their values nothing that would have to be looked up. It is read
// without a map for its headers. What is written in any other way is no error: [head]
// reads it, to which a test holds this reader.
type plainVerify struct {
	length int    // of all of it; 0: it is not plain
	key    string // that it is called with
	agent  string // as the caller says
	body   string
}

const (
	verifyPath = "/v1/verify"
	verifyLine = "POST " + verifyPath + " HTTP/1.1\r\n"

	// mostPlain bounds what is looked at at once, in bytes.
	mostPlain = 2 << 10
)

// read reads the request that a text begins with, or reports that it is not plain, or
// not whole.
func (q *plainVerify) read(text string) bool {
	rest, plain := strings.CutPrefix(text, verifyLine)
	for seen := plainHeader(0); plain; {
		end := endOfLine(rest)
		if end < 0 {
			return false
		}
		line := rest[:end]
		rest = rest[end+len("\r\n"):]
		if line == "" {
			return seen&neededHeaders == neededHeaders && q.end(len(text), rest)
		}
		name, value, found := strings.Cut(line, ":")
		header := plainHeaderOf(name)
		if !found || header == 0 || seen&header != 0 {
			return false
		}
		seen |= header
		plain = q.header(header, strings.Trim(value, " "))
	}
	return false
}

// end takes the body, which the rest of the text begins with.
func (q *plainVerify) end(all int, rest string) bool {
	length := q.length
	if q.length = 0; length > len(rest) {
		return false
	}
	q.length, q.body = all-len(rest)+length, rest[:length]
	return true
}

// endOfLine returns where a line ends, or -1 when it does not, or has a character that
// needs a closer look.
func endOfLine(text string) int {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == 0x7f {
			if strings.HasPrefix(text[i:], "\r\n") {
				return i
			}
			return -1
		}
	}
	return -1
}

// plainHeader is a header that a plain request may have.
type plainHeader uint

const (
	hostHeader plainHeader = 1 << iota
	lengthHeader
	typeHeader
	authorizationHeader
	agentHeader
	connectionHeader
	otherHeader // which means nothing here
	otherHeader2

	neededHeaders = hostHeader | lengthHeader | typeHeader | authorizationHeader
)

// plainHeaderOf returns the header with a name, or 0.
func plainHeaderOf(name string) plainHeader {
	want, header := "", plainHeader(0)
	switch len(name) {
	case len("host"):
		want, header = "host", hostHeader
	case len("accept"):
		want, header = "accept", otherHeader
	case len("user-agent"): // and connection
		if name[0]|0x20 == 'u' {
			want, header = "user-agent", agentHeader
		} else {
			want, header = "connection", connectionHeader
		}
	case len("content-type"):
		want, header = "content-type", typeHeader
	case len("authorization"):
		want, header = "authorization", authorizationHeader
	case len("content-length"):
		want, header = "content-length", lengthHeader
	case len("accept-encoding"):
		want, header = "accept-encoding", otherHeader2
	}
	if !token.EqualASCII(name, want) {
		return 0
	}
	return header
}

// header takes the value of a header, or reports that it is not plain.
func (q *plainVerify) header(header plainHeader, value string) (plain bool) {
	switch header {
	case lengthHeader:
		q.length, plain = decimal(value)
		return plain && q.length <= mostPlain
	case typeHeader:
		return value == jsonType
	case authorizationHeader:
		scheme, text, _ := strings.Cut(value, " ")
		q.key = text
		return token.EqualASCII(scheme, "bearer")
	case agentHeader:
		q.agent = value
	case connectionHeader:
		return token.EqualASCII(value, "keep-alive")
	}
	return true
}

// plainly answers a plain request whose caller may ask and whose answer is a verdict,
// as [Server.verify] does. Of any other it says nothing, and tells nobody: it is to be
// answered by that.
func (f *FastServer) plainly(c *fastCall) (answered bool, err error) {
	s, q, begun := f.server, &c.plain, f.server.now()
	x := s.verifications.Get().(*verification)
	defer s.release(x)
	if x.hash, err = s.prefixes.Hash(q.key); err != nil || x.asks.readOne(q.body) != nil || x.asks.revision > s.replica.View().Seq() {
		return false, nil
	}
	x.from, x.agent, x.id = c.conn.peer, iam.FitAgent(q.agent), iam.FitRequestID(nil, begun)
	if c.stale = s.door.Answer(c.request.Context(), x.decide) != nil || x.unsure; c.stale || x.caller.Code != replica.Valid {
		return false, nil
	}
	s.told(x, nil)
	if err := c.answer.verdict(x.id, x.out); err != nil {
		s.log.Debug("the client went away", "error", err)
	}
	s.count(x, begun)
	c.url, c.request.Method, c.request.Pattern = url.URL{Path: verifyPath}, http.MethodPost, http.MethodPost+" "+verifyPath
	req := request{id: x.id}
	req.caller.Principal.ID = x.caller.Principal.ID
	s.logAccess(&c.request, &req, http.StatusOK, begun)
	return true, c.answer.err
}

// verdict sends a verdict.
func (a *fastAnswer) verdict(id string, body []byte) error {
	a.sent = true
	a.out = append(a.out[:0], a.conn.server.dateAt(a.conn.at).verdict...)
	a.out = append(a.out, id...)
	a.out = append(a.out, "\r\nContent-Length: "...)
	a.out = strconv.AppendInt(a.out, int64(len(body)), 10)
	a.out = append(append(a.out, "\r\n\r\n"...), body...)
	a.err = a.conn.wire.send(a.out)
	return a.err
}

// fastDate is the header Date of one second (RFC 9110, section 6.6.1).
type fastDate struct {
	second  int64
	text    string
	verdict string // how the answer with a verdict begins, up to the request's id
}

func (f *FastServer) dateAt(now time.Time) *fastDate {
	if d := f.date.Load(); d != nil && d.second == now.Unix() {
		return d
	}
	d := &fastDate{second: now.Unix(), text: now.UTC().Format(http.TimeFormat)}
	d.verdict = "HTTP/1.1 200 OK\r\nDate: " + d.text + "\r\nContent-Type: " + jsonType +
		"\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nX-Request-Id: "
	f.date.Store(d)
	return d
}
