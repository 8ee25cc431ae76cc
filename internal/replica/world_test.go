package replica

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// world makes up changes to a handful of workspaces, so that the same records
// are replaced again and again, and questions about their keys.
type world struct {
	*rand.Rand
	keys int // how many there may be
	made model
}

func newWorld(seed uint64, keys int) *world {
	return &world{Rand: rand.New(rand.NewPCG(seed, 0)), keys: keys, made: *newModel()}
}

func one[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

func (w *world) permissions() iam.Permissions {
	var grants []iam.Grant
	for range w.IntN(4) {
		g, err := iam.ParseGrant(one(w, "*", "agents", "agents/a", "agents/a*", "tools") + ":" + one(w, "*", "read", "execute"))
		if err != nil {
			panic(err)
		}
		grants = append(grants, g)
	}
	return iam.NewPermissions(grants...)
}

func (w *world) networks() []netip.Prefix {
	var nets []netip.Prefix
	for _, n := range []string{"10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"} {
		if w.IntN(3) == 0 {
			nets = append(nets, netip.MustParsePrefix(n))
		}
	}
	return nets
}

func (w *world) workspace() iam.WorkspaceRecord {
	n := w.IntN(3)
	return iam.WorkspaceRecord{
		ID: iam.WorkspaceID(testID(iam.WorkspacePrefix, n)), Slug: fmt.Sprintf("ws-%d", n),
		System: w.IntN(2) == 0, Paused: w.IntN(8) == 0, Reveal: w.IntN(2) == 0,
	}
}

func (w *world) role() iam.RoleRecord {
	return iam.RoleRecord{
		ID:   iam.RoleID(testID(iam.RolePrefix, w.IntN(6))),
		Name: one(w, "operator", "viewer", "x"), Permissions: w.permissions(), Deleted: w.IntN(5) == 0,
	}
}

func (w *world) principal() iam.PrincipalRecord {
	return iam.PrincipalRecord{
		ID: iam.PrincipalID(testID(iam.ServiceAccountPrefix, w.IntN(9))), Workspace: w.anyWorkspace(),
		Type: one(w, iam.MemberType, iam.ServiceAccountType), Name: one(w, "Ada", "support-bot-prod", ""),
		State: one(w, iam.Active, iam.Active, iam.Active, iam.Active, iam.Paused, iam.Inactive, iam.Removed),
		Role:  iam.RoleID(testID(iam.RolePrefix, w.IntN(7))), // one of which there never is
	}
}

func (w *world) anyWorkspace() iam.WorkspaceID {
	return inOrder(w.made.workspaces)[w.IntN(len(w.made.workspaces))].ID
}

// key returns the record of a key that there may be already. A quarter of all
// names are of another length than the last.
func (w *world) key() iam.KeyRecord {
	n := w.IntN(w.keys)
	k := iam.KeyRecord{
		ID: iam.KeyID(testID(iam.KeyPrefix, n)), Hash: token.NewSecret(fmt.Sprint(n)).Hash(), Name: fmt.Sprint("key-", n),
		Principal: inOrder(w.made.principals)[w.IntN(len(w.made.principals))].ID,
		Paused:    w.IntN(10) == 0, Revoked: w.IntN(10) == 0,
	}
	if w.IntN(4) == 0 {
		k.Name = strings.Repeat("é", w.IntN(65))
	}
	if w.IntN(3) == 0 {
		limit := w.permissions()
		k.Limit = &limit
	}
	if w.IntN(3) == 0 {
		k.Networks = w.networks()
	}
	if w.IntN(3) == 0 {
		k.Expires = epoch.UnixMicro() + w.Int64N(2_000_000_000)
	}
	return k
}

// change makes up what one transaction changes; sometimes nothing. The first one
// makes something of everything.
func (w *world) change() iam.Change {
	var c iam.Change
	least := 0
	if len(w.made.principals) == 0 {
		least = 1
	}
	for range max(least, w.IntN(8)-6) {
		c.Workspaces = append(c.Workspaces, w.workspace())
	}
	w.made.apply(c)
	for range max(least, w.IntN(4)-2) {
		c.Roles = append(c.Roles, w.role())
	}
	for range max(least, w.IntN(5)-2) {
		c.Principals = append(c.Principals, w.principal())
	}
	w.made.apply(c)
	for range w.IntN(one(w, 1, 3, 30)) {
		c.Keys = append(c.Keys, w.key())
	}
	w.made.apply(c)
	return c
}

func (w *world) hash() token.Hash {
	return token.NewSecret(fmt.Sprint(w.IntN(w.keys + 1))).Hash()
}

func (w *world) query() Query {
	q := Query{Scope: AnyWorkspace()}
	if w.IntN(4) == 0 {
		q.Scope = OneWorkspace(w.anyWorkspace())
	}
	if w.IntN(4) > 0 {
		q.IP = netip.MustParseAddr(one(w, "10.1.1.1", "::ffff:10.1.1.1", "192.0.2.9", "2001:db8::9", "9.9.9.9"))
	}
	for range w.IntN(3) {
		p, err := iam.ParsePermission(one(w, "agents", "agents/a", "agents/ab", "tools", "iam.keys") + ":read")
		if err != nil {
			panic(err)
		}
		q.Permissions = append(q.Permissions, p)
	}
	return q
}
