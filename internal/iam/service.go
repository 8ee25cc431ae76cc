package iam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// Fence holds back the answer to a caller until no node can contradict it.
type Fence interface {
	// Begin begins to wait for change seq, which must have been committed. What
	// it returns is of this change alone, whatever gets the same number after a
	// failover: call it once for each change, right after the commit, for time
	// counts from then.
	Begin(seq int64) Waiting
}

// Waiting is what a process knows of one change from its commit on, until it is
// closed. It is safe for concurrent use: several may wait, one after the other or
// together, and none of them from the beginning.
type Waiting interface {
	// Wait returns once every node that may answer a verification has applied
	// the change, with a receipt that is confirmed, and says on what it rests.
	// An error means that this cannot be known yet: then the change is recorded,
	// nothing may be said of its effect, and the receipt says how far it is.
	Wait(ctx context.Context) (Receipt, error)
	// Close ends it. Those who wait hear of no more.
	Close()
}

// WaitFunc is a fence that knows nothing of the waits before: each begins anew.
type WaitFunc func(ctx context.Context, seq int64) (Receipt, error)

// Begin implements [Fence].
func (f WaitFunc) Begin(seq int64) Waiting { return anew{f, seq} }

type anew struct {
	wait WaitFunc
	seq  int64
}

func (a anew) Wait(ctx context.Context) (Receipt, error) { return a.wait(ctx, a.seq) }
func (anew) Close()                                      {}

// Await begins to wait for a change, and waits.
func Await(ctx context.Context, f Fence, seq int64) (Receipt, error) {
	w := f.Begin(seq)
	defer w.Close()
	return w.Wait(ctx)
}

// Service does what a caller asks, or says why not. It is safe for concurrent
// use. Its fields are set once, before the first call.
type Service struct {
	Store  Store
	Fence  Fence
	Roster Roster
	Mint   token.Mint
	Now    func() time.Time // for what is only read or summed; a change is decided by the database's time

	// Waited hears once for each change for how long its caller waited and how
	// that ended: acked, expired, bounded or unconfirmed. Nil: nobody does.
	Waited func(outcome string, took time.Duration)

	// Advanced hears of each change that [Service.AdvanceRotations] made, by the
	// action of its event. Nil: nobody does.
	Advanced func(action string)

	running  inFlight
	refusals refusals
	receipts ledger
	round    round
	numbers  numbers
}

// Done is the end of a call that changed something, or found it already so. Its
// receipt is confirmed, unless the caller preferred not to wait for that.
type Done[T any] struct {
	Value    T
	Revision int64
	Receipt  Receipt
}

// attempt is what a caller tries to do.
type attempt struct {
	in      string     // the workspace that a path names, or own where it names none
	action  string     // as the audit log writes it, such as "key.created"
	needs   Permission // zero: a credential that works is enough
	system  bool       // only for callers of the system workspace
	open    bool       // no credential is needed: the call brings its own proof
	person  bool       // only for people who signed in: no key is enough
	fresh   bool       // of people who signed in, only for those who proved who they are of late
	about   string     // the principal that it will read, by id or name; empty: none
	key     KeyID      // the key that it will change; empty: none
	maker   bool       // it will ask whether that key made anything
	account string     // the service account that it will change, by id or name; empty: none
	target  audit.Target
}

// first names what is read before the attempt of a caller is decided.
func (a attempt) first(c Caller) First {
	return First{
		Workspace: c.Workspace.ID, Key: c.Key.ID, Session: c.Session, Principal: a.about,
		Target: a.key, Maker: a.maker, Account: a.account, Replay: c.Idempotency,
	}
}

// work is one transaction that changes something: who asks, what the rows say of
// them, what has been decided so far, and what will be written down.
type work struct {
	Tx
	ctx    context.Context
	caller Caller
	ws     Workspace                 // the one that is worked in: the caller's or, for a caller of none, the target's
	may    Permissions               // effective, from the rows
	as     map[WorkspaceID]Principal // who the caller is in other workspaces

	change      Change
	event       audit.Event
	receipt     Receipt
	further     []audit.Event // of things that ended along with the target
	keysStopped int64
	issued      string // the id of a thing whose secret will be shown
}

// targeted is what a change is about.
type targeted interface{ target() audit.Target }

// placed is what knows its workspace, for calls whose caller is of none.
type placed interface{ workspace() WorkspaceID }

// do is the one way to change anything: one transaction that takes the next
// number, asks whether the caller may, changes the rows and writes the event and
// the receipt; then the fence, unless the caller prefers not to wait; then the
// answer. fn decides and changes; it may run again.
func do[T targeted](ctx context.Context, s *Service, c Caller, a attempt, fn func(*work) (T, error)) (Done[T], error) {
	if _, err := c.resolve(a.in); err != nil {
		return Done[T]{}, err
	}
	leave, err := s.running.enter(c.Idempotency)
	if err != nil {
		return Done[T]{}, err
	}
	defer leave()
	var out Done[T]
	var w *work
	var shown error // what a replay is told once the fence has confirmed
	_, err = s.Store.Change(ctx, a.first(c), func(tx Tx) (_ Change, err error) {
		w = &work{Tx: tx, ctx: ctx, caller: c}
		out, shown, err = transact(w, a, fn)
		return w.change, err
	})
	if err != nil {
		return Done[T]{}, s.refused(ctx, c, a, w, err)
	}
	prefer := c.Prefer
	if w.issued != "" || shown != nil {
		prefer.Async = false // no value is shown, nor said to have been, before it works everywhere
	}
	if out.Receipt, err = s.settle(ctx, w.receipt, prefer); err != nil {
		return out, fmt.Errorf("%s, revision %d: %w", a.action, w.receipt.Revision, err)
	}
	return out, shown
}

// transact is what do does inside the transaction, all of it or nothing: the
// caller is admitted, then the change is decided and made, or found made before,
// and the events, the outcome for a replay and the receipt are written. shown is
// what a replay is told in place of a value that is not shown twice.
func transact[T targeted](w *work, a attempt, fn func(*work) (T, error)) (out Done[T], shown, err error) {
	w.event.Target = a.target
	if err := w.admit(a); err != nil {
		return out, nil, err
	}
	again, shown, err := replay(w, &out)
	if err != nil {
		return out, nil, err
	}
	if !again {
		if out.Value, err = fn(w); err != nil {
			return out, nil, err
		}
		out.Revision = w.Seq()
	}
	if out.Value.target().ID != "" {
		w.event.Target = out.Value.target()
	}
	if p, ok := any(out.Value).(placed); ok {
		w.ws.ID = p.workspace()
	}
	return out, shown, errors.Join(w.writeEvents(a.action, again), w.remember(out.Value, again), w.insertReceipt())
}

var errStopped = Errorf(Unauthenticated, "the credential of this call does not work, or no longer does")

// admit decides from the rows, as they are now that the number is taken, whether
// the caller may do this at all.
func (w *work) admit(a attempt) error {
	if w.caller.internal != "" || a.open {
		return nil
	}
	found := w.Found()
	if found.Workspace == nil {
		return errStopped
	}
	w.ws = *found.Workspace
	if w.ws.Paused || !w.credentialWorks(found) {
		return errStopped
	}
	switch {
	case a.person && found.Session == nil:
		return errSignedInOnly
	case a.system && !w.ws.System:
		return Errorf(NotFound, "no such thing")
	case a.needs != Permission{} && !w.may.Allow(a.needs):
		return denied(a.needs)
	case a.fresh && found.Session != nil && !found.Session.SignIn.Fresh(w.Now()):
		return errStepUp
	}
	return nil
}

// credentialWorks reports whether the key or the session of the caller may be used,
// and notes what it may do.
func (w *work) credentialWorks(found Found) bool {
	switch {
	case found.Session != nil:
		s := found.Session
		w.may = s.Principal.Role.Permissions
		return s.SignIn.Works(w.Now()) && s.Principal.State == Active
	case found.Key != nil:
		key := found.Key
		w.may = key.Effective()
		return key.State(w.Now()) == Active && key.Principal.State == Active && key.allowsIP(w.caller.Source.IP)
	}
	return false
}

// principal returns the caller, as the rows have them.
func (w *work) principal() Principal {
	if s := w.Found().Session; s != nil {
		return s.Principal
	}
	return w.Found().Key.Principal
}
