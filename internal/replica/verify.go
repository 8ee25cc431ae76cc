package replica

import (
	"net/netip"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// Query is what a verification asks.
type Query struct {
	Permissions []iam.Permission // all must be allowed; none asks only whether the key works
	IP          netip.Addr       // where the key was used; invalid: nobody said
	Scope       Scope            // keys of other workspaces are not found
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

// ScopeOf returns the scope of the workspace with an id or a slug; ids win. It
// is false when there is none.
func (r *Replica) ScopeOf(ref string) (Scope, bool) {
	s := r.current.Load()
	if number, known := s.workspaces.find(ref); known {
		return OneWorkspace(s.workspaces.rows.at(number).id), true
	}
	if number, known := s.slugs.find(ref); known {
		return OneWorkspace(s.workspaces.rows.at(s.slugs.rows.at(number).workspace).id), true
	}
	return Scope{}, false
}

func (sc Scope) sees(w *workspace) bool { return sc.any || sc.workspace == w.id }

// Verify says whether the key with a hash may be used, as of one committed
// change. It waits for nothing and does not allocate.
func (r *Replica) Verify(h token.Hash, q Query) Verdict {
	s := r.current.Load()
	if s.stale != nil {
		return Verdict{Code: Stale, Revision: s.position.Seq}
	}
	number, found := s.keys.find(&h)
	if !found {
		return Verdict{Code: NotFound, Revision: s.position.Seq}
	}
	k := s.keys.rows.at(number)
	p := s.principals.rows.at(k.principal)
	w := s.workspaces.rows.at(p.workspace)
	if !q.Scope.sees(w) {
		return Verdict{Code: NotFound, Revision: s.position.Seq}
	}
	v := s.describe(number, k, p, w)
	v.Code = r.refusal(s, k, p, w, q.IP)
	if v.Code == Valid && !v.decide(q.Permissions) {
		v.Code = PermissionDenied
	}
	return v
}

// describe returns a verdict that says whose key it is, and nothing yet of
// whether it may be used.
func (s *state) describe(number uint32, k *keyRecord, p *principal, w *workspace) Verdict {
	held := s.roles.rows.at(p.role)
	v := Verdict{
		KeyFound:  true,
		Revision:  s.position.Seq,
		Key:       Key{ID: k.id, Name: s.keys.name(number), ExpiresAt: k.expires},
		Principal: Principal{ID: p.id, Type: p.kind.principalType(), Name: p.name, State: p.state.state()},
		Workspace: Workspace{ID: w.id, Slug: w.slug, System: w.system, Reveal: w.reveal},
		Role:      Role{ID: held.id, Name: held.name},
	}
	if held.permissions != 0 {
		v.role = s.sets.at(held.permissions)
	}
	if k.limit != 0 {
		v.limit = s.sets.at(k.limit)
	}
	return v
}

// refusal returns the first reason for which the key may not be used for
// anything, or Valid.
func (r *Replica) refusal(s *state, k *keyRecord, p *principal, w *workspace, from netip.Addr) Code {
	switch {
	case k.revoked:
		return Revoked
	case p.state.gone():
		return PrincipalInactive
	case k.paused || p.state == paused || w.paused:
		return Paused
	case k.expires != 0 && r.micros(s) >= k.expires:
		return Expired
	case k.networks != 0 && !within(*s.networks.at(k.networks), from):
		return NetworkDenied
	}
	return Valid
}

// micros returns the time now in microseconds since 1970. It is never before
// that of the last change, so that a clock that is set back revives no key.
func (r *Replica) micros(s *state) int64 { return max(r.now().UnixMicro(), s.micros) }

// within reports whether an address is in one of the networks. An IPv4 address
// that is written as an IPv6 one (RFC 4291, 2.5.5.2) is the IPv4 address.
func within(nets []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap()
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
