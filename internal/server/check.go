package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func (s *Server) registerCheck() {
	register(s, operation{
		id: "check", method: http.MethodPost, path: workspacePath + "/check", tag: rolesTag,
		summary:     "Explain what a principal or a key may do",
		description: "For people who want to know why. It is not a verification: it does not look at networks.",
		access:      permission, needs: iam.ReadRoles, success: http.StatusOK, readOnly: true,
	}, s.check)
}

type checkInput struct {
	InWorkspace
	Body api.Check
}

func (s *Server) check(ctx context.Context, c iam.Caller, in *checkInput) (*answer[api.CheckResult], error) {
	q, err := question(in.Body)
	if err != nil {
		return nil, err
	}
	a, err := s.iam.Check(ctx, c, in.Workspace, q)
	if err != nil {
		return nil, err
	}
	return &answer[api.CheckResult]{api.CheckResult{Allowed: a.Allowed, Because: orEmpty(a.Because)}}, nil
}

// question reads what is to be explained: about one principal or one key.
func question(in api.Check) (iam.Question, error) {
	if (in.Principal == "") == (in.Key == "") {
		return iam.Question{}, iam.Invalid("/principal", "conflict", "name a principal or a key, not both")
	}
	p, err := iam.ParsePermission(in.Permission)
	if err != nil {
		return iam.Question{}, iam.Invalid("/permission", "not_a_permission", "must be type:action or type/id:action, without *")
	}
	return iam.Question{Principal: in.Principal, Key: iam.KeyID(in.Key), Permission: p}, nil
}
