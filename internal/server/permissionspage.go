package server

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

// PermissionsPage returns docs/reference/permissions.md: the grammar, the built-in
// roles, and what the rows of the route table need.
func (s *Server) PermissionsPage() string {
	var b strings.Builder
	b.WriteString(permissionGrammar + "\n## Built-in roles\n\n| role | permissions | |\n|---|---|---|\n")
	for _, r := range iam.BuiltInRoles() {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", r.Name, strings.Join(r.Permissions.Strings(), "`, `"), r.Description)
	}
	b.WriteString("\n## Postern's own permissions\n\nNone of these is needed for what a key may do with itself, and a member with their own keys.\n\n" +
		"| permission | needed for | |\n|---|---|---|\n")
	for _, op := range slices.SortedFunc(maps.Values(s.rows), byNeed) {
		for _, permission := range op.asks {
			fmt.Fprintf(&b, "| `%s` | %s | `%s` |\n", permission, op.summary, op.pattern())
		}
	}
	return b.String()
}

// byNeed compares rows by what they need, then by their paths and methods.
func byNeed(a, b *operation) int {
	return cmp.Or(slices.Compare(a.asks, b.asks), cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method))
}

const permissionGrammar = `# Permissions

<!-- Written by internal/server from the roles and the table of routes: make generate. -->

A permission that is asked for is ` + "`type:action` or `type/id:action`" + `, without a wildcard: ` + "`agents:execute`, `agents/support-bot:execute`" + `.
Types and actions are lower-case letters, digits and ` + "`_`" + `, beginning with a letter; ids may have upper-case letters, ` + "`.`, `@` and `-`" + ` too.

A role or the limit of a key holds patterns:

| pattern | covers |
|---|---|
| ` + "`agents:execute`" + ` | the whole type, and each of its things |
| ` + "`agents/support-bot:execute`" + ` | that one thing |
| ` + "`agents/support-*:execute`" + ` | things whose id begins so; ` + "`agents/*`" + ` covers each thing, and not the type as a whole |
| ` + "`agents:*`" + ` | every action |
| ` + "`*:read`" + ` | every type of the product, and none of Postern's own |
| ` + "`iam.*:*`" + ` | all of Postern's own administration but ` + "`iam.owners`" + ` |

` + "`*` never matches a type that begins with `iam.`" + `: full use of a product gives no power over who may use it. ` + "`iam.owners:write`" + ` is
matched by no wildcard and held by the role Owner alone: only an owner makes, changes or removes owners.

What a key may do is what its owner's role and its own limit both cover. A set covers a pattern when *one* of its patterns
does, component by component.

**Nobody can give what they do not have.** Creating, widening, extending, resuming, rotating, assigning a role and inviting
need the permission below and every permission that the result would hold.
`
