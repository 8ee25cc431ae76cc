package iam

import (
	"context"
	"fmt"
)

// Question asks whether a principal, or one key of it, may do something.
type Question struct {
	Principal string // id, or the name of a service account
	Key       KeyID  // or this
	Permission
}

// Answer says yes or no, and why, in words for an admin.
type Answer struct {
	Allowed bool
	Because []string
}

func (a *Answer) no(format string, args ...any) {
	a.Allowed = false
	a.Because = append(a.Because, fmt.Sprintf(format, args...))
}

// Check explains what a principal or a key may do. It changes nothing and is not
// a verification: it does not look at networks.
func (s *Service) Check(ctx context.Context, c Caller, ws string, q Question) (Answer, error) {
	in, err := s.reading(ctx, c, ws, ReadRoles, aim("principal", q.Principal))
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Allowed: true}
	p, err := s.asked(ctx, in, q, &answer)
	if err != nil {
		return Answer{}, err
	}
	switch p.State {
	case Inactive, Removed:
		answer.no("%s is %s", p.Name, p.State)
	case Paused:
		answer.no("%s is paused", p.Name)
	}
	if g, ok := p.Role.Permissions.granting(q.Permission); ok {
		answer.Because = append(answer.Because, fmt.Sprintf("the role %s grants %s", p.Role.Name, g))
	} else {
		answer.no("the role %s grants nothing that covers %s", p.Role.Name, q.Permission)
	}
	return answer, nil
}

// asked looks up the principal that a question is about, and says what the key
// has to do with the answer.
func (s *Service) asked(ctx context.Context, ws WorkspaceID, q Question, answer *Answer) (Principal, error) {
	if q.Key == "" {
		return s.Store.Principal(ctx, ws, q.Principal)
	}
	key, err := s.Store.Key(ctx, ws, q.Key)
	if err != nil {
		return Principal{}, err
	}
	switch {
	case key.Revoked != nil:
		answer.no("the key is revoked")
	case key.Pauses != "":
		answer.no("the key is paused")
	case key.expired(s.Now()):
		answer.no("the key has expired")
	}
	if key.Limit != nil {
		if g, ok := key.Limit.granting(q.Permission); ok {
			answer.Because = append(answer.Because, fmt.Sprintf("the key's limit includes %s", g))
		} else {
			answer.no("the key's limit does not include %s", q.Permission)
		}
	}
	return key.Principal, nil
}

// granting returns the grant of the set that allows p.
func (ps Permissions) granting(p Permission) (Grant, bool) {
	for _, g := range ps.grants {
		if g.Allows(p) {
			return g, true
		}
	}
	return Grant{}, false
}
