package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func (s *Server) registerAdvice() {
	register(s, operation{
		id: "list-service-account-permissions", method: http.MethodGet, path: accountPath + "/permissions", tag: usageTag,
		summary: "List what a service account may do, and how much it does",
		description: "Each grant of its role, and below a grant that is a pattern what of it was asked for, the last first, " +
			"200 at most. `…` stands for ids that were too many to be told apart.",
		access: permission, needs: iam.ReadAccounts, success: http.StatusOK,
	}, s.accountPermissions)
	register(s, operation{
		id: "get-service-account-advice", method: http.MethodGet, path: accountPath + "/advice", tag: usageTag,
		summary: "What the use of a service account says of its role",
		description: "What was accepted in the time that the workspace keeps is replayed against the roles that are less than the " +
			"present one, the limits of keys included. Custom roles are compared for callers with `iam.roles:read`.",
		access: permission, needs: iam.ReadAccounts, success: http.StatusOK,
	}, s.advice)
	register(s, operation{
		id: "get-service-account-impact", method: http.MethodGet, path: accountPath + "/impact", tag: usageTag,
		summary: "What would stop with a service account", description: "To be looked at before it is revoked.",
		access: permission, needs: iam.ReadAccounts, success: http.StatusOK,
	}, s.accountImpact)
	register(s, operation{
		id: "get-role-impact", method: http.MethodPost, path: rolePath + "/impact", tag: usageTag,
		summary: "What would become of those who have a role if it had other permissions",
		description: "Changes nothing. Requests of the time that the workspace keeps are replayed against the permissions, the limits " +
			"of keys included. Members are named to callers with `iam.members:read`, accounts with `iam.service_accounts:read`.",
		access: permission, needs: iam.ReadRoles, success: http.StatusOK, readOnly: true,
	}, s.roleImpact)
}

func (s *Server) accountPermissions(ctx context.Context, c iam.Caller, in *InAccount) (*answer[api.List[api.HeldPermission]], error) {
	held, err := s.iam.HeldPermissions(ctx, c, in.Workspace, in.ID)
	if err != nil {
		return nil, err
	}
	return &answer[api.List[api.HeldPermission]]{api.List[api.HeldPermission]{Data: each(held, heldPermission)}}, nil
}

func heldPermission(h iam.HeldPermission) api.HeldPermission {
	return api.HeldPermission{Permission: h.Permission, From: h.From, LastUsedAt: timeOrNull(h.LastUsed), Uses30d: h.Uses}
}

func (s *Server) advice(ctx context.Context, c iam.Caller, in *InAccount) (*answer[api.Advice], error) {
	a, err := s.iam.Advice(ctx, c, in.Workspace, in.ID)
	if err != nil {
		return nil, err
	}
	out := api.Advice{
		ServiceAccount: ref(a.Account), Role: ref(a.Role), WindowDays: a.WindowDays, DataDays: a.DataDays,
		Silent: orNull(string(a.Silence)), Unused: orEmpty(a.Unused),
		WouldRefuse: a.WouldRefuse, Of: a.Of, AtMost: a.AtMost, FromUse: a.FromUse.Strings(),
	}
	if a.Suggested != nil {
		out.SuggestedRole = new(role(*a.Suggested))
	}
	return &answer[api.Advice]{out}, nil
}

func (s *Server) accountImpact(ctx context.Context, c iam.Caller, in *InAccount) (*answer[api.AccountImpact], error) {
	i, err := s.iam.AccountImpact(ctx, c, in.Workspace, in.ID)
	if err != nil {
		return nil, err
	}
	out := api.AccountImpact{
		ActiveKeys: i.ActiveKeys, RequestsPerMinute: i.RequestsPerMinute, Sources: each(i.Sources, usageSource),
		Rotations: each(i.Rotations, rotationRef),
	}
	if i.LastUse != nil {
		out.LastUsedAt = timeOrNull(i.LastUse.At)
	}
	return &answer[api.AccountImpact]{out}, nil
}

func rotationRef(r iam.Rotation) api.RotationRef {
	return api.RotationRef{
		ID: string(r.ID), State: string(r.State),
		OldKey: api.Ref{ID: string(r.Old.ID), Name: r.Old.Name}, NewKey: api.Ref{ID: string(r.New.ID), Name: r.New.Name},
	}
}

type roleImpactInput struct {
	InRole
	Body api.RoleImpactOf
}

func (s *Server) roleImpact(ctx context.Context, c iam.Caller, in *roleImpactInput) (*answer[api.RoleImpact], error) {
	i, err := s.iam.RoleImpact(ctx, c, in.Workspace, in.ID, in.Body.Permissions)
	if err != nil {
		return nil, err
	}
	return &answer[api.RoleImpact]{api.RoleImpact{
		Role:    api.Ref{ID: string(i.Role.ID), Name: i.Role.Name},
		Members: i.Role.Members, ServiceAccounts: i.Role.ServiceAccounts,
		Added: orEmpty(i.Added), Removed: orEmpty(i.Removed), WindowDays: i.WindowDays,
		WouldRefuse: i.WouldRefuse, Of: i.Of, AtMost: i.AtMost, GivesToOthers: i.Gives,
		Affected: each(i.Affected.Principals, affectedPrincipal), Hidden: each(i.Affected.Hidden, func(p iam.Permission) api.HiddenPart {
			return api.HiddenPart{Part: "affected", Permission: p.String()}
		}),
	}}, nil
}

func affectedPrincipal(p iam.AffectedPrincipal) api.AffectedPrincipal {
	return api.AffectedPrincipal{
		Principal:   api.Principal{Type: string(p.Principal.Type), ID: string(p.Principal.ID), Name: p.Principal.Name},
		Permissions: orEmpty(p.Permissions), LastUsedAt: api.NewTime(p.LastUsed), Uses: p.Uses,
	}
}
