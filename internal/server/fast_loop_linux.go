package server

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fastLoops drive connections over TCP, many from one goroutine each: it waits for all
// of its connections at once, and what arrives is answered where it was read. So no
// goroutine has to be woken for a request, and nothing is read twice to find out that
// there is no more. It is what the net package does, without a goroutine for each.
type fastLoops struct {
	server *FastServer
	all    []*fastLoop
}

func newFastLoops(f *FastServer) *fastLoops {
	ls := &fastLoops{server: f}
	for range runtime.GOMAXPROCS(0) {
		ls.all = append(ls.all, &fastLoop{server: f})
	}
	return ls
}

// take takes a connection over, or reports that it cannot.
func (ls *fastLoops) take(c *fastConn, conn net.Conn) bool {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	fd, err := descriptorOf(tcp)
	if err != nil {
		return false
	}
	least := ls.all[0]
	for _, l := range ls.all[1:] {
		if l.busy.Load() < least.busy.Load() {
			least = l
		}
	}
	s := &fastSocket{fastConn: c, loop: least, fd: fd, until: time.Now().Add(ls.server.limits.read)}
	c.wire = s
	if least.add(s) != nil {
		_ = syscall.Close(fd) // the other one serves
		return false
	}
	_ = conn.Close() // the other one is open
	return true
}

// descriptorOf returns a descriptor of a connection that package net does not know, for
// two must not wait for the same one.
func descriptorOf(tcp *net.TCPConn) (fd int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(of uintptr) {
		n, _, number := syscall.Syscall(syscall.SYS_FCNTL, of, syscall.F_DUPFD_CLOEXEC, 0)
		if fd = int(n); number != 0 {
			err = number
		}
	})
	return fd, errors.Join(failed, err)
}

// fastLoop drives some connections. One goroutine at a time leads it: who has to wait
// for something in the midst of an answer starts another one, which goes on with the
// other connections.
type fastLoop struct {
	server *FastServer
	busy   atomic.Int32 // how many connections it has

	mu    sync.Mutex    // guards what follows
	leads bool          // a goroutine does
	poll  int           // the set of what is waited for, while one leads
	conns []*fastSocket // by number; nil: it is free
	free  []int32

	// What belongs to whoever leads.
	events [64]syscall.EpollEvent
	next   int // of the events that were not looked at yet
	ready  int // events that there are
	swept  time.Time
}

// add adds a connection.
func (l *fastLoop) add(s *fastSocket) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leads {
		if l.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
			return err
		}
	}
	if n := len(l.free); n > 0 {
		s.number, l.free = l.free[n-1], l.free[:n-1]
	} else {
		s.number, l.conns = int32(len(l.conns)), append(l.conns, nil)
	}
	if err = syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_ADD, s.fd, s.wants(syscall.EPOLLIN)); err != nil {
		l.free = append(l.free, s.number)
	} else {
		l.conns[s.number] = s
		l.busy.Add(1)
	}
	if !l.leads {
		l.leads, l.swept = true, time.Now()
		l.server.talking.Go(l.lead)
	}
	return err
}

// forget forgets a connection that is about to be closed.
func (l *fastLoop) forget(s *fastSocket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[s.number] = nil
	l.free = append(l.free, s.number)
	l.busy.Add(-1)
}

// numbered returns the connection with a number.
func (l *fastLoop) numbered(n int32) *fastSocket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[n]
}

// lead drives the connections until there are none, or another goroutine leads.
func (l *fastLoop) lead() {
	for {
		for l.next < l.ready {
			s := l.numbered(l.events[l.next].Fd)
			l.next++
			if s != nil && !s.turn() {
				return
			}
		}
		if now := time.Now(); now.Sub(l.swept) >= l.server.limits.sweep {
			l.swept = now
			if !l.sweep(now) {
				return
			}
		}
		if l.over() {
			return
		}
		l.next, l.ready = 0, 0
		n, err := syscall.EpollWait(l.poll, l.events[:], int(l.server.limits.sweep.Milliseconds()))
		if err == nil {
			l.ready = n
		}
	}
}

// over reports whether there is nothing left to drive, and ends the loop then.
func (l *fastLoop) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy.Load() > 0 {
		return false
	}
	l.leads, l.conns, l.free = false, nil, nil
	_ = syscall.Close(l.poll) // nothing is in it
	return true
}

// sweep ends what took too long. It returns false when another goroutine leads.
func (l *fastLoop) sweep(now time.Time) bool {
	for n := range int32(l.places()) {
		if s := l.numbered(n); s != nil && s.expired(now) && !s.expire() {
			return false
		}
	}
	return true
}

func (l *fastLoop) places() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Who drives a connection.
const (
	fastNobody int32 = iota // whoever leads the loop
	fastLeader              // who leads it, in the midst of an answer
	fastAside               // who led it when the answer had to wait
)

// fastSocket is a connection that a loop drives.
type fastSocket struct {
	*fastConn
	loop   *fastLoop
	fd     int
	number int32
	role   atomic.Int32

	until   time.Time // when it has taken too long
	begun   bool      // a part of a request was read
	unsent  []byte    // of an answer, that there was no room for
	after   fastNext  // what becomes of the connection once that is sent
	drained int       // bytes that were read after the last answer
	armed   uint32    // the events that are waited for
}

func (s *fastSocket) wants(events uint32) *syscall.EpollEvent {
	s.armed = events
	return &syscall.EpollEvent{Events: events, Fd: s.number}
}

// arm waits for other events.
func (s *fastSocket) arm(events uint32) error {
	if s.armed == events {
		return nil
	}
	if s.role.Load() == fastAside {
		s.armed = events
		return nil
	}
	return syscall.EpollCtl(s.loop.poll, syscall.EPOLL_CTL_MOD, s.fd, s.wants(events))
}

// turn does what the connection is ready for. It returns false when another goroutine
// leads the loop.
func (s *fastSocket) turn() (leads bool) {
	if !s.role.CompareAndSwap(fastNobody, fastLeader) {
		return true
	}
	open := s.step()
	return s.settle(open)
}

// expired reports whether a connection took too long. What is under way in a goroutine
// of its own has bounds of its own.
func (s *fastSocket) expired(now time.Time) bool {
	return s.role.Load() == fastNobody && now.After(s.until)
}

// expire ends a connection that took too long, which may have an answer coming.
func (s *fastSocket) expire() (leads bool) {
	if !s.role.CompareAndSwap(fastNobody, fastLeader) {
		return true
	}
	return s.settle(s.lapse())
}

// lapse tells a client that began a request that it took too long, and reports whether
// the connection goes on for as long as that takes.
func (s *fastSocket) lapse() (open bool) {
	defer s.server.survive()
	if !s.begun || len(s.unsent) > 0 || s.after != fastOn {
		return false
	}
	s.begun = false
	return s.follow(s.respond(s.late())) == nil
}

// settle lets a connection go on after a turn, or ends it.
func (s *fastSocket) settle(open bool) (leads bool) {
	leads = s.role.CompareAndSwap(fastLeader, fastNobody)
	if open && (leads || s.loop.again(s) == nil) {
		return leads
	}
	s.loop.forget(s)
	s.server.part(s.fastConn)
	return leads
}

// again waits for a connection again whose answer had to wait for something.
func (l *fastLoop) again(s *fastSocket) error {
	l.mu.Lock()
	defer l.mu.Unlock() // before that nobody finds it
	if err := syscall.EpollCtl(l.poll, syscall.EPOLL_CTL_ADD, s.fd, s.wants(s.armed)); err != nil {
		return err
	}
	s.role.Store(fastNobody)
	return nil
}

// aside implements [fastWire]: another goroutine leads the loop from here on.
func (s *fastSocket) aside() {
	if !s.role.CompareAndSwap(fastLeader, fastAside) {
		return
	}
	_ = syscall.EpollCtl(s.loop.poll, syscall.EPOLL_CTL_DEL, s.fd, nil)
	s.server.talking.Go(s.loop.lead)
}

// step reads or writes, and reports whether the connection goes on.
func (s *fastSocket) step() (open bool) {
	defer s.server.survive()
	if len(s.unsent) > 0 {
		if err := s.flush(); err != nil || len(s.unsent) > 0 {
			return err == nil
		}
		if s.sent() != nil {
			return false
		}
		if s.after == fastLinger {
			return true
		}
	} else {
		if err := s.fill(); err != nil {
			return errors.Is(err, syscall.EAGAIN)
		}
		if s.after == fastLinger {
			return s.drained <= lingerMost
		}
	}
	return s.proceed() == nil
}

// fill reads what there is.
func (s *fastSocket) fill() error {
	room := s.room()
	if s.after == fastLinger {
		room = s.buf
	}
	for {
		n, err := syscall.Read(s.fd, room)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.EOF
		case s.after == fastLinger:
			s.drained += n
			clear(room[:n])
			return nil
		}
		s.received(n)
		return nil
	}
}

// proceed answers what was read. An error ends the connection.
func (s *fastSocket) proceed() error {
	for s.from < s.to {
		if !s.begun && !s.begin() {
			return net.ErrClosed // the shutdown has it
		}
		end, whole, err := s.advance()
		if err != nil {
			return err
		}
		if !whole {
			if !s.begun {
				s.begun, s.until = true, s.at.Add(s.server.limits.read)
			}
			if len(s.unsent) > 0 { // of the word that the body may come
				return s.arm(syscall.EPOLLOUT)
			}
			return nil
		}
		s.begun, s.until = false, s.at.Add(s.server.limits.idle)
		if err := s.follow(s.respond(end)); err != nil || s.after != fastOn || len(s.unsent) > 0 {
			return err
		}
	}
	return nil
}

var errFastEnd = errors.New("the connection ends")

// follow does what becomes of a connection after an answer.
func (s *fastSocket) follow(next fastNext) error {
	s.after = next
	switch {
	case len(s.unsent) > 0:
		s.until = time.Now().Add(s.server.limits.write)
		return s.arm(syscall.EPOLLOUT)
	case next == fastEnd, next == fastOn && !s.rest():
		return errFastEnd
	case next == fastLinger:
		s.until = time.Now().Add(lingerFor)
		if err := syscall.Shutdown(s.fd, syscall.SHUT_WR); err != nil {
			return err
		}
	}
	return s.arm(syscall.EPOLLIN)
}

// sent goes on after what there was no room for has left.
func (s *fastSocket) sent() error {
	if s.begun { // it was no answer: the rest of the request is awaited
		return s.arm(syscall.EPOLLIN)
	}
	s.until = time.Now().Add(s.server.limits.idle)
	return s.follow(s.after)
}

// send implements [fastWire].
func (s *fastSocket) send(p []byte) error {
	if len(s.unsent) > 0 {
		s.unsent = append(s.unsent, p...)
		return nil
	}
	n, err := s.write(p)
	if n < len(p) && err == nil {
		s.unsent = append(s.unsent, p[n:]...)
	}
	return err
}

// flush sends what was not sent yet.
func (s *fastSocket) flush() error {
	n, err := s.write(s.unsent)
	if n == len(s.unsent) {
		s.unsent = nil
	} else {
		s.unsent = s.unsent[n:]
	}
	return err
}

// write writes as much as there is room for.
func (s *fastSocket) write(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := syscall.Write(s.fd, p[n:])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return n, nil
		case err != nil:
			return n, err
		}
		n += m
	}
	return n, nil
}

// stop implements [fastWire].
func (s *fastSocket) stop() error { return syscall.Shutdown(s.fd, syscall.SHUT_RDWR) }

// Close implements [fastWire].
func (s *fastSocket) Close() error { return syscall.Close(s.fd) }
