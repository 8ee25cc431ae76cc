package iam

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Permission is one thing that may be asked for: an action on a type, or on one
// object of it. It has no wildcard. Written "agents:execute" or
// "agents/support-bot:execute".
type Permission struct {
	Type   string
	ID     string // empty: the type as a whole
	Action string
}

// String returns the permission as it is written.
func (p Permission) String() string {
	if p.ID == "" {
		return p.Type + ":" + p.Action
	}
	return p.Type + "/" + p.ID + ":" + p.Action
}

// Grant is a pattern of permissions, as roles and limits hold it: a type, ids of
// it and an action. Written "*:read", "agents:execute", "agents/bot-1:execute",
// "agents/team-*:*" or "iam.*:read".
//
// "*" as a type means every type but those of package iam's own administration;
// [AnyIAM] means every one of those but iam.owners, which no wildcard matches.
type Grant struct {
	Type   string // a name, "*" or "iam.*"
	ID     string // with Prefix: how the id begins; else the id, or empty for the whole type
	Prefix bool
	Action string // a name or "*"
}

// AnyIAM is the type of a grant on all of Postern's own administration.
const AnyIAM = "iam.*"

const (
	iamPrefix  = "iam."
	wildcard   = "*"
	maxTextLen = 256 // of one permission as it is written
)

// iamActions lists Postern's own types and what can be done with each.
var iamActions = map[string][]string{
	"iam.service_accounts": {"read", "write"},
	"iam.keys":             {"read", "write", "verify"},
	"iam.members":          {"read", "write"},
	"iam.roles":            {"read", "write"},
	"iam.audit":            {"read", "export"},
	"iam.settings":         {"read", "write"},
	"iam.webhooks":         {"read", "write"},
	"iam.nodes":            {"read", "write"},
	"iam.workspaces":       {"read", "write"},
	"iam.owners":           {"write"},
}

// ParsePermission reads a permission as a caller asks for it. It does not
// allocate: the parts share the memory of text.
func ParsePermission(text string) (Permission, error) {
	typ, id, hasID, action, ok := split(text)
	switch {
	case !ok || !isType(typ) || !isName(action):
		return Permission{}, errNotPermission
	case hasID && (isIAM(typ) || !isID(id)):
		return Permission{}, errNotPermission
	case isIAM(typ) && !slices.Contains(iamActions[typ], action):
		return Permission{}, errNotPermission
	}
	return Permission{Type: typ, ID: id, Action: action}, nil
}

// ParseGrant reads a pattern as roles and limits hold it.
func ParseGrant(text string) (Grant, error) {
	typ, id, hasID, action, ok := split(text)
	if !ok || action != wildcard && !isName(action) {
		return Grant{}, errNotGrant
	}
	g := Grant{Type: typ, Action: action}
	switch {
	case typ == wildcard || typ == AnyIAM || isIAM(typ):
		if hasID || !knownIAMAction(typ, action) {
			return Grant{}, errNotGrant
		}
	case !isType(typ):
		return Grant{}, errNotGrant
	case hasID:
		g.ID, g.Prefix = strings.CutSuffix(id, wildcard)
		if g.ID == "" && !g.Prefix || g.ID != "" && !isID(g.ID) {
			return Grant{}, errNotGrant
		}
	}
	return g, nil
}

// What was written is not repeated: it may be a key that was put into the wrong
// field.
var (
	errNotPermission = errors.New("is not a permission: write type:action or type/id:action")
	errNotGrant      = errors.New("is not a permission: write type:action, type/id:action or type/prefix*:action, where * stands for every type or action")
)

// split cuts "type/id:action" into its parts. It says nothing about what they hold.
func split(text string) (typ, id string, hasID bool, action string, ok bool) {
	if len(text) > maxTextLen {
		return "", "", false, "", false
	}
	subject, action, ok := strings.Cut(text, ":")
	typ, id, hasID = strings.Cut(subject, "/")
	return typ, id, hasID, action, ok
}

func isIAM(typ string) bool { return strings.HasPrefix(typ, iamPrefix) }

func isType(typ string) bool {
	if isIAM(typ) {
		_, ok := iamActions[typ]
		return ok
	}
	return typ != "iam" && isName(typ)
}

// knownIAMAction reports whether a grant on the administration may have the
// action. Other types have whatever the workspace registers.
func knownIAMAction(typ, action string) bool {
	switch typ {
	case wildcard:
		return true
	case ownersWrite.Type:
		return action == ownersWrite.Action // by no wildcard
	case AnyIAM:
		all := slices.Concat(slices.Collect(maps.Values(iamActions))...)
		return action == wildcard || slices.Contains(all, action)
	}
	actions, known := iamActions[typ]
	return known && (action == wildcard || slices.Contains(actions, action))
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != ""
}

func isID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || strings.IndexByte("_.@-", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// String returns the grant as it is written.
func (g Grant) String() string {
	switch {
	case g.Prefix:
		return g.Type + "/" + g.ID + "*:" + g.Action
	case g.ID != "":
		return g.Type + "/" + g.ID + ":" + g.Action
	}
	return g.Type + ":" + g.Action
}

// wholeType reports whether the grant is on all of its type, the type itself
// included.
func (g *Grant) wholeType() bool { return g.ID == "" && !g.Prefix }

// Allows reports whether the grant matches p. It does not allocate.
func (g Grant) Allows(p Permission) bool {
	h := p.grant()
	return g.covers(&h)
}

// Covers reports whether everything that h matches, g matches too, whatever
// types and actions may be registered later.
func (g Grant) Covers(h Grant) bool { return g.covers(&h) }

// covers is [Grant.Covers] without copies, for verifications.
func (g *Grant) covers(h *Grant) bool {
	return (g.Action == h.Action || g.Action == wildcard) && coversType(g.Type, h.Type) && g.coversIDs(h)
}

// grant returns what matches a permission alone.
func (p *Permission) grant() Grant { return Grant{Type: p.Type, ID: p.ID, Action: p.Action} }

func coversType(g, h string) bool {
	switch g {
	case h:
		return true
	case wildcard:
		return !isIAM(h) // "iam.*" included
	case AnyIAM:
		return isIAM(h) && h != ownersWrite.Type
	}
	return false
}

func (g *Grant) coversIDs(h *Grant) bool {
	switch {
	case g.wholeType():
		return true
	case g.Prefix:
		return !h.wholeType() && strings.HasPrefix(h.ID, g.ID)
	}
	return g.ID == h.ID && !h.Prefix
}

// intersect returns what both grants match, which is again one pattern, or false
// when that is nothing.
func (g Grant) intersect(h Grant) (both Grant, ok bool) {
	switch {
	case coversType(g.Type, h.Type):
		both.Type = h.Type
	case coversType(h.Type, g.Type):
		both.Type = g.Type
	default:
		return Grant{}, false
	}
	switch {
	case g.coversIDs(&h):
		both.ID, both.Prefix = h.ID, h.Prefix
	case h.coversIDs(&g):
		both.ID, both.Prefix = g.ID, g.Prefix
	default:
		return Grant{}, false
	}
	switch {
	case g.Action == h.Action || g.Action == wildcard:
		both.Action = h.Action
	case h.Action == wildcard:
		both.Action = g.Action
	default:
		return Grant{}, false
	}
	return both, true
}

func (g Grant) compare(h Grant) int { return cmp.Compare(g.String(), h.String()) }

// Permissions is a set of grants, sorted as they are written and without those
// that another one covers. The zero value allows nothing. It is a value: no
// method changes it, and it may be shared.
type Permissions struct {
	grants []Grant
}

// NewPermissions returns the set of the given grants.
func NewPermissions(grants ...Grant) Permissions {
	kept := make([]Grant, 0, len(grants))
	for i, g := range grants {
		redundant := slices.ContainsFunc(grants[:i], func(h Grant) bool { return h.Covers(g) }) ||
			slices.ContainsFunc(grants[i+1:], func(h Grant) bool { return h != g && h.Covers(g) })
		if !redundant {
			kept = append(kept, g)
		}
	}
	slices.SortFunc(kept, Grant.compare)
	return Permissions{kept}
}

// ParsePermissions reads a set of grants. The error is a [ValidationFailed]
// whose pointers are below the given one, such as /limit/3.
func ParsePermissions(pointer string, texts []string) (Permissions, error) {
	grants := make([]Grant, len(texts))
	var bad []Field
	for i, text := range texts {
		g, err := ParseGrant(text)
		if err != nil {
			bad = append(bad, Field{Pointer: fmt.Sprintf("%s/%d", pointer, i), Code: "not_a_permission", Detail: err.Error()})
		}
		grants[i] = g
	}
	if bad != nil {
		return Permissions{}, &Error{Kind: ValidationFailed, Reason: bad[0].Detail, Fields: bad}
	}
	return NewPermissions(grants...), nil
}

// Grants returns the set's grants in order. The caller must not change them.
func (ps Permissions) Grants() []Grant { return ps.grants }

// Len returns the number of grants.
func (ps Permissions) Len() int { return len(ps.grants) }

// Strings returns the grants as they are written, in order; never nil.
func (ps Permissions) Strings() []string {
	texts := make([]string, len(ps.grants))
	for i, g := range ps.grants {
		texts[i] = g.String()
	}
	return texts
}

// Allow reports whether a grant of the set matches p. It does not allocate.
func (ps Permissions) Allow(p Permission) bool {
	h := p.grant()
	for i := range ps.grants {
		if ps.grants[i].covers(&h) {
			return true
		}
	}
	return false
}

// covers reports whether one grant of the set covers g. Two grants that cover it
// only together do not count: that is sound, and it needs no catalogue.
func (ps Permissions) covers(g Grant) bool {
	for i := range ps.grants {
		if ps.grants[i].Covers(g) {
			return true
		}
	}
	return false
}

// Missing returns the first grant of want that no grant of the set covers, and
// whether there is one.
func (ps Permissions) Missing(want Permissions) (g Grant, missing bool) {
	for _, g := range want.grants {
		if !ps.covers(g) {
			return g, true
		}
	}
	return Grant{}, false
}

// Covers reports whether each grant of want is covered by one of the set.
func (ps Permissions) Covers(want Permissions) bool {
	_, missing := ps.Missing(want)
	return !missing
}

// Intersect returns the set that allows exactly what both allow.
func (ps Permissions) Intersect(qs Permissions) Permissions {
	var both []Grant
	for _, g := range ps.grants {
		for _, h := range qs.grants {
			if gh, ok := g.intersect(h); ok {
				both = append(both, gh)
			}
		}
	}
	return NewPermissions(both...)
}

// Union returns the set that allows what either allows.
func (ps Permissions) Union(qs Permissions) Permissions {
	return NewPermissions(slices.Concat(ps.grants, qs.grants)...)
}

// Equal reports whether both sets hold the same grants.
func (ps Permissions) Equal(qs Permissions) bool { return slices.Equal(ps.grants, qs.grants) }

// MarshalJSON writes the grants as an array of texts.
func (ps Permissions) MarshalJSON() ([]byte, error) { return json.Marshal(ps.Strings()) }

// UnmarshalJSON reads an array of texts. A grant that does not parse is an error.
func (ps *Permissions) UnmarshalJSON(data []byte) error {
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return err
	}
	grants := make([]Grant, len(texts))
	for i, text := range texts {
		g, err := ParseGrant(text)
		if err != nil {
			return fmt.Errorf("element %d %w", i, err)
		}
		grants[i] = g
	}
	*ps = NewPermissions(grants...)
	return nil
}
