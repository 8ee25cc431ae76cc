package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const (
	rolesPath = workspacePath + "/roles"
	rolePath  = rolesPath + "/{id}"
	rolesTag  = "Roles"
)

// InRole is the part of an input that every path of one role has.
type InRole struct {
	InWorkspace
	ID string `path:"id" doc:"Id or name of the role." example:"operator"`
}

func (s *Server) registerRoles() {
	register(s, operation{
		id: "list-roles", method: http.MethodGet, path: rolesPath, tag: rolesTag,
		summary: "List roles", description: "The built-in ones come first.",
		access: permission, needs: iam.ReadRoles, success: http.StatusOK,
	}, s.listRoles)
	register(s, operation{
		id: "create-role", method: http.MethodPost, path: rolesPath, tag: rolesTag,
		summary: "Create a custom role", description: "The caller must hold all that it allows.",
		access: permission, needs: iam.WriteRoles, success: http.StatusCreated,
		problems: []string{api.CodeStepUpRequired, api.CodeNameTaken},
	}, s.createRole)
	register(s, operation{
		id: "get-role", method: http.MethodGet, path: rolePath, tag: rolesTag,
		summary: "Read a role", access: permission, needs: iam.ReadRoles, success: http.StatusOK,
	}, s.getRole)
	register(s, operation{
		id: "update-role", method: http.MethodPatch, path: rolePath, tag: rolesTag,
		summary: "Change a custom role",
		description: "It changes at once what everybody who has the role may do. What it adds is a gift: " +
			"the caller must hold it. Members that are left out stay as they are. " +
			"Ask /impact first who uses what it takes away.",
		access: permission, needs: iam.WriteRoles, success: http.StatusOK,
		problems: []string{api.CodeStepUpRequired, api.CodeNameTaken},
	}, s.updateRole)
	register(s, operation{
		id: "delete-role", method: http.MethodDelete, path: rolePath, tag: rolesTag,
		summary: "Delete a custom role that nobody has", description: "A built-in role cannot be deleted. Who has the role, and uses it, says /impact.",
		access: permission, needs: iam.WriteRoles, success: http.StatusOK,
		problems: []string{api.CodeRoleInUse, api.CodeValidationFailed},
	}, s.deleteRole)
}

type listRolesInput struct {
	InWorkspace
	Paging
	Kind  string `query:"kind" enum:"built_in,custom" doc:"Only roles of this kind."`
	Query string `query:"q" doc:"Only roles whose name or title has this in it."`
}

func (s *Server) listRoles(ctx context.Context, c iam.Caller, in *listRolesInput) (*answer[api.List[api.Role]], error) {
	f := iam.RoleFilter{Kind: in.Kind, Query: in.Query}
	p, err := s.page(c, in.Paging, rolesPath, f)
	if err != nil {
		return nil, err
	}
	list, err := s.iam.Roles(ctx, c, in.Workspace, f, p.Page)
	return listed(p, list, err, role)
}

type createRoleInput struct {
	InWorkspace
	Body api.CreateRole
}

func (s *Server) createRole(ctx context.Context, c iam.Caller, in *createRoleInput) (*created[api.CreatedRole], error) {
	done, err := s.iam.CreateRole(ctx, c, in.Workspace, newRole(in.Body))
	if err != nil {
		return nil, settled(done, err)
	}
	made := role(done.Value)
	return &created[api.CreatedRole]{
		Location: location(done.Value.Workspace, "roles", made.ID), ETag: made.Etag,
		Body: api.CreatedRole{Role: made, Revision: done.Revision},
	}, nil
}

func (s *Server) getRole(ctx context.Context, c iam.Caller, in *InRole) (*tagged[api.Role], error) {
	r, err := s.iam.Role(ctx, c, in.Workspace, in.ID)
	if err != nil {
		return nil, err
	}
	return &tagged[api.Role]{etag(r.Version), role(r)}, nil
}

type updateRoleInput struct {
	InRole
	Body api.UpdateRole
}

func (s *Server) updateRole(ctx context.Context, c iam.Caller, in *updateRoleInput) (*updated[api.UpdatedRole], error) {
	done, err := s.iam.UpdateRole(ctx, c, in.Workspace, in.ID, rolePatch(in.Body))
	if err != nil {
		return nil, settled(done, err)
	}
	return updatedTo(done, done.Value.Version, api.UpdatedRole{
		Role: role(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}

func (s *Server) deleteRole(ctx context.Context, c iam.Caller, in *InRole) (*acted[api.RoleAnswer], error) {
	done, err := s.iam.DeleteRole(ctx, c, in.Workspace, in.ID)
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, api.RoleAnswer{
		Role: role(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}
