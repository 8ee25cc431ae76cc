package iam

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// timeLayout is how times are written in the API and the audit log.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// NewKey is what a key is made of.
type NewKey struct {
	Name            string
	Expiry          *Expiry   // nil: what the policy says
	Limit           *[]string // nil: all that the role allows
	AllowedNetworks *[]string // nil: from anywhere
	Metadata        map[string]string
}

// Expiry says when a key ends: at a time, after a while, or, when both are zero,
// never.
type Expiry struct {
	At time.Time
	In time.Duration
}

func (e Expiry) pointer() string {
	if e.In != 0 {
		return "/expires_in"
	}
	return "/expires_at"
}

// CreateKey adds a key to a service account and returns its value, which is not
// kept and cannot be shown again. The caller must hold all that the key can do.
// Once CreateKey returns nil, the key works on every node.
func (s *Service) CreateKey(ctx context.Context, c Caller, ws, account string, in NewKey) (Done[Key], token.Secret, error) {
	a := attempt{in: ws, action: "key.created", needs: WriteKeys, fresh: true, about: account, target: aim("service_account", account)}
	return s.createKey(ctx, c, a, token.ServiceAccount, in, func(w *work) (Principal, error) {
		owner := w.Found().Principal
		if owner == nil || owner.Type != ServiceAccountType {
			return Principal{}, Errorf(NotFound, "there is no such service account")
		}
		return *owner, nil
	})
}

// CreateMyKey adds a key to the calling member. It needs no permission but what
// the key is to hold.
func (s *Service) CreateMyKey(ctx context.Context, c Caller, ws string, in NewKey) (Done[Key], token.Secret, error) {
	a := attempt{in: ws, action: "key.created", fresh: true, target: audit.Target{Type: "key"}}
	return s.createKey(ctx, c, a, token.Person, in, func(w *work) (Principal, error) {
		if c.Principal.Type != MemberType {
			return Principal{}, errPeopleOnly
		}
		return w.principal(), nil
	})
}

// errPeopleOnly is what a service account hears that asks for personal keys.
// It names no permission: there is none that would help.
var errPeopleOnly = &Error{
	Kind:   PermissionDenied,
	Reason: "only a person has personal keys; a service account's are made under the account",
}

func (s *Service) createKey(ctx context.Context, c Caller, a attempt, kind token.Kind, in NewKey, owner func(*work) (Principal, error)) (Done[Key], token.Secret, error) {
	secret, err := s.Mint.New(kind)
	if err != nil {
		return Done[Key]{}, token.Secret{}, err
	}
	done, err := do(ctx, s, c, a, func(w *work) (Key, error) {
		p, err := owner(w)
		if err != nil {
			return Key{}, err
		}
		return w.newKey(p, in, secret)
	})
	if err != nil {
		return done, token.Secret{}, err
	}
	return done, secret, nil
}

// newKey makes a key for a principal, within what the caller holds.
func (w *work) newKey(p Principal, in NewKey, secret token.Secret) (Key, error) {
	key, err := w.draftKey(p, secret)
	if err != nil {
		return key, err
	}
	key.Name, key.Metadata = in.Name, in.Metadata
	var v validation
	v.name("/name", in.Name)
	v.metadata("/metadata", in.Metadata)
	if err := v.err(); err != nil {
		return key, err
	}
	if key.Limit, err = w.limit(in.Limit, p.Role.Permissions); err != nil {
		return key, err
	}
	if key.AllowedNetworks, err = networks(in.AllowedNetworks); err != nil {
		return key, err
	}
	if key.ExpiresAt, err = w.firstExpiry(in.Expiry, p.Type); err != nil {
		return key, err
	}
	w.event.After = key.fields()
	return key, w.issueKey(key)
}

// draftKey begins a key of a principal that has not ended, made by the caller.
func (w *work) draftKey(p Principal, secret token.Secret) (Key, error) {
	if p.gone() {
		return Key{}, Errorf(PrincipalInactive, "%s is %s, and that is final", p.Name, p.State)
	}
	return Key{
		ID: KeyID(NewID(KeyPrefix, w.Now())), Workspace: w.ws.ID, Principal: p,
		Hash: secret.Hash(), Hint: token.Hint(secret),
		CreatedAt: w.Now(), CreatedBy: w.caller.createdBy(), CreatedByKey: w.caller.Key.ID, Version: w.Seq(),
	}, nil
}

// issueKey adds a key whose value will be shown: the caller gives all that it can
// do, and must hold that.
func (w *work) issueKey(key Key) error {
	if err := w.mayGive(key.Effective(), Permissions{}); err != nil {
		return err
	}
	w.issued = string(key.ID)
	w.change.Keys = append(w.change.Keys, key.record())
	return w.InsertKey(w.ctx, key)
}

// limit reads a limit: less than the role, never more.
func (w *work) limit(texts *[]string, role Permissions) (*Permissions, error) {
	if texts == nil {
		return nil, nil
	}
	ps, err := w.grants("/limit", *texts)
	if err != nil {
		return nil, err
	}
	var v validation
	for i, text := range *texts {
		g, err := ParseGrant(text)
		if err != nil {
			return nil, fmt.Errorf("read a limit again: %w", err)
		}
		if !role.covers(g) {
			v.add(fmt.Sprintf("/limit/%d", i), "wider_than_role", "%s is more than the role allows", g)
		}
	}
	return &ps, v.err()
}

// grants reads the permissions of a limit or a custom role.
func (w *work) grants(pointer string, texts []string) (Permissions, error) {
	return readGrants(w.ctx, w, w.ws.ID, pointer, texts)
}

// readGrants reads the permissions that a role of a workspace could have.
func readGrants(ctx context.Context, from Reader, ws WorkspaceID, pointer string, texts []string) (Permissions, error) {
	var v validation
	switch {
	case len(texts) == 0:
		v.add(pointer, "empty", "must have at least one permission")
	case len(texts) > maxGrants:
		v.add(pointer, "too_many", "has more than %d permissions", maxGrants)
	}
	if err := v.err(); err != nil {
		return Permissions{}, err
	}
	ps, err := ParsePermissions(pointer, texts)
	if err != nil {
		return ps, err
	}
	types, err := from.PermissionTypes(ctx, ws)
	if err != nil {
		return ps, fmt.Errorf("read the permissions' types: %w", err)
	}
	for i, text := range texts {
		g, err := ParseGrant(text)
		switch {
		case token.LooksLikeSecret(text):
			v.add(fmt.Sprintf("%s/%d", pointer, i), "looks_like_key", "holds what looks like a key or the token of an invitation, which are kept nowhere")
		case err != nil:
			return ps, fmt.Errorf("read a permission again: %w", err)
		case g.Type == ownersWrite.Type:
			v.add(fmt.Sprintf("%s/%d", pointer, i), "owners_only", "only the role Owner holds %s", g)
		case !registered(types, g):
			v.add(fmt.Sprintf("%s/%d", pointer, i), "unknown_action", "no type has the action %s; register it first", g.Action)
		}
	}
	return ps, v.err()
}

// registered reports whether a grant's action is one that its type has: one of
// the four that every type has, or one that the workspace registered.
func registered(types []PermissionType, g Grant) bool {
	if g.Action == wildcard || isIAM(g.Type) || slices.Contains(shippedActions, g.Action) {
		return true
	}
	return slices.ContainsFunc(types, func(t PermissionType) bool {
		return (g.Type == wildcard || g.Type == t.Type) && slices.Contains(t.Actions, g.Action)
	})
}

func networks(texts *[]string) ([]netip.Prefix, error) {
	if texts == nil {
		return nil, nil
	}
	if len(*texts) == 0 {
		return nil, Invalid("/allowed_networks", "empty", "must have at least one network; leave it out to allow all")
	}
	return ParseNetworks("/allowed_networks", *texts)
}

// firstExpiry returns when a new key ends: as asked, or as the policy says.
func (w *work) firstExpiry(e *Expiry, owner PrincipalType) (time.Time, error) {
	if e == nil {
		days := w.ws.Policy.AccountKeyDefaultDays
		if owner == MemberType {
			days = w.ws.Policy.MemberKeyDefaultDays
		}
		e = &Expiry{In: time.Duration(days) * day}
	}
	return w.expiry(*e, owner, w.Now())
}

// expiry returns when a key that was made at a time ends, within the policy.
func (w *work) expiry(e Expiry, owner PrincipalType, made time.Time) (time.Time, error) {
	policy, most := "account_key_max_days", w.ws.Policy.AccountKeyMaxDays
	if owner == MemberType {
		policy, most = "member_key_max_days", w.ws.Policy.MemberKeyMaxDays
	}
	at := e.At
	if e.In != 0 {
		at = w.Now().Add(e.In)
	}
	at = at.UTC().Truncate(time.Microsecond)
	switch {
	case e == Expiry{} && most != nil:
		return at, violates(policy, "/expires_at", "the longest lifetime is %d days", *most)
	case e == Expiry{}:
		return time.Time{}, nil
	case !at.After(w.Now()):
		return at, Invalid(e.pointer(), "in_the_past", "must be in the future")
	case at.After(w.Now().Add(maxDays * day)):
		return at, Invalid(e.pointer(), "out_of_range", "is more than a hundred years away; say never")
	case most != nil && at.After(made.Add(time.Duration(*most)*day)):
		return at, violates(policy, e.pointer(), "the longest lifetime is %d days", *most)
	}
	return at, nil
}
