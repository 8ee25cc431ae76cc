package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const (
	usagePath = workspacePath + "/usage"
	usageTag  = "Usage"
)

func (s *Server) registerUsage() {
	register(s, operation{
		id: "get-key-usage", method: http.MethodGet, path: keyPath + "/usage", tag: usageTag,
		summary: "How a key was used, and from where",
		description: "Visible two seconds after the call at the latest. Refused uses count too, also those of a key that was " +
			"revoked: that is how one finds who still holds it. Minutes are kept for 3 days, hours for 35, days for as " +
			"long as the workspace's policy says.",
		access: permission, needs: iam.ReadKeys, success: http.StatusOK,
	}, s.keyUsage)
	register(s, operation{
		id: "get-usage", method: http.MethodGet, path: usagePath, tag: usageTag,
		summary: "How many keys, service accounts, or the workspace were used",
		description: "One request for a page of small charts. With `keys` or `service_accounts`, at most 200 ids; with neither, " +
			"the whole workspace; an empty list of them is refused. `service_accounts` needs `iam.service_accounts:read` as well.",
		access: permission, needs: iam.ReadKeys, success: http.StatusOK,
	}, s.usageOfMany)
}

// stepOf reads a step of time, whose texts the document lists.
func stepOf(text string) time.Duration {
	return map[string]time.Duration{"1m": time.Minute, "1h": time.Hour, "1d": 24 * time.Hour}[text]
}

type keyUsageInput struct {
	InKey
	From time.Time `query:"from" doc:"When to begin; left out: 60 minutes, 24 hours or 30 days before to, as the step is."`
	To   time.Time `query:"to" doc:"When to end; left out: now."`
	Step string    `query:"step" enum:"1m,1h,1d" default:"1h" doc:"How long each step is. Days are those of UTC."`
}

func (s *Server) keyUsage(ctx context.Context, c iam.Caller, in *keyUsageInput) (*answer[api.KeyUsage], error) {
	span := iam.Span{From: in.From, To: in.To, Step: stepOf(in.Step)}
	u, err := s.iam.KeyUsage(ctx, c, in.Workspace, iam.KeyID(in.ID), span)
	if err != nil {
		return nil, ofQuery(err)
	}
	return &answer[api.KeyUsage]{api.KeyUsage{
		From: api.NewTime(u.From), To: api.NewTime(u.To), Step: in.Step,
		Points: each(u.Points, usagePoint), Sources: each(u.Sources, usageSource),
	}}, nil
}

type usageInput struct {
	InWorkspace
	Keys     []string `query:"keys" doc:"Ids of keys, with commas between them."`
	Accounts []string `query:"service_accounts" doc:"Ids of service accounts, with commas between them."`
	Step     string   `query:"step" enum:"1m,1h,1d" default:"1d" doc:"How long each step is. Days are those of UTC."`
	Days     int      `query:"days" default:"30" minimum:"1" maximum:"3650" doc:"How many days to go back, today included."`
}

// Resolve implements [huma.Resolver]. A list of no ids is a mistake of whoever made
// it: to answer it as if it had been left out would tell of the whole workspace.
func (in *usageInput) Resolve(ctx huma.Context) (errs []error) {
	at := ctx.URL()
	query := at.Query()
	for name, ids := range map[string][]string{"keys": in.Keys, "service_accounts": in.Accounts} {
		if query.Has(name) && len(ids) == 0 {
			errs = append(errs, &huma.ErrorDetail{Location: "query." + name, Message: emptyList})
		}
	}
	return errs
}

func (s *Server) usageOfMany(ctx context.Context, c iam.Caller, in *usageInput) (*answer[api.Usage], error) {
	of := iam.Subjects{
		Keys:     each(in.Keys, func(id string) iam.KeyID { return iam.KeyID(id) }),
		Accounts: each(in.Accounts, func(id string) iam.PrincipalID { return iam.PrincipalID(id) }),
	}
	step := stepOf(in.Step)
	from := s.now().UTC().Truncate(step).Add(step).AddDate(0, 0, -in.Days) // so many whole days, the step of now included
	u, err := s.iam.Usage(ctx, c, in.Workspace, of, iam.Span{From: from, Step: step})
	if err != nil {
		return nil, ofQuery(err)
	}
	return &answer[api.Usage]{api.Usage{
		From: api.NewTime(u.From), To: api.NewTime(u.To), Step: in.Step, Data: each(u.Of, subjectUsage),
	}}, nil
}

func subjectUsage(t iam.SubjectTraffic) api.SubjectUsage {
	out := api.SubjectUsage{ID: t.ID, Points: each(t.Points, usagePoint)}
	for _, p := range t.Points {
		out.OK, out.Refused = out.OK+p.OK, out.Refused+p.Refused
	}
	return out
}

func usagePoint(p iam.UsePoint) api.UsagePoint {
	return api.UsagePoint{T: api.NewTime(p.At), OK: p.OK, Refused: p.Refused}
}

func usageSource(k iam.KeySource) api.UsageSource {
	return api.UsageSource{
		IP: k.IP, UserAgent: k.UserAgent, Node: k.Node, Via: k.Via, Others: k.Others,
		FirstSeen: api.NewTime(k.First), LastSeen: api.NewTime(k.Last), LastOK: timeOrNull(k.LastOK), OK: k.OK, Refused: k.Refused,
	}
}
