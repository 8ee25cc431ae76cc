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
			"changes wait for it once, and then its row is removed. A workspace sees the servers of the deployment.",
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
	list, err := s.iam.Nodes(ctx, c, in.Workspace, p.Page)
	return listed(p, list, err, node)
}

func node(n iam.NodeStatus) api.Node {
	out := api.Node{
		ID: n.Incarnation, Name: n.Name, Kind: n.Kind, Version: n.Version, Self: n.Own, Consistency: "strict",
		Revision: n.Acked, Lag: n.Lag, LastContact: api.NewTime(n.LastContact), StartedAt: api.NewTime(n.StartedAt),
		RequestsPerSecond: n.UsesPerSec,
	}
	if n.Bounded > 0 {
		out.Consistency = "bounded"
	}
	if n.Leased() {
		out.LeaseTTLMS, out.LeaseLeftMS = milliseconds(n.Lingers()), milliseconds(n.LeaseLeft)
	}
	return out
}

func milliseconds(d time.Duration) *int64 { return new(d.Milliseconds()) }
