package iam

import (
	"context"
	"fmt"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// NewWorkspace is what a workspace is made of.
type NewWorkspace struct {
	Name       string
	Slug       string
	OwnerEmail string // not empty: invited as the first owner
}

// WorkspacePatch is what to change about a workspace; nil leaves it as it is.
type WorkspacePatch struct {
	Name   *string
	Policy func(Policy) Policy // from the present policy to the new one
}

// CreatedWorkspace is a new workspace, and the invitation of its first owner.
type CreatedWorkspace struct {
	Workspace  Workspace
	Invitation *Invitation
}

func (c CreatedWorkspace) target() audit.Target { return c.Workspace.target() }

func (w Workspace) check() error {
	var v validation
	v.name("/name", w.Name)
	v.slug("/slug", w.Slug)
	if err := v.err(); err != nil {
		return err
	}
	return w.Policy.check()
}

// CreateWorkspace adds a tenant, with the built-in roles and, where an address is
// given, an invitation of its first owner, whose token is shown once. Only
// principals of the system workspace may.
func (s *Service) CreateWorkspace(ctx context.Context, c Caller, in NewWorkspace) (Done[CreatedWorkspace], token.Secret, error) {
	secret, err := s.Mint.NewOpaque(invitationPurpose)
	if err != nil {
		return Done[CreatedWorkspace]{}, token.Secret{}, err
	}
	a := attempt{in: own, action: "workspace.created", needs: WriteWorkspaces, system: true, fresh: in.OwnerEmail != "", target: audit.Target{Type: "workspace"}}
	done, err := do(ctx, s, c, a, func(w *work) (out CreatedWorkspace, err error) {
		if out.Workspace, err = w.newWorkspace(in.Name, in.Slug, false); err != nil {
			return out, err
		}
		w.event.After = out.Workspace.fields()
		w.tellTenant(out.Workspace, "workspace.created", w.event)
		if in.OwnerEmail == "" {
			return out, nil
		}
		out.Invitation, err = w.inviteFirstOwner(out.Workspace, in.OwnerEmail, secret)
		return out, err
	})
	if err != nil || done.Value.Invitation == nil {
		return done, token.Secret{}, err
	}
	return done, secret, nil
}

// newWorkspace makes a workspace and its built-in roles.
func (w *work) newWorkspace(name, slug string, system bool) (Workspace, error) {
	ws := Workspace{
		ID: WorkspaceID(NewID(WorkspacePrefix, w.Now())), Name: name, Slug: slug, System: system,
		Policy: ShippedPolicy(), CreatedAt: w.Now(), Version: w.Seq(),
	}
	if err := ws.check(); err != nil {
		return ws, err
	}
	w.change.Workspaces = append(w.change.Workspaces, ws.record())
	if err := w.InsertWorkspace(w.ctx, ws); err != nil {
		return ws, err
	}
	for _, role := range BuiltInRoles() {
		role.ID, role.Workspace = RoleID(NewID(RolePrefix, w.Now())), ws.ID
		role.CreatedAt, role.Version = w.Now(), w.Seq()
		w.change.Roles = append(w.change.Roles, role.record())
		if err := w.InsertRole(w.ctx, role); err != nil {
			return ws, fmt.Errorf("insert the role %s: %w", role.Name, err)
		}
	}
	return ws, nil
}

func (w *work) inviteFirstOwner(ws Workspace, email string, secret token.Secret) (*Invitation, error) {
	var v validation
	email = v.email("/owner/email", email)
	if err := v.err(); err != nil {
		return nil, err
	}
	role, err := w.Role(w.ctx, ws.ID, Owner)
	if err != nil {
		return nil, fmt.Errorf("read the role owner: %w", err)
	}
	inv := w.newInvitation(ws, email, role, secret)
	inv.InvitedFrom = w.ws.ID
	w.further = append(w.further, audit.Event{
		Workspace: string(ws.ID), Action: "member.invited", Outcome: audit.Done, Target: inv.target(), After: inv.fields(),
	})
	return &inv, w.InsertInvitation(w.ctx, inv)
}

// tellTenant writes into a workspace's own log what the deployment's operators
// did to it.
func (w *work) tellTenant(ws Workspace, action string, e audit.Event) {
	if ws.ID == w.ws.ID {
		return
	}
	e.Workspace, e.Action, e.Outcome, e.Target = string(ws.ID), action, audit.Done, ws.target()
	w.further = append(w.further, e)
}

// UpdateWorkspace changes the name or the policy of the caller's workspace.
func (s *Service) UpdateWorkspace(ctx context.Context, c Caller, ref string, p WorkspacePatch) (Done[Workspace], error) {
	a := attempt{in: ref, action: "workspace.updated", needs: WriteSettings, target: audit.Target{Type: "workspace"}}
	return do(ctx, s, c, a, func(w *work) (Workspace, error) {
		ws := w.ws
		w.event.Target = ws.target()
		if err := w.matches(ws.Version, string(ws.ID)); err != nil {
			return ws, err
		}
		was := ws.fields()
		set(&ws.Name, p.Name)
		if p.Policy != nil {
			ws.Policy = p.Policy(ws.Policy)
		}
		if err := ws.check(); err != nil {
			return ws, err
		}
		w.changed(was, ws.fields())
		return ws, w.saveWorkspace(&ws)
	})
}

func (w *work) saveWorkspace(ws *Workspace) error {
	ws.Version = w.Seq()
	w.change.Workspaces = append(w.change.Workspaces, ws.record())
	return w.Tx.UpdateWorkspace(w.ctx, *ws)
}

// PauseWorkspace stops every key of a workspace until it is resumed. Only
// principals of the system workspace may, and not their own.
func (s *Service) PauseWorkspace(ctx context.Context, c Caller, ref, reason string) (Done[Workspace], error) {
	return s.turnWorkspace(ctx, c, ref, reason, "workspace.paused", true)
}

// ResumeWorkspace lets the keys of a paused workspace work again.
func (s *Service) ResumeWorkspace(ctx context.Context, c Caller, ref, reason string) (Done[Workspace], error) {
	return s.turnWorkspace(ctx, c, ref, reason, "workspace.resumed", false)
}

func (s *Service) turnWorkspace(ctx context.Context, c Caller, ref, reason, action string, pause bool) (Done[Workspace], error) {
	if !c.System && c.internal == "" {
		return Done[Workspace]{}, Errorf(NotFound, "no such workspace")
	}
	a := attempt{in: own, action: action, needs: WriteWorkspaces, system: true, target: aim("workspace", ref)}
	return do(ctx, s, c, a, func(w *work) (Workspace, error) {
		ws := w.ws
		if id, err := c.resolve(ref); err != nil || id != ws.ID {
			if ws, err = w.Workspace(ctx, ref); err != nil {
				return ws, err
			}
		}
		w.event.Target = ws.target()
		if err := checkReason(reason); err != nil {
			return ws, err
		}
		if ws.System {
			return ws, Errorf(ValidationFailed, "the system workspace cannot be paused: nobody could resume it")
		}
		was := ws.fields()
		ws.Paused = pause
		w.event.Reason = reason
		w.changed(was, ws.fields())
		w.tellTenant(ws, action, w.event)
		if err := w.DisturbRotations(w.ctx, ws.ID, "", ""); err != nil {
			return ws, err
		}
		return ws, w.saveWorkspace(&ws)
	})
}

// Workspace returns the caller's own workspace or, for callers of the system
// workspace, any other.
func (s *Service) Workspace(ctx context.Context, c Caller, ref string) (Workspace, error) {
	needs, t := ReadSettings, aim("workspace", ref)
	id, err := c.resolve(ref)
	if err != nil && c.System {
		needs, id, err = ReadWorkspaces, WorkspaceID(ref), nil
	}
	if err != nil {
		return Workspace{}, err
	}
	if err := s.may(ctx, c, needs, t); err != nil {
		return Workspace{}, err
	}
	return s.Store.Workspace(ctx, string(id))
}

// Workspaces lists the workspaces of the deployment, for callers of the system
// workspace.
func (s *Service) Workspaces(ctx context.Context, c Caller, f WorkspaceFilter, page Page) (List[Workspace], error) {
	if !c.System {
		return List[Workspace]{}, Errorf(NotFound, "no such thing")
	}
	if err := s.may(ctx, c, ReadWorkspaces, audit.Target{Type: "workspace"}); err != nil {
		return List[Workspace]{}, err
	}
	return s.Store.Workspaces(ctx, f, page)
}
