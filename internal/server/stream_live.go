package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/stream"
)

// How a stream ends, other than with its reader.
var (
	errNoRight  = errors.New("the key of the stream stopped working, or lost a permission")
	errNotKnown = errors.New("the node cannot know whether the key of the stream works")
	errShutdown = errors.New("the server ends")
	errClient   = errors.New("the client went away, or took too long")
	errLog      = errors.New("the store cannot be read")
)

// live is one open stream. Two goroutines share it: one writes, and the other
// watches over the right to be written to, also while a write is held up.
type live struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	ws      iam.WorkspaceID
	topics  []iam.Topic
	system  bool

	reader *stream.Reader
	at     stream.Position // of the newest event that was dealt with

	ctx  context.Context // ends with the client, or with a cause
	stop context.CancelCauseFunc
}

func newLive(s *Server, w http.ResponseWriter, r *http.Request, ws iam.WorkspaceID, topics []iam.Topic, c iam.Caller) *live {
	return &live{s: s, w: w, r: r, control: http.NewResponseController(w), ws: ws, topics: topics, system: c.System}
}

func (l *live) wants() stream.Wants { return stream.Wants{Nodes: l.follows(iam.NodesTopic)} }

func (l *live) follows(topic iam.Topic) bool {
	for _, t := range l.topics {
		if t == topic {
			return true
		}
	}
	return false
}

// run streams until something ends it. Nothing was written before.
func (l *live) run(lastEventID string) {
	l.ctx, l.stop = context.WithCancelCause(l.r.Context())
	var watching sync.WaitGroup
	watching.Go(l.watch)
	err := l.follow(lastEventID)
	l.stop(err)
	watching.Wait() // or it would touch a connection that is no longer ours
	if cause := context.Cause(l.ctx); cause != nil {
		err = cause
	}
	l.end(err)
}

// end says the last words, unless the reader may hear none.
func (l *live) end(err error) {
	reason, told := endOf(err)
	l.s.metrics.streams.ended.WithLabelValues(reason).Inc()
	switch {
	case told:
		// It tells nothing of the workspace, so no right to it is needed.
		_ = l.deliver(block("", api.StreamEventEnd, api.StreamEnd{Reason: reason})) // who does not hear it sees the connection end
		_ = l.control.SetWriteDeadline(time.Time{})                                 // the connection is for other requests now
	case errors.Is(err, errNoRight):
		panic(http.ErrAbortHandler) // what has not left stays here
	}
}

// endOf names the end of a stream, and says whether the reader is told.
func endOf(err error) (reason string, told bool) {
	switch {
	case errors.Is(err, errNoRight):
		return "no_right", false
	case errors.Is(err, errNotKnown):
		return "stale", true
	case errors.Is(err, errShutdown):
		return "shutdown", true
	case errors.Is(err, stream.ErrSlow):
		return "too_slow", true
	case errors.Is(err, errLog):
		return "unavailable", true
	}
	return "client", false
}

// watch ends the stream when the reader loses the right to it: it looks at each
// publication, and when the key expires or the lease of this node does. A write
// that is held up is broken off.
func (l *live) watch() {
	for {
		published := l.s.replica.Published() // before the look, so that nothing is missed in between
		again, err := l.permitted()
		if err != nil {
			l.stop(err)
			_ = l.control.SetWriteDeadline(time.Unix(1, 0)) // where there is none, nothing holds a write up
			return
		}
		timer := time.NewTimer(again)
		select {
		case <-published:
		case <-timer.C:
		case <-l.ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// permitted returns nil when the reader may be told something now, and after
// which time that must be asked again although nothing was published.
func (l *live) permitted() (again time.Duration, err error) {
	v, err := l.s.recognise(l.r)
	switch {
	case errors.Is(err, iam.Stale) && l.r.Context().Err() != nil:
		return 0, errClient
	case errors.Is(err, iam.Stale):
		return 0, errNotKnown
	case err != nil || !v.Caller().MayWatch(l.topics):
		return 0, errNoRight
	}
	again = heartbeat
	if fresh := l.s.replica.View().FreshFor(); fresh > 0 {
		again = min(again, fresh)
	}
	if v.Key.ExpiresAt != 0 {
		again = min(again, time.UnixMicro(v.Key.ExpiresAt).Sub(l.s.now()))
	}
	const least = 10 * time.Millisecond // the clocks of this machine and the database differ a little
	return max(again, least), nil
}

// follow tells the reader what it has missed, and then what happens.
func (l *live) follow(lastEventID string) error {
	// The server's own limit on reading would end the request; the client has
	// nothing more to say.
	if err := l.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	if err := l.begin(lastEventID); err != nil {
		return err
	}
	beat := time.NewTicker(l.s.streams.beat)
	defer beat.Stop()
	for {
		select {
		case <-l.reader.Ready():
			items, err := l.reader.Take()
			if err != nil {
				return err
			}
			if err := l.tell(items); err != nil {
				return err
			}
		case <-beat.C:
			if err := l.send(fmt.Appendf(nil, ": \nid: %s\n\n", l.at)); err != nil {
				return err
			}
			l.s.tellAgain(requestOf(l.r.Context()))
		case <-l.s.streams.ending:
			return errShutdown
		case <-l.ctx.Done():
			return errClient
		}
	}
}

// begin writes the head of the answer and what the reader has missed.
func (l *live) begin(lastEventID string) error {
	h := l.w.Header()
	h.Set("Content-Type", streamType)
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	since, missed, err := l.resume(lastEventID)
	if err != nil {
		return err
	}
	topics := make([]string, len(l.topics))
	for i, t := range l.topics {
		topics[i] = string(t)
	}
	first := fmt.Appendf(nil, "retry: %d\n", streamRetry.Milliseconds())
	first = append(first, block(since.String(), api.StreamEventOpen, api.StreamOpen{Topics: topics, Node: l.s.node})...)
	if missed != "" {
		first = append(first, block(l.at.String(), api.StreamEventReset, api.StreamReset{Reason: missed})...)
	}
	if l.r.Method == http.MethodHead {
		return errClient // it asks for nothing more
	}
	if err := l.send(first); err != nil {
		return err
	}
	until := l.at.Seq
	l.at = since
	return l.catchUp(until)
}

// resume returns after which event the stream goes on, and why that is not the one
// that was asked for.
func (l *live) resume(lastEventID string) (since stream.Position, missed string, err error) {
	if lastEventID == "" {
		return l.at, "", nil
	}
	asked, ok := stream.ParsePosition(lastEventID)
	if ok {
		ok, err = l.s.hub.Holds(l.ctx, l.ws, asked)
	}
	switch {
	case err != nil:
		return l.at, "", fmt.Errorf("%w: %w", errLog, err)
	case !ok:
		return l.at, missedUnknown, nil
	case l.at.Seq-asked.Seq > mostReplay:
		return l.at, missedTooOld, nil
	}
	return asked, "", nil // it may be ahead of what this node has seen
}

// Why a stream cannot go on where the last one ended.
const (
	missedUnknown = "unknown"
	missedTooOld  = "too_old"
)

// catchUp tells what happened up to an event.
func (l *live) catchUp(until int64) error {
	for l.at.Seq < until {
		found, err := l.s.hub.After(l.ctx, l.ws, l.at.Seq)
		if err != nil {
			return fmt.Errorf("%w: %w", errLog, err)
		}
		if len(found) == 0 {
			return nil // the log is shorter than it was
		}
		for i := range found {
			if err := l.tellEvent(&found[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *live) tell(items []stream.Item) error {
	for _, it := range items {
		var err error
		switch {
		case it.Event != nil:
			err = l.tellEvent(it.Event)
		case it.Nodes != nil:
			err = l.send(block("", api.StreamEventNodes, api.StreamNodes{Nodes: nodesFor(it.Nodes, l.system)}))
			l.count(err, api.StreamEventNodes)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tellEvent writes what the topics make of an event of the audit log. One of the
// parts gets its id: the last, so that all are told again when one was not.
func (l *live) tellEvent(e *iam.AuditEvent) error {
	if e.Seq <= l.at.Seq {
		return nil // the reader caught up with it already
	}
	var text []byte
	parts, after := l.partsOf(e), stream.PositionOf(e)
	for i, p := range parts {
		id := ""
		if i == len(parts)-1 {
			id = after.String()
		}
		text = append(text, block(id, p.name, p.data)...)
	}
	if len(parts) > 0 {
		if err := l.send(text); err != nil {
			return err
		}
	}
	for _, p := range parts {
		l.count(nil, p.name)
	}
	l.at = after
	return nil
}

func (l *live) count(err error, event string) {
	if err == nil {
		l.s.metrics.streams.events.WithLabelValues(event).Inc()
	}
}

// send writes something of the workspace. The last thing before is the look
// whether the reader may have it. That the deadline is set before the look has a
// reason: watch puts it into the past after the right is lost, and it stays there.
func (l *live) send(text []byte) error {
	if err := l.allow(); err != nil {
		return err
	}
	if _, err := l.permitted(); err != nil {
		return err
	}
	if l.ctx.Err() != nil {
		return errClient
	}
	return l.write(text)
}

// deliver writes what anybody may read.
func (l *live) deliver(text []byte) error {
	if err := l.allow(); err != nil {
		return err
	}
	return l.write(text)
}

// allow gives the client time for one write.
func (l *live) allow() error {
	// The clock of the network, not the one that is injected.
	if err := l.control.SetWriteDeadline(time.Now().Add(streamStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	return nil
}

func (l *live) write(text []byte) error {
	if _, err := l.w.Write(text); err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	if err := l.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	return nil
}

// block writes an event as the HTML standard has it (section 9.2). An empty id
// leaves the reader's position where it is.
func block(id, event string, data any) []byte {
	var b bytes.Buffer
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	fmt.Fprintf(&b, "event: %s\ndata: ", event)
	if err := json.NewEncoder(&b).Encode(data); err != nil { // with the line feed that ends it
		panic(fmt.Sprintf("encode the event %s: %v", event, err)) // of our own types, which can all be encoded
	}
	b.WriteByte('\n')
	return b.Bytes()
}
