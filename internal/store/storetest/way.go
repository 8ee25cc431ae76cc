package storetest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Way is a way to a PostgreSQL server that leads through the test. The zero Way
// passes on all that is said.
type Way struct {
	// Opened hears of each connection, counted from one, and decides whether it is
	// let through. One that is not stays open, and nobody answers. Nil: all are.
	Opened func(n int) bool
	// Answers carries what the server says to the client, until one of them has
	// gone. Nil: as it comes.
	Answers func(client io.Writer, server io.Reader) error
}

// To opens the way to the server of a URL until the test ends, and returns the URL
// by which it is taken.
func (w Way) To(t testing.TB, at string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	var running sync.WaitGroup
	running.Go(func() { w.accept(t, listener, server, &running) })
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	u.Host = listener.Addr().String()
	return u.String()
}

func (w Way) accept(t testing.TB, listener net.Listener, server string, running *sync.WaitGroup) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close() // the other side may have closed it
		}
	}()
	for n := 1; ; n++ {
		client, err := listener.Accept()
		if err != nil {
			return // closed
		}
		open = append(open, client)
		if w.Opened == nil || w.Opened(n) {
			running.Go(func() { w.carry(t, client, server) })
		}
	}
}

// carry carries what is said on one connection, both ways, until one side has gone.
func (w Way) carry(t testing.TB, client net.Conn, server string) {
	conn, err := net.Dial("tcp", server)
	if err != nil {
		t.Error(err)
		return
	}
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(conn, client) // until the client has gone
		_ = conn.Close()
	})
	if w.Answers == nil {
		_, _ = io.Copy(client, conn) // until the server has gone
	} else {
		_ = w.Answers(client, conn) // the same
	}
	_ = client.Close()
	there.Wait()
}
