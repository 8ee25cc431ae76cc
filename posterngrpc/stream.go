package posterngrpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// lookEvery is how often a stream without messages is looked at.
const lookEvery = time.Second

// Stream returns what puts methods with streams behind a verifier, for as long as
// they last. A server has methods without them too: [Protect] is both.
//
// When the key of a stream stops working, the context of its handler ends and what it
// gets or sends fails; whatever the handler returns then, the caller hears that the
// key does not work.
func Stream(v Verifier, rules Rules, options ...Option) grpc.StreamServerInterceptor {
	g := newGuard(v, rules, options)
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		caller, err := g.caller(ss.Context(), info.FullMethod)
		if err != nil {
			return err
		}
		ctx, err := caller.admit(ss.Context())
		if err != nil {
			return err
		}
		if caller.public {
			return handler(srv, ss)
		}
		return watched(ctx, caller, ss, func(s grpc.ServerStream) error { return handler(srv, s) })
	}
}

// watched runs a handler for as long as its caller may go on.
func watched(ctx context.Context, c *caller, ss grpc.ServerStream, handler func(grpc.ServerStream) error) error {
	ctx, end := context.WithCancelCause(ctx)
	s := &watchedStream{ServerStream: ss, ctx: ctx, end: end, caller: c}
	var watching sync.WaitGroup
	watching.Go(s.watch)
	defer watching.Wait()
	defer end(nil)
	err := handler(s)
	if refused := s.refusal(); refused != nil {
		return refused
	}
	return err
}

// watchedStream is a stream whose key is looked at again and again.
type watchedStream struct {
	grpc.ServerStream
	ctx    context.Context // ends with the stream, or with the right to it
	end    context.CancelCauseFunc
	caller *caller
}

// Context implements [grpc.ServerStream].
func (s *watchedStream) Context() context.Context { return s.ctx }

// RecvMsg implements [grpc.ServerStream]. A message that came while the key worked,
// and is to be handed on when it no longer does, is not. It returns at once when the
// key stops working, though the message that it waits for may never come: what waits
// in its place ends with the stream, which the return of the handler ends.
func (s *watchedStream) RecvMsg(m any) error {
	if s.ctx.Err() != nil {
		return s.ended() // somebody may still wait for the message before
	}
	came := make(chan error, 1)
	go func() { came <- s.ServerStream.RecvMsg(m) }()
	select {
	case err := <-came:
		if err != nil {
			return err
		}
		return s.look()
	case <-s.ctx.Done():
		return s.ended()
	}
}

// SendMsg implements [grpc.ServerStream].
func (s *watchedStream) SendMsg(m any) error {
	if err := s.look(); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

// look returns an error, and ends the stream, unless its key works now.
func (s *watchedStream) look() error {
	if refused := s.refusal(); refused != nil {
		return refused
	}
	_, err := s.caller.verify(s.ctx)
	if err != nil && s.ctx.Err() == nil {
		s.end(refusal{err})
	}
	return err
}

// watch looks at the key until the stream ends.
func (s *watchedStream) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			_ = s.look() // it ends the stream by itself
		}
	}
}

// refusal is why a stream was ended.
type refusal struct{ error }

// ended returns the error of a stream that is over.
func (s *watchedStream) ended() error {
	if refused := s.refusal(); refused != nil {
		return refused
	}
	return status.FromContextError(s.ctx.Err()).Err()
}

// refusal returns why the stream was ended, or nil if it was not.
func (s *watchedStream) refusal() error {
	if r, ok := errors.AsType[refusal](context.Cause(s.ctx)); ok {
		return r.error
	}
	return nil
}
