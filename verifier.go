package postern

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
	"github.com/posternhq/postern/internal/usage"
)

// Verifier decides in this process, from memory, whether a key may be used. It
// follows a Postern server and answers only while that has told it, of late, that
// nothing was taken back: once a call that revokes, pauses or narrows something has
// returned, no Verify that begins later accepts what it took. When the server cannot
// be reached for two seconds the answers end, and come again with it.
//
// It holds hashes of keys and never their values. It is safe for concurrent use.
type Verifier struct {
	memory   *replica.Replica
	follower *fence.Verifier
	above    upstream
	uses     *usage.Gatherer // nil: nobody counts
	clock    fence.Clock

	behindProxy bool
	observe     Observer  // nil: nobody hears
	questions   sync.Pool // of *question

	closing   sync.Once
	closed    atomic.Bool
	left      error // what closing ended with
	following activity
	backing   activity // what following and reporting need
}

// activity is what goes on until it is ended.
type activity struct {
	stop    context.CancelFunc
	running sync.WaitGroup
}

func (a *activity) end() {
	a.stop()
	a.running.Wait()
}

// upstream is what a verifier follows: a server, or what stands in for one.
type upstream interface {
	fence.Parent
	usage.Store

	// run keeps up what the other methods need until ctx ends, and tells memory
	// that there may be news.
	run(ctx context.Context, memory *replica.Replica)

	// terms returns what keys are accepted; nil: it is not known yet.
	terms() *terms

	// trouble returns why nothing can be heard from above, or nil.
	trouble() error

	// refused is closed when those above say no in a way that asking again does not
	// change.
	refused() <-chan struct{}

	// reporter returns the id under which uses are reported.
	reporter() string

	// goodbye says that nothing is answered any more.
	goodbye(ctx context.Context) error
}

// terms are what keys are accepted.
type terms struct {
	scope    replica.Scope
	prefixes token.Prefixes
}

// Source says where a key was used. The zero Source says nothing: then a key with
// allowed networks is refused.
type Source struct {
	Address   netip.Addr
	UserAgent string // for those who look who used the key
}

// Verify says whose key it is, if it may be used for all of the permissions now. Most
// calls take less than two microseconds, wait for nothing and allocate nothing.
//
// A key that does not do is a [*Denied]. When nothing can be known now, the error is
// [ErrStale]; before that, Verify waits for news for 150 ms, and not beyond ctx. Other
// errors say that a permission is not one, such as tickets:read.
func (v *Verifier) Verify(ctx context.Context, key string, permissions ...string) (Identity, error) {
	return v.VerifyFrom(ctx, Source{}, key, permissions...)
}

// VerifyFrom is [Verifier.Verify] of a key that was used from somewhere.
func (v *Verifier) VerifyFrom(ctx context.Context, from Source, key string, permissions ...string) (id Identity, err error) {
	q := v.question()
	defer v.questions.Put(q)
	if err := q.ask(permissions); err != nil {
		return id, err
	}
	q.from = from
	start := v.begin()
	t, err := v.accepted(ctx)
	if err != nil {
		v.tell(ctx, start, &id, err)
		return id, err
	}
	hash, err := t.prefixes.Hash(key)
	q.scope, q.hash, q.presented = t.scope, hash, err == nil
	err = v.answer(ctx, q, &id)
	v.tell(ctx, start, &id, err)
	return id, err
}

// accepted returns what keys are accepted. Before that is known it waits a little, for
// what was not read may not be called unknown.
func (v *Verifier) accepted(ctx context.Context) (*terms, error) {
	if t := v.above.terms(); t != nil {
		return t, nil
	}
	for began := v.clock.Now(); ; {
		if err := v.await(ctx, began); err != nil {
			return nil, err
		}
		if t := v.above.terms(); t != nil {
			return t, nil
		}
	}
}

// begin returns when a verification begins, if anybody wants to know.
func (v *Verifier) begin() time.Time {
	if v.observe == nil {
		return time.Time{}
	}
	return time.Now()
}

// tell tells the observer, if there is one, how a verification ended.
func (v *Verifier) tell(ctx context.Context, start time.Time, id *Identity, err error) {
	if v.observe == nil {
		return
	}
	o := Observation{Operation: "verify", Workspace: id.Workspace.Slug, Code: api.VerdictValid, Start: start, Took: time.Since(start)}
	if denied, ok := errors.AsType[*Denied](err); ok {
		o.Code, o.Workspace = denied.Code, denied.Identity.Workspace.Slug
	} else if err != nil {
		o.Code = api.CodeStale
	}
	v.observe(ctx, o)
}

// question returns a question that was used before, whose demand is still that of then.
func (v *Verifier) question() *question {
	q, ok := v.questions.Get().(*question)
	if !ok {
		return new(question)
	}
	*q = question{demand: q.demand}
	return q
}

// question is one verification.
type question struct {
	demand
	scope     replica.Scope
	hash      token.Hash
	presented bool // there is a key, of which hash is
	from      Source
}

// answer decides until a decision may be told. The look that says so comes after all
// else, and is the last thing before the answer is out of its hands: the use is
// counted before it, so that what was accepted before a verifier closes is counted. id is
// zero, and stays so with an error.
func (v *Verifier) answer(ctx context.Context, q *question, id *Identity) error {
	if v.uses != nil {
		v.uses.Expect(q.hash.Head())
	}
	var began replica.Instant
	counted := replica.Code(0)
	for first := true; ; first = false {
		view := v.memory.View()
		var verdict replica.Verdict
		q.judge(view, &verdict)
		if verdict.KeyFound && v.uses != nil && verdict.Code != counted {
			v.uses.Touch(verdict.Use(q.from.Address, q.from.UserAgent, q.asked).Fit())
			counted = verdict.Code
		}
		id.describe(&verdict)
		fresh, still := v.memory.StillFor(view)
		switch {
		case still && verdict.Code == replica.Valid:
			id.FreshFor = fresh
			return nil
		case still:
			denied := deny(&verdict, id, q.asked)
			*id = Identity{}
			return denied
		case first:
			began = v.clock.Now()
		}
		*id = Identity{}
		if err := v.await(ctx, began); err != nil {
			return err
		}
	}
}

// judge decides what one view knows, for who looks whether the view still stands.
func (q *question) judge(view replica.View, verdict *replica.Verdict) {
	if !q.presented {
		verdict.Code, verdict.Revision = replica.NotFound, view.Seq()
		return
	}
	view.Judge(&q.hash, &replica.Query{Permissions: q.wanted, IP: q.from.Address, Scope: q.scope}, verdict)
}

// await returns nil when it is worth to decide again.
func (v *Verifier) await(ctx context.Context, since replica.Instant) error {
	if v.closed.Load() {
		return errClosed
	}
	if err := v.follower.Await(ctx, since); err != nil {
		return v.stale(err)
	}
	return nil
}

var errClosed = fmt.Errorf("%w: the verifier was closed", ErrStale)

// stale returns why nothing is answered, in the words of what is above if that says
// something.
func (v *Verifier) stale(why error) error {
	if trouble := v.above.trouble(); trouble != nil {
		why = trouble
	}
	return fmt.Errorf("%w: %w", ErrStale, why)
}

// Ready returns nil while keys are verified, and else [ErrStale] with why they are
// not: it is what a readiness probe asks. It waits as [Verifier.Verify] does.
func (v *Verifier) Ready(ctx context.Context) error {
	for began := v.clock.Now(); ; {
		if v.memory.Ready() == nil && !v.closed.Load() {
			return nil
		}
		if err := v.await(ctx, began); err != nil {
			return err
		}
	}
}

// Stats is what a verifier knows of itself.
type Stats struct {
	Revision int64         // the last change that it knows of
	Keys     int           // those that have ended, and are not purged, among them
	Ready    bool          // keys are verified
	NewsAge  time.Duration // how old the news can be that answers rest on
	Counted  int64         // uses of keys, as of the last report
	Failures int64         // reports of uses that failed, and were tried again
}

// Stats returns what the verifier knows of itself, for metrics.
func (v *Verifier) Stats() Stats {
	keys, _ := v.memory.Size()
	s := Stats{Revision: v.memory.Position().Seq, Keys: keys}
	s.NewsAge, s.Ready = v.memory.LeaseAge()
	if v.uses != nil {
		g := v.uses.Gathering()
		s.Counted, s.Failures = g.Counted, g.Failures
	}
	return s
}

// Close ends the verifier: it answers nothing any more, reports the uses that it
// counted, and tells the server that nobody has to wait for it. It takes a few
// seconds at most, also when the server is gone. What it returns says what could not
// be told.
func (v *Verifier) Close() error {
	v.closing.Do(func() { v.left = v.leave() })
	return v.left
}

const lastWords = 3 * time.Second // for what a verifier says when it closes

func (v *Verifier) leave() error {
	v.closed.Store(true)
	v.following.end()
	v.memory.Fence() // whatever was accepted has been counted by now
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	var unreported error
	if v.uses != nil {
		if err := v.uses.Finish(ctx); err != nil {
			unreported = fmt.Errorf("postern: uses since the last report are lost: %w", err)
		}
	}
	err := v.above.goodbye(ctx)
	v.backing.end()
	return errors.Join(unreported, err)
}
