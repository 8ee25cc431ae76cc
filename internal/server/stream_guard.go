package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// How a stream ends, other than with its reader.
var (
	errNoRight  = errors.New("the key of the stream stopped working, or lost a permission")
	errNotKnown = errors.New("the node cannot know whether the key of the stream works")
	errShutdown = errors.New("the server ends")
	errClient   = errors.New("the client went away, or took too long")
	errLog      = errors.New("the store cannot be read")
)

// guarded is an answer that does not end by itself, of which each part is written only
// while the caller may have it. Two goroutines share it: one writes, and the other
// watches over the right to be written to, also while a write is held up.
type guarded struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	right   func(replica.Verdict) bool // whether a key that works may have the stream
	again   time.Duration              // after which that is asked again although nothing was published
	stall   time.Duration              // that the client may take for one write

	ctx  context.Context // ends with the client, or with a cause
	stop context.CancelCauseFunc
}

func newGuarded(s *Server, w http.ResponseWriter, r *http.Request, again time.Duration, right func(replica.Verdict) bool) guarded {
	return guarded{s: s, w: w, r: r, control: http.NewResponseController(w), right: right, again: again, stall: s.streams.stall}
}

// run calls follow, and returns what ended the stream. Nothing was written before.
func (g *guarded) run(follow func() error) error {
	g.ctx, g.stop = context.WithCancelCause(g.r.Context())
	var watching sync.WaitGroup
	watching.Go(g.watch)
	// The server's own limit on reading would end the request; the client has nothing
	// more to say.
	err := g.control.SetReadDeadline(time.Time{})
	if err == nil || errors.Is(err, http.ErrNotSupported) {
		err = follow()
	} else {
		err = fmt.Errorf("%w: %w", errClient, err)
	}
	g.stop(err)
	watching.Wait() // or it would touch a connection that is no longer ours
	return cmp.Or(context.Cause(g.ctx), err)
}

// watch ends the stream when the caller loses the right to it: it looks at each
// publication, and when the key expires or the lease of this node does. A write that
// is held up is broken off; when the server ends, a moment later.
func (g *guarded) watch() {
	for {
		published := g.s.replica.Published() // before the look, so that nothing is missed in between
		again, err := g.permitted()
		if err != nil {
			g.stop(err)
			_ = g.control.SetWriteDeadline(past) // where there is none, nothing holds a write up
			return
		}
		timer := time.NewTimer(again)
		select {
		case <-published:
		case <-timer.C:
		case <-g.s.streams.ending:
			g.stop(errShutdown) // no other write begins
			_ = g.control.SetWriteDeadline(time.Now().Add(streamFarewell))
			timer.Stop()
			return
		case <-g.ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// permitted returns nil when the caller may be told something now, and after which
// time that must be asked again although nothing was published.
func (g *guarded) permitted() (again time.Duration, err error) {
	v, err := g.s.recognise(g.r)
	switch {
	case errors.Is(err, iam.Stale) && g.r.Context().Err() != nil:
		return 0, errClient
	case errors.Is(err, iam.Stale):
		return 0, errNotKnown
	case err != nil || !g.right(v):
		return 0, errNoRight
	}
	again = g.again
	if fresh := g.s.replica.View().FreshFor(); fresh > 0 {
		again = min(again, fresh)
	}
	if v.Key.ExpiresAt != 0 {
		again = min(again, time.UnixMicro(v.Key.ExpiresAt).Sub(g.s.now()))
	}
	const least = 10 * time.Millisecond // the clocks of this machine and the database differ a little
	return max(again, least), nil
}

// send writes what only those may have who have the right. The last thing before is
// the look whether the caller does. That the deadline is set before the look has a
// reason: watch puts it into the past after the right is lost, and it stays there.
func (g *guarded) send(text []byte) error {
	if err := g.until(g.stall); err != nil {
		return err
	}
	if _, err := g.permitted(); err != nil {
		return err
	}
	if g.ctx.Err() != nil {
		return errClient
	}
	return g.write(text)
}

// last writes the last words, which anybody may read. Who does not hear them sees the
// connection end.
func (g *guarded) last(text []byte) {
	if g.until(min(g.stall, streamFarewell)) == nil {
		_ = g.write(text)
	}
	_ = g.control.SetWriteDeadline(time.Time{}) // the connection is for other requests now
}

// until gives the client time for one write.
func (g *guarded) until(most time.Duration) error {
	// The clock of the network, not the one that is injected.
	if err := g.control.SetWriteDeadline(time.Now().Add(most)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	return nil
}

func (g *guarded) write(text []byte) error {
	_, err := g.w.Write(text)
	if err == nil {
		err = g.control.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	return nil
}
