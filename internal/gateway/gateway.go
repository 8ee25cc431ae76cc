// Package gateway is the door for proxies: nginx, Caddy, HAProxy, Traefik and
// others ask it over HTTP about each request that they are to let through, Envoy
// over gRPC. It decides as POST /v1/verify does, from the same memory and by the
// same last look, and tells the proxy who is calling.
//
// It listens where only this machine can connect, and asks for no credential of
// the proxy's. What a request is to be asked about comes from the proxy's own
// configuration and from nowhere else: the permission and the workspace are in the
// address that the proxy asks at, or in the context that Envoy's route adds. No
// path, method or forwarded header of the client's is ever looked at, so that
// there are no two readings of one that could differ.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/posternhq/postern/internal/bearer"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// Door is what lets answers out that rest on memory.
type Door interface {
	// Answer calls encode with a view of the replica until what it encoded may
	// be sent, and then returns nil. Whatever encode writes, it writes anew each
	// time. An error is of kind [iam.Stale]: nothing that was encoded may leave.
	Answer(ctx context.Context, encode func(replica.View)) error
}

// Usage counts how keys are used.
type Usage interface {
	// Touch counts one decision about a key that was found. It is called after
	// the decision was let out and before its answer leaves.
	Touch(u iam.Use)
}

// Options says what a gateway needs.
type Options struct {
	Door     Door
	Prefixes token.Prefixes // of the keys that are accepted; at least one
	Usage    Usage          // nil: nobody counts how keys are used
	Log      *slog.Logger   // nil: nothing is logged
	Now      func() time.Time

	// Workspace is whose keys are accepted where a proxy names no workspace: an id
	// or a slug. Empty: those of the system workspace.
	Workspace string

	// Answered hears of each answer; nil: nobody does. It must not wait.
	Answered func(Answered)
}

// Answered is how one request of a proxy was answered.
type Answered struct {
	Protocol string       // http or grpc
	Status   int          // that the proxy is told
	Code     replica.Code // of the verdict; 0: there was none
}

// Gateway answers proxies. It is safe for concurrent use.
type Gateway struct {
	door      Door
	prefixes  token.Prefixes
	usage     Usage
	log       *slog.Logger
	now       func() time.Time
	workspace string
	answered  func(Answered)
	puzzled   complaint
}

// New returns a gateway, or an error when its options make no sense.
func New(o Options) (*Gateway, error) {
	if o.Door == nil || len(o.Prefixes) == 0 {
		return nil, errors.New("gateway: a door and a key prefix are needed")
	}
	g := &Gateway{
		door: o.Door, prefixes: o.Prefixes, usage: o.Usage, log: o.Log, now: o.Now,
		workspace: o.Workspace, answered: o.Answered,
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.answered == nil {
		g.answered = func(Answered) {}
	}
	return g, nil
}

// anyWorkspace is what a proxy writes to have the keys of all workspaces accepted.
const anyWorkspace = "any"

// ask is what a proxy wants to know of one request.
type ask struct {
	hash      token.Hash       // of the credential
	presented bool             // there is one, once, and it has the form of a key
	wanted    []iam.Permission // none, or one
	asked     []string         // the same, as it is written
	workspace string           // as the proxy names it; empty: the gateway's own
	from      netip.Addr       // that the request came from; invalid: nobody knows
	agent     string           // as the client says
}

// errMisconfigured begins the errors of proxies that ask in a way that has no
// answer. They are the operator's to know and never the client's doing.
var errMisconfigured = errors.New("the proxy's configuration")

// answer decides on an ask and calls encode with each decision until one may be
// sent: the last is it. encode begins anew each time.
func (g *Gateway) answer(ctx context.Context, a *ask, encode func(*decision)) decision {
	var d decision
	err := g.door.Answer(ctx, func(v replica.View) {
		d = g.decide(v, a)
		encode(&d)
	})
	if err != nil || d.verdict.Code == replica.Stale {
		d = decision{status: statusStale, verdict: replica.Verdict{Code: replica.Stale}}
		encode(&d)
		return d
	}
	if d.verdict.KeyFound && g.usage != nil {
		use := d.verdict.Use(a.from, a.agent, a.asked)
		use.Gateway = true
		g.usage.Touch(use.Fit())
	}
	return d
}

// decide says what one view knows.
func (g *Gateway) decide(v replica.View, a *ask) decision {
	if err := v.Ready(); err != nil {
		return decision{status: statusStale, verdict: replica.Verdict{Code: replica.Stale}}
	}
	scope, known := g.scope(v, a.workspace)
	if !known {
		return decision{status: statusMisconfigured, why: errMisconfigured.Error() + " names a workspace that does not exist"}
	}
	verdict := replica.Verdict{Code: replica.NotFound, Revision: v.Seq()}
	if a.presented {
		verdict = v.Verify(a.hash, replica.Query{Permissions: a.wanted, IP: a.from, Scope: scope})
	}
	return decision{status: bearer.Status(verdict.Code), verdict: verdict}
}

// scope returns whose keys are accepted.
func (g *Gateway) scope(v replica.View, named string) (replica.Scope, bool) {
	if named == "" {
		named = g.workspace
	}
	switch named {
	case "":
		id, ok := v.System()
		return replica.OneWorkspace(id), ok
	case anyWorkspace:
		return replica.AnyWorkspace(), true
	}
	return v.ScopeOf(named)
}

// present notes the credential of a request, of the values that it has for the two
// headers that may bring one. What is not one credential, once, is none.
func (a *ask) present(prefixes token.Prefixes, authorization, apiKey []string) {
	hash, err := bearer.Key(prefixes, authorization, apiKey)
	a.hash, a.presented = hash, err == nil
}
