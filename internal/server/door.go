package server

import (
	"context"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// Door is what lets answers out that rest on memory.
type Door interface {
	// Answer calls encode with a view of the replica until what it encoded may
	// be sent, and then returns nil. Whatever encode writes, it writes anew each
	// time. An error is of kind [iam.Stale]: this node cannot know whether it has
	// heard of every revocation, and nothing that was encoded may leave.
	Answer(ctx context.Context, encode func(replica.View)) error

	// Ready returns nil while answers are let out, else an error of kind
	// [iam.Stale] that wraps the reason why not.
	Ready() error

	// Vitals returns what the node knows of itself, for metrics. It does no I/O.
	Vitals() iam.Vitals
}

var _ Door = (*replica.Replica)(nil)

// Usage counts how keys are used.
type Usage interface {
	// Touch counts one decision about a key that was found. It is called after
	// the decision was let out and before its answer leaves, on the hot path: it
	// waits for nothing, and keeps nothing that u refers to.
	Touch(u iam.Use)

	// Gathering returns what there is to know about the counting, for metrics.
	Gathering() iam.Gathering
}
