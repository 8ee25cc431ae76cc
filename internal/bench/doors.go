package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/gateway"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/token"
	"github.com/posternhq/postern/internal/usage"
)

// The doors that are measured, and what each is compared with: what the same process
// does with the same library without Postern.
const (
	doorBareHTTP = "bare net/http"
	doorVerify   = "/v1/verify"
	doorFast     = "/v1/verify, fast listener"
	doorBatch    = "/v1/verify/batch"
	doorUnix     = "/v1/authorize, Unix socket"
	doorBareGRPC = "bare grpc-go"
	doorEnvoy    = "ext_authz"
)

// bareHTTP does with package net/http what cannot be done without: it decodes the same
// JSON types and encodes them, and nothing else.
func bareHTTP(w http.ResponseWriter, r *http.Request) {
	var in api.Verify
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	out := api.Verdict{
		Valid: true, Code: api.VerdictValid,
		Principal: &api.VerdictOwner{
			ID: "sa_01jn8x0c2vf3hs5r6tq7w8y9za", Type: "service_account", Name: "support-bot-1", State: "active",
			Workspace: api.WorkspaceRef{ID: "ws_01jn8x0c2vf3hs5r6tq7w8y9za", Slug: "acme"},
		},
		Key:       &api.VerdictKey{ID: "key_01jn8x0c2vf3hs5r6tq7w8y9za", Name: "prod-2026-11"},
		Role:      &api.Ref{ID: "role_01jn8x0c2vf3hs5r6tq7w8y9za", Name: "operator"},
		Decisions: map[string]bool{permission: true}, Revision: 1, RequestID: "req_01jn8x0c2vf3hs5r6tq7w8y9za",
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the client may be gone
}

// bareGRPC does with package grpc what cannot be done without: it reads Envoy's
// question and writes an answer as long as ours, and nothing else.
type bareGRPC struct {
	authv3.UnimplementedAuthorizationServer
}

// Check implements authv3.AuthorizationServer.
func (bareGRPC) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	set := func(name, value string) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: name, Value: value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}
	}
	if in.GetAttributes().GetRequest().GetHttp().GetHeaders()["authorization"] == "" {
		return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: 16}}, nil
	}
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			HeadersToRemove: []string{"authorization", "x-api-key"},
			Headers: []*corev3.HeaderValueOption{
				set("x-postern-principal", "sa_01jn8x0c2vf3hs5r6tq7w8y9za"), set("x-postern-principal-name", "support-bot-1"),
				set("x-postern-type", "service_account"), set("x-postern-workspace", "ws_01jn8x0c2vf3hs5r6tq7w8y9za"),
				set("x-postern-key", "key_01jn8x0c2vf3hs5r6tq7w8y9za"), set("x-postern-role", "operator"),
			},
		}},
	}, nil
}

// address is where a door is.
type address struct{ Network, Address string }

// serving is what serves a listener.
type serving interface {
	Serve(l net.Listener) error
	Close() error
}

// rpcServer makes a [serving] of a server of package grpc.
type rpcServer struct{ *grpc.Server }

// Close implements [serving].
func (s rpcServer) Close() error {
	s.Stop()
	return nil
}

// doors are open for as long as a process is measured.
type doors struct {
	addresses map[string]address
	servers   []serving
	running   sync.WaitGroup
	counting  *usage.Gatherer
	stop      context.CancelFunc
}

// openDoors serves a replica at every door, on loopback addresses and sockets in a
// folder. It counts uses as a node does, and reports them to nobody.
func openDoors(r *replica.Replica, folder string) (_ *doors, err error) {
	ctx, stop := context.WithCancel(context.Background())
	d := &doors{addresses: map[string]address{}, stop: stop}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if err := d.count(ctx); err != nil {
		return nil, err
	}
	prefixes := token.Prefixes{token.DefaultPrefix}
	main, err := server.New(server.Options{
		IAM: &iam.Service{Now: time.Now}, Replica: r, People: noPeople{}, Prefixes: prefixes,
		Secret: make([]byte, 32), Usage: d.counting, Node: "bench",
	})
	if err != nil {
		return nil, err
	}
	proxies, err := gateway.New(gateway.Options{Door: r, Prefixes: prefixes, Usage: d.counting, Workspace: "acme"})
	if err != nil {
		return nil, err
	}
	rpc := grpc.NewServer()
	authv3.RegisterAuthorizationServer(rpc, bareGRPC{})
	forProxies := gateway.NewServer(proxies)
	for _, door := range []struct {
		name, socket string
		server       serving
	}{
		{doorBareHTTP, "", server.HTTPServer(http.HandlerFunc(bareHTTP))},
		{doorVerify, "", server.HTTPServer(main.Handler())},
		{doorFast, "", server.NewFastServer(main, func() string { return "" })},
		{doorUnix, "gateway.sock", forProxies},
		{doorBareGRPC, "bare.sock", rpcServer{rpc}},
	} {
		if err := d.open(ctx, door.name, folder, door.socket, door.server); err != nil {
			return nil, err
		}
	}
	d.addresses[doorBatch], d.addresses[doorEnvoy] = d.addresses[doorVerify], d.addresses[doorUnix]
	return d, nil
}

func (d *doors) open(ctx context.Context, name, folder, socket string, s serving) error {
	network, at := "tcp", "127.0.0.1:0"
	if socket != "" {
		network, at = "unix", filepath.Join(folder, socket)
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, at)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", name, err)
	}
	d.addresses[name] = address{network, l.Addr().String()}
	d.servers = append(d.servers, s)
	d.running.Go(func() { _ = s.Serve(l) }) // until it is closed, and says that it is
	return nil
}

// count starts counting uses.
func (d *doors) count(ctx context.Context) (err error) {
	begun := time.Now()
	d.counting, err = usage.New(usage.Options{
		Reporter: iam.Reporter{ID: "bench", Name: "bench", Kind: iam.ServerNode}, Store: nobody{}, Now: func() time.Duration { return time.Since(begun) },
	})
	if err != nil {
		return err
	}
	if err := d.counting.Register(ctx); err != nil {
		return err
	}
	d.running.Go(func() { d.counting.Run(ctx) })
	return nil
}

// nobody is a store of reports that keeps nothing.
type nobody struct{}

// Register implements usage.Store.
func (nobody) Register(context.Context, iam.Reporter) (time.Time, error) { return time.Now(), nil }

// Report implements usage.Store.
func (nobody) Report(context.Context, iam.UsageReport) (time.Time, error) { return time.Now(), nil }

// close ends all of it, at once.
func (d *doors) close() error {
	var failed error
	for _, s := range d.servers {
		if err := s.Close(); !errors.Is(err, net.ErrClosed) {
			failed = errors.Join(failed, err)
		}
	}
	d.stop()
	d.running.Wait()
	return failed
}

// noPeople knows nobody: no door that is measured asks.
type noPeople struct{ server.People }
