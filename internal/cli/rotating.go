package cli

import (
	"context"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/server"
)

// carryOn does what is due to the rotations that are open. Every node does, so that
// they go on whichever is alive.
func (n *node) carryOn(ctx context.Context, service *iam.Service, metrics *server.Metrics) error {
	err := service.AdvanceRotations(ctx, nodeName(n.cfg), n.uses.Flush)
	if err != nil && ctx.Err() == nil {
		metrics.ObserveFailedLook()
	}
	return err
}
