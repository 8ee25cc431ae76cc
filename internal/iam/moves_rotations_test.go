package iam_test

import (
	"context"
	"time"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
)

// rotate starts a rotation: of a key, or of the caller's own.
func (g *game) rotate(rt *rapid.T) {
	c, id := pick(rt, "caller", g.callers), pick(rt, "key", g.keyIDs)
	in := iam.NewRotation{
		ExpiresIn:  rapid.SampledFrom([]time.Duration{0, time.Hour, 4000 * time.Hour}).Draw(rt, "lifetime"),
		AutoRevoke: rapid.Bool().Draw(rt, "auto-revoke"), QuietFor: time.Minute,
	}
	self := rapid.IntRange(0, 2).Draw(rt, "self") == 0
	name := "rotate key"
	if self {
		name = "rotate self"
	}
	g.try(name, c, nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		start := func() (iam.Done[iam.StartedRotation], error) {
			if self {
				d, shown, err := g.RotateSelf(ctx, c, in)
				if err == nil {
					g.add(d.Value.Key.ID, g.verify(shown).Caller())
				}
				return d, err
			}
			d, shown, err := g.StartRotation(ctx, c, "-", id, in)
			if err == nil {
				g.add(d.Value.Key.ID, g.verify(shown).Caller())
			}
			return d, err
		}
		d, err := start()
		if err == nil {
			g.rotations = append(g.rotations, d.Value.Rotation.ID)
		}
		return d.Receipt, err
	})
}

// turnRotation ends a rotation, or tries to do without its old key.
func (g *game) turnRotation(rt *rapid.T) {
	c, id := pick(rt, "caller", g.callers), pick(rt, "rotation", g.rotations)
	turn := rapid.SampledFrom([]string{"try", "try", "shorten", "update", "cancel", "abandon", "finish", "force"}).Draw(rt, "turn")
	g.try(turn+" rotation", c, nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		var d iam.Done[iam.JudgedRotation]
		var err error
		switch turn {
		case "try":
			d, err = g.TryWithout(ctx, c, "-", id, time.Hour)
		case "shorten":
			d, err = g.TryWithout(ctx, c, "-", id, time.Second)
		case "update":
			d, err = g.UpdateRotation(ctx, c, "-", id, iam.RotationPatch{
				QuietFor: &iam.Optional[time.Duration]{Value: new(time.Second)}, AutoRevoke: new(true),
			})
		case "cancel":
			d, err = g.CancelRotation(ctx, c, "-", id, iam.KeepBoth)
		case "abandon":
			d, err = g.CancelRotation(ctx, c, "-", id, iam.KeepOld)
		default:
			d, err = g.FinishRotation(ctx, c, "-", id, turn == "force")
		}
		return d.Receipt, err
	})
}

// advanceRotations lets the server do what is due, which gives nobody anything that
// they did not have before.
func (g *game) advanceRotations(*rapid.T) {
	ctx := g.t.Context()
	if err := g.AdvanceRotations(ctx, "node-1", func(context.Context) error { return nil }); err != nil {
		g.t.Errorf("advance rotations: got error %v, want none", err)
	}
	if _, err := iam.Await(ctx, g.Fence, g.head()); err != nil {
		g.t.Errorf("wait for what was advanced: %v", err)
	}
	g.alike(g.look())
}
