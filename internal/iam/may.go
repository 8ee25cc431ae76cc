package iam

import (
	"context"

	"github.com/posternhq/postern/internal/audit"
)

// mayGive returns an error unless the caller holds all of result, but for what
// was held before. Nobody can give what they do not have.
func (w *work) mayGive(result, before Permissions) error {
	if w.caller.internal != "" {
		return nil
	}
	for _, g := range result.Grants() {
		if !before.covers(g) && !w.may.covers(g) {
			return denyGiving(g)
		}
	}
	return nil
}

// mayActOn returns an error unless the caller may act on a principal at all:
// only an Owner acts on an Owner.
func (w *work) mayActOn(role Permissions) error {
	if w.caller.internal == "" && holdsOwners(role) && !w.may.Allow(ownersWrite) {
		return denied(ownersWrite)
	}
	return nil
}

// may returns an error unless the caller holds p, as this node knows it: enough
// to read, since a node that could be wrong does not answer at all.
func (s *Service) may(ctx context.Context, c Caller, p Permission, t audit.Target) error {
	if c.internal != "" || c.Permissions.Allow(p) {
		return nil
	}
	return s.refused(ctx, c, attempt{action: readAction(t, p), target: t}, nil, denied(p))
}

// Require returns an error unless the caller holds p, and writes the refusal
// down. It is for what changes nothing and is not a method of its own, such as
// verifying a key.
func (s *Service) Require(ctx context.Context, c Caller, p Permission, what audit.Target) error {
	return s.may(ctx, c, p, what)
}

// readAction names an attempt to read, which only a refusal leaves in the log.
func readAction(t audit.Target, p Permission) string { return t.Type + "." + p.Action }
