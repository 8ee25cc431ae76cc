package api

// HeldPermission is something that a service account may do.
type HeldPermission struct {
	Permission string `json:"permission" doc:"As the role grants it, or, below a grant that is a pattern, as it was asked for." example:"tickets:read"`
	From       string `json:"from" doc:"Where the account has it from." example:"role operator"`
	LastUsedAt *Time  `json:"last_used_at" doc:"When it was last asked for and allowed; null: not within the time that the workspace keeps."`
	Uses30d    int64  `json:"uses_30d" doc:"How often it was asked for and allowed in the last 30 days."`
}

// Advice answers GET W/service_accounts/{id}/advice.
type Advice struct {
	ServiceAccount Ref      `json:"service_account"`
	Role           Ref      `json:"role"`
	WindowDays     int64    `json:"window_days" doc:"How many days were looked at."`
	DataDays       int64    `json:"data_days" doc:"How many of them there is data of: since the account was first used, or, if it never was, since use is counted. Under 14 nothing is advised."`
	Silent         *string  `json:"silent" enum:"too_little_data,gives_to_others" doc:"Why nothing is advised. gives_to_others: calls of the account made or widened keys, accounts, roles or memberships; that takes holding what is given, which is not counted. Null: there is advice."`
	Unused         []string `json:"unused" doc:"What the role allows and was not used in these days."`
	SuggestedRole  *Role    `json:"suggested_role" doc:"The least role that is less than the present one and would have allowed all that was used. Null: there is none."`
	WouldRefuse    int64    `json:"would_refuse" doc:"How many of the requests the suggested role would have refused, by replaying them."`
	Of             int64    `json:"of" doc:"How many requests were replayed: those that were accepted, and that the present role still allows."`
	AtMost         bool     `json:"at_most" doc:"Of some requests it is not known what exactly they asked for, because they were too many to be told apart: those that might be refused are counted as refused."`
	FromUse        []string `json:"from_use" doc:"The permissions of a role made from use: what was used, and nothing that the present role does not hold."`
}

// AccountImpact answers GET W/service_accounts/{id}/impact.
type AccountImpact struct {
	ActiveKeys        int64         `json:"active_keys"`
	LastUsedAt        *Time         `json:"last_used_at"`
	RequestsPerMinute float64       `json:"requests_per_minute" doc:"Requests that were accepted, over the last five whole minutes."`
	Sources           []UsageSource `json:"sources" doc:"Where its keys that are not revoked were accepted from in the last 30 days, the last first, 100 at most."`
	Rotations         []RotationRef `json:"rotations" doc:"Under way, the newest first."`
}

// RotationRef names a rotation.
type RotationRef struct {
	ID     string `json:"id"`
	State  string `json:"state" enum:"waiting_for_first_use,overlapping,ready,overdue"`
	OldKey Ref    `json:"old_key"`
	NewKey Ref    `json:"new_key"`
}

// RoleImpactOf is the body of POST W/roles/{id}/impact.
type RoleImpactOf struct {
	Permissions []string `json:"permissions" doc:"What the role would allow; an empty list: nothing, as if it were deleted."`
}

// RoleImpact answers POST W/roles/{id}/impact.
type RoleImpact struct {
	Role            Ref                 `json:"role"`
	Members         int64               `json:"members" doc:"That have the role."`
	ServiceAccounts int64               `json:"service_accounts" doc:"That have the role."`
	Added           []string            `json:"added" doc:"What the role would allow that it does not now."`
	Removed         []string            `json:"removed" doc:"What the role allows and would not, or not wholly."`
	WindowDays      int64               `json:"window_days" doc:"How many days were looked at."`
	WouldRefuse     int64               `json:"would_refuse" doc:"How many of the requests it would have refused, by replaying them."`
	Of              int64               `json:"of" doc:"How many requests were replayed: those that were accepted, and that the role still allows."`
	AtMost          bool                `json:"at_most" doc:"Of some requests it is not known what exactly they asked for, because they were too many to be told apart: those that might be refused are counted as refused."`
	GivesToOthers   bool                `json:"gives_to_others" doc:"Some of them made or widened keys, accounts, roles or memberships. That takes holding what is given, which is not counted: more may be refused."`
	Affected        []AffectedPrincipal `json:"affected" doc:"Who made the requests that would be refused, the last use first, 50 at most."`
	Hidden          []HiddenPart        `json:"hidden" doc:"What the caller may not see of affected."`
}

// AffectedPrincipal is a member or a service account that uses what a role would no
// longer allow.
type AffectedPrincipal struct {
	Principal   Principal `json:"principal"`
	Permissions []string  `json:"permissions" doc:"That it uses and the role would not allow."`
	LastUsedAt  Time      `json:"last_used_at"`
	Uses        int64     `json:"uses" doc:"Requests that would be refused."`
}

// HiddenPart is a part of an answer that is left out, and what the caller would have
// to hold to see it.
type HiddenPart struct {
	Part       string `json:"part"`
	Permission string `json:"permission" example:"iam.members:read"`
}
