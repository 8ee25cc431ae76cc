package api

// The topics of a stream.
const (
	TopicKeys      = "keys"
	TopicRotations = "rotations"
	TopicAudit     = "audit"
	TopicNodes     = "nodes"
)

// The events of a stream, as its lines "event:" name them. A reader passes over
// those that it does not know.
const (
	StreamEventOpen      = "open"      // StreamOpen: the first, each time
	StreamEventKey       = "key"       // StreamChange
	StreamEventPrincipal = "principal" // StreamChange
	StreamEventRole      = "role"      // StreamChange
	StreamEventRotation  = "rotation"  // StreamChange
	StreamEventAudit     = "audit"     // AuditEvent
	StreamEventNodes     = "nodes"     // StreamNodes
	StreamEventReset     = "reset"     // StreamReset
	StreamEventEnd       = "end"       // StreamEnd: the last, unless the connection broke
)

// StreamOpen is the data of the event "open".
type StreamOpen struct {
	Topics []string `json:"topics" nullable:"false" doc:"What the stream tells of."`
	Node   string   `json:"node" doc:"The node that answers."`
}

// StreamChange is the data of the events "key", "principal", "role" and
// "rotation": a change that was made.
type StreamChange struct {
	ID     string         `json:"id" doc:"Of what changed."`
	Type   string         `json:"type" enum:"key,service_account,member,role,rotation" doc:"What it is."`
	Name   string         `json:"name,omitempty" doc:"Of keys and rotations."`
	Action string         `json:"action" example:"key.revoked" doc:"As the audit log has it."`
	At     Time           `json:"at"`
	Seq    int64          `json:"seq" doc:"The number of the event in the audit log."`
	After  map[string]any `json:"after" nullable:"true" doc:"Of keys and rotations: the fields that changed, as they became."`
}

// StreamNodes is the data of the event "nodes".
type StreamNodes struct {
	Nodes []Node `json:"nodes" nullable:"false" doc:"All of them, in the place of those that were told before."`
}

// StreamReset is the data of the event "reset": what was missed is not told, so
// that everything must be read anew.
type StreamReset struct {
	Reason string `json:"reason" enum:"too_old,unknown" doc:"Of the position in Last-Event-ID: more has happened since than is told again, or it is none of this log."`
}

// StreamEnd is the data of the event "end".
type StreamEnd struct {
	Reason string `json:"reason" enum:"shutdown,too_slow,stale,unavailable" doc:"shutdown: the node ends; too_slow: the reader did not keep up; stale: the node cannot know whether the key still works; unavailable: the store cannot be read."`
}
