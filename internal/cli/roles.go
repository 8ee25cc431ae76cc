package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
)

func roleColumns() []column[api.Role] {
	return []column[api.Role]{
		{name: "name", text: func(r api.Role) string { return r.Name }},
		{name: "id", text: func(r api.Role) string { return r.ID }},
		{name: "kind", text: func(r api.Role) string { return r.Kind }},
		{name: "permissions", text: func(r api.Role) string { return texts(r.Permissions) }},
		{name: "members", text: func(r api.Role) string { return strconv.FormatInt(r.Members, 10) }},
		{name: "service_accounts", text: func(r api.Role) string { return strconv.FormatInt(r.ServiceAccounts, 10) }},
		{name: "title", text: func(r api.Role) string { return r.Title }, detail: true},
		{name: "description", text: func(r api.Role) string { return r.Description }, detail: true},
	}
}

func (a *app) roleCommand() *cobra.Command {
	return a.group("role", "Roles: named sets of permissions",
		a.roleList(), a.roleCreate(), a.roleGet(), a.roleUpdate(), a.roleDelete(), a.roleImpact(), a.roleSuggest())
}

func (a *app) roleList() *cobra.Command {
	var kind, search string
	cmd := a.leaf(command{
		use: "list", short: "List roles",
		examples: [2]string{"postern role list", "postern role list --kind custom --field name"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			return list(ctx, a, s, s.path("roles"), filters("kind", kind, "q", search), roleColumns())
		},
	})
	cmd.Flags().StringVar(&kind, "kind", "", "only those that are built_in or custom")
	cmd.Flags().StringVar(&search, "q", "", "only those with this in the name or the title")
	return cmd
}

func (a *app) roleGet() *cobra.Command {
	return a.leaf(command{
		use: "get ROLE", short: "Show a role", complete: a.roleNames,
		examples: [2]string{"postern role get operator", "postern role get ticket-closer --json"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			_, raw, err := call[api.Role](ctx, s, http.MethodGet, s.path("roles", args[0]), nil)
			if err != nil {
				return err
			}
			return show(a, raw, roleColumns())
		},
	})
}

func (a *app) roleCreate() *cobra.Command {
	var in api.CreateRole
	cmd := a.leaf(command{
		use: "create NAME", short: "Create a role of your own",
		long: "A permission is type:action, type/id:action or type/prefix*:action; * stands for every type or action of the product.",
		examples: [2]string{
			"postern role create ticket-closer --permission tickets:read --permission tickets:write",
			`postern role create night-shift --title "Night shift" --permission "tickets/queue-*:*"`,
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			in.Name = args[0]
			made, raw, err := call[api.CreatedRole](ctx, s, http.MethodPost, s.path("roles"), in)
			if err != nil {
				return err
			}
			if err := show(a, raw, roleColumns()); err != nil {
				return err
			}
			a.next("postern sa create NAME --role %s", quote(made.Name))
			return nil
		},
	})
	fs := cmd.Flags()
	fs.StringArrayVar(&in.Permissions, "permission", nil, "what it allows; may be repeated")
	fs.StringVar(&in.Title, "title", "", "how it is shown")
	fs.StringVar(&in.Description, "description", "", "what it is for")
	return cmd
}

func (a *app) roleUpdate() *cobra.Command {
	var name, title, description string
	var permissions []string
	cmd := a.leaf(command{
		use: "update ROLE", short: "Change a role of your own, for all who have it", complete: a.roleNames,
		examples: [2]string{
			"postern role update ticket-closer --permission tickets:read",
			`postern role update ticket-closer --title "Reads tickets" --description "No longer closes them"`,
		},
		run: func(ctx context.Context, cmd *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			in := api.UpdateRole{
				Name: given(cmd, "name", name), Title: given(cmd, "title", title),
				Description: given(cmd, "description", description), Permissions: given(cmd, "permission", permissions),
			}
			if in == (api.UpdateRole{}) {
				return usagef("say what to change: --permission, --title, --description or --name")
			}
			_, raw, err := call[api.UpdatedRole](ctx, s, http.MethodPatch, s.path("roles", args[0]), in)
			if err != nil {
				return err
			}
			return show(a, raw, roleColumns())
		},
	})
	fs := cmd.Flags()
	fs.StringArrayVar(&permissions, "permission", nil, "what it allows, in the place of all that it did; may be repeated")
	fs.StringVar(&title, "title", "", "how it is shown")
	fs.StringVar(&description, "description", "", "what it is for")
	fs.StringVar(&name, "name", "", "its new name")
	return cmd
}

func (a *app) roleDelete() *cobra.Command {
	return a.leaf(command{
		use: "delete ROLE", short: "Delete a role of your own that nobody has", complete: a.roleNames,
		examples: [2]string{"postern role delete ticket-closer", "postern role delete night-shift --json"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			out, raw, err := call[api.RoleAnswer](ctx, s, http.MethodDelete, s.path("roles", args[0]), nil)
			if err != nil {
				return err
			}
			return a.ended(raw, "Deleted", out.Role.Name, out.Receipt)
		},
	})
}

func typeColumns() []column[api.PermissionType] {
	return []column[api.PermissionType]{
		{name: "type", text: func(t api.PermissionType) string { return t.Type }},
		{name: "title", text: func(t api.PermissionType) string { return t.Title }},
		{name: "actions", text: func(t api.PermissionType) string { return texts(t.Actions) }},
	}
}

func (a *app) permissionCommand() *cobra.Command {
	return a.group("permission", "The product's own types and actions", a.permissionRegister(), a.permissionList())
}

func (a *app) permissionList() *cobra.Command {
	return a.leaf(command{
		use: "list", short: "List the types that are registered",
		examples: [2]string{"postern permission list", "postern permission list --json"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			out, _, err := call[api.List[json.RawMessage]](ctx, s, http.MethodGet, s.path("permissions"), nil)
			if err != nil {
				return err
			}
			return showAll(a, out.Data, typeColumns())
		},
	})
}

func (a *app) permissionRegister() *cobra.Command {
	var file string
	cmd := a.leaf(command{
		use: "register", short: "Register the product's own types and actions, all of them",
		long: "The file is JSON: [{\"type\": \"agents\", \"title\": \"Agents\", \"actions\": [\"deploy\"]}]. Every type has\n" +
			"read, write, delete and execute; only actions beyond those need to be registered.",
		examples: [2]string{
			"postern permission register -f permissions.json",
			`echo '[{"type":"agents","actions":["deploy"]}]' | postern permission register -f -`,
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			text, err := a.readInput(file)
			if err != nil {
				return err
			}
			var in json.RawMessage
			if err := json.Unmarshal(text, &in); err != nil {
				return usagef("%s is not JSON: %w", safe(file), err)
			}
			out, raw, err := call[struct{ Data []json.RawMessage }](ctx, s, http.MethodPut, s.path("permissions"), in)
			if err != nil {
				return err
			}
			if a.global.output == formatJSON {
				return a.showJSON(raw)
			}
			return showAll(a, out.Data, typeColumns())
		},
	})
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with the types, or - for stdin")
	return cmd
}

const maxInput = 1 << 20 // what the server takes

// readInput reads a file, or stdin for -.
func (a *app) readInput(file string) ([]byte, error) {
	if file == "" {
		return nil, usagef("say which file: -f FILE, or -f - for stdin")
	}
	in := a.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, failf(exitUsage, "%w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxInput {
		return nil, usagef("%s is longer than %d bytes", safe(file), maxInput)
	}
	return text, nil
}
