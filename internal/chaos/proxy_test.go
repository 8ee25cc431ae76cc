package chaos

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo answers every line with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }() // ends with its connection
		}
	}()
	return l.Addr().String()
}

type line struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func through(t *testing.T) (*Proxy, *line) {
	t.Helper()
	p, err := NewProxy(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, dial(t, p)
}

func dial(t *testing.T, p *Proxy) *line {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &line{t, conn, bufio.NewReader(conn)}
}

func (l *line) say(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l.conn, text+"\n"); err != nil {
		l.t.Fatal(err)
	}
}

// hears fails the test unless a text is the next to come, within a time.
func (l *line) hears(text string) {
	l.t.Helper()
	if got, err := l.next(5 * time.Second); err != nil || got != text+"\n" {
		l.t.Fatalf("heard %q, %v; want %q", got, err, text)
	}
}

func (l *line) hearsNothing() {
	l.t.Helper()
	if got, err := l.next(50 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		l.t.Fatalf("heard %q, %v; want nothing", got, err)
	}
}

func (l *line) next(within time.Duration) (string, error) {
	if err := l.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	return l.in.ReadString('\n')
}

func TestAProxyPassesInFairWeather(t *testing.T) {
	_, l := through(t)
	l.say("hello")
	l.hears("hello")
}

func TestWhatIsHeldBackArrivesLate(t *testing.T) {
	for name, weather := range map[string]Weather{
		"to the server": {HoldUp: true}, "from the server": {HoldDown: true}, "both": {HoldUp: true, HoldDown: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, l := through(t)
			l.say("before")
			l.hears("before")
			p.Turn(weather)
			l.say("held")
			l.hearsNothing()
			p.Turn(Weather{})
			l.hears("held")
		})
	}
}

func TestASlowProxyPassesEverythingInPieces(t *testing.T) {
	p, l := through(t)
	p.Turn(Weather{Delay: time.Millisecond, Piece: 3})
	begun := time.Now()
	l.say("hello, world")
	l.hears("hello, world")
	if took := time.Since(begun); took < 4*time.Millisecond {
		t.Errorf("it took %v: it was not slowed down", took)
	}
}

func TestAResetBreaksConnectionsOffAndRefusesNoOthers(t *testing.T) {
	p, l := through(t)
	l.say("hello")
	l.hears("hello")
	p.Reset()
	if got, err := l.next(5 * time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %q, %v; want that it was broken off", got, err)
	}
	again := dial(t, p)
	again.say("again")
	again.hears("again")
}

func TestAProxyThatRefusesBreaksNewConnectionsOff(t *testing.T) {
	p, _ := through(t)
	p.Turn(Weather{Refuse: true})
	isRefused(t, p)
}

// isRefused fails the test unless a new connection is broken off.
func isRefused(t *testing.T, p *Proxy) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return // already
	}
	l := &line{t, conn, bufio.NewReader(conn)}
	defer func() { _ = conn.Close() }()
	if got, err := l.next(5 * time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("heard %q, %v; want that it was broken off", got, err)
	}
}

func TestNewConnectionsLeadToTheNewServer(t *testing.T) {
	p, l := through(t)
	l.say("hello")
	l.hears("hello")
	p.Lead("127.0.0.1:1") // nobody listens
	l.say("the old one stays")
	l.hears("the old one stays")
	isRefused(t, p)
}
