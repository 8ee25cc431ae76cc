package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

// keyUse is a line of key watch that tells of uses: those from one source since the
// last line about it.
type keyUse struct {
	ID      string      `json:"id"`
	Type    string      `json:"type"`
	Name    string      `json:"name"`
	Action  string      `json:"action"` // key.used, which the audit log does not have
	At      api.Time    `json:"at"`
	Source  *api.Source `json:"source"`
	Others  bool        `json:"others"` // the source stands for those that were too many
	OK      int64       `json:"ok"`
	Refused int64       `json:"refused"`
}

// sighting is what a line of key watch shows: a change, as the stream tells it, or
// uses.
type sighting struct {
	keyUse
	After map[string]any `json:"after"`
}

func sightingColumns() []column[sighting] {
	return []column[sighting]{
		{name: "at", text: func(x sighting) string { return when(x.At) }},
		{name: "action", text: func(x sighting) string { return x.Action }},
		{name: "name", text: func(x sighting) string { return cmp.Or(x.Name, x.ID) }},
		{name: "detail", text: func(x sighting) string {
			if x.Source == nil {
				return fields(x.After)
			}
			return fmt.Sprintf("%d accepted, %d refused from %s", x.OK, x.Refused, sourceName(x.Source.IP, x.Source.UserAgent, x.Others))
		}},
	}
}

func (a *app) keyWatch() *cobra.Command {
	var long howLong
	cmd := a.leaf(command{
		use: "watch [KEY]", short: "Tell what happens to a key, and who uses it, while it happens",
		long: "It tells of the key, of its account and role where what the key can do changes, of its rotations, and every\n" +
			"second of its uses, by source; it ends with exit code 0 when the key has ended. Without a key it tells what is\n" +
			"done to all keys of the workspace. With --json each is one line.\n" + followWords,
		examples: [2]string{
			"postern key watch support-bot-prod/nightly --for 2s",
			"postern key watch --json --for 1s",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			w := &watch{s: s, out: liner[sighting]{a: a, columns: sightingColumns()}}
			if len(args) > 0 {
				if w.path, err = a.keyPath(ctx, s, args[0]); err != nil {
					return err
				}
			}
			return w.run(ctx, long)
		},
	})
	long.register(cmd.Flags())
	return cmd
}

// watch is a key that is watched, or all of a workspace.
type watch struct {
	s    session
	path string // of the key; empty: all
	key  api.Key

	rotations []string // ids of those that the key was seen in

	mu  sync.Mutex // guards out, and what it writes to
	out liner[sighting]
}

func (w *watch) run(ctx context.Context, long howLong) error {
	ctx, stop := context.WithCancel(ctx)
	var telling sync.WaitGroup
	defer telling.Wait()
	defer stop()
	if w.path != "" {
		if over, err := w.look(ctx); over || err != nil {
			return err
		}
		w.out.a.note("Watching %s of %s, which is %s.", w.key.Name, w.key.Principal.Name, w.key.State)
		path := w.s.path("keys", w.key.ID)
		known, err := w.uses(ctx, path)
		if err != nil {
			return err
		}
		use := keyUse{ID: w.key.ID, Type: "key", Name: w.key.Name, Action: "key.used"}
		telling.Go(func() { w.tellUses(ctx, path, use, known) })
	}
	o := postern.StreamOptions{Topics: []string{api.TopicKeys, api.TopicRotations}}
	return w.out.a.follow(ctx, w.s, long, o, w.heard)
}

// look reads the key, and reports whether it has ended.
func (w *watch) look(ctx context.Context) (over bool, err error) {
	if w.key, _, err = call[api.Key](ctx, w.s, http.MethodGet, w.path, nil); err != nil {
		return false, err
	}
	if w.key.Rotation != nil {
		w.rotations = append(w.rotations, *w.key.Rotation)
	}
	if w.key.State == "revoked" || w.key.State == "expired" {
		w.out.a.note("%s of %s is %s.", w.key.Name, w.key.Principal.Name, w.key.State)
		return true, nil
	}
	return false, nil
}

// heard deals with an event of the stream.
func (w *watch) heard(ctx context.Context, e postern.StreamEvent) (done bool, err error) {
	switch e.Name {
	case api.StreamEventReset:
		return false, errMissed(e)
	case api.StreamEventOpen:
		if w.path == "" {
			return false, nil
		}
		return w.look(ctx) // what happened before is not told
	case api.StreamEventKey, api.StreamEventPrincipal, api.StreamEventRole, api.StreamEventRotation:
		change, err := decode[api.StreamChange](e)
		if err != nil {
			return false, err
		}
		if w.path == "" {
			return false, w.print(e.Data)
		}
		return w.changed(ctx, change, e.Data)
	}
	return false, nil
}

// changed prints a change if it is one of the key, and reports whether the key has
// ended with it.
func (w *watch) changed(ctx context.Context, c api.StreamChange, raw json.RawMessage) (over bool, err error) {
	switch c.Type {
	case "rotation":
		if c.After["old_key"] == w.key.ID || c.After["new_key"] == w.key.ID {
			w.rotations = append(w.rotations, c.ID)
		}
		if slices.Contains(w.rotations, c.ID) {
			return false, w.print(raw)
		}
	case "role":
		before := w.key.Effective
		if over, err = w.look(ctx); err == nil && !slices.Equal(before, w.key.Effective) {
			err = w.print(raw)
		}
	default:
		if c.ID == w.key.ID || c.ID == w.key.Principal.ID {
			if err := w.print(raw); err != nil {
				return false, err
			}
			return w.look(ctx)
		}
	}
	return over, err
}

func (w *watch) print(raw json.RawMessage) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.print(raw)
}

// consumer is who uses a key, as far as that can be told apart.
type consumer struct {
	ip, userAgent string
	others        bool
}

// uses reads how often the key was used by each.
func (w *watch) uses(ctx context.Context, path string) (map[consumer]api.UsageSource, error) {
	u, _, err := call[api.KeyUsage](ctx, w.s, http.MethodGet, path+"/usage", nil)
	known := map[consumer]api.UsageSource{}
	for _, x := range u.Sources {
		known[consumer{x.IP, x.UserAgent, x.Others}] = x
	}
	return known, err
}

// tellUses prints what is new about the uses of the key until ctx ends. While no
// server answers it says nothing: the stream does.
func (w *watch) tellUses(ctx context.Context, path string, use keyUse, known map[consumer]api.UsageSource) {
	for wait(ctx, pollAgain) == nil {
		now, err := w.uses(ctx, path)
		if err != nil {
			continue
		}
		for at, x := range now {
			before := known[at]
			if x.OK == before.OK && x.Refused == before.Refused {
				continue
			}
			use.At, use.OK, use.Refused, use.Others = x.LastSeen, x.OK-before.OK, x.Refused-before.Refused, x.Others
			use.Source = &api.Source{IP: x.IP, UserAgent: x.UserAgent, Node: x.Node}
			raw, err := json.Marshal(use)
			if err == nil {
				err = w.print(raw)
			}
			if err != nil {
				return // whoever prints the changes hears of it too
			}
		}
		known = now
	}
}
