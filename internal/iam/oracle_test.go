package iam_test

import (
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// The oracle says what a key can do, one concrete permission after another and
// with nothing of the code under test but the rows that it left behind.

// concrete are the permissions that the oracle looks at: at most 64, one bit
// each. A grant that gives anything gives one of them.
var concrete = everyConcrete()

func everyConcrete() []iam.Permission {
	var all []iam.Permission
	for _, typ := range []string{"agents", "tools"} {
		for _, id := range []string{"", "a", "ab", "b"} {
			for _, action := range []string{"read", "write", "execute", "delete"} {
				all = append(all, iam.Permission{Type: typ, ID: id, Action: action})
			}
		}
	}
	for _, text := range strings.Fields(`service_accounts:read service_accounts:write keys:read keys:write keys:verify
		members:read members:write roles:read roles:write audit:read audit:export settings:read settings:write
		webhooks:read webhooks:write nodes:read nodes:write workspaces:read workspaces:write owners:write`) {
		name, action, _ := strings.Cut(text, ":")
		all = append(all, iam.Permission{Type: "iam." + name, Action: action})
	}
	return all
}

// power is a set of concrete permissions.
type power uint64

func (p power) within(q power) bool { return p&^q == 0 }

// missing returns the first permission of p that is not in q.
func (p power) missing(q power) string {
	for i, c := range concrete {
		if (p&^q)>>i&1 == 1 {
			return c.String()
		}
	}
	return ""
}

// owners is the power over owners.
var owners = powerOf([]string{"iam.owners:write"})

// powerOf returns what grants give, by the words of the grammar as one regular
// expression each.
func powerOf(grants []string) power {
	var p power
	for _, g := range grants {
		form := regexpOf(g)
		for i, c := range concrete {
			if form.MatchString(c.String()) {
				p |= 1 << i
			}
		}
	}
	return p
}

func regexpOf(grant string) *regexp.Regexp {
	subject, action, _ := strings.Cut(grant, ":")
	typ, id, hasID := strings.Cut(subject, "/")
	form := regexp.QuoteMeta(typ)
	switch typ {
	case "*":
		form = `[a-z_0-9]+` // no dot: never Postern's own
	case "iam.*":
		form = `iam\.(service_accounts|keys|members|roles|audit|settings|webhooks|nodes|workspaces)`
	}
	switch {
	case hasID:
		form += "/" + strings.ReplaceAll(regexp.QuoteMeta(id), `\*`, `[^:]*`)
	default:
		form += `(/[^:]+)?`
	}
	return regexp.MustCompile(`^` + form + `:` + strings.ReplaceAll(regexp.QuoteMeta(action), `\*`, `[a-z_0-9]+`) + `$`)
}

// held is what the oracle knows of a key.
type held struct {
	row     iam.Key
	could   power // what it can do when it works
	does    power // nothing when it does not work
	stands  bool  // but for the time, it works
	works   bool
	until   time.Time
	from    [3]bool // which of these addresses it may be used from
	isOwner bool    // its principal holds the role Owner
}

var addresses = [3]netip.Addr{address, netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::9")}

// forever is later than any end.
var forever = began.AddDate(1000, 0, 0)

// holdOf returns what the oracle makes of a row at a time.
func holdOf(key iam.Key, workspacePaused bool, now time.Time) held {
	h := held{row: key, could: powerOf(key.Principal.Role.Permissions.Strings()), until: key.ExpiresAt}
	if key.Limit != nil {
		h.could &= powerOf(key.Limit.Strings())
	}
	if h.until.IsZero() {
		h.until = forever
	}
	for i, a := range addresses {
		h.from[i] = key.AllowedNetworks == nil
		for _, n := range key.AllowedNetworks {
			h.from[i] = h.from[i] || n.Contains(a)
		}
	}
	h.stands = key.Revoked == nil && key.Pauses == "" && key.Principal.State == iam.Active && !workspacePaused
	h.works = h.stands && now.Before(h.until)
	if h.works {
		h.does = h.could
	}
	h.isOwner = key.Principal.Role.Name == iam.Owner
	return h
}

// gave returns what counts of a key for an invitation that was made with it: one
// that has merely expired does not take back what it gave.
func (h held) gave() held {
	if h.works = h.stands; h.works {
		h.does = h.could
	}
	return h
}

// longer reports whether a key may be used later than before, or from elsewhere.
func (h held) longer(before held) bool {
	for i := range addresses {
		if h.from[i] && !before.from[i] {
			return true
		}
	}
	return h.until.After(before.until)
}
