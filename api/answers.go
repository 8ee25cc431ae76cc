package api

// List is a part of a list.
type List[T any] struct {
	Data       []T     `json:"data"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor" doc:"For the parameter cursor; null on the last page."`
}

// ServiceAccountList answers GET W/service_accounts.
type ServiceAccountList struct {
	List[ServiceAccount]
	Counts *StateCounts `json:"counts,omitempty" doc:"When it is asked for: how many accounts of each state the other filters let through."`
}

// StateCounts is how many accounts there are of each state.
type StateCounts struct {
	Active   int64 `json:"active"`
	Paused   int64 `json:"paused"`
	Inactive int64 `json:"inactive"`
}

// CreatedServiceAccount answers POST W/service_accounts.
type CreatedServiceAccount struct {
	ServiceAccount
	Revision int64 `json:"revision"`
}

// UpdatedServiceAccount answers PATCH W/service_accounts/{id}.
type UpdatedServiceAccount struct {
	ServiceAccount
	Receipt  Receipt `json:"receipt"`
	Revision int64   `json:"revision"`
}

// ServiceAccountAnswer answers an action on an account.
type ServiceAccountAnswer struct {
	ServiceAccount ServiceAccount `json:"service_account"`
	Receipt        Receipt        `json:"receipt"`
	Revision       int64          `json:"revision"`
}

// CreatedKey answers the creation of a key. It is the only time that Value is shown.
type CreatedKey struct {
	Key
	Value    string `json:"value" doc:"Shown once. Postern keeps only a hash."`
	Revision int64  `json:"revision"`
}

// UpdatedKey answers PATCH W/keys/{id}.
type UpdatedKey struct {
	Key
	Receipt  Receipt `json:"receipt"`
	Revision int64   `json:"revision"`
}

// KeyAnswer answers an action on a key.
type KeyAnswer struct {
	Key         Key          `json:"key"`
	Descendants []Descendant `json:"descendants" doc:"With revoke: what was made with the key, or with those."`
	Receipt     Receipt      `json:"receipt"`
	Revision    int64        `json:"revision"`
}

// Descendant is a key or an account that was made with a key.
type Descendant struct {
	Type  string `json:"type" enum:"key,service_account"`
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state" enum:"active,paused,expired,revoked,inactive"`
}

// UpdatedMember answers PATCH W/members/{id}.
type UpdatedMember struct {
	Member
	Receipt  Receipt `json:"receipt"`
	Revision int64   `json:"revision"`
}

// RemovedMember answers DELETE W/members/{id}.
type RemovedMember struct {
	Member      Member  `json:"member"`
	KeysStopped int64   `json:"keys_stopped"`
	Receipt     Receipt `json:"receipt"`
	Revision    int64   `json:"revision"`
}

// CreatedInvitation answers POST W/invitations. It is the only time that Token
// is shown.
type CreatedInvitation struct {
	Invitation
	Token    string `json:"token" doc:"Shown once. It accepts the invitation."`
	Link     string `json:"link" doc:"Where a person accepts it in a browser; it holds the token."`
	Mailed   bool   `json:"mailed" doc:"It was sent to the address. Else show the link, to be copied."`
	Revision int64  `json:"revision"`
}

// InvitationAnswer answers DELETE W/invitations/{id}.
type InvitationAnswer struct {
	Invitation Invitation `json:"invitation"`
	Receipt    Receipt    `json:"receipt"`
	Revision   int64      `json:"revision"`
}

// AcceptedInvitation answers POST /v1/invitations/accept.
type AcceptedInvitation struct {
	Member   Member  `json:"member"`
	Key      *NewKey `json:"key,omitempty"`
	Session  *string `json:"session,omitempty" doc:"Id of the session, when the new member was signed in."`
	Revision int64   `json:"revision"`
}

// NewKey is a key together with its value, shown once.
type NewKey struct {
	Key
	Value string `json:"value"`
}

// CreatedRole answers POST W/roles.
type CreatedRole struct {
	Role
	Revision int64 `json:"revision"`
}

// UpdatedRole answers PATCH W/roles/{id}.
type UpdatedRole struct {
	Role
	Receipt  Receipt `json:"receipt"`
	Revision int64   `json:"revision"`
}

// RoleAnswer answers DELETE W/roles/{id}.
type RoleAnswer struct {
	Role     Role    `json:"role"`
	Receipt  Receipt `json:"receipt"`
	Revision int64   `json:"revision"`
}

// UpdatedPermissionTypes answers PUT W/permissions.
type UpdatedPermissionTypes struct {
	Data     []PermissionType `json:"data"`
	Receipt  Receipt          `json:"receipt"`
	Revision int64            `json:"revision"`
}

// CreatedWorkspace answers POST /v1/workspaces.
type CreatedWorkspace struct {
	Workspace
	Invitation *InvitationWithToken `json:"invitation,omitempty"`
	Revision   int64                `json:"revision"`
}

// InvitationWithToken is an invitation together with its token, shown once.
type InvitationWithToken struct {
	Invitation
	Token  string `json:"token"`
	Link   string `json:"link" doc:"Where a person accepts it in a browser; it holds the token."`
	Mailed bool   `json:"mailed" doc:"It was sent to the address. Else show the link, to be copied."`
}

// UpdatedWorkspace answers PATCH /v1/workspaces/{workspace}.
type UpdatedWorkspace struct {
	Workspace
	Receipt  Receipt `json:"receipt"`
	Revision int64   `json:"revision"`
}

// WorkspaceAnswer answers an action on a workspace.
type WorkspaceAnswer struct {
	Workspace Workspace `json:"workspace"`
	Receipt   Receipt   `json:"receipt"`
	Revision  int64     `json:"revision"`
}

// Verify is the body of POST /v1/verify, and an item of a batch.
type Verify struct {
	Key         string        `json:"key" doc:"The value that the caller of your service sent."`
	Permissions []string      `json:"permissions,omitempty" doc:"All must be allowed for valid: true." example:"[\"agents:execute\"]"`
	Source      *VerifySource `json:"source,omitempty" doc:"Where the call to your service came from."`
	Workspace   string        `json:"workspace,omitempty" doc:"For callers of the system workspace: another workspace's id or slug, or any."`
	MinRevision int64         `json:"min_revision,omitempty" doc:"The answer is at least as new as this revision."`
}

// VerifySource says where the call to the verifying service came from.
type VerifySource struct {
	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// Verdict answers POST /v1/verify. valid: false is an answer, not an error.
type Verdict struct {
	Valid      bool            `json:"valid"`
	Code       string          `json:"code" enum:"valid,not_found,revoked,principal_inactive,paused,expired,network_denied,permission_denied"`
	Principal  *VerdictOwner   `json:"principal,omitempty"`
	Key        *VerdictKey     `json:"key,omitempty"`
	Role       *Ref            `json:"role,omitempty"`
	Decisions  map[string]bool `json:"decisions,omitempty"`
	Revision   int64           `json:"revision" doc:"The change that the answer knows of, and all before it."`
	FreshForMS int64           `json:"fresh_for_ms" doc:"Counted from when the request was sent: for how long the answer may be relied on. 0: no longer than now."`
	RequestID  string          `json:"request_id,omitempty"`
}

// VerdictOwner is the principal that a verified key belongs to.
type VerdictOwner struct {
	ID        string       `json:"id"`
	Type      string       `json:"type" enum:"service_account,member"`
	Name      string       `json:"name"`
	State     string       `json:"state" enum:"active,paused,inactive,removed"`
	Workspace WorkspaceRef `json:"workspace"`
}

// VerdictKey is the key that was verified.
type VerdictKey struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	ExpiresAt *Time  `json:"expires_at"`
}

// VerifyBatch is the body of POST /v1/verify/batch: at most 1000 items.
type VerifyBatch struct {
	Items []Verify `json:"items"`
}

// VerdictBatch answers it, in the order of the items.
type VerdictBatch struct {
	Results []Verdict `json:"results"`
}

// Whoami answers GET /v1/whoami.
type Whoami struct {
	Principal   WhoamiPrincipal `json:"principal"`
	Key         *VerdictKey     `json:"key" doc:"Null for a person who signed in."`
	Session     *string         `json:"session" doc:"Id of the session of a person who signed in; null for a key."`
	Role        Ref             `json:"role"`
	Permissions []string        `json:"permissions" doc:"What the caller can do: of a key, role and limit together."`
}

// WhoamiPrincipal is the principal that calls.
type WhoamiPrincipal struct {
	ID        string       `json:"id"`
	Type      string       `json:"type" enum:"service_account,member"`
	Name      string       `json:"name"`
	Workspace WorkspaceRef `json:"workspace"`
}
