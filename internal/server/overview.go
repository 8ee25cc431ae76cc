package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func (s *Server) registerOverview() {
	register(s, operation{
		id: "get-overview", method: http.MethodGet, path: workspacePath + "/overview", tag: usageTag,
		summary: "How many of what there is, and what needs attention",
		description: "For the first page that somebody sees. Needs no permission by itself: what its caller may not read is left out, " +
			"and `hidden` says which permission it takes. How many keys there are can be 30 seconds old where there are more than 10 000.",
		access: holder, success: http.StatusOK,
	}, s.overview)
}

func (s *Server) overview(ctx context.Context, c iam.Caller, in *InWorkspace) (*answer[api.Overview], error) {
	o, err := s.iam.Overview(ctx, c, in.Workspace)
	if err != nil {
		return nil, err
	}
	out := api.Overview{
		At: api.NewTime(o.At), Attention: each(o.Attention, attention),
		Hidden: each(o.Hidden, func(h iam.Hidden) api.HiddenPart {
			return api.HiddenPart{Part: h.Part, Permission: h.Needs.String()}
		}),
	}
	if n := o.Accounts; n != nil {
		out.ServiceAccounts = &api.AccountNumbers{Active: n.Active, Paused: n.Paused}
	}
	if n := o.Keys; n != nil {
		out.Keys = &api.KeyNumbers{
			Active: n.Active, Expiring14d: n.Expiring, Unused90d: n.Unused, NeverUsed: n.NeverUsed, NeverExpires: n.NeverExpires,
		}
	}
	if o.Traffic != nil {
		all := subjectUsage(o.Traffic.Of[0])
		out.Requests24h = &api.RequestNumbers{OK: all.OK, Refused: all.Refused, Points: all.Points}
	}
	if o.Seats != nil {
		out.Seats = new(seats(*o.Seats))
	}
	return &answer[api.Overview]{out}, nil
}

func attention(k iam.Concern) api.Attention {
	return api.Attention{Code: string(k.Code), More: k.More, Items: each(k.About, func(a iam.Concerned) api.AttentionItem {
		item := api.AttentionItem{Target: target(a.Target), At: timeOrNull(a.At)}
		if a.Principal.ID != "" {
			item.Principal = new(ref(a.Principal))
		}
		return item
	})}
}
