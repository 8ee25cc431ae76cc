package server

import (
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func role(r iam.Role) api.Role {
	kind := "custom"
	if r.BuiltIn {
		kind = "built_in"
	}
	return api.Role{
		ID: string(r.ID), Name: r.Name, Title: r.Title, Description: r.Description, Kind: kind,
		Permissions: r.Permissions.Strings(), Members: r.Members, ServiceAccounts: r.ServiceAccounts,
		Etag: etag(r.Version),
	}
}

func newRole(in api.CreateRole) iam.NewRole {
	return iam.NewRole{Name: in.Name, Title: in.Title, Description: in.Description, Permissions: in.Permissions}
}

func rolePatch(in api.UpdateRole) iam.RolePatch {
	return iam.RolePatch{Name: in.Name, Title: in.Title, Description: in.Description, Permissions: in.Permissions}
}

func permissionType(t iam.PermissionType) api.PermissionType {
	return api.PermissionType{Type: t.Type, Title: t.Title, Actions: orEmpty(t.Actions)}
}

func newPermissionType(t api.PermissionType) iam.PermissionType {
	return iam.PermissionType{Type: t.Type, Title: t.Title, Actions: t.Actions}
}
