package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	sessionsPath = "/v1/sessions"
	currentPath  = sessionsPath + "/current"
	peopleTag    = "People"
)

func (s *Server) registerSessions() {
	register(s, operation{
		id: "list-sign-in-methods", method: http.MethodGet, path: sessionsPath + "/methods", tag: peopleTag,
		summary: "How people sign in here", access: open, success: http.StatusOK, unlimited: true,
	}, s.signInMethods)
	register(s, operation{
		id: "sign-in", method: http.MethodPost, path: sessionsPath, tag: peopleTag,
		summary: "Sign in",
		description: "With an address and a password, or with a passkey. The answer sets a cookie. Whatever is wrong is one answer. " +
			"Wrong passwords lock the account and the address for longer and longer: 429 says until when.",
		access: open, success: http.StatusCreated, enters: true, once: true, problems: []string{api.CodeUnauthenticated},
	}, s.signIn)
	register(s, operation{
		id: "list-sessions", method: http.MethodGet, path: sessionsPath, tag: peopleTag,
		summary: "List one's own sessions", access: person, success: http.StatusOK,
	}, s.listSessions)
	register(s, operation{
		id: "get-current-session", method: http.MethodGet, path: currentPath, tag: peopleTag,
		summary: "Who has signed in, and where they work", access: person, success: http.StatusOK,
	}, s.currentSession)
	register(s, operation{
		id: "move-session", method: http.MethodPatch, path: currentPath, tag: peopleTag,
		summary: "Work in another workspace", access: person, success: http.StatusOK,
		problems: []string{api.CodeNotFound}, unconditional: true, readOnly: true,
	}, s.moveSession)
	register(s, operation{
		id: "sign-out", method: http.MethodDelete, path: currentPath, tag: peopleTag,
		summary: "Sign out", description: "Once this has answered 200, no node accepts the cookie.",
		access: person, success: http.StatusOK, unconditional: true,
	}, s.signOut)
	register(s, operation{
		id: "end-session", method: http.MethodDelete, path: sessionsPath + "/{id}", tag: peopleTag,
		summary: "End one of one's own sessions", description: "Once this has answered 200, no node accepts its cookie.",
		access: person, success: http.StatusOK, unconditional: true,
	}, s.endSession)
	register(s, operation{
		id: "end-other-sessions", method: http.MethodPost, path: sessionsPath + "/end_others", tag: peopleTag,
		summary: "End all of one's sessions but this one", access: person, success: http.StatusOK, once: true,
	}, s.endOtherSessions)
	register(s, operation{
		id: "step-up", method: http.MethodPost, path: sessionsPath + "/step_up", tag: peopleTag,
		summary:     "Prove again who one is",
		description: "What gives others power, such as a key or a role, asks for a proof of the last 15 minutes.",
		access:      person, success: http.StatusOK, once: true,
	}, s.stepUp)
	register(s, operation{
		id: "change-password", method: http.MethodPut, path: "/v1/password", tag: peopleTag,
		summary:     "Choose another password",
		description: "It ends all other sessions of the person.",
		access:      person, success: http.StatusOK, problems: []string{api.CodeStepUpRequired},
	}, s.changePassword)
}

// entered is the output of what sets a cookie.
type entered struct {
	SetCookie http.Cookie `header:"Set-Cookie" doc:"The session."`
	Body      api.CurrentSession
}

func (s *Server) signInMethods(ctx context.Context, _ iam.Caller, _ *struct{}) (*answer[api.SignInMethods], error) {
	initialized, err := s.iam.Store.Initialized(ctx)
	if err != nil {
		return nil, err
	}
	out := api.SignInMethods{Initialized: initialized, Password: true, Passkey: s.people.CanHavePasskeys()}
	if s.sso != nil {
		out.SSO = &api.SSOName{Name: s.sso.Name(), Start: oidcStartPath}
	}
	return &answer[api.SignInMethods]{out}, nil
}

type signInInput struct{ Body api.SignIn }

func (s *Server) signIn(ctx context.Context, c iam.Caller, in *signInInput) (*entered, error) {
	done, cookie, err := s.people.SignIn(ctx, c, in.Body)
	s.metrics.countSignIn(toSignIn, in.Body.Passkey != nil, err)
	if err != nil {
		return nil, settled(done, err)
	}
	return s.enter(ctx, done.Value, cookie)
}

// enter answers somebody who has just signed in.
func (s *Server) enter(ctx context.Context, in iam.SignedIn, cookie token.Secret) (*entered, error) {
	body, err := s.session(ctx, iam.Caller{Session: in.SignIn.ID})
	return &entered{s.setCookie(cookie), body}, err
}

// session describes the session that a call is made with.
func (s *Server) session(ctx context.Context, c iam.Caller) (api.CurrentSession, error) {
	now, who, err := s.iam.CurrentSignIn(ctx, c)
	if err != nil {
		return api.CurrentSession{}, err
	}
	passkeys, password, err := s.iam.Passkeys(ctx, c)
	return currentSession(now, who, int64(len(passkeys)), password), err
}

func (s *Server) currentSession(ctx context.Context, c iam.Caller, _ *struct{}) (*answer[api.CurrentSession], error) {
	body, err := s.session(ctx, c)
	return &answer[api.CurrentSession]{body}, err
}

func (s *Server) listSessions(ctx context.Context, c iam.Caller, _ *struct{}) (*answer[api.List[api.Session]], error) {
	all, err := s.iam.SignIns(ctx, c)
	out := api.List[api.Session]{Data: []api.Session{}}
	for _, in := range all {
		out.Data = append(out.Data, session(in, c.Session))
	}
	return &answer[api.List[api.Session]]{out}, err
}

type moveSessionInput struct{ Body api.MoveSession }

func (s *Server) moveSession(ctx context.Context, c iam.Caller, in *moveSessionInput) (*answer[api.CurrentSession], error) {
	if err := s.iam.Place(ctx, c, in.Body.Workspace); err != nil {
		return nil, err
	}
	return s.currentSession(ctx, c, nil)
}

// ended is the output of what ends this very session.
type ended struct {
	Status    int
	Location  string      `header:"Location" doc:"The path of the receipt."`
	Applied   string      `header:"Preference-Applied" doc:"respond-async."`
	SetCookie http.Cookie `header:"Set-Cookie" doc:"Takes the cookie away."`
	Body      api.EndedSession
}

func (s *Server) signOut(ctx context.Context, c iam.Caller, _ *struct{}) (*ended, error) {
	done, err := s.iam.EndSignIn(ctx, c, c.Session)
	if err != nil {
		return nil, settled(done, err)
	}
	status, location, applied := accepted(done.Receipt)
	return &ended{status, location, applied, s.setCookie(token.Secret{}), endedSession(done, c)}, nil
}

type endSessionInput struct {
	ID string `path:"id" doc:"Id of the session." example:"ses_01jn8x0c2vf3hs5r6tq7w8y9zs"`
}

func (s *Server) endSession(ctx context.Context, c iam.Caller, in *endSessionInput) (*acted[api.EndedSession], error) {
	done, err := s.iam.EndSignIn(ctx, c, iam.SignInID(in.ID))
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, endedSession(done, c)), nil
}

func endedSession(done iam.Done[iam.SignedIn], c iam.Caller) api.EndedSession {
	return api.EndedSession{Session: session(done.Value.SignIn, c.Session), Receipt: receipt(done.Receipt), Revision: done.Revision}
}

func (s *Server) endOtherSessions(ctx context.Context, c iam.Caller, _ *struct{}) (*acted[api.EndedSessions], error) {
	done, err := s.iam.EndOtherSignIns(ctx, c)
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, api.EndedSessions{
		Ended: int64(len(done.Value.Ended)), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}

type stepUpInput struct{ Body api.StepUp }

func (s *Server) stepUp(ctx context.Context, c iam.Caller, in *stepUpInput) (*answer[api.CurrentSession], error) {
	done, err := s.people.StepUp(ctx, c, in.Body)
	s.metrics.countSignIn(toStepUp, in.Body.Passkey != nil, err)
	if err != nil {
		return nil, settled(done, err)
	}
	return s.currentSession(ctx, c, nil)
}

type changePasswordInput struct{ Body api.ChangePassword }

func (s *Server) changePassword(ctx context.Context, c iam.Caller, in *changePasswordInput) (*acted[api.EndedSessions], error) {
	done, err := s.people.ChangePassword(ctx, c, in.Body)
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, api.EndedSessions{
		Ended: int64(len(done.Value.Ended)), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}
