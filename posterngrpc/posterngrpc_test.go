package posterngrpc_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/posterngrpc"
)

func TestCallersAreLetInByOneKeyThatMayDoIt(t *testing.T) {
	k := &keys{may: map[string][]string{"good": {"tickets:read"}, "weak": {}}}
	reached := 0
	c := serve(t, k, &service{unary: func(context.Context) error { reached++; return nil }})
	for name, call := range map[string]struct {
		metadata []string
		want     codes.Code
	}{
		"a bearer token":               {[]string{"authorization", "Bearer good"}, codes.OK},
		"a scheme in lower case":       {[]string{"authorization", "bearer good"}, codes.OK},
		"a key by itself":              {[]string{"x-api-key", "good"}, codes.OK},
		"no key":                       {nil, codes.Unauthenticated},
		"an empty key":                 {[]string{"x-api-key", ""}, codes.Unauthenticated},
		"no key behind the scheme":     {[]string{"authorization", "Bearer"}, codes.Unauthenticated},
		"another scheme":               {[]string{"authorization", "Basic good"}, codes.Unauthenticated},
		"a key that nobody knows":      {[]string{"authorization", "Bearer bad"}, codes.Unauthenticated},
		"two keys":                     {[]string{"authorization", "Bearer good", "x-api-key", "good"}, codes.Unauthenticated},
		"one header twice":             {[]string{"x-api-key", "good", "x-api-key", "good"}, codes.Unauthenticated},
		"a key that may not do it":     {[]string{"authorization", "Bearer weak"}, codes.PermissionDenied},
		"a key in words of a verifier": {[]string{"x-postern-principal", "good"}, codes.Unauthenticated},
	} {
		reached = 0
		_, err := c.UnaryCall(with(t, call.metadata...), &grpc_testing.SimpleRequest{})
		if got := status.Code(err); got != call.want || (reached == 1) != (got == codes.OK) {
			t.Errorf("%s: %v, reached %d times; want %v", name, err, reached, call.want)
		}
		if err != nil && (strings.Contains(err.Error(), "good") || strings.Contains(err.Error(), "not_found")) {
			t.Errorf("%s: the answer says too much: %v", name, err)
		}
	}
}

func TestRulesSayWhoMayCallAMethod(t *testing.T) {
	k := &keys{may: map[string][]string{"weak": {}}}
	c := serve(t, k, &service{unary: func(context.Context) error { return nil }})
	ctx := with(t, "x-api-key", "weak")
	if _, err := c.CacheableUnaryCall(ctx, &grpc_testing.SimpleRequest{}); err != nil {
		t.Errorf("any key: %v", err)
	}
	if _, err := c.EmptyCall(ctx, &grpc_testing.Empty{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a method without a rule: %v, want PermissionDenied", err)
	}
	public := posterngrpc.RuleFunc(func(string) posterngrpc.Rule { return posterngrpc.Public() })
	for method, want := range map[string]codes.Code{inService + "UnaryCall": codes.Unauthenticated, "/grpc.health.v1.Health/Check": codes.OK, "/x.Y/Z": codes.PermissionDenied, "": codes.PermissionDenied} {
		if got := status.Code(unary(t, k, methods, method)); got != want {
			t.Errorf("%q without a key: %v, want %v", method, got, want)
		}
		if err := unary(t, k, public, method); err != nil {
			t.Errorf("%q is public: %v", method, err)
		}
	}
}

func unary(t *testing.T, v posterngrpc.Verifier, rules posterngrpc.Rules, method string) error {
	_, err := posterngrpc.Unary(v, rules)(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: method},
		func(ctx context.Context, _ any) (any, error) {
			if id, known := postern.FromContext(ctx); known {
				t.Errorf("%s: nobody is known to be %v", method, id)
			}
			return nil, nil
		})
	return err
}

func TestRulesThatCannotBeMeantPanic(t *testing.T) {
	for name, wrong := range map[string]bool{
		"/a.B/C": false, "/a.B/*": false,
		"a.B/C": true, "/a.B": true, "/a.B/": true, "//C": true, "/*": true, "/*/C": true, "/a.B/C*": true, "/a.B/C/D": true, "": true,
	} {
		func() {
			defer func() {
				if got := recover() != nil; got != wrong {
					t.Errorf("%q panics: %t, want %t", name, got, wrong)
				}
			}()
			posterngrpc.Protect(&keys{}, posterngrpc.Methods{name: posterngrpc.Public()})
		}()
	}
}

func TestARuleNeedsWhatIsAPermission(t *testing.T) {
	for text, wrong := range map[string]bool{
		"tickets:read": false, "tickets/7:read": false, "": true, "tickets": true, "tickets:*": true, "Tickets:read": true, "pst_sa_key": true,
	} {
		for _, rule := range []func() posterngrpc.Rule{
			func() posterngrpc.Rule { return posterngrpc.Needs(text) },
			func() posterngrpc.Rule { return posterngrpc.Needs("tickets:write", text) },
		} {
			func() {
				defer func() {
					said := recover()
					if got := said != nil; got != wrong || got && text != "" && strings.Contains(fmt.Sprint(said), text) {
						t.Errorf("%q panics with %v, want that it does: %t, without the text", text, said, wrong)
					}
				}()
				rule()
			}()
		}
	}
}

func TestVerifierThatCannotKnowLetsNobodyIn(t *testing.T) {
	k := &keys{may: map[string][]string{"good": {"tickets:read"}}, stale: true}
	c := serve(t, k, &service{unary: func(context.Context) error { t.Error("let in"); return nil }})
	if _, err := c.UnaryCall(with(t, "x-api-key", "good"), &grpc_testing.SimpleRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
}

func TestHandlerKnowsWhoCallsAndTheVerifierFromWhere(t *testing.T) {
	k := &keys{may: map[string][]string{"good": {"tickets:read"}}}
	s := &service{unary: func(ctx context.Context) error {
		if id, ok := postern.FromContext(ctx); !ok || id.Principal.Name != "holder of good" {
			t.Errorf("who calls is %+v, %t", id, ok)
		}
		return nil
	}}
	c := serve(t, k, s)
	call := func(c grpc_testing.TestServiceClient) postern.Source {
		t.Helper()
		if _, err := c.UnaryCall(with(t, "x-api-key", "good", "x-forwarded-for", "192.0.2.7"), &grpc_testing.SimpleRequest{}); err != nil {
			t.Error(err)
		}
		return k.last()
	}
	if from := call(c); from.Address != netip.MustParseAddr("127.0.0.1") || !strings.HasPrefix(from.UserAgent, "grpc-go/") {
		t.Errorf("it came from %+v", from)
	}
	proxy := postern.Source{Address: netip.MustParseAddr("192.0.2.7")}
	behind := serve(t, k, s, posterngrpc.SourceFrom(func(context.Context) postern.Source { return proxy }))
	if from := call(behind); from != proxy {
		t.Errorf("it came from %+v, want what was said", from)
	}
}
