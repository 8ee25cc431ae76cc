package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
)

func heldColumns() []column[api.HeldPermission] {
	return []column[api.HeldPermission]{
		{name: "permission", text: func(x api.HeldPermission) string { return x.Permission }},
		{name: "from", text: func(x api.HeldPermission) string { return x.From }},
		{name: "uses_30d", text: func(x api.HeldPermission) string { return number(x.Uses30d) }},
		{name: "last_used_at", text: func(x api.HeldPermission) string { return whenOr(x.LastUsedAt, "never") }},
	}
}

func (a *app) accountPermissions() *cobra.Command {
	return a.leaf(command{
		use: "permissions ACCOUNT", short: "List what a service account may do, and how much it does", complete: a.accountNames,
		examples: [2]string{"postern sa permissions support-bot-prod", "postern sa permissions support-bot-prod -o csv"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			held, _, err := call[struct{ Data []json.RawMessage }](ctx, s, http.MethodGet, s.path(accountsPart, args[0], "permissions"), nil)
			if err != nil {
				return err
			}
			return showAll(a, held.Data, heldColumns())
		},
	})
}

func impactColumns() []column[api.AccountImpact] {
	return []column[api.AccountImpact]{
		{name: "active_keys", text: func(x api.AccountImpact) string { return number(x.ActiveKeys) }},
		{name: "last_used_at", text: func(x api.AccountImpact) string { return whenOr(x.LastUsedAt, "never") }},
		{name: "requests_per_minute", text: func(x api.AccountImpact) string { return strconv.FormatFloat(x.RequestsPerMinute, 'f', 1, 64) }},
		{name: "rotations", text: func(x api.AccountImpact) string {
			var all []string
			for _, r := range x.Rotations {
				all = append(all, fmt.Sprintf("%s (%s to %s, %s)", r.ID, r.OldKey.Name, r.NewKey.Name, r.State))
			}
			return texts(all)
		}},
	}
}

func (a *app) accountImpact() *cobra.Command {
	return a.leaf(command{
		use: "impact ACCOUNT", short: "Say what would stop if a service account were revoked", complete: a.accountNames,
		long:     "Changes nothing. The rate is of the last five minutes; sources are those of the last 30 days.",
		examples: [2]string{"postern sa impact support-bot-prod", "postern sa impact support-bot-prod --field requests_per_minute"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			i, raw, err := call[api.AccountImpact](ctx, s, http.MethodGet, s.path(accountsPart, args[0], "impact"), nil)
			if err != nil {
				return err
			}
			if err := show(a, raw, impactColumns()); err != nil || len(i.Sources) == 0 || a.global.field != "" || a.global.output != formatTable {
				return err
			}
			sources, err := encoded(i.Sources)
			if err != nil {
				return err
			}
			if err := a.say(""); err != nil {
				return err
			}
			return showAll(a, sources, sourceColumns())
		},
	})
}
