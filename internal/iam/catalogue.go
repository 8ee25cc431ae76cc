package iam

import (
	"context"
	"fmt"
	"slices"

	"github.com/posternhq/postern/internal/audit"
)

// Catalogue is the product's own types and actions, as a workspace registers
// them. A type need not be registered; an action beyond read, write, delete and
// execute must be. It names things and gives nobody anything.
type Catalogue struct {
	Workspace WorkspaceID
	Types     []PermissionType
}

func (c Catalogue) target() audit.Target {
	return audit.Target{Type: "permissions", ID: string(c.Workspace), Name: "permissions"}
}

func (c Catalogue) check() error {
	var v validation
	if len(c.Types) > maxTypes {
		v.add("", "too_many", "has more than %d types", maxTypes)
		return v.err()
	}
	seen := map[string]bool{}
	for i, t := range c.Types {
		at := fmt.Sprintf("/%d", i)
		switch {
		case isIAM(t.Type) || !isType(t.Type):
			v.add(at+"/type", "bad_type", "must be a lower-case letter, then lower-case letters, digits and underscores, and not iam")
		case seen[t.Type]:
			v.add(at+"/type", "duplicate", "%s is there twice", t.Type)
		}
		seen[t.Type] = true
		v.text(at+"/title", t.Title, maxTitle)
		v.actions(at+"/actions", t.Actions)
	}
	return v.err()
}

func (v *validation) actions(pointer string, actions []string) {
	if len(actions) > maxActions {
		v.add(pointer, "too_many", "has more than %d actions", maxActions)
		return
	}
	for i, a := range actions {
		at := fmt.Sprintf("%s/%d", pointer, i)
		switch {
		case !isName(a) || len(a) > maxName:
			v.add(at, "bad_action", "must be a lower-case letter, then lower-case letters, digits and underscores")
		case slices.Contains(actions[:i], a):
			v.add(at, "duplicate", "%s is there twice", a)
		}
	}
}

func (c Catalogue) fields() audit.Fields {
	f := audit.Fields{}
	for _, t := range c.Types {
		f[t.Type] = t.Actions
	}
	return f
}

// ReplaceCatalogue sets all the types of a workspace at once.
func (s *Service) ReplaceCatalogue(ctx context.Context, c Caller, ws string, types []PermissionType) (Done[Catalogue], error) {
	a := attempt{in: ws, action: "permissions.updated", needs: WriteRoles, target: audit.Target{Type: "permissions"}}
	return do(ctx, s, c, a, func(w *work) (Catalogue, error) {
		after := Catalogue{w.ws.ID, types}
		if err := after.check(); err != nil {
			return after, err
		}
		before, err := w.PermissionTypes(ctx, w.ws.ID)
		if err != nil {
			return after, fmt.Errorf("read the permissions' types: %w", err)
		}
		w.event.Before, w.event.After = Catalogue{w.ws.ID, before}.fields(), after.fields()
		return after, w.ReplacePermissionTypes(ctx, w.ws.ID, types)
	})
}

// Catalogue returns the types of a workspace, in the order of their names.
func (s *Service) Catalogue(ctx context.Context, c Caller, ws string) (Catalogue, error) {
	in, err := s.reading(ctx, c, ws, ReadRoles, audit.Target{Type: "permissions"})
	if err != nil {
		return Catalogue{}, err
	}
	types, err := s.Store.PermissionTypes(ctx, in)
	return Catalogue{in, types}, err
}
