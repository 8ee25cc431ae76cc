package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// silence is for how long a reporter says nothing before it is called silent.
// Nodes that have nothing to report say so every two seconds.
const silence = 5 * time.Second

// testimony is a row of the one statement that evidence is read with: of a source
// of a key, of the last use of a key, of a reporter, or of the database's time.
type testimony struct {
	sourceUse
	kind    int64
	name    string // of a reporter
	covers  int64  // of a reporter; zero: it has not said anything
	ended   int64  // of a reporter; zero: it has not
	began   int64  // when a reporter was registered; or what time it is
	firstOK int64  // of a key; zero: never
	endOK   int64  // of a key, the last
}

// The kinds of testimony.
const (
	sourceRow int64 = iota
	lastRow
	reporterRow
	clockRow
)

func testimonyFields(t *testimony) []any {
	return append(append([]any{&t.kind}, sourceFields(&t.sourceUse)...), &t.name, &t.covers, &t.ended, &t.began, &t.firstOK, &t.endOK)
}

// Evidence implements [iam.Reader].
func (r reader) Evidence(ctx context.Context, ws iam.WorkspaceID, old, new iam.KeyID) (iam.Evidence, error) {
	all, err := r.Evidences(ctx, ws, [][2]iam.KeyID{{old, new}})
	if err != nil {
		return iam.Evidence{}, err
	}
	return all[0], nil
}

// Evidences implements [iam.Reader]. It reads with one statement: what is known and
// up to when are of one moment, for a report writes both in one transaction. A node
// without a reporter is of a release that does not count, and is not known of.
func (r reader) Evidences(ctx context.Context, ws iam.WorkspaceID, pairs [][2]iam.KeyID) ([]iam.Evidence, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	var ids []string
	for _, pair := range pairs {
		ids = append(ids, string(pair[0]), string(pair[1]))
	}
	clock, args := r.asked()
	w := &where{args: args}
	w.in("u.key_id", ids)
	w.add(`EXISTS (SELECT 1 FROM keys k WHERE k.id = u.key_id AND k.workspace_id = ?)`, string(ws))
	home := w.arg(string(ws))
	const none = `'', 0, '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, ''`
	found, err := collect(ctx, r, testimonyFields, fmt.Sprintf(`
		SELECT %[1]d, %[5]s, '', 0, 0, 0, 0, 0 FROM usage_sources u WHERE %[7]s
		UNION ALL
		SELECT %[2]d, key_id, 0, '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, '', '', 0, 0, 0, COALESCE(first_ok_at, 0), COALESCE(last_ok_at, 0)
		FROM usage_last u WHERE %[7]s
		UNION ALL
		SELECT %[3]d, %[6]s, name, covers, COALESCE(ended_at, 0), registered_at, 0, 0 FROM usage_reporters
		WHERE (ended_at IS NULL OR ended_at > covers) AND (workspace_id = '' OR workspace_id = %[9]s)
		UNION ALL
		SELECT %[3]d, %[6]s, name, 0, 0, 0, 0, 0 FROM nodes WHERE reporter = ''
		UNION ALL
		SELECT %[4]d, %[6]s, '', 0, 0, CASE WHEN time > %[8]s THEN time ELSE %[8]s END, 0, 0 FROM head
		ORDER BY 1, 3, 8 DESC, 4, 5, 16`,
		sourceRow, lastRow, reporterRow, clockRow, sourceColumns, none, w, clock, home), w.args...)
	if err != nil {
		return nil, fmt.Errorf("read what is known of the use of keys: %w", err)
	}
	return weighAll(found, pairs), nil
}

// weighAll gives each pair what is about it. What is about no key is about all.
func weighAll(found []testimony, pairs [][2]iam.KeyID) []iam.Evidence {
	about, common := map[iam.KeyID][]testimony{}, []testimony(nil)
	for _, t := range found {
		if t.key == "" {
			common = append(common, t)
		} else {
			about[iam.KeyID(t.key)] = append(about[iam.KeyID(t.key)], t)
		}
	}
	all := make([]iam.Evidence, len(pairs))
	for i, pair := range pairs {
		parts := [][]testimony{about[pair[0]], about[pair[1]], common}
		if pair[0] == pair[1] {
			parts[1] = nil
		}
		all[i] = weigh(slices.Concat(parts...), pair[0], pair[1])
	}
	return all
}

// weigh puts evidence together. The last row says what time it is.
func weigh(found []testimony, old, new iam.KeyID) (e iam.Evidence) {
	now := found[len(found)-1].began
	known := int64(math.MaxInt64)
	for _, t := range found {
		switch {
		case t.kind == sourceRow && t.key == string(old):
			e.OldSources = append(e.OldSources, t.known(now))
			e.LongestGap = max(e.LongestGap, time.Duration(t.silent(now))*time.Microsecond)
		case t.kind == sourceRow:
			e.NewSources = append(e.NewSources, t.known(now))
		case t.kind == lastRow && t.key == string(old):
			e.OldLastOK = timeOf(t.endOK)
		case t.kind == lastRow:
			e.NewFirstOK, e.NewLastOK = timeOf(t.firstOK), timeOf(t.endOK)
		case t.kind == reporterRow && t.ended > 0:
			e.UnknownUntil = latest(e.UnknownUntil, timeOf(t.ended))
		case t.kind == reporterRow:
			known = min(known, t.covers)
			if max(t.covers, t.began) < now-silence.Microseconds() {
				e.Silent = append(e.Silent, t.name)
			}
		}
	}
	if known < math.MaxInt64 { // else nobody counts
		e.KnownTo = timeOf(known)
	}
	return e
}

// silent returns for how long a source may be silent and not be gone: the longest
// gap that is remembered, or the one that lasts now unless it is too long for that.
func (u sourceUse) silent(now int64) int64 {
	gap := u.longest(now)
	if since := now - u.last; !u.others && since <= gapPeriod {
		gap = max(gap, since)
	}
	return min(gap, gapPeriod)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
