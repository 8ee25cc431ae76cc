package iam

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// Event returns an event of a workspace's audit log.
func (s *Service) Event(ctx context.Context, c Caller, ws string, id EventID) (AuditEvent, error) {
	in, err := s.reading(ctx, c, ws, ReadAudit, aim("audit_event", string(id)))
	if err != nil {
		return AuditEvent{}, err
	}
	return s.Store.Event(ctx, in, id)
}

// Events searches a workspace's audit log, newest first.
func (s *Service) Events(ctx context.Context, c Caller, ws string, f EventFilter, page Page) (List[AuditEvent], error) {
	in, err := s.reading(ctx, c, ws, ReadAudit, audit.Target{Type: "audit_event"})
	if err != nil {
		return List[AuditEvent]{}, err
	}
	return s.Store.Events(ctx, in, f, page)
}

// exportChunk is how many events are read at a time.
const exportChunk = 200

// Export writes every event that a filter lets through, oldest first, as far as
// the log reaches now. It leaves an event of its own. Before each chunk it asks
// again whether the caller may, so that an export ends with the key it began with.
func (s *Service) Export(ctx context.Context, c Caller, ws string, f EventFilter, again func() (Caller, error), write func(AuditEvent) error) error {
	in, err := s.reading(ctx, c, ws, ExportAudit, audit.Target{Type: "export"})
	if err != nil {
		return err
	}
	began, err := s.noteExport(ctx, c, f)
	if err != nil {
		return err
	}
	if f.To.IsZero() || f.To.After(began) {
		f.To = began // or it would run for as long as events come in
	}
	page := Page{Limit: exportChunk, Sort: "seq"}
	for {
		list, err := s.Store.Events(ctx, in, f, page)
		if err != nil {
			return err
		}
		now, err := again()
		if err != nil {
			return err
		}
		if err := s.may(ctx, now, ExportAudit, audit.Target{Type: "export"}); err != nil {
			return err
		}
		for _, e := range list.Items {
			if err := write(e); err != nil {
				return fmt.Errorf("write an event: %w", err)
			}
		}
		if list.Next == nil {
			return nil
		}
		page.After = list.Next
	}
}

// noteExport writes down that the log left the system, and returns when.
func (s *Service) noteExport(ctx context.Context, c Caller, f EventFilter) (at time.Time, err error) {
	err = s.Store.Note(ctx, func(tx NoteTx) error {
		e := audit.Event{
			Action: "export.created", Outcome: audit.Done, After: f.fields(),
			Target: audit.Target{Type: "export", ID: string(c.Workspace.ID), Name: "audit log"},
		}
		at = tx.Now()
		c.sign(&e, at)
		return tx.AppendEvent(ctx, e)
	})
	if err != nil {
		return at, fmt.Errorf("note an export: %w", err)
	}
	return at, nil
}

func (f EventFilter) fields() audit.Fields {
	fields := audit.Fields{}
	for name, value := range map[string]string{
		"actor": f.Actor, "actor_type": string(f.ActorType), "action": f.Action, "target": f.Target,
		"outcome": string(f.Outcome), "source": f.Source, "q": f.Query,
	} {
		if value != "" {
			fields[name] = value
		}
	}
	if !f.From.IsZero() {
		fields["from"] = f.From.UTC().Format(timeLayout)
	}
	if !f.To.IsZero() {
		fields["to"] = f.To.UTC().Format(timeLayout)
	}
	return fields
}
