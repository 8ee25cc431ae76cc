package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// run makes calls on all lines until a time, from as many threads as there are
// processors, each of which waits for its share of the lines at once: a goroutine for
// each line would take more of the processors, which client and server share here, than
// the server that is measured.
func (l *load) run(ctx context.Context, lines []*line, until time.Time) error {
	threads := min(runtime.GOMAXPROCS(0), len(lines))
	parts, failed := make([]load, threads), make([]error, threads)
	var running sync.WaitGroup
	for i := range parts {
		share := lines[i*len(lines)/threads : (i+1)*len(lines)/threads]
		running.Go(func() { failed[i] = parts[i].call(ctx, share, until) })
	}
	running.Wait()
	l.join(parts)
	return errors.Join(failed...)
}

// call makes calls on some lines until a time.
func (l *load) call(ctx context.Context, lines []*line, until time.Time) error {
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make a set of connections: %w", err)
	}
	defer syscall.Close(poll)
	held := make([]*descriptor, len(lines))
	for i, x := range lines {
		if held[i], err = hold(x, poll, i); err != nil {
			return err
		}
		defer held[i].release()
	}
	asking := 0
	for _, d := range held {
		if l.ask(d, poll) {
			asking++
		}
	}
	events := make([]syscall.EpollEvent, len(lines))
	for asking > 0 && ctx.Err() == nil {
		n, err := syscall.EpollWait(poll, events, pollEvery)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait for answers: %w", err)
		}
		now := time.Now()
		if n <= 0 && now.Sub(until) > patience {
			l.failed += asking
			l.why = errors.New("calls were not answered in time")
			return nil
		}
		for _, e := range events[:max(n, 0)] {
			d := held[e.Fd]
			ended, err := l.turn(d, poll, now)
			if err != nil {
				l.lost(err)
			} else if !ended || now.Before(until) && l.ask(d, poll) {
				continue
			}
			asking--
			d.forget(poll)
		}
	}
	return nil
}

// pollEvery is how often it is looked at whether the run is interrupted, in
// milliseconds.
const pollEvery = 50

// descriptor is a line whose socket is read from and written to without the runtime.
type descriptor struct {
	*line
	fd      int
	index   int
	left    []byte // of what is to be sent, that the socket had no room for
	release func()
}

// hold takes the socket of a line over, for as long as the line is called.
func hold(x *line, poll, index int) (*descriptor, error) {
	raw, err := x.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("take a connection over: %w", err)
	}
	held, over := make(chan int), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- raw.Control(func(fd uintptr) {
			held <- int(fd)
			<-over
		})
	}()
	d := &descriptor{line: x, index: index}
	select {
	case d.fd = <-held:
	case err := <-ended:
		return nil, fmt.Errorf("take a connection over: %w", err)
	}
	d.release = func() {
		close(over)
		<-ended
	}
	if err := syscall.EpollCtl(poll, syscall.EPOLL_CTL_ADD, d.fd, d.wants(syscall.EPOLLIN)); err != nil {
		d.release()
		return nil, fmt.Errorf("wait for a connection: %w", err)
	}
	return d, nil
}

func (d *descriptor) wants(events uint32) *syscall.EpollEvent {
	return &syscall.EpollEvent{Events: events, Fd: int32(d.index)}
}

// forget waits for the line no more.
func (d *descriptor) forget(poll int) {
	_ = syscall.EpollCtl(poll, syscall.EPOLL_CTL_DEL, d.fd, nil) // it is closed soon
}

// ask makes the next call, and reports whether the connection took it.
func (l *load) ask(d *descriptor, poll int) bool {
	d.out = d.speaker.next(d.out[:0])
	d.asked = time.Now()
	if err := d.send(d.out, poll); err != nil {
		l.lost(err)
		return false
	}
	return true
}

// send sends as much as there is room for, and the rest when there is.
func (d *descriptor) send(p []byte, poll int) error {
	for len(p) > 0 {
		n, err := syscall.Write(d.fd, p)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			d.left = append(d.left[:0], p...)
			return syscall.EpollCtl(poll, syscall.EPOLL_CTL_MOD, d.fd, d.wants(syscall.EPOLLIN|syscall.EPOLLOUT))
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("send a call: %w", err)
		}
		p = p[n:]
	}
	if d.left != nil {
		d.left = nil
		return syscall.EpollCtl(poll, syscall.EPOLL_CTL_MOD, d.fd, d.wants(syscall.EPOLLIN))
	}
	return nil
}

// turn does what a line is ready for, and reports whether an answer has come to its end.
func (l *load) turn(d *descriptor, poll int, now time.Time) (ended bool, err error) {
	if d.left != nil {
		if err := d.send(d.left, poll); err != nil {
			return false, err
		}
	}
	n, err := syscall.Read(d.fd, d.room())
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read an answer: %w", err)
	case n == 0:
		return false, io.ErrUnexpectedEOF
	}
	reply, ended, err := l.heard(d.line, n, now)
	if err != nil || len(reply) == 0 {
		return ended, err
	}
	return ended, d.send(reply, poll)
}
