package iam

import (
	"context"
	"errors"
	"fmt"

	"github.com/posternhq/postern/internal/audit"
)

// RemovedMember is a member who was removed, and how many keys stopped.
type RemovedMember struct {
	Member      Member
	KeysStopped int64
}

func (r RemovedMember) target() audit.Target { return r.Member.target() }

// UpdateMember gives a member another role. Only an Owner makes, changes or
// removes an Owner, and a workspace keeps one.
func (s *Service) UpdateMember(ctx context.Context, c Caller, ws string, id PrincipalID, role string) (Done[Member], error) {
	a := attempt{in: ws, action: "member.role_changed", needs: WriteMembers, fresh: true, target: aim("member", string(id))}
	return do(ctx, s, c, a, func(w *work) (Member, error) {
		m, before, err := w.member(id)
		if err != nil {
			return m, err
		}
		if err := w.matches(m.Version, string(m.ID)); err != nil {
			return m, err
		}
		if m.State() == Removed {
			return m, Errorf(PrincipalInactive, "%s was removed, and that is final; invite them again", m.Name)
		}
		after, err := w.roleNamed("/role", role)
		if err != nil {
			return m, err
		}
		if err := w.mayGive(after.Permissions, before.Permissions); err != nil {
			return m, err
		}
		if !holdsOwners(after.Permissions) {
			if err := w.notLastOwner(before); err != nil {
				return m, err
			}
		}
		was := m.fields()
		m.Role = Ref[RoleID]{after.ID, after.Name}
		w.changed(was, m.fields())
		return m, w.saveMember(&m)
	})
}

// RemoveMember ends a membership. Every key that the person owned in the
// workspace stops, and nothing else: the accounts they made, and those accounts'
// keys, go on. Removing twice is not an error.
func (s *Service) RemoveMember(ctx context.Context, c Caller, ws string, id PrincipalID) (Done[RemovedMember], error) {
	a := attempt{in: ws, action: "member.removed", needs: WriteMembers, target: aim("member", string(id))}
	return do(ctx, s, c, a, func(w *work) (RemovedMember, error) {
		m, role, err := w.member(id)
		out := RemovedMember{Member: m}
		if err != nil {
			return out, err
		}
		if m.State() == Removed {
			w.event.Reason = repeated("")
			return out, nil
		}
		if err := w.matches(m.Version, string(m.ID)); err != nil {
			return out, err
		}
		if err := w.notLastOwner(role); err != nil {
			return out, err
		}
		was := m.fields()
		w.keysStopped, out.KeysStopped = m.Keys.Active, m.Keys.Active
		m.RemovedAt, m.Keys.Active = w.Now(), 0
		w.changed(was, m.fields())
		w.event.After["keys_stopped"] = out.KeysStopped
		out.Member = m
		return out, errors.Join(w.saveMember(&out.Member), w.DropCredentials(ctx, m.Person.ID))
	})
}

// member looks up a member and their role, makes them the target, and refuses
// when the caller may not act on them.
func (w *work) member(id PrincipalID) (Member, Role, error) {
	m, err := w.Member(w.ctx, w.ws.ID, id)
	if err != nil {
		return m, Role{}, err
	}
	w.event.Target = m.target()
	role, err := w.Role(w.ctx, w.ws.ID, string(m.Role.ID))
	if errors.Is(err, NotFound) {
		return m, role, nil // a custom one, deleted since the member was removed
	} else if err != nil {
		return m, role, fmt.Errorf("read the member's role: %w", err)
	}
	return m, role, w.mayActOn(role.Permissions)
}

// notLastOwner refuses to take the role Owner from the only one who has it.
func (w *work) notLastOwner(role Role) error {
	if !holdsOwners(role.Permissions) {
		return nil
	}
	n, err := w.ActiveOwners(w.ctx, w.ws.ID)
	if err != nil {
		return fmt.Errorf("count the owners: %w", err)
	}
	if n <= 1 {
		return Errorf(LastOwner, "a workspace keeps at least one owner")
	}
	return nil
}

func (w *work) saveMember(m *Member) error {
	m.Version = w.Seq()
	w.change.Principals = append(w.change.Principals, m.record())
	return w.Tx.UpdateMember(w.ctx, *m)
}

// Member returns a member of a workspace, also one who was removed.
func (s *Service) Member(ctx context.Context, c Caller, ws string, id PrincipalID) (Member, error) {
	in, err := s.reading(ctx, c, ws, ReadMembers, aim("member", string(id)))
	if err != nil {
		return Member{}, err
	}
	return s.Store.Member(ctx, in, id)
}

// Members lists the members of a workspace.
func (s *Service) Members(ctx context.Context, c Caller, ws string, f MemberFilter, page Page) (List[Member], error) {
	in, err := s.reading(ctx, c, ws, ReadMembers, audit.Target{Type: "member"})
	if err != nil {
		return List[Member]{}, err
	}
	return s.Store.Members(ctx, in, f, page)
}

// Seats counts the seats of a workspace.
func (s *Service) Seats(ctx context.Context, c Caller, ws string) (Seats, error) {
	in, err := s.reading(ctx, c, ws, ReadMembers, audit.Target{Type: "member"})
	if err != nil {
		return Seats{}, err
	}
	return s.Store.Seats(ctx, in, s.Now())
}
