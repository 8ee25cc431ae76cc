package postern

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/posternhq/postern/internal/bearer"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Require returns what puts a handler behind a verifier: a request reaches it only
// with a key that may be used for all of the permissions, sent once, as Authorization:
// Bearer or as X-API-Key. [FromContext] says whose key it is.
//
//	http.Handle("/tickets", postern.Require(v, "tickets:read")(tickets))
//
// Others are answered in the words of RFC 6750 and RFC 9457: 401 when the key does not
// work, 403 when it may not do this, 400 when there are two credentials, and 503 while
// the verifier cannot know. Why a key does not work they do not say, unless the policy
// of its workspace does. Nothing that is answered here may be stored by a cache; a
// handler that has other answers sets Cache-Control itself.
//
// Keys with allowed networks are judged by the address that the connection comes from,
// or by what [BehindProxy] says. Without permissions every key that works lets in.
// Require panics when a permission is not one or there is no verifier, as a pattern of
// [http.ServeMux] does: both are written in the program.
func Require(v *Verifier, permissions ...string) func(http.Handler) http.Handler {
	if v == nil {
		panic("postern: Require without a verifier")
	}
	var d demand
	if err := d.ask(permissions); err != nil {
		panic(err)
	}
	return func(next http.Handler) http.Handler {
		return &guarded{verifier: v, demand: d, next: next}
	}
}

// guarded is a handler behind a verifier.
type guarded struct {
	verifier *Verifier
	demand   demand
	next     http.Handler
}

// ServeHTTP implements [http.Handler].
func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	start := g.verifier.begin()
	id, err := g.decide(r)
	if errors.Is(err, bearer.ErrSeveral) { // nothing was asked of the verifier
		refuse(w, r, http.StatusBadRequest, "")
		return
	}
	g.verifier.tell(r.Context(), start, &id, err)
	if d, ok := errors.AsType[*Denied](err); ok {
		refuse(w, r, d.Status(), d.told)
		return
	} else if err != nil {
		refuse(w, r, http.StatusServiceUnavailable, "")
		return
	}
	g.next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), id)))
}

// decide asks the verifier about the key of a request.
func (g *guarded) decide(r *http.Request) (id Identity, err error) {
	t, err := g.verifier.accepted(r.Context())
	if err != nil {
		return id, err
	}
	hash, err := bearer.Key(t.prefixes, r.Header["Authorization"], r.Header["X-Api-Key"])
	if errors.Is(err, bearer.ErrSeveral) {
		return id, err
	}
	err = g.verifier.answer(r.Context(), &question{
		demand: g.demand, scope: t.scope, hash: hash, presented: err == nil,
		from: Source{Address: g.address(r), UserAgent: r.UserAgent()},
	}, &id)
	return id, err
}

// address returns where a request came from.
func (g *guarded) address(r *http.Request) netip.Addr {
	if g.verifier.behindProxy {
		return bearer.LastAddress(r.Header["X-Forwarded-For"])
	}
	return bearer.PeerAddress(r.RemoteAddr)
}

// refuse answers a request that does not get through.
func refuse(w http.ResponseWriter, r *http.Request, status int, told string) {
	id := iam.FitRequestID(r.Header["X-Request-Id"], time.Now())
	p := bearer.Problem(status, told, id)
	p.Type = "about:blank"     // the pages that explain codes are the server's
	body, _ := json.Marshal(p) // texts and numbers only: it cannot fail
	h := w.Header()
	h.Set("X-Request-Id", id)
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if c := bearer.Challenge(status, told); c != "" {
		h.Set("WWW-Authenticate", c)
	}
	if status == bearer.Status(replica.Stale) {
		h.Set("Retry-After", bearer.RetryAfter)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked may be gone
}
