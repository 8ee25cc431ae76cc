package iam

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// enoughDays is for how long an account must have been watched before anything
	// is advised: what runs once a fortnight has been seen.
	enoughDays = 14

	maxAskGroups = 20_000 // that are replayed; those beyond count as refused
	maxRolesSeen = 1_000  // custom roles that are compared
	maxIDsGiven  = 20     // of one type and action, in a role made from use
)

// Silence says why nothing is advised.
type Silence string

// The reasons for silence.
const (
	TooLittleData Silence = "too_little_data" // it has not been watched for long enough
	GivesToOthers Silence = "gives_to_others" // what it gives to others it must hold, and that is not counted
)

// Advice is what the use of a service account says of its role.
type Advice struct {
	Account    Ref[PrincipalID]
	Role       Ref[RoleID]
	WindowDays int64 // that were looked at
	DataDays   int64 // of them, since the account was first used; or, when it never was, since use was first counted
	Silence    Silence
	Hindsight           // with the suggested role, or with the present one
	Unused     []string // what the role allows and nobody asked for
	Suggested  *Role    // the least that would have allowed all that was used; nil: there is none that is less
	FromUse    Permissions
}

// Advice returns what the use of a service account says of its role.
func (s *Service) Advice(ctx context.Context, c Caller, ws, ref string) (Advice, error) {
	in, err := s.reading(ctx, c, ws, ReadAccounts, aim("service_account", ref))
	if err != nil {
		return Advice{}, err
	}
	account, err := s.Store.ServiceAccount(ctx, in, ref)
	if err != nil {
		return Advice{}, err
	}
	role, err := s.Store.Role(ctx, in, string(account.Role.ID))
	if err != nil {
		return Advice{}, fmt.Errorf("read the account's role: %w", err)
	}
	a := Advice{Account: Ref[PrincipalID]{account.ID, account.Name}, Role: account.Role}
	window, err := s.watched(ctx, account, &a)
	if err != nil || a.Silence != "" {
		return a, err
	}
	groups, err := s.askedOf(ctx, in, AskQuery{Principal: account.ID, Since: window})
	if err != nil {
		return a, err
	}
	a.Hindsight = replayAsks(groups, role.Permissions, role.Permissions)
	if gives(groups, role.Permissions) {
		a.Silence = GivesToOthers
		return a, nil
	}
	types, err := s.Store.PermissionTypes(ctx, in)
	if err != nil {
		return a, err
	}
	u := usedBy(groups, role.Permissions)
	a.Unused, a.FromUse = u.unused(role.Permissions, types), u.role(role.Permissions)
	if a.Of == 0 {
		return a, nil
	}
	others, err := s.comparable(ctx, c, in)
	if err != nil {
		return a, err
	}
	if a.Suggested = leastRole(others, groups, role.Permissions); a.Suggested != nil {
		a.Hindsight = replayAsks(groups, role.Permissions, a.Suggested.Permissions)
	}
	return a, nil
}

// watched finds out for how long an account has been watched, and returns the
// beginning of the time that is looked at.
func (s *Service) watched(ctx context.Context, account ServiceAccount, a *Advice) (since time.Time, err error) {
	ws, err := s.Store.Workspace(ctx, string(account.Workspace))
	if err != nil {
		return since, fmt.Errorf("read the policy: %w", err)
	}
	now := s.Now()
	a.WindowDays = min(ws.Policy.UsageDays, max(int64(now.Sub(account.CreatedAt)/day), 1))
	since = now.Add(-time.Duration(a.WindowDays) * day)
	ids := []string{string(account.ID), string(account.Workspace)}
	kept := now.Add(-time.Duration(ws.Policy.UsageDays) * day)
	points, err := s.Store.UsagePoints(ctx, account.Workspace, ids, kept, now, day)
	if err != nil {
		return since, err
	}
	for _, id := range ids {
		if len(points[id]) > 0 {
			a.DataDays = min(int64(now.Sub(points[id][0].At)/day), a.WindowDays)
			break
		}
	}
	if a.DataDays < enoughDays {
		a.Silence = TooLittleData
	}
	return since, nil
}

// askedOf returns what was asked. What is too much to be told apart is one group of
// which nothing is known.
func (s *Service) askedOf(ctx context.Context, ws WorkspaceID, q AskQuery) ([]AskGroup, error) {
	q.Most = maxAskGroups + 1
	groups, err := s.Store.Asked(ctx, ws, q)
	if err != nil || len(groups) <= maxAskGroups {
		return groups, err
	}
	rest, err := s.Store.AskedBeyond(ctx, ws, q, maxAskGroups)
	if err != nil {
		return nil, err
	}
	return append(groups[:maxAskGroups], AskGroup{AskTotal: AskTotal{Ask: AnyAsk, Others: true, OK: rest}}), nil
}

// comparable returns the roles that could be suggested to a caller: the custom ones
// only to those who may see them.
func (s *Service) comparable(ctx context.Context, c Caller, ws WorkspaceID) ([]Role, error) {
	f := RoleFilter{Kind: "built_in"}
	if c.sees(ReadRoles) {
		f.Kind = ""
	}
	return s.roles(ctx, ws, f)
}

const maxPage = 200

// leastRole returns the least of the roles that are less than the present one and
// would have allowed all that was used. Of two of which neither holds the other it
// is the one that speaks of fewer types.
func leastRole(roles []Role, groups []AskGroup, present Permissions) *Role {
	var fit []Role
	for _, r := range roles {
		less := present.Covers(r.Permissions) && !r.Permissions.Covers(present) && !holdsOwners(r.Permissions)
		if less && replayAsks(groups, present, r.Permissions).WouldRefuse == 0 {
			fit = append(fit, r)
		}
	}
	least := slices.DeleteFunc(slices.Clone(fit), func(r Role) bool {
		return slices.ContainsFunc(fit, func(q Role) bool {
			return r.Permissions.Covers(q.Permissions) && !q.Permissions.Covers(r.Permissions)
		})
	})
	if len(least) == 0 {
		return nil
	}
	return new(slices.MinFunc(least, func(a, b Role) int {
		return cmp.Or(cmp.Compare(a.breadth(), b.breadth()), cmp.Compare(a.Permissions.Len(), b.Permissions.Len()),
			cmp.Compare(a.Name, b.Name))
	}))
}

// breadth counts the grants that speak of more than one type.
func (r Role) breadth() (n int) {
	for _, g := range r.Permissions.Grants() {
		if g.Type == wildcard || g.Type == AnyIAM {
			n++
		}
	}
	return n
}
