package iam

// The permissions that Postern's own operations need. Package server names one
// of them in each row of its route table.
var (
	ReadAccounts    = Permission{Type: "iam.service_accounts", Action: "read"}
	WriteAccounts   = Permission{Type: "iam.service_accounts", Action: "write"}
	ReadKeys        = Permission{Type: "iam.keys", Action: "read"}
	WriteKeys       = Permission{Type: "iam.keys", Action: "write"}
	VerifyKeys      = Permission{Type: "iam.keys", Action: "verify"}
	ReadMembers     = Permission{Type: "iam.members", Action: "read"}
	WriteMembers    = Permission{Type: "iam.members", Action: "write"}
	ReadRoles       = Permission{Type: "iam.roles", Action: "read"}
	WriteRoles      = Permission{Type: "iam.roles", Action: "write"}
	ReadAudit       = Permission{Type: "iam.audit", Action: "read"}
	ExportAudit     = Permission{Type: "iam.audit", Action: "export"}
	ReadSettings    = Permission{Type: "iam.settings", Action: "read"}
	WriteSettings   = Permission{Type: "iam.settings", Action: "write"}
	ReadNodes       = Permission{Type: "iam.nodes", Action: "read"}
	ReadWorkspaces  = Permission{Type: "iam.workspaces", Action: "read"}
	WriteWorkspaces = Permission{Type: "iam.workspaces", Action: "write"}

	ownersWrite = Permission{Type: "iam.owners", Action: "write"}
)

// The names of the built-in roles.
const (
	Viewer   = "viewer"
	Operator = "operator"
	Editor   = "editor"
	Verifier = "verifier"
	Admin    = "admin"
	Owner    = "owner" // people only
)

// shippedActions are the actions that every type has; a workspace registers
// others.
var shippedActions = []string{"read", "write", "delete", "execute"}

// BuiltInRoles returns the roles that a new workspace has, without ids.
func BuiltInRoles() []Role {
	product := Grant{Type: wildcard, Action: wildcard}
	administration := Grant{Type: AnyIAM, Action: wildcard}
	owners := Grant{Type: ownersWrite.Type, Action: ownersWrite.Action}
	any := func(action string) Grant { return Grant{Type: wildcard, Action: action} }
	verify := Grant{Type: VerifyKeys.Type, Action: VerifyKeys.Action}
	return []Role{
		builtIn(Viewer, "Viewer", "Reads everything in the product.", any("read")),
		builtIn(Operator, "Operator", "Executes and reads: what most service accounts need.", any("read"), any("execute")),
		builtIn(Editor, "Editor", "Everything in the product, no settings.", any("read"), any("write"), any("delete"), any("execute")),
		builtIn(Verifier, "Verifier", "Checks keys for a service; nothing else.", verify),
		builtIn(Admin, "Admin", "Everything in the product and in its administration. Avoid Admin-level service accounts unless the workload genuinely requires settings changes.", product, administration),
		builtIn(Owner, "Owner", "Admin, and may make, change and remove owners. People only.", product, administration, owners),
	}
}

func builtIn(name, title, description string, grants ...Grant) Role {
	return Role{
		Name: name, Title: title, Description: description,
		BuiltIn: true, Permissions: NewPermissions(grants...),
	}
}

// holdsOwners reports whether a set gives power over owners, which only the
// role Owner has.
func holdsOwners(ps Permissions) bool { return ps.Allow(ownersWrite) }
