package posterngrpc_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/posterngrpc"
)

// keys is a verifier that knows what a test says.
type keys struct {
	mu    sync.Mutex // guards what follows
	may   map[string][]string
	stale bool
	from  postern.Source // of the last look
}

// VerifyFrom implements [posterngrpc.Verifier].
func (k *keys) VerifyFrom(_ context.Context, from postern.Source, key string, permissions ...string) (postern.Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.from = from
	may, known := k.may[key]
	switch {
	case k.stale:
		return postern.Identity{}, postern.ErrStale
	case !known:
		return postern.Identity{}, &postern.Denied{Code: api.VerdictNotFound}
	case slices.ContainsFunc(permissions, func(p string) bool { return !slices.Contains(may, p) }):
		return postern.Identity{}, &postern.Denied{Code: api.VerdictPermissionDenied}
	}
	return postern.Identity{Principal: postern.PrincipalRef{Name: "holder of " + key}}, nil
}

func (k *keys) revoke(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.may, key)
}

func (k *keys) goStale() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stale = true
}

func (k *keys) last() postern.Source {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.from
}

// service is what is protected. Its methods do what a test says.
type service struct {
	grpc_testing.UnimplementedTestServiceServer
	unary  func(ctx context.Context) error
	stream func(stream grpc_testing.TestService_FullDuplexCallServer) error
}

func (s *service) UnaryCall(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{}, s.unary(ctx)
}

func (s *service) EmptyCall(ctx context.Context, in *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return in, s.unary(ctx)
}

func (s *service) CacheableUnaryCall(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{}, s.unary(ctx)
}

func (s *service) FullDuplexCall(stream grpc_testing.TestService_FullDuplexCallServer) error {
	return s.stream(stream)
}

const inService = "/grpc.testing.TestService/"

var methods = posterngrpc.Methods{
	inService + "UnaryCall":          posterngrpc.Needs("tickets:read"),
	inService + "CacheableUnaryCall": posterngrpc.AnyKey(),
	inService + "FullDuplexCall":     posterngrpc.Needs("tickets:read"),
	"/grpc.health.v1.Health/*":       posterngrpc.Public(),
}

// serve starts a protected service, and returns what calls it.
func serve(t *testing.T, k *keys, s *service, options ...posterngrpc.Option) grpc_testing.TestServiceClient {
	t.Helper()
	return dial(t, start(t, posterngrpc.Protect(k, methods, options...), s), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func start(t *testing.T, options []grpc.ServerOption, s *service) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	grpc_testing.RegisterTestServiceServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string, options ...grpc.DialOption) grpc_testing.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return grpc_testing.NewTestServiceClient(conn)
}

// with returns the context of a call that brings pairs of metadata.
func with(t *testing.T, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), pairs...)
}
