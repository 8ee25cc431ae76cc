package iam

import (
	"errors"
	"fmt"
)

// Kind is the class of an [Error]: one of the codes of the API. A Kind is itself
// an error, so that callers write errors.Is(err, iam.NotFound).
type Kind string

// What a caller may hear. Package server has the one table that turns each into
// a status and a page of documentation.
const (
	Unauthenticated       Kind = "unauthenticated"         // no credential, or one that no longer works
	PermissionDenied      Kind = "permission_denied"       // the caller does not hold what this needs
	StepUpRequired        Kind = "step_up_required"        // the caller signed in too long ago for this
	NotFound              Kind = "not_found"               // it is not there, or not yours
	NameTaken             Kind = "name_taken"              // a constraint on names said no
	RoleInUse             Kind = "role_in_use"             // somebody still has the role
	SeatLimitReached      Kind = "seat_limit_reached"      // the policy's seats are all held
	ValueAlreadyIssued    Kind = "value_already_issued"    // a replay of a call that showed a secret
	LastOwner             Kind = "last_owner"              // a workspace keeps one owner
	LastCredential        Kind = "last_credential"         // a person keeps one way to sign in
	PrincipalInactive     Kind = "principal_inactive"      // revoked or removed: nothing more can be given
	KeyRevoked            Kind = "key_revoked"             // revoking is final
	AlreadyMember         Kind = "already_member"          // one membership for a person in a workspace
	RotationInProgress    Kind = "rotation_in_progress"    // a key is in one rotation at a time
	NotReady              Kind = "not_ready"               // a rotation whose old key may still be in use
	IdempotencyInProgress Kind = "idempotency_in_progress" // the same call is still running
	IdempotencyKeyReused  Kind = "idempotency_key_reused"  // the same Idempotency-Key with another body
	AuthorizationPending  Kind = "authorization_pending"   // a device that nobody has approved yet (RFC 8628, 3.5)
	SlowDown              Kind = "slow_down"               // a device asks too often
	AccessDenied          Kind = "access_denied"           // a device that somebody refused
	ExpiredToken          Kind = "expired_token"           // a device's code that is over
	Gone                  Kind = "gone"                    // single use, and used, cancelled or expired
	PreconditionFailed    Kind = "precondition_failed"     // it changed since it was read
	ValidationFailed      Kind = "validation_failed"       // a field does not say anything that can be done
	PolicyViolation       Kind = "policy_violation"        // the workspace's policy forbids it
	InvalidRequest        Kind = "invalid_request"         // the request as a whole makes no sense
	RateLimited           Kind = "rate_limited"            // too many, too fast
	Stale                 Kind = "stale"                   // this node cannot know whether it heard of every revocation
	Unavailable           Kind = "unavailable"             // the store cannot be asked; nothing was changed
	Unconfirmed           Kind = "revocation_unconfirmed"  // recorded, not yet known to every node
	Unknown               Kind = "outcome_unknown"         // the store went away during COMMIT
)

func (k Kind) Error() string { return string(k) }

// Error is a refusal whose words may be shown to the caller: they hold no
// secret and nothing of another workspace. Any other error is Postern's own
// fault: it is logged, and the caller hears only "internal".
type Error struct {
	Kind   Kind
	Reason string
	Fields []Field // what is wrong with the input, each with a pointer to it

	Permission string // with PermissionDenied: the first permission that is missing
	Policy     string // with PolicyViolation: the setting that forbids it
	Object     string // with ValueAlreadyIssued: the id of what was made
}

// Field is one thing that is wrong with the input.
type Field struct {
	Pointer string // JSON pointer into the body (RFC 6901), such as /limit/0
	Code    string // such as too_long
	Detail  string
}

func (e *Error) Error() string { return string(e.Kind) + ": " + e.Reason }
func (e *Error) Unwrap() error { return e.Kind }

// Errorf returns an [Error] of the given kind.
func Errorf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Reason: fmt.Sprintf(format, args...)}
}

// Invalid returns a ValidationFailed about one field.
func Invalid(pointer, code, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return &Error{
		Kind: ValidationFailed, Reason: detail,
		Fields: []Field{{Pointer: pointer, Code: code, Detail: detail}},
	}
}

func denied(p Permission) error {
	return &Error{
		Kind: PermissionDenied, Permission: p.String(),
		Reason: fmt.Sprintf("this needs %s, which the caller does not hold", p),
	}
}

func denyGiving(g Grant) error {
	return &Error{
		Kind: PermissionDenied, Permission: g.String(),
		Reason: fmt.Sprintf("this would give %s, which the caller does not hold", g),
	}
}

func violates(policy, pointer, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	e := &Error{Kind: PolicyViolation, Reason: detail, Policy: policy}
	if pointer != "" {
		e.Fields = []Field{{Pointer: pointer, Code: string(PolicyViolation), Detail: detail}}
	}
	return e
}

// isRefusal reports whether err is one that leaves an audit event behind: an
// authenticated principal was told no by permission, policy, seats or the
// last-owner rule.
func isRefusal(err error) bool {
	for _, k := range []Kind{PermissionDenied, PolicyViolation, SeatLimitReached, LastOwner} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// isFinal reports whether err would be the same, or is to be told the same, if
// the call were made again with its Idempotency-Key.
func isFinal(err error) bool {
	for _, k := range []Kind{
		NotFound, NameTaken, RoleInUse, SeatLimitReached, LastOwner, PrincipalInactive, KeyRevoked,
		AlreadyMember, Gone, ValidationFailed, PolicyViolation,
	} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}
