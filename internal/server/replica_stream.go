package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// replicaBeat is how often a verifier hears that its stream is alive.
const replicaBeat = time.Second

// errReload says that what happened cannot be told as changes.
var errReload = errors.New("the verifier has to connect anew")

// relayed is one open stream to a verifier.
type relayed struct {
	guarded
	of  *follower
	out *relay.Writer
	at  iam.Position // what the verifier was told up to
}

// relay tells a verifier what it follows until one of them ends. It returns an error
// only when nothing has been answered.
func (s *Server) relay(w http.ResponseWriter, r *http.Request, c iam.Caller, asked followed) error {
	h := w.Header()
	h.Set("Content-Type", relay.ContentType)
	h.Set("X-Accel-Buffering", "no") // nginx would keep it back
	if r.Method == http.MethodHead {
		return nil // it asks for nothing more
	}
	own, _ := asked.scope.Workspace()
	leave, err := s.verifiers.enter(c, own)
	if err == nil {
		defer leave()
		err = s.perOpening.take(c.Principal.ID, int64(s.now().Sub(s.began)), h)
	}
	if err != nil {
		s.metrics.limited.Inc()
		return err
	}
	one := newFollower(r, c, asked)
	if one.acked = asked.from.Seq; one.acked == 0 {
		one.acked = s.replica.View().Seq() // what it is about to load is not older
	}
	one.life, one.end = context.WithCancel(r.Context())
	defer func() {
		if t := s.followers.leave(one); t != nil {
			<-t.over // nobody tells the store of it from here on
		}
		if !errors.Is(err, errShutdown) { // else it follows another node in no time, or there is none
			s.unfollow(r.Context(), one, false)
		}
	}()
	may := func(v replica.Verdict) bool { return v.KeyID() == one.key && v.Effective().Allow(iam.VerifyKeys) }
	l := &relayed{guarded: newGuarded(s, w, r, replicaBeat, may), of: one}
	l.out = relay.NewWriter(l)
	s.followers.add(one, s.now())
	s.children.Enter(one.id, one.entrant(c))
	defer l.exit()
	open := s.metrics.replicas.open.WithLabelValues(scopeName(asked.scope))
	open.Inc()
	defer open.Dec()
	err = l.run(l.follow)
	l.exit() // before the verifier hears that it gets nothing more
	l.end(err)
	return nil
}

// entrant returns who a verifier is to those who wait for it. Nobody answers for what
// others with keys of the same account do where that is the operator's own.
func (f *follower) entrant(c iam.Caller) replica.Entrant {
	who := replica.Entrant{Name: f.asked.name, Process: f.process, Scope: f.asked.scope, Owner: string(c.Principal.ID), Tenant: string(c.Workspace.ID)}
	if c.System {
		who.Owner, who.Tenant = f.process, f.process
	}
	return who
}

// scopeName tells whether a verifier follows one workspace or all.
func scopeName(sc replica.Scope) string {
	if _, all := sc.Workspace(); all {
		return anyWorkspace
	}
	return "workspace"
}

// exit ends the connection. It may be called again.
func (l *relayed) exit() {
	l.s.followers.end(l.of, l.s.now())
	l.s.children.Exit(l.of.id, false)
}

// end says the last words, unless the verifier may hear none.
func (l *relayed) end(err error) {
	reason, word := "client", ""
	switch {
	case errors.Is(err, errNoRight):
		reason = "no_right"
	case errors.Is(err, errShutdown):
		reason, word = "shutdown", relay.Shutdown
	case errors.Is(err, errNotKnown):
		reason, word = "stale", relay.NotKnown
	case errors.Is(err, errReload):
		reason, word = "reload", relay.Reload
	}
	l.s.metrics.replicas.ended.WithLabelValues(reason).Inc()
	if word == "" {
		panic(http.ErrAbortHandler) // what has not left stays here, and the verifier sees the stream break off
	}
	var text bytes.Buffer
	_ = relay.NewWriter(&text).End(word) // never fails
	l.last(text.Bytes())
}

// newVerifierStreams counts the connections of verifiers apart from other streams. A
// quarter is the operator's: no number of tenants keeps its verifiers out.
func newVerifierStreams(l Limits) *streams {
	const usual, usualFollowing, usualConnected = 1024, 4096, 8192
	inAll := cmp.Or(l.Connected, usualConnected)
	return &streams{
		mostOfOne: cmp.Or(l.Verifiers, usual), most: cmp.Or(l.Following, usualFollowing), mostInAll: inAll, reserved: inAll / 4,
		open: map[string]int{},
	}
}

// follow tells the verifier where it begins, and then what happens.
func (l *relayed) follow() error {
	epoch := l.s.replica.View().Epoch()
	if err := l.begin(); err != nil {
		return err
	}
	beat := time.NewTicker(replicaBeat)
	defer beat.Stop()
	for {
		published := l.s.replica.Published() // before the look, so that nothing is missed in between
		v := l.s.replica.View()
		if v.Epoch() != epoch {
			return errReload // its log may be another one now
		}
		if err := l.tell(v); err != nil {
			return err
		}
		select {
		case <-published:
		case <-beat.C:
			if err := l.out.Beat(); err != nil {
				return err
			}
		case <-l.ctx.Done():
			return errClient
		}
	}
}

// begin writes who the verifier is here, and all that it has to know first.
func (l *relayed) begin() error {
	v := l.s.replica.View()
	hello := relay.Hello{
		Child: l.of.id, Node: l.s.node, HeartbeatMS: replicaBeat.Milliseconds(),
		Resumed: l.of.asked.from.Seq > 0 && l.resumes(v), Time: v.LatestTime(), Prefixes: l.s.prefixes,
	}
	hello.Workspace, hello.Any = l.of.asked.scope.Workspace()
	if err := l.out.Hello(hello); err != nil {
		return err
	}
	if hello.Resumed {
		l.s.metrics.replicas.begun.WithLabelValues("resumed").Inc()
		l.at = l.of.asked.from
		return nil
	}
	l.s.metrics.replicas.begun.WithLabelValues("snapshot").Inc()
	at, err := v.Pour(l.of.asked.scope, l.out)
	if err != nil {
		return unpoured(err)
	}
	l.at = at
	return l.out.Loaded(at)
}

// unpoured tells a node that knows nothing from a client that went away.
func unpoured(err error) error {
	if errors.Is(err, iam.Unavailable) {
		return errNotKnown
	}
	return err
}

// resumes reports whether a verifier can go on from where it says it is.
func (l *relayed) resumes(v replica.View) bool {
	changes, _, err := v.After(l.of.asked.from, l.of.asked.scope)
	return err == nil && len(changes) <= relay.MostChanges
}

// tell writes what leads to a view from what the verifier was told.
func (l *relayed) tell(v replica.View) error {
	if v.Seq() == l.at.Seq {
		return nil
	}
	next, err := l.s.news.step(v, l.at, l.of.asked.scope)
	switch {
	case errors.Is(err, iam.Unavailable):
		return nil // this node is behind, or knows nothing; it says so elsewhere
	case err != nil:
		return errReload
	case next.text != nil:
		_, err = l.Write(next.text)
	default:
		err = l.out.Changes(next.changes, next.at)
	}
	if errors.Is(err, relay.ErrTooMany) {
		return errReload
	}
	if err == nil {
		l.at = next.at
	}
	return err
}

// Write implements [io.Writer] for what is of the workspace.
func (l *relayed) Write(p []byte) (int, error) {
	if err := l.send(p); err != nil {
		return 0, err
	}
	l.s.metrics.replicas.bytes.Add(float64(len(p)))
	return len(p), nil
}
