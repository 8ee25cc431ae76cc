package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// maxSubjects is how many subjects one statement asks for.
const maxSubjects = 256

// UsagePoints implements [iam.Reader].
func (r reader) UsagePoints(ctx context.Context, ws iam.WorkspaceID, subjects []string, from, to time.Time, step time.Duration) (map[string][]iam.UsePoint, error) {
	all := map[string][]iam.UsePoint{}
	for len(subjects) > 0 {
		n := min(len(subjects), maxSubjects)
		found, err := r.points(ctx, ws, subjects[:n], from, to, step)
		if err != nil {
			return nil, fmt.Errorf("read how keys were used: %w", err)
		}
		for _, p := range found {
			all[p.subject] = append(all[p.subject], p.UsePoint)
		}
		subjects = subjects[n:]
	}
	return all, nil
}

type pointOf struct {
	subject string
	iam.UsePoint
}

// points reads the points of some subjects. What is in an hour or a day already is
// taken from there, the rest from what will be added to it.
func (r reader) points(ctx context.Context, ws iam.WorkspaceID, subjects []string, from, to time.Time, step time.Duration) ([]pointOf, error) {
	w := &where{}
	width := step.Microseconds()
	begin := from.UnixMicro()
	begin -= begin % width
	wanted := w.wanted(ws, subjects)
	since, until := bound{`>=`, w.arg(begin)}, bound{`<`, w.arg(to.UnixMicro())}
	hours := fmt.Sprintf(`s.minutes_to - s.minutes_to %% %d`, hourStep)
	days := fmt.Sprintf(`s.hours_to - s.hours_to %% %d`, dayStep)
	var texts []string
	switch step {
	case time.Minute:
		texts = []string{r.part(minuteStep, since, until)}
	case time.Hour:
		texts = []string{r.part(hourStep, since, until, bound{`<`, hours}), r.part(minuteStep, since, until, bound{`>=`, hours})}
	default:
		texts = []string{
			r.part(dayStep, since, until, bound{`<`, days}),
			r.part(hourStep, since, until, bound{`>=`, days}, bound{`<`, hours}),
			r.part(minuteStep, since, until, bound{`>=`, hours}),
		}
	}
	bucket := fmt.Sprintf(`u.at - u.at %% %d`, width)
	return collect(ctx, r, func(p *pointOf) []any { return []any{&p.subject, instant{&p.At}, &p.OK, &p.Refused} }, fmt.Sprintf(`
		WITH wanted (id) AS (%s)
		SELECT u.subject_id, %[2]s, CAST(SUM(u.ok) AS BIGINT), CAST(SUM(u.refused) AS BIGINT) FROM (%[3]s) u
		GROUP BY u.subject_id, %[2]s ORDER BY 1, 2`, wanted, bucket, strings.Join(texts, " UNION ALL ")), w.args...)
}

// bound is one that the time of a point has: ">= $3".
type bound struct{ operator, time string }

// part is the query for the points of what is wanted, of one step. There is a bound
// from below and one from above.
func (r reader) part(step int64, bounds ...bound) string {
	conditions := make([]string, len(bounds))
	if !r.words.lateral {
		for i, b := range bounds {
			conditions[i] = fmt.Sprintf(`p.at %s %s`, b.operator, b.time)
		}
		return fmt.Sprintf(`SELECT p.subject_id, p.at, p.ok, p.refused
			FROM wanted JOIN usage_points p ON p.subject_id = wanted.id CROSS JOIN usage_state s
			WHERE p.step = %d AND %s`, step, strings.Join(conditions, " AND "))
	}
	// PostgreSQL takes the newest points for few, and would read those of all that there
	// is, by the index that begins with the step and the time: the bounds are for the
	// other one alone.
	for i, b := range bounds {
		conditions[i] = fmt.Sprintf(`(p.subject_id, p.step, p.at) %s (wanted.id, %d, %s)`, b.operator, step, b.time)
	}
	return fmt.Sprintf(`SELECT p.subject_id, p.at, p.ok, p.refused FROM wanted CROSS JOIN usage_state s CROSS JOIN LATERAL (
		SELECT * FROM usage_points p WHERE %s OFFSET 0) p`, strings.Join(conditions, " AND "))
}

// wanted is the query for those of the subjects that are of a workspace, or are it.
// Conditions hide the workspace from the planner as [keyByID] does.
func (w *where) wanted(ws iam.WorkspaceID, subjects []string) string {
	in := w.arg(string(ws))
	list := &where{args: w.args}
	list.in("id", subjects)
	w.args = list.args
	return fmt.Sprintf(`
		SELECT id FROM keys WHERE %[1]s AND workspace_id || '' = %[2]s
		UNION ALL SELECT id FROM principals WHERE %[1]s AND workspace_id || '' = %[2]s
		UNION ALL SELECT id FROM workspaces WHERE %[1]s AND id = %[2]s`, list, in)
}

// UsageSubjects implements [iam.Reader].
func (r reader) UsageSubjects(ctx context.Context, ws iam.WorkspaceID, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	w := &where{}
	query := w.wanted(ws, ids)
	found, err := collect(ctx, r, func(id *string) []any { return []any{id} }, query, w.args...)
	if err != nil {
		return nil, fmt.Errorf("look for keys and principals: %w", err)
	}
	return found, nil
}

// UsageSources implements [iam.Reader].
func (r reader) UsageSources(ctx context.Context, ws iam.WorkspaceID, key iam.KeyID) ([]iam.KeySource, error) {
	found, err := collect(ctx, r, sourceFields, `
		SELECT `+sourceColumns+` FROM usage_sources
		WHERE key_id = $1 AND EXISTS (SELECT 1 FROM keys WHERE id = $1 AND workspace_id = $2)
		ORDER BY others, last_at DESC, ip, user_agent`, string(key), string(ws))
	if err != nil {
		return nil, fmt.Errorf("read where key %s is used from: %w", key, err)
	}
	var all []iam.KeySource
	for _, u := range found {
		all = append(all, u.known(r.clock().UnixMicro()))
	}
	return all, nil
}

// known is what a row says of a source.
func (u sourceUse) known(now int64) iam.KeySource {
	return iam.KeySource{
		SourceUse: iam.SourceUse{
			IP: u.ip, UserAgent: u.userAgent, Via: u.via, Others: u.others, First: timeOf(u.first), Last: timeOf(u.last), LastOK: timeOf(u.lastOK),
			OK: u.ok, Refused: u.refused,
		},
		Node: u.node, LongestGap: time.Duration(u.longest(now)) * time.Microsecond,
	}
}

// longest returns the longest gap that is remembered, in microseconds.
func (u sourceUse) longest(now int64) int64 {
	switch now/gapPeriod - u.epoch {
	case 0:
		return max(u.gap, u.before)
	case 1:
		return u.gap
	}
	return 0
}

// timeOf is the opposite of [sinceEpoch].
func timeOf(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMicro(at).UTC()
}

// Asks implements [iam.Reader].
func (r reader) Asks(ctx context.Context, ws iam.WorkspaceID, principal iam.PrincipalID, since time.Time) ([]iam.AskTotal, error) {
	day := since.UnixMicro()
	day -= day % dayStep
	found, err := collect(ctx, r, func(a *iam.AskTotal) []any {
		return []any{&a.Ask, yes{&a.Others}, instant{&a.Last}, &a.OK, &a.Refused}
	}, `
		SELECT ask, others, MAX(last_at), CAST(SUM(ok) AS BIGINT), CAST(SUM(refused) AS BIGINT) FROM usage_asks
		WHERE principal_id = $1 AND day >= $3 AND EXISTS (SELECT 1 FROM principals WHERE id = $1 AND workspace_id = $2)
		GROUP BY ask, others ORDER BY SUM(ok) + SUM(refused) DESC, ask, others`, string(principal), string(ws), day)
	if err != nil {
		return nil, fmt.Errorf("read what %s was asked about: %w", principal, err)
	}
	return found, nil
}
