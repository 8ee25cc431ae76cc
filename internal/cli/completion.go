package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionWait is how long somebody who presses Tab waits for a server.
const completionWait = 2 * time.Second

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	cmd := a.leaf(command{
		use: "completion SHELL", short: "Print what makes a shell complete commands, and names from the server",
		long:     "For bash: source <(postern completion bash)",
		complete: func(context.Context, string) []string { return shells },
		examples: [2]string{"postern completion bash > postern.bash", "postern completion zsh > _postern"},
		run: func(_ context.Context, cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.Stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.Stdout)
			case "fish":
				return root.GenFishCompletion(a.Stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.Stdout)
			}
			return usagef("write %s", strings.Join(shells, ", "))
		},
	})
	return cmd
}

// completer makes a completion of the first argument; none of the others.
func (a *app) completer(names func(ctx context.Context, prefix string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if names == nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completions(cmd.Context(), names, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag makes a completion of a flag's value.
func (a *app) completeFlag(cmd *cobra.Command, flag string, names func(ctx context.Context, prefix string) []string) {
	complete := func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.completions(cmd.Context(), names, prefix), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // the flag is not there: a mistake in the lines above the call
	}
}

func (a *app) completions(ctx context.Context, names func(context.Context, string) []string, prefix string) []string {
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	var fitting []string
	for _, name := range names(ctx, prefix) {
		if strings.HasPrefix(name, prefix) && !strings.ContainsFunc(name, isUnsafe) {
			fitting = append(fitting, name)
		}
	}
	return fitting
}

// accountNames returns names of service accounts that are not revoked. A failure
// is nobody's to hear while they type.
func (a *app) accountNames(ctx context.Context, prefix string) []string {
	return a.namesOf(ctx, accountsPart, url.Values{"q": {prefix}, "state": {"active"}})
}

// roleNames returns the names of roles.
func (a *app) roleNames(ctx context.Context, prefix string) []string {
	return a.namesOf(ctx, "roles", url.Values{"q": {prefix}})
}

func (a *app) namesOf(ctx context.Context, part string, query url.Values) []string {
	s, err := a.session(ctx)
	if err != nil {
		return nil
	}
	if query.Get("q") == "" {
		query.Del("q")
	}
	items, _, err := s.fetch(ctx, s.path(part), query, maxPage)
	if err != nil {
		return nil
	}
	var names []string
	for _, raw := range items {
		var item struct{ Name string }
		if json.Unmarshal(raw, &item) == nil {
			names = append(names, item.Name)
		}
	}
	return names
}
