package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	invitationsPath = workspacePath + "/invitations"
	invitationPath  = invitationsPath + "/{id}"
	acceptPath      = "/v1/invitations/accept"
	invitationsTag  = "Invitations"
)

func (s *Server) registerInvitations() {
	register(s, operation{
		id: "list-invitations", method: http.MethodGet, path: invitationsPath, tag: invitationsTag,
		summary: "List invitations", access: permission, needs: iam.ReadMembers, success: http.StatusOK,
	}, s.listInvitations)
	register(s, operation{
		id: "create-invitation", method: http.MethodPost, path: invitationsPath, tag: invitationsTag,
		summary: "Invite a person",
		description: "The token is in the answer, this once. It holds a seat until it is accepted, cancelled or expired. " +
			"Inviting an address again ends its earlier invitation. The caller must hold all that the role allows.",
		access: permission, needs: iam.WriteMembers, success: http.StatusCreated,
		problems: []string{api.CodeAlreadyMember, api.CodeSeatLimitReached, api.CodeValueAlreadyIssued, api.CodeStepUpRequired},
	}, s.createInvitation)
	register(s, operation{
		id: "cancel-invitation", method: http.MethodDelete, path: invitationPath, tag: invitationsTag,
		summary: "Take an invitation back", description: "It frees the seat. Cancelling again is no error.",
		access: permission, needs: iam.WriteMembers, success: http.StatusOK,
		problems: []string{api.CodeGone}, unconditional: true,
	}, s.cancelInvitation)
	register(s, operation{
		id: "accept-invitation", method: http.MethodPost, path: acceptPath, tag: invitationsTag,
		summary: "Accept an invitation",
		description: "The token is the credential and works once. It no longer works when whoever invited has ended " +
			"or no longer holds what they gave, or when no seat is free. With a password or a passkey it signs in as well. " +
			"Who can sign in already proves who they are, with the password or a passkey that they have.",
		access: open, success: http.StatusCreated, enters: true,
		problems: []string{api.CodeGone, api.CodeValueAlreadyIssued, api.CodeUnauthenticated, api.CodeNameTaken},
	}, s.acceptInvitation)
}

type listInvitationsInput struct {
	InWorkspace
	Paging
	State string `query:"state" enum:"pending,accepted,cancelled,expired" doc:"Only invitations in this state."`
	Query string `query:"q" doc:"Only invitations whose address has this in it."`
}

func (s *Server) listInvitations(ctx context.Context, c iam.Caller, in *listInvitationsInput) (*answer[api.List[api.Invitation]], error) {
	f := iam.InvitationFilter{State: iam.State(in.State), Query: in.Query}
	p, err := s.page(c, in.Paging, invitationsPath, f)
	if err != nil {
		return nil, err
	}
	f.Now = s.now()
	list, err := s.iam.Invitations(ctx, c, in.Workspace, f, p.Page)
	return listed(p, list, err, s.invitation)
}

// invitation says what an invitation is now.
func (s *Server) invitation(i iam.Invitation) api.Invitation { return invitation(i, s.now()) }

type createInvitationInput struct {
	InWorkspace
	Body api.CreateInvitation
}

func (s *Server) createInvitation(ctx context.Context, c iam.Caller, in *createInvitationInput) (*created[api.CreatedInvitation], error) {
	want := iam.NewInvitation{Email: in.Body.Email, Role: in.Body.Role}
	done, value, err := s.iam.Invite(ctx, c, in.Workspace, want)
	if err != nil {
		return nil, settled(done, err)
	}
	made := s.invitation(done.Value)
	return &created[api.CreatedInvitation]{
		Location: location(done.Value.Workspace, "invitations", made.ID),
		Body: api.CreatedInvitation{
			Invitation: made, Token: value.Reveal(), Link: s.people.InvitationLink(value),
			Mailed: s.mailed(ctx, done.Value, c.Workspace.Name, value), Revision: done.Revision,
		},
	}, nil
}

// mailed sends an invitation, and reports whether it was handed over. That it was not
// takes nothing from the invitation: its link is in the answer.
func (s *Server) mailed(ctx context.Context, in iam.Invitation, workspace string, secret token.Secret) bool {
	sent, err := s.people.MailInvitation(ctx, in, workspace, secret)
	if err != nil {
		s.log.WarnContext(ctx, "an invitation was not sent", "request_id", requestOf(ctx).id, "error", token.Conceal(err.Error()))
	}
	return sent
}

type cancelInvitationInput struct {
	InWorkspace
	ID string `path:"id" doc:"Id of the invitation." example:"inv_01jn8x0c2vf3hs5r6tq7w8y9zj"`
}

func (s *Server) cancelInvitation(ctx context.Context, c iam.Caller, in *cancelInvitationInput) (*acted[api.InvitationAnswer], error) {
	done, err := s.iam.CancelInvitation(ctx, c, in.Workspace, iam.InvitationID(in.ID))
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, api.InvitationAnswer{
		Invitation: s.invitation(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}

type acceptInvitationInput struct{ Body api.AcceptInvitation }

// joined is the output of an acceptance, which may set a cookie.
type joined struct {
	Location  string `header:"Location" doc:"The path of the new member."`
	ETag      string `header:"ETag" doc:"For If-Match."`
	SetCookie string `header:"Set-Cookie" doc:"The session, when the new member was signed in."`
	Body      api.AcceptedInvitation
}

func (s *Server) acceptInvitation(ctx context.Context, c iam.Caller, in *acceptInvitationInput) (*joined, error) {
	if in.Body.Key != nil && in.Body.Key.Name == "" {
		return nil, iam.Invalid("/key/name", "required", "must not be empty")
	}
	done, value, cookie, err := s.people.Accept(ctx, scopedByToken(c, token.NewSecret(in.Body.Token)), in.Body)
	if err != nil {
		return nil, settled(done, err)
	}
	m := member(done.Value.Member)
	out := api.AcceptedInvitation{Member: m, Revision: done.Revision}
	if done.Value.Key != nil {
		out.Key = &api.NewKey{Key: s.key(*done.Value.Key), Value: value.Reveal()}
	}
	answered := &joined{Location: location(done.Value.Member.Workspace, "members", m.ID), ETag: m.Etag}
	if in := done.Value.SignedIn; in != nil {
		out.Session = new(string(in.SignIn.ID))
		set := s.setCookie(cookie)
		answered.SetCookie = set.String()
	}
	answered.Body = out
	return answered, nil
}
