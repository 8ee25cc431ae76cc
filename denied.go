package postern

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/bearer"
	"github.com/posternhq/postern/internal/replica"
)

// ErrStale is wrapped by the errors of a verifier that cannot know whether it has
// heard of every revocation, so that it lets nobody in: answer 503 and have the
// caller come again. It is neither yes nor no.
var ErrStale = errors.New("postern: this verifier cannot know whether a key was revoked")

// Denied is the error of a key that does not do. What it says in words is fit for
// the key's holder, and says nothing of why the key does not work unless the policy
// of its workspace lets it; the fields are for the service alone.
type Denied struct {
	// Code is the reason: not_found, revoked, principal_inactive, paused, expired,
	// network_denied or permission_denied. Of several that apply it is the first.
	Code string

	// Permission is, with permission_denied, the first that is missing.
	Permission string

	// Identity is whose key it is; of one that is not found, zero but for its Revision.
	Identity Identity

	told string // the reason, where the holder may hear it
}

// Error implements error.
func (d *Denied) Error() string {
	text := "postern: the key does not work"
	if d.Code == api.VerdictPermissionDenied {
		text = "postern: the key may not do this"
	}
	if d.told != "" {
		text = fmt.Sprintf("%s: %s", text, d.told)
	}
	return text
}

// Status returns the HTTP status of the refusal: 403 of a key that works and may not
// do what was asked for, else 401.
func (d *Denied) Status() int {
	if d.Code == api.VerdictPermissionDenied {
		return http.StatusForbidden
	}
	return http.StatusUnauthorized
}

// Reason returns the reason as the key's holder may hear it. It is empty unless the
// policy of the key's workspace says reveal_refusal_reason.
func (d *Denied) Reason() string { return d.told }

// deny returns the error of a verdict that is not to let in.
func deny(v *replica.Verdict, id *Identity, asked []string) *Denied {
	d := &Denied{Code: v.Code.String(), Identity: *id, told: bearer.Told(v)}
	if v.Code != replica.PermissionDenied {
		return d
	}
	for i := range asked {
		if !v.Allows(i) {
			d.Permission = asked[i]
			break
		}
	}
	return d
}
