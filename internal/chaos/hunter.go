package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// hunter leads one subject after the other through its life: it makes keys, waits
// until they are accepted, takes power from them and gives it back, each through
// some node, and ends them at last.
type hunter struct {
	name   string
	run    *Run
	random *rand.Rand
	home   string // the account of the keys that are made singly
	made   int
}

// permission is what keys are asked for where a role is narrowed.
const permission = "tickets:write"

// accountKeys is how many keys an account has that is revoked as a whole.
const accountKeys = 12

type fields map[string]any

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

// errRefused says that a node has refused what is always allowed.
var errRefused = errors.New("refused")

// hunt leads subjects through their lives until begin ends. What has begun is
// led to its end, unless rest ends before.
func (h *hunter) hunt(begin, rest context.Context) {
	all := lives()
	for begin.Err() == nil {
		s, acts, err := all[h.random.IntN(len(all))](h, begin)
		if err == nil {
			err = h.lead(rest, s, acts)
		}
		if err != nil && begin.Err() == nil {
			h.run.note(err)
		}
	}
}

// lead leads a subject to its end.
func (h *hunter) lead(ctx context.Context, s *Subject, acts []act) error {
	h.run.board.Put(s, hot)
	defer h.run.retire(s)
	select {
	case <-s.accepted:
	case <-time.After(2 * h.run.plan.TTL): // other nodes may be away
	}
	for _, a := range acts {
		h.run.board.Put(s, warm)
		if err := h.perform(ctx, s, a); err != nil {
			return err
		}
		h.run.board.Put(s, hot)
		_ = pause(ctx, around) // its end is seen by what comes next
	}
	return nil
}

// perform calls for an act, through one node after the other, until one confirms
// that it is done.
func (h *hunter) perform(ctx context.Context, s *Subject, a act) error {
	for {
		c := Change{What: a.what, Node: h.random.IntN(len(h.run.clients)), Reads: a.reads, Ends: a.ends}
		c.Called = h.run.clock.Now()
		r := h.run.clients[c.Node].Change(ctx, a.method, a.path, a.in)
		c.Returned, c.Outcome = h.run.clock.Now(), r.outcome()
		if c.Outcome == Confirmed {
			c.By = r.by()
		}
		s.changed(c)
		switch {
		case c.Outcome == Confirmed && !r.confirmed():
			return fmt.Errorf("%s returned success without a confirmed receipt: %s", a.what, r.text)
		case c.Outcome == Confirmed:
			return nil
		case c.Outcome == Refused:
			return fmt.Errorf("%w: %s: %d %s", errRefused, a.what, r.status, r.text)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s: the last answer was %d %s: %w", a.what, r.status, r.text, err)
		}
	}
}

// create makes something, under another name each time until some node says that
// it is done.
func (h *hunter) create(ctx context.Context, path string, in fields) (reply, Change, error) {
	for {
		h.made++
		in["name"] = fmt.Sprintf("%s-%d", h.name, h.made)
		c := Change{What: "create", Node: h.random.IntN(len(h.run.clients)), Reads: Valid, Called: h.run.clock.Now()}
		r := h.run.clients[c.Node].Change(ctx, http.MethodPost, path, in)
		c.Returned, c.Outcome = h.run.clock.Now(), r.outcome()
		switch c.Outcome {
		case Confirmed:
			return r, c, nil
		case Refused:
			return r, c, fmt.Errorf("%w: create at %s: %d %s", errRefused, path, r.status, r.text)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return r, c, err
		}
	}
}

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
	for range accountKeys {
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
		{"narrow role", http.MethodPatch, path, fields{"permissions": []string{"tickets:read"}}, PermissionDenied, false},
		{"widen role", http.MethodPatch, path, fields{"permissions": []string{permission}}, Valid, false},
		revokeKey(r.ID),
	}, nil
}
