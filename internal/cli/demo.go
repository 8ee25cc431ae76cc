package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

const (
	demoPath       = "/demo/tickets"
	demoPermission = "tickets:read"
)

// demo is a small API of the kind that Postern protects. It asks the server
// about each key, as any service would.
type demo struct {
	verifier atomic.Pointer[postern.Client] // nil until the server is up
}

// open lets the demo API ask with a client.
func (d *demo) open(c *postern.Client) { d.verifier.Store(c) }

// around adds the demo API to another handler. It needs no mux, which would
// redirect addresses that the other handler refuses.
func (d *demo) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == demoPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			d.tickets(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

type ticket struct {
	ID      int    `json:"id"`
	Subject string `json:"subject"`
	State   string `json:"state"`
}

// tickets answers those whose key may read tickets. Why a key was refused is not
// its holder's to know: 401 or 403, and no more (RFC 6750, section 3.1).
func (d *demo) tickets(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	client := d.verifier.Load()
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 {
		refuse(w, http.StatusUnauthorized, "Bearer")
		return
	}
	if client == nil {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "" // then nobody knows, and a key that is bound to networks is refused
	}
	verdict, err := client.Verify(r.Context(), api.Verify{
		Key: key, Permissions: []string{demoPermission},
		Source: &api.VerifySource{IP: host, UserAgent: r.UserAgent()},
	})
	switch {
	case err != nil:
		http.Error(w, "cannot ask about the key now", http.StatusServiceUnavailable)
	case verdict.Valid:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{ // whoever asked may be gone
			"read_by": verdict.Principal.Name,
			"tickets": []ticket{{1, "Cannot sign in", "open"}, {2, "Invoice is wrong", "open"}, {3, "Thank you", "closed"}},
		})
	case verdict.Code == api.VerdictPermissionDenied:
		refuse(w, http.StatusForbidden, `Bearer error="insufficient_scope"`)
	default:
		refuse(w, http.StatusUnauthorized, `Bearer error="invalid_token"`)
	}
}

func refuse(w http.ResponseWriter, status int, challenge string) {
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, http.StatusText(status), status)
}
