package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// Children are the verifiers outside the server that follow this node, and hold parts
// of its right to answer. Package fence has them.
type Children interface {
	// Enter begins a connection, which has a fresh id.
	Enter(id string, who replica.Entrant)
	// Exit ends it. After a goodbye nobody waits for what was given over it.
	Exit(id string, goodbye bool)
	// Renew acknowledges and asks for a sub-lease. The key of the connection has been
	// verified just before.
	Renew(id string, p replica.Ping) (replica.Grant, error)
	// Acknowledge takes down what a verifier answers from.
	Acknowledge(id string, at iam.Position)
	// Status returns the connections that have not ended, and Sum what there is to say
	// of all of them.
	Status() []replica.Follower
	Sum() replica.Followers
}

const (
	replicaPath  = "/v1/replica"
	replicaChild = replicaPath + "/{child}"
	replicaTag   = "Verification"
)

// registerReplica adds what verifiers outside the server follow a node by.
func (s *Server) registerReplica() {
	op := operation{
		id: "follow-replica", endless: true, method: http.MethodGet, path: replicaPath, tag: replicaTag,
		summary: "Follow the keys of a workspace", description: replicaWords,
		access: permission, needs: iam.VerifyKeys, success: http.StatusOK, unlimited: true, memory: true,
		problems: []string{api.CodeNotFound, api.CodeValidationFailed, api.CodeRateLimited, api.CodeUnavailable},
	}
	register(s, op, s.followReplica)
	if d := documented(s.api, &op); d != nil {
		d.Responses["200"].Content = map[string]*huma.MediaType{relay.ContentType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	}
	register(s, operation{
		id: "renew-replica", method: http.MethodPost, path: replicaChild + "/renew", tag: replicaTag,
		summary: "Acknowledge, and ask to go on answering",
		description: "Of a verifier that follows: it says which revision it answers from, and gets a part of the node's own right to answer, " +
			"for two seconds at most. `too_old` and `diverged` say that it has to connect anew and load; `rate_limited`, that it let " +
			"one run out on a change and has not caught up, or that verifiers of the same owner did so too often. Made with the key of the stream, which is verified again each time.",
		access: permission, needs: iam.VerifyKeys, success: http.StatusOK, readOnly: true, unlimited: true, routine: true,
		problems: []string{api.CodeTooOld, api.CodeDiverged, api.CodeRateLimited, api.CodeUnavailable},
	}, s.renewReplica)
	s.registerRenewals()
	register(s, operation{
		id: "report-replica-use", method: http.MethodPost, path: replicaChild + "/usage", tag: replicaTag,
		summary: "Report how keys were used",
		description: "Of a verifier that follows: what it counted since its last report. A key that it does not follow refuses the whole report. " +
			"Until a verifier has reported, a rotation does not take a key for unused. `rate_limited` says that nothing of it was taken: " +
			"send the same again, after `Retry-After`.",
		access: permission, needs: iam.VerifyKeys, success: http.StatusOK, readOnly: true, unlimited: true, mostBody: mostReport, mostValues: mostReported,
		problems: []string{api.CodeRateLimited},
	}, s.reportReplicaUse)
	register(s, operation{
		id: "leave-replica", method: http.MethodDelete, path: replicaChild, tag: replicaTag,
		summary:     "Say goodbye",
		description: "Of a verifier that answers nothing any more: no change waits for it from here on.",
		access:      permission, needs: iam.VerifyKeys, success: http.StatusNoContent, readOnly: true, unconditional: true, memory: true, unlimited: true,
	}, s.leaveReplica)
}

const replicaWords = "For verifiers that answer from their own memory, such as the Go package `postern`; package internal/relay of the source has " +
	"the form of the stream. It tells all that verification needs to know of a workspace, hashes of keys and never their values, and then each change " +
	"as it is made; with `from`, only what has changed since, where that is still known. Every second there is a sign of life.\n\n" +
	"Nothing of it may be answered from without a grant of `renew`, which names the connection by the id in the first frame. All calls of one " +
	"connection have to reach the same node.\n\n" +
	"The stream breaks off as soon as the calling key stops working or loses the permission."

type followReplicaInput struct {
	Workspace string `query:"workspace" doc:"Whose keys: the caller's own workspace when left out. Callers of the system workspace may name another by id or slug, or write any." example:"any"`
	Name      string `query:"name" doc:"What the verifier calls itself, in lists of nodes and of sources: 1 to 64 characters. Left out: the name of its key's owner."`
	Reporter  string `query:"reporter" doc:"A random text of 16 to 64 letters and digits that is one process's, over all its connections. Needed to report uses of keys."`
	From      string `query:"from" doc:"The position that the verifier is at: its revision, a dot, and the chain there in hexadecimal."`
}

// followed is what a verifier asks for.
type followed struct {
	scope    replica.Scope
	name     string
	reporter string
	from     iam.Position
}

type followReplicaOutput struct{ Body func(huma.Context) }

func (s *Server) followReplica(ctx context.Context, c iam.Caller, in *followReplicaInput) (*followReplicaOutput, error) {
	if err := s.mayFollow(ctx, c); err != nil {
		return nil, err
	}
	asked, err := s.readFollow(c, in)
	if err != nil {
		return nil, err
	}
	return &followReplicaOutput{func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		if err := s.relay(w, r, c, asked); err != nil {
			s.fail(w, r, err)
		}
	}}, nil
}

// mayFollow returns an error unless the caller's key may verify others, on a node that
// verifiers may follow.
func (s *Server) mayFollow(ctx context.Context, c iam.Caller) error {
	if c.Key.ID == "" {
		return errCredential // a session is for people
	}
	if err := s.iam.Require(ctx, c, iam.VerifyKeys, audit.Target{Type: "key"}); err != nil {
		return err
	}
	if s.children == nil {
		return iam.Errorf(iam.Unavailable, "no verifiers can follow this node")
	}
	return nil
}

// readFollow reads what a verifier asks for.
func (s *Server) readFollow(c iam.Caller, in *followReplicaInput) (f followed, err error) {
	var known bool
	if f.scope, known = s.scopeFor(c, in.Workspace); !known {
		return f, iam.Errorf(iam.NotFound, "no workspace %s", iam.SafeText(in.Workspace))
	}
	if f.name = cmp.Or(in.Name, c.Principal.Name); !isVerifierName(f.name) {
		return f, iam.Invalid("name", "not_a_name", "a name has 1 to 64 characters, none of them a control character")
	}
	if f.reporter = in.Reporter; f.reporter != "" && !isReporter(f.reporter) {
		return f, iam.Invalid("reporter", "not_an_id", "the id of a reporter is random, and has 16 to 64 letters and digits")
	}
	if in.From == "" {
		return f, nil
	}
	if f.from, err = relay.ParsePosition(in.From); err != nil {
		return f, iam.Invalid("from", "not_a_position", "a position is a revision, a dot, and 64 hexadecimal digits")
	}
	return f, nil
}

// scopeFor returns whose keys a caller may follow: those of its own workspace, or of
// another that it names when it operates the deployment.
func (s *Server) scopeFor(c iam.Caller, ref string) (replica.Scope, bool) {
	switch {
	case ref == "" || ref == "-" || ref == string(c.Workspace.ID) || ref == c.Workspace.Name:
		return replica.OneWorkspace(c.Workspace.ID), true
	case !c.System:
		return replica.Scope{}, false
	case ref == anyWorkspace:
		return replica.AnyWorkspace(), true
	}
	return s.replica.ScopeOf(ref)
}

func isVerifierName(name string) bool {
	const most = 64
	return name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= most && !strings.ContainsFunc(name, unicode.IsControl)
}

func isReporter(id string) bool {
	const least, most = 16, 64
	plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' }
	return len(id) >= least && len(id) <= most && !strings.ContainsFunc(id, func(r rune) bool { return !plain(r) })
}

// follower is a connection of a verifier, and whose it is.
type follower struct {
	id        string
	principal iam.PrincipalID
	key       iam.KeyID
	asked     followed
	process   string
	request   *http.Request // that the stream answers
	home      iam.Ref[iam.WorkspaceID]
	ended     time.Time // zero: the stream is open
	heard     time.Time // when the store last heard of it
	told      time.Time // when the store was last told where it is; zero: it was not
	telling   *telling  // the store is being told; nil: it is not
	left      bool      // it has said goodbye
	acked     int64     // it answers from this change or a later one, or not at all
	hangUp    func()    // ends the open call of its renewals; nil: there is none

	life context.Context // ends with the stream, and with a goodbye
	end  func()          // ends it
}

// telling is one time that the store is told of a connection.
type telling struct {
	over chan struct{} // closed when it has been, or has not
	err  error         // why it has not; to be read after that
}

// followers are the connections of verifiers, for as long as their streams are open,
// and a little longer: a verifier that hears of an end says what it has to say.
type followers struct {
	mu      sync.Mutex // guards what follows
	all     map[string]*follower
	telling int // of them, those that the store is being told of
}

// afterwards is for how long a connection may still be spoken of that has ended.
const afterwards = 10 * time.Second

func (f *followers) add(one *follower, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, other := range f.all {
		if !other.ended.IsZero() && now.Sub(other.ended) > afterwards {
			delete(f.all, id)
		}
	}
	f.all[one.id] = one
}

func (f *followers) end(one *follower, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.ended = now
}

// of returns a connection of a caller, by its id, and whether its stream is open.
func (f *followers) of(c iam.Caller, id string) (one *follower, open bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one = f.all[id]
	if one == nil || one.principal != c.Principal.ID || one.key != c.Key.ID {
		return nil, false, iam.Errorf(iam.NotFound, "there is no such connection on this node; connect anew")
	}
	return one, one.ended.IsZero(), nil
}

// open returns the connections whose streams are open, by id.
func (f *followers) open() map[string]*follower {
	f.mu.Lock()
	defer f.mu.Unlock()
	open := map[string]*follower{}
	for id, one := range f.all {
		if one.ended.IsZero() {
			open[id] = one
		}
	}
	return open
}

// heardOf notes that the store was told of a connection, when it was asked to.
func (f *followers) heardOf(one *follower, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.After(one.heard) {
		one.heard = at
	}
}

// toldOf notes that the store was told where a connection is.
func (f *followers) toldOf(one *follower, at time.Time) {
	f.heardOf(one, at)
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.After(one.told) {
		one.told = at
	}
}

// ackedBy notes from which change a verifier says that it answers.
func (f *followers) ackedBy(one *follower, seq int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.acked = max(one.acked, seq)
}

// following returns what the store is told of a connection to a node.
func (f *followers) following(one *follower, node string) iam.Following {
	f.mu.Lock()
	defer f.mu.Unlock()
	return iam.Following{Connection: one.id, Node: node, Home: one.home, Acked: one.acked}
}

// silent returns for how long the store may not have heard of a connection, and for how
// long it was not told where that is: never, if it was not at all.
func (f *followers) silent(one *follower, now time.Time) (heard, told time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	told = never
	if !one.told.IsZero() {
		told = now.Sub(one.told)
	}
	return now.Sub(one.heard), told
}

const never time.Duration = math.MaxInt64

// Bounds on telling the store of verifiers: it may hang.
const (
	mostTelling = 32 // at a time
	tellingTime = 10 * time.Second
)

// begin returns who tells the store of a connection, and whether that is the caller's to
// do. Of one that has ended, or has said goodbye, the store is not told again. It returns
// nil when nobody does.
func (f *followers) begin(one *follower) (t *telling, own bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one.telling != nil || f.telling >= mostTelling || one.left || !one.ended.IsZero() {
		return one.telling, false
	}
	one.telling = &telling{over: make(chan struct{})}
	f.telling++
	return one.telling, true
}

func (f *followers) over(one *follower, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.telling.err = err
	close(one.telling.over)
	one.telling = nil
	f.telling--
}

// renewBy notes what ends the open call of a connection's renewals, and ends the one
// before: there is one at a time.
func (f *followers) renewBy(one *follower, hangUp func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one.hangUp != nil {
		one.hangUp()
	}
	one.hangUp = hangUp
}

// leave has the store told of a connection no more, and returns who still does; nil:
// nobody.
func (f *followers) leave(one *follower) *telling {
	one.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	one.left = true
	return one.telling
}

// tellStore tells the store of a verifier, which may accept keys from then on for a
// while: what it does not report is not known of. Its caller has begun to. It goes on
// for as long as the stream does, whatever becomes of the request that asked for it.
func (s *Server) tellStore(one *follower) (err error) {
	defer func() { s.followers.over(one, err) }()
	ctx, cancel := context.WithTimeout(one.life, tellingTime)
	defer cancel()
	began := s.now() // before the store is asked
	own, _ := one.asked.scope.Workspace()
	_, err = s.iam.Store.Register(ctx, iam.Reporter{
		ID: one.process, Name: one.asked.name, Kind: iam.VerifierNode, Workspace: own, Principal: one.principal,
		Following: s.followers.following(one, s.node),
	})
	if err == nil {
		s.followers.toldOf(one, began)
	}
	return err
}

// unfollow tells the store that a connection has ended, so that lists of nodes say so.
// A store that does not answer finds out by the verifier's silence.
func (s *Server) unfollow(ctx context.Context, one *follower, goodbye bool) {
	const patience = time.Second
	ctx = context.WithoutCancel(ctx)
	if t := s.followers.leave(one); t != nil { // it would list the verifier again
		waiting, enough := context.WithTimeout(ctx, patience)
		defer enough()
		_ = t.wait(waiting)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.iam.Store.Unfollow(ctx, one.process, s.followers.following(one, s.node), goodbye); err != nil {
		s.log.InfoContext(ctx, "a verifier that follows no more is listed for a while", "verifier", one.asked.name, "error", err)
	}
}

// known returns nil while the store knows of a verifier. It is told in the background:
// before the first grant, which waits for that as long as its request does, and again
// while others are made, which end when it has not been for too long.
func (s *Server) known(ctx context.Context, one *follower) error {
	heard, told := s.followers.silent(one, s.now())
	if told < iam.VerifierHeard/3 {
		return nil
	}
	t, own := s.followers.begin(one)
	if own {
		go func() {
			if err := s.tellStore(one); err != nil && told != never && heard >= iam.VerifierHeard {
				s.log.Warn("a verifier gets nothing, for nobody would wait for its reports", "verifier", one.asked.name, "error", err)
			}
		}()
	}
	switch {
	case told == never && t != nil: // nil: too many are being told of
		return t.wait(ctx)
	case told == never || heard >= iam.VerifierHeard:
		return errStale
	}
	return nil
}

// wait returns how it went, or that it is not known when ctx ends before.
func (t *telling) wait(ctx context.Context) error {
	select {
	case <-t.over:
		return t.err
	case <-ctx.Done():
		return errStale
	}
}

// newFollower returns a connection that has not begun.
func newFollower(r *http.Request, c iam.Caller, asked followed) *follower {
	one := &follower{id: strings.ToLower(rand.Text()), principal: c.Principal.ID, key: c.Key.ID, home: c.Workspace, asked: asked, request: r}
	one.process = string(c.Principal.ID) + "/" + cmp.Or(asked.reporter, one.id) // nobody speaks for a process of others
	return one
}

// InChild is the part of an input that every path below a connection has.
type InChild struct {
	Child string `path:"child" doc:"The id of the connection, from the stream's first frame."`
}

type renewReplicaInput struct {
	InChild
	Body api.RenewReplica
}

func (s *Server) renewReplica(ctx context.Context, c iam.Caller, in *renewReplicaInput) (*answer[api.ReplicaGrant], error) {
	g, err := s.grant(ctx, c, in)
	s.metrics.replicas.renewed(err)
	if err != nil {
		return nil, err
	}
	return &answer[api.ReplicaGrant]{Body: api.ReplicaGrant{
		N: g.N, Seq: g.At.Seq, Chain: relay.FormatChain(g.At.Chain), ForUS: g.For.Microseconds(), Time: api.NewTime(g.Time.Add(time.Microsecond)),
	}}, nil
}

// grant answers a call for a sub-lease.
func (s *Server) grant(ctx context.Context, c iam.Caller, in *renewReplicaInput) (replica.Grant, error) {
	one, err := s.renews(ctx, c, in.Child)
	if err != nil {
		return replica.Grant{}, err
	}
	chain, err := relay.ParseChain(in.Body.Chain)
	if err != nil {
		return replica.Grant{}, iam.Invalid("/chain", "not_a_chain", "a chain has 64 hexadecimal digits")
	}
	return s.grantTo(ctx, one, replica.Ping{
		N: in.Body.N, At: iam.Position{Seq: in.Body.Seq, Chain: chain}, Wanted: time.Duration(in.Body.WantedMS) * time.Millisecond,
	})
}

// renews returns a connection of a caller who may renew over it.
func (s *Server) renews(ctx context.Context, c iam.Caller, child string) (*follower, error) {
	if err := s.mayFollow(ctx, c); err != nil {
		return nil, err
	}
	one, open, err := s.followers.of(c, child)
	if err == nil && !open {
		err = iam.Errorf(iam.NotFound, "the stream has ended; connect anew")
	}
	return one, err
}

// acknowledge takes down what a verifier answers from.
func (s *Server) acknowledge(one *follower, at iam.Position) {
	s.followers.ackedBy(one, min(at.Seq, s.replica.View().Seq()))
	s.children.Acknowledge(one.id, at)
}

// grantTo gives a verifier a sub-lease. The last thing before is the look whether the
// stream's key still works: what was given meanwhile is not told, and ends with time.
func (s *Server) grantTo(ctx context.Context, one *follower, p replica.Ping) (replica.Grant, error) {
	s.followers.ackedBy(one, min(p.At.Seq, s.replica.View().Seq()))
	unknown := s.known(ctx, one)
	if unknown != nil {
		p.Wanted = 0 // it acknowledges all the same
	}
	g, err := s.children.Renew(one.id, p)
	if unknown != nil {
		return replica.Grant{}, unknown
	}
	if err != nil {
		return g, ungranted(err)
	}
	return g, s.followsStill(one.request)
}

// ungranted says in the caller's words why there is no sub-lease.
func ungranted(err error) error {
	switch {
	case errors.Is(err, replica.ErrNoFollower):
		return iam.Errorf(iam.NotFound, "the stream has ended; connect anew")
	case errors.Is(err, replica.ErrSetAside):
		return retryAfter{iam.Errorf(iam.RateLimited, "grants ran out on changes that were not acknowledged, by this verifier or others of its owner: catch up, or wait"), time.Second}
	case errors.Is(err, replica.ErrTooOld):
		return iam.Errorf(replica.ErrTooOld, "what happened since that revision is not kept here: load anew")
	case errors.Is(err, iam.Diverged):
		return newProblem(api.CodeDiverged, "", "that revision is of another history: load anew")
	case errors.Is(err, iam.Unavailable):
		return retryAfter{iam.Errorf(iam.Unavailable, "this node has not come to that revision yet"), time.Second}
	case errors.Is(err, iam.Stale):
		return errStale
	}
	return err
}

// followsStill returns nil while the key of a stream works and may verify others.
func (s *Server) followsStill(stream *http.Request) error {
	v, err := s.recognise(stream)
	switch {
	case err != nil:
		return err
	case !v.Effective().Allow(iam.VerifyKeys):
		return errCredential
	}
	return nil
}

// Bounds on a report. Package usage makes them of at most 2 000 keys, with little more
// than 20 000 minutes, sources and asks together.
const (
	mostReport   = 16 << 20 // bytes
	mostReported = 500_000  // values of JSON
)

type reportReplicaUseInput struct {
	InChild
	Body api.ReportReplicaUse
}

func (s *Server) reportReplicaUse(ctx context.Context, c iam.Caller, in *reportReplicaUseInput) (*answer[api.ReportedReplicaUse], error) {
	if err := s.mayFollow(ctx, c); err != nil {
		return nil, err
	}
	one, _, err := s.followers.of(c, in.Child)
	if err != nil {
		return nil, err
	}
	began := s.now()
	if err := s.perReport.take(one, int64(began.Sub(s.began))); err != nil {
		s.metrics.limited.Inc()
		return nil, err
	}
	own, _ := one.asked.scope.Workspace()
	now, err := s.iam.ReportWithin(ctx, own, relay.ReportOf(one.process, in.Body))
	switch {
	case err == nil:
		s.followers.heardOf(one, began)
	case !errors.Is(err, iam.ErrReported): // else nothing was written, and nobody was heard of
		return nil, err
	}
	return &answer[api.ReportedReplicaUse]{Body: api.ReportedReplicaUse{Now: api.NewTime(now)}}, nil
}

func (s *Server) leaveReplica(ctx context.Context, c iam.Caller, in *InChild) (*struct{}, error) {
	if err := s.mayFollow(ctx, c); err != nil {
		return nil, err
	}
	one, _, err := s.followers.of(c, in.Child)
	if err != nil {
		return nil, err
	}
	s.children.Exit(one.id, true)
	s.unfollow(ctx, one, true)
	return nil, nil
}
