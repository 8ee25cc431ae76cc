package iam

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/posternhq/postern/internal/audit"
)

// KeyPatch is what to change about a key; nil leaves it as it is.
type KeyPatch struct {
	Name            *string
	Expiry          *Expiry
	Limit           *Optional[[]string] // its nil: all that the role allows
	AllowedNetworks *Optional[[]string] // its nil: from anywhere
}

// Optional is a value that may be taken away.
type Optional[T any] struct{ Value *T }

// The words for why a key is paused, resumed or revoked.
var keyReasons = []string{"", "compromised", "superseded", "unused", "owner_left", "other"}

// Why says why a key is paused, resumed or revoked.
type Why struct {
	Reason      string // compromised, superseded, unused, owner_left, other, or empty
	Note        string
	Descendants bool // RevokeKey only: revoke, in the same revision, all that was made with the key
}

func (y Why) check() error {
	var v validation
	if !slices.Contains(keyReasons, y.Reason) {
		v.add("/reason", "unknown_reason", "is not compromised, superseded, unused, owner_left or other")
	}
	v.text("/note", y.Note, maxNote)
	return v.err()
}

// RevokedKey is a key that was revoked, with what had been made with it.
type RevokedKey struct {
	Key      Key
	Keys     []Key            // made with it, or with those
	Accounts []ServiceAccount // made with it, or with those
}

func (r RevokedKey) target() audit.Target { return r.Key.target() }

// key returns the key that the attempt is about, makes it the target, and refuses
// when the caller may not act on its owner.
func (w *work) key() (Key, error) {
	found := w.Found().Target
	if found == nil {
		return Key{}, Errorf(NotFound, "there is no such key")
	}
	w.event.Target = found.target()
	return *found, w.mayActOn(found.Principal.Role.Permissions)
}

// saveKey writes a key and tells the replicas.
func (w *work) saveKey(key *Key) error {
	key.Version = w.Seq()
	w.change.Keys = append(w.change.Keys, key.record())
	return w.UpdateKey(w.ctx, *key)
}

// UpdateKey changes a key's name, expiry, limit or networks. What widens its
// power is a gift, and so is a later end: the caller must hold what it can do.
func (s *Service) UpdateKey(ctx context.Context, c Caller, ws string, id KeyID, p KeyPatch) (Done[Key], error) {
	a := attempt{in: ws, action: "key.updated", needs: WriteKeys, key: id, target: aim("key", string(id))}
	return do(ctx, s, c, a, func(w *work) (Key, error) {
		key, err := w.key()
		if err != nil {
			return key, err
		}
		if err := w.matches(key.Version, string(key.ID)); err != nil {
			return key, err
		}
		if err := w.notEnded(key); err != nil {
			return key, err
		}
		before := key
		if err := w.patchKey(&key, p); err != nil {
			return key, err
		}
		given := before.Effective()
		if widens(before, key) {
			given = Permissions{}
		}
		if err := w.mayGive(key.Effective(), given); err != nil {
			return key, err
		}
		w.changed(before.fields(), key.fields())
		return key, w.saveKey(&key)
	})
}

// notEnded refuses to give anything to a key that has ended, or whose owner has.
func (w *work) notEnded(key Key) error {
	switch {
	case key.Revoked != nil:
		return Errorf(KeyRevoked, "the key is revoked, and that is final")
	case key.Principal.gone():
		return Errorf(PrincipalInactive, "%s is %s", key.Principal.Name, key.Principal.State)
	}
	return nil
}

func (w *work) patchKey(key *Key, p KeyPatch) error {
	if p.Name != nil {
		key.Name = *p.Name
	}
	var v validation
	v.name("/name", key.Name)
	if err := v.err(); err != nil {
		return err
	}
	var err error
	if p.Limit != nil {
		if key.Limit, err = w.limit(p.Limit.Value, key.Principal.Role.Permissions); err != nil {
			return err
		}
	}
	if p.AllowedNetworks != nil {
		if key.AllowedNetworks, err = networks(p.AllowedNetworks.Value); err != nil {
			return err
		}
	}
	if p.Expiry != nil {
		if key.ExpiresAt, err = w.expiry(*p.Expiry, key.Principal.Type, key.CreatedAt); err != nil {
			return err
		}
	}
	return nil
}

// widens reports whether a change lets a key be used later or from elsewhere
// than before: that gives all that it holds.
func widens(before, after Key) bool {
	later := !before.ExpiresAt.IsZero() && (after.ExpiresAt.IsZero() || after.ExpiresAt.After(before.ExpiresAt))
	return later || !networksCover(before.AllowedNetworks, after.AllowedNetworks)
}

// networksCover reports whether every address of within is in outer, each
// network of it in one of outer's. Nil is everywhere.
func networksCover(outer, within []netip.Prefix) bool {
	if outer == nil {
		return true
	}
	if within == nil {
		return false
	}
	for _, n := range within {
		inside := func(o netip.Prefix) bool { return o.Bits() <= n.Bits() && o.Contains(n.Addr()) }
		if !slices.ContainsFunc(outer, inside) {
			return false
		}
	}
	return true
}

func networkTexts(nets []netip.Prefix) []string {
	texts := make([]string, len(nets))
	for i, n := range nets {
		texts[i] = n.String()
	}
	return texts
}

// PauseKey stops a key until it is resumed. Once it returns nil, no node accepts it.
func (s *Service) PauseKey(ctx context.Context, c Caller, ws string, id KeyID, why Why) (Done[Key], error) {
	return s.turnKey(ctx, c, ws, id, why, "key.paused", func(w *work, key *Key) error {
		if w.works(*key) {
			w.keysStopped = 1
		}
		key.Pauses = key.Pauses.With(ByPerson)
		return nil
	})
}

// ResumeKey lets a paused key work again, also one that a trial has paused, which
// then is over. It gives all that the key holds.
func (s *Service) ResumeKey(ctx context.Context, c Caller, ws string, id KeyID, why Why) (Done[Key], error) {
	return s.turnKey(ctx, c, ws, id, why, "key.resumed", func(w *work, key *Key) error {
		wasPaused := key.Pauses.Has(ByPerson)
		key.Pauses = key.Pauses.Without(ByPerson)
		if err := w.cutTrialShort(key); err != nil {
			return err
		}
		if wasPaused && key.Rotation != "" {
			if err := w.DisturbRotations(w.ctx, key.Workspace, "", key.ID); err != nil {
				return err
			}
		}
		return w.mayGive(key.Effective(), Permissions{})
	})
}

func (s *Service) turnKey(ctx context.Context, c Caller, ws string, id KeyID, why Why, action string, turn func(*work, *Key) error) (Done[Key], error) {
	a := attempt{in: ws, action: action, needs: WriteKeys, key: id, target: aim("key", string(id))}
	return do(ctx, s, c, a, func(w *work) (Key, error) {
		key, err := w.key()
		if err != nil {
			return key, err
		}
		if err := why.check(); err != nil {
			return key, err
		}
		if err := w.notEnded(key); err != nil {
			return key, err
		}
		was := key.fields()
		if err := turn(w, &key); err != nil {
			return key, err
		}
		w.event.Reason = why.text()
		w.changed(was, key.fields())
		return key, w.saveKey(&key)
	})
}

func (y Why) text() string {
	if y.Reason != "" && y.Note != "" {
		return y.Reason + ": " + y.Note
	}
	return y.Reason + y.Note
}

// RevokeKey stops a key for good. Once it returns nil, no node accepts it.
// What was made with the key is listed, and revoked with it when asked. Revoking
// twice is not an error: the second call waits for the fence as well.
func (s *Service) RevokeKey(ctx context.Context, c Caller, ws string, id KeyID, why Why) (Done[RevokedKey], error) {
	a := attempt{in: ws, action: "key.revoked", needs: WriteKeys, key: id, maker: true, target: aim("key", string(id))}
	return s.revokeKey(ctx, c, a, why, (*work).key)
}

// RevokeSelf stops the key that the caller holds. Whoever holds a key can stop
// it, and learns nothing of what was made with it.
func (s *Service) RevokeSelf(ctx context.Context, c Caller, why Why) (Done[RevokedKey], error) {
	why.Descendants = false // taking from others needs the permission
	a := attempt{in: own, action: "key.revoked", target: aim("key", string(c.Key.ID))}
	return s.revokeKey(ctx, c, a, why, func(w *work) (Key, error) {
		if held := w.Found().Key; held != nil {
			return *held, nil
		}
		return Key{}, errNoKey
	})
}

// errNoKey is what a person who signed in hears who asks for the key they hold.
var errNoKey = Errorf(NotFound, "this call is made with a session, not with a key")

func (s *Service) revokeKey(ctx context.Context, c Caller, a attempt, why Why, find func(*work) (Key, error)) (Done[RevokedKey], error) {
	return do(ctx, s, c, a, func(w *work) (out RevokedKey, err error) {
		if out.Key, err = find(w); err != nil {
			return out, err
		}
		if err := why.check(); err != nil {
			return out, err
		}
		w.event.Reason = why.text()
		if err := w.endKey(&out.Key, why, &w.event); err != nil {
			return out, err
		}
		if !w.Found().Maker {
			return out, nil // most have made nothing, and those that wait for the head row do not wait for a look
		}
		if out.Keys, out.Accounts, err = w.Descendants(ctx, w.ws.ID, out.Key.ID); err != nil {
			return out, fmt.Errorf("look for what was made with the key: %w", err)
		}
		if !why.Descendants {
			return out, nil
		}
		return out, w.endDescendants(&out, why)
	})
}

// works reports whether a key could be used until now: a key of a paused owner
// has been stopped already.
func (w *work) works(k Key) bool { return k.State(w.Now()) == Active && k.Principal.State == Active }

// endKey revokes one key, and says so in an event. One that is revoked stays so.
func (w *work) endKey(key *Key, why Why, e *audit.Event) error {
	if key.Revoked != nil {
		e.Reason = repeated(e.Reason)
		return nil
	}
	was := key.fields()
	if w.works(*key) {
		w.keysStopped++
	}
	key.Revoked = &Revocation{At: w.Now(), By: w.caller.createdBy(), Reason: why.Reason, Note: why.Note}
	e.Before, e.After = differences(was, key.fields())
	return w.saveKey(key)
}

// endDescendants revokes all that was made with a key, in the same transaction,
// each with an event of its own.
func (w *work) endDescendants(out *RevokedKey, why Why) error {
	for i := range out.Keys {
		key := &out.Keys[i]
		if key.Revoked != nil {
			continue
		}
		if err := w.mayActOn(key.Principal.Role.Permissions); err != nil {
			return err
		}
		e := audit.Event{Action: "key.revoked", Outcome: audit.Done, Target: key.target(), Reason: why.text()}
		if err := w.endKey(key, why, &e); err != nil {
			return err
		}
		w.further = append(w.further, e)
	}
	for i := range out.Accounts {
		account := &out.Accounts[i]
		if account.Revoked != nil {
			continue
		}
		if !w.may.Allow(WriteAccounts) {
			return denied(WriteAccounts)
		}
		now, err := w.ServiceAccount(w.ctx, w.ws.ID, string(account.ID)) // keys of it have ended above
		if err != nil {
			return fmt.Errorf("read an account again: %w", err)
		}
		*account = now
		e := audit.Event{Action: "service_account.revoked", Outcome: audit.Done, Target: account.target(), Reason: why.text()}
		if err := w.revokeAccount(account, Revocation{Reason: why.Reason, Note: why.Note}, &e); err != nil {
			return err
		}
		w.further = append(w.further, e)
	}
	return nil
}

// Key returns a key of a workspace.
func (s *Service) Key(ctx context.Context, c Caller, ws string, id KeyID) (Key, error) {
	in, err := s.reading(ctx, c, ws, ReadKeys, aim("key", string(id)))
	if err != nil {
		return Key{}, err
	}
	return s.Store.Key(ctx, in, id)
}

// Self returns the key that the caller holds.
func (s *Service) Self(ctx context.Context, c Caller) (Key, error) {
	if c.Key.ID == "" {
		return Key{}, errNoKey
	}
	return s.Store.Key(ctx, c.Workspace.ID, c.Key.ID)
}

// Keys lists the keys of a workspace: the inventory.
func (s *Service) Keys(ctx context.Context, c Caller, ws string, f KeyFilter, page Page) (List[Key], error) {
	in, err := s.reading(ctx, c, ws, ReadKeys, audit.Target{Type: "key"})
	if err != nil {
		return List[Key]{}, err
	}
	return s.Store.Keys(ctx, in, f, page)
}

// AccountKeys lists the keys of one account.
func (s *Service) AccountKeys(ctx context.Context, c Caller, ws, ref string, f KeyFilter, page Page) (List[Key], error) {
	in, err := s.reading(ctx, c, ws, ReadKeys, aim("service_account", ref))
	if err != nil {
		return List[Key]{}, err
	}
	account, err := s.Store.ServiceAccount(ctx, in, ref)
	if err != nil {
		return List[Key]{}, err
	}
	f.Principal = account.ID
	return s.Store.Keys(ctx, in, f, page)
}

// MyKeys lists the keys of the calling member.
func (s *Service) MyKeys(ctx context.Context, c Caller, ws string, f KeyFilter, page Page) (List[Key], error) {
	in, err := c.resolve(ws)
	if err != nil {
		return List[Key]{}, err
	}
	if c.Principal.Type != MemberType {
		return List[Key]{}, s.refused(ctx, c, attempt{action: "key.read", target: audit.Target{Type: "key"}}, nil, errPeopleOnly)
	}
	f.Principal = c.Principal.ID
	return s.Store.Keys(ctx, in, f, page)
}
