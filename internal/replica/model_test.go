package replica

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// model is a replica as one would write it without a thought for size or speed:
// maps of the records as they came. The real one must agree with it.
type model struct {
	seq        int64
	time       time.Time
	workspaces map[iam.WorkspaceID]iam.WorkspaceRecord
	roles      map[iam.RoleID]iam.RoleRecord
	principals map[iam.PrincipalID]iam.PrincipalRecord
	keys       map[token.Hash]iam.KeyRecord
}

func newModel() *model {
	return &model{
		workspaces: map[iam.WorkspaceID]iam.WorkspaceRecord{},
		roles:      map[iam.RoleID]iam.RoleRecord{},
		principals: map[iam.PrincipalID]iam.PrincipalRecord{},
		keys:       map[token.Hash]iam.KeyRecord{},
	}
}

func (m *model) apply(c iam.Change) {
	m.seq, m.time = c.Seq, c.Time
	for _, w := range c.Workspaces {
		m.workspaces[w.ID] = w
	}
	for _, r := range c.Roles {
		m.roles[r.ID] = r
		if r.Deleted {
			delete(m.roles, r.ID)
		}
	}
	for _, p := range c.Principals {
		m.principals[p.ID] = p
	}
	for _, k := range c.Keys {
		m.keys[k.Hash] = k
	}
}

// Snapshot implements the half of [Feed] that loads.
func (m *model) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	at := iam.Position{Seq: m.seq, Time: m.time}
	if err := each(inOrder(m.workspaces), sink.Workspace); err != nil {
		return at, err
	}
	if err := each(inOrder(m.roles), sink.Role); err != nil {
		return at, err
	}
	if err := each(inOrder(m.principals), sink.Principal); err != nil {
		return at, err
	}
	keys := slices.SortedFunc(maps.Values(m.keys), func(a, b iam.KeyRecord) int { return cmp.Compare(a.ID, b.ID) })
	return at, each(keys, sink.Key)
}

func inOrder[K cmp.Ordered, V any](m map[K]V) []V {
	var values []V
	for _, key := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[key])
	}
	return values
}

// verify answers as the documentation says, one rule after the other.
func (m *model) verify(h token.Hash, q Query, now time.Time) Verdict {
	k, known := m.keys[h]
	p := m.principals[k.Principal]
	w := m.workspaces[p.Workspace]
	if !known || !q.Scope.any && q.Scope.workspace != w.ID {
		return Verdict{Code: NotFound, Revision: m.seq}
	}
	id, _ := iam.ParseID(iam.KeyPrefix, string(k.ID))
	v := Verdict{
		Code: Valid, KeyFound: true, Revision: m.seq,
		Key:       Key{ID: id, Name: k.Name, ExpiresAt: k.Expires},
		Principal: Principal{ID: p.ID, Type: p.Type, Name: p.Name, State: p.State},
		Workspace: Workspace{ID: w.ID, Slug: w.Slug, System: w.System, Reveal: w.Reveal},
		Role:      Role{ID: p.Role},
		head:      h.Head(),
		limit:     k.Limit,
	}
	if r, ok := m.roles[p.Role]; ok {
		v.Role.Name, v.role = r.Name, &r.Permissions
	}
	refusals := []struct {
		applies bool
		code    Code
	}{
		{k.Revoked, Revoked},
		{p.State == iam.Inactive || p.State == iam.Removed, PrincipalInactive},
		{k.Paused || p.State == iam.Paused || w.Paused, Paused},
		{k.Expires != 0 && !slices.MaxFunc([]time.Time{now, m.time}, time.Time.Compare).Before(time.UnixMicro(k.Expires)), Expired},
		{k.Networks != nil && !slices.ContainsFunc(k.Networks, func(n netip.Prefix) bool { return n.Contains(q.IP.Unmap()) }), NetworkDenied},
	}
	for _, r := range refusals {
		if r.applies {
			v.Code = r.code
			return v
		}
	}
	for i, asked := range q.Permissions {
		if v.role != nil && v.role.Allow(asked) && (k.Limit == nil || k.Limit.Allow(asked)) {
			v.allowed |= 1 << i
		} else {
			v.Code = PermissionDenied
		}
	}
	return v
}

// diff compares two verdicts in all that can be told from them.
func diff(want, got Verdict) string {
	return gocmp.Diff(want, got, gocmp.AllowUnexported(Verdict{}), gocmp.Comparer(iam.Permissions.Equal))
}
