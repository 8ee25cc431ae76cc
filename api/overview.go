package api

// Overview answers GET W/overview. A part that the caller may not read is null, and
// named in hidden.
type Overview struct {
	At              Time            `json:"at"`
	ServiceAccounts *AccountNumbers `json:"service_accounts"`
	Keys            *KeyNumbers     `json:"keys"`
	Requests24h     *RequestNumbers `json:"requests_24h"`
	Seats           *Seats          `json:"seats"`
	Attention       []Attention     `json:"attention" doc:"What needs attention, the most urgent first."`
	Hidden          []HiddenPart    `json:"hidden" doc:"Parts, and codes of attention, that the caller may not see."`
}

// AccountNumbers counts service accounts.
type AccountNumbers struct {
	Active int64 `json:"active"`
	Paused int64 `json:"paused"`
}

// KeyNumbers counts keys that work.
type KeyNumbers struct {
	Active       int64 `json:"active"`
	Expiring14d  int64 `json:"expiring_14d" doc:"That end within 14 days."`
	Unused90d    int64 `json:"unused_90d" doc:"That were made 90 days ago or earlier, and not accepted since."`
	NeverUsed    int64 `json:"never_used"`
	NeverExpires int64 `json:"never_expires"`
}

// RequestNumbers is how often keys of the workspace were accepted and refused in the
// last 24 hours, the one that is not over included.
type RequestNumbers struct {
	OK      int64        `json:"ok"`
	Refused int64        `json:"refused"`
	Points  []UsagePoint `json:"points" doc:"One for each hour."`
}

// Attention is one reason for attention, and what it is about.
type Attention struct {
	Code  string          `json:"code" enum:"revocation_unconfirmed,rotation_ready,key_expiring_in_use,member_key_machine_like,account_too_powerful,account_without_owner,account_without_keys" doc:"Why: a node that may still answer has not applied a change that stopped keys; the old key of a rotation can be revoked; a key ends within 3 days and was used in the last 7; a personal key is used as a machine would; an account is Admin-level and changed nothing for 90 days; names no owner; has no key that could work."`
	Items []AttentionItem `json:"items" doc:"100 at most."`
	More  bool            `json:"more" doc:"There are more than these."`
}

// AttentionItem is a thing that needs attention.
type AttentionItem struct {
	Target    Target `json:"target"`
	Principal *Ref   `json:"principal" doc:"Who owns the key."`
	At        *Time  `json:"at" doc:"When the key ends, the rotation began, or the change was decided."`
}
