package posterngrpc

import (
	"context"
	"net"
	"net/url"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/posternhq/postern"
)

// Credentials sends a key with each call of a client, to the server that it is
// connected to and only over a connection that is encrypted, or does not leave this
// machine: one to a loopback address that the target names, or to a Unix socket. A
// proxy on this machine that leads elsewhere is not enough.
//
//	grpc.NewClient(target, grpc.WithPerRPCCredentials(posterngrpc.Credentials(key)), …)
func Credentials(key postern.Secret) credentials.PerRPCCredentials {
	return CredentialsFrom(func(context.Context) (postern.Secret, error) { return key, nil })
}

// CredentialsFrom is like [Credentials], with a key that may be another one by the
// next call: what is read when it is needed can be rotated.
func CredentialsFrom(key func(ctx context.Context) (postern.Secret, error)) credentials.PerRPCCredentials {
	return perCall(key)
}

type perCall func(ctx context.Context) (postern.Secret, error)

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (key perCall) GetRequestMetadata(ctx context.Context, audience ...string) (map[string]string, error) {
	if !isPrivate(ctx, audience) {
		return nil, status.Error(codes.Unauthenticated, "the connection is not encrypted: a key is not sent over it")
	}
	secret, err := key(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "there is no key to send: %v", err)
	}
	return map[string]string{"authorization": "Bearer " + secret.Reveal()}, nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials]. It says no,
// because gRPC would ask for encryption within this machine too: GetRequestMetadata
// looks at the connection itself, and sends no key where it would be read.
func (perCall) RequireTransportSecurity() bool { return false }

// isPrivate reports whether what a call to an audience sends can be read by its server
// alone.
func isPrivate(ctx context.Context, audience []string) bool {
	call, ok := credentials.RequestInfoFromContext(ctx)
	if ok && call.AuthInfo != nil && credentials.CheckSecurityLevel(call.AuthInfo, credentials.PrivacyAndIntegrity) == nil {
		return true
	}
	to, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	switch addr := to.Addr.(type) {
	case *net.TCPAddr:
		return addr.IP.IsLoopback() && !slices.ContainsFunc(audience, isElsewhere)
	case *net.UnixAddr:
		return true
	}
	return false
}

// isElsewhere reports whether an audience, which is the URL of a service, is not
// certain to be on this machine.
func isElsewhere(audience string) bool {
	u, err := url.Parse(audience)
	if err != nil {
		return true
	}
	return u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback()
}
