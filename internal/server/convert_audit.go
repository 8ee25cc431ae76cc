package server

import (
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func auditEvent(e iam.AuditEvent) api.AuditEvent {
	out := api.AuditEvent{
		ID: e.ID, Seq: e.Seq, At: api.NewTime(e.At),
		Actor:  api.Actor{ID: e.Actor.ID, Type: string(e.Actor.Type), Name: e.Actor.Name, State: string(e.ActorState)},
		Action: e.Action, Target: target(e.Target), Outcome: string(e.Outcome), Reason: e.Reason,
		Source: source(e.Source), RequestID: e.RequestID, Before: e.Before, After: e.After,
	}
	out.Target.State = string(e.TargetState)
	if e.Key != nil {
		out.Key = &api.Ref{ID: e.Key.ID, Name: e.Key.Name}
	}
	return out
}
