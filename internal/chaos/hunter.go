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

type fields map[string]any

// errRefused says that a node has refused what is always allowed.
var errRefused = errors.New("refused")

// hunt leads subjects through their lives until begin ends. What has begun is
// led to its end, unless rest ends before.
func (h *hunter) hunt(begin, rest context.Context) {
	all := lives()
	for begin.Err() == nil {
		s, acts, err := all[h.random.IntN(len(all))](h, begin)
		switch {
		case err == nil:
			err = h.lead(rest, s, acts)
		case begin.Err() != nil:
			return // it was not made, because it is late
		}
		if err != nil {
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
	case <-time.After(2 * h.run.plan.TTL): // nodes may be away; it does not count then
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
