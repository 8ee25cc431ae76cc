package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/token"
)

func workspaceColumns() []column[api.Workspace] {
	return []column[api.Workspace]{
		{name: "slug", text: func(w api.Workspace) string { return w.Slug }},
		{name: "id", text: func(w api.Workspace) string { return w.ID }},
		{name: "name", text: func(w api.Workspace) string { return w.Name }},
		{name: "state", text: func(w api.Workspace) string { return w.State }},
		{name: "system", text: func(w api.Workspace) string { return strconv.FormatBool(w.System) }},
		{name: "policy", text: func(w api.Workspace) string { return policyText(w.Policy) }, detail: true},
		{name: "created_at", text: func(w api.Workspace) string { return when(w.CreatedAt) }},
	}
}

// policyText writes a policy as --policy takes it.
func policyText(p api.Policy) string {
	raw, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	var settings map[string]json.RawMessage
	if json.Unmarshal(raw, &settings) != nil {
		return ""
	}
	var all []string
	for _, name := range sortedKeys(settings) {
		all = append(all, name+"="+strings.Trim(string(settings[name]), `"`))
	}
	return strings.Join(all, " ")
}

func (a *app) workspaceCommand() *cobra.Command {
	return a.group("workspace", "Workspaces: the tenants of a deployment",
		a.workspaceCreate(), a.workspaceList(), a.workspaceGet(), a.workspaceUpdate(),
		a.workspacePause(), a.workspaceResume())
}

func (a *app) workspaceList() *cobra.Command {
	var state, search string
	cmd := a.leaf(command{
		use: "list", short: "List the workspaces of the deployment",
		examples: [2]string{"postern workspace list", "postern workspace list --state active --field slug"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			return list(ctx, a, s, "/v1/workspaces", filters("state", state, "q", search), workspaceColumns())
		},
	})
	cmd.Flags().StringVar(&state, "state", "", "only those that are active or paused")
	cmd.Flags().StringVar(&search, "q", "", "only those with this in the name or the slug")
	return cmd
}

func (a *app) workspaceCreate() *cobra.Command {
	var in api.CreateWorkspace
	var owner string
	var out secretOut
	cmd := a.leaf(command{
		use: "create NAME", short: "Create a workspace, and invite its first owner",
		examples: [2]string{
			"postern workspace create Globex --slug globex --owner jo@example.com --out-token globex.token",
			"postern workspace create Initech --slug initech --field id",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			in.Name = args[0]
			if owner != "" {
				in.Owner = &api.WorkspaceOwner{Email: owner}
				if err := out.prepare(a, "invitation.token"); err != nil {
					return err
				}
				defer out.close()
			}
			made, raw, err := call[api.CreatedWorkspace](ctx, s, http.MethodPost, "/v1/workspaces", in)
			if err != nil {
				return err
			}
			return a.showCreatedWorkspace(made, raw, &out)
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&in.Slug, "slug", "", "its short name in paths, for good")
	fs.StringVar(&owner, "owner", "", "address of its first owner, who is invited")
	out.registerToken(fs)
	return cmd
}

func (a *app) showCreatedWorkspace(made api.CreatedWorkspace, raw json.RawMessage, out *secretOut) error {
	columns := workspaceColumns()
	if made.Invitation != nil {
		if err := out.deliver(a, token.NewSecret(made.Invitation.Token), made.Invitation.ID); err != nil {
			return err
		}
		value := made.Invitation.Token
		if out.toFiles() {
			value = ""
			var err error
			if raw, err = withoutToken(raw); err != nil {
				return err
			}
		}
		if a.global.output == formatTable {
			columns = append(columns, column[api.Workspace]{name: "token", text: func(api.Workspace) string { return value }})
		}
	}
	if err := show(a, raw, columns); err != nil {
		return err
	}
	if made.Invitation != nil {
		a.next("postern member accept --token-file FILE --name NAME")
	} else {
		a.next("postern workspace get %s", made.Slug)
	}
	return nil
}

// withoutToken takes the invitation's token out of an answer.
func withoutToken(raw json.RawMessage) (json.RawMessage, error) {
	var made struct {
		api.Workspace
		Invitation api.Invitation `json:"invitation"`
		Revision   int64          `json:"revision"`
	}
	if err := json.Unmarshal(raw, &made); err != nil {
		return nil, err
	}
	return json.Marshal(made)
}

// workspacePath returns the path of the workspace that an argument names, else of
// the one that the command works on.
func workspacePath(s session, args []string) string {
	return below("/v1/workspaces/", append(args, s.workspace)[0])
}

func (a *app) workspaceGet() *cobra.Command {
	return a.leaf(command{
		use: "get [WORKSPACE]", short: "Show a workspace and its policy",
		examples: [2]string{"postern workspace get", "postern workspace get globex --field state"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			_, raw, err := call[api.Workspace](ctx, s, http.MethodGet, workspacePath(s, args), nil)
			if err != nil {
				return err
			}
			return show(a, raw, workspaceColumns())
		},
	})
}

func (a *app) workspaceUpdate() *cobra.Command {
	var name string
	var policy []string
	cmd := a.leaf(command{
		use: "update [WORKSPACE]", short: "Change the name or the policy of your workspace",
		long: "A setting of the policy is NAME=VALUE, as postern workspace get shows it; null takes a cap or a limit away.",
		examples: [2]string{
			"postern workspace update --policy seat_limit=25 --policy owner_required=false",
			"postern workspace update --policy seat_limit=null",
		},
		run: func(ctx context.Context, cmd *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			in := api.UpdateWorkspace{Name: given(cmd, "name", name)}
			if in.Policy, err = readPolicy(policy); err != nil {
				return err
			}
			if in == (api.UpdateWorkspace{}) {
				return usagef("say what to change: --name or --policy NAME=VALUE")
			}
			_, raw, err := call[api.UpdatedWorkspace](ctx, s, http.MethodPatch, workspacePath(s, args), in)
			if err != nil {
				return err
			}
			return show(a, raw, workspaceColumns())
		},
	})
	cmd.Flags().StringVar(&name, "name", "", "its new name")
	cmd.Flags().StringArrayVar(&policy, "policy", nil, "NAME=VALUE to set; may be repeated")
	return cmd
}

// readPolicy reads settings of a policy, each of the type that it has in the API.
func readPolicy(settings []string) (*api.UpdatePolicy, error) {
	if settings == nil {
		return nil, nil
	}
	p := new(api.UpdatePolicy)
	for _, setting := range settings {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return nil, usagef("--policy: write NAME=VALUE")
		}
		text, err := json.Marshal(map[string]string{name: value})
		if err != nil {
			return nil, err
		}
		plain := []byte(`{` + strconv.Quote(name) + `:` + value + `}`)
		if strictly(plain, p) != nil && strictly(text, p) != nil {
			return nil, usagef("--policy %s: there is no such setting, or it takes another sort of value; postern workspace get shows them", safe(setting))
		}
	}
	return p, nil
}

// strictly reads JSON that has no members that into has not.
func strictly(text []byte, into any) error {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

func (a *app) workspacePause() *cobra.Command {
	return a.workspaceAction("pause", "Paused", "Stop all keys of a workspace until it is resumed", [2]string{
		"postern workspace pause globex --confirm globex",
		`postern workspace pause globex --confirm globex --reason "unpaid" --json`,
	})
}

func (a *app) workspaceResume() *cobra.Command {
	return a.workspaceAction("resume", "Resumed", "Let a paused workspace work again",
		[2]string{"postern workspace resume globex", `postern workspace resume globex --reason "paid"`})
}

func (a *app) workspaceAction(verb, done, short string, examples [2]string) *cobra.Command {
	var reason string
	var p patience
	cmd := a.leaf(command{
		use: verb + " WORKSPACE", short: short, examples: examples,
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := p.session(ctx, a)
			if err != nil {
				return err
			}
			path := workspacePath(s, args)
			if verb == "pause" {
				w, _, err := call[api.Workspace](ctx, s, http.MethodGet, path, nil)
				if err != nil {
					return err
				}
				if err := a.confirm(ctx, verb, w.Slug); err != nil {
					return err
				}
			}
			out, raw, err := call[api.WorkspaceAnswer](ctx, s, http.MethodPost, path+"/"+verb, api.Reason{Reason: reason})
			if err != nil {
				return err
			}
			return a.ended(raw, done, out.Workspace.Slug, out.Receipt)
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	p.register(cmd.Flags())
	return cmd
}
