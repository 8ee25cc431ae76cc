package server

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// useOf returns the use that a verdict was given on, from where and with what.
func useOf(v *replica.Verdict, ip netip.Addr, agent string, asked []string) iam.Use {
	return iam.Use{
		Key: v.Key.ID, Principal: v.Principal.ID, Workspace: v.Workspace.ID, OK: v.Code == replica.Valid,
		IP: ip, UserAgent: agent, Asked: asked,
	}
}

// told tells of the uses that a call of the hot path was, and gave verdicts on,
// before its answer leaves. A call that is stale tells nothing.
func (s *Server) told(x *verification, err error) {
	if s.usage == nil || errors.Is(err, iam.Stale) {
		return
	}
	if x.caller.KeyFound {
		s.usage.Touch(useOf(&x.caller, x.from, fitAgent(x.request.UserAgent()), s.verifyAsk))
	}
	if err != nil {
		return
	}
	for i := range x.uses {
		u := &x.uses[i]
		u.UserAgent, u.Asked = fitAgent(u.UserAgent), fitAsk(u.Asked)
		s.usage.Touch(*u)
	}
}

// authenticated notes the use that a request's credential is, however it ends. A
// request that looks at its credential again later is one use all the same.
func (s *Server) authenticated(r *http.Request, v *replica.Verdict) {
	req := requestOf(r.Context())
	if s.usage == nil || !v.KeyFound || v.Key.Session {
		return
	}
	u := useOf(v, s.peer(r), fitAgent(r.UserAgent()), req.asks)
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

// fitAgent returns what a client said of itself as [safeText] does. Most texts are
// fit as they are, which is found out without looking for patterns.
func fitAgent(text string) string {
	const longest = 30 // letters and digits in a row that cannot be the part of a secret, and one more
	if len(text) > maxUserAgent {
		return safeText(text)
	}
	run := 0
	for i := range len(text) {
		c := text[i]
		switch {
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			if run++; run == longest {
				return safeText(text)
			}
		case c < ' ' || c > '~':
			return safeText(text)
		case c == '_' && mayBegin(text, i):
			return safeText(text)
		default:
			run = 0
		}
	}
	return text
}

// mayBegin reports whether a secret may begin around the _ that a text has at i.
func mayBegin(text string, i int) bool {
	return slices.ContainsFunc(secretWords, func(w string) bool {
		return w[0] == '_' && strings.HasPrefix(text[i:], w) || w[0] != '_' && strings.HasSuffix(text[:i+1], w)
	})
}

// fitAsk returns permissions that were asked for as they may be kept: an id may be
// what its client likes.
func fitAsk(asked []string) []string {
	for i := range asked {
		if !looksSecret(asked[i]) {
			continue
		}
		fit := make([]string, len(asked)) // asked belongs to the call
		for j := range asked {
			fit[j] = conceal(asked[j])
		}
		return fit
	}
	return asked
}
