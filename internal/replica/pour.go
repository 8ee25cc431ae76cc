package replica

import "github.com/posternhq/postern/internal/iam"

// Pour streams what a scope sees of the view into a sink, in the order in which one
// that begins with nothing can take it in, and returns the view's position: the
// scope's workspace, its roles and those that are built in, its principals and their
// keys. Sessions are left out: they are for the servers alone.
func (v View) Pour(sc Scope, sink iam.Sink) (iam.Position, error) {
	s := v.state
	if s.stale != nil {
		return iam.Position{}, iam.Errorf(iam.Unavailable, "nothing is known here")
	}
	for _, pour := range []func(*state, Scope, iam.Sink) error{pourWorkspaces, pourRoles, pourPrincipals, pourKeys} {
		if err := pour(s, sc, sink); err != nil {
			return iam.Position{}, err
		}
	}
	return s.position, nil
}

func pourWorkspaces(s *state, sc Scope, sink iam.Sink) error {
	for number := range s.workspaces.rows.len {
		w := s.workspaces.rows.at(number)
		if !sc.sees(w) {
			continue
		}
		if err := sink.Workspace(iam.WorkspaceRecord{ID: w.id, Slug: w.slug, System: w.system, Paused: w.paused, Reveal: w.reveal}); err != nil {
			return err
		}
	}
	return nil
}

func pourRoles(s *state, sc Scope, sink iam.Sink) error {
	for number := range s.roles.rows.len {
		r := s.roles.rows.at(number)
		if !r.known || !sc.seesRole(r.workspace) {
			continue // whoever names one that is not known creates it again, without permissions
		}
		rec := iam.RoleRecord{ID: r.id, Workspace: r.workspace, Name: r.name}
		if r.permissions != 0 {
			rec.Permissions = *s.sets.at(r.permissions)
		}
		if err := sink.Role(rec); err != nil {
			return err
		}
	}
	return nil
}

func pourPrincipals(s *state, sc Scope, sink iam.Sink) error {
	for number := range s.principals.rows.len {
		p := s.principals.rows.at(number)
		w := s.workspaces.rows.at(p.workspace)
		if !sc.sees(w) {
			continue
		}
		if err := sink.Principal(iam.PrincipalRecord{
			ID: p.id, Type: p.kind.principalType(), Workspace: w.id,
			Name: p.name, State: p.state.state(), Role: s.roles.rows.at(p.role).id,
		}); err != nil {
			return err
		}
	}
	return nil
}

func pourKeys(s *state, sc Scope, sink iam.Sink) error {
	for number := range s.keys.rows.len {
		k := s.keys.rows.at(number)
		if k.marks.has(sessionMark) || k.nobodys() {
			continue
		}
		p := s.principals.rows.at(k.principal)
		if !sc.sees(s.workspaces.rows.at(p.workspace)) {
			continue
		}
		rec := iam.KeyRecord{
			ID: iam.KeyID(iam.FormatID(iam.KeyPrefix, k.id)), Principal: p.id,
			Name: s.keys.name(number), Hash: k.hash, Expires: k.expires,
			Paused: k.marks.has(pausedMark), Revoked: k.end != running,
		}
		if k.limit != 0 {
			rec.Limit = s.sets.at(k.limit)
		}
		if k.networks != 0 {
			rec.Networks = *s.networks.at(k.networks)
		}
		if err := sink.Key(rec); err != nil {
			return err
		}
	}
	return nil
}
