package cli

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/token"
)

// waitLong says what it is to wait for a rotation.
const waitLong = "With --wait the exit code is 0 when nobody needs the old key any more, as far as every server knows; 7 when the\n" +
	"deadline has passed before, and 1 when the rotation was cancelled. To stop waiting does not stop the rotation."

// newRotation is what the flags of key rotate say.
type newRotation struct {
	in       api.StartRotation
	expires  string
	quiet    string
	deadline string
	wait     bool
	out      secretOut
}

func (a *app) keyRotate() *cobra.Command {
	var r newRotation
	cmd := a.leaf(command{
		use: "rotate KEY", short: "Make a key's successor; both work until the old one is known to be quiet",
		long: "The new key has the limit, networks, metadata and lifetime of the old one, and its value is shown once. The\n" +
			"server goes on with the rotation whoever watches: postern rotation get. self is the key that asks.\n" + waitLong,
		examples: [2]string{
			"postern key rotate support-bot-prod/nightly --out-header new.h --auto-revoke --quiet-for 24h --deadline 7d",
			"postern key rotate self --quiet-for 1h --field value",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			if err := r.settle(a); err != nil {
				return err
			}
			if err := r.prepare(a); err != nil {
				return err
			}
			defer r.out.close()
			path, err := a.keyPath(ctx, s, args[0])
			if err != nil {
				return err
			}
			return a.rotate(ctx, s, path, r)
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&r.expires, "expires-in", "", "how long the new key is to live, such as 90d; when not given, as long as the old one was to")
	fs.StringVar(&r.quiet, "quiet-for", "", "for how long the old key must be quiet; when not given, the policy's, or twice the longest gap seen")
	fs.BoolVar(&r.in.AutoRevoke, "auto-revoke", false, "revoke the old key when it has been quiet for that long, never before")
	fs.StringVar(&r.deadline, "deadline", "", "when the rotation is overdue: in a while such as 7d, or at a time; nothing is revoked by it")
	fs.BoolVar(&r.wait, "wait", false, "wait until it is ready, or over with --auto-revoke, and tell who has not moved")
	r.out.register(fs)
	return cmd
}

// settle turns the flags into the body of the call.
func (r *newRotation) settle(a *app) error {
	if r.expires != "" {
		r.in.ExpiresIn = &r.expires
	}
	if r.quiet != "" {
		r.in.QuietFor = &r.quiet
	}
	if r.deadline != "" {
		at, err := a.future("deadline", r.deadline)
		if err != nil {
			return err
		}
		r.in.Deadline = &at
	}
	return nil
}

// valueField is where the value of the new key is in the answer. --field value is
// short for it.
const valueField = "new_key.value"

// prepare makes sure that the value will have a place to go.
func (r *newRotation) prepare(a *app) error {
	if a.global.field == valueField {
		a.global.field = "value"
	}
	if err := r.out.prepare(a, "value"); err != nil {
		return err
	}
	if a.global.field == "value" {
		a.global.field = valueField
	}
	return nil
}

// rotate starts a rotation, shows the value of the new key once, and stays for the
// end if that is wanted.
func (a *app) rotate(ctx context.Context, s session, path string, r newRotation) error {
	watcher, err := a.watcherOf(ctx, s, path, r.wait)
	if err != nil {
		return err
	}
	begun, raw, err := call[api.StartedRotation](ctx, s, http.MethodPost, path+"/rotations", r.in)
	if err != nil {
		return err
	}
	if err := r.out.deliver(a, token.NewSecret(begun.NewKey.Value), begun.NewKey.ID); err != nil {
		return err
	}
	if err := a.showRotated(begun, raw, r.out.toFiles()); err != nil || !r.wait {
		return err
	}
	end, err := a.watchRotation(ctx, watcher(begun), s.path(rotationsPart, begun.Rotation.ID))
	if err != nil {
		return err
	}
	return end.verdict()
}

// watcherOf returns whom to watch a rotation as. A key that is being rotated must
// not be used for that: it would never be quiet. Its successor is.
func (a *app) watcherOf(ctx context.Context, s session, path string, wait bool) (func(api.StartedRotation) session, error) {
	same := func(api.StartedRotation) session { return s }
	if !wait {
		return same, nil
	}
	self, _, err := call[api.Key](ctx, s, http.MethodGet, "/v1/keys/self", nil)
	if err != nil {
		return nil, err
	}
	return func(begun api.StartedRotation) session {
		if begun.Rotation.OldKey.ID != self.ID {
			return s
		}
		client := *s.Client
		client.Key = token.NewSecret(begun.NewKey.Value)
		successor := s
		successor.Client = &client
		return successor
	}, nil
}

func (a *app) showRotated(begun api.StartedRotation, raw json.RawMessage, hide bool) (err error) {
	if hide {
		if raw, err = json.Marshal(struct {
			Rotation api.Rotation `json:"rotation"`
			NewKey   api.Key      `json:"new_key"`
			Revision int64        `json:"revision"`
		}{begun.Rotation, begun.NewKey.Key, begun.Revision}); err != nil {
			return err
		}
	}
	if a.global.field != "" || a.global.output != formatTable {
		return a.showJSON(raw)
	}
	if raw, err = json.Marshal(begun.Rotation); err != nil {
		return err
	}
	columns := rotationColumns()
	if !hide {
		columns = append(columns, column[api.Rotation]{name: "value", text: func(api.Rotation) string { return begun.NewKey.Value }})
	}
	if err := show(a, raw, columns); err != nil {
		return err
	}
	if !hide {
		a.note("The value is shown this once. Keep it now.")
	}
	a.next("postern rotation get %s --wait", begun.Rotation.ID)
	return nil
}
