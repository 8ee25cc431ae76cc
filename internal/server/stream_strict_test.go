package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
)

// The tests of this file hold a stream back at a named point until a revocation
// has returned, and count what leaves the server after that.

// between is a door that calls a hook after each look, before it says whether the
// look still holds.
type between struct {
	server.Door
	hook atomic.Pointer[func()]
}

// Answer implements [server.Door].
func (d *between) Answer(ctx context.Context, encode func(replica.View)) error {
	return d.Door.Answer(ctx, func(v replica.View) {
		encode(v)
		if hook := d.hook.Load(); hook != nil {
			(*hook)()
		}
	})
}

// pipes is a listener on connections that hold nothing: a write waits until it is
// read, or its deadline.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	end   func()
}

func newPipes() *pipes {
	done := make(chan struct{})
	return &pipes{conns: make(chan net.Conn), done: done, end: sync.OnceFunc(func() { close(done) })}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.end(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// wire is the server's end of such a connection.
type wire struct {
	net.Conn
	writing chan struct{} // has a value for each write that has begun
	closed  chan struct{}
	end     func()
}

func (w *wire) Write(p []byte) (int, error) {
	select {
	case w.writing <- struct{}{}:
	default:
	}
	return w.Conn.Write(p)
}

func (w *wire) Close() error {
	w.end()
	return w.Conn.Close()
}

// dial serves a world on pipes and opens a stream there. It returns when the
// first event was read.
func (c *client) dial(t *testing.T, query string) (reader net.Conn, server *wire) {
	t.Helper()
	listener := newPipes()
	srv := &http.Server{Handler: c.server.Handler()}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(listener) })
	t.Cleanup(func() { _ = srv.Close(); serving.Wait() })
	here1, there := net.Pipe()
	closed := make(chan struct{})
	server = &wire{Conn: there, writing: make(chan struct{}, 1), closed: closed, end: sync.OnceFunc(func() { close(closed) })}
	listener.conns <- server
	t.Cleanup(func() { _ = here1.Close() })
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer %s\r\n\r\n", here("/stream"+query), c.key)
	if _, err := io.WriteString(here1, request); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for part := make([]byte, 4096); !bytes.Contains(text, []byte("event: open\n")) || !bytes.HasSuffix(text, []byte("\n\r\n")); {
		n, err := here1.Read(part)
		if text = append(text, part[:n]...); err != nil {
			t.Fatalf("%v after %q", err, text)
		}
	}
	select {
	case <-server.writing:
	default:
	}
	return here1, server
}

// rest reads what is left on a connection.
func rest(t *testing.T, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // the server may have closed it
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%v after %q", err, text)
	}
	return string(text)
}

// A reader that does not read holds a write up. Once the revocation has returned
// what is held up stays, whenever it begins to read.
func TestWhatIsHeldUpIsNotSentOnceTheRightIsLost(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		holder := c.holder("iam.audit:read").in(t)
		reader, wire := holder.dial(t, "?topics=audit")
		c.account("viewer")
		<-wire.writing // and nobody reads
		c.post(here("/keys/"+holder.id+"/revoke"), nil).want(http.StatusOK, nil)
		select {
		case <-wire.closed:
		case <-time.After(30 * time.Second):
			t.Error("the write was not broken off")
		}
		if got := rest(t, reader); got != "" {
			t.Errorf("after the revocation had returned: %q", got)
		}
	})
}

// A revocation that returns while a stream looks whether it may go on is seen by
// that look.
func TestNothingIsWrittenOnALookFromBeforeTheRevocation(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		door := &between{Door: w.replica}
		guarded := &town{world: w.behind(t, door), t: t}
		c := w.acme.in(t)
		holder := c.holder("iam.audit:read").in(t)
		holder.town = guarded
		reader, wire := holder.dial(t, "?topics=audit")
		heard, second := make(chan struct{}), make(chan struct{})
		looks, revoke := new(atomic.Int64), sync.OnceFunc(func() {
			select { // until somebody is about to write, or does without a look
			case <-second:
			case <-heard:
			case <-time.After(30 * time.Second):
				t.Error("nobody looks before a write")
			}
			c.post(here("/keys/"+holder.id+"/revoke"), nil).want(http.StatusOK, nil)
		})
		hook := func() {
			if looks.Add(1) == 2 {
				close(second)
			}
			revoke() // which the second waits for
		}
		door.hook.Store(&hook)
		got := make(chan string, 1)
		go func() { // reads whatever comes, so that nothing is held up
			first := make([]byte, 1)
			n, _ := reader.Read(first)
			close(heard)
			text, _ := io.ReadAll(reader) // until the server closes it
			got <- string(first[:n]) + string(text)
		}()
		c.account("viewer") // which wakes the stream
		<-wire.closed
		if text := <-got; text != "" {
			t.Errorf("after the revocation had returned: %q", text)
		}
	})
}

// A node that cannot know whether the key still works tells nothing more.
func TestAStreamOfANodeThatBecomesStaleEnds(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		door := &closing{Door: w.replica}
		guarded := &town{world: w.behind(t, door), t: t}
		c := w.acme.in(t)
		holder := c.holder("iam.audit:read").in(t)
		holder.town = guarded
		r := holder.stream("?topics=audit")
		var open api.StreamOpen
		var end api.StreamEnd
		r.next().into(t, "open", &open)
		door.shut.Store(true)
		c.account("viewer")
		if r.next().into(t, "end", &end); end.Reason != "stale" {
			t.Errorf("got %+v", end)
		}
		if e, err := r.try(); !errors.Is(err, io.EOF) {
			t.Errorf("then %+v, %v", e, err)
		}
	})
}

// closing is a door that can be shut.
type closing struct {
	server.Door
	shut atomic.Bool
}

// Answer implements [server.Door].
func (d *closing) Answer(ctx context.Context, encode func(replica.View)) error {
	if d.shut.Load() {
		return errors.New("shut")
	}
	return d.Door.Answer(ctx, encode)
}

// A reader that does not keep up is dropped, and those beside it are not held up.
func TestASlowReaderIsDroppedAndHoldsNobodyUp(t *testing.T) {
	each(t, func(t *testing.T, plain *world) {
		w := newTown(t, plain)
		c := w.acme.in(t)
		slow, wire := c.holder("iam.audit:read").in(t).dial(t, "?topics=audit")
		quick := c.stream("?topics=keys")
		var open api.StreamOpen
		quick.next().into(t, "open", &open)
		c.account("viewer")
		<-wire.writing                // and nobody reads
		w.flood(t, c.workspace, 1100) // more than is kept for one reader
		bot := c.account("viewer")
		var change api.StreamChange
		for change.ID != bot.ID {
			e := quick.next()
			e.into(t, e.name, &change)
		}
		text := rest(t, slow)
		if n := strings.Count(text, "event: audit"); n == 0 || n > 1100 || !strings.Contains(text, `{"reason":"too_slow"}`) {
			t.Errorf("got %d events and then %q", n, text[max(0, len(text)-200):])
		}
	})
}

// flood writes events into a log that nothing else tells of.
func (w *town) flood(t *testing.T, workspace string, n int) {
	t.Helper()
	err := w.faults.Store.Note(t.Context(), func(tx iam.NoteTx) error {
		for range n {
			if err := tx.AppendEvent(t.Context(), audit.Event{
				ID: iam.NewID(iam.EventPrefix, tx.Now()), Workspace: workspace, At: tx.Now(), Action: "key.read", Outcome: audit.Refused,
				Actor: audit.Actor{Type: audit.Anonymous, ID: "anonymous", Name: "Anonymous"}, Target: audit.Target{Type: "key"},
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
