package iam

import (
	"slices"
	"strings"
	"time"
)

// AskQuery is about what keys were asked about, and accepted for.
type AskQuery struct {
	Principal PrincipalID // whose keys; or
	Role      RoleID      // of all who have it and have not ended
	Since     time.Time   // the beginning of a day
	Asks      []string    // nil: whatever was asked
	Each      bool        // principals apart, the last use first
	Most      int         // groups
}

// AskGroup is how often keys with the same limit were accepted for the same.
type AskGroup struct {
	Principal Principal // with Each; its role is not read
	Limit     *Permissions
	AskTotal
}

// asked is an ask as it is replayed.
type asked struct {
	exact    []Permission
	patterns []Grant // of what is known without its ids
	any      bool    // and whatever else
}

// readAsk reads an ask as it was counted.
func readAsk(a AskTotal) (q asked) {
	for text := range strings.FieldsSeq(a.Ask) {
		typ, id, _, action, ok := split(text)
		switch p, err := ParsePermission(text); {
		case err == nil:
			q.exact = append(q.exact, p)
		case ok && a.Others && id == AnyAsk && isType(typ) && isName(action):
			q.patterns = append(q.patterns, Grant{Type: typ, Prefix: true, Action: action})
		default:
			q.any = true
		}
	}
	return q
}

// vague reports whether it is not known what exactly was asked.
func (q asked) vague() bool { return q.any || len(q.patterns) > 0 }

// grants returns patterns that hold all that may have been asked for, as far as it
// is known.
func (q asked) grants() []Grant {
	all := slices.Clone(q.patterns)
	for _, p := range q.exact {
		all = append(all, Grant{Type: p.Type, ID: p.ID, Action: p.Action})
	}
	return all
}

// allowed decides as a verification does: the role allows all of it, and so does
// the key's limit.
func (q asked) allowed(role Permissions, limit *Permissions) bool {
	for _, p := range q.exact {
		if !role.Allow(p) || limit != nil && !limit.Allow(p) {
			return false
		}
	}
	return true
}

// lost reports whether a role in the place of the present one would refuse what
// that one allows. Where it is not known what was asked, it is whether it might.
func (q asked) lost(present, then Permissions, limit *Permissions) bool {
	if q.any && !then.Covers(present) {
		return true
	}
	for _, g := range q.patterns {
		if !then.Covers(present.Intersect(NewPermissions(g))) {
			return true
		}
	}
	return q.allowed(present, limit) && !q.allowed(then, limit)
}

// Hindsight is how requests of the past would have ended with another role.
type Hindsight struct {
	Of          int64 // that were accepted, and still would be
	WouldRefuse int64 // of those
	AtMost      bool  // of some it is not known what exactly was asked: those that might be refused count
}

// replayAsks replays what was accepted against a role in the place of the present one.
func replayAsks(groups []AskGroup, present, then Permissions) (r Hindsight) {
	for _, g := range groups {
		q := readAsk(g.AskTotal)
		if g.OK == 0 || !q.vague() && !q.allowed(present, g.Limit) {
			continue
		}
		r.Of += g.OK
		r.AtMost = r.AtMost || q.vague()
		if q.lost(present, then, g.Limit) {
			r.WouldRefuse += g.OK
		}
	}
	return r
}

// gives reports whether some of the requests may have given permissions to others,
// which takes holding them. What was given is not counted.
func gives(groups []AskGroup, role Permissions) bool {
	giving := []Permission{WriteAccounts, WriteKeys, WriteMembers, WriteRoles, WriteWorkspaces, ownersWrite}
	return slices.ContainsFunc(groups, func(g AskGroup) bool {
		q := readAsk(g.AskTotal)
		asks := func(p Permission) bool { return q.any && role.Allow(p) || slices.Contains(q.exact, p) }
		return g.OK > 0 && slices.ContainsFunc(giving, asks)
	})
}
