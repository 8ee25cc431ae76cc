package gateway

import (
	"net/http"
	"strconv"

	"github.com/posternhq/postern/internal/bearer"
	"github.com/posternhq/postern/internal/iam"
)

// Path is where proxies ask over HTTP.
const Path = "/v1/authorize"

// handler answers proxies over HTTP. Nothing else is served: a proxy that is set
// up to ask elsewhere is refused.
type handler struct {
	*Gateway
	questions questions
}

// Handler returns what answers proxies over HTTP, with any method.
func (g *Gateway) Handler() http.Handler { return &handler{Gateway: g} }

var noStore = []string{"no-store"} // shared by all answers; nobody writes to it

// ServeHTTP implements [http.Handler]. It does not read the body.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Cache-Control"] = noStore
	if r.URL.Path != Path || r.URL.RawPath != "" {
		h.misconfigured(errMisconfigured.Error() + " asks at an address that is not " + Path)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	q := h.questions.of(r.URL.RawQuery)
	if q.err != nil {
		d := decision{status: statusMisconfigured, why: q.err.Error()}
		h.tell(w, r, &d)
		return
	}
	if r.ContentLength != 0 {
		header["Connection"] = []string{"close"} // the body is not waited for
	}
	a := ask{wanted: q.wanted, asked: q.asked, workspace: q.workspace, from: bearer.LastAddress(r.Header["X-Forwarded-For"]), agent: r.UserAgent()}
	a.present(h.prefixes, r.Header["Authorization"], r.Header["X-Api-Key"])
	var who [len(identity)]string
	d := h.answer(r.Context(), &a, func(d *decision) {
		if d.status == statusAllowed {
			who = identify(&d.verdict)
		}
	})
	if d.status != statusAllowed {
		h.tell(w, r, &d)
		return
	}
	h.answered(Answered{Protocol: "http", Status: d.status, Code: d.verdict.Code})
	values := who[:]
	for i, name := range identity {
		header[name] = values[i : i+1 : i+1]
	}
	header["Content-Length"] = []string{"0"}
	w.WriteHeader(d.status)
}

// tell refuses a request in the words of a problem.
func (h *handler) tell(w http.ResponseWriter, r *http.Request, d *decision) {
	if d.status == statusMisconfigured {
		h.misconfigured(d.why)
	}
	h.answered(Answered{Protocol: "http", Status: d.status, Code: d.verdict.Code})
	id := iam.FitRequestID(r.Header["X-Request-Id"], h.now())
	body := d.problem(id)
	header := w.Header()
	header["X-Request-Id"] = []string{id}
	header["Content-Type"] = []string{"application/problem+json"}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	if c := d.challenge(); c != "" {
		header["Www-Authenticate"] = []string{c}
	}
	if d.status == statusStale {
		header["Retry-After"] = []string{bearer.RetryAfter}
	}
	w.WriteHeader(d.status)
	_, _ = w.Write(body) // whoever asked may be gone
}
