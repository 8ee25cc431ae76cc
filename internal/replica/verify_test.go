package replica

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// clock is a wall clock that tests set.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// small is a workspace with one account that has one key, and its replica.
type small struct {
	*Replica
	feed  *fakeFeed
	clock *clock
	ws    iam.WorkspaceRecord
	role  iam.RoleRecord
	who   iam.PrincipalRecord
	key   iam.KeyRecord
}

var (
	execute = iam.Permission{Type: "agents", Action: "execute"}
	read    = iam.Permission{Type: "agents", Action: "read"}
)

func grants(t interface{ Fatalf(string, ...any) }, texts ...string) iam.Permissions {
	ps, err := iam.ParsePermissions("", texts)
	if err != nil {
		t.Fatalf("permissions %q: %v", texts, err)
	}
	return ps
}

func newSmall(t testing.TB) *small {
	t.Helper()
	s := &small{feed: newFakeFeed(), clock: &clock{epoch}}
	s.Replica = New(Options{Now: s.clock.Now, Node: "n1"})
	if err := s.Load(t.Context(), s.feed); err != nil {
		t.Fatalf("load: %v", err)
	}
	s.ws = iam.WorkspaceRecord{ID: "ws_acme", Slug: "acme", Reveal: true}
	s.role = iam.RoleRecord{ID: "role_op", Workspace: s.ws.ID, Name: "operator", Permissions: grants(t, "*:execute", "*:read")}
	s.who = iam.PrincipalRecord{
		ID: "sa_bot", Type: iam.ServiceAccountType, Workspace: s.ws.ID, Name: "support-bot", State: iam.Active, Role: s.role.ID,
	}
	s.key = iam.KeyRecord{
		ID: iam.KeyID(testID(iam.KeyPrefix, 1)), Principal: s.who.ID, Name: "prod", Hash: token.NewSecret("one").Hash(),
	}
	s.apply(t, iam.Change{
		Workspaces: []iam.WorkspaceRecord{s.ws}, Roles: []iam.RoleRecord{s.role},
		Principals: []iam.PrincipalRecord{s.who}, Keys: []iam.KeyRecord{s.key},
	})
	return s
}

// apply commits a change and applies it.
func (s *small) apply(t testing.TB, c iam.Change) {
	t.Helper()
	if err := s.Apply(s.feed.commit(t, c)); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

// ask verifies the key for executing agents, from nowhere.
func (s *small) ask() Verdict {
	return s.Verify(s.key.Hash, Query{Permissions: []iam.Permission{execute}, Scope: AnyWorkspace()})
}

func (s *small) expect(t *testing.T, when string, want Code) {
	t.Helper()
	if got := s.ask(); got.Code != want {
		t.Errorf("%s: got %s, want %s", when, got.Code, want)
	}
	q := Query{Permissions: []iam.Permission{execute}, Scope: AnyWorkspace()}
	view := s.View()
	if got := judged(view, s.key.Hash, q); got.Code != want && s.Still(view) {
		t.Errorf("%s: judged %s, and the view stands; want %s", when, got.Code, want)
	}
	if _, still := s.StillFor(view); still != s.Still(view) {
		t.Errorf("%s: the view stands for a while: %t, and stands: %t", when, still, !still)
	}
}

// judged returns what a view says whoever looks at the lease later.
func judged(v View, h token.Hash, q Query) (verdict Verdict) {
	v.Judge(&h, &q, &verdict)
	return verdict
}

func TestOfSeveralReasonsTheFirstIsTold(t *testing.T) {
	order := []Code{NotFound, Revoked, PrincipalInactive, Paused, Expired, NetworkDenied, PermissionDenied}
	for set := range 1 << len(order) {
		want := Valid
		holds := map[Code]bool{}
		for i := len(order) - 1; i >= 0; i-- {
			if set>>i&1 == 1 {
				want, holds[order[i]] = order[i], true
			}
		}
		t.Run(fmt.Sprintf("%07b", set), func(t *testing.T) {
			s := newSmall(t)
			q := Query{Permissions: []iam.Permission{execute}, Scope: OneWorkspace(s.ws.ID), IP: netip.MustParseAddr("10.1.2.3")}
			if holds[NotFound] {
				q.Scope = OneWorkspace("ws_other")
			}
			s.key.Revoked = holds[Revoked]
			if holds[PrincipalInactive] {
				s.who.State = iam.Inactive
			}
			s.key.Paused = holds[Paused]
			if holds[Expired] {
				s.key.Expires = epoch.UnixMicro() - 1
			}
			if holds[NetworkDenied] {
				s.key.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			}
			if holds[PermissionDenied] {
				none := iam.Permissions{}
				s.key.Limit = &none
			}
			s.apply(t, iam.Change{Principals: []iam.PrincipalRecord{s.who}, Keys: []iam.KeyRecord{s.key}})
			if got := s.Verify(s.key.Hash, q); got.Code != want {
				t.Errorf("got %s, want %s", got.Code, want)
			}
		})
	}
}

func TestWhatStopsAKey(t *testing.T) {
	tests := []struct {
		name string
		stop func(*small, *iam.Change)
		want Code
	}{
		{"key revoked", func(s *small, c *iam.Change) { s.key.Revoked = true }, Revoked},
		{"account revoked", func(s *small, c *iam.Change) { s.who.State = iam.Inactive }, PrincipalInactive},
		{"member removed", func(s *small, c *iam.Change) { s.who.State, s.who.Type = iam.Removed, iam.MemberType }, PrincipalInactive},
		{"account revoked after the key", func(s *small, c *iam.Change) { s.who.State, s.key.Revoked = iam.Inactive, true }, Revoked},
		{"key paused", func(s *small, c *iam.Change) { s.key.Paused = true }, Paused},
		{"account paused", func(s *small, c *iam.Change) { s.who.State = iam.Paused }, Paused},
		{"workspace paused", func(s *small, c *iam.Change) { s.ws.Paused = true }, Paused},
		{"expiry moved to now", func(s *small, c *iam.Change) { s.key.Expires = epoch.UnixMicro() }, Expired},
		{"networks set", func(s *small, c *iam.Change) { s.key.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, NetworkDenied},
		{"role narrowed", func(s *small, c *iam.Change) { s.role.Permissions = iam.Permissions{} }, PermissionDenied},
		{"role deleted", func(s *small, c *iam.Change) { s.role.Deleted = true }, PermissionDenied},
		{"limit narrowed", func(s *small, c *iam.Change) { none := iam.Permissions{}; s.key.Limit = &none }, PermissionDenied},
		{"another role assigned", func(s *small, c *iam.Change) {
			s.who.Role = "role_none"
			c.Roles = append(c.Roles, iam.RoleRecord{ID: "role_none", Workspace: s.ws.ID, Name: "none"})
		}, PermissionDenied},
		{"a role assigned that nobody knows", func(s *small, c *iam.Change) { s.who.Role = "role_lost" }, PermissionDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSmall(t)
			before := iam.Change{
				Workspaces: []iam.WorkspaceRecord{s.ws}, Roles: []iam.RoleRecord{s.role},
				Principals: []iam.PrincipalRecord{s.who}, Keys: []iam.KeyRecord{s.key},
			}
			s.expect(t, "before", Valid)
			var c iam.Change
			tt.stop(s, &c)
			c.Workspaces = append(c.Workspaces, s.ws)
			c.Roles = append(c.Roles, s.role)
			c.Principals = append(c.Principals, s.who)
			c.Keys = append(c.Keys, s.key)
			s.apply(t, c)
			s.expect(t, "after", tt.want)
			s.apply(t, before)
			s.expect(t, "taken back", Valid)
		})
	}
}

func TestEveryRecordReplacesWhatWasKnown(t *testing.T) {
	s := newSmall(t)
	s.ws.System, s.ws.Reveal = true, false
	s.role.Name, s.role.Permissions = "runner", grants(t, "agents:execute")
	s.who.Name, s.who.Type, s.who.State = "Ada", iam.MemberType, iam.Active
	limit := grants(t, "agents:*")
	s.key.Name, s.key.Limit, s.key.Expires = "a longer name than before", &limit, epoch.Add(time.Hour).UnixMicro()
	s.apply(t, iam.Change{
		Workspaces: []iam.WorkspaceRecord{s.ws}, Roles: []iam.RoleRecord{s.role},
		Principals: []iam.PrincipalRecord{s.who}, Keys: []iam.KeyRecord{s.key},
	})
	got := s.ask()
	want := s.feed.model.verify(s.key.Hash, Query{Permissions: []iam.Permission{execute}, Scope: AnyWorkspace()}, s.clock.now)
	if d := diff(want, got); d != "" {
		t.Errorf("verdict (-want +got):\n%s", d)
	}
	if keys, principals := s.Size(); keys != 1 || principals != 1 {
		t.Errorf("%d keys and %d principals, want one of each", keys, principals)
	}
}

func TestTheDecisionsAreGivenOneByOne(t *testing.T) {
	s := newSmall(t)
	write := iam.Permission{Type: "agents", Action: "write"}
	v := s.Verify(s.key.Hash, Query{Permissions: []iam.Permission{execute, write, read}, Scope: AnyWorkspace()})
	if v.Code != PermissionDenied || !v.Allows(0) || v.Allows(1) || !v.Allows(2) {
		t.Errorf("got %s with %t, %t, %t; want permission_denied with true, false, true", v.Code, v.Allows(0), v.Allows(1), v.Allows(2))
	}
	if v.Allows(-1) || v.Allows(3) || v.Allows(64) {
		t.Error("what was not asked is allowed")
	}
	many := make([]iam.Permission, 70)
	for i := range many {
		many[i] = execute
	}
	many[69] = write
	if v := s.Verify(s.key.Hash, Query{Permissions: many, Scope: AnyWorkspace()}); v.Code != PermissionDenied {
		t.Errorf("the 70th permission is not held: got %s, want permission_denied", v.Code)
	}
	s.key.Paused = true
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{s.key}})
	if v := s.ask(); v.Allows(0) {
		t.Error("a paused key is allowed something")
	}
}

func TestAKeyIsFoundOnlyInItsWorkspace(t *testing.T) {
	s := newSmall(t)
	other := iam.WorkspaceRecord{ID: "ws_other", Slug: "other"}
	s.apply(t, iam.Change{Workspaces: []iam.WorkspaceRecord{other}})
	unknown := s.Verify(token.NewSecret("nobody's").Hash(), Query{Scope: AnyWorkspace()})
	for name, tt := range map[string]struct {
		scope Scope
		want  Code
	}{
		"its own":  {OneWorkspace(s.ws.ID), Valid},
		"any":      {AnyWorkspace(), Valid},
		"another":  {OneWorkspace(other.ID), NotFound},
		"no scope": {Scope{}, NotFound},
		"empty id": {OneWorkspace(""), NotFound},
	} {
		got := s.Verify(s.key.Hash, Query{Scope: tt.scope})
		if got.Code != tt.want {
			t.Errorf("%s: got %s, want %s", name, got.Code, tt.want)
		}
		if got.Code == NotFound && got != unknown {
			t.Errorf("%s: the answer tells that there is such a key: %+v", name, got)
		}
	}
}

func TestAScopeIsNamedByIDOrSlug(t *testing.T) {
	s := newSmall(t)
	for _, ref := range []string{"ws_acme", "acme"} {
		if got, ok := s.ScopeOf(ref); !ok || got != OneWorkspace(s.ws.ID) {
			t.Errorf("scope of %q: got %v, %t", ref, got, ok)
		}
	}
	for _, ref := range []string{"", "nobody", "ws_", "-", "any"} {
		if got, ok := s.ScopeOf(ref); ok || got != (Scope{}) {
			t.Errorf("scope of %q: got %v, %t; want none", ref, got, ok)
		}
	}
}

func TestNetworks(t *testing.T) {
	tests := []struct {
		from string
		want Code
	}{
		{"10.1.2.3", Valid},
		{"::ffff:10.1.2.3", Valid},
		{"11.1.2.3", NetworkDenied},
		{"2001:db8::1", Valid},
		{"2001:db9::1", NetworkDenied},
		{"::ffff:11.1.2.3", NetworkDenied},
		{"", NetworkDenied},
	}
	s := newSmall(t)
	s.key.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{s.key}})
	for _, tt := range tests {
		var from netip.Addr
		if tt.from != "" {
			from = netip.MustParseAddr(tt.from)
		}
		if got := s.Verify(s.key.Hash, Query{Scope: AnyWorkspace(), IP: from}); got.Code != tt.want {
			t.Errorf("from %q: got %s, want %s", tt.from, got.Code, tt.want)
		}
	}
}

// For all times: a key is accepted exactly until it expires, whatever the wall
// clock did, and never before the time of the last change.
func TestAKeyWorksExactlyUntilItExpires(t *testing.T) {
	const end = 1 << 59 // microseconds since 1970; in the year 20238
	outer, outcomes := t, map[Code]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := newSmall(outer)
		changed := s.Position().Time.Add(time.Second).UnixMicro() // the next change
		near := func(at int64, name string) int64 {
			return at + rapid.SampledFrom([]int64{-1, 0, 1, -1_000_000, 1_000_000}).Draw(t, name)
		}
		s.key.Expires = near(rapid.OneOf(rapid.Just(changed), rapid.Int64Range(changed, end), rapid.Int64Range(2, end)).Draw(t, "expires"), "and")
		now := near(rapid.OneOf(rapid.Just(s.key.Expires), rapid.Int64Range(-end, end)).Draw(t, "now"), "and")
		s.clock.now = time.UnixMicro(now)
		s.apply(outer, iam.Change{Keys: []iam.KeyRecord{s.key}})
		want := Expired
		if now < s.key.Expires && changed < s.key.Expires || s.key.Expires == 0 {
			want = Valid
		}
		got := s.ask().Code
		if got != want {
			t.Fatalf("now %d, last change %d, expires %d: got %s, want %s", now, changed, s.key.Expires, got, want)
		}
		outcomes[got]++
	})
	if !testing.Short() && (outcomes[Valid] < 3 || outcomes[Expired] < 3) {
		t.Errorf("the times were one-sided: %v", outcomes)
	}
}

func TestAHashMustMatchAsAWhole(t *testing.T) {
	s := newSmall(t)
	for i := range s.key.Hash {
		almost := s.key.Hash
		almost[i] ^= 1
		if got := s.Verify(almost, Query{Scope: AnyWorkspace()}).Code; got != NotFound {
			t.Errorf("a hash that differs in byte %d: got %s, want not_found", i, got)
		}
	}
	twin := s.key
	twin.ID, twin.Name = iam.KeyID(testID(iam.KeyPrefix, 2)), "twin"
	twin.Hash[31] ^= 1
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{twin}})
	for _, k := range []iam.KeyRecord{s.key, twin} {
		if got := s.Verify(k.Hash, Query{Scope: AnyWorkspace()}); got.KeyID() != k.ID || got.Key.Name != k.Name {
			t.Errorf("got key %s, %q; want %s, %q", got.KeyID(), got.Key.Name, k.ID, k.Name)
		}
	}
}

func TestAVerdictSaysWhoIsCalling(t *testing.T) {
	s := newSmall(t)
	limit := grants(t, "agents:execute")
	s.key.Limit = &limit
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{s.key}})
	v := s.ask()
	c := v.Caller()
	if c.Principal.ID != s.who.ID || c.Principal.Role.ID != s.role.ID || !c.Principal.Role.Permissions.Equal(s.role.Permissions) ||
		c.Principal.Workspace != s.ws.ID || c.Workspace.ID != s.ws.ID || c.Workspace.Name != "acme" || c.Key.ID != s.key.ID || c.Key.Name != "prod" {
		t.Errorf("caller: %+v", c)
	}
	if !c.Permissions.Equal(limit) || !v.Effective().Equal(limit) {
		t.Errorf("effective: got %v, want %v", c.Permissions.Strings(), limit.Strings())
	}
	if got := string(v.AppendKeyID([]byte("id="))); got != "id="+string(s.key.ID) || v.KeyID() != s.key.ID {
		t.Errorf("key id: got %q and %q, want %q", got, v.KeyID(), s.key.ID)
	}
	missing := s.Verify(token.NewSecret("nobody's").Hash(), Query{Scope: AnyWorkspace()})
	if missing.KeyID() != "" || len(missing.AppendKeyID(nil)) != 0 || missing.Effective().Len() != 0 || missing.KeyFound {
		t.Errorf("a key that was not found has %q and %v", missing.KeyID(), missing.Effective().Strings())
	}
}

func TestCodesAreThoseOfTheAPI(t *testing.T) {
	want := []string{"valid", "not_found", "revoked", "principal_inactive", "paused", "expired", "network_denied", "permission_denied", "stale"}
	for i, text := range want {
		if got := (Valid + Code(i)).String(); got != text {
			t.Errorf("code %d: got %s, want %s", i, got, text)
		}
	}
	if got := (Verdict{}).Code; got == Valid || got.String() != "stale" {
		t.Errorf("a verdict that nobody filled in reads %s", got)
	}
}

func TestVerifyDoesNotAllocate(t *testing.T) {
	s := newSmall(t)
	limit := grants(t, "agents:execute", "agents/x:read")
	s.key.Limit, s.key.Expires = &limit, epoch.Add(time.Hour).UnixMicro()
	s.key.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{s.key}})
	q := Query{Permissions: []iam.Permission{execute}, IP: netip.MustParseAddr("::ffff:10.1.2.3"), Scope: OneWorkspace(s.ws.ID)}
	unknown := token.NewSecret("nobody's").Hash()
	var code Code
	allocs := testing.AllocsPerRun(1000, func() {
		code = s.Verify(s.key.Hash, q).Code
		s.Verify(unknown, q)
	})
	if code != Valid || allocs != 0 {
		t.Errorf("got %s with %v allocations, want valid with none", code, allocs)
	}
}
