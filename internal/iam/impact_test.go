package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/internal/iam"
)

func TestImpactOfAnAccountIsWhatWouldStop(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		account := w.account(iam.Viewer)
		a, _ := w.key(account, iam.NewKey{})
		b, _ := w.key(account, iam.NewKey{})
		gone, _ := w.key(account, iam.NewKey{})
		now := w.clock.now().Add(10*time.Minute + 30*time.Second)
		w.clock.micros.Store(now.UnixMicro())
		before := func(d time.Duration) time.Time { return now.Truncate(time.Minute).Add(-d) }
		w.used(
			use{key: a.ID, at: now, ok: 1000, ip: "192.0.2.1"}, // of a minute that is not over
			use{key: a.ID, at: before(time.Second), ok: 60, refused: 900, ip: "192.0.2.1"},
			use{key: b.ID, at: before(5 * time.Minute), ok: 40, ip: "192.0.2.2"},
			use{key: b.ID, at: before(5*time.Minute + time.Second), ok: 500, ip: "192.0.2.1"}, // before
			use{key: gone.ID, at: before(6 * time.Minute), ok: 1, ip: "192.0.2.9"},
			use{key: b.ID, at: before(6 * time.Minute), refused: 1, ip: "192.0.2.8"},
		)
		if _, err := w.RevokeKey(t.Context(), w.owner, "-", gone.ID, iam.Why{}); err != nil {
			t.Fatal(err)
		}
		got, err := w.AccountImpact(t.Context(), w.owner, "-", account.Name)
		if err != nil || got.ActiveKeys != 2 || got.RequestsPerMinute != 20 || got.LastUse == nil || !got.LastUse.At.Equal(now) || got.LastUse.Key != a.ID {
			t.Errorf("got %+v and error %v, want 2 keys, 20 a minute, the last use now", got, err)
		}
		var sources []string
		for _, s := range got.Sources {
			sources = append(sources, fmt.Sprint(s.IP, " ", s.OK))
		}
		if want := []string{"192.0.2.1 1560", "192.0.2.2 40"}; !slices.Equal(sources, want) {
			t.Errorf("got sources %v, want %v", sources, want)
		}
	})
}

func TestImpactOfAnAccountNamesTheRotationsUnderWay(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		account, other := w.account(iam.Viewer), w.account(iam.Viewer)
		var open []iam.RotationID
		for _, name := range []string{"old", "older"} {
			key, _ := w.key(account, iam.NewKey{Name: name})
			started, _ := issued(w.StartRotation(t.Context(), w.owner, "-", key.ID, iam.NewRotation{}))(t)
			w.clock.advance(time.Second)
			open = append([]iam.RotationID{started.Rotation.ID}, open...)
		}
		key, _ := w.key(other, iam.NewKey{Name: "old"})
		issued(w.StartRotation(t.Context(), w.owner, "-", key.ID, iam.NewRotation{}))(t)
		rotations := func() (ids []iam.RotationID) {
			i, err := w.AccountImpact(t.Context(), w.owner, "-", account.Name)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range i.Rotations {
				ids = append(ids, r.ID)
			}
			return ids
		}
		if got := rotations(); !slices.Equal(got, open) {
			t.Errorf("got %v, want %v", got, open)
		}
		made(w.CancelRotation(t.Context(), w.owner, "-", open[0], iam.KeepBoth))(t)
		if got := rotations(); !slices.Equal(got, open[1:]) {
			t.Errorf("after one was cancelled: got %v, want %v", got, open[1:])
		}
	})
}

// roleImpact tells what would become of a role's holders.
func (w *world) roleImpact(c iam.Caller, role iam.Role, permissions ...string) string {
	w.t.Helper()
	i, err := w.RoleImpact(w.t.Context(), c, "-", role.Name, permissions)
	if err != nil {
		w.t.Fatalf("impact: %v", err)
	}
	words := []string{fmt.Sprintf("%d members, %d accounts; added %v, removed %v; %d of %d, at most %t, gives %t",
		i.Role.Members, i.Role.ServiceAccounts, i.Added, i.Removed, i.WouldRefuse, i.Of, i.AtMost, i.Gives)}
	for _, p := range i.Affected.Principals {
		words = append(words, fmt.Sprintf("%s uses %v: %d, day %d", p.Principal.Name, p.Permissions, p.Uses, p.LastUsed.Sub(began)/day))
	}
	for _, p := range i.Affected.Hidden {
		words = append(words, "hidden without "+p.String())
	}
	return strings.Join(words, "\n")
}

func TestImpactOfARoleIsWhomItTakesFrom(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("tickets:*", "agents:execute")
		a, b, gone := w.account(role.Name), w.account(role.Name), w.account(role.Name)
		w.account(role.Name) // which nobody uses
		keyA, _ := w.key(a, iam.NewKey{})
		keyB, _ := w.key(b, iam.NewKey{})
		keyGone, _ := w.key(gone, iam.NewKey{})
		limit := []string{"tickets:read"}
		limited, _ := w.key(b, iam.NewKey{Limit: &limit})
		jo, c := w.member(role.Name)
		w.used(use{key: keyA.ID, ok: 1, ask: "tickets:write"})
		w.clock.advance(2 * day)
		w.used(
			use{key: keyA.ID, ok: 4, ask: "tickets:read"},
			use{key: keyA.ID, ok: 2, ask: "tickets:read tickets:write"},
			use{key: keyA.ID, refused: 9, ask: "tickets:write"},
			use{key: keyB.ID, at: w.clock.now().Add(-time.Minute), ok: 8, ask: "agents/x:execute"},
			use{key: keyGone.ID, ok: 100, ask: "tickets:write"},
			use{key: limited.ID, ok: 3, ask: "tickets:write"}, // before it was limited
		)
		w.clock.advance(day)
		w.used(use{key: c.Key.ID, ok: 5, ask: "tickets/7:write"})
		if _, err := w.RevokeServiceAccount(t.Context(), w.owner, "-", gone.Name, ""); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(day)
		for _, tt := range []struct {
			name        string
			permissions []string
			want        []string
		}{
			{"taking away", []string{"tickets:read", "agents:execute", "mail:read"}, []string{
				"1 members, 3 accounts; added [mail:read], removed [tickets:*]; 8 of 20, at most false, gives false",
				jo.Name + " uses [tickets/7:write]: 5, day 3", a.Name + " uses [tickets:write]: 3, day 2",
			}},
			{"all of it", nil, []string{
				"1 members, 3 accounts; added [], removed [agents:execute tickets:*]; 20 of 20, at most false, gives false",
				jo.Name + " uses [tickets/7:write]: 5, day 3", a.Name + " uses [tickets:read tickets:write]: 7, day 2", b.Name + " uses [agents/x:execute]: 8, day 1",
			}},
			{"nothing that is used", []string{"tickets:read", "tickets:write", "agents/x:execute"}, []string{
				"1 members, 3 accounts; added [], removed [agents:execute tickets:*]; 0 of 20, at most false, gives false",
			}},
			{"giving", []string{"*:*"}, []string{"1 members, 3 accounts; added [*:*], removed []; 0 of 20, at most false, gives false"}},
		} {
			if diff := cmp.Diff(strings.Join(tt.want, "\n"), w.roleImpact(w.owner, role, tt.permissions...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
	})
}

func TestImpactOfARoleTakesWhatIsNotKnownForTheWorst(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("tickets:*", "agents:execute")
		account := w.account(role.Name)
		key, _ := w.key(account, iam.NewKey{})
		w.used(
			use{key: key.ID, ok: 20, ask: "tickets:read"},
			use{key: key.ID, ok: 30, ask: "agents/…:execute", others: true}, use{key: key.ID, ok: 1, ask: "…", others: true},
		)
		const head = "0 members, 1 accounts; added [], removed [agents:execute]; 31 of 51, at most true, gives false\n"
		for name, tt := range map[string]struct {
			to   iam.Caller
			want string
		}{
			"to one who sees all":    {w.owner, account.Name + " uses [agents/…:execute …]: 31, day 0"},
			"to one who sees people": {w.holding("iam.roles:read", "iam.members:read"), "hidden without iam.service_accounts:read"},
			"to one who sees nobody": {w.holding("iam.roles:read"), "hidden without iam.service_accounts:read\nhidden without iam.members:read"},
		} {
			if got := w.roleImpact(tt.to, role, "tickets:*", "agents/x:execute"); got != head+tt.want {
				t.Errorf("%s: got %q, want %q", name, got, head+tt.want)
			}
		}
		_, err := w.RoleImpact(t.Context(), w.owner, "-", role.Name, []string{"tickets:close"})
		wantKind(t, err, iam.ValidationFailed)
	})
}

func TestImpactOfARoleSaysThatGivingIsNotCounted(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		givers := w.role("iam.keys:*", "tickets:read")
		key, _ := w.key(w.account(givers.Name), iam.NewKey{})
		w.used(use{key: key.ID, ok: 2, ask: "iam.keys:write"})
		if got, want := w.roleImpact(w.owner, givers, "iam.keys:*"), "0 members, 1 accounts; added [], removed [tickets:read]; 0 of 2, at most false, gives true"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
