package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/posternhq/postern/internal/bearer"
	"github.com/posternhq/postern/internal/iam"
)

// checker is Envoy's Authorization service. It answers in bytes: an answer is
// encoded before the last look that lets it out.
type checker interface {
	check(ctx context.Context, req *authv3.CheckRequest) (encoded, error)
}

// authorization describes the service as go-control-plane does, but for the answer.
var authorization = grpc.ServiceDesc{
	ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
	HandlerType: (*checker)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Check", Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		req := new(authv3.CheckRequest)
		if err := decode(req); err != nil {
			return nil, err
		}
		return srv.(checker).check(ctx, req)
	}}},
	Metadata: authv3.Authorization_ServiceDesc.Metadata,
}

// check implements [checker]. What a route asks is in the context that its own
// configuration adds, which no client can.
func (g *Gateway) check(ctx context.Context, req *authv3.CheckRequest) (out encoded, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			g.log.ErrorContext(ctx, "a check panicked", "cause", fmt.Sprintf("%T", cause))
			out, err = nil, status.Error(codes.Internal, "this check failed")
		}
	}()
	attributes := req.GetAttributes()
	headers := attributes.GetRequest().GetHttp().GetHeaders()
	d, id := decision{status: statusMisconfigured}, ""
	encode := func(d *decision) { out, err = encodeCheck(g.checked(d, headers, &id)) }
	q := contextQuestion(attributes.GetContextExtensions())
	if q.err == nil {
		a := ask{wanted: q.wanted, asked: q.asked, workspace: q.workspace, agent: headers["user-agent"]}
		a.from = bearer.Address(attributes.GetSource().GetAddress().GetSocketAddress().GetAddress())
		a.present(g.prefixes, folded(headers, "authorization"), folded(headers, "x-api-key"))
		d = g.answer(ctx, &a, encode)
	} else {
		d.why = q.err.Error()
		encode(&d)
	}
	if d.status == statusMisconfigured {
		g.misconfigured(d.why)
	}
	g.answered(Answered{Protocol: "grpc", Status: d.status, Code: d.verdict.Code})
	return out, err
}

// contextQuestion reads what a route of Envoy asks.
func contextQuestion(context map[string]string) question {
	for name := range context {
		if name != permissionName && name != workspaceName {
			return question{err: fmt.Errorf("%w has a context extension that nobody knows: there are permission and workspace", errMisconfigured)}
		}
	}
	return newQuestion(context[permissionName], context[workspaceName])
}

// folded returns the values of a header. Envoy makes one of several, with commas
// between them, which no credential has.
func folded(headers map[string]string, name string) []string {
	if value, ok := headers[name]; ok {
		return []string{value}
	}
	return nil
}

// checked returns what Envoy is to do. id is the request's, once it was needed.
func (g *Gateway) checked(d *decision, headers map[string]string, id *string) *authv3.CheckResponse {
	if d.status == statusAllowed {
		return allowed(d, headers)
	}
	if *id == "" {
		*id = iam.FitRequestID(folded(headers, "x-request-id"), g.now())
	}
	denied := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(d.status)},
		Body:   string(d.problem(*id)),
		Headers: []*corev3.HeaderValueOption{
			set("cache-control", "no-store"), set("content-type", "application/problem+json"), set("x-request-id", *id),
		},
	}
	if c := d.challenge(); c != "" {
		denied.Headers = append(denied.Headers, set("www-authenticate", c))
	}
	if d.status == statusStale {
		denied.Headers = append(denied.Headers, set("retry-after", bearer.RetryAfter))
	}
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(grpcCode(d.status))},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: denied},
	}
}

// allowed tells Envoy to let a request through: with our headers in place of what
// the client sent under their names, and without the credential and whatever could
// be read as one of ours.
func allowed(d *decision, headers map[string]string) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{HeadersToRemove: []string{"authorization", "x-api-key"}}
	for i, value := range identify(&d.verdict) {
		ok.Headers = append(ok.Headers, set(strings.ToLower(identity[i]), value))
	}
	for name := range headers {
		if isOurs(name) && !slices.ContainsFunc(identity[:], func(known string) bool { return strings.EqualFold(known, name) }) {
			ok.HeadersToRemove = append(ok.HeadersToRemove, name)
		}
	}
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}
}

// isOurs reports whether some upstream may take a header for one of ours: those
// that pass headers on as variables (CGI, WSGI) do not tell _ from -, and some
// take other characters for them too.
func isOurs(name string) bool {
	const ours = "xpostern"
	n := 0
	for i := 0; i < len(name) && n < len(ours); i++ {
		c := name[i] | 0x20
		if c < 'a' || c > 'z' {
			continue
		}
		if c != ours[n] {
			return false
		}
		n++
	}
	return n == len(ours)
}

func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func grpcCode(status int) codes.Code {
	switch status {
	case statusRefused:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case statusStale:
		return codes.Unavailable
	}
	return codes.Internal
}

func encodeCheck(resp *authv3.CheckResponse) (encoded, error) {
	text, err := proto.Marshal(resp)
	if err != nil {
		return nil, fmt.Errorf("encode an answer to Envoy: %w", err)
	}
	return text, nil
}
