package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
)

func pointColumns() []column[api.UsagePoint] {
	return []column[api.UsagePoint]{
		{name: "t", text: func(p api.UsagePoint) string { return when(p.T) }},
		{name: "ok", text: func(p api.UsagePoint) string { return number(p.OK) }},
		{name: "refused", text: func(p api.UsagePoint) string { return number(p.Refused) }},
	}
}

func sourceColumns() []column[api.UsageSource] {
	return []column[api.UsageSource]{
		{name: "ip", text: func(s api.UsageSource) string {
			if s.Others {
				return "(others)"
			}
			return s.IP
		}},
		{name: "user_agent", text: func(s api.UsageSource) string { return s.UserAgent }},
		{name: "node", text: func(s api.UsageSource) string { return s.Node }},
		{name: "via", text: func(s api.UsageSource) string { return s.Via }},
		{name: "last_seen", text: func(s api.UsageSource) string { return when(s.LastSeen) }},
		{name: "ok", text: func(s api.UsageSource) string { return number(s.OK) }},
		{name: "refused", text: func(s api.UsageSource) string { return number(s.Refused) }},
	}
}

func (a *app) keyUsage() *cobra.Command {
	var from, to, step string
	cmd := a.leaf(command{
		use: "usage KEY", short: "Show how often a key was accepted and refused, and from where",
		long: "Steps are of a minute (1m), an hour (1h) or a day (1d, UTC). As CSV and JSON lines it is the steps alone.",
		examples: [2]string{
			"postern key usage support-bot-prod/nightly",
			"postern key usage support-bot-prod/nightly --from 30d --step 1d -o csv",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			begin, err := a.ago("from", from)
			if err != nil {
				return err
			}
			end, err := a.ago("to", to)
			if err != nil {
				return err
			}
			path, err := a.keyPath(ctx, s, args[0])
			if err != nil {
				return err
			}
			if args[0] == refSelf {
				self, _, err := call[api.Key](ctx, s, http.MethodGet, path, nil)
				if err != nil {
					return err
				}
				path = s.path("keys", self.ID)
			}
			query := filters("from", begin, "to", end, "step", step)
			u, raw, err := call[api.KeyUsage](ctx, s, http.MethodGet, path+"/usage?"+query.Encode(), nil)
			if err != nil {
				return err
			}
			return a.showUsage(u, raw)
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&from, "from", "", "since a time, or a while ago such as 30d")
	fs.StringVar(&to, "to", "", "until a time, or a while ago")
	fs.StringVar(&step, "step", "", "how long each step is: 1m, 1h or 1d (default 1h)")
	return cmd
}

// showUsage prints steps, their sums, and sources.
func (a *app) showUsage(u api.KeyUsage, raw json.RawMessage) error {
	if a.global.field != "" || a.global.output == formatJSON {
		return a.showJSON(raw)
	}
	points, err := encoded(u.Points)
	if err != nil {
		return err
	}
	if err := showAll(a, points, pointColumns()); err != nil || a.global.output != formatTable {
		return err
	}
	var ok, refused int64
	for _, p := range u.Points {
		ok, refused = ok+p.OK, refused+p.Refused
	}
	fmt.Fprintln(a.Stdout)
	if err := a.say("%d accepted, %d refused from %s to %s.", ok, refused, when(u.From), when(u.To)); err != nil || len(u.Sources) == 0 {
		return err
	}
	sources, err := encoded(u.Sources)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	return showAll(a, sources, sourceColumns())
}

// encoded returns things of an answer as it had them.
func encoded[T any](items []T) ([]json.RawMessage, error) {
	all := make([]json.RawMessage, len(items))
	for i, item := range items {
		raw, err := json.Marshal(item)
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		all[i] = raw
	}
	return all, nil
}
