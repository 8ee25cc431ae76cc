package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const (
	workspacesPath = "/v1/workspaces"
	workspacesTag  = "Workspaces"
)

func (s *Server) registerWorkspaces() {
	register(s, operation{
		id: "list-workspaces", method: http.MethodGet, path: workspacesPath, tag: workspacesTag,
		summary: "List the workspaces of the deployment", access: system, needs: iam.ReadWorkspaces, success: http.StatusOK,
	}, s.listWorkspaces)
	register(s, operation{
		id: "create-workspace", method: http.MethodPost, path: workspacesPath, tag: workspacesTag,
		summary: "Create a workspace",
		description: "With the built-in roles and, where an owner's address is given, an invitation of its first owner, " +
			"whose token is in the answer, this once.",
		access: system, needs: iam.WriteWorkspaces, success: http.StatusCreated,
		problems: []string{api.CodeStepUpRequired, api.CodeNameTaken, api.CodeValueAlreadyIssued},
	}, s.createWorkspace)
	register(s, operation{
		id: "get-workspace", method: http.MethodGet, path: workspacePath, tag: workspacesTag,
		summary:     "Read a workspace",
		description: "The caller's own or, for callers of the system workspace that hold iam.workspaces:read, any other.",
		access:      permission, needs: iam.ReadSettings, success: http.StatusOK,
	}, s.getWorkspace)
	register(s, operation{
		id: "update-workspace", method: http.MethodPatch, path: workspacePath, tag: workspacesTag,
		summary: "Change the name or the policy of the caller's workspace", description: "Members that are left out stay as they are.",
		access: permission, needs: iam.WriteSettings, success: http.StatusOK,
	}, s.updateWorkspace)
	register(s, operation{
		id: "pause-workspace", method: http.MethodPost, path: workspacePath + "/pause", tag: workspacesTag,
		summary:     "Pause a workspace",
		description: "Once this has answered 200, no node accepts any key of the workspace, until it is resumed.",
		access:      system, needs: iam.WriteWorkspaces, success: http.StatusOK,
	}, s.onWorkspace(s.iam.PauseWorkspace))
	register(s, operation{
		id: "resume-workspace", method: http.MethodPost, path: workspacePath + "/resume", tag: workspacesTag,
		summary: "Resume a paused workspace", access: system, needs: iam.WriteWorkspaces, success: http.StatusOK,
	}, s.onWorkspace(s.iam.ResumeWorkspace))
}

type listWorkspacesInput struct {
	Paging
	State string `query:"state" enum:"active,paused" doc:"Only workspaces in this state."`
	Query string `query:"q" doc:"Only workspaces whose name or slug has this in it."`
}

func (s *Server) listWorkspaces(ctx context.Context, c iam.Caller, in *listWorkspacesInput) (*answer[api.List[api.Workspace]], error) {
	f := iam.WorkspaceFilter{State: iam.State(in.State), Query: in.Query}
	p, err := s.page(c, in.Paging, workspacesPath, f)
	if err != nil {
		return nil, err
	}
	list, err := s.iam.Workspaces(ctx, c, f, p.Page)
	return listed(p, list, err, workspace)
}

type createWorkspaceInput struct{ Body api.CreateWorkspace }

func (s *Server) createWorkspace(ctx context.Context, c iam.Caller, in *createWorkspaceInput) (*created[api.CreatedWorkspace], error) {
	want, err := newWorkspace(in.Body)
	if err != nil {
		return nil, err
	}
	done, value, err := s.iam.CreateWorkspace(ctx, c, want)
	if err != nil {
		return nil, settled(done, err)
	}
	made := workspace(done.Value.Workspace)
	out := api.CreatedWorkspace{Workspace: made, Revision: done.Revision}
	if inv := done.Value.Invitation; inv != nil {
		out.Invitation = &api.InvitationWithToken{Invitation: s.invitation(*inv), Token: value.Reveal(), Link: s.people.InvitationLink(value), Mailed: s.mailed(ctx, *inv, made.Name, value)}
	}
	return &created[api.CreatedWorkspace]{Location: workspacesPath + "/" + made.ID, ETag: made.Etag, Body: out}, nil
}

func (s *Server) getWorkspace(ctx context.Context, c iam.Caller, in *InWorkspace) (*tagged[api.Workspace], error) {
	w, err := s.iam.Workspace(ctx, c, in.Workspace)
	if err != nil {
		return nil, err
	}
	return &tagged[api.Workspace]{etag(w.Version), workspace(w)}, nil
}

type updateWorkspaceInput struct {
	InWorkspace
	Body api.UpdateWorkspace
}

func (s *Server) updateWorkspace(ctx context.Context, c iam.Caller, in *updateWorkspaceInput) (*updated[api.UpdatedWorkspace], error) {
	done, err := s.iam.UpdateWorkspace(ctx, c, in.Workspace, workspacePatch(in.Body))
	if err != nil {
		return nil, settled(done, err)
	}
	return updatedTo(done, done.Value.Version, api.UpdatedWorkspace{
		Workspace: workspace(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}

type workspaceActionInput struct {
	InWorkspace
	Body *api.Reason
}

type workspaceAction func(ctx context.Context, c iam.Caller, ref, reason string) (iam.Done[iam.Workspace], error)

// onWorkspace answers an action on a workspace.
func (s *Server) onWorkspace(act workspaceAction) func(context.Context, iam.Caller, *workspaceActionInput) (*acted[api.WorkspaceAnswer], error) {
	return func(ctx context.Context, c iam.Caller, in *workspaceActionInput) (*acted[api.WorkspaceAnswer], error) {
		done, err := act(ctx, c, in.Workspace, reason(in.Body))
		if err != nil {
			return nil, settled(done, err)
		}
		return actedOn(done, api.WorkspaceAnswer{
			Workspace: workspace(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
		}), nil
	}
}
