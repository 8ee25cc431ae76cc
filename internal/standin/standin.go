// Package standin lets a verifier of package postern follow something other than a
// server. Package posterntest does, and this module's own tests: nobody else can.
package standin

import (
	"context"

	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
	"github.com/posternhq/postern/internal/usage"
)

// Server stands in for a server.
type Server struct {
	Parent   fence.Parent
	Reports  usage.Store // nil: uses are not counted
	Clock    fence.Clock
	Scope    replica.Scope
	Prefixes token.Prefixes
	Began    func(*replica.Replica) // is told what follows the parent; nil: nobody is
}

type key struct{}

// With returns a context with which postern.New makes a verifier that follows s. It is
// an argument of the context, as those of net/http/httptrace are, so that there is no
// option for it that everybody would see.
func With(ctx context.Context, s Server) context.Context { return context.WithValue(ctx, key{}, &s) }

// From returns what was given to [With], or nil.
func From(ctx context.Context) *Server {
	s, _ := ctx.Value(key{}).(*Server)
	return s
}
