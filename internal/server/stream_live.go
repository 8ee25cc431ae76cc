package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/stream"
)

// live is one open stream.
type live struct {
	guarded
	ws     iam.WorkspaceID
	topics []iam.Topic

	reader *stream.Reader
	at     stream.Position // of the newest event that was dealt with
}

func newLive(s *Server, w http.ResponseWriter, r *http.Request, ws iam.WorkspaceID, topics []iam.Topic) *live {
	may := func(v replica.Verdict) bool { return v.Caller().MayWatch(topics) }
	return &live{guarded: newGuarded(s, w, r, heartbeat, may), ws: ws, topics: topics}
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

// end says the last words, unless the reader may hear none.
func (l *live) end(err error) {
	reason, told := endOf(err)
	l.s.metrics.streams.ended.WithLabelValues(reason).Inc()
	switch {
	case told:
		// It tells nothing of the workspace, so no right to it is needed.
		l.last(block("", api.StreamEventEnd, api.StreamEnd{Reason: reason}))
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

// follow tells the reader what it has missed, and then what happens.
func (l *live) follow(lastEventID string) error {
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
			err = l.send(block("", api.StreamEventNodes, api.StreamNodes{Nodes: each(it.Nodes, node)}))
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
