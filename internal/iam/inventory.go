package iam

import (
	"context"
	"slices"
	"time"
)

// A key of a member has machine-like traffic when in the last [MachineWindow] whole
// days (UTC) there were at least [MachineDays] on which it was accepted in
// [MachineHours] of the 24 hours, or [MachineUses] times: people sleep, and a person
// at work does not call every six seconds all day.
const (
	MachineWindow = 7
	MachineDays   = 3
	MachineHours  = 18
	MachineUses   = 5_000
)

// lessPowerAfter is for how long an account that could change settings must have
// changed nothing before it is said to need less power.
const lessPowerAfter = 90 * day

// Needed is what an account needs that it does not have.
type Needed string

// What accounts may need.
const (
	NeedsOwner     Needed = "owner"      // no team is named that is responsible for it
	NeedsKeys      Needed = "keys"       // it has none that could work
	NeedsLessPower Needed = "less_power" // it is Admin-level, and has changed nothing for 90 days
)

// Need narrows a list of accounts to those that need something, unless What is
// empty. The rest is filled in by [Service.ServiceAccounts].
type Need struct {
	What  Needed
	Roles []RoleID  // that are Admin-level
	Since time.Time // nothing was changed since
	Now   time.Time
}

// settled returns what a need stands for now.
func (s *Service) settled(ctx context.Context, ws WorkspaceID, n Need) (Need, error) {
	if n.What == "" {
		return n, nil
	}
	n.Now = s.Now()
	n.Since = n.Now.Add(-lessPowerAfter)
	if n.What != NeedsLessPower {
		return n, nil
	}
	roles, err := s.roles(ctx, ws, RoleFilter{})
	for _, r := range roles {
		if r.administers() {
			n.Roles = append(n.Roles, r.ID)
		}
	}
	return n, err
}

// administers reports whether a role is Admin-level: whether it may change settings
// of every sort.
func (r Role) administers() bool {
	return slices.ContainsFunc(r.Permissions.Grants(), func(g Grant) bool {
		return g.Type == AnyIAM && (g.Action == wildcard || g.Action == WriteSettings.Action)
	})
}

// roles returns the roles of a workspace, as many as are looked at.
func (s *Service) roles(ctx context.Context, ws WorkspaceID, f RoleFilter) (all []Role, err error) {
	page := Page{Limit: maxPage}
	for len(all) < maxRolesSeen {
		list, err := s.Store.Roles(ctx, ws, f, page)
		if err != nil {
			return nil, err
		}
		all = append(all, list.Items...)
		if page.After = list.Next; list.Next == nil {
			break
		}
	}
	return all, nil
}
