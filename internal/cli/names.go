package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// Service accounts and roles are named to the server, which knows their names.
// What it addresses by id alone is looked up here: keys, members, invitations.

// candidate is a thing that a name may stand for.
type candidate struct{ id, words string }

// only returns the one thing that a name stands for. When there are several, the
// person has to choose.
func only(noun, ref string, found []candidate) (id string, err error) {
	switch len(found) {
	case 0:
		return "", failf(exitNotFound, "there is no %s %s", noun, safe(ref))
	case 1:
		return found[0].id, nil
	}
	words := fmt.Sprintf("%s could be any of these; use the id:", safe(ref))
	for _, c := range found {
		words += "\n  " + c.id + "  " + safe(c.words)
	}
	return "", failf(exitConflict, "%s", words)
}

func isID(prefix, ref string) bool {
	_, err := iam.ParseID(prefix, ref)
	return err == nil
}

// principalID returns the id of a service account, by its name, or of a member,
// by name or address.
func (s session) principalID(ctx context.Context, ref string) (string, error) {
	if isID(iam.ServiceAccountPrefix, ref) || isID(iam.MemberPrefix, ref) {
		return ref, nil
	}
	var found []candidate
	account, _, err := call[api.ServiceAccount](ctx, s, http.MethodGet, s.path(accountsPart, ref), nil)
	if err == nil {
		found = append(found, candidate{account.ID, "service account " + account.Name})
	} else if !isRefused(err) {
		return "", err
	}
	members, err := s.membersNamed(ctx, ref)
	if err != nil && !isRefused(err) {
		return "", err
	}
	return only("account or member", ref, append(found, members...))
}

// isRefused reports whether an answer says that there is nothing, or nothing
// that this caller may see.
func isRefused(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && (p.Code == api.CodeNotFound || p.Code == api.CodePermissionDenied)
}

func (s session) membersNamed(ctx context.Context, ref string) ([]candidate, error) {
	members, err := find(ctx, s, s.path("members"), url.Values{"q": {ref}, "state": {string(iam.Active)}}, func(m api.Member) bool {
		return m.Name == ref || strings.EqualFold(m.Email, ref)
	})
	var found []candidate
	for _, m := range members {
		found = append(found, candidate{m.ID, "member " + m.Name + " <" + m.Email + ">"})
	}
	return found, err
}

// memberID returns the id of a member, by name or address.
func (s session) memberID(ctx context.Context, ref string) (string, error) {
	if isID(iam.MemberPrefix, ref) {
		return ref, nil
	}
	found, err := s.membersNamed(ctx, ref)
	if err != nil {
		return "", err
	}
	return only("member", ref, found)
}

// keyPath returns the path of a key: by its id, as ACCOUNT/NAME, or by its name
// where only one key has it; self is the one that asks.
func (a *app) keyPath(ctx context.Context, s session, ref string) (string, error) {
	if ref == refSelf {
		return "/v1/keys/self", nil
	}
	if isID(iam.KeyPrefix, ref) {
		return s.path("keys", ref), nil
	}
	owner, name, qualified := strings.Cut(ref, "/")
	query := url.Values{"q": {ref}}
	if qualified {
		id, err := s.principalID(ctx, owner)
		if err != nil {
			return "", err
		}
		query = url.Values{"q": {name}, "principal": {id}}
	} else {
		name = ref
	}
	keys, err := find(ctx, s, s.path("keys"), query, func(k api.Key) bool { return k.Name == name })
	if err != nil {
		return "", err
	}
	var found []candidate
	for _, k := range keys {
		found = append(found, candidate{k.ID, k.Principal.Name + "/" + k.Name + "  " + k.State + "  " + k.Hint})
	}
	id, err := only("key", ref, found)
	return s.path("keys", id), err
}
