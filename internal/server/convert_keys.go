package server

import (
	"net/netip"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func key(k iam.Key, now time.Time) api.Key {
	out := api.Key{
		ID: string(k.ID), Name: k.Name, Hint: k.Hint, State: string(k.State(now)),
		Principal: api.Principal{Type: string(k.Principal.Type), ID: string(k.Principal.ID), Name: k.Principal.Name},
		Effective: k.Effective().Strings(), ExpiresAt: timeOrNull(k.ExpiresAt), Metadata: metadata(k.Metadata),
		CreatedAt: api.NewTime(k.CreatedAt), CreatedBy: actor(k.CreatedBy), CreatedByKey: orNull(string(k.CreatedByKey)),
		Replaces: orNull(string(k.Replaces)), Revoked: revocation(k.Revoked), LastUsed: lastUse(k.LastUse),
		Rotation: orNull(string(k.Rotation)), Etag: etag(k.Version),
	}
	if out.LastUsed != nil {
		out.LastUsed.Key = nil // it is this one
	}
	if k.Limit != nil {
		out.Limit = k.Limit.Strings()
	}
	if k.AllowedNetworks != nil {
		out.AllowedNetworks = each(k.AllowedNetworks, netip.Prefix.String)
	}
	return out
}

// descendants lists what was made with a key, keys first.
func descendants(r iam.RevokedKey, now time.Time) []api.Descendant {
	keys := each(r.Keys, func(k iam.Key) api.Descendant {
		return api.Descendant{Type: "key", ID: string(k.ID), Name: k.Name, State: string(k.State(now))}
	})
	accounts := each(r.Accounts, func(a iam.ServiceAccount) api.Descendant {
		return api.Descendant{Type: string(iam.ServiceAccountType), ID: string(a.ID), Name: a.Name, State: string(a.State())}
	})
	return append(keys, accounts...)
}

func whyOf(in *api.Ending) iam.Why {
	if in == nil {
		return iam.Why{}
	}
	return iam.Why{Reason: in.Reason, Note: in.Note, Descendants: in.Descendants}
}

func newKey(in api.CreateKey) (iam.NewKey, error) {
	expiry, err := firstExpiry(in)
	return iam.NewKey{
		Name: in.Name, Expiry: expiry, Limit: in.Limit, AllowedNetworks: in.AllowedNetworks, Metadata: in.Metadata,
	}, err
}

// firstExpiry reads when a new key is to end, which is said in one of two ways
// or left to the policy.
func firstExpiry(in api.CreateKey) (*iam.Expiry, error) {
	_, hasTime := in.ExpiresAt.Get()
	switch {
	case in.ExpiresIn != nil && hasTime:
		return nil, iam.Invalid("/expires_in", "conflict", "say expires_in or expires_at, not both")
	case in.ExpiresIn != nil:
		d, err := duration("/expires_in", *in.ExpiresIn)
		return &iam.Expiry{In: d}, err
	}
	return expiry(in.ExpiresAt)
}

// expiry reads when a key ends; null is never.
func expiry(at api.Optional[api.Time]) (*iam.Expiry, error) {
	value, set := at.Get()
	switch {
	case !set:
		return nil, nil
	case value == nil:
		return &iam.Expiry{}, nil
	case value.IsZero(): // package iam would read it as never
		return nil, iam.Invalid("/expires_at", "in_the_past", "must be in the future")
	}
	return &iam.Expiry{At: value.Time}, nil
}

func keyPatch(in api.UpdateKey) (iam.KeyPatch, error) {
	ends, err := expiry(in.ExpiresAt)
	return iam.KeyPatch{
		Name: in.Name, Expiry: ends, Limit: optional(in.Limit), AllowedNetworks: optional(in.AllowedNetworks),
	}, err
}

// optional returns nil for a member that is absent.
func optional[T any](o api.Optional[T]) *iam.Optional[T] {
	value, set := o.Get()
	if !set {
		return nil
	}
	return &iam.Optional[T]{Value: value}
}
