package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/api"
)

// The states of a connection: who takes an idle one first, the request that arrives or
// the shutdown, has it.
const (
	fastIdle int32 = iota
	fastBusy
	fastOver
)

// fastConn is a connection of a fast server. One goroutine reads from it and writes
// to it: an answer is written before the next request is read.
type fastConn struct {
	server *FastServer
	conn   net.Conn
	state  atomic.Int32
	last   atomic.Bool // the next answer is the last one
	call   *fastCall

	buf  []byte // that is read into
	from int    // where what was not used yet begins
	to   int    // and ends

	at         time.Time // when what was read last had been read
	idleUntil  time.Time // the deadline for the next request; zero: another one is set
	writeUntil time.Time
}

// usualBuffer holds nearly every request, in bytes; there is one for each connection.
const usualBuffer = 2 << 10

func newFastConn(f *FastServer, conn net.Conn) *fastConn {
	c := &fastConn{server: f, conn: conn, call: newFastCall(), buf: make([]byte, usualBuffer)}
	c.call.answer.conn = c
	c.call.request.RemoteAddr = conn.RemoteAddr().String()
	return c
}

// talk answers one request after the other.
func (c *fastConn) talk() {
	c.deadline(fastReadTimeout) // for the first byte, and the handshake of TLS
	for {
		if err := c.await(); err != nil {
			return // nobody is there any more, or nobody is wanted
		}
		end, err := c.receive()
		if err != nil {
			return
		}
		if c.last.Load() {
			c.call.answer.closes = true
		}
		err = c.server.answer(c.call)
		refused, again := c.call.refusal != nil, !c.call.answer.closes
		c.call.reset()
		if err == nil && refused {
			c.linger()
		}
		if err != nil || !again {
			return
		}
		c.consume(end)
		c.state.Store(fastIdle)
		if c.last.Load() {
			return // whoever ends the server has looked at this connection before it was idle
		}
	}
}

// deadline bounds how long what is read next may take.
func (c *fastConn) deadline(d time.Duration) {
	_ = c.conn.SetReadDeadline(time.Now().Add(d)) // if it fails, so will what follows
	c.idleUntil = time.Time{}
}

// await returns once there is something of a request.
func (c *fastConn) await() error {
	if c.from == c.to {
		if err := c.fill(); err != nil {
			return err
		}
	}
	if !c.state.CompareAndSwap(fastIdle, fastBusy) {
		return net.ErrClosed
	}
	return nil
}

// fill reads what there is, after what is there.
func (c *fastConn) fill() error {
	n, err := c.conn.Read(c.buf[c.to:])
	c.to += n
	c.at = time.Now()
	if n > 0 {
		return nil // an error will be there again
	}
	return err
}

// receive reads a request into the call, and returns where in the buffer it ends. A
// request that is refused unheard says so in the call. An error is a client that is
// gone.
func (c *fastConn) receive() (end int, err error) {
	h, slow := head{}, false
	more := func(upTo int) error {
		if !slow {
			slow = true
			c.deadline(fastReadTimeout)
		}
		c.room(upTo)
		return c.fill()
	}
	for !h.complete {
		if refusal := h.read(c.buf[c.from:c.to], c.call); refusal != nil {
			return c.refuse(refusal), nil
		}
		if h.complete {
			break
		}
		if err := more(fastMaxHead); err != nil {
			return c.broken(err)
		}
	}
	if h.awaits && c.to-c.from < h.length+h.body {
		if err := c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return 0, err
		}
	}
	for c.to-c.from < h.length+h.body {
		if err := more(h.length + h.body); err != nil {
			return c.broken(err)
		}
	}
	end = c.from + h.length + h.body
	c.call.hear(c.buf[c.from+h.length:end], h.closes)
	if slow || c.idleUntil.Sub(c.at) < fastIdleTimeout/2 {
		c.deadline(fastIdleTimeout)
		c.idleUntil = c.at.Add(fastIdleTimeout)
	}
	return end, nil
}

// room makes room for a request of a length, and for something more to read.
func (c *fastConn) room(length int) {
	if c.from > 0 {
		c.to = copy(c.buf, c.buf[c.from:c.to])
		c.from = 0
	}
	if want := min(length, 2*len(c.buf)); len(c.buf) == c.to && want > len(c.buf) {
		c.buf = append(c.buf, make([]byte, want-len(c.buf))...)
	}
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

// broken refuses a request that did not come to its end in time. Of one whose client
// is gone nothing is said.
func (c *fastConn) broken(err error) (int, error) {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return c.refuse(withStatus(http.StatusRequestTimeout, api.CodeInvalidRequest, "the request did not come to its end in time")), nil
	}
	return 0, err
}

// Bounds on what is still read of a client whose request was refused unheard.
const (
	lingerFor  = 500 * time.Millisecond
	lingerMost = 2 * maxBody
)

// linger reads on for a little after the last answer: a connection that is closed with
// something unread is reset, and its client may never see the answer.
func (c *fastConn) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.deadline(lingerFor)
	_, _ = io.CopyN(io.Discard, c.conn, lingerMost) // however it ends, so does the connection
}

// write writes an answer.
func (c *fastConn) write(p []byte) error {
	if c.writeUntil.Sub(c.at) < fastWriteTimeout/2 {
		c.writeUntil = time.Now().Add(fastWriteTimeout)
		if err := c.conn.SetWriteDeadline(c.writeUntil); err != nil {
			return err
		}
	}
	_, err := c.conn.Write(p)
	return err
}
