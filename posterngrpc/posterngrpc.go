// Package posterngrpc puts gRPC services behind a [postern.Verifier], and sends keys
// to them.
//
//	verifier, err := postern.New(ctx)
//	…
//	server := grpc.NewServer(posterngrpc.Protect(verifier, posterngrpc.Methods{
//		"/tickets.v1.Tickets/List":  posterngrpc.Needs("tickets:read"),
//		"/tickets.v1.Tickets/Watch": posterngrpc.Needs("tickets:read"),
//		"/grpc.health.v1.Health/*":  posterngrpc.Public(),
//	})...)
//
// A method that no rule is given for is refused. [postern.FromContext] says whose key
// let a call in. Callers that do not hold a key that works hear Unauthenticated, those
// whose key may not do this PermissionDenied, and all of them Unavailable while the
// verifier cannot know.
//
// A stream is let in once, and then looked at again: before each message that its
// handler gets or sends, and each second while there is none. When its key no longer
// works, the stream ends. Each look counts as a use of the key.
package posterngrpc

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

// Verifier says whose key it is, if it may be used for all of the permissions, from
// memory. A [*postern.Verifier] does.
type Verifier interface {
	VerifyFrom(ctx context.Context, from postern.Source, key string, permissions ...string) (postern.Identity, error)
}

// Option says something about how calls are let in.
type Option func(*guard)

// SourceFrom says where a call comes from, for keys with allowed networks and for
// those who look who used a key. Without it that is the address of the connection;
// behind a proxy it has to be what the proxy says, and nobody else.
func SourceFrom(source func(ctx context.Context) postern.Source) Option {
	return func(g *guard) { g.source = source }
}

// Protect returns the options of a server that puts all of its methods behind a
// verifier. It panics when the rules cannot be meant, as a pattern of
// [net/http.ServeMux] does. Interceptors that are to come before are given before.
func Protect(v Verifier, rules Rules, options ...Option) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(Unary(v, rules, options...)),
		grpc.ChainStreamInterceptor(Stream(v, rules, options...)),
	}
}

// Unary returns what puts methods without streams behind a verifier. A server with
// streams needs [Stream] too: [Protect] is both.
func Unary(v Verifier, rules Rules, options ...Option) grpc.UnaryServerInterceptor {
	g := newGuard(v, rules, options)
	return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		caller, err := g.caller(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		ctx, err = caller.admit(ctx)
		if err != nil {
			return nil, err
		}
		return handler(ctx, in)
	}
}

// guard lets calls in, or not.
type guard struct {
	verifier Verifier
	rules    Rules
	source   func(ctx context.Context) postern.Source
}

func newGuard(v Verifier, rules Rules, options []Option) *guard {
	if v == nil || rules == nil {
		panic("posterngrpc: a verifier and rules are needed")
	}
	g := &guard{verifier: v, rules: rules, source: ofConnection}
	if m, ok := rules.(Methods); ok {
		m.check()
	}
	for _, o := range options {
		o(g)
	}
	return g
}

// caller returns who calls a method, not yet verified.
func (g *guard) caller(ctx context.Context, method string) (*caller, error) {
	rule := g.rules.Rule(method)
	switch rule.kind {
	case public:
		return &caller{public: true}, nil
	case needsKey:
		key, err := presented(ctx)
		return &caller{guard: g, key: key, from: g.source(ctx), permissions: rule.permissions}, err
	}
	return nil, status.Errorf(codes.PermissionDenied, "no rule says who may call %s", method)
}

// caller is who makes a call.
type caller struct {
	guard       *guard
	public      bool // anybody may, and nobody is asked for
	key         postern.Secret
	from        postern.Source
	permissions []string
}

// admit returns the context of a call that may be made.
func (c *caller) admit(ctx context.Context) (context.Context, error) {
	if c.public {
		return ctx, nil
	}
	id, err := c.verify(ctx)
	if err != nil {
		return nil, err
	}
	return postern.NewContext(ctx, id), nil
}

// verify looks whether the key works, and returns an error that its holder may hear.
func (c *caller) verify(ctx context.Context) (postern.Identity, error) {
	id, err := c.guard.verifier.VerifyFrom(ctx, c.from, c.key.Reveal(), c.permissions...)
	denied, isDenied := errors.AsType[*postern.Denied](err)
	switch {
	case err == nil:
		return id, nil
	case isDenied && denied.Code == api.VerdictPermissionDenied:
		return id, status.Error(codes.PermissionDenied, denied.Error())
	case isDenied:
		return id, status.Error(codes.Unauthenticated, denied.Error())
	case ctx.Err() != nil:
		return id, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, postern.ErrStale):
		return id, status.Error(codes.Unavailable, "it cannot be known just now whether the key works")
	}
	return id, status.Error(codes.Internal, "the key could not be verified") // a rule names what is no permission
}

// presented returns the one key that a call brings.
func presented(ctx context.Context) (postern.Secret, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	bearers, plain := md.Get("authorization"), md.Get("x-api-key")
	switch {
	case len(bearers)+len(plain) == 0:
		return postern.Secret{}, status.Error(codes.Unauthenticated, "send a key as authorization: Bearer or as x-api-key")
	case len(bearers)+len(plain) > 1:
		return postern.Secret{}, status.Error(codes.Unauthenticated, "send one key, once")
	case len(plain) == 1:
		return postern.NewSecret(plain[0]), nil
	}
	key, isBearer := bearer(bearers[0])
	if !isBearer {
		return postern.Secret{}, status.Error(codes.Unauthenticated, "the scheme of authorization is not Bearer")
	}
	return postern.NewSecret(key), nil
}

// ofConnection returns the address that a call comes from.
func ofConnection(ctx context.Context) postern.Source {
	from := postern.Source{}
	if p, ok := peer.FromContext(ctx); ok {
		if tcp, isTCP := p.Addr.(*net.TCPAddr); isTCP {
			from.Address = tcp.AddrPort().Addr().Unmap()
		}
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if agents := md.Get("user-agent"); len(agents) == 1 {
		from.UserAgent = agents[0]
	}
	return from
}
