package server

import (
	"net/http"

	"github.com/posternhq/postern/api"
)

// kindOfFailure is one row of the table of failures.
type kindOfFailure struct {
	code   string // of the API; the kinds of package iam are spelled the same
	status int
	title  string
}

// failures is the one table of errors and statuses. What is not in it is our own
// fault: it is logged, and its caller hears only "internal". It has each code of
// package api once, and so each kind of package iam that a caller may hear.
func failures() []kindOfFailure {
	return []kindOfFailure{
		{api.CodeInvalidRequest, http.StatusBadRequest, "The request makes no sense"},
		{api.CodeUnknownField, http.StatusBadRequest, "The request has a field that does not exist"},
		{api.CodeAuthorizationPending, http.StatusBadRequest, "Nobody has approved it yet"},
		{api.CodeSlowDown, http.StatusBadRequest, "Asked too often"},
		{api.CodeAccessDenied, http.StatusBadRequest, "It was refused"},
		{api.CodeExpiredToken, http.StatusBadRequest, "The code is over"},
		{api.CodeUnauthenticated, http.StatusUnauthorized, "No working credential"},
		{api.CodePermissionDenied, http.StatusForbidden, "Not allowed"},
		{api.CodeStepUpRequired, http.StatusForbidden, "Prove again who you are"},
		{api.CodeCrossSite, http.StatusForbidden, "Asked for by another site"},
		{api.CodeNotFound, http.StatusNotFound, "Not found"},
		{api.CodeMethodNotAllowed, http.StatusMethodNotAllowed, "Not with this method"},
		{api.CodeNameTaken, http.StatusConflict, "The name is taken"},
		{api.CodeRoleInUse, http.StatusConflict, "The role is in use"},
		{api.CodeSeatLimitReached, http.StatusConflict, "All seats are held"},
		{api.CodeValueAlreadyIssued, http.StatusConflict, "The value was shown before"},
		{api.CodeLastOwner, http.StatusConflict, "A workspace keeps one owner"},
		{api.CodeLastCredential, http.StatusConflict, "A person keeps one way to sign in"},
		{api.CodePrincipalInactive, http.StatusConflict, "The principal has ended"},
		{api.CodeKeyRevoked, http.StatusConflict, "The key is revoked"},
		{api.CodeAlreadyMember, http.StatusConflict, "Already a member"},
		{api.CodeRotationInProgress, http.StatusConflict, "The key is being rotated"},
		{api.CodeNotReady, http.StatusConflict, "The old key may still be in use"},
		{api.CodeTooOld, http.StatusConflict, "Too far behind"},
		{api.CodeDiverged, http.StatusConflict, "Of another history"},
		{api.CodeIdempotencyInProgress, http.StatusConflict, "The same call is still running"},
		{api.CodeGone, http.StatusGone, "No longer there"},
		{api.CodePreconditionFailed, http.StatusPreconditionFailed, "It changed since it was read"},
		{api.CodeTooLarge, http.StatusRequestEntityTooLarge, "Too large"},
		{api.CodeUnsupportedMediaType, http.StatusUnsupportedMediaType, "Not JSON"},
		{api.CodeValidationFailed, http.StatusUnprocessableEntity, "A field cannot be used as it is"},
		{api.CodePolicyViolation, http.StatusUnprocessableEntity, "The workspace's policy forbids it"},
		{api.CodeIdempotencyKeyReused, http.StatusUnprocessableEntity, "The Idempotency-Key belongs to another request"},
		{api.CodeRateLimited, http.StatusTooManyRequests, "Too many requests"},
		{api.CodeInternal, http.StatusInternalServerError, "Something went wrong on our side"},
		{api.CodeStale, http.StatusServiceUnavailable, "This node cannot know whether it is up to date"},
		{api.CodeUnavailable, http.StatusServiceUnavailable, "The store cannot be asked"},
		{api.CodeOutcomeUnknown, http.StatusServiceUnavailable, "Not known whether it was done"},
		{api.CodeRevocationUnconfirmed, http.StatusGatewayTimeout, "Recorded, not yet confirmed"},
	}
}

// failureOf returns the row of a code.
func failureOf(code string) (kindOfFailure, bool) {
	for _, f := range failures() {
		if f.code == code {
			return f, true
		}
	}
	return kindOfFailure{}, false
}
