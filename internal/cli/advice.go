package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
)

func (a *app) roleSuggest() *cobra.Command {
	var account, create string
	cmd := a.leaf(command{
		use: "suggest", short: "Say which role would be enough, judged by what was used",
		long: "What a service account was accepted for is replayed against the roles that are less than its own. Nothing\n" +
			"is said before there are 14 days of data. --create makes a role of exactly what was used.",
		examples: [2]string{
			"postern role suggest --from-use support-bot-prod",
			"postern role suggest --from-use support-bot-prod --json",
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			if account == "" {
				return usagef("say whose use: --from-use ACCOUNT")
			}
			advice, raw, err := call[api.Advice](ctx, s, http.MethodGet, s.path(accountsPart, account, "advice"), nil)
			if err != nil {
				return err
			}
			if create != "" {
				return a.createFromUse(ctx, s, create, advice)
			}
			if a.global.field != "" || a.global.output != formatTable {
				return a.showJSON(raw)
			}
			return a.advise(advice)
		},
	})
	cmd.Flags().StringVar(&account, "from-use", "", "the service account whose use is looked at")
	cmd.Flags().StringVar(&create, "create", "", "make a role of this name from what was used")
	a.completeFlag(cmd, "from-use", a.accountNames)
	return cmd
}

// createFromUse makes a role of what was used, and of nothing else.
func (a *app) createFromUse(ctx context.Context, s session, name string, advice api.Advice) error {
	if len(advice.FromUse) == 0 {
		return failf(exitFailed, "%s: no role is made. %s", advice.ServiceAccount.Name, silence(advice))
	}
	in := api.CreateRole{Name: name, Description: "What " + advice.ServiceAccount.Name + " used", Permissions: advice.FromUse}
	made, raw, err := call[api.CreatedRole](ctx, s, http.MethodPost, s.path("roles"), in)
	if err != nil {
		return err
	}
	if err := show(a, raw, roleColumns()); err != nil {
		return err
	}
	a.next("postern sa update %s --role %s", quote(advice.ServiceAccount.Name), quote(made.Name))
	return nil
}

// silence says why nothing is advised.
func silence(advice api.Advice) string {
	switch {
	case advice.Silent == nil:
		return "Nothing was used in " + count(advice.WindowDays, "day") + "."
	case *advice.Silent == "too_little_data":
		return "There " + areDays(advice.DataDays) + " of data, and advice takes 14."
	default:
		return "It gives permissions to others, which takes holding them, and what it gave is not counted: judge that by the audit log."
	}
}

func areDays(n int64) string {
	if n == 1 {
		return "is 1 day"
	}
	return "are " + count(n, "day")
}

// advise says in words what the use of an account says of its role.
func (a *app) advise(advice api.Advice) error {
	name := advice.ServiceAccount.Name
	if advice.Silent != nil {
		return a.say("%s has the role %s. %s", name, advice.Role.Name, silence(advice))
	}
	lines := []string{name + " has the role " + advice.Role.Name + "; " +
		count(advice.Of, "request") + " of the last " + count(advice.WindowDays, "day") + " were looked at."}
	if len(advice.Unused) > 0 {
		lines = append(lines, "Not used: "+texts(advice.Unused))
	}
	refused := func(role string) string {
		if advice.WouldRefuse == 0 {
			return "The role " + role + " would have allowed all of them."
		}
		return "The role " + role + " would have refused " + count(advice.WouldRefuse, "request") + " of them."
	}
	switch {
	case advice.SuggestedRole != nil:
		lines = append(lines, refused(advice.SuggestedRole.Name))
	case advice.Of == 0:
		lines = append(lines, "It was not used at all: it may not be needed any more.")
	default:
		lines = append(lines, "No role that there is would be less, and enough.")
	}
	if len(advice.FromUse) > 0 {
		lines = append(lines, "Used: "+texts(advice.FromUse))
	}
	for _, line := range lines {
		if err := a.say("%s", line); err != nil {
			return err
		}
	}
	if advice.SuggestedRole != nil {
		a.next("postern sa update %s --role %s", quote(name), quote(advice.SuggestedRole.Name))
	}
	return nil
}

func affectedColumns() []column[api.AffectedPrincipal] {
	return []column[api.AffectedPrincipal]{
		{name: "principal", text: func(x api.AffectedPrincipal) string { return x.Principal.Name }},
		{name: "type", text: func(x api.AffectedPrincipal) string { return x.Principal.Type }},
		{name: "permissions", text: func(x api.AffectedPrincipal) string { return texts(x.Permissions) }},
		{name: "uses", text: func(x api.AffectedPrincipal) string { return number(x.Uses) }},
		{name: "last_used_at", text: func(x api.AffectedPrincipal) string { return when(x.LastUsedAt) }},
	}
}

func (a *app) roleImpact() *cobra.Command {
	permissions := []string{}
	cmd := a.leaf(command{
		use: "impact ROLE", short: "Say who would be refused what if a role had other permissions", complete: a.roleNames,
		long: "Changes nothing. The requests that are remembered are replayed. Without --permission it is as if the role\n" +
			"allowed nothing: who uses it at all. As CSV and JSON lines it is those who would be refused something.",
		examples: [2]string{
			"postern role impact ticket-closer",
			"postern role impact ticket-closer --permission tickets:read --json",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			in := api.RoleImpactOf{Permissions: permissions}
			i, raw, err := call[api.RoleImpact](ctx, s, http.MethodPost, s.path("roles", args[0], "impact"), in)
			if err != nil {
				return err
			}
			return a.showRoleImpact(i, raw)
		},
	})
	cmd.Flags().StringArrayVar(&permissions, "permission", permissions, "what it would allow, in the place of all that it does; may be repeated")
	cmd.Flags().Lookup("permission").DefValue = "" // as it is, the help shows an empty list
	return cmd
}

func (a *app) showRoleImpact(i api.RoleImpact, raw json.RawMessage) error {
	if a.global.field != "" || a.global.output == formatJSON {
		return a.showJSON(raw)
	}
	affected, err := encoded(i.Affected)
	if err != nil {
		return err
	}
	if a.global.output != formatTable {
		return showAll(a, affected, affectedColumns())
	}
	lines := []string{count(i.ServiceAccounts, "service account") + " and " + count(i.Members, "member") + " have the role " + i.Role.Name + "."}
	for _, change := range []struct {
		word        string
		permissions []string
	}{{"Added", i.Added}, {"Removed", i.Removed}} {
		if len(change.permissions) > 0 {
			lines = append(lines, change.word+": "+texts(change.permissions))
		}
	}
	lines = append(lines, refusedOf(i))
	if i.GivesToOthers {
		lines = append(lines, "Some give permissions to others, which takes holding them, and what they gave is not counted: more may be refused.")
	}
	for _, h := range i.Hidden {
		lines = append(lines, "Not shown to you: who that is takes "+h.Permission+".")
	}
	for _, line := range lines {
		if err := a.say("%s", line); err != nil {
			return err
		}
	}
	if len(affected) == 0 {
		return nil
	}
	if err := a.say(""); err != nil {
		return err
	}
	return showAll(a, affected, affectedColumns())
}

// refusedOf says how many requests would have been refused.
func refusedOf(i api.RoleImpact) string {
	words := []string{"Of", count(i.Of, "request"), "of the last", count(i.WindowDays, "day"), "it would have refused"}
	if i.WouldRefuse == 0 {
		return strings.Join(append(words, "none."), " ")
	}
	if i.AtMost {
		words = append(words, "at most")
	}
	return strings.Join(append(words, number(i.WouldRefuse)+"."), " ")
}
