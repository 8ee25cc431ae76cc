package replica

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/posternhq/postern/internal/iam"
)

var _ iam.Roster = (*Replica)(nil)

// Nodes implements [iam.Roster] for a deployment with one node.
func (r *Replica) Nodes(context.Context) ([]iam.NodeStatus, error) {
	return []iam.NodeStatus{{
		NodeRow: iam.NodeRow{
			Incarnation: r.incarnation, Name: r.node, Kind: iam.ServerNode, Version: r.version,
			Acked: r.Position().Seq, StartedAt: r.started,
		},
		Own: true, LastContact: r.now(),
	}}, nil
}

// Name returns what this node is called.
func (r *Replica) Name() string { return r.node }

// Vitals returns what the only node of a deployment knows of itself. What it has
// applied is all there is: no change is confirmed before.
func (r *Replica) Vitals() iam.Vitals {
	return iam.Vitals{Answers: r.Ready() == nil, Durability: iam.Local}
}

// newIncarnation returns an id that no other process has.
func newIncarnation() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(id[:])
}
