package store

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// rateWindow is over how long uses are counted to know how many there are in a
// second. It is the length of a step of window_at.
const rateWindow = 10 * time.Second

// windowOf returns the number of the window that a time is in.
func windowOf(at time.Time) int64 { return at.UnixMicro() / rateWindow.Microseconds() }

// usesIn returns how many uses a report tells of.
func usesIn(r iam.UsageReport) (n int64) {
	for _, k := range r.Keys {
		for _, m := range k.Minutes {
			n += m.OK + m.Refused
		}
	}
	return n
}

// counted is what a reporter counted lately, as it is written down.
type counted struct {
	reporter, name       string
	window, uses, before int64
}

// UseRates implements [iam.Reader].
func (r reader) UseRates(ctx context.Context) ([]iam.UseRate, error) {
	now := r.clock()
	found, err := collect(ctx, r, func(c *counted) []any {
		return []any{&c.reporter, &c.name, &c.window, &c.uses, &c.before}
	}, `SELECT id, CASE WHEN kind = '`+iam.VerifierNode+`' THEN '' ELSE name END, window_at, window_uses, window_before FROM usage_reporters WHERE ended_at IS NULL AND window_at >= $1 ORDER BY id`,
		windowOf(now)-1)
	if err != nil {
		return nil, fmt.Errorf("read how often keys are used: %w", err)
	}
	rates := make([]iam.UseRate, len(found))
	for i, c := range found {
		rates[i] = iam.UseRate{Reporter: c.reporter, Node: c.name, PerSecond: c.perSecond(now)}
	}
	return rates, nil
}

// perSecond returns how many uses there are in a second, over the last window: of
// the one before, what is not yet over.
func (c counted) perSecond(now time.Time) float64 {
	step := rateWindow.Microseconds()
	left := 1 - float64(now.UnixMicro()%step)/float64(step)
	uses := float64(c.uses) * left
	if c.window >= windowOf(now) {
		uses = float64(c.uses) + float64(c.before)*left
	}
	return uses / rateWindow.Seconds()
}
