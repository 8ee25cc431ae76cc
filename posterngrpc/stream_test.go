package posterngrpc_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

type (
	serverStream = grpc_testing.TestService_FullDuplexCallServer
	clientStream = grpc_testing.TestService_FullDuplexCallClient
	request      = grpc_testing.StreamingOutputCallRequest
	response     = grpc_testing.StreamingOutputCallResponse
)

// begin opens a stream, which ends with the test at the latest.
func begin(t *testing.T, k *keys, handler func(serverStream) error, key string) clientStream {
	t.Helper()
	c := serve(t, k, &service{stream: handler})
	ctx, cancel := context.WithTimeout(with(t, "x-api-key", key), 30*time.Second)
	t.Cleanup(cancel)
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// echo sends back each message.
func echo(s serverStream) error {
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Send(&response{}); err != nil {
			return err
		}
	}
}

func exchange(s clientStream) error {
	if err := s.Send(&request{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err := s.Recv()
	return err
}

func newKeys() *keys { return &keys{may: map[string][]string{"good": {"tickets:read"}, "weak": {}}} }

func TestStreamIsLetInAndEndsAsItsHandlerSays(t *testing.T) {
	s := begin(t, newKeys(), echo, "good")
	for range 3 {
		if err := exchange(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	own := begin(t, newKeys(), func(serverStream) error { return status.Error(codes.DataLoss, "its own") }, "good")
	if _, err := own.Recv(); status.Code(err) != codes.DataLoss {
		t.Errorf("got %v, want what the handler returned", err)
	}
}

func TestStreamIsRefusedBeforeItsHandlerBegins(t *testing.T) {
	for key, want := range map[string]codes.Code{"bad": codes.Unauthenticated, "weak": codes.PermissionDenied} {
		s := begin(t, newKeys(), func(serverStream) error { t.Error("let in"); return nil }, key)
		if _, err := s.Recv(); status.Code(err) != want {
			t.Errorf("%s: %v, want %v", key, err, want)
		}
	}
}

func TestNoMessageReachesTheHandlerOnceARevocationHasReturned(t *testing.T) {
	k := newKeys()
	var got atomic.Int64
	s := begin(t, k, func(s serverStream) error {
		for {
			if _, err := s.Recv(); err != nil {
				return nil // it keeps the reason for itself
			}
			if got.Add(1); s.Send(&response{}) != nil {
				return nil
			}
		}
	}, "good")
	if err := exchange(s); err != nil {
		t.Fatal(err)
	}
	k.revoke("good")
	if err := exchange(s); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after the revocation: %v, want Unauthenticated", err)
	}
	if got.Load() != 1 {
		t.Errorf("the handler got %d messages, want the one before the revocation", got.Load())
	}
}

func TestNoMessageLeavesTheHandlerOnceARevocationHasReturned(t *testing.T) {
	k := newKeys()
	began, revoked := make(chan struct{}), make(chan struct{})
	s := begin(t, k, func(s serverStream) error {
		close(began)
		<-revoked
		if err := s.Send(&response{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("sent with a revoked key: %v", err)
		}
		return nil
	}, "good")
	<-began
	k.revoke("good")
	close(revoked)
	if _, err := s.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v, want Unauthenticated", err)
	}
}

func TestQuietStreamEndsWithItsKey(t *testing.T) {
	ways := map[string]func(serverStream) error{
		"one that waits for a message":   func(s serverStream) error { _, err := s.Recv(); return err },
		"one that waits for its context": func(s serverStream) error { <-s.Context().Done(); return nil },
		"one that goes on in spite of it": func(s serverStream) error {
			<-s.Context().Done()
			for range 3 {
				if _, err := s.Recv(); status.Code(err) != codes.Unauthenticated && status.Code(err) != codes.Unavailable {
					t.Errorf("a message, or %v", err)
				}
			}
			return nil
		},
	}
	for name, handler := range ways {
		for end, want := range map[string]codes.Code{"revoked": codes.Unauthenticated, "stale": codes.Unavailable} {
			t.Run(name+" "+end, func(t *testing.T) {
				t.Parallel()
				k := newKeys()
				began := make(chan struct{})
				s := begin(t, k, func(s serverStream) error { close(began); return handler(s) }, "good")
				<-began
				if end == "stale" {
					k.goStale()
				} else {
					k.revoke("good")
				}
				if _, err := s.Recv(); status.Code(err) != want {
					t.Errorf("got %v, want %v", err, want)
				}
			})
		}
	}
}

func TestStreamThatItsCallerGivesUpEnds(t *testing.T) {
	ended := make(chan error, 1)
	c := serve(t, newKeys(), &service{stream: func(s serverStream) error {
		_, err := s.Recv()
		ended <- err
		return err
	}})
	ctx, cancel := context.WithCancel(with(t, "x-api-key", "good"))
	if _, err := c.FullDuplexCall(ctx); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel) // before or after the handler begins: either will do
	select {
	case err := <-ended:
		if status.Code(err) != codes.Canceled {
			t.Errorf("the handler heard %v, want Canceled", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the handler waits for ever")
	}
}
