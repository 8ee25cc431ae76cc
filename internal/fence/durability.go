package fence

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

// ErrRefused is the error of a database that is not safe to promise anything on: what
// wraps it says in words what to change.
var ErrRefused = errors.New("PostgreSQL does not keep what it confirms")

// Examine returns an error that wraps [ErrRefused] when a node with these options
// does not join this database as it is set up, and one of kind [iam.Unavailable]
// when it cannot be asked, or does not answer in time.
func (n *Node) Examine(ctx context.Context) error {
	_, err := n.inspect(ctx)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", iam.Unavailable, err)
	}
	return err
}

// durabilityOf returns what a database with these settings keeps, quorum or
// local, or an error in words when a revocation that was confirmed could be lost.
// accept turns the error into local.
func durabilityOf(s iam.DurabilitySettings, accept bool) (string, error) {
	switch why := weakness(s); {
	case why != "" && !accept:
		return "", fmt.Errorf("%w: %s; or start Postern with --durability local, and every receipt says that a failure of the database can undo it", ErrRefused, why)
	case why != "" || !waits(s):
		return iam.Local, nil
	}
	return iam.Quorum, nil
}

// stillKeeps returns an error when a database keeps less than it did when a node
// joined. Standbys that have come since are no reason: what the receipts say is
// as true as before, and a backup that is being taken looks like one.
func stillKeeps(s iam.DurabilitySettings, before string, accept bool) error {
	s.Standbys = 0
	now, err := durabilityOf(s, accept)
	if err != nil {
		return err
	}
	if before == iam.Quorum && now != iam.Quorum {
		return fmt.Errorf("%w: commits no longer wait for standbys", ErrRefused)
	}
	return nil
}

// weakness says what is wrong with the settings, and what to change.
func weakness(s iam.DurabilitySettings) string {
	switch {
	case s.Fsync != "on":
		return "fsync is " + s.Fsync + ", so that a crash of its machine can lose it: set fsync = on"
	case s.FullPageWrites != "on":
		return "full_page_writes is " + s.FullPageWrites + ", so that a crash of its machine can lose it: set full_page_writes = on"
	case s.SynchronousCommit != "on" && s.SynchronousCommit != "remote_apply":
		return "synchronous_commit is " + s.SynchronousCommit + " for Postern's connections: let it be on"
	case s.Standbys > 0 && !waits(s):
		return "it has a standby that commits do not wait for, so that a failover to it can lose it: set synchronous_standby_names to ANY 1 (…) with the names of the standbys, and let your manager promote only one of those"
	}
	return ""
}

// waits reports whether commits wait for standbys.
func waits(s iam.DurabilitySettings) bool { return strings.TrimSpace(s.SynchronousStandbyNames) != "" }
