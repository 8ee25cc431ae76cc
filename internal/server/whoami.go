package server

import (
	"context"
	"net/http"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

type whoamiOutput struct{ Body api.Whoami }

func (s *Server) registerWhoami() {
	register(s, operation{
		id: "whoami", method: http.MethodGet, path: "/v1/whoami", tag: "Verification",
		summary: "Whose key is this, and what can it do?", description: "Every key may ask this about itself.",
		access: holder, success: http.StatusOK, memory: true,
	}, s.whoami)
}

func (s *Server) whoami(ctx context.Context, c iam.Caller, _ *struct{}) (*whoamiOutput, error) {
	p := c.Principal
	return &whoamiOutput{api.Whoami{
		Principal: api.WhoamiPrincipal{
			ID: string(p.ID), Type: string(p.Type), Name: p.Name,
			Workspace: api.WorkspaceRef{ID: string(c.Workspace.ID), Slug: c.Workspace.Name},
		},
		Key:         api.VerdictKey{ID: string(c.Key.ID), Name: c.Key.Name, ExpiresAt: microsOrNull(requestOf(ctx).keyExpires)},
		Role:        api.Ref{ID: string(p.Role.ID), Name: p.Role.Name},
		Permissions: c.Permissions.Strings(),
	}}, nil
}

// microsOrNull returns a time in microseconds since 1970, or nil for 0.
func microsOrNull(micros int64) *api.Time {
	if micros == 0 {
		return nil
	}
	return new(api.NewTime(time.UnixMicro(micros)))
}
