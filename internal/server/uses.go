package server

import (
	"errors"
	"net/http"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// told tells of the uses that a call of the hot path was, and gave verdicts on,
// before its answer leaves. A call that is stale tells nothing.
func (s *Server) told(x *verification, err error) {
	if s.usage == nil || errors.Is(err, iam.Stale) {
		return
	}
	if x.caller.KeyFound {
		s.usage.Touch(x.caller.Use(x.from, x.agent, s.verifyAsk))
	}
	if err != nil {
		return
	}
	for i := range x.uses {
		s.usage.Touch(x.uses[i].Fit())
	}
}

// authenticated notes the use that a request's credential is, however it ends. A
// request that looks at its credential again later is one use all the same.
func (s *Server) authenticated(r *http.Request, v *replica.Verdict) {
	req := requestOf(r.Context())
	if s.usage == nil || !v.KeyFound || v.Key.Session {
		return
	}
	u := v.Use(s.peer(r), iam.FitAgent(r.UserAgent()), req.asks)
	req.use = &u
}

// tell tells of a request's use, once: when its answer begins to leave, or it ends
// without one.
func (s *Server) tell(req *request) {
	if req.use == nil || req.told {
		return
	}
	req.told = true
	req.use.OK = req.use.OK && !req.denied
	s.usage.Touch(*req.use)
}

// tellAgain tells of a request that lasts: its key is in use for as long.
func (s *Server) tellAgain(req *request) {
	if req.use != nil {
		s.usage.Touch(*req.use)
	}
}
