package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/posternhq/postern/internal/audit"
)

// maxPasskeys is how many passkeys a person has.
const maxPasskeys = 20

// NewCredential is what somebody wants to sign in with from now on: a password, as
// it is kept, or a passkey.
type NewCredential struct {
	Password string
	Passkey  *Passkey
}

// give adds a credential to a person and returns the event's action and target.
func (w *work) give(person PersonID, in NewCredential) error {
	if in.Password != "" {
		return w.PutPassword(w.ctx, person, Password{Encoded: in.Password, ChangedAt: w.Now()})
	}
	key := *in.Passkey
	key.ID, key.Person, key.CreatedAt = PasskeyID(NewID(PasskeyPrefix, w.Now())), person, w.Now()
	in.Passkey.ID, in.Passkey.Person, in.Passkey.CreatedAt = key.ID, key.Person, key.CreatedAt
	var v validation
	v.name("/passkey/name", key.Name)
	if err := v.err(); err != nil {
		return err
	}
	return w.InsertPasskey(w.ctx, key)
}

func (p Person) target() audit.Target {
	return audit.Target{Type: "person", ID: string(p.ID), Name: p.Name}
}

func (p Passkey) target() audit.Target {
	return audit.Target{Type: "passkey", ID: string(p.ID), Name: p.Name}
}

// PasswordChange is a new password of the calling person.
type PasswordChange struct {
	Encoded string // the new one, as it is kept
	Was     string // the old one, as it is kept, which the person has shown to know; empty: there is none
}

// ChangedPassword is the end of a change of password.
type ChangedPassword struct {
	Person Person
	Ended  []SignIn
}

func (c ChangedPassword) target() audit.Target { return c.Person.target() }

// ChangePassword gives the calling person a password in the place of the one they
// have, and ends all their other sign-ins.
func (s *Service) ChangePassword(ctx context.Context, c Caller, in PasswordChange) (Done[ChangedPassword], error) {
	a := attempt{in: own, action: "password.changed", person: true, fresh: in.Was == ""}
	return do(ctx, s, c, a, func(w *work) (out ChangedPassword, err error) {
		now := w.Found().Session.SignIn
		if out.Person, err = w.Person(ctx, now.Person); err != nil {
			return out, err
		}
		kept, err := w.Password(ctx, now.Person)
		if err != nil && !errors.Is(err, NotFound) {
			return out, fmt.Errorf("read the password: %w", err)
		}
		if kept.Encoded != in.Was {
			return out, ErrNotSignedIn
		}
		w.event.Target = out.Person.target()
		if err := w.give(now.Person, NewCredential{Password: in.Encoded}); err != nil {
			return out, err
		}
		out.Ended, err = w.endOthers(now, "the password was changed")
		return out, err
	})
}

// AddPasskey adds a passkey to the calling person.
func (s *Service) AddPasskey(ctx context.Context, c Caller, in Proof, key Passkey) (Done[Passkey], error) {
	a := attempt{in: own, action: "passkey.added", person: true, fresh: true}
	return do(ctx, s, c, a, func(w *work) (Passkey, error) {
		person := w.Found().Session.SignIn.Person
		if in.Person != person {
			return key, ErrNotSignedIn
		}
		all, err := w.Passkeys(ctx, person)
		if err != nil {
			return key, fmt.Errorf("count the passkeys: %w", err)
		}
		if len(all) >= maxPasskeys {
			return key, Invalid("/name", "too_many", "there are %d passkeys already: remove one first", maxPasskeys)
		}
		if err := w.useTicket(in.Ticket); err != nil {
			return key, err
		}
		err = w.give(person, NewCredential{Passkey: &key})
		w.event.After = audit.Fields{"name": key.Name}
		return key, err
	})
}

// RenamePasskey gives a passkey of the calling person another name.
func (s *Service) RenamePasskey(ctx context.Context, c Caller, id PasskeyID, name string) (Done[Passkey], error) {
	a := attempt{in: own, action: "passkey.renamed", person: true, target: aim("passkey", string(id))}
	return do(ctx, s, c, a, func(w *work) (Passkey, error) {
		key, _, err := w.myPasskey(id)
		if err != nil {
			return key, err
		}
		var v validation
		v.name("/name", name)
		if err := v.err(); err != nil {
			return key, err
		}
		w.changed(audit.Fields{"name": key.Name}, audit.Fields{"name": name})
		key.Name = name
		return key, w.UpdatePasskey(ctx, key)
	})
}

// RemovePasskey takes a passkey from the calling person, unless it is the last thing
// that they can sign in with.
func (s *Service) RemovePasskey(ctx context.Context, c Caller, id PasskeyID) (Done[Passkey], error) {
	a := attempt{in: own, action: "passkey.removed", person: true, fresh: true, target: aim("passkey", string(id))}
	return do(ctx, s, c, a, func(w *work) (Passkey, error) {
		key, all, err := w.myPasskey(id)
		if err != nil {
			return key, err
		}
		if len(all) == 1 {
			_, err := w.Password(ctx, key.Person)
			if errors.Is(err, NotFound) {
				return key, Errorf(LastCredential, "this is the only way to sign in that is left: add another first")
			} else if err != nil {
				return key, fmt.Errorf("look for a password: %w", err)
			}
		}
		w.event.Before = audit.Fields{"name": key.Name}
		return key, w.DeletePasskey(ctx, id)
	})
}

func (w *work) myPasskey(id PasskeyID) (Passkey, []Passkey, error) {
	all, err := w.Passkeys(w.ctx, w.Found().Session.SignIn.Person)
	if err != nil {
		return Passkey{}, nil, fmt.Errorf("look for the passkey: %w", err)
	}
	at := slices.IndexFunc(all, func(p Passkey) bool { return p.ID == id })
	if at < 0 {
		return Passkey{}, nil, Errorf(NotFound, "there is no such passkey")
	}
	w.event.Target = all[at].target()
	return all[at], all, nil
}

// Passkeys lists the passkeys of the calling person, and says whether they have a
// password.
func (s *Service) Passkeys(ctx context.Context, c Caller) (keys []Passkey, password bool, err error) {
	now, err := s.person(ctx, c)
	if err != nil {
		return nil, false, err
	}
	if keys, err = s.Store.Passkeys(ctx, now.Person); err != nil {
		return nil, false, err
	}
	_, err = s.Store.Password(ctx, now.Person)
	if errors.Is(err, NotFound) {
		return keys, false, nil
	}
	return keys, err == nil, err
}
