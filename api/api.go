// Package api is the wire: what Postern's server and its clients say to each
// other. Both sides import it, so neither can drift. It imports nothing of ours.
//
// Every time is a [Time]. The tags doc, enum, format and the
// like feed the OpenAPI document.
package api

// Ref names a thing by id and name.
type Ref struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// WorkspaceRef names a workspace.
type WorkspaceRef struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
}

// Actor names who did something, and the state they have now.
type Actor struct {
	ID    string `json:"id"`
	Type  string `json:"type" enum:"member,service_account,system,anonymous"`
	Name  string `json:"name"`
	State string `json:"state" enum:"active,paused,inactive,removed"`
}

// KeyCounts counts the keys of a principal.
type KeyCounts struct {
	Active int64 `json:"active" doc:"Keys that work now."`
	Total  int64 `json:"total" doc:"All keys, also those that ended."`
}

// Revocation is the end of an account or a key.
type Revocation struct {
	At     Time    `json:"at"`
	By     Actor   `json:"by"`
	Reason *string `json:"reason" doc:"Why, when it was said."`
	Note   *string `json:"note,omitempty"`
}

// LastUse is when and from where a key was last used.
type LastUse struct {
	At     Time   `json:"at"`
	Key    *Ref   `json:"key,omitempty"`
	Source Source `json:"source"`
}

// Source says where a call came from.
type Source struct {
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
	Node      string `json:"node"`
}

// ServiceAccount is a principal that is not a person.
type ServiceAccount struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Description  string            `json:"description"`
	Owner        string            `json:"owner" doc:"The responsible team's name."`
	Role         Ref               `json:"role"`
	State        string            `json:"state" enum:"active,paused,inactive"`
	Keys         KeyCounts         `json:"keys"`
	LastUsed     *LastUse          `json:"last_used" doc:"Null until a key of the account was used."`
	CreatedAt    Time              `json:"created_at"`
	CreatedBy    Actor             `json:"created_by"`
	CreatedByKey *string           `json:"created_by_key"`
	Revoked      *Revocation       `json:"revoked"`
	Metadata     map[string]string `json:"metadata"`
	Etag         string            `json:"etag"`
}

// CreateServiceAccount is the body of POST W/service_accounts.
type CreateServiceAccount struct {
	Name        string            `json:"name" doc:"Lower-case letters, digits and hyphens; unique in the workspace, for good." example:"support-bot-prod"`
	Description string            `json:"description,omitempty" doc:"Name the owning team." example:"Owner: Support Platform"`
	Owner       string            `json:"owner,omitempty" doc:"The responsible team's name; when left out, the one that the description names as Owner: Team."`
	Role        string            `json:"role" doc:"Id or name of a role." example:"operator"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// UpdateServiceAccount is the body of PATCH W/service_accounts/{id}.
type UpdateServiceAccount struct {
	Name        *string            `json:"name,omitempty"`
	Description *string            `json:"description,omitempty"`
	Owner       *string            `json:"owner,omitempty"`
	Role        *string            `json:"role,omitempty"`
	Metadata    *map[string]string `json:"metadata,omitempty" doc:"Replaces all entries."`
}

// Reason is the body of an action on an account or a workspace.
type Reason struct {
	Reason string `json:"reason,omitempty" doc:"Why, for the audit log."`
}

// Ending is the body of an action on a key.
type Ending struct {
	Reason      string `json:"reason,omitempty" doc:"compromised, superseded, unused, owner_left or other."`
	Note        string `json:"note,omitempty" doc:"More words, for the audit log."`
	Descendants bool   `json:"descendants,omitempty" doc:"With revoke: also, in the same revision, every key and account that was made with this key, or with those."`
}

// Principal names the owner of a key.
type Principal struct {
	Type string `json:"type" enum:"member,service_account"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Key is what is kept of an API key.
type Key struct {
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	Principal       Principal         `json:"principal"`
	Hint            string            `json:"hint" example:"pst_sa_7Qm2…x9Kd"`
	State           string            `json:"state" enum:"active,paused,expired,revoked"`
	Limit           []string          `json:"limit" nullable:"true" doc:"Null: all that the role allows."`
	Effective       []string          `json:"effective" doc:"What the key can do: role and limit together."`
	AllowedNetworks []string          `json:"allowed_networks" nullable:"true" doc:"Null: from anywhere."`
	ExpiresAt       *Time             `json:"expires_at" doc:"Null: never."`
	LastUsed        *LastUse          `json:"last_used"`
	Metadata        map[string]string `json:"metadata"`
	CreatedAt       Time              `json:"created_at"`
	CreatedBy       Actor             `json:"created_by"`
	CreatedByKey    *string           `json:"created_by_key"`
	Rotation        *string           `json:"rotation"`
	Replaces        *string           `json:"replaces"`
	Revoked         *Revocation       `json:"revoked"`
	Etag            string            `json:"etag"`
}

// CreateKey is the body of POST W/service_accounts/{id}/keys and W/me/keys.
type CreateKey struct {
	Name            string            `json:"name" doc:"Unique among the keys of the account." example:"prod-2026-11"`
	ExpiresIn       *string           `json:"expires_in,omitempty" doc:"A whole number and s, m, h or d." example:"90d"`
	ExpiresAt       Optional[Time]    `json:"expires_at,omitzero" doc:"When it ends; null: never; absent: what the workspace's policy says."`
	Limit           *[]string         `json:"limit,omitempty" doc:"Less than the role allows, never more. Absent or null: all of it."`
	AllowedNetworks *[]string         `json:"allowed_networks,omitempty" doc:"Networks in CIDR notation. Absent or null: from anywhere."`
	Metadata        map[string]string `json:"metadata,omitempty"`
}

// UpdateKey is the body of PATCH W/keys/{id}.
type UpdateKey struct {
	Name            *string            `json:"name,omitempty"`
	ExpiresAt       Optional[Time]     `json:"expires_at,omitzero" doc:"Null: never."`
	Limit           Optional[[]string] `json:"limit,omitzero" doc:"Null: all that the role allows."`
	AllowedNetworks Optional[[]string] `json:"allowed_networks,omitzero" doc:"Null: from anywhere."`
}

// Person is one sign-in identity.
type Person struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Member is a person in a workspace.
type Member struct {
	ID           string    `json:"id"`
	Person       Person    `json:"person"`
	Name         string    `json:"name"`
	Email        string    `json:"email"`
	Role         Ref       `json:"role"`
	State        string    `json:"state" enum:"active,removed"`
	Keys         KeyCounts `json:"keys"`
	LastActiveAt *Time     `json:"last_active_at"`
	CreatedAt    Time      `json:"created_at"`
	Etag         string    `json:"etag"`
}

// UpdateMember is the body of PATCH W/members/{id}.
type UpdateMember struct {
	Role string `json:"role" doc:"Id or name of a role."`
}

// Seats counts who holds one. Service accounts never do.
type Seats struct {
	Used    int64  `json:"used"`
	Pending int64  `json:"pending"`
	Limit   *int64 `json:"limit"`
}

// Invitation is a membership offered to an address.
type Invitation struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	Role      Ref    `json:"role"`
	State     string `json:"state" enum:"pending,accepted,cancelled,expired"`
	InvitedBy Actor  `json:"invited_by"`
	CreatedAt Time   `json:"created_at"`
	ExpiresAt Time   `json:"expires_at"`
}

// CreateInvitation is the body of POST W/invitations.
type CreateInvitation struct {
	Email string `json:"email" example:"jo@example.com"`
	Role  string `json:"role" doc:"Id or name of a role."`
}

// AcceptInvitation is the body of POST /v1/invitations/accept.
type AcceptInvitation struct {
	Token string   `json:"token" doc:"Works once."`
	Name  string   `json:"name" doc:"The new member's name."`
	Key   *KeyName `json:"key,omitempty" doc:"Ask for a first personal key."`

	Password string           `json:"password,omitempty" doc:"To sign in with, which this does at once: the one that the person has, or else the first one, of 12 to 256 characters."`
	Passkey  *NewPasskeyProof `json:"passkey,omitempty" doc:"Instead of a password."`
}

// KeyName names a key that is wanted along with something else.
type KeyName struct {
	Name string `json:"name"`
}

// Role is a named set of permissions.
type Role struct {
	ID              string   `json:"id"`
	Name            string   `json:"name"`
	Title           string   `json:"title"`
	Description     string   `json:"description"`
	Kind            string   `json:"kind" enum:"built_in,custom"`
	Permissions     []string `json:"permissions"`
	Members         int64    `json:"members"`
	ServiceAccounts int64    `json:"service_accounts"`
	Etag            string   `json:"etag"`
}

// CreateRole is the body of POST W/roles.
type CreateRole struct {
	Name        string   `json:"name" doc:"Kept in lower case."`
	Title       string   `json:"title,omitempty" doc:"Shown; the name when left out."`
	Description string   `json:"description,omitempty"`
	Permissions []string `json:"permissions" example:"[\"tickets:read\",\"tickets:execute\"]"`
}

// UpdateRole is the body of PATCH W/roles/{id}.
type UpdateRole struct {
	Name        *string   `json:"name,omitempty"`
	Title       *string   `json:"title,omitempty"`
	Description *string   `json:"description,omitempty"`
	Permissions *[]string `json:"permissions,omitempty"`
}

// PermissionType is one of the product's own types and what can be done with it.
type PermissionType struct {
	Type    string   `json:"type" example:"agents"`
	Title   string   `json:"title,omitempty"`
	Actions []string `json:"actions" doc:"Beyond read, write, delete and execute, which every type has."`
}

// Check is the body of POST W/check: one of principal and key, and a permission.
type Check struct {
	Principal  string `json:"principal,omitempty" doc:"Id of a member or a service account, or an account's name."`
	Key        string `json:"key,omitempty" doc:"Id of a key."`
	Permission string `json:"permission" example:"agents:execute"`
}

// CheckResult says whether, and why.
type CheckResult struct {
	Allowed bool     `json:"allowed"`
	Because []string `json:"because"`
}

// Policy is what a workspace demands.
type Policy struct {
	AccountKeyDefaultDays int64  `json:"account_key_default_days"`
	AccountKeyMaxDays     *int64 `json:"account_key_max_days" doc:"Null: no cap."`
	MemberKeyDefaultDays  int64  `json:"member_key_default_days"`
	MemberKeyMaxDays      *int64 `json:"member_key_max_days" doc:"Null: no cap."`
	OwnerRequired         bool   `json:"owner_required"`
	SeatLimit             *int64 `json:"seat_limit" doc:"Null: no limit."`
	InvitationDays        int64  `json:"invitation_days"`
	QuietFor              string `json:"quiet_for"`
	UsageDays             int64  `json:"usage_days"`
	SelfRotation          bool   `json:"self_rotation"`
	RevealRefusalReason   bool   `json:"reveal_refusal_reason"`
}

// UpdatePolicy changes some settings of a policy.
type UpdatePolicy struct {
	AccountKeyDefaultDays *int64          `json:"account_key_default_days,omitempty"`
	AccountKeyMaxDays     Optional[int64] `json:"account_key_max_days,omitzero"`
	MemberKeyDefaultDays  *int64          `json:"member_key_default_days,omitempty"`
	MemberKeyMaxDays      Optional[int64] `json:"member_key_max_days,omitzero"`
	OwnerRequired         *bool           `json:"owner_required,omitempty"`
	SeatLimit             Optional[int64] `json:"seat_limit,omitzero"`
	InvitationDays        *int64          `json:"invitation_days,omitempty"`
	QuietFor              *string         `json:"quiet_for,omitempty"`
	UsageDays             *int64          `json:"usage_days,omitempty"`
	SelfRotation          *bool           `json:"self_rotation,omitempty"`
	RevealRefusalReason   *bool           `json:"reveal_refusal_reason,omitempty"`
}

// Workspace is the tenant.
type Workspace struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Slug      string `json:"slug"`
	System    bool   `json:"system" doc:"Its principals operate the deployment."`
	State     string `json:"state" enum:"active,paused"`
	Policy    Policy `json:"policy"`
	CreatedAt Time   `json:"created_at"`
	Etag      string `json:"etag"`
}

// CreateWorkspace is the body of POST /v1/workspaces.
type CreateWorkspace struct {
	Name  string          `json:"name"`
	Slug  string          `json:"slug"`
	Owner *WorkspaceOwner `json:"owner,omitempty" doc:"Invited as the first owner."`
}

// WorkspaceOwner names the first owner of a new workspace.
type WorkspaceOwner struct {
	Email string `json:"email"`
}

// UpdateWorkspace is the body of PATCH /v1/workspaces/{workspace}.
type UpdateWorkspace struct {
	Name   *string       `json:"name,omitempty"`
	Policy *UpdatePolicy `json:"policy,omitempty"`
}

// AuditEvent is one line of the audit log.
type AuditEvent struct {
	ID        string         `json:"id"`
	Seq       int64          `json:"seq" doc:"Counts the workspace's events from 1, without gaps."`
	At        Time           `json:"at"`
	Actor     Actor          `json:"actor"`
	Key       *Ref           `json:"key"`
	Action    string         `json:"action" example:"key.created"`
	Target    Target         `json:"target"`
	Outcome   string         `json:"outcome" enum:"done,refused"`
	Reason    string         `json:"reason"`
	Source    Source         `json:"source"`
	RequestID string         `json:"request_id"`
	Before    map[string]any `json:"before" nullable:"true"`
	After     map[string]any `json:"after" nullable:"true"`
}

// Target names what was acted on.
type Target struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state,omitempty" enum:"active,paused,inactive,removed" doc:"In audit events of a service account or a member: the state that it has now."`
}

// Receipt is the proof of a change.
type Receipt struct {
	ID          string       `json:"id"`
	Revision    int64        `json:"revision"`
	DecidedAt   Time         `json:"decided_at"`
	KeysStopped int64        `json:"keys_stopped"`
	Confirmed   bool         `json:"confirmed" doc:"No node answers from before the change any more, but for those of nodes.bounded."`
	By          *string      `json:"by" enum:"acked,expired,bounded" doc:"What that rests on; null until it is confirmed."`
	Durability  *string      `json:"durability" enum:"quorum,local" doc:"local: a failover of the database can undo the change. null until somebody has looked."`
	Nodes       ReceiptNodes `json:"nodes"`
	TookMS      float64      `json:"took_ms" doc:"From the commit to the confirmation, or until now."`
}

// ReceiptNodes says which nodes a receipt rests on, as of the last look at them.
type ReceiptNodes struct {
	Total     int64         `json:"total"`
	Confirmed int64         `json:"confirmed"`
	Expired   []string      `json:"expired"`
	Bounded   []string      `json:"bounded"`
	Waiting   []WaitingNode `json:"waiting"`
}

// WaitingNode is a node that has not confirmed yet.
type WaitingNode struct {
	Name        string `json:"name"`
	LeaseLeftMS int64  `json:"lease_left_ms"`
}

// Node is a process that answers verifications from memory.
type Node struct {
	ID                string   `json:"id" doc:"Random, and another one each time that the process joins: two nodes may have the same name."`
	Name              string   `json:"name"`
	Kind              string   `json:"kind" enum:"server,verifier"`
	Version           string   `json:"version" doc:"Of the program. Empty for a verifier."`
	Self              bool     `json:"self" doc:"It is the node that answers this request."`
	Consistency       string   `json:"consistency" enum:"strict,bounded" doc:"A bounded node goes on for a while without the database, and receipts name it."`
	Revision          int64    `json:"revision" doc:"The node answers from this change or a later one, or not at all."`
	Lag               *int64   `json:"lag" doc:"Changes that it has not confirmed yet. Null for a verifier that does not follow the node that answers: the one that it follows knows."`
	LeaseTTLMS        *int64   `json:"lease_ttl_ms" doc:"For how long the node may answer after it last reached the database, or a verifier the node that it follows. Null for a server that is alone, which needs no lease."`
	LeaseLeftMS       *int64   `json:"lease_left_ms" doc:"What is left of that, if nothing more is heard of the node: 0 says that it is dead or cut off. Null for a server that is alone, and for a verifier that follows another node than the one that answers, until that is cut off or has not been heard of for three minutes."`
	RequestsPerSecond *float64 `json:"requests_per_second" doc:"How often keys were accepted or refused there, over about ten seconds. Null where nobody looked: in the stream."`

	Follows   *string `json:"follows" doc:"The name of the node that a verifier follows. Null for a server."`
	Workspace *string `json:"workspace" doc:"The slug of the workspace of the account whose key a verifier has. Null for a server."`
	SetAside  *bool   `json:"set_aside" doc:"The verifier gets no lease until it has caught up, or for a minute, because it let one run out on a change. Null for a server, and for a verifier that does not follow the node that answers."`

	LastContact Time `json:"last_contact" doc:"When it last wrote to the database, or a verifier asked the node that it follows for a lease, as far as the node that answers has heard."`
	StartedAt   Time `json:"started_at" doc:"When it joined."`
}
