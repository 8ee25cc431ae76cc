package server

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/bearer"
)

// The states of a connection: who takes an idle one first, the request that arrives or
// the shutdown, has it.
const (
	fastIdle int32 = iota
	fastBusy
	fastOver
)

// fastConn is a connection of a fast server: what was read of it, and the request that
// is made of that. Whoever drives it, [fastTalk] or [fastLoop], is one goroutine at a
// time, and an answer is written before the next request is decided.
type fastConn struct {
	server *FastServer
	wire   fastWire
	state  atomic.Int32
	last   atomic.Bool // the next answer is the last one
	call   *fastCall
	peer   netip.Addr // that it comes from
	head   head       // of the request that is being read

	buf  []byte // that is read into
	from int    // where what was not used yet begins
	to   int    // and ends

	at time.Time // when what was read last had been read
}

// fastWire is what a connection is written to.
type fastWire interface {
	// send sends an answer, or as much of it as there is room for and the rest later.
	send(p []byte) error

	// aside is called before the answer to a request may wait for something. It may be
	// called again.
	aside()

	// stop ends what is under way from another goroutine. It is called while the
	// server's lock is held, and the connection has not parted.
	stop() error

	// Close closes the connection, whose driver has ended.
	Close() error
}

// usualBuffer holds nearly every request, in bytes; there is one for each connection.
const usualBuffer = 2 << 10

func newFastConn(f *FastServer, peer net.Addr) *fastConn {
	c := &fastConn{server: f, call: newFastCall(), buf: make([]byte, usualBuffer)}
	c.call.conn, c.call.answer.conn = c, c
	c.call.request.RemoteAddr = peer.String()
	c.peer = bearer.PeerAddress(c.call.request.RemoteAddr)
	return c
}

// begin takes a connection of which something arrived, unless the shutdown has it.
func (c *fastConn) begin() bool { return c.state.CompareAndSwap(fastIdle, fastBusy) }

// received notes what was read into the buffer's end.
func (c *fastConn) received(n int) {
	c.to += n
	c.at = time.Now()
}

// advance makes a request of what was read, and reports whether it is whole: then it
// is in the call and ends there in the buffer. A request that is refused unheard says
// so in the call.
func (c *fastConn) advance() (end int, whole bool, err error) {
	h := &c.head
	if !h.complete {
		if end = c.plainly(); end > 0 {
			return end, true, nil
		}
		if refusal := h.read(c.buf[c.from:c.to], c.call); refusal != nil {
			return c.refuse(refusal), true, nil
		}
		if !h.complete {
			return 0, false, nil
		}
		if h.awaits && c.to-c.from < h.length+h.body {
			err = c.wire.send([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
		}
	}
	if c.to-c.from < h.length+h.body {
		return 0, false, err
	}
	end = c.from + h.length + h.body
	c.call.hear(c.buf[c.from+h.length:end], h.closes)
	return end, true, err
}

// plainly makes a plain request of what was read, and returns where it ends, or 0.
func (c *fastConn) plainly() (end int) {
	text := c.buf[c.from:min(c.to, c.from+mostPlain)]
	if q := &c.call.plain; bytes.HasPrefix(text, []byte(verifyLine)) && q.read(string(text)) {
		return c.from + q.length
	}
	c.call.plain = plainVerify{}
	return 0
}

// reread reads a plain request again, for the one who answers all.
func (c *fastConn) reread() {
	end := c.from + c.call.plain.length
	if c.call.refusal = c.head.read(c.buf[c.from:end], c.call); c.call.refusal == nil {
		c.call.hear(c.buf[c.from+c.head.length:end], c.head.closes)
	}
}

// room makes room for more of the request that is being read, and returns it.
func (c *fastConn) room() []byte {
	if c.from > 0 {
		end := c.to
		c.to = copy(c.buf, c.buf[c.from:end])
		clear(c.buf[c.to:end]) // where a key may have been
		c.from = 0
	}
	length := fastMaxHead
	if c.head.complete {
		length = c.head.length + c.head.body
	}
	if want := min(length, 2*len(c.buf)); len(c.buf) == c.to && want > len(c.buf) {
		old := c.buf
		c.buf = append(old[:len(old):len(old)], make([]byte, want-len(old))...)
		clear(old)
	}
	return c.buf[c.to:]
}

// What becomes of a connection after an answer.
type fastNext int

const (
	fastOn     fastNext = iota // the next request is awaited
	fastLinger                 // it ends once its client has had the time to read
	fastEnd
)

// respond answers the request that ends at a place in the buffer.
func (c *fastConn) respond(end int) fastNext {
	if c.last.Load() {
		c.call.answer.closes = true
	}
	err := c.server.answer(c.call)
	refused, again := c.call.refusal != nil, !c.call.answer.closes
	c.call.reset()
	c.head = head{}
	switch {
	case err != nil:
		return fastEnd
	case refused:
		clear(c.buf[:c.to])
		return fastLinger
	case !again:
		return fastEnd
	}
	c.consume(end)
	return fastOn
}

// rest lets the next request have the connection, or the shutdown. It is called once the
// last byte of an answer was written, and reports whether the connection goes on.
func (c *fastConn) rest() bool {
	c.state.Store(fastIdle)
	return !c.last.Load() // whoever ends the server may have looked at it before it was idle
}

// fastKeep is how much of its memory for requests, and of that for answers, a
// connection keeps between two of them, in bytes: nobody has to show a key to open one.
const fastKeep = 16 << 10

// consume forgets a request that ended at a place in the buffer, and clears that,
// which had a key in it.
func (c *fastConn) consume(end int) {
	clear(c.buf[c.from:end])
	c.from = end
	if c.from == c.to {
		c.from, c.to = 0, 0
		if len(c.buf) > fastKeep {
			c.buf = make([]byte, usualBuffer)
		}
	}
}

// refuse makes the call one that is refused, after which the connection ends.
func (c *fastConn) refuse(p *problem) (end int) {
	c.call.refusal, c.call.answer.closes = p, true
	return c.to
}

// late refuses a request that did not come to its end in time.
func (c *fastConn) late() (end int) {
	return c.refuse(withStatus(http.StatusRequestTimeout, api.CodeInvalidRequest, "the request did not come to its end in time"))
}

// Bounds on what is still read of a client whose request was refused unheard: a
// connection that is closed with something unread is reset, and its client may never
// see the answer.
const (
	lingerFor  = 500 * time.Millisecond
	lingerMost = 2 * maxBody
)
