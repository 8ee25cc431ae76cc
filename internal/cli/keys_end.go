package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func (a *app) keyExtend() *cobra.Command {
	var expires string
	cmd := a.leaf(command{
		use: "extend KEY", short: "Change when a key ends",
		examples: [2]string{
			"postern key extend support-bot-prod/nightly --expires 30d",
			"postern key extend support-bot-prod/nightly --expires never",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			in := api.UpdateKey{ExpiresAt: api.Null[api.Time]()}
			if expires != "never" {
				at, err := a.future("expires", expires)
				if err != nil {
					return err
				}
				in.ExpiresAt = api.Value(at)
			}
			path, err := a.keyPath(ctx, s, args[0])
			if err != nil {
				return err
			}
			_, raw, err := call[api.UpdatedKey](ctx, s, http.MethodPatch, path, in)
			if err != nil {
				return err
			}
			return show(a, raw, keyColumns())
		},
	})
	cmd.Flags().StringVar(&expires, "expires", "", "when it is to end: in a while such as 90d, at a time, or never")
	return cmd
}

func (a *app) keyPause() *cobra.Command {
	return a.keyAction("pause", "Paused", "Stop a key until it is resumed",
		[2]string{"postern key pause support-bot-prod/nightly", "postern key pause support-bot-prod/nightly --reason other --note testing"})
}

func (a *app) keyResume() *cobra.Command {
	return a.keyAction("resume", "Resumed", "Let a paused key work again",
		[2]string{"postern key resume support-bot-prod/nightly", "postern key resume support-bot-prod/nightly --json"})
}

func (a *app) keyRevoke() *cobra.Command {
	return a.keyAction("revoke", "Revoked", "Stop a key for good; self is the one that asks", [2]string{
		"postern key revoke support-bot-prod/nightly --reason superseded",
		"postern key revoke support-bot-prod/nightly --reason compromised --descendants --confirm nightly",
	})
}

func (a *app) keyAction(verb, done, short string, examples [2]string) *cobra.Command {
	var in api.Ending
	var p patience
	cmd := a.leaf(command{
		use: verb + " KEY", short: short, examples: examples,
		long: "A key is named by its id, by its name where only one has it, or as ACCOUNT/NAME.",
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := p.session(ctx, a)
			if err != nil {
				return err
			}
			path, err := a.keyPath(ctx, s, args[0])
			if err != nil {
				return err
			}
			if in.Descendants {
				key, _, err := call[api.Key](ctx, s, http.MethodGet, path, nil)
				if err != nil {
					return err
				}
				if err := a.confirm(ctx, "revoke everything that was made with", key.Name); err != nil {
					return err
				}
			}
			out, raw, err := call[api.KeyAnswer](ctx, s, http.MethodPost, path+"/"+verb, in)
			if err != nil {
				return err
			}
			return a.keyEnded(raw, done, out, in.Descendants)
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&in.Reason, "reason", "", "why, for the audit log: compromised, superseded, unused, owner_left or other")
	fs.StringVar(&in.Note, "note", "", "more words for the audit log")
	p.register(fs)
	if verb == "revoke" {
		fs.BoolVar(&in.Descendants, "descendants", false, "revoke also every key and account that was made with it, or with those")
	}
	return cmd
}

// keyEnded says what happened to a key, and what was made with it.
func (a *app) keyEnded(raw []byte, done string, out api.KeyAnswer, descendants bool) error {
	name := out.Key.Principal.Name + "/" + out.Key.Name
	if err := a.ended(raw, done, name, out.Receipt); err != nil {
		return err
	}
	var alive int64
	for _, d := range out.Descendants {
		if d.State == string(iam.Active) || d.State == string(iam.Paused) {
			alive++
		}
	}
	if alive > 0 && !descendants {
		a.note("%d of the keys and accounts that were made with it, or with those, can still be used. To end them too: postern key revoke %s --descendants",
			alive, out.Key.ID)
	}
	return nil
}

func (a *app) keyVerify() *cobra.Command {
	key := secretIn{noun: "key"}
	var in api.Verify
	var ip string
	cmd := a.leaf(command{
		use: "verify", short: "Ask whether a key may be used; exit 0 for yes, 1 for no",
		long: "The one who asks needs iam.keys:verify. --workspace names another workspace, or any, for callers of the system workspace.",
		examples: [2]string{
			"postern key verify --key-file bot.h --permission tickets:read",
			"postern key verify --key - --json < bot.h",
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			secret, err := key.read(a.Stdin)
			if err != nil {
				return err
			}
			in.Key = secret.Reveal()
			if ip != "" {
				in.Source = &api.VerifySource{IP: ip}
			}
			if s.workspace != "-" {
				in.Workspace = s.workspace
			}
			verdict, raw, err := call[api.Verdict](ctx, s, http.MethodPost, "/v1/verify", in)
			if err != nil {
				return err
			}
			if err := show(a, raw, verdictColumns()); err != nil {
				return err
			}
			if !verdict.Valid {
				return errNo
			}
			return nil
		},
	})
	key.register(cmd.Flags())
	cmd.Flags().StringArrayVar(&in.Permissions, "permission", nil, "what it must be allowed to do; may be repeated")
	cmd.Flags().StringVar(&ip, "ip", "", "address that the key is used from")
	return cmd
}

func verdictColumns() []column[api.Verdict] {
	return []column[api.Verdict]{
		{name: "code", text: func(v api.Verdict) string { return v.Code }},
		{name: "principal", text: func(v api.Verdict) string {
			if v.Principal == nil {
				return ""
			}
			return v.Principal.Name
		}},
		{name: "key", text: func(v api.Verdict) string {
			if v.Key == nil {
				return ""
			}
			return v.Key.Name
		}},
		{name: "role", text: func(v api.Verdict) string {
			if v.Role == nil {
				return ""
			}
			return v.Role.Name
		}},
		{name: "decisions", text: func(v api.Verdict) string { return decisions(v.Decisions) }},
	}
}
