package server

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/posternhq/postern/api"
)

// What load balancers ask, every second or so.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// registerHealth adds what load balancers and the curious ask, without a key.
func (s *Server) registerHealth() {
	s.registerPlain(operation{
		id: "get-health", method: http.MethodGet, path: healthPath, tag: operationsTag,
		summary: "Is this process alive?", access: open, success: http.StatusOK, memory: true, unlimited: true,
	}, jsonAnswer[api.Health](s, "It is"), func(w http.ResponseWriter, r *http.Request) {
		s.writeJSON(w, r, http.StatusOK, api.Health{Status: "ok"})
	})
	ready := jsonAnswer[api.Health](s, "It does")
	ready.Responses["503"] = answerWith(http.StatusServiceUnavailable, "It does not, and says why", jsonType, schemaOf[api.Health](s)).Responses["503"]
	s.registerPlain(operation{
		id: "get-readiness", method: http.MethodGet, path: readyPath, tag: operationsTag,
		summary: "Does this node answer verifications?", access: open, success: http.StatusOK, memory: true, unlimited: true,
	}, ready, func(w http.ResponseWriter, r *http.Request) {
		health := s.health()
		status := http.StatusOK
		if health.Status != "ok" {
			status = http.StatusServiceUnavailable
			w.Header().Set("Retry-After", strconv.Itoa(retryLater))
		}
		s.writeJSON(w, r, status, health)
	})
	s.registerPlain(operation{
		id: "get-openapi", method: http.MethodGet, path: "/v1/openapi.json", tag: operationsTag,
		summary: "Read this document", access: open, success: http.StatusOK, memory: true, unlimited: true,
	}, answerWith(http.StatusOK, "OpenAPI 3.1", jsonType, anyObject()), func(w http.ResponseWriter, r *http.Request) {
		text, err := s.spec()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.write(w, r, http.StatusOK, jsonType, text)
	})
}

// health says whether verifications are answered, and never why the database
// cannot be asked: nobody has shown a credential.
func (s *Server) health() api.Health {
	if s.door.Ready() != nil {
		return api.Health{Status: "stale", Detail: "this node cannot know whether it has heard of every revocation; the server's log says why"}
	}
	if _, principals := s.replica.Size(); principals == 0 {
		return api.Health{Status: "not_initialised", Detail: "there is no owner yet: run postern init"}
	}
	return api.Health{Status: "ok"}
}

func (s *Server) writeJSON(w http.ResponseWriter, r *http.Request, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.write(w, r, status, jsonType, append(text, '\n'))
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.log.DebugContext(r.Context(), "the client went away", "error", err)
	}
}
