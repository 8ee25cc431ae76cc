package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stepped is a connection of a loop that a test drives itself, one step after the other,
// and what its client has of it. The socket has little room for what the client does not
// read.
type stepped struct {
	*fastSocket
	client net.Conn
	keys   []string
	caller string
}

func newStepped(t *testing.T) *stepped {
	t.Helper()
	s, keys, caller := loaded(t, 1)
	f := NewFastServer(s, func() string { return "" })
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptInt(fds[0], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4<<10); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[1]), "client")
	client, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Close(), client.SetDeadline(time.Now().Add(30*time.Second))); err != nil {
		t.Fatal(err)
	}
	x := &stepped{&fastSocket{fastConn: newFastConn(f, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}), fd: fds[0], armed: syscall.EPOLLIN}, client, keys, caller}
	x.wire, x.server.conns[x.fastConn] = x.fastSocket, struct{}{}
	x.role.Store(fastAside) // so that there need be no loop
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), x.Close()); err != nil {
			t.Error(err)
		}
	})
	return x
}

func (x *stepped) request(path, headers, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s",
		path, x.caller, headers, len(body), body)
}

// ask returns a request that is answered with a verdict.
func (x *stepped) ask(headers string) string {
	return x.request(verifyPath, headers, `{"key":"`+x.keys[0]+`"}`)
}

// askMuch returns a request whose answer the socket has no room for.
func (x *stepped) askMuch() string {
	return x.request(verifyPath+"/batch", "", `{"items":[`+strings.Repeat(`{"key":"x"},`, 99)+`{"key":"x"}]}`)
}

// blocked has the server answer a request whose answer the socket has no room for.
func (x *stepped) blocked(t *testing.T) {
	t.Helper()
	say(t, x.client, x.askMuch())
	for range 10 { // for the buffer grows as it is read
		if len(x.unsent) == 0 && !x.step() {
			t.Fatal("the connection ended in the midst of a request")
		}
	}
	if len(x.unsent) == 0 {
		t.Fatal("all of the answer was sent at once; want it to wait for its client")
	}
}

// heardBy reads what the client is sent while the server sends what it could not, and
// reports whether the connection goes on.
func (x *stepped) heardBy(t *testing.T, heard *bytes.Buffer) (open bool) {
	t.Helper()
	for open = true; open && len(x.unsent) > 0; {
		x.pull(t, heard)
		open = x.step()
	}
	x.pull(t, heard)
	return open
}

// pull reads what the client was sent.
func (x *stepped) pull(t *testing.T, heard *bytes.Buffer) {
	t.Helper()
	part := make([]byte, 64<<10)
	raw, err := x.client.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for {
		n := 0
		if failed := raw.Read(func(fd uintptr) bool { n, err = syscall.Read(int(fd), part); return true }); failed != nil {
			t.Fatal(failed)
		}
		if err != nil || n == 0 {
			return // there is no more for now, or at all
		}
		heard.Write(part[:n])
	}
}

// hasVerdicts holds what was heard to one whole answer to [stepped.askMuch].
func hasVerdicts(t *testing.T, heard *bytes.Buffer) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(heard), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if n := strings.Count(string(text), `"not_found"`); err != nil || n != 100 {
		t.Fatalf("got %d with %d verdicts, %v; want 100", answer.StatusCode, n, err)
	}
}

// An answer of which a part waits for its client is under way: a server that stops lets
// all of it be read, and then ends the connection.
func TestStopLeavesAnAnswerThatItsClientReadsSlowlyWhole(t *testing.T) {
	x := newStepped(t)
	x.blocked(t)
	if err := x.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var heard bytes.Buffer
	if x.heardBy(t, &heard) {
		t.Error("the connection goes on after the last answer, want its end")
	}
	hasVerdicts(t, &heard)
}

// A connection whose client read slowly, once, may be idle for as long as any other.
func TestConnectionIsIdleForLongAfterAnAnswerThatWasReadSlowly(t *testing.T) {
	x := newStepped(t)
	x.server.limits.idle, x.server.limits.write = time.Hour, time.Minute
	x.blocked(t)
	var heard bytes.Buffer
	if !x.heardBy(t, &heard) {
		t.Fatal("the connection ended")
	}
	hasVerdicts(t, &heard)
	if left := time.Until(x.until); left < x.server.limits.idle/2 {
		t.Errorf("it may be idle for %v, want about %v", left, x.server.limits.idle)
	}
	if got := x.state.Load(); got != fastIdle {
		t.Errorf("its state is %d, want that it is idle", got)
	}
}

// A client that is to be told that its body may come, when there is no room to tell it,
// is told later.
func TestClientIsToldToGoOnOnceThereIsRoom(t *testing.T) {
	x := newStepped(t)
	full := 0
	for err := error(nil); err == nil; {
		var n int
		if n, err = syscall.Write(x.fd, []byte("-")); n > 0 {
			full += n
		}
	}
	ask := x.ask("Expect: 100-continue\r\n")
	head := strings.Index(ask, "\r\n\r\n") + len("\r\n\r\n")
	say(t, x.client, ask[:head])
	if !x.step() || x.armed != syscall.EPOLLOUT {
		t.Fatalf("the server waits for events %#x, want that there is room (%#x)", x.armed, syscall.EPOLLOUT)
	}
	in := bufio.NewReader(x.client)
	if _, err := io.CopyN(io.Discard, in, int64(full)); err != nil {
		t.Fatal(err)
	}
	if !x.step() || x.armed != syscall.EPOLLIN {
		t.Fatalf("the server waits for events %#x, want the body (%#x)", x.armed, syscall.EPOLLIN)
	}
	hear(t, in, http.StatusContinue)
	say(t, x.client, ask[head:])
	if !x.step() {
		t.Fatal("the connection ended")
	}
	hear(t, in, http.StatusOK)
}

// A fault in what reads requests ends the connection, and not the process.
func TestFaultEndsItsConnectionOfALoopAlone(t *testing.T) {
	x := newStepped(t)
	say(t, x.client, x.ask(""))
	x.call = nil
	if x.step() {
		t.Error("the connection goes on after a fault, want its end")
	}
}

// A key that was sent in a request is not kept once that was answered or refused.
func TestConnectionKeepsNoKeyOfARequestThatIsOver(t *testing.T) {
	for name, text := range map[string]func(x *stepped) string{
		"answered":                         func(x *stepped) string { return x.ask("") },
		"one after the other":              func(x *stepped) string { return x.ask("") + x.ask("") },
		"refused":                          func(x *stepped) string { return x.ask("Content-Length: 1\r\n") },
		"a part of the next one came, too": func(x *stepped) string { return x.ask("") + x.ask("")[:150] },
	} {
		t.Run(name, func(t *testing.T) {
			x := newStepped(t)
			say(t, x.client, text(x))
			if !x.step() {
				t.Fatal("the connection ended")
			}
			if x.after == fastOn && x.from < x.to {
				x.room()
				say(t, x.client, x.ask("")[150:])
				if !x.step() {
					t.Fatal("the connection ended")
				}
			}
			if bytes.Contains(x.buf[:cap(x.buf)], []byte(x.caller)) {
				t.Error("the buffer has the key in it still")
			}
		})
	}
}
