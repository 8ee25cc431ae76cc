package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const devicePath = "/v1/device"

func (s *Server) registerDevices() {
	register(s, operation{
		id: "start-device", method: http.MethodPost, path: devicePath + "/code", tag: peopleTag,
		summary:     "Let a program without a browser ask for a key",
		description: "RFC 8628, in JSON. The program shows user_code and verification_uri; somebody who has signed in compares the code and approves it.",
		access:      open, success: http.StatusOK, readOnly: true,
	}, s.startDevice)
	register(s, operation{
		id: "poll-device", method: http.MethodPost, path: devicePath + "/token", tag: peopleTag,
		summary:     "Ask whether it was approved",
		description: "The key is personal, of who approved, within the policy of their workspace. Its value is in the answer, this once.",
		access:      open, success: http.StatusOK, once: true, polled: true,
		problems: []string{api.CodeAuthorizationPending, api.CodeSlowDown, api.CodeAccessDenied, api.CodeExpiredToken, api.CodePolicyViolation},
	}, s.pollDevice)
	register(s, operation{
		id: "look-up-device", method: http.MethodPost, path: devicePath + "/lookup", tag: peopleTag,
		summary: "What asks with a code", access: person, success: http.StatusOK, readOnly: true, problems: []string{api.CodeNotFound},
	}, s.lookUpDevice)
	register(s, operation{
		id: "approve-device", method: http.MethodPost, path: devicePath + "/approve", tag: peopleTag,
		summary:     "Approve or refuse what asks with a code",
		description: "It then gets a personal key of the caller, in the workspace that the caller works in.",
		access:      person, success: http.StatusOK, problems: []string{api.CodeNotFound, api.CodeStepUpRequired},
	}, s.approveDevice)
}

type startDeviceInput struct{ Body api.DeviceCodeRequest }

func (s *Server) startDevice(ctx context.Context, c iam.Caller, in *startDeviceInput) (*answer[api.DeviceCode], error) {
	in.Body.Name = safeText(in.Body.Name)
	out, err := s.people.StartDevice(ctx, c, in.Body)
	return &answer[api.DeviceCode]{out}, err
}

type pollDeviceInput struct{ Body api.DeviceTokenRequest }

func (s *Server) pollDevice(ctx context.Context, c iam.Caller, in *pollDeviceInput) (*answer[api.DeviceToken], error) {
	done, value, err := s.people.PollDevice(ctx, c, in.Body)
	if err != nil {
		return nil, settled(done, err)
	}
	ws := done.Value.Workspace
	return &answer[api.DeviceToken]{api.DeviceToken{
		AccessToken: value.Reveal(), TokenType: "Bearer", Key: s.key(done.Value.Key),
		Workspace: api.WorkspaceRef{ID: string(ws.ID), Slug: ws.Slug}, Revision: done.Revision,
	}}, nil
}

type lookUpDeviceInput struct{ Body api.DeviceLookup }

func (s *Server) lookUpDevice(ctx context.Context, c iam.Caller, in *lookUpDeviceInput) (*answer[api.Device], error) {
	d, err := s.iam.Device(ctx, c, s.people.UserCode(in.Body.UserCode))
	return &answer[api.Device]{device(d)}, err
}

type approveDeviceInput struct{ Body api.ApproveDevice }

func (s *Server) approveDevice(ctx context.Context, c iam.Caller, in *approveDeviceInput) (*answer[api.DeviceAnswer], error) {
	done, err := s.iam.AnswerDevice(ctx, c, s.people.UserCode(in.Body.UserCode), in.Body.Approve)
	if err != nil {
		return nil, settled(done, err)
	}
	return &answer[api.DeviceAnswer]{api.DeviceAnswer{Device: device(done.Value), Revision: done.Revision}}, nil
}

func device(d iam.Device) api.Device {
	return api.Device{
		UserCode: d.UserCode, Name: d.Name, Source: source(d.Source), State: d.State,
		CreatedAt: api.NewTime(d.CreatedAt), ExpiresAt: api.NewTime(d.ExpiresAt),
	}
}
