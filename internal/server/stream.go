package server

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/stream"
)

const (
	streamPath = workspacePath + "/stream"
	streamType = "text/event-stream"
)

func (s *Server) registerStream() {
	op := operation{
		id: "follow", endless: true, method: http.MethodGet, path: streamPath, tag: operationsTag,
		summary:     "Follow what happens in a workspace",
		description: streamWords,
		access:      holder, success: http.StatusOK, problems: []string{api.CodePermissionDenied, api.CodeValidationFailed},
	}
	register(s, op, s.openStream)
	s.describeStream(&op)
}

const streamWords = "Server-Sent Events. The topics `keys` and `rotations` need `iam.keys:read`, `audit` needs `iam.audit:read`, " +
	"`nodes` needs `iam.nodes:read`; without `topics` the stream tells of all that the calling key may read.\n\n" +
	"Each event has a name and, as its data, one line of JSON. `open` (StreamOpen) comes first; read what is to be shown after it, and nothing is missed. " +
	"Of `keys`: `key`, `principal` and `role` (StreamChange). Of `rotations`: `rotation` (StreamChange). Of `audit`: `audit` (AuditEvent). " +
	"Of `nodes`: `nodes` (StreamNodes), at the beginning and when one comes, goes, falls silent or is heard of again. " +
	"Pass over what you do not know.\n\n" +
	"The id of an event is the reader's position in the audit log, and means nothing else. Sent back as `Last-Event-ID`, to whichever node, the stream goes " +
	"on after it; `reset` (StreamReset) says that it cannot, and that everything must be read anew. Comments and ids without an event come every 15 " +
	"seconds, each of which is a use of the key.\n\n" +
	"The stream breaks off, without another word, as soon as the calling key stops working or loses the permission of one of the topics: " +
	"the answer to the next call says why. Otherwise it ends with `end` (StreamEnd), and goes on elsewhere with `Last-Event-ID`."

// describeStream documents a body that package huma does not write, in the form
// that package huma gives such bodies: a list of what each event is made of.
func (s *Server) describeStream(op *operation) {
	d := documented(s.api, op)
	if d == nil {
		return // register has found fault with the row
	}
	change, data := schemaOf[api.StreamChange](s), []struct {
		event string
		of    *huma.Schema
	}{
		{api.StreamEventOpen, schemaOf[api.StreamOpen](s)},
		{api.StreamEventKey, nil}, {api.StreamEventPrincipal, nil}, {api.StreamEventRole, nil}, {api.StreamEventRotation, nil},
		{api.StreamEventAudit, schemaOf[api.AuditEvent](s)},
		{api.StreamEventNodes, schemaOf[api.StreamNodes](s)},
		{api.StreamEventReset, schemaOf[api.StreamReset](s)},
		{api.StreamEventEnd, schemaOf[api.StreamEnd](s)},
	}
	events := &huma.Schema{}
	for _, e := range data {
		events.OneOf = append(events.OneOf, &huma.Schema{
			Type: huma.TypeObject, Title: "The event " + e.event, Required: []string{"event", "data"},
			Properties: map[string]*huma.Schema{
				"id":    {Type: huma.TypeString, Description: "The reader's position from now on."},
				"event": {Type: huma.TypeString, Enum: []any{e.event}},
				"data":  cmp.Or(e.of, change),
				"retry": {Type: huma.TypeInteger, Description: "Milliseconds after which to come back."},
			},
		})
	}
	d.Responses["200"].Content = map[string]*huma.MediaType{streamType: {Schema: &huma.Schema{
		Type: huma.TypeArray, Items: events, Title: "Server-Sent Events",
		Description: "Each element is an event; the lines that it is written as are those of the HTML standard.",
	}}}
}

type openStreamInput struct {
	InWorkspace
	Topics      []string `query:"topics" enum:"keys,rotations,audit,nodes" doc:"What to tell of, with commas in between."`
	LastEventID string   `header:"Last-Event-ID" doc:"The id of the last event that was received."`
}

type openStreamOutput struct{ Body func(huma.Context) }

func (s *Server) openStream(_ context.Context, c iam.Caller, in *openStreamInput) (*openStreamOutput, error) {
	return &openStreamOutput{func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		if err := s.stream(w, r, c, in); err != nil {
			s.fail(w, r, ofQuery(err))
		}
	}}, nil
}

// stream follows a workspace for a reader until one of them ends. It returns an
// error only when nothing has been answered.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, c iam.Caller, in *openStreamInput) error {
	var asked []iam.Topic
	for _, t := range in.Topics {
		asked = append(asked, iam.Topic(t))
	}
	ws, topics, err := s.iam.Watch(r.Context(), c, in.Workspace, asked)
	if err != nil {
		return err
	}
	leave, err := s.streams.enter(c, ws)
	if err != nil {
		s.metrics.limited.Inc()
		return err
	}
	defer leave()
	l := newLive(s, w, r, ws, topics)
	reader, err := s.hub.Join(r.Context(), ws, l.wants())
	if err != nil {
		return err
	}
	defer reader.Leave()
	s.metrics.streams.open.Inc()
	defer s.metrics.streams.open.Dec()
	l.reader, l.at = reader, reader.From()
	l.end(l.run(func() error { return l.follow(in.LastEventID) }))
	return nil
}

// streams counts who has how many of them open, and tells them when to end.
type streams struct {
	mostOfOne int // of one principal
	most      int // of one workspace
	mostInAll int // zero: as many as those of each
	reserved  int // of these, how many are for callers of the system workspace alone
	beat      time.Duration
	stall     time.Duration // that a reader may take for one write
	ending    chan struct{}
	end       func() // closes ending, once

	mu    sync.Mutex     // guards what follows
	open  map[string]int // by the ids of principals and workspaces
	inAll int
	lent  int // of these, those of callers of other workspaces than the system's
}

const (
	// usualStreams is how many streams one principal may have open on a node: as
	// many windows of the console as a person has, with some left over.
	usualStreams = 32

	// usualAudience is how many a workspace may. What one costs is some 100 kB at
	// the most, when its client does not read.
	usualAudience = 1024
)

func newStreams(l Limits) *streams {
	ending := make(chan struct{})
	return &streams{
		mostOfOne: cmp.Or(l.Streams, usualStreams), most: cmp.Or(l.Audience, usualAudience), beat: cmp.Or(l.Heartbeat, heartbeat), stall: cmp.Or(l.Stall, streamStall),
		ending: ending, end: sync.OnceFunc(func() { close(ending) }), open: map[string]int{},
	}
}

// enter counts a stream of a caller that tells of a workspace, until leave is called.
func (st *streams) enter(c iam.Caller, ws iam.WorkspaceID) (leave func(), err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.open[string(c.Principal.ID)] >= st.mostOfOne:
		return nil, retryAfter{iam.Errorf(iam.RateLimited, "there are %d open streams of this caller; close one", st.mostOfOne), streamRetry}
	case st.open[string(ws)] >= st.most:
		return nil, retryAfter{iam.Errorf(iam.RateLimited, "there are %d open streams of this workspace; close one", st.most), streamRetry}
	case st.mostInAll > 0 && (st.inAll >= st.mostInAll || !c.System && st.lent >= st.mostInAll-st.reserved):
		return nil, retryAfter{iam.Errorf(iam.RateLimited, "there are as many open streams on this node as may be; follow another"), streamRetry}
	}
	st.add(c, ws, 1)
	return func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.add(c, ws, -1)
	}, nil
}

// add counts; st.mu is held.
func (st *streams) add(c iam.Caller, ws iam.WorkspaceID, n int) {
	st.inAll += n
	if !c.System {
		st.lent += n
	}
	for _, id := range []string{string(c.Principal.ID), string(ws)} {
		if st.open[id] += n; st.open[id] == 0 {
			delete(st.open, id)
		}
	}
}

// EndStreams ends the streams that are open, and those that are opened later, with
// a last event. It does not wait for them. A server that is to end calls it, for
// streams do not end by themselves.
func (s *Server) EndStreams() { s.streams.end() }

// newHub returns what the streams of a server learn from.
func (s *Server) newHub() *stream.Hub {
	return stream.New(stream.Options{
		Events: func(ctx context.Context, ws iam.WorkspaceID, f iam.EventFilter, p iam.Page) (iam.List[iam.AuditEvent], error) {
			return s.iam.Store.Events(ctx, ws, f, p)
		},
		Event: func(ctx context.Context, ws iam.WorkspaceID, id iam.EventID) (iam.AuditEvent, error) {
			return s.iam.Store.Event(ctx, ws, id)
		},
		Nodes:     s.nodesSeenBy,
		Published: s.replica.Published, Log: s.log,
	})
}

const (
	streamRetry = 2 * time.Second  // after which a reader comes back
	heartbeat   = 15 * time.Second // between two signs of life; proxies give up after 30 or 60 s
	streamStall = 20 * time.Second // that a reader may take for one write
	mostReplay  = 10_000           // events that are told again

	// streamFarewell is how long a write that is held up goes on when the server ends,
	// and how long a reader may take for the last words.
	streamFarewell = time.Second
)
