package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/iam"
)

// advice says in one line what is advised for an account.
func (w *world) advice(account iam.ServiceAccount) string {
	w.t.Helper()
	return w.adviceTo(w.owner, account)
}

func (w *world) adviceTo(c iam.Caller, account iam.ServiceAccount) string {
	w.t.Helper()
	a, err := w.Advice(w.t.Context(), c, "-", account.Name)
	if err != nil {
		w.t.Fatalf("advice: %v", err)
	}
	if a.Silence != "" {
		return fmt.Sprintf("%s after %d of %d days", a.Silence, a.DataDays, a.WindowDays)
	}
	role := "nothing"
	if a.Suggested != nil {
		role = a.Suggested.Name
	}
	words := fmt.Sprintf("unused %v; %s; %d of %d", a.Unused, role, a.WouldRefuse, a.Of)
	if a.AtMost {
		words += " at most"
	}
	return words
}

// busy has a key used every day for some days, as it says.
func (w *world) busy(days int, uses ...use) {
	w.t.Helper()
	for range days {
		w.used(uses...)
		w.clock.advance(day)
	}
}

func TestAdviceIsSilentUntilThereIsEnoughData(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.used(use{key: w.owner.Key.ID, ok: 1})
		w.clock.advance(10 * day)
		account := w.account(iam.Editor)
		key, _ := w.key(account, iam.NewKey{})
		idle := w.account(iam.Viewer)
		w.clock.advance(13*day + day/2)
		if got, want := w.advice(idle), "too_little_data after 13 of 13 days"; got != want {
			t.Errorf("of a young account: got %q, want %q", got, want)
		}
		w.busy(13, use{key: key.ID, ok: 1, ask: "tickets:read"})
		if got, want := w.advice(account), "too_little_data after 13 of 26 days"; got != want {
			t.Errorf("of one that was used late: got %q, want %q", got, want)
		}
		if got, want := w.advice(idle), "unused [*:read]; nothing; 0 of 0"; got != want {
			t.Errorf("of one that is never used: got %q, want %q", got, want)
		}
		w.clock.advance(day)
		if got, want := w.advice(account), "unused [*:delete *:execute *:write]; viewer; 0 of 13"; got != want {
			t.Errorf("after fourteen days: got %q, want %q", got, want)
		}
	})
}

func TestAdviceIsTheLeastRoleThatAllowsAllThatWasUsed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		editor := w.account(iam.Editor)
		admin := w.account(iam.Admin)
		operator := w.account(iam.Operator)
		keys := map[string]iam.KeyID{}
		for name, account := range map[string]iam.ServiceAccount{"editor": editor, "admin": admin, "operator": operator} {
			key, _ := w.key(account, iam.NewKey{})
			keys[name] = key.ID
		}
		w.busy(20,
			use{key: keys["editor"], ok: 10, refused: 3, ask: "agents:execute tickets:read"},
			use{key: keys["editor"], ok: 1, ask: "tickets/7:read"},
			use{key: keys["editor"], ok: 1},
			use{key: keys["editor"], refused: 50, ask: "iam.roles:write"},
			use{key: keys["admin"], ok: 2, ask: "iam.keys:verify"},
			use{key: keys["admin"], ok: 2, ask: "iam.audit:read"},
			use{key: keys["operator"], ok: 5, ask: "tickets:read"},
			use{key: keys["operator"], ok: 5, ask: "agents:execute"},
		)
		const ofEditor = "unused [*:delete *:write]; operator; 0 of 240"
		for account, want := range map[*iam.ServiceAccount]string{
			&editor: ofEditor, &operator: "unused []; nothing; 0 of 200",
			&admin: "unused [*:* iam.audit:export iam.keys:read iam.keys:write iam.members:* iam.nodes:* iam.roles:* " +
				"iam.service_accounts:* iam.settings:* iam.webhooks:* iam.workspaces:*]; nothing; 0 of 80",
		} {
			if got := w.advice(*account); got != want {
				t.Errorf("%s: got %q, want %q", account.Name, got, want)
			}
		}
		less := w.role("tickets:read") // it would refuse agents:execute
		if got := w.advice(editor); got != ofEditor {
			t.Errorf("with a role %s that has less than was used: got %q, want %q", less.Name, got, ofEditor)
		}
		w.role("tickets:read", "agents:execute", "iam.keys:verify") // more than the accounts have now
		if got, want := w.advice(operator), "unused []; nothing; 0 of 200"; got != want {
			t.Errorf("with a custom role that has more: got %q, want %q", got, want)
		}
		fits := w.role("tickets:read", "agents:execute")
		if got, want := w.advice(editor), "unused [*:delete *:write]; "+fits.Name+"; 0 of 240"; got != want {
			t.Errorf("with a custom role that fits: got %q, want %q", got, want)
		}
		blind := w.holding("iam.service_accounts:read")
		if got := w.adviceTo(blind, editor); got != ofEditor {
			t.Errorf("to one who sees no custom roles: got %q, want %q", got, ofEditor)
		}
		if _, err := w.ReplaceCatalogue(t.Context(), w.owner, "-", []iam.PermissionType{{Type: "agents"}, {Type: "tickets", Actions: []string{"close"}}}); err != nil {
			t.Fatal(err)
		}
		if got, want := w.advice(operator), "unused [tickets:execute agents:read]; "+fits.Name+"; 0 of 200"; got != want {
			t.Errorf("with a catalogue: got %q, want %q", got, want)
		}
		a, err := w.Advice(t.Context(), w.owner, "-", editor.Name)
		if err != nil || fmt.Sprint(a.FromUse.Strings()) != "[agents:execute tickets:read]" {
			t.Errorf("a role from use: got %v and error %v", a.FromUse.Strings(), err)
		}
	})
}

// A role that says more with fewer words is not the lesser one.
func TestAdviceIsNotTheShorterRoleThatAllowsMore(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		account := w.account(w.role("tickets:*", "agents:*").Name)
		key, _ := w.key(account, iam.NewKey{})
		w.role("tickets:*")
		less := w.role("tickets:read", "tickets:write")
		w.busy(15, use{key: key.ID, ok: 1, ask: "tickets:read"}, use{key: key.ID, ok: 1, ask: "tickets:write"})
		if got, want := w.advice(account), "unused [agents:* tickets:delete tickets:execute]; "+less.Name+"; 0 of 30"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// What is not known is taken for the worst: nothing is suggested that might refuse.
func TestAdviceTakesWhatIsNotKnownForTheWorst(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		var daily []use
		var accounts []iam.ServiceAccount
		wanted := map[string][2]string{}
		team := w.role("agents/team-*:execute")
		whole := w.role("agents:execute")
		for name, tt := range map[string]struct {
			role, want string
			uses       []use
		}{
			"ids left out": {iam.Operator, "unused [*:read]; " + whole.Name + "; 0 of 60 at most", []use{
				{ok: 1, ask: "agents/team-1:execute"}, {ok: 2, ask: "agents/…:execute", others: true}}},
			"all left out": {iam.Editor, "unused []; nothing; 0 of 60 at most", []use{
				{ok: 1, ask: "agents:execute"}, {ok: 2, ask: "…", others: true}}},
			"nothing left out": {iam.Operator, "unused [*:read]; " + team.Name + "; 0 of 20", []use{{ok: 1, ask: "agents/team-1:execute"}}},
			"it gives to others": {iam.Admin, "gives_to_others after 20 of 20 days", []use{
				{ok: 1, ask: "iam.service_accounts:write"}, {ok: 1, ask: "tickets:read"}}},
			"it tried to": {iam.Editor, "unused [*:delete *:execute *:write]; viewer; 0 of 20", []use{
				{refused: 1, ask: "iam.service_accounts:write"}, {ok: 1, ask: "tickets:read"}}},
		} {
			account := w.account(tt.role)
			key, _ := w.key(account, iam.NewKey{})
			for _, u := range tt.uses {
				u.key = key.ID
				daily = append(daily, u)
			}
			wanted[account.Name] = [2]string{name, tt.want}
			accounts = append(accounts, account)
		}
		w.busy(20, daily...)
		for _, account := range accounts {
			if got, want := w.advice(account), wanted[account.Name]; got != want[1] {
				t.Errorf("%s: got %q, want %q", want[0], got, want[1])
			}
		}
	})
}

func TestHeldPermissionsSayHowMuchTheyWereUsed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("tickets:*", "agents/team-*:execute", "mail:read")
		account := w.account(role.Name)
		key, _ := w.key(account, iam.NewKey{})
		w.used(use{key: key.ID, ok: 9, ask: "tickets:write"})
		w.clock.advance(40 * day)
		w.used(
			use{key: key.ID, ok: 4, refused: 2, ask: "tickets:read"},
			use{key: key.ID, ok: 1, ask: "agents/team-1:execute tickets:read"},
			use{key: key.ID, ok: 7, ask: "agents/…:execute", others: true},
			use{key: key.ID, refused: 7, ask: "mail:read"},
		)
		held, err := w.HeldPermissions(t.Context(), w.owner, "-", account.Name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range held {
			days := "never"
			if !h.LastUsed.IsZero() {
				days = fmt.Sprintf("on day %d", h.LastUsed.Sub(began)/day)
			}
			got = append(got, fmt.Sprintf("%s from %s: %d, %s", h.Permission, strings.ReplaceAll(h.From, role.Name, "R"), h.Uses, days))
		}
		want := []string{
			"agents/team-*:execute from role R: 8, on day 40",
			"agents/team-1:execute from role R, agents/team-*:execute: 1, on day 40",
			"agents/…:execute from role R, agents/team-*:execute: 7, on day 40",
			"mail:read from role R: 0, never",
			"tickets:* from role R: 5, on day 40",
			"tickets:read from role R, tickets:*: 5, on day 40",
			"tickets:write from role R, tickets:*: 0, on day 0",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestHeldPermissionsAreBounded(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		role := w.role("agents:*", "tickets:read")
		account := w.account(role.Name)
		var uses []use
		for i := range 210 {
			if i%60 == 0 { // a key has a hundred asks a day
				key, _ := w.key(account, iam.NewKey{})
				uses = append(uses, use{key: key.ID, ok: 1, ask: "tickets/of-" + key.Name + ":read"})
			}
			uses = append(uses, use{key: uses[len(uses)-1].key, ok: 1, ask: fmt.Sprintf("agents/%d:execute", i)})
		}
		w.used(uses...)
		held, err := w.HeldPermissions(t.Context(), w.owner, "-", account.Name)
		if err != nil || len(held) != 2+200 {
			t.Errorf("got %d and error %v, want the two grants and 200 below them", len(held), err)
		}
	})
}
