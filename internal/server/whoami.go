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
		summary: "Who is calling, and what may they do?", description: "Every key, and everybody who signed in, may ask this about themselves.",
		access: holder, success: http.StatusOK, memory: true,
	}, s.whoami)
}

func (s *Server) whoami(ctx context.Context, c iam.Caller, _ *struct{}) (*whoamiOutput, error) {
	p := c.Principal
	var key *api.VerdictKey
	var session *string
	if c.Session != "" {
		session = new(string(c.Session))
	} else {
		key = &api.VerdictKey{ID: string(c.Key.ID), Name: c.Key.Name, ExpiresAt: microsOrNull(requestOf(ctx).keyExpires)}
	}
	return &whoamiOutput{api.Whoami{
		Principal: api.WhoamiPrincipal{
			ID: string(p.ID), Type: string(p.Type), Name: p.Name,
			Workspace: api.WorkspaceRef{ID: string(c.Workspace.ID), Slug: c.Workspace.Name},
		},
		Key: key, Session: session,
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
