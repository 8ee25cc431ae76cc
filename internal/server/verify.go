package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// chunk is how many verifications of a batch are made before the batch looks
// again at the key that it was called with.
const chunk = 100

// registerVerify adds the hot path. It is written out by hand: once a call has been
// read, deciding and answering it allocates nothing.
func (s *Server) registerVerify() {
	const tag = "Verification"
	s.registerHot(operation{
		id: "verify", method: http.MethodPost, path: "/v1/verify", tag: tag,
		summary: "May this key do this?",
		description: "Answered from memory. `valid: false` is an answer, not an error; `code` says why. Keys of the caller's " +
			"own workspace are accepted; callers of the system workspace may name another in `workspace`, or write `any`. " +
			"Any other key reads `not_found`. A key with allowed networks needs `source.ip`.",
		access: permission, needs: iam.VerifyKeys, success: http.StatusOK, readOnly: true, memory: true, unlimited: true,
	}, taking[api.Verify](s, jsonAnswer[api.Verdict](s, "The verdict")), func(w http.ResponseWriter, r *http.Request) {
		s.verify(w, r, (*asks).readOne)
	})
	s.registerHot(operation{
		id: "verify-batch", method: http.MethodPost, path: "/v1/verify/batch", tag: tag,
		summary: "May these keys do this?", description: "At most 1000 at once, all of them as of the same revision.",
		access: permission, needs: iam.VerifyKeys, success: http.StatusOK, readOnly: true, memory: true, unlimited: true,
	}, taking[api.VerifyBatch](s, jsonAnswer[api.VerdictBatch](s, "The verdicts, in the order of the items")), func(w http.ResponseWriter, r *http.Request) {
		s.verify(w, r, (*asks).readBatch)
	})
}

// verification is a call of the hot path. It is used again for other calls, and
// nothing keeps its memory beyond the answer.
type verification struct {
	body bytes.Buffer
	asks asks
	out  []byte

	request *http.Request
	id      string     // of the request
	agent   string     // that the caller says it is, fit to be kept
	from    netip.Addr // that the call came from; invalid: nobody knows
	hash    token.Hash // of the calling key
	caller  replica.Verdict
	hashes  [chunk]token.Hash      // of the keys of a chunk; zero: of a text that is none
	warm    uint32                 // means nothing
	uses    []iam.Use              // that verdicts were given on
	codes   [replica.Stale + 1]int // how the verdicts ended
	unsure  bool                   // there is no verdict on one of the keys

	look, decide func(replica.View) // what the door calls; made once, for closures cost memory
}

func (s *Server) newVerification() *verification {
	x := new(verification)
	x.look = func(v replica.View) { s.look(x, v) }
	x.decide = func(v replica.View) { s.decide(x, v) }
	return x
}

// tooMuchToKeep bounds what a pool holds on to after a call, in bytes: what the largest
// batches take is kept, for making it anew would cost them a tenth of their time.
const tooMuchToKeep = 1 << 20

func (s *Server) release(x *verification) {
	if x.body.Cap() > tooMuchToKeep || cap(x.out) > tooMuchToKeep {
		return
	}
	clear(x.body.Bytes())
	x.body.Reset()
	x.asks.reset()
	clear(x.uses)
	x.uses = x.uses[:0]
	x.caller, x.request, x.id, x.agent = replica.Verdict{}, nil, "", ""
	s.verifications.Put(x)
}

// verify answers both routes of the hot path.
func (s *Server) verify(w http.ResponseWriter, r *http.Request, read func(*asks, string) error) {
	x := s.verifications.Get().(*verification)
	defer s.release(x)
	x.request, x.from = r, s.peer(r)
	x.id, x.agent = requestOf(r.Context()).id, iam.FitAgent(r.UserAgent())
	begun, err := s.hear(w, r, x, read)
	if err == nil {
		err = s.conclude(x)
	}
	s.told(x, err)
	if err != nil {
		if errors.Is(err, iam.Stale) {
			s.metrics.verified[replica.Stale].Inc()
		}
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h["Content-Type"] = s.values.json
	if len(x.out) > shortAnswer {
		h["Content-Length"] = []string{strconv.Itoa(len(x.out))}
	}
	if _, err := w.Write(x.out); err != nil {
		s.log.DebugContext(r.Context(), "the client went away", "error", err)
	}
	s.count(x, begun)
}

// shortAnswer is up to which length package net/http tells the length by itself, in
// bytes.
const shortAnswer = 2_000

// count notes how a call ended.
func (s *Server) count(x *verification, begun time.Time) {
	for code, n := range x.codes {
		if n > 0 {
			s.metrics.verified[code].Add(float64(n))
		}
	}
	s.metrics.verifyTook.Observe(s.now().Sub(begun).Seconds())
}

// hear reads a call: its body, its credential, and what it asks.
func (s *Server) hear(w http.ResponseWriter, r *http.Request, x *verification, read func(*asks, string) error) (begun time.Time, err error) {
	if r.URL.RawQuery != "" {
		if err := checkURL(r.URL); err != nil {
			return begun, s.refusedURL(err)
		}
		if err := noParameters(r); err != nil {
			return begun, err
		}
	}
	if err := x.readBody(w, r); err != nil {
		return begun, err
	}
	begun = s.now()
	text, err := credentialOf(r.Header)
	if err != nil {
		return begun, err
	}
	if x.hash, err = s.prefixes.Parse(text); err != nil {
		return begun, errCredential
	}
	if err := s.door.Answer(r.Context(), x.look); err != nil {
		return begun, errStale
	}
	if err := s.admitted(x); err != nil {
		return begun, err
	}
	requestOf(r.Context()).caller.Principal.ID = x.caller.Principal.ID // for the log
	if err := read(&x.asks, x.body.String()); err != nil {
		return begun, err
	}
	return begun, s.await(r.Context(), x.asks.revision)
}

func (x *verification) readBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > maxBody {
		return errTooLarge
	}
	body := r.Body
	if r.ContentLength < 0 { // else no more than that is read
		body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	if _, err := x.body.ReadFrom(body); err != nil {
		return bodyError(err)
	}
	switch {
	case x.body.Len() == 0:
		return errNoBody
	case !isJSON(r.Header):
		return errNotJSON
	}
	return nil
}

// look notes what a view knows of the key that the call was made with.
func (s *Server) look(x *verification, v replica.View) {
	x.caller = v.Verify(x.hash, replica.Query{Permissions: s.verifyKeys, IP: x.from, Scope: replica.AnyWorkspace()})
}

// admitted returns an error unless that key may verify others.
func (s *Server) admitted(x *verification) error {
	switch x.caller.Code {
	case replica.Valid:
		return nil
	case replica.Stale:
		return errStale
	case replica.PermissionDenied:
		ctx := x.request.Context()
		c := x.caller.Caller()
		c.Source, c.RequestID = s.source(x.request), requestOf(ctx).id
		requestOf(ctx).caller = c
		if err := s.iam.Require(ctx, c, iam.VerifyKeys, audit.Target{Type: "key"}); err != nil {
			return err
		}
	}
	return errCredential
}

// await returns once this node knows a revision, which it soon does if it exists.
func (s *Server) await(ctx context.Context, revision int64) error {
	if revision <= s.replica.View().Seq() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, replica.Patience)
	defer cancel()
	if _, err := iam.Await(ctx, s.replica, revision); err != nil {
		return errStale
	}
	return nil
}

// conclude decides and encodes everything that was asked, and returns nil once it
// may leave.
func (s *Server) conclude(x *verification) error {
	if err := s.door.Answer(x.request.Context(), x.decide); err != nil || x.unsure {
		return errStale
	}
	return s.admitted(x)
}

// decide decides and encodes everything that was asked, with one view.
func (s *Server) decide(x *verification, v replica.View) {
	x.out, x.uses, x.codes, x.unsure = x.out[:0], x.uses[:0], [replica.Stale + 1]int{}, false
	fresh := v.FreshFor()
	if x.asks.batch {
		x.out = append(x.out, `{"results":[`...)
	}
	for i := range x.asks.items {
		if i > 0 {
			x.out = append(x.out, ',')
		}
		if i%chunk == 0 {
			if s.look(x, v); x.caller.Code != replica.Valid {
				return
			}
			s.prepare(x, v, i)
		}
		a := &x.asks.items[i]
		verdict := s.judge(x, v, a, x.hashes[i%chunk])
		if x.unsure = verdict.Code == replica.Stale; x.unsure {
			return
		}
		x.codes[verdict.Code]++
		if verdict.KeyFound && s.usage != nil {
			x.uses = append(x.uses, verdict.Use(a.ip, a.agent, x.asks.texts[a.from:a.to]))
		}
		x.out = appendVerdict(x.out, &verdict, x.asks.texts[a.from:a.to], fresh, x.id)
	}
	if x.asks.batch {
		x.out = append(x.out, `]}`...)
	}
	x.out = append(x.out, '\n')
}

// prepare hashes the keys of the chunk that begins with an item.
func (s *Server) prepare(x *verification, v replica.View, from int) {
	items := x.asks.items[from:min(from+chunk, len(x.asks.items))]
	for i := range items {
		x.hashes[i], _ = s.prefixes.Parse(items[i].key) // zero, which no text has, when it is none
	}
	if len(items) > 1 {
		x.warm += v.Warm(x.hashes[:len(items)])
	}
}

// judge returns the verdict on one key, of which hash is the hash.
func (s *Server) judge(x *verification, v replica.View, a *ask, hash token.Hash) replica.Verdict {
	scope, known := scopeOf(x, v, a)
	if hash == (token.Hash{}) || !known {
		return replica.Verdict{Code: replica.NotFound, Revision: v.Seq()}
	}
	return v.Verify(hash, replica.Query{Permissions: x.asks.wanted[a.from:a.to], IP: a.ip, Scope: scope})
}

const anyWorkspace = "any"

// scopeOf returns whose keys a caller may ask about: those of its own workspace,
// or of another that it names when it operates the deployment.
func scopeOf(x *verification, v replica.View, a *ask) (replica.Scope, bool) {
	own := &x.caller.Workspace
	switch {
	case !a.named || a.workspace == "-" || a.workspace == string(own.ID) || a.workspace == own.Slug:
		return replica.OneWorkspace(own.ID), true
	case !own.System:
		return replica.Scope{}, false
	case a.workspace == anyWorkspace:
		return replica.AnyWorkspace(), true
	}
	return v.ScopeOf(a.workspace)
}
