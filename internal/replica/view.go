package replica

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// View is a replica as it was at one moment. All that belongs to one answer is
// decided with one view, and the answer is sent only if [Replica.Still] confirms
// the view after everything else is done.
type View struct {
	replica *Replica
	state   *state
}

// View returns the replica as it is now.
func (r *Replica) View() View { return View{replica: r, state: r.current.Load()} }

// Still reports whether nothing was published since the view was taken, and its
// lease has not ended. It is the last look before an answer is handed on. The
// clocks come last, so that a process that is stopped in here notices it.
func (r *Replica) Still(v View) bool {
	return r.current.Load() == v.state && r.standing(v.state, r.read()) != nothing
}

// StillFor is [Replica.Still], and returns for how much longer nothing can be taken
// back, unseen here, from what was answered with the view: with one look at the
// clocks for both.
func (r *Replica) StillFor(v View) (fresh time.Duration, still bool) {
	if r.current.Load() != v.state {
		return 0, false
	}
	now := r.read()
	if r.standing(v.state, now) == nothing {
		return 0, false
	}
	if !r.leased() {
		return 0, true
	}
	return v.state.lease.Bounded - now.Since(v.state.lease.Sent), true
}

// Ready returns nil when verifications are answered from the view, else an error
// of kind [iam.Stale] that wraps the reason why not.
func (v View) Ready() error {
	cause := v.state.stale
	if cause == nil && v.replica.standing(v.state, v.replica.read()) == nothing {
		cause = errNoLease
	}
	if cause != nil {
		return fmt.Errorf("%w: %w", iam.Stale, cause)
	}
	return nil
}

// Seq returns the last change that the view takes into account.
func (v View) Seq() int64 { return v.state.position.Seq }

// LatestTime returns the latest that the time of the database can be now.
func (v View) LatestTime() time.Time { return v.Time(v.replica.read()) }

// FreshFor returns for how much longer nothing can be taken back, unseen by this
// node, from what is answered with the view. It is zero without leases.
func (v View) FreshFor() time.Duration {
	if !v.replica.leased() {
		return 0
	}
	return max(0, v.state.lease.Bounded-v.replica.read().Since(v.state.lease.Sent))
}

// Patience is how long an answer is tried for, when something changes during each
// try or there is no lease.
const Patience = 150 * time.Millisecond

// Answer calls encode with a view until what it encoded may be sent, which is
// when it returns nil: at the first call, or the second when something was
// published in between. When the replica may not answer, and when each try for as
// long as [Patience] was overtaken by a change, it returns an error of kind
// [iam.Stale]. encode must begin anew each time.
func (r *Replica) Answer(ctx context.Context, encode func(View)) error {
	var since time.Time
	for {
		v := r.View()
		encode(v)
		if r.Still(v) {
			return nil
		}
		if err := r.View().Ready(); err != nil {
			return err
		}
		switch now := r.now(); {
		case since.IsZero():
			since = now
		case now.Sub(since) > Patience || ctx.Err() != nil:
			return fmt.Errorf("%w: %w", iam.Stale, errOvertaken)
		}
	}
}

// ScopeOf returns the scope of the workspace with an id or a slug; ids win. It
// is false when there is none.
func (v View) ScopeOf(ref string) (Scope, bool) {
	s := v.state
	if number, known := s.workspaces.find(ref); known {
		return OneWorkspace(s.workspaces.rows.at(number).id), true
	}
	if number, known := s.slugs.find(ref); known {
		return OneWorkspace(s.workspaces.rows.at(s.slugs.rows.at(number).workspace).id), true
	}
	return Scope{}, false
}

// Find returns the id and the slug of the workspace with an id or a slug; ids win.
func (v View) Find(ref string) (found iam.Ref[iam.WorkspaceID], ok bool) {
	s := v.state
	number, known := s.workspaces.find(ref)
	if !known {
		place, ok := s.slugs.find(ref)
		if !ok {
			return found, false
		}
		number = s.slugs.rows.at(place).workspace
	}
	w := s.workspaces.rows.at(number)
	return iam.Ref[iam.WorkspaceID]{ID: w.id, Name: w.slug}, true
}

// System returns the id of the workspace that operates the deployment, if there is
// one.
func (v View) System() (id iam.WorkspaceID, ok bool) {
	for number := range v.state.workspaces.rows.len {
		if w := v.state.workspaces.rows.at(number); w.system {
			return w.id, true // the first that was made, as a rule
		}
	}
	return "", false
}

// ScopeOf returns the scope of a workspace as [View.ScopeOf] does, as of now.
func (r *Replica) ScopeOf(ref string) (Scope, bool) { return r.View().ScopeOf(ref) }

// Verify says whether the key with a hash may be used, as of one committed
// change. It waits for nothing and does not allocate.
func (r *Replica) Verify(h token.Hash, q Query) Verdict { return r.View().Verify(h, q) }

// Verify says whether the key with a hash may be used, as of the view's change.
func (v View) Verify(h token.Hash, q Query) (verdict Verdict) {
	s, now := v.state, v.replica.read()
	may := v.replica.standing(s, now)
	if may == nothing {
		return Verdict{Code: Stale, Revision: s.position.Seq}
	}
	if known := v.judge(&h, &q, &now, &verdict); !known && may == knownKeys {
		verdict.Code = Stale
	}
	return verdict
}

// Judge says what [View.Verify] does, in a verdict that is zero, on the condition that
// [Replica.Still] then confirms the view: it leaves the lease to that look, and mostly
// reads no clock. It is for those who answer under leases that are not bounded ones.
func (v View) Judge(h *token.Hash, q *Query, verdict *Verdict) { v.judge(h, q, nil, verdict) }

// judge decides on a key, whatever the lease says, and reports whether there is one.
func (v View) judge(h *token.Hash, q *Query, now *Instant, verdict *Verdict) (known bool) {
	s := v.state
	verdict.Code, verdict.Revision = NotFound, s.position.Seq
	number, found := s.keys.find(h)
	if !found {
		return false
	}
	k := s.keys.rows.at(number)
	if k.marks.has(sessionMark) != q.Session {
		return true
	}
	p := s.principals.rows.at(k.principal)
	w := s.workspaces.rows.at(p.workspace)
	if !q.Scope.sees(w) {
		return true
	}
	verdict.describe(s, number, k, p, w)
	verdict.head = h.Head()
	verdict.Code = v.refusal(k, p, w, q.IP, now)
	if verdict.Code == Valid && !verdict.decide(q.Permissions) {
		verdict.Code = PermissionDenied
	}
	return true
}

// micros returns the latest that the time can be, in microseconds since 1970. It
// is never before the latest that the database told, so that a clock that is set
// back revives no key.
func (v View) micros(now Instant) int64 {
	if v.replica.leased() {
		return max(v.state.lease.micros(now), v.state.micros)
	}
	return max(v.replica.now().UnixMicro(), v.state.micros)
}
