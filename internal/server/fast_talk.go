package server

import (
	"errors"
	"io"
	"net"
	"time"
)

// fastTalk drives a connection from a goroutine of its own, over whatever package net
// has: it is for those that no [fastLoop] takes, such as those with TLS.
type fastTalk struct {
	*fastConn
	conn net.Conn

	idleUntil  time.Time // the deadline for the next request; zero: another one is set
	writeUntil time.Time
}

// talk answers one request after the other.
func (t *fastTalk) talk() {
	t.deadline(t.server.limits.read) // for the first byte, and the handshake of TLS
	for {
		end, err := t.receive()
		if err != nil {
			return // nobody is there any more, or nobody is wanted
		}
		switch t.respond(end) {
		case fastOn:
			if !t.rest() {
				return
			}
		case fastLinger:
			t.linger()
			return
		case fastEnd:
			return
		}
	}
}

// deadline bounds how long what is read next may take.
func (t *fastTalk) deadline(d time.Duration) {
	_ = t.conn.SetReadDeadline(time.Now().Add(d)) // if it fails, so will what follows
	t.idleUntil = time.Time{}
}

// receive reads a request into the call, and returns where in the buffer it ends. An
// error is a client that is gone.
func (t *fastTalk) receive() (end int, err error) {
	if t.from == t.to {
		if err := t.fill(); err != nil {
			return 0, err
		}
	}
	if !t.begin() {
		return 0, net.ErrClosed
	}
	slow := false
	for {
		end, whole, err := t.advance()
		if err != nil {
			return 0, err
		}
		if whole {
			t.keep(slow)
			return end, nil
		}
		if !slow {
			slow = true
			t.deadline(t.server.limits.read)
		}
		err = t.fill()
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return t.late(), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// keep sets the deadline for the next request, unless one that will do is set.
func (t *fastTalk) keep(slow bool) {
	if slow || t.idleUntil.Sub(t.at) < t.server.limits.idle/2 {
		t.deadline(t.server.limits.idle)
		t.idleUntil = t.at.Add(t.server.limits.idle)
	}
}

// fill reads what there is, after what is there.
func (t *fastTalk) fill() error {
	n, err := t.conn.Read(t.room())
	t.received(n)
	if n > 0 {
		return nil // an error will be there again
	}
	return err
}

// linger reads on for a little after the last answer.
func (t *fastTalk) linger() {
	half, ok := t.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	t.deadline(lingerFor)
	_, _ = io.CopyN(io.Discard, t.conn, lingerMost) // however it ends, so does the connection
}

// send implements [fastWire].
func (t *fastTalk) send(p []byte) error {
	if t.writeUntil.Sub(t.at) < t.server.limits.write/2 {
		t.writeUntil = time.Now().Add(t.server.limits.write)
		if err := t.conn.SetWriteDeadline(t.writeUntil); err != nil {
			return err
		}
	}
	_, err := t.conn.Write(p)
	return err
}

// aside implements [fastWire]: nobody else waits.
func (*fastTalk) aside() {}

// stop implements [fastWire].
func (t *fastTalk) stop() error { return t.conn.Close() }

// Close implements [fastWire].
func (t *fastTalk) Close() error { return t.conn.Close() }
