package bearer

import (
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/replica"
)

// RetryAfter is when to ask again that was answered with 503, in seconds.
const RetryAfter = "1"

// Status returns the status that the holder of a key hears of a verdict. Why a key
// does not work is for those to know who may look; somebody who found one hears only
// that it does not.
func Status(code replica.Code) int {
	switch code {
	case replica.Valid:
		return http.StatusOK
	case replica.PermissionDenied:
		return http.StatusForbidden
	case replica.Stale:
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}

// Told returns the reason that the holder of a key is told: none, unless the policy
// of the key's workspace says so.
func Told(v *replica.Verdict) string {
	if v.KeyFound && v.Workspace.Reveal {
		return v.Code.String()
	}
	return ""
}

// Challenge returns the header WWW-Authenticate of an answer (RFC 6750, section 3),
// empty when it has none.
func Challenge(status int, told string) string {
	text := ""
	switch status {
	case http.StatusBadRequest:
		text = `Bearer error="invalid_request"`
	case http.StatusUnauthorized:
		text = `Bearer error="invalid_token"`
	case http.StatusForbidden:
		text = `Bearer error="insufficient_scope"`
	}
	if text != "" && told != "" {
		text += `, error_description="` + told + `"`
	}
	return text
}

// Problem returns the body of an answer that lets nobody through.
func Problem(status int, told, requestID string) api.Problem {
	p := api.Problem{Status: status, Detail: told, RequestID: requestID}
	switch status {
	case http.StatusBadRequest:
		p.Code, p.Title = api.CodeInvalidRequest, "Send one credential, once"
	case http.StatusUnauthorized:
		p.Code, p.Title = api.CodeUnauthenticated, "This needs a key that works"
	case http.StatusForbidden:
		p.Code, p.Title = api.CodePermissionDenied, "The key may not do this"
	case http.StatusServiceUnavailable:
		p.Code, p.Title, p.Valid = api.CodeStale, "This node cannot know", new(bool)
	default:
		p.Code, p.Title = api.CodeInternal, "This cannot be answered"
	}
	p.Type = "/docs/errors/" + p.Code
	return p
}
