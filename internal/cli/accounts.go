package cli

import (
	"context"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/posternhq/postern/api"
)

const accountsPart = "service_accounts"

func accountColumns() []column[api.ServiceAccount] {
	return []column[api.ServiceAccount]{
		{name: "name", text: func(x api.ServiceAccount) string { return x.Name }},
		{name: "id", text: func(x api.ServiceAccount) string { return x.ID }},
		{name: "state", text: func(x api.ServiceAccount) string { return x.State }},
		{name: "role", text: func(x api.ServiceAccount) string { return x.Role.Name }},
		{name: "keys", text: func(x api.ServiceAccount) string { return keyCounts(x.Keys) }},
		{name: "owner", text: func(x api.ServiceAccount) string { return x.Owner }},
		{name: "last_used", text: func(x api.ServiceAccount) string { return lastUse(x.LastUsed) }},
		{name: "description", text: func(x api.ServiceAccount) string { return x.Description }, detail: true},
		{name: "metadata", text: func(x api.ServiceAccount) string { return pairs(x.Metadata) }, detail: true},
		{name: "created_at", text: func(x api.ServiceAccount) string { return when(x.CreatedAt) }},
		{name: "created_by", text: func(x api.ServiceAccount) string { return actorName(x.CreatedBy) }, detail: true},
		{name: "revoked", text: func(x api.ServiceAccount) string { return revocation(x.Revoked) }, detail: true},
	}
}

func (a *app) accountCommand() *cobra.Command {
	cmd := a.group("sa", "Service accounts: principals that are not people",
		a.accountCreate(), a.accountList(), a.accountGet(), a.accountUpdate(),
		a.accountPause(), a.accountResume(), a.accountRevoke(),
		a.accountPermissions(), a.accountImpact())
	cmd.Aliases = []string{"service-account"}
	return cmd
}

func (a *app) accountList() *cobra.Command {
	q := &api.ServiceAccount{}
	var search, need string
	cmd := a.leaf(command{
		use: "list", short: "List service accounts",
		examples: [2]string{"postern sa list", "postern sa list --state active --role operator --json"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			query := filters("state", q.State, "role", q.Role.Name, "owner", q.Owner, "need", need, "q", search)
			return list(ctx, a, s, s.path(accountsPart), query, accountColumns())
		},
	})
	cmd.Flags().StringVar(&q.State, "state", "", "only those that are active, paused or inactive")
	cmd.Flags().StringVar(&q.Role.Name, "role", "", "only those with this role")
	cmd.Flags().StringVar(&q.Owner, "owner", "", "only those of this team")
	cmd.Flags().StringVar(&need, "need", "", "only those that need an owner, keys or less_power")
	cmd.Flags().StringVar(&search, "q", "", "only those with this in the name, the description or the owner")
	a.completeFlag(cmd, "role", a.roleNames)
	return cmd
}

func (a *app) accountCreate() *cobra.Command {
	in := api.CreateServiceAccount{}
	cmd := a.leaf(command{
		use: "create NAME", short: "Create a service account",
		long: "It takes no seat and outlives whoever made it. Its name is never used again, also not after it was revoked.",
		examples: [2]string{
			`postern sa create support-bot-prod --role operator --description "Owner: Support Platform"`,
			"postern sa create ci-deployer --role editor --owner Platform --metadata repository=deploy --field id",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			in.Name = args[0]
			made, raw, err := call[api.CreatedServiceAccount](ctx, s, http.MethodPost, s.path(accountsPart), in)
			if err != nil {
				return err
			}
			if made.Role.Name == "admin" {
				a.note("Avoid Admin-level service accounts unless the workload genuinely requires settings changes.")
			}
			if err := show(a, raw, accountColumns()); err != nil {
				return err
			}
			a.next("postern key create %s --out-header %s.h", made.Name, made.Name)
			return nil
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&in.Role, "role", "operator", "its role: id or name")
	fs.StringVar(&in.Description, "description", "", "what it is for, and whose it is")
	fs.StringVar(&in.Owner, "owner", "", "the responsible team's name")
	metadataFlag(fs, &in.Metadata, "NAME=VALUE to keep with it; may be repeated")
	a.completeFlag(cmd, "role", a.roleNames)
	return cmd
}

func (a *app) accountGet() *cobra.Command {
	return a.leaf(command{
		use: "get ACCOUNT", short: "Show a service account", complete: a.accountNames,
		examples: [2]string{"postern sa get support-bot-prod", "postern sa get support-bot-prod --field role.name"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			_, raw, err := call[api.ServiceAccount](ctx, s, http.MethodGet, s.path(accountsPart, args[0]), nil)
			if err != nil {
				return err
			}
			return show(a, raw, accountColumns())
		},
	})
}

func (a *app) accountUpdate() *cobra.Command {
	var name, description, owner, role string
	var metadata map[string]string
	cmd := a.leaf(command{
		use: "update ACCOUNT", short: "Change a service account's details or role", complete: a.accountNames,
		examples: [2]string{
			"postern sa update support-bot-prod --role viewer",
			`postern sa update support-bot-prod --owner "Support Platform" --description "Answers tickets"`,
		},
		run: func(ctx context.Context, cmd *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			in := api.UpdateServiceAccount{
				Name: given(cmd, "name", name), Description: given(cmd, "description", description),
				Owner: given(cmd, "owner", owner), Role: given(cmd, "role", role), Metadata: given(cmd, "metadata", metadata),
			}
			if in == (api.UpdateServiceAccount{}) {
				return usagef("say what to change: --role, --description, --owner, --name or --metadata")
			}
			_, raw, err := call[api.UpdatedServiceAccount](ctx, s, http.MethodPatch, s.path(accountsPart, args[0]), in)
			if err != nil {
				return err
			}
			return show(a, raw, accountColumns())
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&role, "role", "", "its new role: id or name")
	fs.StringVar(&description, "description", "", "what it is for, and whose it is")
	fs.StringVar(&owner, "owner", "", "the responsible team's name")
	fs.StringVar(&name, "name", "", "its new name")
	metadataFlag(fs, &metadata, "NAME=VALUE in the place of all that was kept; may be repeated")
	a.completeFlag(cmd, "role", a.roleNames)
	return cmd
}

func (a *app) accountPause() *cobra.Command {
	return a.accountAction("pause", "Paused", "Stop all keys of a service account until it is resumed",
		[2]string{"postern sa pause support-bot-prod", `postern sa pause support-bot-prod --reason "looks odd" --json`})
}

func (a *app) accountResume() *cobra.Command {
	return a.accountAction("resume", "Resumed", "Let a paused service account work again",
		[2]string{"postern sa resume support-bot-prod", `postern sa resume support-bot-prod --reason "was a test"`})
}

func (a *app) accountRevoke() *cobra.Command {
	return a.accountAction("revoke", "Revoked", "Stop a service account and all its keys, for good",
		[2]string{"postern sa revoke support-bot-prod --confirm support-bot-prod", `postern sa revoke ci-deployer --confirm ci-deployer --reason "moved to another team"`})
}

func (a *app) accountAction(verb, done, short string, examples [2]string) *cobra.Command {
	var reason string
	var p patience
	cmd := a.leaf(command{
		use: verb + " ACCOUNT", short: short, examples: examples, complete: a.accountNames,
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := p.session(ctx, a)
			if err != nil {
				return err
			}
			path := s.path(accountsPart, args[0])
			if verb == "revoke" {
				account, _, err := call[api.ServiceAccount](ctx, s, http.MethodGet, path, nil)
				if err != nil {
					return err
				}
				if err := a.confirm(ctx, verb, account.Name); err != nil {
					return err
				}
				path = s.path(accountsPart, account.ID) // the one that was confirmed
			}
			out, raw, err := call[api.ServiceAccountAnswer](ctx, s, http.MethodPost, path+"/"+verb, api.Reason{Reason: reason})
			if err != nil {
				return err
			}
			return a.ended(raw, done, out.ServiceAccount.Name, out.Receipt)
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	p.register(cmd.Flags())
	return cmd
}

// ended says what an action did and on what that rests.
func (a *app) ended(raw []byte, done, name string, r api.Receipt) error {
	if a.global.field != "" || a.global.output != formatTable {
		return a.showJSON(raw)
	}
	stopped := ""
	if r.KeysStopped > 0 || done == "Revoked" || done == "Removed" {
		stopped = " " + count(r.KeysStopped, "key") + " stopped."
	}
	return a.say("%s %s.%s %s", done, name, stopped, receiptWords(r))
}

// filters makes a query of names and values, leaving out what is empty.
func filters(namesAndValues ...string) url.Values {
	query := url.Values{}
	for i := 0; i < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] != "" {
			query.Set(namesAndValues[i], namesAndValues[i+1])
		}
	}
	return query
}

// given returns a pointer to the value of a flag, or nil when it was not used.
func given[T any](cmd *cobra.Command, flag string, value T) *T {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return &value
}

// metadataFlag adds the flag --metadata.
func metadataFlag(fs *pflag.FlagSet, m *map[string]string, usage string) {
	fs.StringToStringVar(m, "metadata", nil, usage)
	f := fs.Lookup("metadata")
	f.DefValue = "" // as it is, the help shows an empty list
}
