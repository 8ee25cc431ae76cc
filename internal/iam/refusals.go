package iam

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// refusedPerSecond is how many refused attempts of one principal get an event
// each; the rest of that second is summed in one.
const refusedPerSecond = 10

// longestNote is how long a note may take when nobody waits for it: a database that
// says nothing must not keep its connections.
const longestNote = 10 * time.Second

// ErrUnwritten stands beside a refusal whose event could not be written. The
// caller hears the refusal; whoever tells them logs this.
var ErrUnwritten = errors.New("a refused attempt was not written down")

// refused writes down that an authenticated principal was told no, keeps a final
// refusal for a replay where a credential was needed, and returns what the caller is
// to hear. Other errors it passes on.
func (s *Service) refused(ctx context.Context, c Caller, a attempt, w *work, refusal error) error {
	known := c.internal == "" && c.Principal.ID != ""
	write := known && isRefusal(refusal)
	kept, keep := replayOf(c.Idempotency, refusal)
	keep = keep && !a.open // or anybody could have rows kept for a day
	if !write && !keep {
		return refusal
	}
	e := audit.Event{Action: a.action, Target: a.target, Outcome: audit.Refused, Reason: reasonOf(refusal)}
	if w != nil && w.event.Target.ID != "" {
		e.Target = w.event.Target
	}
	if write && !s.refusals.admit(c, e, s.Now()) {
		write = false
	}
	if !write && !keep {
		return refusal
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestNote) // who hangs up is written down all the same
	defer cancel()
	err := s.Store.Note(ctx, func(tx NoteTx) error {
		if keep {
			kept.At = tx.Now()
			if err := tx.Remember(ctx, kept); err != nil {
				return err
			}
		}
		if !write {
			return nil
		}
		c.sign(&e, tx.Now())
		return tx.AppendEvent(ctx, e)
	})
	if err != nil {
		return errors.Join(refusal, fmt.Errorf("%w: %w", ErrUnwritten, err))
	}
	return refusal
}

// reasonOf says in the audit log's words why an attempt was refused.
func reasonOf(refusal error) string {
	shown, ok := errors.AsType[*Error](refusal)
	switch {
	case !ok:
		return "refused"
	case shown.Permission != "":
		return string(shown.Kind) + ": " + shown.Permission
	case shown.Policy != "":
		return string(shown.Kind) + ": " + shown.Policy
	}
	return string(shown.Kind)
}

// refusals counts refused attempts, so that a principal that is refused without
// end cannot fill the log: above [refusedPerSecond] they are summed.
type refusals struct {
	mu      sync.Mutex // guards windows
	windows map[PrincipalID]*refusalWindow
}

type refusalWindow struct {
	from   time.Time
	n      int
	summed int64       // attempts of this window that got no event
	last   audit.Event // the last of those
	caller Caller
}

// admit reports whether this attempt gets an event of its own.
func (r *refusals) admit(c Caller, e audit.Event, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[c.Principal.ID]
	if w == nil || w.summed == 0 && now.Sub(w.from) >= time.Second {
		if r.windows == nil {
			r.windows = map[PrincipalID]*refusalWindow{}
		}
		w = &refusalWindow{from: now}
		r.windows[c.Principal.ID] = w
	}
	if w.n++; w.n <= refusedPerSecond {
		return true
	}
	w.summed++
	w.last, w.caller = e, c
	return false
}

// ended takes out the windows that are over, and returns those with a sum.
func (r *refusals) ended(now time.Time, all bool) (sums []*refusalWindow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, w := range r.windows {
		if !all && now.Sub(w.from) < time.Second {
			continue
		}
		delete(r.windows, id)
		if w.summed > 0 {
			sums = append(sums, w)
		}
	}
	return sums
}

// putBack keeps a sum that could not be written, for the next try.
func (r *refusals) putBack(w *refusalWindow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if newer := r.windows[w.caller.Principal.ID]; newer != nil {
		newer.summed += w.summed
		if newer.last.Action == "" {
			newer.last, newer.caller = w.last, w.caller
		}
		return
	}
	if r.windows == nil {
		r.windows = map[PrincipalID]*refusalWindow{}
	}
	r.windows[w.caller.Principal.ID] = w
}

// WriteSums writes the sums of refused attempts whose second is over, or all of
// them at the end of a process. Call it about once a second.
func (s *Service) WriteSums(ctx context.Context, all bool) error {
	var failed error
	for _, w := range s.refusals.ended(s.Now(), all) {
		err := s.Store.Note(ctx, func(tx NoteTx) error {
			e := w.last
			e.After = audit.Fields{"attempts": w.summed}
			e.Reason += fmt.Sprintf("; stands for %d attempts", w.summed)
			w.caller.sign(&e, tx.Now())
			return tx.AppendEvent(ctx, e)
		})
		if err != nil {
			s.refusals.putBack(w)
			failed = errors.Join(failed, fmt.Errorf("write the sum of refused attempts: %w", err))
		}
	}
	return failed
}
