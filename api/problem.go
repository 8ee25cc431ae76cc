package api

import "fmt"

// Problem is the body of every answer that is not a success, as
// application/problem+json (RFC 9457).
type Problem struct {
	Type       string         `json:"type" format:"uri-reference" doc:"The page that explains the code."`
	Title      string         `json:"title" doc:"The code in words."`
	Status     int            `json:"status" doc:"The HTTP status."`
	Detail     string         `json:"detail,omitempty" doc:"What went wrong this time."`
	Code       string         `json:"code" doc:"What programs decide by. It does not change."`
	RequestID  string         `json:"request_id" doc:"Quote it in a bug report: it stands in the server's log."`
	Errors     []ProblemField `json:"errors,omitempty" doc:"What is wrong with the input."`
	Permission string         `json:"permission,omitempty" doc:"With permission_denied: the first permission that is missing."`
	Policy     string         `json:"policy,omitempty" doc:"With policy_violation: the setting that forbids it."`
	ID         string         `json:"id,omitempty" doc:"With value_already_issued: what was made by the first call."`
	Valid      *bool          `json:"valid,omitempty" doc:"With stale: always false."`
	Receipt    *Receipt       `json:"receipt,omitempty" doc:"With revocation_unconfirmed: what is known so far."`
	Revision   int64          `json:"revision,omitempty" doc:"With revocation_unconfirmed: the revision that recorded it."`
}

// ProblemField is one thing that is wrong with the input. It never repeats the
// value.
type ProblemField struct {
	Pointer string `json:"pointer" doc:"JSON pointer into the body (RFC 6901), or the name of a parameter."`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// Error makes a Problem an error of the client.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%s (%s)", p.Title, p.Code)
	}
	return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
}

// The codes of problems. They are part of the API and do not change.
const (
	CodeInvalidRequest        = "invalid_request"
	CodeUnknownField          = "unknown_field"
	CodeUnauthenticated       = "unauthenticated"
	CodePermissionDenied      = "permission_denied"
	CodeStepUpRequired        = "step_up_required"
	CodeCrossSite             = "cross_site"
	CodeNotFound              = "not_found"
	CodeMethodNotAllowed      = "method_not_allowed"
	CodeNameTaken             = "name_taken"
	CodeRoleInUse             = "role_in_use"
	CodeSeatLimitReached      = "seat_limit_reached"
	CodeValueAlreadyIssued    = "value_already_issued"
	CodeLastOwner             = "last_owner"
	CodeLastCredential        = "last_credential"
	CodePrincipalInactive     = "principal_inactive"
	CodeKeyRevoked            = "key_revoked"
	CodeAlreadyMember         = "already_member"
	CodeRotationInProgress    = "rotation_in_progress"
	CodeNotReady              = "not_ready"
	CodeIdempotencyInProgress = "idempotency_in_progress"
	CodeTooOld                = "too_old"
	CodeDiverged              = "diverged"
	CodeIdempotencyKeyReused  = "idempotency_key_reused"
	CodeAuthorizationPending  = "authorization_pending"
	CodeSlowDown              = "slow_down"
	CodeAccessDenied          = "access_denied"
	CodeExpiredToken          = "expired_token"
	CodeGone                  = "gone"
	CodePreconditionFailed    = "precondition_failed"
	CodeTooLarge              = "too_large"
	CodeUnsupportedMediaType  = "unsupported_media_type"
	CodeValidationFailed      = "validation_failed"
	CodePolicyViolation       = "policy_violation"
	CodeRateLimited           = "rate_limited"
	CodeInternal              = "internal"
	CodeStale                 = "stale"
	CodeUnavailable           = "unavailable"
	CodeRevocationUnconfirmed = "revocation_unconfirmed"
	CodeOutcomeUnknown        = "outcome_unknown"
)

// The codes of verdicts, in the order in which they are reported when several
// apply.
const (
	VerdictValid             = "valid"
	VerdictNotFound          = "not_found"
	VerdictRevoked           = "revoked"
	VerdictPrincipalInactive = "principal_inactive"
	VerdictPaused            = "paused"
	VerdictExpired           = "expired"
	VerdictNetworkDenied     = "network_denied"
	VerdictPermissionDenied  = "permission_denied"
)
