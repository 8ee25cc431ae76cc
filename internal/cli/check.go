package cli

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
)

// decisions writes what a verdict says of each permission.
func decisions(m map[string]bool) string {
	var all []string
	for _, name := range sortedKeys(m) {
		word := "no"
		if m[name] {
			word = "yes"
		}
		all = append(all, name+" "+word)
	}
	return texts(all)
}

func (a *app) checkCommand() *cobra.Command {
	key := secretIn{noun: "key"}
	var as, permission string
	cmd := a.leaf(command{
		use: "check", short: "Ask whether an account or a key may do something, and why; exit 0 for yes, 1 for no",
		examples: [2]string{
			"postern check --as support-bot-prod --permission tickets:read",
			"postern check --key-file bot.h --permission tickets:read --json",
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			if permission == "" || (as == "") != key.given() {
				return usagef("say who and what: --as ACCOUNT or --key -, and --permission PERMISSION")
			}
			in := api.Check{Permission: permission}
			if as != "" {
				in.Principal, err = s.principalID(ctx, as)
			} else {
				in.Key, err = a.keyID(ctx, s, key)
			}
			if err != nil {
				return err
			}
			return a.check(ctx, s, in)
		},
	})
	key.register(cmd.Flags())
	cmd.Flags().StringVar(&as, "as", "", "the account or member that is asked about")
	cmd.Flags().StringVar(&permission, "permission", "", "what it is to do, such as tickets:read")
	a.completeFlag(cmd, "as", a.accountNames)
	return cmd
}

// keyID returns the id of a key by its value.
func (a *app) keyID(ctx context.Context, s session, in secretIn) (string, error) {
	secret, err := in.read(a.Stdin)
	if err != nil {
		return "", err
	}
	verdict, _, err := call[api.Verdict](ctx, s, http.MethodPost, "/v1/verify", api.Verify{Key: secret.Reveal()})
	if err != nil {
		return "", err
	}
	if verdict.Key == nil {
		return "", failf(exitNotFound, "there is no such key")
	}
	return verdict.Key.ID, nil
}

func (a *app) check(ctx context.Context, s session, in api.Check) error {
	result, raw, err := call[api.CheckResult](ctx, s, http.MethodPost, s.path("check"), in)
	if err != nil {
		return err
	}
	err = show(a, raw, []column[api.CheckResult]{
		{name: "allowed", text: func(r api.CheckResult) string {
			if r.Allowed {
				return "yes"
			}
			return "no"
		}},
		{name: "because", text: func(r api.CheckResult) string { return strings.Join(r.Because, "; ") }},
	})
	if err == nil && !result.Allowed {
		err = errNo
	}
	return err
}
