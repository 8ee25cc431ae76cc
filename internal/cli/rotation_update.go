package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
)

// judgement is what the flags of rotation update say.
type judgement struct {
	quiet, deadline string
	auto, noAuto    bool
}

// learnt and none are what flags say that take a value away.
const (
	learnt = "learnt"
	none   = "none"
)

func (a *app) rotationUpdate() *cobra.Command {
	var j judgement
	var p patience
	cmd := a.leaf(command{
		use: "update ROTATION", short: "Change when a rotation under way may end",
		long: namedBy + " What is not said stays as it is. A shorter quiet period may make the rotation\n" +
			"ready at once, and with it the old key revoked where that was asked for.",
		examples: [2]string{
			"postern rotation update support-bot-prod/nightly --quiet-for 24h --deadline 7d",
			"postern rotation update support-bot-prod/nightly --quiet-for learnt --no-auto-revoke --deadline none --json",
		},
		run: func(ctx context.Context, cmd *cobra.Command, args []string) error {
			in, err := j.body(a, cmd)
			if err != nil {
				return err
			}
			s, path, err := p.rotation(ctx, a, args[0])
			if err != nil {
				return err
			}
			return a.turnRotation(ctx, s, http.MethodPatch, path, in, judgedWords)
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&j.quiet, "quiet-for", "", "for how long the old key must be quiet, 1s to 30d; "+learnt+": the policy's, or twice the longest gap seen")
	fs.BoolVar(&j.auto, "auto-revoke", false, "revoke the old key when it has been quiet for that long, never before")
	fs.BoolVar(&j.noAuto, "no-auto-revoke", false, "leave it to somebody to finish the rotation")
	fs.StringVar(&j.deadline, "deadline", "", "when the rotation is overdue: in a while such as 7d, at a time, or "+none+"; nothing is revoked by it")
	p.register(fs)
	return cmd
}

// body turns the flags into the body of the call.
func (j judgement) body(a *app, cmd *cobra.Command) (api.UpdateRotation, error) {
	in := api.UpdateRotation{AutoRevoke: given(cmd, "auto-revoke", j.auto)}
	if off := given(cmd, "no-auto-revoke", !j.noAuto); off != nil {
		if in.AutoRevoke != nil {
			return in, usagef("--auto-revoke and --no-auto-revoke say opposite things")
		}
		in.AutoRevoke = off
	}
	switch quiet := given(cmd, "quiet-for", j.quiet); {
	case quiet == nil:
	case *quiet == learnt:
		in.QuietFor = api.Null[string]()
	default:
		in.QuietFor = api.Value(*quiet)
	}
	switch deadline := given(cmd, "deadline", j.deadline); {
	case deadline == nil:
	case *deadline == none:
		in.Deadline = api.Null[api.Time]()
	default:
		at, err := a.future("deadline", *deadline)
		if err != nil {
			return in, err
		}
		in.Deadline = api.Value(at)
	}
	if in.QuietFor.IsZero() && in.AutoRevoke == nil && in.Deadline.IsZero() {
		return in, usagef("say what to change: --quiet-for, --auto-revoke, --no-auto-revoke or --deadline")
	}
	return in, nil
}

// judgedWords say when a rotation may end.
func judgedWords(r api.Rotation) string {
	period, by := r.QuietFor, "when somebody finishes it"
	if r.QuietForLearnt {
		period += " (" + learnt + ")"
	}
	if r.AutoRevoke {
		by = "by itself"
	}
	return fmt.Sprintf("The rotation of %s is %s. It ends %s, once the old key has been quiet for %s; deadline: %s.",
		rotationWords(r), r.State, by, period, whenOr(r.Deadline, none))
}
