package server

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/posternhq/postern/internal/bearer"
	"github.com/posternhq/postern/internal/iam"
)

// request is what is known of a request beyond what package http knows. It lives
// in the request's context and belongs to the goroutine that serves it.
type request struct {
	id         string
	caller     iam.Caller      // nobody until the credential is found to work
	wait       time.Duration   // for which the caller prefers to wait; 0: as long as is usual
	keyExpires int64           // of the caller's key, in microseconds since 1970; 0: never
	place      iam.WorkspaceID // where the credential was found to work, for good
	op         *operation      // what is asked for
	asks       []string        // the permission that the operation needs, as it is written
	use        *iam.Use        // of the caller's key; nil: there is none to tell of
	told       bool            // the use was told of
	form       bool            // it came as a form, of a program that speaks OAuth 2.0
	direct     bool            // it comes from where its connection does, whatever a header says
	denied     bool            // the answer is that the caller may not
}

type requestKey struct{}

func withRequest(ctx context.Context, req *request) context.Context {
	return context.WithValue(ctx, requestKey{}, req)
}

// requestOf returns the request that a context belongs to.
func requestOf(ctx context.Context) *request {
	if req, ok := ctx.Value(requestKey{}).(*request); ok {
		return req
	}
	return &request{}
}

// peer returns the address that a request came from. It is invalid where there
// is none, such as on a Unix socket.
func (s *Server) peer(r *http.Request) netip.Addr {
	if s.behindProxy && !requestOf(r.Context()).direct {
		return bearer.LastAddress(r.Header.Values("X-Forwarded-For"))
	}
	return bearer.PeerAddress(r.RemoteAddr)
}
