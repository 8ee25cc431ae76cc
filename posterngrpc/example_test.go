package posterngrpc_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/posterngrpc"
)

func Example() {
	// What stands in for postern.New(ctx), and knows one key.
	verifier := &keys{may: map[string][]string{"a caller's key": {"tickets:read"}}}

	server := grpc.NewServer(posterngrpc.Protect(verifier, posterngrpc.Methods{
		"/grpc.health.v1.Health/Check": posterngrpc.Needs("tickets:read"),
	})...)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go server.Serve(listener) // until Stop
	defer server.Stop()

	target := listener.Addr().String()
	for _, key := range []string{"a caller's key", "another key"} {
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()), // within this machine
			grpc.WithPerRPCCredentials(posterngrpc.Credentials(postern.NewSecret(key))))
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
		fmt.Println(key, status.Code(err))
		_ = conn.Close() // nothing is lost by it
	}
	// Output:
	// a caller's key OK
	// another key Unauthenticated
}
