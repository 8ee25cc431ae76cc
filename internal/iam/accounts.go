package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/posternhq/postern/internal/audit"
)

// NewServiceAccount is what a service account is made of.
type NewServiceAccount struct {
	Name        string
	Description string
	Owner       string // the responsible team's name
	Role        string // id or name
	Metadata    map[string]string
}

// AccountPatch is what to change about a service account; nil leaves it as it is.
type AccountPatch struct {
	Name        *string
	Description *string
	Owner       *string
	Role        *string
	Metadata    *map[string]string
}

func (a ServiceAccount) check() error {
	var v validation
	v.accountName("/name", a.Name)
	v.text("/description", a.Description, maxDescription)
	v.text("/owner", a.Owner, maxOwner)
	v.metadata("/metadata", a.Metadata)
	return v.err()
}

// checkOwner holds a new account, or one whose owner is changed, to the policy.
// It does not hold back other changes of accounts that are older than the policy.
func (a ServiceAccount) checkOwner(p Policy) error {
	if p.OwnerRequired && strings.TrimSpace(a.Owner) == "" {
		return violates("owner_required", "/owner", "the workspace requires that an account names the team that owns it")
	}
	return nil
}

// CreateServiceAccount adds a service account to a workspace. There may be any
// number; they take no seat.
func (s *Service) CreateServiceAccount(ctx context.Context, c Caller, ws string, in NewServiceAccount) (Done[ServiceAccount], error) {
	a := attempt{in: ws, action: "service_account.created", needs: WriteAccounts, target: audit.Target{Type: "service_account"}}
	return do(ctx, s, c, a, func(w *work) (ServiceAccount, error) {
		account := ServiceAccount{
			ID: PrincipalID(NewID(ServiceAccountPrefix, w.Now())), Workspace: w.ws.ID,
			Name: in.Name, Description: in.Description, Owner: cmp.Or(in.Owner, describedOwner(in.Description)), Metadata: in.Metadata,
			CreatedAt: w.Now(), CreatedBy: c.createdBy(), CreatedByKey: c.Key.ID, Version: w.Seq(),
		}
		if err := account.check(); err != nil {
			return account, err
		}
		if err := account.checkOwner(w.ws.Policy); err != nil {
			return account, err
		}
		role, err := w.roleForAccount(in.Role)
		if err != nil {
			return account, err
		}
		if err := w.mayGive(role.Permissions, Permissions{}); err != nil {
			return account, err
		}
		account.Role = Ref[RoleID]{role.ID, role.Name}
		w.event.After = account.fields()
		w.change.Principals = append(w.change.Principals, account.record())
		return account, w.InsertServiceAccount(ctx, account)
	})
}

// describedOwner returns the team of a description that is "Owner: Team", as
// descriptions are asked to be, or nothing.
func describedOwner(description string) string {
	owner, _ := strings.CutPrefix(description, "Owner: ")
	if owner == description || utf8.RuneCountInString(owner) > maxOwner {
		return ""
	}
	return strings.TrimSpace(owner)
}

// roleForAccount looks up the role that an account is to have.
func (w *work) roleForAccount(ref string) (Role, error) {
	role, err := w.roleNamed("/role", ref)
	if err == nil && holdsOwners(role.Permissions) {
		err = Invalid("/role", "people_only", "only a person can be an owner")
	}
	return role, err
}

// roleNamed looks up a role that the input names at pointer.
func (w *work) roleNamed(pointer, ref string) (Role, error) {
	role, err := w.Role(w.ctx, w.ws.ID, ref)
	if errors.Is(err, NotFound) {
		return role, Invalid(pointer, "unknown_role", "there is no such role")
	} else if err != nil {
		return role, fmt.Errorf("read role: %w", err)
	}
	return role, nil
}

// UpdateServiceAccount changes an account's details or its role. A wider role is
// a gift: the caller must hold what it adds.
func (s *Service) UpdateServiceAccount(ctx context.Context, c Caller, ws, ref string, p AccountPatch) (Done[ServiceAccount], error) {
	a := attempt{in: ws, action: "service_account.updated", needs: WriteAccounts, fresh: p.Role != nil, account: ref, target: aim("service_account", ref)}
	return do(ctx, s, c, a, func(w *work) (ServiceAccount, error) {
		account, err := w.account()
		if err != nil {
			return account, err
		}
		if err := w.matches(account.Version, string(account.ID)); err != nil {
			return account, err
		}
		if account.Revoked != nil {
			return account, Errorf(PrincipalInactive, "service account %s is revoked", account.Name)
		}
		was := account.fields()
		set(&account.Name, p.Name)
		set(&account.Description, p.Description)
		set(&account.Owner, p.Owner)
		set(&account.Metadata, p.Metadata)
		if err := account.check(); err != nil {
			return account, err
		}
		if p.Owner != nil {
			if err := account.checkOwner(w.ws.Policy); err != nil {
				return account, err
			}
		}
		if p.Role != nil {
			if err := w.changeRole(&account, *p.Role); err != nil {
				return account, err
			}
		}
		w.changed(was, account.fields())
		return account, w.saveAccount(&account)
	})
}

func (w *work) changeRole(account *ServiceAccount, ref string) error {
	before, err := w.Role(w.ctx, w.ws.ID, string(account.Role.ID))
	if err != nil {
		return fmt.Errorf("read the present role: %w", err)
	}
	after, err := w.roleForAccount(ref)
	if err != nil {
		return err
	}
	if err := w.mayGive(after.Permissions, before.Permissions); err != nil {
		return err
	}
	if after.ID != before.ID {
		w.event.Action = "service_account.role_changed"
	}
	account.Role = Ref[RoleID]{after.ID, after.Name}
	return nil
}

// set replaces a value when there is a new one.
func set[T any](value *T, to *T) {
	if to != nil {
		*value = *to
	}
}

// account returns the account that the attempt is about and makes it the target.
func (w *work) account() (ServiceAccount, error) {
	found := w.Found().Account
	if found == nil {
		return ServiceAccount{}, Errorf(NotFound, "there is no such service account")
	}
	w.event.Target = found.target()
	return *found, nil
}

// saveAccount writes an account and tells the replicas.
func (w *work) saveAccount(account *ServiceAccount) error {
	account.Version = w.Seq()
	w.change.Principals = append(w.change.Principals, account.record())
	return w.UpdateServiceAccount(w.ctx, *account)
}

// PauseServiceAccount stops every key of an account until it is resumed. Once it
// returns nil, no node accepts any of them.
func (s *Service) PauseServiceAccount(ctx context.Context, c Caller, ws, ref, reason string) (Done[ServiceAccount], error) {
	return s.turnAccount(ctx, c, ws, ref, reason, "service_account.paused", func(w *work, account *ServiceAccount) error {
		if account.State() == Active {
			w.keysStopped = account.Keys.Active
			account.Keys.Active = 0
		}
		account.Pauses = account.Pauses.With(ByPerson)
		return nil
	})
}

// ResumeServiceAccount lets a paused account's keys work again. It gives all that
// the account's role holds, so the caller must hold it.
func (s *Service) ResumeServiceAccount(ctx context.Context, c Caller, ws, ref, reason string) (Done[ServiceAccount], error) {
	return s.turnAccount(ctx, c, ws, ref, reason, "service_account.resumed", func(w *work, account *ServiceAccount) error {
		role, err := w.Role(ctx, w.ws.ID, string(account.Role.ID))
		if err != nil {
			return fmt.Errorf("read role: %w", err)
		}
		account.Pauses = account.Pauses.Without(ByPerson)
		if err := w.DisturbRotations(w.ctx, account.Workspace, account.ID, ""); err != nil {
			return err
		}
		return w.mayGive(role.Permissions, Permissions{})
	})
}

// RevokeServiceAccount stops every key that an account owns, for good, and marks
// it inactive. Once it returns nil, no node accepts any of them. Revoking twice
// is not an error: the second call waits for the fence as well.
func (s *Service) RevokeServiceAccount(ctx context.Context, c Caller, ws, ref, reason string) (Done[ServiceAccount], error) {
	a := attempt{in: ws, action: "service_account.revoked", needs: WriteAccounts, account: ref, target: aim("service_account", ref)}
	return do(ctx, s, c, a, func(w *work) (ServiceAccount, error) {
		account, err := w.account()
		if err != nil {
			return account, err
		}
		if err := checkReason(reason); err != nil {
			return account, err
		}
		w.event.Reason = reason
		return account, w.revokeAccount(&account, Revocation{Reason: reason}, &w.event)
	})
}

// revokeAccount ends an account, and says so in an event. One that has ended
// stays as it is.
func (w *work) revokeAccount(account *ServiceAccount, end Revocation, e *audit.Event) error {
	if account.Revoked != nil {
		e.Reason = repeated(e.Reason)
		return nil
	}
	was := account.fields()
	end.At, end.By = w.Now(), w.caller.createdBy()
	account.Revoked = &end
	w.keysStopped += account.Keys.Active
	e.Before, e.After = differences(was, account.fields())
	e.After["keys_stopped"] = account.Keys.Active
	account.Keys.Active = 0
	return w.saveAccount(account)
}

// repeated marks the reason of a call that found its change already made.
func repeated(reason string) string {
	if reason == "" {
		return "already so; nothing changed"
	}
	return reason + " (already so; nothing changed)"
}

func checkReason(reason string) error {
	var v validation
	v.text("/reason", reason, maxNote)
	return v.err()
}

// turnAccount pauses or resumes an account that is not revoked.
func (s *Service) turnAccount(ctx context.Context, c Caller, ws, ref, reason, action string, turn func(*work, *ServiceAccount) error) (Done[ServiceAccount], error) {
	a := attempt{in: ws, action: action, needs: WriteAccounts, account: ref, target: aim("service_account", ref)}
	return do(ctx, s, c, a, func(w *work) (ServiceAccount, error) {
		account, err := w.account()
		if err != nil {
			return account, err
		}
		if err := checkReason(reason); err != nil {
			return account, err
		}
		if account.Revoked != nil {
			return account, Errorf(PrincipalInactive, "service account %s is revoked, and that is final", account.Name)
		}
		was := account.fields()
		if err := turn(w, &account); err != nil {
			return account, err
		}
		w.event.Reason = reason
		w.changed(was, account.fields())
		return account, w.saveAccount(&account)
	})
}

// ServiceAccount returns an account by id or name.
func (s *Service) ServiceAccount(ctx context.Context, c Caller, ws, ref string) (ServiceAccount, error) {
	id, err := s.reading(ctx, c, ws, ReadAccounts, aim("service_account", ref))
	if err != nil {
		return ServiceAccount{}, err
	}
	return s.Store.ServiceAccount(ctx, id, ref)
}

// ServiceAccounts lists the accounts of a workspace.
func (s *Service) ServiceAccounts(ctx context.Context, c Caller, ws string, f AccountFilter, page Page) (List[ServiceAccount], error) {
	id, err := s.reading(ctx, c, ws, ReadAccounts, audit.Target{Type: "service_account"})
	if err != nil {
		return List[ServiceAccount]{}, err
	}
	if f.Need, err = s.settled(ctx, id, f.Need); err != nil {
		return List[ServiceAccount]{}, err
	}
	return s.Store.ServiceAccounts(ctx, id, f, page)
}

// StateCounts is how many accounts there are of each state.
type StateCounts struct{ Active, Paused, Inactive int64 }

// CountServiceAccounts returns how many accounts of each state a filter lets
// through, whatever it says of the state.
func (s *Service) CountServiceAccounts(ctx context.Context, c Caller, ws string, f AccountFilter) (n StateCounts, err error) {
	id, err := s.reading(ctx, c, ws, ReadAccounts, audit.Target{Type: "service_account"})
	if err != nil {
		return n, err
	}
	if f.Need, err = s.settled(ctx, id, f.Need); err != nil {
		return n, err
	}
	for state, into := range map[State]*int64{Active: &n.Active, Paused: &n.Paused, Inactive: &n.Inactive} {
		f.State = state
		if *into, err = s.Store.CountServiceAccounts(ctx, id, f); err != nil {
			return n, err
		}
	}
	return n, nil
}

// reading resolves the workspace that a path names and decides whether the
// caller may read there.
func (s *Service) reading(ctx context.Context, c Caller, ws string, p Permission, t audit.Target) (WorkspaceID, error) {
	id, err := c.resolve(ws)
	if err != nil {
		return "", err
	}
	return id, s.may(ctx, c, p, t)
}
