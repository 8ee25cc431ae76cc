package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/usage"
)

const (
	heartbeat = 2 * time.Second // on PostgreSQL: others want to know that there was no use either
	lastWords = 3 * time.Second // for which a node that leaves tries to report; the database may be gone
)

// reports is where the uses that a process counts go.
type reports struct {
	*store.Store
	service *iam.Service
}

// Report implements [usage.Store].
func (r reports) Report(ctx context.Context, report iam.UsageReport) (time.Time, error) {
	return r.service.Report(ctx, report)
}

// count makes the node one that counts uses. It must not answer before the store
// knows: on SQLite that is at once, on PostgreSQL before it joins.
func (n *node) count(ctx context.Context, service *iam.Service) (err error) {
	begun := time.Now()
	o := usage.Options{
		Reporter: iam.Reporter{ID: n.reporter, Name: nodeName(n.cfg), Kind: iam.ServerNode},
		Store:    reports{n.rows, service}, Log: n.log, Now: func() time.Duration { return time.Since(begun) },
	}
	if n.among != nil {
		o.Heartbeat = heartbeat
	}
	if n.uses, err = usage.New(o); err != nil || n.among != nil {
		return err
	}
	return n.announce(ctx)
}

// announce tells the store that the node is about to accept keys.
func (n *node) announce(ctx context.Context) error {
	if n.uses == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	return n.uses.Register(ctx)
}

// lastReport reports what is left, once nothing is accepted any more.
func (n *node) lastReport(ctx context.Context) error {
	if n.uses == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	if err := n.uses.Finish(ctx); err != nil {
		return fmt.Errorf("uses since the last report are lost: %w", err)
	}
	return nil
}
