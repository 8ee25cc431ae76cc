package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func (s *Server) registerSetup() {
	register(s, operation{
		id: "set-up", method: http.MethodPost, path: "/v1/setup", tag: peopleTag,
		summary: "Use a setup link",
		description: "The first link of a deployment makes the system workspace and its owner; one of a member gives them something to sign in with. " +
			"Either works once, within 15 minutes, and signs them in: the answer sets a cookie.",
		access: open, success: http.StatusCreated, enters: true, once: true,
		problems: []string{api.CodeUnauthenticated, api.CodeGone, api.CodeNameTaken},
	}, s.setUp)
}

type setUpInput struct{ Body api.Setup }

func (s *Server) setUp(ctx context.Context, c iam.Caller, in *setUpInput) (*entered, error) {
	done, cookie, err := s.people.SetUp(ctx, c, in.Body)
	if err != nil {
		return nil, settled(done, err)
	}
	return s.enter(ctx, done.Value.SignedIn, cookie)
}
