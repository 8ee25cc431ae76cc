package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const (
	workspacePath = "/v1/workspaces/{workspace}"
	accountsPath  = workspacePath + "/service_accounts"
	accountPath   = accountsPath + "/{id}"
	accountsTag   = "Service accounts"
)

// InAccount is the part of an input that every path of one account has.
type InAccount struct {
	InWorkspace
	ID string `path:"id" doc:"Id or name of the service account." example:"support-bot-prod"`
}

func (s *Server) registerAccounts() {
	register(s, operation{
		id: "list-service-accounts", method: http.MethodGet, path: accountsPath, tag: accountsTag,
		summary: "List service accounts", access: permission, needs: iam.ReadAccounts, success: http.StatusOK,
	}, s.listAccounts)
	register(s, operation{
		id: "create-service-account", method: http.MethodPost, path: accountsPath, tag: accountsTag,
		summary:     "Create a service account",
		description: "An account takes no seat. The caller must hold all that the role allows.",
		access:      permission, needs: iam.WriteAccounts, success: http.StatusCreated,
		problems: []string{api.CodeNameTaken, api.CodePolicyViolation},
	}, s.createAccount)
	register(s, operation{
		id: "get-service-account", method: http.MethodGet, path: accountPath, tag: accountsTag,
		summary: "Read a service account", access: permission, needs: iam.ReadAccounts, success: http.StatusOK,
	}, s.getAccount)
	register(s, operation{
		id: "update-service-account", method: http.MethodPatch, path: accountPath, tag: accountsTag,
		summary:     "Change a service account",
		description: "Members that are left out stay as they are. A wider role is a gift: the caller must hold what it adds.",
		access:      permission, needs: iam.WriteAccounts, success: http.StatusOK,
		problems: []string{api.CodeStepUpRequired, api.CodeNameTaken, api.CodePrincipalInactive, api.CodePolicyViolation},
	}, s.updateAccount)
	s.registerAccountActions()
	s.registerAccountKeys()
}

func (s *Server) registerAccountActions() {
	register(s, operation{
		id: "pause-service-account", method: http.MethodPost, path: accountPath + "/pause", tag: accountsTag,
		summary:     "Pause a service account",
		description: "Once this has answered 200, no node accepts any key of the account, until it is resumed.",
		access:      permission, needs: iam.WriteAccounts, success: http.StatusOK,
		problems: []string{api.CodePrincipalInactive},
	}, s.onAccount(s.iam.PauseServiceAccount))
	register(s, operation{
		id: "resume-service-account", method: http.MethodPost, path: accountPath + "/resume", tag: accountsTag,
		summary:     "Resume a paused service account",
		description: "It gives all that the account's role allows, so the caller must hold that.",
		access:      permission, needs: iam.WriteAccounts, success: http.StatusOK,
		problems: []string{api.CodePrincipalInactive},
	}, s.onAccount(s.iam.ResumeServiceAccount))
	register(s, operation{
		id: "revoke-service-account", method: http.MethodPost, path: accountPath + "/revoke", tag: accountsTag,
		summary: "Revoke a service account, for good",
		description: "Once this has answered 200, no node accepts any key of the account, ever. " +
			"Revoking again is no error: that call waits for every node as well.",
		access: permission, needs: iam.WriteAccounts, success: http.StatusOK,
	}, s.onAccount(s.iam.RevokeServiceAccount))
}

type listAccountsInput struct {
	InWorkspace
	Paging
	State string `query:"state" enum:"active,paused,inactive" doc:"Only accounts in this state."`
	Role  string `query:"role" doc:"Only accounts with this role: its id or name."`
	Owner string `query:"owner" doc:"Only accounts of this team: its whole name."`
	Name  string `query:"name" doc:"Only the account that has, or had, this whole name: names are not given twice."`
	Query string `query:"q" doc:"Only accounts whose name, description or owner has this in it."`
	Need  string `query:"need" enum:"owner,keys,less_power" doc:"Only accounts that have not ended and need something: no team is named as the owner; no key could work; the role is Admin-level, and nothing was changed with it for 90 days."`

	Counts bool `query:"counts" doc:"Say also how many accounts of each state there are, whatever state is asked for."`
}

func (in *listAccountsInput) filter() iam.AccountFilter {
	return iam.AccountFilter{
		State: iam.State(in.State), Role: in.Role, Owner: in.Owner, Name: in.Name, Query: in.Query, Need: iam.Need{What: iam.Needed(in.Need)},
	}
}

func (s *Server) listAccounts(ctx context.Context, c iam.Caller, in *listAccountsInput) (*answer[api.ServiceAccountList], error) {
	f := in.filter()
	p, err := s.page(c, in.Paging, accountsPath, f)
	if err != nil {
		return nil, err
	}
	found, err := s.iam.ServiceAccounts(ctx, c, in.Workspace, f, p.Page)
	if err != nil {
		return nil, ofQuery(err)
	}
	list, err := listOf(p, found, serviceAccount)
	if err != nil || !in.Counts {
		return &answer[api.ServiceAccountList]{api.ServiceAccountList{List: list}}, err
	}
	n, err := s.iam.CountServiceAccounts(ctx, c, in.Workspace, f)
	return &answer[api.ServiceAccountList]{api.ServiceAccountList{
		List: list, Counts: &api.StateCounts{Active: n.Active, Paused: n.Paused, Inactive: n.Inactive},
	}}, err
}

type createAccountInput struct {
	InWorkspace
	Body api.CreateServiceAccount
}

func (s *Server) createAccount(ctx context.Context, c iam.Caller, in *createAccountInput) (*created[api.CreatedServiceAccount], error) {
	done, err := s.iam.CreateServiceAccount(ctx, c, in.Workspace, newServiceAccount(in.Body))
	if err != nil {
		return nil, settled(done, err)
	}
	made := serviceAccount(done.Value)
	return &created[api.CreatedServiceAccount]{
		Location: location(done.Value.Workspace, "service_accounts", made.ID), ETag: made.Etag,
		Body: api.CreatedServiceAccount{ServiceAccount: made, Revision: done.Revision},
	}, nil
}

func (s *Server) getAccount(ctx context.Context, c iam.Caller, in *InAccount) (*tagged[api.ServiceAccount], error) {
	account, err := s.iam.ServiceAccount(ctx, c, in.Workspace, in.ID)
	if err != nil {
		return nil, err
	}
	return &tagged[api.ServiceAccount]{etag(account.Version), serviceAccount(account)}, nil
}

type updateAccountInput struct {
	InAccount
	Body api.UpdateServiceAccount
}

func (s *Server) updateAccount(ctx context.Context, c iam.Caller, in *updateAccountInput) (*updated[api.UpdatedServiceAccount], error) {
	done, err := s.iam.UpdateServiceAccount(ctx, c, in.Workspace, in.ID, accountPatch(in.Body))
	if err != nil {
		return nil, settled(done, err)
	}
	return updatedTo(done, done.Value.Version, api.UpdatedServiceAccount{
		ServiceAccount: serviceAccount(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}

type accountActionInput struct {
	InAccount
	Body *api.Reason
}

type accountAction func(ctx context.Context, c iam.Caller, ws, ref, reason string) (iam.Done[iam.ServiceAccount], error)

// onAccount answers an action on an account.
func (s *Server) onAccount(act accountAction) func(context.Context, iam.Caller, *accountActionInput) (*acted[api.ServiceAccountAnswer], error) {
	return func(ctx context.Context, c iam.Caller, in *accountActionInput) (*acted[api.ServiceAccountAnswer], error) {
		done, err := act(ctx, c, in.Workspace, in.ID, reason(in.Body))
		if err != nil {
			return nil, settled(done, err)
		}
		return actedOn(done, api.ServiceAccountAnswer{
			ServiceAccount: serviceAccount(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
		}), nil
	}
}

// reason returns the reason that an action gives, whose body may be left out.
func reason(body *api.Reason) string {
	if body == nil {
		return ""
	}
	return body.Reason
}
