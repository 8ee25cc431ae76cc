package replica

import (
	"net/netip"

	"github.com/posternhq/postern/internal/iam"
)

// Query is what a verification asks.
type Query struct {
	Permissions []iam.Permission // all must be allowed; none asks only whether the key works
	IP          netip.Addr       // where the key was used; invalid: nobody said
	Scope       Scope            // keys of other workspaces are not found
	Session     bool             // sessions are asked about, of which none is found otherwise, and no keys
}

// Scope says whose keys a verification may see. The zero Scope sees none.
type Scope struct {
	workspace iam.WorkspaceID
	any       bool
}

// OneWorkspace returns the scope of one workspace's keys.
func OneWorkspace(id iam.WorkspaceID) Scope { return Scope{workspace: id} }

// AnyWorkspace returns the scope of all keys. It is for callers of the system
// workspace, and for finding out who is calling.
func AnyWorkspace() Scope { return Scope{any: true} }

// Workspace returns the workspace whose keys a scope sees, or that it sees all.
func (sc Scope) Workspace() (id iam.WorkspaceID, all bool) { return sc.workspace, sc.any }

func (sc Scope) sees(w *workspace) bool { return sc.any || sc.workspace == w.id }

// describe says in a verdict whose key it is, and nothing yet of whether it may be
// used.
func (v *Verdict) describe(s *state, number uint32, k *keyRecord, p *principal, w *workspace) {
	held := s.roles.rows.at(p.role)
	v.KeyFound, v.Revision = true, s.position.Seq
	v.Key = Key{ID: k.id, Name: s.keys.name(number), ExpiresAt: k.expires, Session: k.marks.has(sessionMark)}
	v.Principal = Principal{ID: p.id, Type: p.kind.principalType(), Name: p.name, State: p.state.state()}
	v.Workspace = Workspace{ID: w.id, Slug: w.slug, System: w.system, Reveal: w.reveal}
	v.Role = Role{ID: held.id, Name: held.name}
	if held.permissions != 0 {
		v.role = s.sets.at(held.permissions)
	}
	if k.limit != 0 {
		v.limit = s.sets.at(k.limit)
	}
}

// refusal returns the first reason for which the key may not be used for
// anything, or Valid.
func (v View) refusal(k *keyRecord, p *principal, w *workspace, from netip.Addr, now *Instant) Code {
	switch {
	case k.end != running:
		return Revoked
	case p.state.gone():
		return PrincipalInactive
	case k.marks.has(pausedMark) || p.state == paused || w.paused:
		return Paused
	case k.expires != 0 && v.expired(k.expires, now):
		return Expired
	case k.networks != 0 && !within(*v.state.networks.at(k.networks), from):
		return NetworkDenied
	}
	return Valid
}

// expired reports whether a time is over. now is nil where nobody has read the clock,
// and is not needed before the time could come within the lease.
func (v View) expired(end int64, now *Instant) bool {
	if now == nil {
		if v.replica.leased() && v.state.lease.latest() < end && v.state.micros < end {
			return false
		}
		now = new(v.replica.read())
	}
	return v.micros(*now) >= end
}

// within reports whether an address is in one of the networks. An IPv4 address
// that is written as an IPv6 one (RFC 4291, 2.5.5.2) is the IPv4 address.
func within(nets []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for i := range nets {
		if nets[i].Contains(a) {
			return true
		}
	}
	return false
}

// decide notes which permissions are allowed and reports whether all are.
func (v *Verdict) decide(ps []iam.Permission) bool {
	all := true
	for i := range ps {
		if v.may(ps[i]) {
			v.allowed |= 1 << i
		} else {
			all = false
		}
	}
	return all
}

func (v *Verdict) may(p iam.Permission) bool {
	return v.role != nil && v.role.Allow(p) && (v.limit == nil || v.limit.Allow(p))
}
