package replica

import (
	"slices"

	"github.com/posternhq/postern/internal/iam"
)

// reach says to whom, of those who follow, the changes of a batch say anything. Nobody
// but the servers hears of sessions.
type reach struct {
	everybody bool
	moved     bool              // something went from one workspace to another
	who       []iam.WorkspaceID // sorted
}

// touches reports whether changes say something that a scope sees.
func (r reach) touches(sc Scope) bool {
	if r.everybody || sc.any {
		return r.everybody || len(r.who) > 0
	}
	_, found := slices.BinarySearch(r.who, sc.workspace)
	return found
}

// reachOf looks at changes that led from one state to the next. A record that is of
// one workspace before, in or after them and of another at another of these moments
// has moved: records of the same thing that lie in between are compared with each
// other by way of the state after.
func reachOf(old, next *state, changes []iam.Change) (r reach) {
	roles := map[iam.RoleID]iam.WorkspaceID{}
	for _, c := range changes {
		for _, w := range c.Workspaces {
			r.add(w.ID)
		}
		for _, rec := range c.Roles {
			home, repeated := roles[rec.ID]
			roles[rec.ID] = rec.Workspace
			r.moved = r.moved || repeated && home != rec.Workspace || old.holdsRoleElsewhere(rec)
			r.everybody = r.everybody || rec.Workspace == ""
			r.add(rec.Workspace)
		}
		for _, p := range c.Principals {
			r.moved = r.moved || !next.holdsPrincipalIn(p.ID, p.Workspace, false) || !old.holdsPrincipalIn(p.ID, p.Workspace, true)
			r.add(p.Workspace)
		}
		for _, k := range c.Keys {
			if !k.Session {
				r.addKey(old, next, k)
			}
		}
	}
	r.everybody = r.everybody || r.moved
	return r
}

func (r *reach) add(id iam.WorkspaceID) {
	if i, found := slices.BinarySearch(r.who, id); !found && id != "" {
		r.who = slices.Insert(r.who, i, id)
	}
}

func (r *reach) addKey(old, next *state, k iam.KeyRecord) {
	home, _ := next.homeOf(k.Principal)
	after, _ := next.keys.find(&k.Hash)
	before, known := old.keys.find(&k.Hash)
	r.moved = r.moved || next.keyHome(after) != home || known && old.keyHome(before) != home
	r.add(next.workspaces.rows.at(home).id)
}

// homeOf returns the number of a principal's workspace.
func (s *state) homeOf(id iam.PrincipalID) (workspace uint32, known bool) {
	number, known := s.principals.find(string(id))
	if !known {
		return 0, false
	}
	return s.principals.rows.at(number).workspace, true
}

// keyHome returns the number of the workspace of a key.
func (s *state) keyHome(number uint32) uint32 {
	return s.principals.rows.at(s.keys.rows.at(number).principal).workspace
}

// holdsPrincipalIn reports whether a principal is known in a workspace, or not known
// at all if that will do.
func (s *state) holdsPrincipalIn(id iam.PrincipalID, w iam.WorkspaceID, orNot bool) bool {
	home, known := s.homeOf(id)
	return !known && orNot || known && s.workspaces.rows.at(home).id == w
}

// holdsRoleElsewhere reports whether a role is known, in another workspace than a
// record says.
func (s *state) holdsRoleElsewhere(rec iam.RoleRecord) bool {
	number, known := s.roles.find(string(rec.ID))
	return known && s.roles.rows.at(number).known && s.roles.rows.at(number).workspace != rec.Workspace
}

// seesRole reports whether a scope sees the roles of a workspace; those of none are
// built in, and everybody's.
func (sc Scope) seesRole(of iam.WorkspaceID) bool { return sc.any || of == "" || of == sc.workspace }

// seesPrincipal reports whether a scope sees a principal's records.
func (s *state) seesPrincipal(sc Scope, id iam.PrincipalID) bool {
	home, known := s.homeOf(id)
	return known && sc.sees(s.workspaces.rows.at(home))
}

// narrow returns a change with what a scope sees of it. Nothing in it has moved. What
// is denied here for good is told as ended, for whoever follows has not seen that end.
func (s *state) narrow(c iam.Change, sc Scope, r reach) iam.Change {
	secret := func(k iam.KeyRecord) bool { return k.Session }
	if sc.any && !s.denies && !slices.ContainsFunc(c.Keys, secret) {
		return c
	}
	some := iam.Change{Seq: c.Seq, Time: c.Time}
	if r.touches(sc) {
		some.Workspaces = only(c.Workspaces, func(w iam.WorkspaceRecord) bool { return sc.any || sc.workspace == w.ID })
		some.Roles = only(c.Roles, func(r iam.RoleRecord) bool { return sc.seesRole(r.Workspace) })
		some.Principals = only(c.Principals, func(p iam.PrincipalRecord) bool { return sc.any || sc.workspace == p.Workspace })
		some.Keys = only(c.Keys, func(k iam.KeyRecord) bool { return !k.Session && s.seesPrincipal(sc, k.Principal) })
	}
	if s.denies {
		s.deny(some)
	}
	some.Reader = some.LowestReader()
	return some
}

// deny tells of records, which are the caller's own, what this replica has seen end and
// the log does not say any more.
func (s *state) deny(c iam.Change) {
	for i := range c.Principals {
		if number, known := s.principals.find(string(c.Principals[i].ID)); known && s.principals.rows.at(number).denied {
			c.Principals[i].State = s.principals.rows.at(number).state.state()
		}
	}
	for i := range c.Keys {
		if number, known := s.keys.find(&c.Keys[i].Hash); known && s.keys.rows.at(number).end == denied {
			c.Keys[i].Revoked = true
		}
	}
}

// only returns the records that are kept, in a list of its own.
func only[T any](records []T, keep func(T) bool) (kept []T) {
	for _, r := range records {
		if keep(r) {
			kept = append(kept, r)
		}
	}
	return kept
}
