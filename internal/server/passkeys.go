package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const passkeysPath = "/v1/passkeys"

func (s *Server) registerPasskeys() {
	register(s, operation{
		id: "begin-passkey", method: http.MethodPost, path: passkeysPath + "/options", tag: peopleTag,
		summary:     "Begin a ceremony with a passkey",
		description: "WebAuthn, level 3. The options are for the browser; what it answers is sent along with the ceremony, once, within five minutes.",
		access:      open, known: true, success: http.StatusOK, readOnly: true,
		problems: []string{api.CodeUnauthenticated, api.CodeGone, api.CodePermissionDenied, api.CodeStale},
	}, s.beginPasskey)
	register(s, operation{
		id: "add-passkey", method: http.MethodPost, path: passkeysPath, tag: peopleTag,
		summary: "Add a passkey to who has signed in", access: person, success: http.StatusCreated, once: true,
		problems: []string{api.CodeStepUpRequired, api.CodeNameTaken},
	}, s.addPasskey)
	register(s, operation{
		id: "list-passkeys", method: http.MethodGet, path: passkeysPath, tag: peopleTag,
		summary: "List one's own passkeys", access: person, success: http.StatusOK,
	}, s.listPasskeys)
	register(s, operation{
		id: "rename-passkey", method: http.MethodPatch, path: passkeysPath + "/{id}", tag: peopleTag,
		summary: "Rename a passkey", access: person, success: http.StatusOK, unconditional: true,
	}, s.renamePasskey)
	register(s, operation{
		id: "remove-passkey", method: http.MethodDelete, path: passkeysPath + "/{id}", tag: peopleTag,
		summary: "Remove a passkey", description: "Unless nothing else is left to sign in with.",
		access: person, success: http.StatusOK, unconditional: true,
		problems: []string{api.CodeStepUpRequired, api.CodeLastCredential},
	}, s.removePasskey)
}

type beginPasskeyInput struct{ Body api.PasskeyOptionsRequest }

func (s *Server) beginPasskey(ctx context.Context, c iam.Caller, in *beginPasskeyInput) (*answer[api.PasskeyOptions], error) {
	out, err := s.people.PasskeyOptions(ctx, c, in.Body)
	return &answer[api.PasskeyOptions]{out}, err
}

type addPasskeyInput struct{ Body api.NewPasskeyProof }

func (s *Server) addPasskey(ctx context.Context, c iam.Caller, in *addPasskeyInput) (*answer[api.PasskeyAnswer], error) {
	done, err := s.people.AddPasskey(ctx, c, in.Body)
	return passkeyAnswer(done, err)
}

func passkeyAnswer(done iam.Done[iam.Passkey], err error) (*answer[api.PasskeyAnswer], error) {
	if err != nil {
		return nil, settled(done, err)
	}
	return &answer[api.PasskeyAnswer]{api.PasskeyAnswer{Passkey: passkey(done.Value), Revision: done.Revision}}, nil
}

func (s *Server) listPasskeys(ctx context.Context, c iam.Caller, _ *struct{}) (*answer[api.List[api.Passkey]], error) {
	all, _, err := s.iam.Passkeys(ctx, c)
	out := api.List[api.Passkey]{Data: []api.Passkey{}}
	for _, k := range all {
		out.Data = append(out.Data, passkey(k))
	}
	return &answer[api.List[api.Passkey]]{out}, err
}

// OnePasskey is the part of an input that names a passkey.
type OnePasskey struct {
	ID string `path:"id" doc:"Id of the passkey." example:"pky_01jn8x0c2vf3hs5r6tq7w8y9zp"`
}

type renamePasskeyInput struct {
	OnePasskey
	Body api.RenamePasskey
}

func (s *Server) renamePasskey(ctx context.Context, c iam.Caller, in *renamePasskeyInput) (*answer[api.PasskeyAnswer], error) {
	return passkeyAnswer(s.iam.RenamePasskey(ctx, c, iam.PasskeyID(in.ID), in.Body.Name))
}

func (s *Server) removePasskey(ctx context.Context, c iam.Caller, in *OnePasskey) (*answer[api.PasskeyAnswer], error) {
	return passkeyAnswer(s.iam.RemovePasskey(ctx, c, iam.PasskeyID(in.ID)))
}
