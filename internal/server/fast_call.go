package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
)

// maxHeaders is how many headers a request may have: their values have their place in
// the call.
const maxHeaders = 64

// fastCall is a request as what serves the hot path knows it. It is used again for the
// next one of its connection, and nothing keeps its memory beyond the answer.
type fastCall struct {
	conn    *fastConn
	request http.Request
	url     url.URL
	body    fastBody
	answer  fastAnswer
	plain   plainVerify
	stale   bool     // it was found out that nothing can be answered
	refusal *problem // why it is refused unheard; nil: it is heard
	values  [maxHeaders]string
}

func newFastCall() *fastCall {
	c := new(fastCall)
	c.request = *(&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(&fastContext{context.Background(), c})
	c.request.Header, c.request.URL, c.request.Body = http.Header{}, &c.url, &c.body
	c.answer.header = http.Header{}
	return c
}

// fastContext is the context of a request. It never ends, and who waits until a door
// lets an answer out asks when it does: so a connection that shares its goroutine with
// others hears that a plain answer will take a while, before it does. Nobody may count
// on that for anything else: a context that is derived from this one need not ask.
type fastContext struct {
	context.Context
	call *fastCall
}

// Value implements [context.Context].
func (x *fastContext) Value(key any) any {
	if key == (fastCallKey{}) {
		return x.call
	}
	return nil
}

// Done implements [context.Context].
func (x *fastContext) Done() <-chan struct{} {
	if x.call.conn != nil {
		x.call.conn.wire.aside()
	}
	return nil
}

// reset forgets all that belongs to a request.
func (c *fastCall) reset() {
	clear(c.request.Header)
	clear(c.answer.header)
	clear(c.values[:])
	c.body.Reset(nil)
	c.url = url.URL{}
	c.request.Method, c.request.Pattern, c.request.ContentLength = "", "", 0
	clear(c.answer.out)
	if cap(c.answer.out) > fastKeep {
		c.answer.out = nil
	}
	c.answer = fastAnswer{header: c.answer.header, conn: c.answer.conn, out: c.answer.out[:0]}
	c.plain, c.stale, c.refusal = plainVerify{}, false, nil
}

// hear takes over what follows the head.
func (c *fastCall) hear(body []byte, closes bool) {
	c.body.Reset(body)
	c.request.ContentLength = int64(len(body))
	c.answer.closes = c.answer.closes || closes
}

// fastBody is the body of a request.
type fastBody struct{ bytes.Reader }

// Close implements [io.Closer].
func (*fastBody) Close() error { return nil }

// fastAnswer is an [http.ResponseWriter] of answers that are written at once, as all
// those of the hot path are: with them the head leaves, in one piece, so that nothing
// is between the last look and the kernel but the words of HTTP.
type fastAnswer struct {
	conn   *fastConn
	header http.Header
	out    []byte
	status int
	closes bool // it is the last one of its connection
	sent   bool
	err    error
}

// Header implements [http.ResponseWriter].
func (a *fastAnswer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *fastAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

var errSecondWrite = errors.New("an answer of the hot path is written at once")

// Write implements [http.ResponseWriter].
func (a *fastAnswer) Write(p []byte) (int, error) {
	if a.sent {
		a.err = errSecondWrite
		return 0, a.err
	}
	a.WriteHeader(http.StatusOK)
	a.sent = true
	a.out = append(a.out[:0], "HTTP/1.1 "...)
	a.out = strconv.AppendInt(a.out, int64(a.status), 10)
	a.out = append(append(a.out, ' '), http.StatusText(a.status)...)
	a.out = append(append(a.out, "\r\nDate: "...), a.conn.server.dateAt(a.conn.at).text...)
	a.out = append(a.out, "\r\nContent-Length: "...)
	a.out = strconv.AppendInt(a.out, int64(len(p)), 10)
	for name, values := range a.header {
		if name == "Content-Length" {
			continue
		}
		for _, value := range values {
			a.out = append(append(append(append(a.out, "\r\n"...), name...), ": "...), value...)
		}
	}
	if a.closes {
		a.out = append(a.out, "\r\nConnection: close"...)
	}
	a.out = append(a.out, "\r\n\r\n"...)
	if a.conn.call.request.Method != http.MethodHead { // RFC 9110, 9.3.2: its answer has no content
		a.out = append(a.out, p...)
	}
	if a.err = a.conn.wire.send(a.out); a.err != nil {
		return 0, a.err
	}
	return len(p), nil
}
