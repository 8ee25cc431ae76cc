package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
)

// shownContext is a context as the commands print it.
type shownContext struct {
	Name      string `json:"name"`
	Current   bool   `json:"current"`
	Server    string `json:"server"`
	Workspace string `json:"workspace"`
}

func contextColumns() []column[shownContext] {
	return []column[shownContext]{
		{name: "name", text: func(c shownContext) string { return c.Name }},
		{name: "current", text: func(c shownContext) string {
			if c.Current {
				return "yes"
			}
			return ""
		}},
		{name: "server", text: func(c shownContext) string { return c.Server }},
		{name: "workspace", text: func(c shownContext) string { return c.Workspace }},
	}
}

func (a *app) contextCommand() *cobra.Command {
	return a.group("context", "Contexts: servers that the commands know, each with a key",
		a.contextAdd(), a.contextList(), a.contextUse(), a.contextShow(), a.contextRemove())
}

func (a *app) contextAdd() *cobra.Command {
	key := secretIn{noun: "key"}
	var use bool
	cmd := a.leaf(command{
		use: "add NAME", short: "Store a server and a key for it",
		long: "The key goes into the desktop's keyring or, where there is none, into a file that only you may read.\n" +
			"The first context becomes the current one.",
		examples: [2]string{
			"postern context add staging --server https://postern.internal --key-file bot.h",
			"postern context add bot --server http://localhost:7070 --key - < bot.h",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			c, err := a.newContext(args[0])
			if err != nil {
				return err
			}
			secret, err := key.read(a.Stdin)
			if err != nil {
				return err
			}
			if err := a.keepKey(ctx, args[0], secret); err != nil {
				return err
			}
			current, err := a.putContext(args[0], c, use)
			if err != nil {
				return err
			}
			if !current {
				a.next("postern context use %s", args[0])
			}
			return a.showContext(shownContext{args[0], current, c.Server, c.Workspace})
		},
	})
	key.register(cmd.Flags())
	cmd.Flags().BoolVar(&use, "use", false, "make it the current one")
	return cmd
}

// newContext checks what the flags say about a context.
func (a *app) newContext(name string) (storedContext, error) {
	if !contextName.MatchString(name) {
		return storedContext{}, usagef("a context's name has 1 to 64 letters, digits, points, hyphens and underscores")
	}
	server := cmp.Or(a.global.server, a.env["POSTERN_SERVER"])
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return storedContext{}, usagef("say which server: --server https://postern.internal")
	}
	workspace := a.global.workspace
	if workspace == "-" {
		workspace = ""
	}
	return storedContext{Server: strings.TrimRight(server, "/"), Workspace: workspace, PlainHTTP: a.global.plainHTTP}, nil
}

func (a *app) showContext(c shownContext) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return show(a, raw, contextColumns())
}

func (a *app) contextList() *cobra.Command {
	return a.leaf(command{
		use: "list", short: "List the contexts",
		examples: [2]string{"postern context list", "postern context list --json"},
		run: func(_ context.Context, _ *cobra.Command, _ []string) error {
			all, err := a.loadContexts()
			if err != nil {
				return err
			}
			var items []json.RawMessage
			for _, name := range sortedKeys(all.Contexts) {
				c := all.Contexts[name]
				raw, err := json.Marshal(shownContext{name, name == all.Current, c.Server, c.Workspace})
				if err != nil {
					return err
				}
				items = append(items, raw)
			}
			return showAll(a, items, contextColumns())
		},
	})
}

func (a *app) contextUse() *cobra.Command {
	return a.leaf(command{
		use: "use NAME", short: "Make a context the current one", complete: a.contextNames,
		examples: [2]string{"postern context use staging", "postern context use dev"},
		run: func(_ context.Context, _ *cobra.Command, args []string) error {
			all, err := a.loadContexts()
			if err != nil {
				return err
			}
			if _, ok := all.Contexts[args[0]]; !ok {
				return unknownContext(args[0])
			}
			all.Current = args[0]
			if err := a.saveContexts(all); err != nil {
				return err
			}
			return a.say("Using %s.", args[0])
		},
	})
}

func (a *app) contextShow() *cobra.Command {
	return a.leaf(command{
		use: "show [NAME]", short: "Show a context, or the one that is used", complete: a.contextNames,
		examples: [2]string{"postern context show", "postern context show staging --field server"},
		run: func(_ context.Context, _ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.global.context = args[0]
			}
			name, c, err := a.currentContext()
			if err != nil {
				return err
			}
			if name == "" {
				return failf(exitNotFound, "there is no current context")
			}
			all, err := a.loadContexts()
			if err != nil {
				return err
			}
			return a.showContext(shownContext{name, name == all.Current, c.Server, c.Workspace})
		},
	})
}

func (a *app) contextRemove() *cobra.Command {
	return a.leaf(command{
		use: "remove NAME", short: "Forget a context and its key; the key itself goes on", complete: a.contextNames,
		examples: [2]string{"postern context remove staging", "postern context remove bot"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			all, err := a.loadContexts()
			if err != nil {
				return err
			}
			if _, ok := all.Contexts[args[0]]; !ok {
				return unknownContext(args[0])
			}
			delete(all.Contexts, args[0])
			if all.Current == args[0] {
				all.Current = ""
			}
			if err := a.forgetKey(ctx, args[0]); err != nil {
				return err
			}
			if err := a.saveContexts(all); err != nil {
				return err
			}
			return a.say("Removed %s.", args[0])
		},
	})
}

// contextNames completes the name of a context.
func (a *app) contextNames(context.Context, string) []string {
	all, err := a.loadContexts()
	if err != nil {
		return nil
	}
	return sortedKeys(all.Contexts)
}

func (a *app) whoamiCommand() *cobra.Command {
	return a.leaf(command{
		use: "whoami", short: "Show who the commands act as, and what that allows",
		examples: [2]string{"postern whoami", "postern whoami --field principal.name"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			_, raw, err := call[api.Whoami](ctx, s, "GET", "/v1/whoami", nil)
			if err != nil {
				return err
			}
			return show(a, raw, []column[api.Whoami]{
				{name: "principal", text: func(w api.Whoami) string { return w.Principal.Name }},
				{name: "type", text: func(w api.Whoami) string { return w.Principal.Type }},
				{name: "workspace", text: func(w api.Whoami) string { return w.Principal.Workspace.Slug }},
				{name: "role", text: func(w api.Whoami) string { return w.Role.Name }},
				{name: "permissions", text: func(w api.Whoami) string { return texts(w.Permissions) }},
				{name: "key", text: func(w api.Whoami) string { return heldKey(w).Name }},
				{name: "expires_at", text: func(w api.Whoami) string { return whenOr(heldKey(w).ExpiresAt, "never") }},
				{name: "server", text: func(api.Whoami) string { return s.Server }},
			})
		},
	})
}

// heldKey returns the key that commands act with.
func heldKey(w api.Whoami) api.VerdictKey {
	if w.Key == nil {
		return api.VerdictKey{} // a session, which no command has
	}
	return *w.Key
}
