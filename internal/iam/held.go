package iam

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// maxUsedShown bounds what is listed of the permissions below a pattern.
const maxUsedShown = 200

// HeldPermission is something that a service account may do, and how much it did so.
type HeldPermission struct {
	Permission string    // as the role grants it, or as it was asked for
	From       string    // where the account has it from
	LastUsed   time.Time // zero: not within the time that is kept
	Uses       int64     // of the last 30 days
}

const usesOver = 30 * day

// HeldPermissions lists what a service account may do: each grant of its role, and
// below it, the last first, what of it was asked for.
func (s *Service) HeldPermissions(ctx context.Context, c Caller, ws, ref string) ([]HeldPermission, error) {
	in, err := s.reading(ctx, c, ws, ReadAccounts, aim("service_account", ref))
	if err != nil {
		return nil, err
	}
	account, err := s.Store.ServiceAccount(ctx, in, ref)
	if err != nil {
		return nil, err
	}
	role, err := s.Store.Role(ctx, in, string(account.Role.ID))
	if err != nil {
		return nil, fmt.Errorf("read the account's role: %w", err)
	}
	now := s.Now()
	ever, err := s.askedOf(ctx, in, AskQuery{Principal: account.ID, Since: now.Add(-maxUseDays * day)})
	if err != nil {
		return nil, err
	}
	lately, err := s.askedOf(ctx, in, AskQuery{Principal: account.ID, Since: now.Add(-usesOver)})
	if err != nil {
		return nil, err
	}
	return heldBy(role, ever, lately), nil
}

// heldBy lists what a role holds, with how much of it was used.
func heldBy(role Role, ever, lately []AskGroup) (all []HeldPermission) {
	used := byPermission(ever, lately)
	room := maxUsedShown
	for _, g := range role.Permissions.Grants() {
		h := HeldPermission{Permission: g.String(), From: "role " + role.Name}
		var below []HeldPermission
		for _, u := range used {
			if _, both := g.intersect(u.pattern); !both {
				continue
			}
			h.LastUsed, h.Uses = laterOf(h.LastUsed, u.LastUsed), h.Uses+u.Uses
			if u.Permission != h.Permission {
				u.From = h.From + ", " + h.Permission
				below = append(below, u.HeldPermission)
			}
		}
		below = below[:min(len(below), room)]
		room -= len(below)
		all = append(append(all, h), below...)
	}
	return all
}

// usedPermission is one of those that were asked for together or alone.
type usedPermission struct {
	HeldPermission
	pattern Grant
}

// byPermission sums asks by each permission of them, the last used first.
func byPermission(ever, lately []AskGroup) []usedPermission {
	found := map[Grant]usedPermission{}
	count := func(groups []AskGroup, add func(u *usedPermission, g AskGroup)) {
		for _, g := range groups {
			for _, p := range readAsk(g.AskTotal).grants() {
				u := found[p]
				u.pattern, u.Permission = p, shownAs(p)
				add(&u, g)
				found[p] = u
			}
		}
	}
	count(ever, func(u *usedPermission, g AskGroup) { u.LastUsed = laterOf(u.LastUsed, g.Last) })
	count(lately, func(u *usedPermission, g AskGroup) { u.Uses += g.OK })
	var all []usedPermission
	for _, u := range found {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b usedPermission) int {
		return cmp.Or(b.LastUsed.Compare(a.LastUsed), cmp.Compare(a.Permission, b.Permission))
	})
	return all
}

// shownAs writes a pattern of what was used.
func shownAs(g Grant) string {
	if g.Prefix {
		return g.Type + "/" + AnyAsk + ":" + g.Action
	}
	return g.String()
}
