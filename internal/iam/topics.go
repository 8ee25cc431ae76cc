package iam

import (
	"context"
	"slices"

	"github.com/posternhq/postern/internal/audit"
)

// Topic is something of a workspace that can be followed while it happens.
//
// What a topic tells of is what the audit log says: whoever makes a change appends
// its event, in the transaction of the change, and has nothing else to do. An event
// that was done is told as "key", "principal", "role" or "rotation" by the type of
// its target, or as "rotation" when its action begins with "rotation."; with the
// name of the target, and After, for keys and rotations. It is told at once when
// its transaction takes a revision, and within a second when it does not.
type Topic string

// The topics.
const (
	KeysTopic      Topic = "keys"      // what happens to keys and those who own them
	RotationsTopic Topic = "rotations" // what happens to rotations
	AuditTopic     Topic = "audit"     // every event of the audit log
	NodesTopic     Topic = "nodes"     // which nodes answer
)

// Topics returns all there are.
func Topics() []Topic { return []Topic{KeysTopic, RotationsTopic, AuditTopic, NodesTopic} }

// Needs returns the permission that following a topic needs.
func (t Topic) Needs() Permission {
	switch t {
	case KeysTopic, RotationsTopic:
		return ReadKeys
	case AuditTopic:
		return ReadAudit
	default:
		return ReadNodes
	}
}

// Watch returns the workspace that a path names and the topics of it that the
// caller is to follow: those that are asked for, or all that it may follow when
// none is. It is an error unless the caller may follow each; from then on
// [Caller.MayWatch] says whether it still may.
func (s *Service) Watch(ctx context.Context, c Caller, ws string, asked []Topic) (WorkspaceID, []Topic, error) {
	id, err := c.resolve(ws)
	if err != nil {
		return "", nil, err
	}
	topics := slices.Compact(slices.Sorted(slices.Values(asked)))
	if len(topics) == 0 {
		topics = slices.DeleteFunc(Topics(), func(t Topic) bool { return !c.Permissions.Allow(t.Needs()) })
	}
	if len(topics) == 0 {
		topics = []Topic{KeysTopic} // which is refused
	}
	for _, t := range topics {
		if !slices.Contains(Topics(), t) {
			return "", nil, Invalid("/topics", "not_a_topic", "there is no such topic")
		}
		if err := s.may(ctx, c, t.Needs(), audit.Target{Type: "stream"}); err != nil {
			return "", nil, err
		}
	}
	return id, topics, nil
}

// MayWatch reports whether the caller may follow each of some topics. Nothing is
// written down when it may not.
func (c Caller) MayWatch(topics []Topic) bool {
	for _, t := range topics {
		if !c.Permissions.Allow(t.Needs()) {
			return false
		}
	}
	return true
}
