package store

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// gapPeriod is for how long the longest gap between two uses from one source is
// remembered at least, and twice that at most.
const gapPeriod = int64(30 * 24 * time.Hour / time.Microsecond)

// chunks yields parts of a list, of few different lengths, as [rowsAtOnce] says.
func chunks[T any](all []T) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(all) > 0 {
			n := rowsAtOnce(len(all))
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// inserts returns the statements that insert rows, many at a time. then says what
// becomes of those that are there.
func inserts[T any](d words, into string, rows []T, values func(T) []any, then string) []statement {
	if d.arrays {
		return arrayInserts(into, rows, values, then)
	}
	var all []statement
	for chunk := range chunks(rows) {
		var text strings.Builder
		var args []any
		text.WriteString(into + ` VALUES `)
		for i, row := range chunk {
			if i > 0 {
				text.WriteString(", ")
			}
			separator := "("
			for _, v := range values(row) {
				args = append(args, v)
				text.WriteString(separator + "$" + strconv.Itoa(len(args)))
				separator = ", "
			}
			text.WriteString(")")
		}
		all = append(all, statement{text: text.String() + then, args: args})
	}
	return all
}

// arrayInserts are [inserts] whose columns are one argument each, of texts or of
// numbers: to read thousands of arguments takes longer than to write their rows.
func arrayInserts[T any](into string, rows []T, values func(T) []any, then string) []statement {
	const most = 4096 // rows of a statement
	var all []statement
	for chunk := range slices.Chunk(rows, most) {
		var texts [][]string
		var numbers [][]*int64
		for i, row := range chunk {
			for column, v := range values(row) {
				if i == 0 {
					texts, numbers = append(texts, nil), append(numbers, nil)
				}
				switch v := v.(type) {
				case string:
					texts[column] = append(texts[column], v)
				case int64:
					numbers[column] = append(numbers[column], &v)
				default: // there is none
					numbers[column] = append(numbers[column], nil)
				}
			}
		}
		list, args := make([]string, len(texts)), make([]any, len(texts))
		for i := range list {
			list[i], args[i] = fmt.Sprintf("$%d::BIGINT[]", i+1), numbers[i]
			if texts[i] != nil {
				list[i], args[i] = fmt.Sprintf("$%d::TEXT[]", i+1), texts[i]
			}
		}
		all = append(all, statement{text: into + ` SELECT * FROM unnest(` + strings.Join(list, ", ") + `)` + then, args: args})
	}
	return all
}

// in adds the condition that an expression is one of texts.
func (w *where) in(expression string, texts []string) {
	marks := make([]string, len(texts))
	for i, t := range texts {
		marks[i] = w.arg(t)
	}
	w.conditions = append(w.conditions, expression+" IN ("+strings.Join(marks, ", ")+")")
}

// orNever stores nothing for a time that is zero.
func orNever(at int64) any {
	if at == 0 {
		return nil
	}
	return at
}

func lastStatements(d words, node string, rows []lastUse) []statement {
	return inserts(d, `
		INSERT INTO usage_last (
			key_id, principal_id, workspace_id, first_ok_at, last_ok_at, last_refused_at, ip, user_agent, node, told
		)`, rows, func(u lastUse) []any {
		from := node
		if u.ok == 0 {
			from = ""
		}
		return []any{
			u.key, u.principal, u.workspace, orNever(u.ok), orNever(u.ok), orNever(u.refused), u.ip, u.userAgent, from, int64(0),
		}
	}, fmt.Sprintf(`
		ON CONFLICT (key_id) DO UPDATE SET
			first_ok_at = CASE WHEN usage_last.first_ok_at <= excluded.first_ok_at THEN usage_last.first_ok_at
				ELSE COALESCE(excluded.first_ok_at, usage_last.first_ok_at) END,
			last_refused_at = CASE WHEN usage_last.last_refused_at >= excluded.last_refused_at THEN usage_last.last_refused_at
				ELSE COALESCE(excluded.last_refused_at, usage_last.last_refused_at) END,
			ip = CASE WHEN %[1]s THEN excluded.ip ELSE usage_last.ip END,
			user_agent = CASE WHEN %[1]s THEN excluded.user_agent ELSE usage_last.user_agent END,
			node = CASE WHEN %[1]s THEN excluded.node ELSE usage_last.node END,
			last_ok_at = CASE WHEN %[1]s THEN excluded.last_ok_at ELSE usage_last.last_ok_at END`,
		`excluded.last_ok_at IS NOT NULL AND COALESCE(usage_last.last_ok_at, 0) <= excluded.last_ok_at`))
}

const (
	// gapNow is the time between the uses of a source that are known and those
	// that are added, when one lie wholly after the others. What is added late
	// does not shorten a gap that was found: the longer one is the safer.
	gapNow = `(CASE
		WHEN usage_sources.others = 1 THEN 0
		WHEN excluded.first_at > usage_sources.last_at THEN excluded.first_at - usage_sources.last_at
		WHEN excluded.last_at < usage_sources.first_at THEN usage_sources.first_at - excluded.last_at
		ELSE 0 END)`
	// gapFound is the longest gap of what is added and the one before it.
	gapFound = `(CASE WHEN ` + gapNow + ` > excluded.gap THEN ` + gapNow + ` ELSE excluded.gap END)`
)

func sourceStatements(d words, by origin, rows []sourceUse) []statement {
	return inserts(d, `
		INSERT INTO usage_sources (
			key_id, others, ip, user_agent, node, first_at, last_at, last_ok_at, ok, refused, gap, gap_before, gap_period, via
		)`, rows, func(u sourceUse) []any {
		node, via := by.name, cmp.Or(u.via, by.kind)
		if u.others {
			node, via = "", ""
		}
		return []any{
			u.key, bit(u.others), u.ip, u.userAgent, node, u.first, u.last, orNever(u.lastOK), u.ok, u.refused,
			u.gap, u.before, u.epoch, via,
		}
	}, `
		ON CONFLICT (key_id, others, ip, user_agent) DO UPDATE SET
			node = CASE WHEN excluded.last_at >= usage_sources.last_at THEN excluded.node ELSE usage_sources.node END,
			via = CASE WHEN excluded.last_at >= usage_sources.last_at THEN excluded.via ELSE usage_sources.via END,
			first_at = CASE WHEN excluded.first_at < usage_sources.first_at THEN excluded.first_at ELSE usage_sources.first_at END,
			last_at = CASE WHEN excluded.last_at > usage_sources.last_at THEN excluded.last_at ELSE usage_sources.last_at END,
			last_ok_at = CASE WHEN usage_sources.last_ok_at >= excluded.last_ok_at THEN usage_sources.last_ok_at
				ELSE COALESCE(excluded.last_ok_at, usage_sources.last_ok_at) END,
			ok = usage_sources.ok + excluded.ok, refused = usage_sources.refused + excluded.refused,
			gap_before = CASE WHEN excluded.gap_period <= usage_sources.gap_period THEN usage_sources.gap_before
				WHEN excluded.gap_period = usage_sources.gap_period + 1 THEN usage_sources.gap ELSE 0 END,
			gap = CASE WHEN excluded.gap_period <= usage_sources.gap_period AND usage_sources.gap > `+gapFound+`
				THEN usage_sources.gap ELSE `+gapFound+` END,
			gap_period = CASE WHEN excluded.gap_period > usage_sources.gap_period THEN excluded.gap_period
				ELSE usage_sources.gap_period END`)
}

func askStatements(d words, rows []askUse) []statement {
	return inserts(d, `
		INSERT INTO usage_asks (key_id, day, others, ask, principal_id, last_at, ok, refused)`, rows, func(u askUse) []any {
		return []any{u.key, u.day, bit(u.others), u.ask.ask, u.principal, u.last, u.ok, u.refused}
	}, `
		ON CONFLICT (key_id, day, others, ask) DO UPDATE SET
			last_at = CASE WHEN excluded.last_at > usage_asks.last_at THEN excluded.last_at ELSE usage_asks.last_at END,
			ok = usage_asks.ok + excluded.ok, refused = usage_asks.refused + excluded.refused`)
}

func pointStatements(d words, points map[point]counts) []statement {
	return inserts(d, `
		INSERT INTO usage_points (subject_id, step, at, ok, refused)`,
		slices.SortedFunc(maps.Keys(points), point.compare), func(p point) []any {
			return []any{p.subject, p.step, p.at, points[p].ok, points[p].refused}
		}, `
		ON CONFLICT (subject_id, step, at) DO UPDATE SET
			ok = usage_points.ok + excluded.ok, refused = usage_points.refused + excluded.refused`)
}
