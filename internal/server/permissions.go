package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const permissionsPath = workspacePath + "/permissions"

func (s *Server) registerPermissions() {
	register(s, operation{
		id: "list-permission-types", method: http.MethodGet, path: permissionsPath, tag: rolesTag,
		summary: "List the product's own types and actions", access: permission, needs: iam.ReadRoles, success: http.StatusOK,
	}, s.listPermissionTypes)
	register(s, operation{
		id: "replace-permission-types", method: http.MethodPut, path: permissionsPath, tag: rolesTag,
		summary: "Register the product's own types and actions, all of them",
		description: "A type need not be registered; an action beyond read, write, delete and execute must be, " +
			"before a role or a limit can hold it. It gives nobody anything.",
		access: permission, needs: iam.WriteRoles, success: http.StatusOK,
	}, s.replacePermissionTypes)
}

func (s *Server) listPermissionTypes(ctx context.Context, c iam.Caller, in *InWorkspace) (*answer[api.List[api.PermissionType]], error) {
	catalogue, err := s.iam.Catalogue(ctx, c, in.Workspace)
	if err != nil {
		return nil, err
	}
	return &answer[api.List[api.PermissionType]]{api.List[api.PermissionType]{Data: each(catalogue.Types, permissionType)}}, nil
}

type replacePermissionTypesInput struct {
	InWorkspace
	Body []api.PermissionType
}

func (s *Server) replacePermissionTypes(ctx context.Context, c iam.Caller, in *replacePermissionTypesInput) (*acted[api.UpdatedPermissionTypes], error) {
	done, err := s.iam.ReplaceCatalogue(ctx, c, in.Workspace, each(in.Body, newPermissionType))
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, api.UpdatedPermissionTypes{
		Data: each(done.Value.Types, permissionType), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}
