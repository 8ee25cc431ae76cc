package iam

import "time"

// Policy is what a workspace demands of those who work in it.
type Policy struct {
	AccountKeyDefaultDays int64  `json:"account_key_default_days"` // lifetime of an account's key that asks for none
	AccountKeyMaxDays     *int64 `json:"account_key_max_days"`     // nil: no cap
	MemberKeyDefaultDays  int64  `json:"member_key_default_days"`
	MemberKeyMaxDays      *int64 `json:"member_key_max_days"`
	OwnerRequired         bool   `json:"owner_required"` // every account names a team
	SeatLimit             *int64 `json:"seat_limit"`     // nil: no limit
	InvitationDays        int64  `json:"invitation_days"`
	QuietFor              string `json:"quiet_for"` // of a rotation, such as "10m"
	UsageDays             int64  `json:"usage_days"`
	SelfRotation          bool   `json:"self_rotation"`
	RevealRefusalReason   bool   `json:"reveal_refusal_reason"`
}

// ShippedPolicy returns the policy that a new workspace has.
func ShippedPolicy() Policy {
	ninety := int64(90)
	return Policy{
		AccountKeyDefaultDays: 365,
		MemberKeyDefaultDays:  ninety, MemberKeyMaxDays: &ninety,
		InvitationDays: 7, QuietFor: "10m", UsageDays: 90, SelfRotation: true,
	}
}

const (
	day         = 24 * time.Hour
	maxDays     = 36_500 // a hundred years: a longer life is "never", and says so
	maxSeats    = 1_000_000
	maxInvDays  = 90
	maxUseDays  = 3_650
	maxQuietFor = 30 * day
)

// check returns a [ValidationFailed] that points at every setting that makes no
// sense.
func (p Policy) check() error {
	var v validation
	v.between("/policy/account_key_default_days", p.AccountKeyDefaultDays, 1, maxDays)
	v.between("/policy/member_key_default_days", p.MemberKeyDefaultDays, 1, maxDays)
	v.optionalBetween("/policy/account_key_max_days", p.AccountKeyMaxDays, 1, maxDays)
	v.optionalBetween("/policy/member_key_max_days", p.MemberKeyMaxDays, 1, maxDays)
	v.optionalBetween("/policy/seat_limit", p.SeatLimit, 1, maxSeats)
	v.between("/policy/invitation_days", p.InvitationDays, 1, maxInvDays)
	v.between("/policy/usage_days", p.UsageDays, 1, maxUseDays)
	if d, err := ParseDuration(p.QuietFor); err != nil || d > maxQuietFor {
		v.add("/policy/quiet_for", "not_a_duration", "write a whole number and s, m, h or d, at most 30d")
	}
	v.notAbove("/policy/account_key_default_days", p.AccountKeyDefaultDays, p.AccountKeyMaxDays)
	v.notAbove("/policy/member_key_default_days", p.MemberKeyDefaultDays, p.MemberKeyMaxDays)
	return v.err()
}
