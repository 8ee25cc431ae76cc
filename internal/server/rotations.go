package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	rotationsPath     = workspacePath + "/rotations"
	rotationPath      = rotationsPath + "/{id}"
	selfRotationsPath = selfPath + "/rotations"
	rotationsTag      = "Rotations"
)

// InRotation is the part of an input that every path of one rotation has.
type InRotation struct {
	InWorkspace
	ID string `path:"id" doc:"Id of the rotation." example:"rot_01jn8x0c2vf3hs5r6tq7w8y9zd"`
}

func (s *Server) registerRotations() {
	register(s, operation{
		id: "list-rotations", method: http.MethodGet, path: rotationsPath, tag: rotationsTag,
		summary: "List the rotations of a workspace", description: "Newest first, also those that are over.",
		access: permission, needs: iam.ReadKeys, success: http.StatusOK,
	}, s.listRotations)
	register(s, operation{
		id: "get-rotation", method: http.MethodGet, path: rotationPath, tag: rotationsTag,
		summary: "Read a rotation",
		description: "Who uses which of the two keys, and what is in the way, as of now. Quiet is proved, not assumed: " +
			"it counts up to when every node has said what it accepted, and what is not known is taken for use.",
		access: permission, needs: iam.ReadKeys, success: http.StatusOK,
	}, s.getRotation)
	s.registerRotationStarts()
	s.registerRotationActions()
}

func (s *Server) registerRotationStarts() {
	problems := []string{
		api.CodeRotationInProgress, api.CodeKeyRevoked, api.CodePrincipalInactive, api.CodeNameTaken,
		api.CodePolicyViolation, api.CodeValueAlreadyIssued,
	}
	register(s, operation{
		id: "start-rotation", method: http.MethodPost, path: keyPath + "/rotations", tag: rotationsTag,
		summary: "Start the rotation of a key",
		description: "Makes a second key with the limit, the networks, the metadata and the lifetime of the first. Both work until the rotation ends. " +
			"The value is in the answer, this once; the new key works on every node when the answer arrives. The caller must hold all that it can do.",
		access: permission, needs: iam.WriteKeys, success: http.StatusCreated, problems: append(slices.Clone(problems), api.CodeStepUpRequired),
	}, s.startRotation)
	register(s, operation{
		id: "rotate-self", method: http.MethodPost, path: selfRotationsPath, tag: rotationsTag,
		summary:     "Start the rotation of the calling key",
		description: "Needs no permission where the workspace's policy says `self_rotation`. A key that ends does not get a longer life by it.",
		access:      holder, success: http.StatusCreated, problems: append(slices.Clone(problems), api.CodeNotFound, api.CodePermissionDenied),
	}, s.rotateSelf)
	register(s, operation{
		id: "list-self-rotations", method: http.MethodGet, path: selfRotationsPath, tag: rotationsTag,
		summary: "List the rotations that the calling key takes part in", description: "As the old key or as the new one. Newest first.",
		access: holder, success: http.StatusOK, problems: []string{api.CodeNotFound},
	}, s.listSelfRotations)
}

func (s *Server) registerRotationActions() {
	register(s, operation{
		id: "update-rotation", method: http.MethodPatch, path: rotationPath, tag: rotationsTag,
		summary: "Change how a rotation under way is judged",
		description: "Members that are left out stay as they are. A shorter quiet period may make the rotation ready at once, " +
			"and revoke the old key by itself where that was asked for.",
		access: permission, needs: iam.WriteKeys, success: http.StatusOK, problems: []string{api.CodeGone},
		unconditional: true, // a rotation goes on by itself, and so would its version
	}, s.updateRotation)
	register(s, operation{
		id: "finish-rotation", method: http.MethodPost, path: rotationPath + "/finish", tag: rotationsTag,
		summary: "Revoke the old key of a rotation",
		description: "Refused as `not_ready`, with what is in the way, until the old key is known to have been quiet for long enough; `force` revokes it all the same. " +
			"Once this has answered 200, no node accepts the old key, ever. Finishing again is no error: that call waits for every node as well.",
		access: permission, needs: iam.WriteKeys, success: http.StatusOK, problems: []string{api.CodeNotReady, api.CodeGone},
	}, s.finishRotation)
	register(s, operation{
		id: "cancel-rotation", method: http.MethodPost, path: rotationPath + "/cancel", tag: rotationsTag,
		summary: "Give up a rotation", description: "The old key is kept. So is the new one, or it is revoked, as `keep` says.",
		access: permission, needs: iam.WriteKeys, success: http.StatusOK, problems: []string{api.CodeGone},
	}, s.cancelRotation)
	register(s, operation{
		id: "try-without-old-key", method: http.MethodPost, path: rotationPath + "/try_without", tag: rotationsTag,
		summary: "Pause the old key of a rotation for a while",
		description: "Once this has answered 200, no node accepts the old key, until the time is over: then it works again by itself, whoever watches. " +
			"`trial.refused` of the rotation tells who was refused. Asking again while it runs makes it longer or shorter.",
		access: permission, needs: iam.WriteKeys, success: http.StatusOK,
		problems: []string{api.CodeGone},
	}, s.tryWithout)
}

// RotationFilters narrow a list of rotations.
type RotationFilters struct {
	State     string `query:"state" enum:"waiting_for_first_use,overlapping,ready,completed,cancelled,overdue" doc:"Only rotations in this state, as of at most two seconds ago."`
	Key       string `query:"key_id" doc:"Only rotations from or to this key: its id."`
	Principal string `query:"principal" doc:"Only rotations of the keys of this member or service account: its id, or an account's name."`
}

func (f RotationFilters) filter() iam.RotationFilter {
	return iam.RotationFilter{State: iam.State(f.State), Key: iam.KeyID(f.Key)}
}

type rotationList = answer[api.List[api.Rotation]]

type listRotationsInput struct {
	InWorkspace
	Paging
	RotationFilters
}

func (s *Server) listRotations(ctx context.Context, c iam.Caller, in *listRotationsInput) (*rotationList, error) {
	p, err := s.page(c, in.Paging, rotationsPath, in.RotationFilters)
	if err != nil {
		return nil, err
	}
	found, err := s.iam.Rotations(ctx, c, in.Workspace, in.Principal, in.filter(), p.Page)
	return listed(p, found, err, s.rotation)
}

func (s *Server) listSelfRotations(ctx context.Context, c iam.Caller, in *Paging) (*rotationList, error) {
	p, err := s.page(c, *in, selfRotationsPath, c.Key.ID)
	if err != nil {
		return nil, err
	}
	found, err := s.iam.SelfRotations(ctx, c, p.Page)
	return listed(p, found, err, s.rotation)
}

// rotation says what a rotation is now.
func (s *Server) rotation(r iam.JudgedRotation) api.Rotation { return rotation(r, s.now()) }

func (s *Server) getRotation(ctx context.Context, c iam.Caller, in *InRotation) (*answer[api.Rotation], error) {
	r, err := s.iam.Rotation(ctx, c, in.Workspace, iam.RotationID(in.ID))
	if err != nil {
		return nil, err
	}
	return &answer[api.Rotation]{s.rotation(r)}, nil
}

type startRotationInput struct {
	InKey
	Body *api.StartRotation
}

func (s *Server) startRotation(ctx context.Context, c iam.Caller, in *startRotationInput) (*begun, error) {
	want, err := newRotation(in.Body)
	if err != nil {
		return nil, err
	}
	return s.begunRotation(s.iam.StartRotation(ctx, c, in.Workspace, iam.KeyID(in.ID), want))
}

type rotateSelfInput struct{ Body *api.StartRotation }

func (s *Server) rotateSelf(ctx context.Context, c iam.Caller, in *rotateSelfInput) (*begun, error) {
	want, err := newRotation(in.Body)
	if err != nil {
		return nil, err
	}
	return s.begunRotation(s.iam.RotateSelf(ctx, c, want))
}

// begun is an output that is a new rotation.
type begun struct {
	Location string `header:"Location" doc:"The path of the rotation."`
	Body     api.StartedRotation
}

// begunRotation answers the start of a rotation. It shows the value of the new key,
// this once.
func (s *Server) begunRotation(done iam.Done[iam.StartedRotation], value token.Secret, err error) (*begun, error) {
	if err != nil {
		return nil, settled(done, err)
	}
	r := done.Value.Rotation
	return &begun{
		Location: location(r.Workspace, "rotations", string(r.ID)),
		Body: api.StartedRotation{
			Rotation: s.rotation(r), NewKey: api.IssuedKey{Key: s.key(done.Value.Key), Value: value.Reveal()}, Revision: done.Revision,
		},
	}, nil
}

type finishRotationInput struct {
	InRotation
	Body *api.FinishRotation
}

func (s *Server) finishRotation(ctx context.Context, c iam.Caller, in *finishRotationInput) (*acted[api.RotationAnswer], error) {
	force := in.Body != nil && in.Body.Force
	return s.turned(s.iam.FinishRotation(ctx, c, in.Workspace, iam.RotationID(in.ID), force))
}

type updateRotationInput struct {
	InRotation
	Body api.UpdateRotation
}

func (s *Server) updateRotation(ctx context.Context, c iam.Caller, in *updateRotationInput) (*acted[api.RotationAnswer], error) {
	patch, err := rotationPatch(in.Body)
	if err != nil {
		return nil, err
	}
	return s.turned(s.iam.UpdateRotation(ctx, c, in.Workspace, iam.RotationID(in.ID), patch))
}

type cancelRotationInput struct {
	InRotation
	Body api.CancelRotation
}

func (s *Server) cancelRotation(ctx context.Context, c iam.Caller, in *cancelRotationInput) (*acted[api.RotationAnswer], error) {
	return s.turned(s.iam.CancelRotation(ctx, c, in.Workspace, iam.RotationID(in.ID), iam.Keep(in.Body.Keep)))
}

type tryWithoutInput struct {
	InRotation
	Body api.TryWithout
}

func (s *Server) tryWithout(ctx context.Context, c iam.Caller, in *tryWithoutInput) (*acted[api.RotationAnswer], error) {
	lasting, err := duration("/for", in.Body.For)
	if err != nil {
		return nil, err
	}
	return s.turned(s.iam.TryWithout(ctx, c, in.Workspace, iam.RotationID(in.ID), lasting))
}

// turned answers an action on a rotation.
func (s *Server) turned(done iam.Done[iam.JudgedRotation], err error) (*acted[api.RotationAnswer], error) {
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, api.RotationAnswer{
		Rotation: s.rotation(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}
