package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

const (
	maxSubjects = 200    // whose use is asked for at once
	maxPoints   = 20_000 // in one answer
)

// Span is a time in steps of a minute, an hour or a day (UTC). The step that holds
// From is the first, and the last begins before To.
type Span struct {
	From time.Time // zero: some steps before To, as many as make a picture
	To   time.Time // zero: now
	Step time.Duration
}

// settled returns the span with nothing left open and its beginning on a step.
func (p Span) settled(now time.Time) Span {
	if p.To.IsZero() {
		p.To = now.Add(time.Microsecond) // so that the step of now is the last, also when it has just begun
	}
	if p.From.IsZero() {
		pictures := map[time.Duration]int{time.Minute: 60, time.Hour: 24, day: 30}
		p.From = p.To.Truncate(p.Step).Add(-time.Duration(pictures[p.Step]-1) * p.Step)
	}
	p.From = p.From.UTC().Truncate(p.Step)
	return p
}

// steps returns how many there are.
func (p Span) steps() int { return int((p.To.Sub(p.From) + p.Step - 1) / p.Step) }

// check refuses a span that makes no sense, or is more than can be answered at once
// for so many subjects.
func (p Span) check(subjects int) error {
	switch {
	case !p.From.Before(p.To):
		return Invalid("/from", "out_of_range", "must be before to")
	case p.To.Sub(p.From) > maxUseDays*day:
		return Invalid("/from", "out_of_range", "must be at most %d days before to", maxUseDays)
	case p.steps() > maxPoints/max(subjects, 1):
		return Invalid("/from", "out_of_range", "%d steps are more than an answer holds for so much; ask for wider steps", p.steps())
	}
	return nil
}

// fill returns a point for each step of the span, in order.
func (p Span) fill(points []UsePoint) []UsePoint {
	all := make([]UsePoint, p.steps())
	for i := range all {
		all[i].At = p.From.Add(time.Duration(i) * p.Step)
	}
	for _, q := range points {
		if i := int(q.At.Sub(p.From) / p.Step); i >= 0 && i < len(all) {
			all[i].OK, all[i].Refused = all[i].OK+q.OK, all[i].Refused+q.Refused
		}
	}
	return all
}

// KeyTraffic is how one key was used, and from where.
type KeyTraffic struct {
	Span
	Points  []UsePoint // one for each step
	Sources []KeySource
}

// KeyUsage returns how a key was used, and from where.
func (s *Service) KeyUsage(ctx context.Context, c Caller, ws string, id KeyID, span Span) (KeyTraffic, error) {
	in, err := s.reading(ctx, c, ws, ReadKeys, aim("key", string(id)))
	if err != nil {
		return KeyTraffic{}, err
	}
	span = span.settled(s.Now())
	if err := span.check(1); err != nil {
		return KeyTraffic{}, err
	}
	key, err := s.Store.Key(ctx, in, id)
	if err != nil {
		return KeyTraffic{}, err
	}
	points, err := s.Store.UsagePoints(ctx, in, []string{string(key.ID)}, span.From, span.To, span.Step)
	if err != nil {
		return KeyTraffic{}, err
	}
	sources, err := s.Store.UsageSources(ctx, in, key.ID)
	return KeyTraffic{span, span.fill(points[string(key.ID)]), sources}, err
}

// Subjects are whose use is asked for: keys, or service accounts, or neither, which
// is the workspace.
type Subjects struct {
	Keys     []KeyID
	Accounts []PrincipalID
}

// Traffic is how several subjects were used.
type Traffic struct {
	Span
	Of []SubjectTraffic // in the order in which they were asked for
}

// SubjectTraffic is how one subject was used.
type SubjectTraffic struct {
	ID     string
	Points []UsePoint // one for each step
}

// Usage returns how keys or accounts, or the workspace as a whole, were used. Ids of
// what is not there are left out.
func (s *Service) Usage(ctx context.Context, c Caller, ws string, of Subjects, span Span) (Traffic, error) {
	in, err := s.reading(ctx, c, ws, ReadKeys, audit.Target{Type: "key"})
	if err != nil {
		return Traffic{}, err
	}
	if len(of.Accounts) > 0 {
		if err := s.may(ctx, c, ReadAccounts, audit.Target{Type: "service_account"}); err != nil {
			return Traffic{}, err
		}
	}
	ids, err := of.ids()
	if err != nil {
		return Traffic{}, err
	}
	span = span.settled(s.Now())
	if err := span.check(len(ids)); err != nil {
		return Traffic{}, err
	}
	if len(of.Keys)+len(of.Accounts) == 0 {
		ids = []string{string(in)}
	}
	return s.traffic(ctx, in, ids, span)
}

func (s *Service) traffic(ctx context.Context, ws WorkspaceID, ids []string, span Span) (Traffic, error) {
	t := Traffic{Span: span}
	there, err := s.Store.UsageSubjects(ctx, ws, ids)
	if err != nil {
		return t, err
	}
	points, err := s.Store.UsagePoints(ctx, ws, there, span.From, span.To, span.Step)
	if err != nil {
		return t, err
	}
	for _, id := range ids {
		if slices.Contains(there, id) {
			t.Of = append(t.Of, SubjectTraffic{id, span.fill(points[id])})
		}
	}
	return t, nil
}

// ids returns what is asked for, each once. What is not an id of that sort is left
// out, as one of nothing is.
func (of Subjects) ids() (ids []string, err error) {
	if len(of.Keys) > 0 && len(of.Accounts) > 0 {
		return nil, Invalid("/service_accounts", "conflict", "ask for keys or for service_accounts, not for both")
	}
	for _, list := range []struct {
		name, prefix string
		ids          []string
	}{{"keys", KeyPrefix, texts(of.Keys)}, {"service_accounts", ServiceAccountPrefix, texts(of.Accounts)}} {
		if len(list.ids) > maxSubjects {
			return nil, Invalid("/"+list.name, "too_many", "has more than %d ids", maxSubjects)
		}
		for _, id := range list.ids {
			if strings.HasPrefix(id, list.prefix) && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
