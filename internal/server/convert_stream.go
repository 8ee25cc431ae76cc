package server

import (
	"strings"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// part is one event of a stream.
type part struct {
	name string
	data any
}

// streamEvents returns the names of the events that are counted.
func streamEvents() []string {
	return []string{
		api.StreamEventKey, api.StreamEventPrincipal, api.StreamEventRole, api.StreamEventRotation,
		api.StreamEventAudit, api.StreamEventNodes,
	}
}

// partsOf returns what the topics of a stream make of an event of the audit log.
func (l *live) partsOf(e *iam.AuditEvent) (parts []part) {
	if name := changeIn(e); name != "" {
		topic := iam.KeysTopic
		if name == api.StreamEventRotation {
			topic = iam.RotationsTopic
		}
		if l.follows(topic) {
			parts = append(parts, part{name, streamChange(e)})
		}
	}
	if l.follows(iam.AuditTopic) {
		parts = append(parts, part{api.StreamEventAudit, auditEvent(*e)})
	}
	return parts
}

// changeIn names the event of a stream that tells of a change, if there was one
// that is told of.
func changeIn(e *iam.AuditEvent) string {
	switch kind, _, _ := strings.Cut(e.Action, "."); {
	case e.Outcome != audit.Done:
		return ""
	case kind == "rotation":
		return api.StreamEventRotation
	case e.Target.Type == "key":
		return api.StreamEventKey
	case e.Target.Type == "service_account" || e.Target.Type == "member":
		return api.StreamEventPrincipal
	case e.Target.Type == "role":
		return api.StreamEventRole
	}
	return ""
}

// streamChange tells of a change to those who may read keys: what keys and
// rotations are called and became, and of all else only that it changed.
func streamChange(e *iam.AuditEvent) api.StreamChange {
	out := api.StreamChange{ID: e.Target.ID, Type: e.Target.Type, Action: e.Action, At: api.NewTime(e.At), Seq: e.Seq}
	if e.Target.Type == "key" || e.Target.Type == "rotation" {
		out.Name, out.After = e.Target.Name, e.After
	}
	return out
}
