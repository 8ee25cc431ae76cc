package iam

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	rateOver     = 5 * time.Minute // whole minutes, up to the one that is not over
	sourcesSince = 30 * day
	maxSources   = 100
	maxAffected  = 50
	maxAsksNamed = 500 // of the requests that a role would refuse
)

// AccountImpact is what would stop with a service account.
type AccountImpact struct {
	Account           Ref[PrincipalID]
	ActiveKeys        int64
	LastUse           *LastUse
	RequestsPerMinute float64     // accepted, over the last five whole minutes
	Sources           []KeySource // that its keys were accepted from in the last thirty days, the last first
	Rotations         []Rotation  // under way, the newest first
}

// AccountImpact returns what would stop with a service account.
func (s *Service) AccountImpact(ctx context.Context, c Caller, ws, ref string) (AccountImpact, error) {
	in, err := s.reading(ctx, c, ws, ReadAccounts, aim("service_account", ref))
	if err != nil {
		return AccountImpact{}, err
	}
	account, err := s.Store.ServiceAccount(ctx, in, ref)
	if err != nil {
		return AccountImpact{}, err
	}
	i := AccountImpact{
		Account: Ref[PrincipalID]{account.ID, account.Name}, ActiveKeys: account.Keys.Active, LastUse: account.LastUse,
	}
	minute := s.Now().Truncate(time.Minute)
	points, err := s.Store.UsagePoints(ctx, in, []string{string(account.ID)}, minute.Add(-rateOver), minute, time.Minute)
	if err != nil {
		return i, err
	}
	for _, p := range points[string(account.ID)] {
		i.RequestsPerMinute += float64(p.OK) / rateOver.Minutes()
	}
	if i.Sources, err = s.Store.PrincipalSources(ctx, in, account.ID, s.Now().Add(-sourcesSince), maxSources); err != nil {
		return i, err
	}
	under, err := s.Store.Rotations(ctx, in, RotationFilter{Principal: account.ID, Open: true}, Page{Limit: maxPage})
	i.Rotations = under.Items
	return i, err
}

// RoleImpact is what would become of those who have a role if it had other
// permissions.
type RoleImpact struct {
	Role           Role
	Added, Removed []string
	WindowDays     int64 // that were looked at
	Hindsight
	Gives    bool // some of them gave permissions to others, which takes holding them and is not counted
	Affected Affected
}

// Affected are the members and accounts that use what is taken away.
type Affected struct {
	Principals []AffectedPrincipal // the last use first; some of them when there are many
	Hidden     []Permission        // that the caller would need to see all of them
}

// AffectedPrincipal is one that uses what is taken away.
type AffectedPrincipal struct {
	Principal   Principal
	Permissions []string // of the requests that would be refused, those that the role would not allow
	LastUsed    time.Time
	Uses        int64 // requests that would be refused
}

// RoleImpact returns what would become of those who have a role if it had other
// permissions, or none.
func (s *Service) RoleImpact(ctx context.Context, c Caller, ws, ref string, permissions []string) (RoleImpact, error) {
	in, err := s.reading(ctx, c, ws, ReadRoles, aim("role", ref))
	if err != nil {
		return RoleImpact{}, err
	}
	role, err := s.Store.Role(ctx, in, ref)
	if err != nil {
		return RoleImpact{}, err
	}
	var then Permissions
	if len(permissions) > 0 {
		if then, err = readGrants(ctx, s.Store, in, "/permissions", permissions); err != nil {
			return RoleImpact{}, err
		}
	}
	workspace, err := s.Store.Workspace(ctx, string(in))
	if err != nil {
		return RoleImpact{}, fmt.Errorf("read the policy: %w", err)
	}
	i := RoleImpact{
		Role: role, Added: beyondOf(then, role.Permissions), Removed: beyondOf(role.Permissions, then),
		WindowDays: workspace.Policy.UsageDays,
	}
	q := AskQuery{Role: role.ID, Since: s.Now().Add(-time.Duration(i.WindowDays) * day)}
	groups, err := s.askedOf(ctx, in, q)
	if err != nil {
		return i, err
	}
	i.Hindsight, i.Gives = replayAsks(groups, role.Permissions, then), len(i.Removed) > 0 && gives(groups, role.Permissions)
	i.Affected, err = s.affected(ctx, c, in, q, role.Permissions, then, groups)
	return i, err
}

// beyondOf lists the grants of a set that another does not cover.
func beyondOf(ps, other Permissions) (rest []string) {
	for _, g := range ps.Grants() {
		if !other.covers(g) {
			rest = append(rest, g.String())
		}
	}
	return rest
}

// affected finds out who made the requests that would be refused. Of members and of
// accounts only those hear who may read them.
func (s *Service) affected(ctx context.Context, c Caller, ws WorkspaceID, q AskQuery, present, then Permissions, groups []AskGroup) (a Affected, err error) {
	for _, g := range groups {
		if len(q.Asks) < maxAsksNamed && readAsk(g.AskTotal).lost(present, then, g.Limit) && !slices.Contains(q.Asks, g.Ask) {
			q.Asks = append(q.Asks, g.Ask)
		}
	}
	for _, p := range []Permission{ReadAccounts, ReadMembers} {
		if !c.sees(p) {
			a.Hidden = append(a.Hidden, p)
		}
	}
	if len(q.Asks) == 0 || len(a.Hidden) == 2 {
		return a, nil
	}
	q.Each, q.Most = true, maxAskGroups
	each, err := s.Store.Asked(ctx, ws, q)
	if err != nil {
		return a, err
	}
	at := map[PrincipalID]int{}
	for _, g := range each {
		needs := map[PrincipalType]Permission{MemberType: ReadMembers, ServiceAccountType: ReadAccounts}[g.Principal.Type]
		ask := readAsk(g.AskTotal)
		if !c.sees(needs) || !ask.lost(present, then, g.Limit) {
			continue
		}
		i, known := at[g.Principal.ID]
		if !known {
			if i = len(a.Principals); i == maxAffected {
				continue
			}
			at[g.Principal.ID] = i
			a.Principals = append(a.Principals, AffectedPrincipal{Principal: g.Principal})
		}
		a.Principals[i].add(g, ask, then)
	}
	return a, nil
}

// add counts requests that would be refused.
func (p *AffectedPrincipal) add(g AskGroup, ask asked, then Permissions) {
	p.LastUsed, p.Uses = laterOf(p.LastUsed, g.Last), p.Uses+g.OK
	lost := func(text string) {
		if !slices.Contains(p.Permissions, text) {
			p.Permissions = append(p.Permissions, text)
		}
	}
	for _, q := range ask.exact {
		if !then.Allow(q) {
			lost(q.String())
		}
	}
	for _, q := range ask.patterns {
		if !then.covers(q) {
			lost(shownAs(q))
		}
	}
	if ask.any {
		lost(AnyAsk)
	}
}
