package iam

import (
	"maps"
	"slices"
)

// uses are patterns of what was used, as far as it is known.
type uses struct {
	grants []Grant
	any    bool // and whatever else
}

// usedBy returns what was used of a role that still allows it.
func usedBy(groups []AskGroup, role Permissions) (u uses) {
	seen := map[Grant]bool{}
	for _, g := range groups {
		q := readAsk(g.AskTotal)
		if g.OK == 0 || !q.vague() && !q.allowed(role, g.Limit) {
			continue
		}
		u.any = u.any || q.any
		for _, p := range q.grants() {
			if !seen[p] {
				seen[p] = true
				u.grants = append(u.grants, p)
			}
		}
	}
	return u
}

// of reports whether a grant was used, or may have been.
func (u uses) of(g Grant) bool {
	return u.any || slices.ContainsFunc(u.grants, func(p Grant) bool { _, both := g.intersect(p); return both })
}

// unused lists what a role allows and nobody used: whole grants, and of grants that
// were used in part the actions and types of the catalogue that were not.
func (u uses) unused(role Permissions, types []PermissionType) []string {
	var all []string
	var look func(Grant)
	look = func(g Grant) {
		if !u.of(g) {
			all = append(all, g.String())
			return
		}
		for _, part := range partsOf(g, types) {
			look(part)
		}
	}
	for _, g := range role.Grants() {
		look(g)
	}
	return all
}

// partsOf returns the narrower grants that are known to make up a grant; none when
// it cannot be taken apart.
func partsOf(g Grant, types []PermissionType) (parts []Grant) {
	with := func(typ, action string) {
		part := g
		part.Type, part.Action = typ, action
		parts = append(parts, part)
	}
	switch {
	case g.Type == AnyIAM:
		for _, typ := range slices.Sorted(maps.Keys(iamActions)) {
			known := g.Action == wildcard || slices.Contains(iamActions[typ], g.Action)
			if known && typ != ownersWrite.Type {
				with(typ, g.Action)
			}
		}
	case g.Action == wildcard:
		for _, action := range actionsOf(g.Type, types) {
			with(g.Type, action)
		}
	case g.Type == wildcard:
		for _, t := range types {
			if registered(types, Grant{Type: t.Type, Action: g.Action}) {
				with(t.Type, g.Action)
			}
		}
	}
	return parts
}

// actionsOf returns the actions that a type is known to have.
func actionsOf(typ string, types []PermissionType) []string {
	if isIAM(typ) {
		return iamActions[typ]
	}
	actions := slices.Clone(shippedActions)
	for _, t := range types {
		if typ == wildcard || typ == t.Type {
			actions = append(actions, t.Actions...)
		}
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// role returns the permissions that a role made from use has: what was used, and
// nothing that the present role does not hold. Of ids that are many, or not known,
// it has as many as that role does.
func (u uses) role(present Permissions) Permissions {
	if u.any {
		return present
	}
	ids := map[Grant]int{}
	for _, g := range u.grants {
		if g.ID != "" {
			ids[allIDs(g)]++
		}
	}
	var all []Grant
	for _, g := range u.grants {
		if ids[allIDs(g)] > maxIDsGiven {
			g = allIDs(g)
		}
		all = append(all, g)
	}
	return present.Intersect(NewPermissions(all...))
}

// allIDs is a grant on whichever id.
func allIDs(g Grant) Grant { return Grant{Type: g.Type, Prefix: true, Action: g.Action} }
