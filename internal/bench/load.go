package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// target is a door and how it is asked.
type target struct {
	name    string
	network string // tcp or unix
	address string
	dial    func(t *target, conn net.Conn, seed uint64) (caller, error)
	asks    questions
}

// questions are the calls that a target hears, one for each of the keys.
type questions struct {
	before, after []byte   // of each call, around the key's text
	keys          []string // all of the same length; one of them is drawn for each call
	each          int      // keys in one call; more than one: between others
	between       []byte
	says          []byte // what the body of an answer to a good key has in it; none: its status says enough
}

// caller makes one call after the other on a connection of its own.
type caller interface {
	// call returns an error of kind errAnswer when the answer is not the one that
	// a good key gets, and any other when there was none.
	call() error
}

// errAnswer is an answer that is not a success: it never counts as one.
var errAnswer = errors.New("an answer is not a success")

// load is what calling a target for a while came to.
type load struct {
	calls  int // that were answered as a good key is
	failed int // that were not
	why    error
	took   time.Duration
	times  times
}

func (l *load) rate() float64 { return float64(l.calls) / l.took.Seconds() }

// drive calls a target over some connections for a while, each as fast as answers
// come. A connection that cannot be made or breaks counts as a failed call, and so does
// an answer that is not a success.
func drive(ctx context.Context, t *target, connections int, span time.Duration) (*load, error) {
	var dialer net.Dialer
	callers := make([]caller, connections)
	for i := range callers {
		conn, err := dialer.DialContext(ctx, t.network, t.address)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", t.name, err)
		}
		defer conn.Close()
		if callers[i], err = t.dial(t, conn, uint64(i)); err != nil {
			return nil, fmt.Errorf("begin to speak with %s: %w", t.name, err)
		}
	}
	parts := make([]load, connections)
	var running sync.WaitGroup
	begun := time.Now()
	for i, c := range callers {
		running.Go(func() { parts[i].run(ctx, c, begun.Add(span)) })
	}
	running.Wait()
	all := &load{took: time.Since(begun)}
	for i := range parts {
		all.calls += parts[i].calls
		all.failed += parts[i].failed
		all.times.join(&parts[i].times)
		all.why = cmpErr(all.why, parts[i].why)
	}
	return all, context.Cause(ctx)
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (l *load) run(ctx context.Context, c caller, until time.Time) {
	for at := time.Now(); at.Before(until) && ctx.Err() == nil; {
		err := c.call()
		now := time.Now()
		if err == nil {
			l.calls++
			l.times.add(now.Sub(at))
			at = now
			continue
		}
		at = now
		l.failed++
		l.why = cmpErr(l.why, err)
		if !errors.Is(err, errAnswer) {
			return // the connection is of no use any more
		}
	}
}

// patience is how long a call may take before it counts as failed.
const patience = 10 * time.Second

// httpCaller speaks HTTP/1.1 in as few steps as there can be, so that what is measured
// is the server.
type httpCaller struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	asks *questions
	pick *rand.PCG
	body []byte

	until time.Time // that the connection's deadline lies beyond
}

func dialHTTP(t *target, conn net.Conn, seed uint64) (caller, error) {
	return &httpCaller{conn: conn, in: bufio.NewReaderSize(conn, 8<<10), asks: &t.asks, pick: rand.NewPCG(seed, 1)}, nil
}

// call implements [caller].
func (c *httpCaller) call() error {
	if now := time.Now(); now.Add(patience).After(c.until) {
		c.until = now.Add(2 * patience)
		if err := c.conn.SetDeadline(c.until); err != nil {
			return err
		}
	}
	c.out = c.asks.appendTo(c.out[:0], c.pick)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	status, err := c.answer()
	if err != nil {
		return err
	}
	if status != 200 || bytes.Count(c.body, c.asks.says) < c.asks.each {
		return fmt.Errorf("%w: status %d", errAnswer, status)
	}
	return nil
}

func (q *questions) appendTo(out []byte, pick *rand.PCG) []byte {
	out = append(out, q.before...)
	for i := range q.each {
		if i > 0 {
			out = append(out, q.between...)
		}
		out = append(out, q.keys[pick.Uint64()%uint64(len(q.keys))]...)
	}
	return append(out, q.after...)
}

// answer reads an answer.
func (c *httpCaller) answer() (status int, err error) {
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("read an answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			if status, err = statusOf(line); err != nil {
				return 0, err
			}
		case len(line) == 0:
			return status, c.rest(length)
		case len(line) > len(lengthName) && bytes.EqualFold(line[:len(lengthName)], lengthName):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthName):]))); err != nil || length < 0 {
				return 0, errors.New("an answer does not tell its length")
			}
		}
	}
}

var lengthName = []byte("Content-Length:")

func statusOf(line []byte) (int, error) {
	_, rest, found := bytes.Cut(line, []byte(" "))
	if !found || len(rest) < 3 {
		return 0, errors.New("an answer is no HTTP")
	}
	return strconv.Atoi(string(rest[:3]))
}

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 4 << 20

func (c *httpCaller) rest(length int) error {
	if length < 0 || length > maxAnswer {
		return errors.New("an answer does not tell its length, or is too long")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err := io.ReadFull(c.in, c.body)
	return err
}

// verifyCalls returns calls of /v1/verify, or of a path that stands for it.
func verifyCalls(path, caller string, keys []string) questions {
	body := func(key string) string {
		return `{"key":"` + key + `","permissions":["` + permission + `"],"source":{"ip":"192.0.2.7"}}`
	}
	return posted(path, caller, keys, body, 1)
}

// batchCalls returns calls of /v1/verify/batch with many keys each.
func batchCalls(caller string, keys []string, each int) questions {
	q := posted("/v1/verify/batch", caller, keys, func(key string) string {
		return `{"items":[{"key":"` + key + `","permissions":["` + permission + `"]}]}`
	}, each)
	q.between = []byte(`","permissions":["` + permission + `"]},{"key":"`)
	head, body := cutHead(q.before)
	length := len(body) + len(q.after) + each*len(keys[0]) + (each-1)*len(q.between)
	q.before = withLength(head, length, body)
	return q
}

const mark = "\x00" // where the key's text belongs

// posted returns calls that post a body with a key in it.
func posted(path, caller string, keys []string, body func(key string) string, each int) questions {
	before, after, _ := bytes.Cut([]byte(body(mark)), []byte(mark))
	head := []byte("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + caller +
		"\r\nContent-Type: application/json\r\nUser-Agent: postern-bench\r\n")
	return questions{
		before: withLength(head, len(before)+len(keys[0])+len(after), before), after: after,
		keys: keys, each: each, says: []byte(`"valid":true`),
	}
}

func withLength(head []byte, length int, body []byte) []byte {
	return fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n%s", head, length, body)
}

// cutHead returns the headers but for the length, and what of the body follows.
func cutHead(text []byte) (head, body []byte) {
	head, body, _ = bytes.Cut(text, []byte("\r\n\r\n"))
	at := bytes.Index(head, lengthName)
	return head[:at], body
}

// authorizeCalls returns calls as a proxy makes them.
func authorizeCalls(keys []string) questions {
	return questions{
		before: []byte("GET /v1/authorize?permission=" + permission + " HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.7\r\nAuthorization: Bearer "),
		after:  []byte("\r\n\r\n"), keys: keys, each: 1,
	}
}
