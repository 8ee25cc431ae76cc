package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const rotationsPart = "rotations"

func (a *app) rotationCommand() *cobra.Command {
	return a.group("rotation", "Rotations: from an old key to a new one while both work",
		a.rotationList(), a.rotationGet(), a.rotationUpdate(), a.rotationFinish(), a.rotationCancel(), a.rotationTry())
}

func rotationColumns() []column[api.Rotation] {
	return []column[api.Rotation]{
		{name: "id", text: func(r api.Rotation) string { return r.ID }},
		{name: "principal", text: func(r api.Rotation) string { return r.Principal.Name }},
		{name: "old_key", text: func(r api.Rotation) string { return rotatedKey(r.OldKey) }},
		{name: "new_key", text: func(r api.Rotation) string { return rotatedKey(r.NewKey) }},
		{name: "state", text: func(r api.Rotation) string { return r.State }},
		{name: "quiet_for", text: func(r api.Rotation) string { return r.QuietFor }},
		{name: "quiet_since", text: func(r api.Rotation) string { return whenOr(r.QuietSince, "") }},
		{name: "auto_revoke", text: func(r api.Rotation) string { return yesOrNo(r.AutoRevoke) }, detail: true},
		{name: "deadline", text: func(r api.Rotation) string { return whenOr(r.Deadline, "none") }, detail: true},
		{name: "started_at", text: func(r api.Rotation) string { return when(r.StartedAt) }},
		{name: "started_by", text: func(r api.Rotation) string { return actorName(r.StartedBy) }, detail: true},
		{name: "ended_at", text: func(r api.Rotation) string { return whenOr(r.EndedAt, "") }, detail: true},
		{name: "sources", text: func(r api.Rotation) string { return sources(r.Sources) }, detail: true},
		{name: "in_the_way", text: func(r api.Rotation) string { return blockers(r.Blockers) }, detail: true},
		{name: "refused", text: func(r api.Rotation) string { return refusals(r.Trial) }, detail: true},
	}
}

func yesOrNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// rotatedKey names a key of a rotation, and says when it does not work.
func rotatedKey(k api.RotatedKey) string {
	if k.State == string(iam.Active) {
		return k.Name
	}
	return k.Name + " (" + k.State + ")"
}

// sourceName names where a key is used from.
func sourceName(ip, agent string, others bool) string {
	return iam.RotationSource{IP: ip, UserAgent: agent, Others: others}.Words()
}

// sources says who has moved and who has not.
func sources(all []api.RotationSource) string {
	var words []string
	for _, s := range all {
		name := sourceName(s.IP, s.UserAgent, s.Others)
		if s.Moved {
			words = append(words, name+" has moved")
		} else {
			words = append(words, name+" has not")
		}
	}
	return strings.Join(words, "; ")
}

func blockers(all []api.RotationBlocker) string {
	words := make([]string, len(all))
	for i, b := range all {
		words[i] = b.Detail
	}
	return strings.Join(words, "; ")
}

// refusals says who was refused by the last trial of a rotation.
func refusals(t *api.RotationTrial) string {
	if t == nil {
		return ""
	}
	words := make([]string, len(t.Refused))
	for i, s := range t.Refused {
		words[i] = fmt.Sprintf("%s, %s", sourceName(s.IP, s.UserAgent, s.Others), count(s.Count, "time"))
	}
	return strings.Join(words, "; ")
}

// rotationWords names a rotation by its keys.
func rotationWords(r api.Rotation) string {
	return fmt.Sprintf("%s/%s to %s", r.Principal.Name, r.OldKey.Name, r.NewKey.Name)
}

func (a *app) rotationList() *cobra.Command {
	var state, principal string
	cmd := a.leaf(command{
		use: "list [ACCOUNT]", short: "List rotations, newest first", complete: a.accountNames,
		examples: [2]string{"postern rotation list", "postern rotation list support-bot-prod --state ready -o csv"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			if ref := append(args, principal)[0]; ref != "" {
				if principal, err = s.principalID(ctx, ref); err != nil {
					return err
				}
			}
			query := filters("state", state, "principal", principal)
			return list(ctx, a, s, s.path(rotationsPart), query, rotationColumns())
		},
	})
	cmd.Flags().StringVar(&state, "state", "", "only those that are waiting_for_first_use, overlapping, ready, overdue, completed or cancelled")
	cmd.Flags().StringVar(&principal, "principal", "", "only those of the keys of this account or member")
	a.completeFlag(cmd, "principal", a.accountNames)
	return cmd
}

// rotationPath returns the path of a rotation: by its id, or by a key that takes
// part in it, of which the last rotation is meant.
func (a *app) rotationPath(ctx context.Context, s session, ref string) (string, error) {
	if isID(iam.RotationPrefix, ref) {
		return s.path(rotationsPart, ref), nil
	}
	path, err := a.keyPath(ctx, s, ref)
	if err != nil {
		return "", err
	}
	key, _, err := call[api.Key](ctx, s, http.MethodGet, path, nil)
	if err != nil {
		return "", err
	}
	found, _, err := call[api.List[api.Rotation]](ctx, s, http.MethodGet,
		s.path(rotationsPart)+"?"+url.Values{"key_id": {key.ID}, "limit": {"1"}}.Encode(), nil)
	if err != nil {
		return "", err
	}
	if len(found.Data) == 0 {
		return "", failf(exitNotFound, "%s takes part in no rotation", safe(ref))
	}
	return s.path(rotationsPart, found.Data[0].ID), nil
}

const namedBy = "A rotation is named by its id or by one of its keys, as ACCOUNT/NAME."

func (a *app) rotationGet() *cobra.Command {
	var wait bool
	cmd := a.leaf(command{
		use: "get ROTATION", short: "Show a rotation: who uses which key, and what is in the way", long: namedBy + "\n" + waitLong,
		examples: [2]string{
			"postern rotation get support-bot-prod/nightly",
			"postern rotation get support-bot-prod/nightly --field state",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			path, err := a.rotationPath(ctx, s, args[0])
			if err != nil {
				return err
			}
			if !wait {
				_, raw, err := call[api.Rotation](ctx, s, http.MethodGet, path, nil)
				if err != nil {
					return err
				}
				return show(a, raw, rotationColumns())
			}
			end, err := a.watchRotation(ctx, s, path)
			if err != nil {
				return err
			}
			if err := show(a, end.raw, rotationColumns()); err != nil {
				return err
			}
			return end.verdict()
		},
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is ready, or over if the old key is revoked by itself")
	return cmd
}

// rotation returns a session as patient as it says, and the path of a rotation.
func (p *patience) rotation(ctx context.Context, a *app, ref string) (s session, path string, err error) {
	if s, err = p.session(ctx, a); err != nil {
		return s, "", err
	}
	path, err = a.rotationPath(ctx, s, ref)
	return s, path, err
}

// turnRotation does something to a rotation, and says what it was.
func (a *app) turnRotation(ctx context.Context, s session, method, path string, in any, words func(api.Rotation) string) error {
	out, raw, err := call[api.RotationAnswer](ctx, s, method, path, in)
	if err != nil {
		return err
	}
	if a.global.field != "" || a.global.output != formatTable {
		return a.showJSON(raw)
	}
	return a.say("%s %s", words(out.Rotation), receiptWords(out.Receipt))
}

func (a *app) rotationFinish() *cobra.Command {
	var in api.FinishRotation
	var p patience
	cmd := a.leaf(command{
		use: "finish ROTATION", short: "Revoke the old key, once nobody uses it any more; exit 6 if somebody may",
		long: namedBy + " With --force the old key is revoked whoever uses it.",
		examples: [2]string{
			"postern rotation finish support-bot-prod/nightly --force --confirm nightly",
			"postern rotation finish support-bot-prod/nightly --json",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, path, err := p.rotation(ctx, a, args[0])
			if err != nil {
				return err
			}
			if in.Force {
				r, _, err := call[api.Rotation](ctx, s, http.MethodGet, path, nil)
				if err != nil {
					return err
				}
				if err := a.confirm(ctx, "revoke", r.OldKey.Name); err != nil {
					return err
				}
			}
			return a.turnRotation(ctx, s, http.MethodPost, path+"/finish", in, func(r api.Rotation) string {
				return fmt.Sprintf("Revoked %s/%s.", r.Principal.Name, r.OldKey.Name)
			})
		},
	})
	cmd.Flags().BoolVar(&in.Force, "force", false, "revoke it all the same; asks for the old key's name, or --confirm NAME")
	p.register(cmd.Flags())
	return cmd
}

func (a *app) rotationCancel() *cobra.Command {
	var in api.CancelRotation
	var p patience
	cmd := a.leaf(command{
		use: "cancel ROTATION", short: "Give a rotation up, and keep the old key",
		long: namedBy,
		examples: [2]string{
			"postern rotation cancel self",
			"postern rotation cancel self --keep old --json",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, path, err := p.rotation(ctx, a, args[0])
			if err != nil {
				return err
			}
			return a.turnRotation(ctx, s, http.MethodPost, path+"/cancel", in, func(r api.Rotation) string {
				return fmt.Sprintf("Cancelled the rotation of %s/%s; %s is %s.", r.Principal.Name, r.OldKey.Name, r.NewKey.Name, r.NewKey.State)
			})
		},
	})
	cmd.Flags().StringVar(&in.Keep, "keep", string(iam.KeepBoth), "both keys, or only the old one: then the new one is revoked")
	p.register(cmd.Flags())
	return cmd
}

func (a *app) rotationTry() *cobra.Command {
	var in api.TryWithout
	var p patience
	var watch bool
	cmd := a.leaf(command{
		use: "try-without ROTATION", short: "Pause the old key for a while, and see who still needs it",
		long: namedBy + " The old key works again by itself when the time is over, whoever watches.\n" +
			"With --watch each refusal is told as it happens, and the exit code is 1 if there was one.",
		examples: [2]string{
			"postern rotation try-without support-bot-prod/nightly --for 1m",
			"postern rotation try-without support-bot-prod/nightly --for 2s --watch",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, path, err := p.rotation(ctx, a, args[0])
			if err != nil {
				return err
			}
			err = a.turnRotation(ctx, s, http.MethodPost, path+"/try_without", in, func(r api.Rotation) string {
				return fmt.Sprintf("Paused %s/%s until %s.", r.Principal.Name, r.OldKey.Name, whenTrialEnds(r))
			})
			if err != nil || !watch {
				return err
			}
			return a.watchTrial(ctx, s, path)
		},
	})
	cmd.Flags().StringVar(&in.For, "for", "5m", "how long, 1s to 1h")
	cmd.Flags().BoolVar(&watch, "watch", false, "stay until it is over, and tell who is refused")
	p.register(cmd.Flags())
	return cmd
}

func whenTrialEnds(r api.Rotation) string {
	if r.Trial == nil {
		return "it is over"
	}
	return when(r.Trial.EndsAt)
}
