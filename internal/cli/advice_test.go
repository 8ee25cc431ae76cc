package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
)

// says fails the test unless a text holds some others.
func says(t *testing.T, got string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
}

// advised is advice with which everything is well.
func advised() api.Advice {
	return api.Advice{
		ServiceAccount: api.Ref{ID: accountID, Name: "support-bot-prod"}, Role: api.Ref{ID: "role_1", Name: "editor"},
		WindowDays: 90, DataDays: 90, Unused: []string{"*:delete", "*:write"}, SuggestedRole: &api.Role{Name: "operator"},
		Of: 41208, FromUse: []string{"agents:execute", "tickets:read"},
	}
}

func TestSuggestSaysWhatIsUnusedAndWhatWouldDo(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*api.Advice)
		want   []string
	}{
		"less would do": {func(*api.Advice) {}, []string{
			"support-bot-prod has the role editor; 41208 requests of the last 90 days were looked at.\n",
			"Not used: *:delete, *:write\n", "The role operator would have allowed all of them.\n", "Used: agents:execute, tickets:read\n",
		}},
		"nothing less would":  {func(a *api.Advice) { a.SuggestedRole = nil }, []string{"No role that there is would be less, and enough.\n"}},
		"it was never used":   {func(a *api.Advice) { a.SuggestedRole, a.Of = nil, 0 }, []string{"It was not used at all"}},
		"too early to say":    {func(a *api.Advice) { a.Silent, a.DataDays = new("too_little_data"), 13 }, []string{"There are 13 days of data, and advice takes 14."}},
		"it gives to others":  {func(a *api.Advice) { a.Silent = new("gives_to_others") }, []string{"It gives permissions to others"}},
		"some not told apart": {func(a *api.Advice) { a.WouldRefuse = 7 }, []string{"The role operator would have refused 7 requests of them."}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			advice := advised()
			tt.change(&advice)
			w.answer("GET "+W+"service_accounts/support-bot-prod/advice", advice)
			says(t, w.must("role", "suggest", "--from-use", "support-bot-prod").stdout, tt.want...)
			says(t, w.must("role", "suggest", "--from-use", "support-bot-prod", "--json").stdout, `"window_days": 90`)
		})
	}
	newWorld(t).run("role", "suggest").wants(t, 2, "--from-use ACCOUNT")
}

func TestSuggestedRoleIsMadeOfWhatWasUsed(t *testing.T) {
	w := newWorld(t)
	w.looking = true
	w.answer("GET "+W+"service_accounts/support-bot-prod/advice", advised())
	w.answer("POST "+W+"roles", api.CreatedRole{Role: api.Role{Name: "support-bot"}})
	r := w.must("role", "suggest", "--from-use", "support-bot-prod", "--create", "support-bot")
	says(t, r.stderr, "Next: postern sa update support-bot-prod --role support-bot")
	says(t, w.heard[1].body, `"name":"support-bot"`, `"permissions":["agents:execute","tickets:read"]`)

	silent := advised()
	silent.Silent, silent.FromUse = new("too_little_data"), nil
	w.answer("GET "+W+"service_accounts/support-bot-prod/advice", silent)
	w.run("role", "suggest", "--from-use", "support-bot-prod", "--create", "support-bot").wants(t, 1, "no role is made", "advice takes 14")
	if n := len(w.heard); n != 3 {
		t.Errorf("the server heard %v, want nothing after the advice", w.lines())
	}
}

func TestImpactOfARoleIsSaidWithWhomItTakesFrom(t *testing.T) {
	w := newWorld(t)
	at := api.NewTime(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
	impact := api.RoleImpact{
		Role: api.Ref{Name: "closer"}, Members: 2, ServiceAccounts: 4, Removed: []string{"tickets:write"}, WindowDays: 90, WouldRefuse: 3, Of: 20, AtMost: true,
		Affected: []api.AffectedPrincipal{{Principal: api.Principal{Type: "service_account", Name: "bot"}, Permissions: []string{"tickets:write"}, LastUsedAt: at, Uses: 3}},
		Hidden:   []api.HiddenPart{{Part: "affected", Permission: "iam.members:read"}},
	}
	w.answer("POST "+W+"roles/closer/impact", impact)
	says(t, w.must("role", "impact", "closer", "--permission", "tickets:read").stdout,
		"4 service accounts and 2 members have the role closer.\n", "Removed: tickets:write\n",
		"Of 20 requests of the last 90 days it would have refused at most 3.\n", "iam.members:read", "bot        service_account  tickets:write")
	says(t, w.heard[0].body, `{"permissions":["tickets:read"]}`)
	if got, want := w.must("role", "impact", "closer", "-o", "csv").stdout, "principal,type,permissions,uses,last_used_at\r\nbot,service_account,tickets:write,3,2026-11-23 02:00:00 UTC\r\n"; got != want {
		t.Errorf("as CSV: got %q, want %q", got, want)
	}
	says(t, w.heard[1].body, `{"permissions":[]}`)
	says(t, w.must("role", "impact", "closer", "--json").stdout, `"would_refuse": 3`)
	impact.WouldRefuse, impact.Affected = 0, nil
	w.answer("POST "+W+"roles/closer/impact", impact)
	says(t, w.must("role", "impact", "closer").stdout, "it would have refused none.\n")
}

func TestImpactOfAnAccountIsWhatWouldStop(t *testing.T) {
	w := newWorld(t)
	at := api.NewTime(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
	w.answer("GET "+W+"service_accounts/bot/impact", api.AccountImpact{
		ActiveKeys: 3, LastUsedAt: &at, RequestsPerMinute: 42, Sources: []api.UsageSource{{IP: "192.0.2.7", UserAgent: "curl/8.5", LastSeen: at, OK: 40}},
		Rotations: []api.RotationRef{{ID: "rot_1", State: "overlapping", OldKey: api.Ref{Name: "old"}, NewKey: api.Ref{Name: "new"}}},
	})
	says(t, w.must("sa", "impact", "bot").stdout, "Active keys          3\n", "Requests per minute  42.0\n", "rot_1 (old to new, overlapping)", "192.0.2.7  curl/8.5")
	if got := w.must("sa", "impact", "bot", "--field", "requests_per_minute").stdout; got != "42\n" {
		t.Errorf("one field: got %q, want 42", got)
	}
	w.answer("GET "+W+"service_accounts/bot/permissions", list(api.HeldPermission{Permission: "tickets:*", From: "role closer", Uses30d: 5}))
	says(t, w.must("sa", "permissions", "bot").stdout, "tickets:*   role closer  5         never\n")
}
