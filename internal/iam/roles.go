package iam

import (
	"context"

	"github.com/posternhq/postern/internal/audit"
)

// NewRole is what a custom role is made of.
type NewRole struct {
	Name        string // kept in lower case
	Title       string // shown; empty: the name
	Description string
	Permissions []string
}

// RolePatch is what to change about a custom role; nil leaves it as it is.
type RolePatch struct {
	Name        *string
	Title       *string
	Description *string
	Permissions *[]string
}

func (r Role) check() error {
	var v validation
	v.name("/name", r.Name)
	v.text("/title", r.Title, maxTitle)
	v.text("/description", r.Description, maxDescription)
	for _, b := range BuiltInRoles() {
		if r.Name == b.Name {
			v.add("/name", "built_in", "is the name of a built-in role")
		}
	}
	return v.err()
}

// CreateRole adds a custom role. The caller must hold all that it allows.
func (s *Service) CreateRole(ctx context.Context, c Caller, ws string, in NewRole) (Done[Role], error) {
	a := attempt{in: ws, action: "role.created", needs: WriteRoles, fresh: true, target: audit.Target{Type: "role"}}
	return do(ctx, s, c, a, func(w *work) (Role, error) {
		role := Role{
			ID: RoleID(NewID(RolePrefix, w.Now())), Workspace: w.ws.ID,
			Name: folded(in.Name), Title: in.Title, Description: in.Description,
			CreatedAt: w.Now(), Version: w.Seq(),
		}
		if role.Title == "" {
			role.Title = in.Name
		}
		err := role.check()
		if err != nil {
			return role, err
		}
		if role.Permissions, err = w.grants("/permissions", in.Permissions); err != nil {
			return role, err
		}
		if err := w.mayGive(role.Permissions, Permissions{}); err != nil {
			return role, err
		}
		w.event.After = role.fields()
		w.change.Roles = append(w.change.Roles, role.record())
		return role, w.InsertRole(ctx, role)
	})
}

// UpdateRole changes a custom role, and at once what everybody who has it may do.
// What it adds is a gift: the caller must hold it.
func (s *Service) UpdateRole(ctx context.Context, c Caller, ws, ref string, p RolePatch) (Done[Role], error) {
	a := attempt{in: ws, action: "role.updated", needs: WriteRoles, fresh: true, target: aim("role", ref)}
	return do(ctx, s, c, a, func(w *work) (Role, error) {
		role, err := w.customRole(ref)
		if err != nil {
			return role, err
		}
		if err := w.matches(role.Version, string(role.ID)); err != nil {
			return role, err
		}
		before := role
		if p.Name != nil {
			role.Name = folded(*p.Name)
		}
		set(&role.Title, p.Title)
		set(&role.Description, p.Description)
		if err := role.check(); err != nil {
			return role, err
		}
		if p.Permissions != nil {
			if role.Permissions, err = w.grants("/permissions", *p.Permissions); err != nil {
				return role, err
			}
		}
		if err := w.mayGive(role.Permissions, before.Permissions); err != nil {
			return role, err
		}
		role.Version = w.Seq()
		w.changed(before.fields(), role.fields())
		w.change.Roles = append(w.change.Roles, role.record())
		return role, w.Tx.UpdateRole(ctx, role)
	})
}

// customRole looks up a role that may be changed.
func (w *work) customRole(ref string) (Role, error) {
	role, err := w.Role(w.ctx, w.ws.ID, ref)
	if err != nil {
		return role, err
	}
	w.event.Target = role.target()
	if role.BuiltIn {
		return role, Errorf(ValidationFailed, "%s is a built-in role, which nobody can change; make a custom one", role.Name)
	}
	return role, nil
}

// DeleteRole takes a custom role away that nobody has. An invitation that offers
// it can no longer be accepted.
func (s *Service) DeleteRole(ctx context.Context, c Caller, ws, ref string) (Done[Role], error) {
	a := attempt{in: ws, action: "role.deleted", needs: WriteRoles, target: aim("role", ref)}
	return do(ctx, s, c, a, func(w *work) (Role, error) {
		role, err := w.customRole(ref)
		if err != nil {
			return role, err
		}
		if err := w.matches(role.Version, string(role.ID)); err != nil {
			return role, err
		}
		if role.Members+role.ServiceAccounts > 0 {
			return role, Errorf(RoleInUse, "%d members and %d service accounts have the role", role.Members, role.ServiceAccounts)
		}
		w.event.Before = role.fields()
		gone := role.record()
		gone.Deleted = true
		w.change.Roles = append(w.change.Roles, gone)
		return role, w.Tx.DeleteRole(ctx, w.ws.ID, role.ID)
	})
}

// Role returns a role by id or name.
func (s *Service) Role(ctx context.Context, c Caller, ws, ref string) (Role, error) {
	in, err := s.reading(ctx, c, ws, ReadRoles, aim("role", ref))
	if err != nil {
		return Role{}, err
	}
	return s.Store.Role(ctx, in, ref)
}

// Roles lists the roles of a workspace, the built-in ones first.
func (s *Service) Roles(ctx context.Context, c Caller, ws string, f RoleFilter, page Page) (List[Role], error) {
	in, err := s.reading(ctx, c, ws, ReadRoles, audit.Target{Type: "role"})
	if err != nil {
		return List[Role]{}, err
	}
	return s.Store.Roles(ctx, in, f, page)
}
