package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// maxDetails is how many sources a key has, and how many asks on a day, before the
// least recent ones are summed.
const maxDetails = 100

// addDetails adds the sources and asks of a report, and returns the keys that may
// have more of them now: those with a row that was not there, where the database
// says so, and else all of them.
func (t *tx) addDetails(ctx context.Context, from origin, s sums) ([]string, error) {
	grown := s.detailed()
	all := slices.Concat(sourceStatements(t.store.words, from, s.sources), askStatements(t.store.words, s.asks))
	if made := t.store.words.made; made != "" {
		grown = nil
		for i, st := range all {
			all[i] = st.telling(made, &grown)
		}
	}
	if err := t.writeAll(ctx, all); err != nil {
		return nil, err
	}
	if err := t.flush(ctx); err != nil {
		return nil, err
	}
	slices.Sort(grown)
	return slices.Compact(grown), nil
}

// telling has a statement that adds rows of keys append to keys those for which it
// made one; made is the condition for that.
func (st statement) telling(made string, keys *[]string) statement {
	st.text = `
		WITH added AS (` + st.text + ` RETURNING key_id, ` + made + ` AS made)
		SELECT COALESCE(array_agg(DISTINCT key_id), '{}') FROM added WHERE made`
	st.scan = func(row scanner) error {
		var some []string
		if err := row.Scan(&some); err != nil {
			return err
		}
		*keys = append(*keys, some...)
		return nil
	}
	return st
}

// keepWithin sums what a report made too many, of keys whose details have grown. Their
// rows in usage_last are this transaction's, so that nobody else adds to what is looked
// at. What was summed is looked at once more: sums of asks can be too many as well, and
// theirs are one.
func (t *tx) keepWithin(ctx context.Context, grown []string, day int64) error {
	for range 2 {
		var summed []string
		for chunk := range chunks(grown) {
			full, err := t.tooMany(ctx, chunk, day)
			if err != nil {
				return err
			}
			summed = append(summed, full...)
		}
		for some := range chunks(summed) {
			if err := t.sumSources(ctx, some); err != nil {
				return err
			}
			if err := t.sumAsks(ctx, some, day); err != nil {
				return err
			}
		}
		grown = summed
	}
	return nil
}

// tooMany returns which of some keys have too many sources, or asks on one day
// since a day.
func (t *tx) tooMany(ctx context.Context, keys []string, day int64) ([]string, error) {
	w := &where{}
	w.in("key_id", keys)
	most := w.arg(int64(maxDetails))
	return collect(ctx, t.reader, func(id *string) []any { return []any{id} }, `
		SELECT key_id FROM usage_sources WHERE others = 0 AND `+w.String()+`
		GROUP BY key_id HAVING COUNT(*) > `+most+`
		UNION
		SELECT key_id FROM usage_asks WHERE day >= `+w.arg(day)+` AND `+w.String()+`
		GROUP BY key_id, day, others HAVING COUNT(*) > `+most+`
		ORDER BY 1`, w.args...)
}

// beyond returns those of rows that come after the first [maxDetails] of a group.
func beyond[T any](rows []T, same func(a, b T) bool) []T {
	var rest []T
	first := 0
	for i := range rows {
		if !same(rows[first], rows[i]) {
			first = i
		}
		if i-first >= maxDetails {
			rest = append(rest, rows[i])
		}
	}
	return rest
}

const sourceColumns = `key_id, others, ip, user_agent, node, first_at, last_at, COALESCE(last_ok_at, 0), ok, refused, gap, gap_before, gap_period, via`

func sourceFields(u *sourceUse) []any {
	return []any{
		&u.key, yes{&u.others}, &u.ip, &u.userAgent, &u.node, &u.first, &u.last, &u.lastOK, &u.ok, &u.refused,
		&u.gap, &u.before, &u.epoch, &u.via,
	}
}

// sumSources sums the sources of keys that are too many. That one was not heard of
// until now is a gap too, for when it is heard of again it is a new one.
func (t *tx) sumSources(ctx context.Context, keys []string) error {
	w := &where{}
	w.in("key_id", keys)
	all, err := collect(ctx, t.reader, sourceFields, `
		SELECT `+sourceColumns+` FROM usage_sources WHERE others = 0 AND `+w.String()+`
		ORDER BY key_id, last_at DESC, ip, user_agent`, w.args...)
	if err != nil {
		return err
	}
	newest := map[string]int64{}
	for _, u := range all {
		newest[u.key] = max(newest[u.key], u.last)
	}
	others := map[string]sourceUse{}
	var gone []statement
	for _, u := range beyond(all, func(a, b sourceUse) bool { return a.key == b.key }) {
		gone = append(gone, statement{
			text: `DELETE FROM usage_sources WHERE key_id = $1 AND others = 0 AND ip = $2 AND user_agent = $3`,
			args: []any{u.key, u.ip, u.userAgent},
		})
		now := newest[u.key]
		u.gap = max(u.longest(now), now-u.last)
		u.source, u.epoch = source{key: u.key, others: true}, now/gapPeriod
		others[u.key] = u.with(others[u.key])
	}
	if err := t.writeAll(ctx, gone); err != nil {
		return err
	}
	return t.writeAll(ctx, sourceStatements(t.store.words, origin{}, inOrder(others, func(a, b sourceUse) int { return a.compare(b.source) })))
}

const askColumns = `key_id, day, others, ask, principal_id, last_at, ok, refused`

func askFields(u *askUse) []any {
	return []any{&u.key, &u.day, yes{&u.others}, &u.ask.ask, &u.principal, &u.last, &u.ok, &u.refused}
}

// sumAsks sums the asks of keys that are too many on one day: first without their
// ids, and when those are too many as well, all in one.
func (t *tx) sumAsks(ctx context.Context, keys []string, day int64) error {
	w := &where{}
	w.in("key_id", keys)
	w.add("day >= ?", day)
	all, err := collect(ctx, t.reader, askFields, `
		SELECT `+askColumns+` FROM usage_asks WHERE `+w.String()+`
		ORDER BY key_id, day, others, last_at DESC, ask`, w.args...)
	if err != nil {
		return err
	}
	others := map[ask]askUse{}
	var gone []statement
	for _, u := range beyond(all, func(a, b askUse) bool { return a.key == b.key && a.day == b.day && a.others == b.others }) {
		gone = append(gone, statement{
			text: `DELETE FROM usage_asks WHERE key_id = $1 AND day = $2 AND others = $3 AND ask = $4`,
			args: []any{u.key, u.day, bit(u.others), u.ask.ask},
		})
		u.ask = u.ask.general()
		others[u.ask] = u.with(others[u.ask])
	}
	if err := t.writeAll(ctx, gone); err != nil {
		return err
	}
	return t.writeAll(ctx, askStatements(t.store.words, inOrder(others, func(a, b askUse) int { return a.compare(b.ask) })))
}

func inOrder[K cmp.Ordered | ask, V any](all map[K]V, compare func(a, b V) int) []V {
	return slices.SortedFunc(maps.Values(all), compare)
}
