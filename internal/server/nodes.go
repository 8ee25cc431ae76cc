package server

import (
	"context"
	"net/http"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const nodesPath = workspacePath + "/nodes"

func (s *Server) registerNodes() {
	register(s, operation{
		id: "list-nodes", method: http.MethodGet, path: nodesPath, tag: operationsTag,
		summary: "List the nodes that answer verifications",
		description: "As the node that answers knows of them. A node with `lease_left_ms` 0 is dead or cut off: " +
			"changes wait for it once, and then its row is removed. A workspace sees the servers of the deployment, and " +
			"the verifiers outside the server that have keys of its own accounts; the system workspace sees all of them. " +
			"A verifier that said goodbye is not listed, and one that was cut off still is for an hour.",
		access: permission, needs: iam.ReadNodes, success: http.StatusOK,
	}, s.listNodes)
}

type listNodesInput struct {
	InWorkspace
	Paging
}

func (s *Server) listNodes(ctx context.Context, c iam.Caller, in *listNodesInput) (*answer[api.List[api.Node]], error) {
	p, err := s.page(c, in.Paging, nodesPath, nil)
	if err != nil {
		return nil, err
	}
	list, err := s.iam.Nodes(ctx, c, in.Workspace, p.Page, s.here())
	return listed(p, list, err, node)
}

func node(n iam.NodeStatus) api.Node {
	out := api.Node{
		ID: n.Incarnation, Name: n.Name, Kind: n.Kind, Version: n.Version, Self: n.Own, Consistency: "strict",
		Revision: n.Acked, LastContact: api.NewTime(n.LastContact), StartedAt: api.NewTime(n.StartedAt),
		RequestsPerSecond: n.UsesPerSec,
	}
	if n.Bounded > 0 {
		out.Consistency = "bounded"
	}
	if n.Leased() {
		out.LeaseTTLMS = milliseconds(n.Lingers())
	}
	if n.Leased() && !n.Unwatched {
		out.LeaseLeftMS = milliseconds(n.LeaseLeft)
	}
	if !n.Elsewhere {
		out.Lag = &n.Lag
	}
	if n.Kind == iam.VerifierNode {
		out.Follows, out.Workspace = &n.Follows, &n.Home.Name
		if !n.Elsewhere {
			out.SetAside = &n.SetAside
		}
	}
	return out
}

// here returns the verifiers outside the server that follow this node.
func (s *Server) here() []iam.NodeStatus {
	if s.children == nil {
		return nil
	}
	var all []iam.NodeStatus
	open := s.followers.open()
	for _, f := range s.children.Status() {
		one, there := open[f.ID]
		if !there {
			continue // it ends just now
		}
		n := iam.NodeStatus{
			NodeRow: iam.NodeRow{
				Incarnation: f.ID, Name: f.Name, Kind: iam.VerifierNode, Reporter: f.Process, TTL: iam.VerifierGrant, Acked: f.Acked, StartedAt: f.Since,
			},
			Lag: f.Lag, LastContact: f.Heard, LeaseLeft: max(0, f.Left), Follows: s.node, Home: one.home, SetAside: f.SetAside,
		}
		if f.Heard.IsZero() {
			n.LastContact = f.Since
		}
		all = append(all, n)
	}
	return all
}

// nodesSeenBy returns the nodes that a workspace may know of, for the stream.
func (s *Server) nodesSeenBy(ctx context.Context, ws iam.WorkspaceID) ([]iam.NodeStatus, error) {
	system, known := s.replica.View().System()
	return iam.NodesSeenBy(ctx, ws, known && ws == system, s.iam.Roster, s.iam.Store, s.here())
}

func milliseconds(d time.Duration) *int64 { return new(d.Milliseconds()) }
