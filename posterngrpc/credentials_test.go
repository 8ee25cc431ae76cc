package posterngrpc_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/posterngrpc"
)

// away is a connection that says it leads to another machine.
type away struct{ net.Conn }

func (away) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

func dialAway(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	return away{conn}, err
}

func TestKeyIsSentWhereNobodyElseReadsIt(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(certified.Certificate())
	open, sealed := insecure.NewCredentials(), credentials.NewClientTLSFromCert(trusted, "example.com")
	k := &keys{may: map[string][]string{"good": {"tickets:read"}}}
	reached := 0
	s := &service{unary: func(context.Context) error { reached++; return nil }}
	plain := start(t, posterngrpc.Protect(k, methods), s)
	tls := start(t, append(posterngrpc.Protect(k, methods), grpc.Creds(credentials.NewServerTLSFromCert(&certified.TLS.Certificates[0]))), s)
	key := grpc.WithPerRPCCredentials(posterngrpc.Credentials(postern.NewSecret("good")))
	for name, c := range map[string]struct {
		address string
		options []grpc.DialOption
		want    codes.Code
	}{
		"within this machine":             {plain, []grpc.DialOption{grpc.WithTransportCredentials(open)}, codes.OK},
		"encrypted":                       {tls, []grpc.DialOption{grpc.WithTransportCredentials(sealed), grpc.WithContextDialer(dialAway)}, codes.OK},
		"not encrypted":                   {plain, []grpc.DialOption{grpc.WithTransportCredentials(open), grpc.WithContextDialer(dialAway)}, codes.Unauthenticated},
		"a proxy within this machine":     {plain, []grpc.DialOption{grpc.WithTransportCredentials(open), grpc.WithAuthority("tickets.example")}, codes.Unauthenticated},
		"not encrypted, to a name of our": {plain, []grpc.DialOption{grpc.WithTransportCredentials(open), grpc.WithContextDialer(dialAway), grpc.WithAuthority("localhost")}, codes.Unauthenticated},
	} {
		reached = 0
		_, err := dial(t, c.address, append(c.options, key)...).UnaryCall(t.Context(), &grpc_testing.SimpleRequest{})
		if got := status.Code(err); got != c.want || (reached == 1) != (got == codes.OK) {
			t.Errorf("%s: %v, reached %d times; want %v", name, err, reached, c.want)
		}
	}
}

func TestKeyIsReadWhenItIsNeeded(t *testing.T) {
	k := &keys{may: map[string][]string{"old": {"tickets:read"}, "new": {"tickets:read"}}}
	var who string
	s := &service{unary: func(ctx context.Context) error {
		id, _ := postern.FromContext(ctx)
		who = id.Principal.Name
		return nil
	}}
	key, failure := "old", error(nil)
	from := posterngrpc.CredentialsFrom(func(context.Context) (postern.Secret, error) { return postern.NewSecret(key), failure })
	c := dial(t, start(t, posterngrpc.Protect(k, methods), s), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(from))
	for _, key = range []string{"old", "new"} {
		if _, err := c.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{}); err != nil || who != "holder of "+key {
			t.Errorf("%s: called as %q, %v", key, who, err)
		}
	}
	failure = errors.New("no vault")
	if _, err := c.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a key: %v, want Unauthenticated", err)
	}
}
