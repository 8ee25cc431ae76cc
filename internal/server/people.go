package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// People knows the people who sign in: it checks what they prove, and finds them by
// their cookies. Refusals are errors of package iam.
type People interface {
	// Find returns the sign-in of a cookie, if it may be used, as it was a moment ago,
	// or as it is now. That somebody ended it the replica knows.
	Find(ctx context.Context, cookie token.Secret, exact bool) (iam.SignIn, error)
	// Still returns nil if a cookie may be used, which this is no use of.
	Still(ctx context.Context, cookie token.Secret) error
	// Hash returns the hash of a cookie's session in a workspace.
	Hash(cookie token.Secret, ws iam.WorkspaceID) token.Hash

	// Secure reports whether users reach the server over TLS, and Host under which
	// name.
	Secure() bool
	Host() string
	// CanHavePasskeys reports whether browsers make passkeys for that name.
	CanHavePasskeys() bool

	// What makes a session returns its cookie.
	SignIn(ctx context.Context, c iam.Caller, in api.SignIn) (iam.Done[iam.SignedIn], token.Secret, error)
	SetUp(ctx context.Context, c iam.Caller, in api.Setup) (iam.Done[iam.SetUp], token.Secret, error)
	Accept(ctx context.Context, c iam.Caller, in api.AcceptInvitation) (done iam.Done[iam.AcceptedInvitation], key, cookie token.Secret, err error)

	StepUp(ctx context.Context, c iam.Caller, in api.StepUp) (iam.Done[iam.SignedIn], error)
	ChangePassword(ctx context.Context, c iam.Caller, in api.ChangePassword) (iam.Done[iam.ChangedPassword], error)
	PasskeyOptions(ctx context.Context, c iam.Caller, in api.PasskeyOptionsRequest) (api.PasskeyOptions, error)

	// UserCode reads the code of a device as people type it.
	UserCode(typed string) string
	StartDevice(ctx context.Context, c iam.Caller, in api.DeviceCodeRequest) (api.DeviceCode, error)
	PollDevice(ctx context.Context, c iam.Caller, in api.DeviceTokenRequest) (iam.Done[iam.DeviceKey], token.Secret, error)

	// InvitationLink returns where an invitation is accepted, and MailInvitation sends
	// it there, if mail can be sent.
	InvitationLink(secret token.Secret) string
	MailInvitation(ctx context.Context, in iam.Invitation, workspace string, secret token.Secret) (sent bool, err error)

	AddPasskey(ctx context.Context, c iam.Caller, in api.NewPasskeyProof) (iam.Done[iam.Passkey], error)
}

// recogniseSession returns what is known now of the session that a request brings: of
// the workspace that the path names or, where it names none, of the one that its
// holder worked in when the request came. A request that lasts is no use of it.
func (s *Server) recogniseSession(r *http.Request) (replica.Verdict, error) {
	cookie, err := s.cookie(r)
	if err != nil {
		return replica.Verdict{}, err
	}
	req := requestOf(r.Context())
	if req.place != "" {
		if err := s.people.Still(r.Context(), cookie); err != nil {
			return replica.Verdict{}, notSignedIn(err)
		}
		return s.sessionVerdict(r, cookie, func(replica.View) (iam.WorkspaceID, bool) { return req.place, true })
	}
	ref, asSystem := r.PathValue("workspace"), req.op.access == system
	named := ref != "" && ref != "-" && !asSystem
	in, err := s.people.Find(r.Context(), cookie, !named)
	if err != nil {
		return replica.Verdict{}, notSignedIn(err)
	}
	return s.sessionVerdict(r, cookie, func(view replica.View) (iam.WorkspaceID, bool) {
		switch {
		case named:
			found, ok := view.Find(ref)
			return found.ID, ok
		case asSystem:
			return view.System()
		}
		return in.Workspace, true
	})
}

// notSignedIn says of a cookie that does not work what is said of such a key.
func notSignedIn(err error) error {
	if errors.Is(err, iam.Unauthenticated) {
		return errCredential
	}
	return err
}
