package replica

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// state is all that verification needs, as of one change, and the right to answer
// from it: the two are one value, so that none is ever read without the other.
// What is reachable from a published state is never written again.
type state struct {
	position iam.Position
	micros   int64 // the latest time that the database told, in microseconds since 1970
	stale    error // why nothing may be answered from it; nil when it is fit to answer
	lease    Lease // zero: there is none
	epoch    uint64
	tail     []batch // what led here, the last at the end; empty unless somebody follows this replica
	tables
}

// after returns the state that follows s by changes, the last of which is at a
// position. It fails, and leaves nothing behind, on a gap and on anything that it
// does not understand.
func (s *state) after(changes []iam.Change, at iam.Position) (*state, error) {
	seq := s.position.Seq
	d := begin(s.tables)
	for _, c := range changes {
		if c.Seq != seq+1 {
			return nil, fmt.Errorf("change %d came after change %d", c.Seq, seq)
		}
		seq++
		if err := d.apply(c); err != nil {
			return nil, fmt.Errorf("change %d: %w", c.Seq, err)
		}
	}
	if at.Seq != seq {
		return nil, fmt.Errorf("changes up to %d were said to lead to %d", seq, at.Seq)
	}
	at = later(at, s.position.Time)
	d.letGo(at.Time.UnixMicro())
	next := d.finish(at)
	next.lease, next.epoch, next.micros = s.lease, s.epoch, max(s.micros, next.micros)
	return next, nil
}

// later returns a position with its time, or t if that is later: the time of the
// change log never goes back.
func later(at iam.Position, t time.Time) iam.Position {
	if t.After(at.Time) {
		at.Time = t
	}
	return at
}

// because returns s as a state from which nothing may be answered, whatever was
// asked for before.
func (s *state) because(stale error) *state {
	next := *s
	next.stale, next.lease = stale, Lease{}
	next.epoch++
	return &next
}

// tables hold the records, each found by what the one above refers to it with.
type tables struct {
	gen        uint64 // of the edit that made them
	keys       keyTable
	principals register[principal]
	roles      register[role]
	workspaces register[workspace]
	slugs      register[slug]
	sessions   queue
	denies     bool                      // some keys or principals are denied for good, whatever a log says of them
	sets       interned[iam.Permissions] // of roles and limits
	networks   interned[[]netip.Prefix]
	seed       maphash.Seed // nobody outside knows how ids and sets are spread
}

func newTables() tables {
	t := tables{seed: maphash.MakeSeed()}
	t.principals.seed, t.roles.seed, t.workspaces.seed, t.slugs.seed = t.seed, t.seed, t.seed, t.seed
	return t
}

// principal is a member or a service account.
type principal struct {
	id        iam.PrincipalID
	name      string
	workspace uint32 // number of its workspace
	role      uint32 // number of its role
	kind      kind
	state     condition
	denied    bool // its end stands in a log that has been lost since: no other can revive it
}

func (p principal) key() string { return string(p.id) }

// role is a named set of permissions. Of a role that was deleted, or that nobody
// told of, only the id is kept: it allows nothing.
type role struct {
	id          iam.RoleID
	name        string
	workspace   iam.WorkspaceID
	permissions uint32 // number of a set; 0: none
	known       bool   // it was told of, and not deleted
}

func (r role) key() string { return string(r.id) }

// workspace is the tenant.
type workspace struct {
	id     iam.WorkspaceID
	slug   string
	system bool
	paused bool
	reveal bool
}

func (w workspace) key() string { return string(w.id) }

// slug leads to the workspace that has it, for good.
type slug struct {
	text      string
	workspace uint32
}

func (s slug) key() string { return s.text }

// kind is an [iam.PrincipalType] in one byte.
type kind uint8

const (
	member kind = iota + 1
	serviceAccount
)

func parseKind(t iam.PrincipalType) (kind, bool) {
	switch t {
	case iam.MemberType:
		return member, true
	case iam.ServiceAccountType:
		return serviceAccount, true
	}
	return 0, false
}

func (k kind) principalType() iam.PrincipalType {
	if k == member {
		return iam.MemberType
	}
	return iam.ServiceAccountType
}

// condition is the [iam.State] of a principal in one byte.
type condition uint8

const (
	active condition = iota + 1
	paused
	inactive
	removed
)

func parseCondition(s iam.State) (condition, bool) {
	switch s {
	case iam.Active:
		return active, true
	case iam.Paused:
		return paused, true
	case iam.Inactive:
		return inactive, true
	case iam.Removed:
		return removed, true
	}
	return 0, false
}

func (c condition) state() iam.State {
	switch c {
	case active:
		return iam.Active
	case paused:
		return iam.Paused
	case removed:
		return iam.Removed
	}
	return iam.Inactive
}

// gone reports whether the principal has ended for good.
func (c condition) gone() bool { return c == inactive || c == removed }
