package server

import (
	"bufio"
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

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// gate is a door that makes answers wait while it is shut.
type gate struct {
	*replica.Replica
	shut    atomic.Bool
	waiting chan struct{} // one for each that waits
	opened  chan struct{}
}

func (g *gate) Answer(ctx context.Context, encode func(replica.View)) error {
	if g.shut.CompareAndSwap(true, false) {
		g.waiting <- struct{}{}
		select {
		case <-g.opened:
		case <-ctx.Done():
		}
	}
	return g.Replica.Answer(ctx, encode)
}

// hung is a store that takes notes of refused attempts, and does not end before it is
// opened.
type hung struct {
	iam.Store
	waiting chan struct{} // one for each that waits
	opened  chan struct{}
}

func (h hung) Note(context.Context, func(iam.NoteTx) error) error {
	h.waiting <- struct{}{}
	<-h.opened
	return nil
}

// looped is a fast server with one loop.
type looped struct {
	*FastServer
	gate   *gate
	store  hung
	at     string
	ask    string // is answered with a verdict
	mayNot string // is answered that its caller may not ask
}

func newLooped(t *testing.T, change func(*FastServer)) *looped {
	t.Helper()
	s, keys, caller := loaded(t, 1)
	g := &gate{Replica: s.replica, waiting: make(chan struct{}, 1), opened: make(chan struct{})}
	store := hung{waiting: make(chan struct{}, 1), opened: make(chan struct{})}
	s, err := New(Options{
		People: nobody{}, IAM: &iam.Service{Now: time.Now, Store: store}, Replica: s.replica, Door: g,
		Prefixes: token.Prefixes{token.DefaultPrefix}, Secret: make([]byte, minSecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"key":"` + keys[0] + `"}`
	askAs := func(key string) string {
		return fmt.Sprintf("POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
	}
	x := &looped{NewFastServer(s, func() string { return "" }), g, store, l.Addr().String(), askAs(caller), askAs(keys[0])}
	x.loops.all = x.loops.all[:1]
	if change != nil {
		change(x.FastServer)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := x.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return x
}

// dial connects to the server, for as long as anything may take.
func (x *looped) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", x.at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads an answer, which must have a status, and be a verdict if that is 200.
func hear(t *testing.T, in *bufio.Reader, status int) {
	t.Helper()
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status || status == http.StatusOK != strings.Contains(string(text), `"valid":true`) {
		t.Fatalf("got %d %s, %v; want %d", answer.StatusCode, text, err, status)
	}
}

// An answer that has to wait holds up its own connection alone, though others share its
// goroutine, and a server that stops waits for it.
func TestAnswerThatWaitsHoldsUpNoOtherOfItsLoop(t *testing.T) {
	x := newLooped(t, nil)
	slow, other := x.dial(t), x.dial(t)
	fromSlow, fromOther := bufio.NewReader(slow), bufio.NewReader(other)
	say(t, other, x.ask)
	hear(t, fromOther, http.StatusOK)
	x.gate.shut.Store(true)
	say(t, slow, x.ask+x.ask)
	<-x.gate.waiting
	for range 3 {
		say(t, other, x.ask)
		hear(t, fromOther, http.StatusOK)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- x.Shutdown(t.Context()) }()
	if _, err := fromOther.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that waits for nothing heard %v of the stop, want its end", err)
	}
	select {
	case err := <-stopped:
		t.Errorf("the server stopped, %v, in the midst of an answer", err)
	default:
	}
	close(x.gate.opened)
	hear(t, fromSlow, http.StatusOK)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// The refusal of a caller who may not ask is written down before it is told. A store that
// hangs holds up that caller alone.
func TestRefusalThatIsWrittenDownHoldsUpNoOtherOfItsLoop(t *testing.T) {
	x := newLooped(t, nil)
	refused, other := x.dial(t), x.dial(t)
	fromOther := bufio.NewReader(other)
	say(t, other, x.ask)
	hear(t, fromOther, http.StatusOK)
	say(t, refused, x.mayNot)
	<-x.store.waiting
	open := sync.OnceFunc(func() { close(x.store.opened) })
	defer open()
	for range 3 {
		say(t, other, x.ask)
		hear(t, fromOther, http.StatusOK)
	}
	open()
	hear(t, bufio.NewReader(refused), http.StatusForbidden)
}

// A connection goes on after an answer that had to wait.
func TestConnectionGoesOnAfterAnAnswerThatWaited(t *testing.T) {
	x := newLooped(t, nil)
	conn := x.dial(t)
	in := bufio.NewReader(conn)
	x.gate.shut.Store(true)
	say(t, conn, x.ask)
	<-x.gate.waiting
	close(x.gate.opened)
	for range 3 {
		hear(t, in, http.StatusOK)
		say(t, conn, x.ask+x.ask[:10])
		hear(t, in, http.StatusOK)
		say(t, conn, x.ask[10:])
	}
	hear(t, in, http.StatusOK)
}

// Who takes too long goes: in the midst of a request with a word, without one in silence.
func TestLoopsLetSlowClientsGo(t *testing.T) {
	x := newLooped(t, func(f *FastServer) {
		f.limits = fastLimits{read: 20 * time.Millisecond, write: time.Minute, idle: 20 * time.Millisecond, sweep: time.Millisecond}
	})
	slow, silent, idle := x.dial(t), x.dial(t), x.dial(t)
	say(t, idle, x.ask)
	hear(t, bufio.NewReader(idle), http.StatusOK)
	say(t, slow, x.ask[:len(x.ask)-1])
	in := bufio.NewReader(slow)
	hear(t, in, http.StatusRequestTimeout)
	for name, from := range map[string]io.Reader{"slow": in, "silent": silent, "idle": idle} {
		if n, err := from.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
			t.Errorf("the %s client heard %d bytes, %v; want the end", name, n, err)
		}
	}
}

// A client that does not read is not read from, and hears every answer once it does.
func TestLoopsHoldBackWhatIsNotRead(t *testing.T) {
	x := newLooped(t, func(f *FastServer) { f.limits.write = time.Minute })
	conn, other := x.dial(t), x.dial(t)
	const asked = 20_000 // their answers are more than the sockets have room for
	said := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, strings.Repeat(x.ask, asked))
		said <- err
	}()
	from := bufio.NewReader(other)
	for range 100 {
		say(t, other, x.ask)
		hear(t, from, http.StatusOK)
	}
	in := bufio.NewReader(conn)
	for range asked {
		hear(t, in, http.StatusOK)
	}
	if err := <-said; err != nil {
		t.Error(err)
	}
}

// A client that does not read for too long goes.
func TestLoopsLetClientsGoThatDoNotRead(t *testing.T) {
	x := newLooped(t, func(f *FastServer) {
		f.limits = fastLimits{read: time.Minute, write: 20 * time.Millisecond, idle: time.Minute, sweep: time.Millisecond}
	})
	conn := x.dial(t)
	for {
		if _, err := io.WriteString(conn, strings.Repeat(x.ask, 100)); err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Errorf("the client could write for 30 s, and then heard %v", err)
			}
			return // its connection was reset
		}
	}
}
