package iam

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Following is how a verifier outside the server follows a node, as that node tells
// the store of it.
type Following struct {
	Connection string           // over which it does; another one each time
	Node       string           // the name of the node; empty: it follows none
	Home       Ref[WorkspaceID] // of the account whose key it has; Name is the slug, and not stored
	Acked      int64            // it answers from this change or a later one, or not at all
}

// Follower is a verifier outside the server as the store knows of it: what the node
// that it follows told last.
type Follower struct {
	Following
	Reporter string    // the id under which it reports, one over all its connections
	Name     string    // what it calls itself
	Since    time.Time // when it first followed
	Heard    time.Time // when the store last heard of it

	Silent time.Duration // since then, by the database's clock
	Cut    bool          // its connection ended, without a goodbye
	CutFor time.Duration // since then
}

const (
	// VerifierShown is for how long a verifier is listed that was cut off.
	VerifierShown = time.Hour

	// VerifierGrant is for how long a verifier may answer after the node that it
	// follows heard of it, at the most.
	VerifierGrant = 2 * time.Second
)

// status is what there is to say of a verifier that follows another node, or did.
// Unless it is known to have ended, how far it is behind and for how long it may
// answer is known to that node alone.
func (v Follower) status() NodeStatus {
	n := NodeStatus{
		NodeRow: NodeRow{
			Incarnation: v.Connection, Name: v.Name, Kind: VerifierNode, Reporter: v.Reporter, TTL: VerifierGrant, Acked: v.Acked, StartedAt: v.Since,
		},
		Follows: v.Node, Home: v.Home, LastContact: v.Heard, Elsewhere: true, Unwatched: true,
	}
	switch {
	case v.Cut:
		n.Unwatched, n.LeaseLeft = false, max(0, VerifierGrant-v.CutFor)
	case v.Silent >= VerifierGone:
		n.Unwatched = false
	}
	return n
}

// NodesSeenBy returns the nodes that those of a workspace may know of: the servers, and
// the verifiers that have keys of its accounts. Those who operate the deployment see
// all. here is what the node that is asked knows of the verifiers that follow it, which
// it knows better than the store.
func NodesSeenBy(ctx context.Context, ws WorkspaceID, operates bool, roster Roster, store Reader, here []NodeStatus) ([]NodeStatus, error) {
	all, err := roster.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	home := ws
	if operates {
		home = ""
	}
	told, err := store.Verifiers(ctx, home)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(n NodeStatus) bool { return n.Kind != ServerNode && !operates })
	following := map[string]bool{} // by reporter
	for _, n := range here {
		if operates || n.Home.ID == ws {
			following[n.Reporter] = true
			all = append(all, n)
		}
	}
	for _, v := range told {
		if !following[v.Reporter] {
			all = append(all, v.status())
		}
	}
	slices.SortFunc(all, func(a, b NodeStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return all, nil
}
