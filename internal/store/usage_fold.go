package store

import (
	"context"
	"maps"
)

// folding is how far minutes have been added to their hours, and hours to days.
type folding struct{ minutes, hours place }

// place is one in the order in which points are added to those of a wider step: by
// time, and of one time by subject. What is before it, and at it, has been added.
type place struct {
	at    int64
	after string
}

func (p place) covers(q point) bool { return q.at < p.at || q.at == p.at && q.subject <= p.after }

func (p point) in(step int64) point { return point{p.subject, step, p.at - p.at%step} }

// takeFolding reads how far it is and lets nobody move on before the end.
func (t *tx) takeFolding(ctx context.Context) (folding, error) {
	return find(ctx, t.reader, "state of usage", func(f *folding) []any {
		return []any{&f.minutes.at, &f.minutes.after, &f.hours.at, &f.hours.after}
	}, `UPDATE usage_state SET one = 1 RETURNING minutes_to, minutes_after, hours_to, hours_after`)
}

// fold returns minutes together with the hours and days that they must be added to
// because the minutes before them have been. Whoever adds to no minute that is
// late need not look.
func (t *tx) fold(ctx context.Context, minutes map[point]counts) (map[point]counts, error) {
	late := false
	for p := range minutes {
		late = late || p.at+minuteStep <= t.Now().Add(-lateAfter).UnixMicro()
	}
	if !late {
		return minutes, nil
	}
	f, err := t.takeFolding(ctx)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(minutes)
	for p, c := range minutes {
		hour, day := p.in(hourStep), p.in(dayStep)
		if !f.minutes.covers(p) {
			continue
		}
		all[hour] = all[hour].plus(c)
		if f.hours.covers(hour) {
			all[day] = all[day].plus(c)
		}
	}
	return all, nil
}
