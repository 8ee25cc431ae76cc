package postern

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/posternhq/postern/api"
)

// StreamEvent is an event of a stream. Package api says what its data is.
type StreamEvent struct {
	ID   string // the position that it brings the reader to; empty: none
	Name string // such as [api.StreamEventKey]
	Data json.RawMessage
}

// StreamOptions say what to follow. The zero value follows all that the key may
// read in its own workspace, from now on.
type StreamOptions struct {
	Workspace   string   // id or slug; empty: the key's own
	Topics      []string // such as [api.TopicKeys]; none: all that the key may read
	LastEventID string   // where an earlier stream ended; empty: from now on

	// Lost, when it is not nil, hears why the connection was lost, each time
	// before it is made anew.
	Lost func(err error)
}

// Stream follows what happens in a workspace, until ctx ends or the server says
// that the key may not: then that is the last thing that it yields, an error. A
// connection that is lost is made anew, and goes on after the last event that was
// received; only the first one is not tried for ever.
//
// Each connection begins with the event [api.StreamEventOpen]. What is read of
// the server after the first one, and changed by the events that follow, is
// complete. [api.StreamEventReset] says that something was missed: read it anew.
// Pass over events that you do not know.
func (c *Client) Stream(ctx context.Context, o StreamOptions) iter.Seq2[StreamEvent, error] {
	return func(yield func(StreamEvent, error) bool) {
		r, err := c.newCall(http.MethodGet, o.path(), nil)
		if err != nil {
			yield(StreamEvent{}, err)
			return
		}
		f := &follower{client: c, call: r, wait: streamWait}
		f.call.lastEventID = o.LastEventID
		for {
			stop, err := f.connect(ctx, yield)
			switch {
			case stop:
				return
			case ctx.Err() != nil:
				yield(StreamEvent{}, ctx.Err())
				return
			case f.heard == 0 || !isPassing(err):
				yield(StreamEvent{}, fmt.Errorf("GET %s: %w", r.url, err))
				return
			}
			if o.Lost != nil {
				o.Lost(err)
			}
			sleep(ctx, f.pause()) // the loop sees that ctx has ended
		}
	}
}

func (o StreamOptions) path() string {
	path := "/v1/workspaces/" + url.PathEscape(cmp.Or(o.Workspace, "-")) + "/stream"
	if len(o.Topics) > 0 {
		path += "?" + url.Values{"topics": {strings.Join(o.Topics, ",")}}.Encode()
	}
	return path
}

// isPassing reports whether a stream that ended so may go on later, or elsewhere.
func isPassing(err error) bool {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError
	}
	return true
}

const (
	streamWait    = 2 * time.Second  // before a connection is made anew, unless the server says otherwise
	streamMaxWait = 30 * time.Second // as it gets after several failures
	streamSilence = 45 * time.Second // three signs of life that did not come
	maxStreamLine = 1 << 20
)

// follower is a stream over one connection after the other.
type follower struct {
	client *Client
	call   call
	wait   time.Duration
	failed int // connections since the last event
	heard  int // events
}

// pause returns for how long to wait before the next connection.
func (f *follower) pause() time.Duration {
	f.failed++
	return min(f.wait<<min(f.failed-1, 10), streamMaxWait)
}

var (
	errEnded  = errors.New("the server ended the stream")
	errSilent = fmt.Errorf("nothing was heard for %v", streamSilence)
)

// connect reads one connection to its end. stop says that the caller of Stream
// wants no more.
func (f *follower) connect(ctx context.Context, yield func(StreamEvent, error) bool) (stop bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(streamSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	resp, err := f.client.stream(ctx, f.call)
	if err != nil {
		return false, cmp.Or(context.Cause(ctx), err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewReader(resp.Body); ; {
		e, err := f.read(lines, silence)
		if err != nil {
			return false, cmp.Or(context.Cause(ctx), err)
		}
		if e.Name == api.StreamEventEnd {
			var end api.StreamEnd
			_ = json.Unmarshal(e.Data, &end) // its reason is for people
			return false, fmt.Errorf("%w: %s", errEnded, end.Reason)
		}
		f.heard++
		f.failed = 0
		if !yield(e, nil) {
			return true, nil
		}
	}
}

// read returns the next event (HTML standard, section 9.2.6). An id alone moves
// the position, and is no event.
func (f *follower) read(lines *bufio.Reader, silence *time.Timer) (e StreamEvent, err error) {
	id, given := "", false
	for {
		line, err := readLine(lines)
		if err != nil {
			return e, err
		}
		silence.Reset(streamSilence)
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if given {
				f.call.lastEventID, e.ID = id, id
			}
			if e.Name != "" && e.Data != nil {
				return e, nil
			}
			e, given = StreamEvent{}, false
		case name == "id":
			id, given = value, true
		case name == "event":
			e.Name = value
		case name == "data" && e.Data != nil:
			e.Data = append(append(e.Data, '\n'), value...)
		case name == "data":
			e.Data = json.RawMessage(value)
		case name == "retry":
			if ms, err := strconv.Atoi(value); err == nil && ms > 0 {
				f.wait = min(time.Duration(ms)*time.Millisecond, streamMaxWait)
			}
		}
	}
}

func readLine(lines *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := lines.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxStreamLine {
			return "", fmt.Errorf("a line of the stream is longer than %d bytes", maxStreamLine)
		}
		switch {
		case err == nil:
			return strings.TrimRight(string(line), "\r\n"), nil
		case errors.Is(err, io.EOF):
			return "", io.ErrUnexpectedEOF // a stream says when it ends
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

// stream sends the request of a stream, which no timeout of the client ends.
func (c *Client) stream(ctx context.Context, r call) (*http.Response, error) {
	patient := *c
	if c.HTTP != nil {
		hc := *c.HTTP
		hc.Timeout = 0
		patient.HTTP = &hc
	}
	resp, err := patient.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		_ = resp.Body.Close() // nothing of it was wanted
		return nil, errors.New("the answer is not a stream of events")
	}
	return resp, nil
}
