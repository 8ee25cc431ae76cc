package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// target is a door and how it is asked.
type target struct {
	name    string
	network string // tcp or unix
	address string
	speak   func(asks *questions, seed uint64) (speaker, error)
	asks    questions
}

// questions are the calls that a target hears, one for each of the keys.
type questions struct {
	before, after []byte // of each call, around the key's text
	keys          []byte // one after the other; one of them is drawn for each call
	length        int    // of each
	each          int    // keys in one call; more than one: between others
	between       []byte
	says          []byte // what the body of an answer to a good key has in it; none: its status says enough
}

// speaker speaks the protocol of one connection: one call, then its answer.
type speaker interface {
	// next appends what is sent to make a call, and before the first one what begins
	// the connection.
	next(out []byte) []byte
	// hear takes what was received and was not used yet. It returns how much of it is
	// used now, what is to be sent because of it, and whether it was the end of the
	// answer. An error of kind errAnswer is an answer that a good key does not get,
	// and its end; any other ends the connection.
	hear(in []byte) (used int, reply []byte, ended bool, err error)
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

// join adds what others came to meanwhile.
func (l *load) join(parts []load) {
	for i := range parts {
		l.calls += parts[i].calls
		l.failed += parts[i].failed
		l.why = cmp.Or(l.why, parts[i].why)
		l.times.join(&parts[i].times)
	}
}

func (l *load) rate() float64 { return float64(l.calls) / l.took.Seconds() }

// drive calls a target over some connections for a while, each as fast as answers
// come. A connection that breaks counts as a failed call, and so does an answer that is
// not a success; one that cannot be made is an error.
func drive(ctx context.Context, t *target, connections int, span time.Duration) (*load, error) {
	var dialer net.Dialer
	lines := make([]*line, connections)
	for i := range lines {
		conn, err := dialer.DialContext(ctx, t.network, t.address)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", t.name, err)
		}
		defer conn.Close()
		speaker, err := t.speak(&t.asks, uint64(i))
		if err != nil {
			return nil, fmt.Errorf("speak with %s: %w", t.name, err)
		}
		lines[i] = &line{conn: conn, speaker: speaker, in: make([]byte, 8<<10)}
	}
	all := new(load)
	begun := time.Now()
	if err := all.run(ctx, lines, begun.Add(span)); err != nil {
		return nil, fmt.Errorf("call %s: %w", t.name, err)
	}
	all.took = time.Since(begun)
	return all, context.Cause(ctx)
}

// line is one connection and what it is about to say.
type line struct {
	conn    net.Conn
	speaker speaker
	out     []byte
	in      []byte
	from    int // where in in what was not used yet begins
	to      int // and ends
	asked   time.Time
}

// patience is how long a call may take before it counts as failed.
const patience = 10 * time.Second

// room returns where more can be received.
func (l *line) room() []byte {
	if l.from > 0 {
		l.to = copy(l.in, l.in[l.from:l.to])
		l.from = 0
	}
	if l.to == len(l.in) {
		l.in = append(l.in, make([]byte, len(l.in))...)
	}
	return l.in[l.to:]
}

// heard takes what was received, and notes an answer that it is the end of. It returns
// what is to be sent, and an error when the connection is of no use any more.
func (l *load) heard(x *line, n int, now time.Time) (reply []byte, ended bool, err error) {
	x.to += n
	used, reply, ended, err := x.speaker.hear(x.in[x.from:x.to])
	if x.from += used; x.from == x.to {
		x.from, x.to = 0, 0
	}
	switch {
	case errors.Is(err, errAnswer):
		l.failed++
		l.why = cmp.Or(l.why, err)
		return reply, true, nil
	case err != nil:
		return nil, false, err
	case ended:
		l.calls++
		l.times.add(now.Sub(x.asked))
	case x.to > maxAnswer:
		return nil, false, errors.New("an answer is too long")
	}
	return reply, ended, nil
}

// lost counts the call of a connection that broke.
func (l *load) lost(err error) {
	l.failed++
	l.why = cmp.Or(l.why, err)
}

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 4 << 20

// httpSpeaker speaks HTTP/1.1 in as few steps as there can be, so that what is measured
// is the server.
type httpSpeaker struct {
	asks *questions
	pick *rand.PCG
}

func speakHTTP(asks *questions, seed uint64) (speaker, error) {
	return &httpSpeaker{asks, rand.NewPCG(seed, 1)}, nil
}

// next implements [speaker].
func (s *httpSpeaker) next(out []byte) []byte { return s.asks.appendTo(out, s.pick) }

var (
	endOfHead  = []byte("\r\n\r\n")
	lengthName = []byte("Content-Length:")
)

// hear implements [speaker].
func (s *httpSpeaker) hear(in []byte) (used int, _ []byte, ended bool, err error) {
	at := bytes.Index(in, endOfHead)
	if at < 0 {
		return 0, nil, false, nil
	}
	head := in[:at]
	_, status, found := bytes.Cut(head, []byte(" "))
	_, text, there := bytes.Cut(head, lengthName)
	if !found || !there || len(status) < 3 {
		return 0, nil, false, errors.New("an answer has no status, or does not tell its length")
	}
	text, _, _ = bytes.Cut(text, []byte("\r"))
	length, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil || length < 0 || length > maxAnswer {
		return 0, nil, false, errors.New("an answer does not tell its length, or is too long")
	}
	used = at + len(endOfHead) + length
	if len(in) < used {
		return 0, nil, false, nil
	}
	if body := in[at+len(endOfHead) : used]; string(status[:3]) != "200" || !s.asks.answered(body) {
		err = fmt.Errorf("%w: status %s", errAnswer, status[:3])
	}
	return used, nil, true, err
}

func (q *questions) appendTo(out []byte, pick *rand.PCG) []byte {
	out = append(out, q.before...)
	for i := range q.each {
		if i > 0 {
			out = append(out, q.between...)
		}
		at := int(pick.Uint64()%uint64(len(q.keys)/q.length)) * q.length
		out = append(out, q.keys[at:at+q.length]...)
	}
	return append(out, q.after...)
}

// answered reports whether a body has an answer for each key that was asked about, which
// is the one for a good key.
func (q *questions) answered(body []byte) bool {
	if q.each == 1 {
		return bytes.Contains(body, q.says)
	}
	return bytes.Count(body, q.says) == q.each
}

// verifyCalls returns calls of /v1/verify, or of a path that stands for it.
func verifyCalls(path, caller string, keys []byte, length int) questions {
	body := func(key string) string {
		return `{"key":"` + key + `","permissions":["` + permission + `"],"source":{"ip":"192.0.2.7"}}`
	}
	return posted(path, caller, keys, length, body, 1)
}

// batchCalls returns calls of /v1/verify/batch with many keys each.
func batchCalls(caller string, keys []byte, length, each int) questions {
	q := posted("/v1/verify/batch", caller, keys, length, func(key string) string {
		return `{"items":[{"key":"` + key + `","permissions":["` + permission + `"]}]}`
	}, each)
	q.between = []byte(`","permissions":["` + permission + `"]},{"key":"`)
	head, body := cutHead(q.before)
	q.before = withLength(head, len(body)+len(q.after)+each*length+(each-1)*len(q.between), body)
	return q
}

const mark = "\x00" // where the key's text belongs

// posted returns calls that post a body with a key in it.
func posted(path, caller string, keys []byte, length int, body func(key string) string, each int) questions {
	before, after, _ := bytes.Cut([]byte(body(mark)), []byte(mark))
	head := []byte("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + caller +
		"\r\nContent-Type: application/json\r\nUser-Agent: postern-bench\r\n")
	return questions{
		before: withLength(head, len(before)+length+len(after), before), after: after,
		keys: keys, length: length, each: each, says: []byte(`"valid":true`),
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
func authorizeCalls(keys []byte, length int) questions {
	return questions{
		before: []byte("GET /v1/authorize?permission=" + permission + " HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.7\r\nAuthorization: Bearer "),
		after:  []byte("\r\n\r\n"), keys: keys, length: length, each: 1,
	}
}
