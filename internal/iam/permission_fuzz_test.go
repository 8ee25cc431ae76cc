package iam_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
)

// The rules of the permission algebra, over sets and permissions drawn from few
// names, so that they meet.

var (
	drawnTypes   = []string{"agents", "agent", "tools", "iam.keys", "iam.audit", "iam.owners"}
	drawnActions = []string{"read", "write", "verify", "export"}
	drawnIDs     = []string{"a", "ab", "abc", "b", "-"}
)

// everyGrant holds each grant of the drawn names that can be written.
func everyGrant() []iam.Grant {
	subjects := append([]string{"*", "iam.*"}, drawnTypes...)
	for _, typ := range drawnTypes {
		for _, id := range append([]string{"*", "a*", "ab*"}, drawnIDs...) {
			subjects = append(subjects, typ+"/"+id)
		}
	}
	var all []iam.Grant
	for _, subject := range subjects {
		for _, action := range append([]string{"*"}, drawnActions...) {
			if g, err := iam.ParseGrant(subject + ":" + action); err == nil {
				all = append(all, g)
			}
		}
	}
	return all
}

func drawGrants(t *rapid.T) []iam.Grant {
	return rapid.SliceOfN(rapid.SampledFrom(everyGrant()), 0, 5).Draw(t, "grants")
}

func drawSet(t *rapid.T) iam.Permissions { return iam.NewPermissions(drawGrants(t)...) }

// everyPermission holds each permission of the drawn names, and of types, ids and
// actions that may be registered tomorrow, Postern's own included.
func everyPermission() []iam.Permission {
	var all []iam.Permission
	for _, typ := range append([]string{"tomorrow", "iam.tomorrow", "iam.members"}, drawnTypes...) {
		for _, action := range append([]string{"tomorrow"}, drawnActions...) {
			all = append(all, iam.Permission{Type: typ, Action: action})
			if strings.HasPrefix(typ, "iam.") {
				continue
			}
			for _, id := range append([]string{"tomorrow", "a-tomorrow", "ab-tomorrow"}, drawnIDs...) {
				all = append(all, iam.Permission{Type: typ, ID: id, Action: action})
			}
		}
	}
	return all
}

// slowlyAllows says by the words of the grammar whether a grant matches.
func slowlyAllows(grant, permission string) bool {
	m := regexp.MustCompile(`^([^/:]*)(/[^:]*)?:(.*)$`)
	g, p := m.FindStringSubmatch(grant), m.FindStringSubmatch(permission)
	if g[3] != "*" && g[3] != p[3] {
		return false
	}
	switch g[1] {
	case "*":
		return !strings.HasPrefix(p[1], "iam.")
	case "iam.*":
		return strings.HasPrefix(p[1], "iam.") && p[1] != "iam.owners"
	case p[1]:
		prefix, isPrefix := strings.CutSuffix(g[2], "*")
		return g[2] == "" || g[2] == p[2] || isPrefix && strings.HasPrefix(p[2], prefix)
	}
	return false
}

func TestAllowIsWhatTheGrammarSays(t *testing.T) {
	all := everyPermission()
	rapid.Check(t, func(t *rapid.T) {
		drawn := drawGrants(t)
		ps := iam.NewPermissions(drawn...)
		for _, q := range all {
			want := slices.ContainsFunc(drawn, func(g iam.Grant) bool { return slowlyAllows(g.String(), q.String()) })
			if got := ps.Allow(q); got != want {
				t.Fatalf("%v allows %s: got %t, want %t", drawn, q, got, want)
			}
		}
	})
}

func TestIntersectAllowsWhatBothAllow(t *testing.T) {
	all := everyPermission()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t), drawSet(t)
		both := a.Intersect(b)
		for _, q := range all {
			if got, want := both.Allow(q), a.Allow(q) && b.Allow(q); got != want {
				t.Fatalf("%v and %v, %v, allow %s: got %t, want %t", a.Strings(), b.Strings(), both.Strings(), q, got, want)
			}
		}
		if !a.Covers(both) || !b.Covers(both) {
			t.Fatalf("%v is not covered by both %v and %v", both.Strings(), a.Strings(), b.Strings())
		}
	})
}

func TestIntersectKeepsAllThatBothCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawSet(t), drawSet(t), drawSet(t)
		if got, want := a.Intersect(b).Covers(c), a.Covers(c) && b.Covers(c); got != want {
			t.Fatalf("%v and %v cover %v: got %t, want %t", a.Strings(), b.Strings(), c.Strings(), got, want)
		}
		for law, sides := range map[string][2]iam.Permissions{
			"commutes":                 {a.Intersect(b), b.Intersect(a)},
			"associates":               {a.Intersect(b).Intersect(c), a.Intersect(b.Intersect(c))},
			"of itself is itself":      {a.Intersect(a), a},
			"distributes over a union": {a.Intersect(b.Union(c)), a.Intersect(b).Union(a.Intersect(c))},
		} {
			if !sides[0].Equal(sides[1]) {
				t.Fatalf("%s: got %v and %v", law, sides[0].Strings(), sides[1].Strings())
			}
		}
	})
}

func TestUnionAllowsWhatEitherAllows(t *testing.T) {
	all := everyPermission()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t), drawSet(t)
		either := a.Union(b)
		for _, q := range all {
			if got, want := either.Allow(q), a.Allow(q) || b.Allow(q); got != want {
				t.Fatalf("%v or %v, %v, allows %s: got %t, want %t", a.Strings(), b.Strings(), either.Strings(), q, got, want)
			}
		}
		if !either.Covers(a) || !either.Covers(b) || !either.Equal(b.Union(a)) {
			t.Fatalf("%v is not the union of %v and %v", either.Strings(), a.Strings(), b.Strings())
		}
	})
}

func TestCoversIsSound(t *testing.T) {
	all := everyPermission()
	rapid.Check(t, func(t *rapid.T) {
		a := drawSet(t)
		for name, b := range map[string]iam.Permissions{"drawn": drawSet(t), "part": a.Intersect(drawSet(t))} {
			if !a.Covers(b) {
				continue
			}
			for _, q := range all {
				if b.Allow(q) && !a.Allow(q) {
					t.Fatalf("%s: %v covers %v and refuses %s", name, a.Strings(), b.Strings(), q)
				}
			}
		}
	})
}

func TestCoversIsExactForOneGrant(t *testing.T) {
	permissions, all := everyPermission(), everyGrant()
	for _, g := range all {
		for _, h := range all {
			want := !slices.ContainsFunc(permissions, func(q iam.Permission) bool { return h.Allows(q) && !g.Allows(q) })
			if got := g.Covers(h); got != want {
				t.Errorf("%s covers %s: got %t, want %t", g, h, got, want)
			}
		}
	}
}

func TestCoversIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawSet(t), drawSet(t), drawSet(t)
		if !a.Covers(a) {
			t.Fatalf("%v does not cover itself", a.Strings())
		}
		if a.Covers(b) && b.Covers(c) && !a.Covers(c) {
			t.Fatalf("%v covers %v covers %v, but the first not the last", a.Strings(), b.Strings(), c.Strings())
		}
		if got, want := a.Covers(b) && b.Covers(a), a.Equal(b); got != want {
			t.Fatalf("%v and %v cover each other: got %t, want %t", a.Strings(), b.Strings(), got, want)
		}
	})
}

func TestMissingIsOfTheSetAndNotCovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holds, wants := drawSet(t), drawSet(t)
		g, missing := holds.Missing(wants)
		if missing == holds.Covers(wants) {
			t.Fatalf("got missing %t and covers %t", missing, !missing)
		}
		if missing && (!slices.Contains(wants.Grants(), g) || holds.Covers(iam.NewPermissions(g))) {
			t.Fatalf("%s is missing of %v in %v", g, wants.Strings(), holds.Strings())
		}
	})
}

func TestASetHasOneForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawn := drawGrants(t)
		ps := iam.NewPermissions(drawn...)
		if other := iam.NewPermissions(rapid.Permutation(drawn).Draw(t, "in another order")...); !ps.Equal(other) {
			t.Fatalf("order matters: got %v and %v", ps.Strings(), other.Strings())
		}
		if again := iam.NewPermissions(ps.Grants()...); !ps.Equal(again) {
			t.Fatalf("made again: got %v, want %v", again.Strings(), ps.Strings())
		}
		if twice := iam.NewPermissions(slices.Concat(drawn, drawn)...); !ps.Equal(twice) {
			t.Fatalf("made of each twice: got %v, want %v", twice.Strings(), ps.Strings())
		}
		if !slices.IsSorted(ps.Strings()) || ps.Len() != len(ps.Grants()) {
			t.Fatalf("not in order: %v", ps.Strings())
		}
		for _, g := range ps.Grants() {
			for _, h := range ps.Grants() {
				if g != h && g.Covers(h) {
					t.Fatalf("%s is in the set beside %s", h, g)
				}
			}
		}
	})
}

func TestASetReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := drawSet(t)
		body, err := json.Marshal(ps)
		if err != nil {
			t.Fatal(err)
		}
		var fromJSON iam.Permissions
		if err := json.Unmarshal(body, &fromJSON); err != nil || !fromJSON.Equal(ps) {
			t.Fatalf("%s: got %v, %v", body, fromJSON.Strings(), err)
		}
		fromTexts, err := iam.ParsePermissions("", ps.Strings())
		if err != nil || !fromTexts.Equal(ps) {
			t.Fatalf("%v: got %v, %v", ps.Strings(), fromTexts.Strings(), err)
		}
	})
}

func TestNoWildcardReachesOwners(t *testing.T) {
	owners := iam.Permission{Type: "iam.owners", Action: "write"}
	rapid.Check(t, func(t *rapid.T) {
		drawn := slices.DeleteFunc(drawGrants(t), func(g iam.Grant) bool { return g.Type == owners.Type })
		if ps := iam.NewPermissions(drawn...); ps.Allow(owners) {
			t.Fatalf("%v allows %s", ps.Strings(), owners)
		}
	})
}

// The grammar as regular expressions, to which the parsers are held.
const (
	nameGrammar = `[a-z][a-z0-9_]*`
	idGrammar   = `[A-Za-z0-9_.@-]+`
	iamTypes    = `service_accounts|members|roles|settings|webhooks|nodes|workspaces`
)

var (
	permissionGrammar = regexp.MustCompile(`\A(?:` +
		`(` + nameGrammar + `)(?:/(` + idGrammar + `))?:(` + nameGrammar + `)` +
		`|(iam\.(?:` + iamTypes + `)):(read|write)` +
		`|(iam\.keys):(read|write|verify)` +
		`|(iam\.audit):(read|export)` +
		`|(iam\.owners):(write)` +
		`)\z`)
	grantGrammar = regexp.MustCompile(`\A(?:` +
		`(` + nameGrammar + `)(?:/((?:` + idGrammar + `)?\*|` + idGrammar + `))?:(` + nameGrammar + `|\*)` +
		`|(\*):(` + nameGrammar + `|\*)` +
		`|(iam\.\*):(read|write|verify|export|\*)` +
		`|(iam\.(?:` + iamTypes + `)):(read|write|\*)` +
		`|(iam\.keys):(read|write|verify|\*)` +
		`|(iam\.audit):(read|export|\*)` +
		`|(iam\.owners):(write)` +
		`)\z`)
)

// slowParse returns the parts of a text that has a form.
func slowParse(form *regexp.Regexp, text string) (typ, id, action string, ok bool) {
	m := form.FindStringSubmatch(text)
	if m == nil || len(text) > 256 || m[1] == "iam" {
		return "", "", "", false
	}
	if m[1] != "" {
		return m[1], m[2], m[3], true
	}
	rest := slices.DeleteFunc(m[4:], func(part string) bool { return part == "" })
	return rest[0], "", rest[1], true
}

func addGrammarSeeds(f *testing.F) {
	for _, text := range slices.Concat(notEven, []string{
		"agents:read", "agents/x:read", "agents/x*:*", "agents/*:read", "*:*", "*:read", "iam.*:*", "iam.*:export", "iam.keys:verify", "iam.keys:*",
		"iam.owners:write", "iam.owners:*", "iam.x:*", "iam:read", "iam:*", "iam.audit:export", "iam.audit:write",
	}) {
		f.Add(text)
	}
}

func FuzzParsePermission(f *testing.F) {
	addGrammarSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := iam.ParsePermission(text)
		typ, id, action, ok := slowParse(permissionGrammar, text)
		if want := (iam.Permission{Type: typ, ID: id, Action: action}); (err == nil) != ok || got != want {
			t.Errorf("%q: got %+v, %v, want %+v, %t", text, got, err, want, ok)
		}
		if err != nil {
			return
		}
		if got.String() != text {
			t.Errorf("got %q, want %q", got, text)
		}
		if g, err := iam.ParseGrant(text); err != nil || !g.Allows(got) {
			t.Errorf("%q: as a grant it does not allow itself: %+v, %v", text, g, err)
		}
	})
}

func FuzzParseGrant(f *testing.F) {
	addGrammarSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := iam.ParseGrant(text)
		typ, id, action, ok := slowParse(grantGrammar, text)
		want := iam.Grant{Type: typ, Action: action}
		want.ID, want.Prefix = strings.CutSuffix(id, "*")
		if (err == nil) != ok || got != want {
			t.Errorf("%q: got %+v, %v, want %+v, %t", text, got, err, want, ok)
		}
		if err == nil && got.String() != text {
			t.Errorf("got %q, want %q", got, text)
		}
		if err == nil && !got.Covers(got) {
			t.Errorf("%q does not cover itself", text)
		}
	})
}
