package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/bearer"
	"github.com/posternhq/postern/internal/replica"
)

// The statuses that a proxy is told.
const (
	statusAllowed       = http.StatusOK
	statusRefused       = http.StatusUnauthorized
	statusForbidden     = http.StatusForbidden
	statusMisconfigured = http.StatusInternalServerError
	statusStale         = http.StatusServiceUnavailable
)

// decision is what a proxy is to do with a request.
type decision struct {
	status  int
	verdict replica.Verdict
	why     string // of statusMisconfigured, for the log
}

// identity are the headers that tell the upstream who is calling.
var identity = [...]string{
	"X-Postern-Principal", "X-Postern-Principal-Name", "X-Postern-Type",
	"X-Postern-Workspace", "X-Postern-Key", "X-Postern-Role",
}

// identify returns the values of [identity], in its order: the principal's id and
// name, service_account or member, the workspace's id, the key's id, and the name
// of the role.
func identify(v *replica.Verdict) [len(identity)]string {
	return [...]string{
		string(v.Principal.ID), headerText(v.Principal.Name), string(v.Principal.Type),
		string(v.Workspace.ID), string(v.KeyID()), headerText(v.Role.Name),
	}
}

// headerText returns a name as it may stand in a header: what is not a visible
// character of ASCII or a space within, and the percent sign, as percent-encoded
// UTF-8 (RFC 3986, section 2.1).
func headerText(name string) string {
	plain := func(i int) bool {
		c := name[i]
		return c > ' ' && c <= '~' && c != '%' || c == ' ' && i > 0 && i < len(name)-1
	}
	i := 0
	for i < len(name) && plain(i) {
		i++
	}
	if i == len(name) {
		return name
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		if plain(i) {
			b.WriteByte(name[i])
			continue
		}
		b.Write([]byte{'%', hex[name[i]>>4], hex[name[i]&15]})
	}
	return b.String()
}

// challenge returns the header WWW-Authenticate of a refusal, which tells the reason
// only where the key's workspace says so.
func (d *decision) challenge() string { return bearer.Challenge(d.status, bearer.Told(&d.verdict)) }

// problem returns the body of a decision that is not to allow.
func (d *decision) problem(requestID string) []byte {
	p := bearer.Problem(d.status, bearer.Told(&d.verdict), requestID)
	if d.status == statusMisconfigured {
		p.Title, p.Detail = "The gateway is not set up", "the log of Postern says why"
	}
	text, _ := json.Marshal(p) // texts and numbers only: it cannot fail
	return text
}

// complaint tells when something that may happen with each request is worth a line
// in the log again.
type complaint struct {
	mu   sync.Mutex // guards last
	last time.Time
}

func (c *complaint) due(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && now.Sub(c.last) < time.Minute && now.After(c.last) {
		return false
	}
	c.last = now
	return true
}

// misconfigured tells the operator, at most once a minute, that a proxy asks in a
// way that has no answer.
func (g *Gateway) misconfigured(why string) {
	if g.puzzled.due(g.now()) {
		g.log.Error("a proxy's request was refused because of its configuration", "cause", why)
	}
}
