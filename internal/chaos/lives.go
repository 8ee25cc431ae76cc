package chaos

import (
	"context"
	"net/http"
)

// act is something that is done to a subject.
type act struct {
	what, method, path string
	in                 fields
	reads              Code // what its keys read from then on
	ends               bool
}

// life makes a subject and says what is to be done to it. The last act ends it.
type life func(h *hunter, ctx context.Context) (*Subject, []act, error)

// lives are what can happen to keys, each as often as it is listed.
func lives() []life {
	key, paused, account, narrowed := (*hunter).key, (*hunter).pausedKey, (*hunter).account, (*hunter).narrowedRole
	return []life{key, key, key, key, key, key, paused, paused, account, account, narrowed}
}

// permission is what keys are asked for where a role is narrowed, and by gateways,
// whatever it is that the service is asked for.
const permission = "tickets:read"

const workspace = "/v1/workspaces/-/"

// newKey makes a key of an account.
func (h *hunter) newKey(ctx context.Context, account string) (reply, Change, error) {
	return h.create(ctx, workspace+"service_accounts/"+account+"/keys", fields{})
}

func (h *hunter) newAccount(ctx context.Context, role string) (id string, err error) {
	r, _, err := h.create(ctx, workspace+"service_accounts", fields{"role": role})
	return r.ID, err
}

func revokeKey(id string) act {
	return act{"revoke key", http.MethodPost, workspace + "keys/" + id + "/revoke", fields{}, Revoked, true}
}

func (h *hunter) key(ctx context.Context) (*Subject, []act, error) {
	if h.home == "" {
		var err error
		if h.home, err = h.newAccount(ctx, "operator"); err != nil {
			return nil, nil, err
		}
	}
	r, made, err := h.newKey(ctx, h.home)
	if err != nil {
		return nil, nil, err
	}
	return newSubject(r.ID, []question{{Key: r.Value}}, made), []act{revokeKey(r.ID)}, nil
}

func (h *hunter) pausedKey(ctx context.Context) (*Subject, []act, error) {
	s, end, err := h.key(ctx)
	if err != nil {
		return nil, nil, err
	}
	path := workspace + "keys/" + s.history.Subject
	return s, append([]act{
		{"pause key", http.MethodPost, path + "/pause", fields{}, Paused, false},
		{"resume key", http.MethodPost, path + "/resume", fields{}, Valid, false},
	}, end...), nil
}

func (h *hunter) account(ctx context.Context) (*Subject, []act, error) {
	id, err := h.newAccount(ctx, "operator")
	if err != nil {
		return nil, nil, err
	}
	var questions []question
	var made Change
	for range h.run.plan.Account {
		var r reply
		if r, made, err = h.newKey(ctx, id); err != nil {
			return nil, nil, err
		}
		questions = append(questions, question{Key: r.Value})
	}
	end := act{"revoke account", http.MethodPost, workspace + "service_accounts/" + id + "/revoke", fields{}, Inactive, true}
	return newSubject(id, questions, made), []act{end}, nil
}

func (h *hunter) narrowedRole(ctx context.Context) (*Subject, []act, error) {
	role, _, err := h.create(ctx, workspace+"roles", fields{"permissions": []string{permission}})
	if err != nil {
		return nil, nil, err
	}
	account, err := h.newAccount(ctx, role.ID)
	if err != nil {
		return nil, nil, err
	}
	r, made, err := h.newKey(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	path := workspace + "roles/" + role.ID
	return newSubject(r.ID, []question{{r.Value, []string{permission}}}, made), []act{
		{"narrow role", http.MethodPatch, path, fields{"permissions": []string{"tickets:write"}}, PermissionDenied, false},
		{"widen role", http.MethodPatch, path, fields{"permissions": []string{permission}}, Valid, false},
		revokeKey(r.ID),
	}, nil
}
