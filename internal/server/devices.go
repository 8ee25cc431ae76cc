package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const (
	devicePath = "/v1/device"

	// deviceGrant is what a program asks a token for (RFC 8628, 3.4).
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
)

func (s *Server) registerDevices() {
	register(s, operation{
		id: "start-device", method: http.MethodPost, path: devicePath + "/code", tag: peopleTag,
		summary:     "Let a program without a browser ask for a key",
		description: "RFC 8628, as a form or in JSON. The program shows user_code and verification_uri; somebody who has signed in compares the code and approves it.",
		access:      open, success: http.StatusOK, readOnly: true,
	}, s.startDevice)
	takesForms(s, "start-device", map[string]string{
		"client_id": "What the program is called, unless `name` says it: there are no clients to register.",
		"name":      "What the program calls itself, such as the machine it runs on.",
		"scope":     "Not taken: a key acts as its owner.",
	}, nil, s.startDeviceForm)
	register(s, operation{
		id: "poll-device", method: http.MethodPost, path: devicePath + "/token", tag: peopleTag,
		summary: "Ask whether it was approved",
		description: "RFC 8628, 3.4, as a form or in JSON. The key is personal, of who approved, within the policy of their workspace. " +
			"Its value is in the answer, this once.",
		access: open, success: http.StatusOK, once: true, polled: true,
		problems: []string{api.CodeAuthorizationPending, api.CodeSlowDown, api.CodeAccessDenied, api.CodeExpiredToken, api.CodePolicyViolation},
	}, s.pollDevice)
	takesForms(s, "poll-device", map[string]string{
		"grant_type":  deviceGrant,
		"device_code": "As it was answered.",
		"client_id":   "As it was sent then. It is not looked at: the code is the credential.",
	}, []string{"grant_type", "device_code"}, s.pollDeviceForm)
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
	out, err := s.beginDevice(ctx, c, in.Body.Name)
	return &answer[api.DeviceCode]{out}, err
}

// beginDevice begins for a program that calls itself something. A name that is too
// long is refused before it is made fit to be shown, which makes it short.
func (s *Server) beginDevice(ctx context.Context, c iam.Caller, name string) (api.DeviceCode, error) {
	if len(name) <= iam.MaxAgent {
		name = iam.SafeText(name)
	}
	return s.people.StartDevice(ctx, c, api.DeviceCodeRequest{Name: name})
}

type pollDeviceInput struct{ Body api.DeviceTokenRequest }

func (s *Server) pollDevice(ctx context.Context, c iam.Caller, in *pollDeviceInput) (*answer[api.DeviceToken], error) {
	if g := in.Body.GrantType; g != "" && g != deviceGrant {
		return nil, iam.Invalid("/grant_type", "unknown", "is not %s", deviceGrant)
	}
	out, err := s.deviceToken(ctx, c, in.Body)
	return &answer[api.DeviceToken]{out}, err
}

func (s *Server) deviceToken(ctx context.Context, c iam.Caller, in api.DeviceTokenRequest) (api.DeviceToken, error) {
	done, value, err := s.people.PollDevice(ctx, c, in)
	if err != nil {
		return api.DeviceToken{}, settled(done, err)
	}
	ws := done.Value.Workspace
	return api.DeviceToken{
		AccessToken: value.Reveal(), TokenType: "Bearer", Key: s.key(done.Value.Key),
		Workspace: api.WorkspaceRef{ID: string(ws.ID), Slug: ws.Slug}, Revision: done.Revision,
	}, nil
}

// startDeviceForm is what a program of OAuth 2.0 sends to begin (RFC 8628, 3.1).
func (s *Server) startDeviceForm(ctx context.Context, c iam.Caller, in url.Values) (any, error) {
	if in.Has("scope") { // a key that can do more than was asked for is not what was asked for
		return nil, &oauthError{"invalid_scope", "a key acts as its owner: leave scope out, and narrow the key afterwards"}
	}
	return s.beginDevice(ctx, c, cmp.Or(in.Get("name"), in.Get("client_id")))
}

// pollDeviceForm is what it sends again and again (RFC 8628, 3.4).
func (s *Server) pollDeviceForm(ctx context.Context, c iam.Caller, in url.Values) (any, error) {
	switch {
	case !in.Has("grant_type"), !in.Has("device_code"):
		return nil, iam.Errorf(iam.InvalidRequest, "grant_type and device_code are needed")
	case in.Get("grant_type") != deviceGrant:
		return nil, &oauthError{"unsupported_grant_type", "this address takes " + deviceGrant}
	}
	out, err := s.deviceToken(ctx, c, api.DeviceTokenRequest{DeviceCode: in.Get("device_code")})
	if errors.Is(err, iam.ErrNoGrant) {
		return nil, &oauthError{"invalid_grant", "this code does not exist, or was used"}
	}
	return out, err
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
