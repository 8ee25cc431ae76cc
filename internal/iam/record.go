package iam

import (
	"cmp"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// writeEvents appends what happened to the audit log of the workspace that is
// worked in. The action is the attempt's, unless the change turned out to be
// another.
func (w *work) writeEvents(action string, again bool) error {
	if again {
		w.event.Before, w.event.After = nil, nil
		w.event.Reason = "repeated with the same Idempotency-Key; nothing changed"
	}
	w.event.Action, w.event.Outcome = cmp.Or(w.event.Action, action), audit.Done
	for _, e := range append([]audit.Event{w.event}, w.further...) {
		w.signer(e).sign(&e, w.Now())
		if e.Workspace == "" {
			e.Workspace = string(w.ws.ID)
		}
		if err := w.AppendEvent(w.ctx, e); err != nil {
			return fmt.Errorf("append event: %w", err)
		}
	}
	return nil
}

// signer returns who an event is to name. A tenant's log does not name those who
// operate the deployment, who are of another workspace.
func (w *work) signer(e audit.Event) Caller {
	if e.Workspace == "" || WorkspaceID(e.Workspace) == w.ws.ID {
		return w.caller
	}
	if p, known := w.as[WorkspaceID(e.Workspace)]; known {
		same := w.caller
		same.Principal, same.Key = p, Ref[KeyID]{}
		return same
	}
	operators := Internal("operators of this deployment", audit.Source{Node: w.caller.Source.Node})
	operators.RequestID = w.caller.RequestID
	return operators
}

// sign writes into an event who caused it, when and from where.
func (c Caller) sign(e *audit.Event, now time.Time) {
	e.ID, e.At = NewID(EventPrefix, now), now
	e.Actor, e.Source, e.RequestID = c.actor(), c.Source, c.RequestID
	if c.Key.ID != "" {
		e.Key = &audit.Ref{ID: string(c.Key.ID), Name: c.Key.Name}
	}
	if e.Workspace == "" {
		e.Workspace = string(c.Workspace.ID)
	}
}
