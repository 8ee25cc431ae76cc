package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// Report adds what a reporter counted to what is known, and writes down which keys
// were accepted for the first time ever, in the same transaction. A number that was
// taken before changes nothing.
func (s *Service) Report(ctx context.Context, r UsageReport) (now time.Time, err error) {
	if now, err = s.report(ctx, r); errors.Is(err, ErrReported) {
		return now, nil
	}
	return now, err
}

func (s *Service) report(ctx context.Context, r UsageReport) (now time.Time, err error) {
	uses := map[KeyID]KeyUse{}
	for _, u := range r.Keys {
		uses[u.Key] = u
	}
	return s.Store.Report(ctx, r, func(tx NoteTx, keys []Key) (err error) {
		for _, k := range keys {
			err = errors.Join(err, tx.AppendEvent(ctx, firstUsed(k, uses[k.ID], tx.Now())))
		}
		return err
	})
}

// ReportWithin adds what a verifier outside the server counted, as Report does. It may
// have counted keys of one workspace alone, or of any when within is empty: where it
// names others, or what cannot have been, nothing is added. A number that was taken
// before is [ErrReported].
func (s *Service) ReportWithin(ctx context.Context, within WorkspaceID, r UsageReport) (now time.Time, err error) {
	named := map[WorkspaceID][]string{}
	now = s.Now()
	parts, total := 0, int64(0)
	for i := range r.Keys {
		u := &r.Keys[i]
		parts += len(u.Minutes) + len(u.Sources) + len(u.Asks)
		if parts > mostParts {
			return now, Invalid("/keys", "too_long", "the report has more than %d minutes, sources and asks", mostParts)
		}
		if within != "" && u.Workspace != within {
			return now, reportedElsewhere(i)
		}
		uses, ok := u.likely(now.Add(mostAhead))
		if total += uses; !ok || total > mostUses {
			return now, Invalid(fmt.Sprintf("/keys/%d", i), "not_a_use", "nobody can have used a key so: a count or a time makes no sense")
		}
		u.fit()
		named[u.Workspace] = append(named[u.Workspace], string(u.Key), string(u.Principal))
	}
	for ws, ids := range named {
		slices.Sort(ids)
		ids = slices.Compact(ids)
		found, err := s.Store.UsageSubjects(ctx, ws, ids)
		if err != nil {
			return now, err
		}
		there := map[string]bool{}
		for _, id := range found {
			there[id] = true
		}
		for i, u := range r.Keys {
			if u.Workspace == ws && !(there[string(u.Key)] && there[string(u.Principal)]) {
				return now, reportedElsewhere(i)
			}
		}
	}
	return s.report(ctx, r)
}

// Bounds on what one report of a verifier may say.
const (
	mostAhead = 5 * time.Minute // that the clock of a verifier's server is ahead of this one's
	mostParts = 50_000          // minutes, sources and asks; package usage cuts reports at 20 000

	// mostUses is how many uses there can be, of all keys together and counted in each
	// way: the sums of many reports must not overflow.
	mostUses = 1 << 32
)

func reportedElsewhere(i int) error {
	return Invalid(fmt.Sprintf("/keys/%d", i), "not_followed", "this is no key of what the verifier follows")
}

// likely returns how much was counted, and whether somebody can have counted it up to
// a time.
func (u KeyUse) likely(until time.Time) (uses int64, ok bool) {
	times, counts := []time.Time{u.LastOK, u.LastRefused}, []int64(nil)
	for _, p := range u.Minutes {
		times, counts = append(times, p.At), append(counts, p.OK, p.Refused)
	}
	for _, src := range u.Sources {
		times, counts = append(times, src.First, src.Last, src.LastOK), append(counts, src.OK, src.Refused)
	}
	for _, a := range u.Asks {
		times, counts = append(times, a.Last), append(counts, a.OK, a.Refused)
	}
	for _, n := range counts {
		if n < 0 || n > mostUses-uses {
			return 0, false
		}
		uses += n
	}
	return uses, !slices.ContainsFunc(times, until.Before)
}

// fit makes what clients said of themselves, as somebody else took it down, fit to be
// kept.
func (u *KeyUse) fit() {
	for i := range u.Sources {
		src := &u.Sources[i]
		src.UserAgent = FitAgent(src.UserAgent)
		if addr, err := netip.ParseAddr(src.IP); err != nil {
			src.IP = ""
		} else {
			src.IP = addr.Unmap().WithZone("").String()
		}
	}
	for i := range u.Asks {
		if a := &u.Asks[i]; token.LooksSecret(a.Ask) || !utf8.ValidString(a.Ask) {
			a.Ask, a.Others = AnyAsk, true
		}
	}
}

// firstUsed is the event of the first time that a key was accepted.
func firstUsed(k Key, u KeyUse, now time.Time) audit.Event {
	e := audit.Event{
		ID: NewID(EventPrefix, now), Workspace: string(k.Workspace), At: now, Actor: k.Principal.actor(),
		Key:    &audit.Ref{ID: string(k.ID), Name: k.Name},
		Action: "key.first_used", Target: k.target(), Outcome: audit.Done, Source: u.firstSource(),
	}
	if k.LastUse != nil {
		e.Source.Node = k.LastUse.Source.Node
	}
	return e
}

// firstSource returns where a key was accepted from, the earliest, as far as that
// can be told.
func (u KeyUse) firstSource() audit.Source {
	accepted := slices.DeleteFunc(slices.Clone(u.Sources), func(s SourceUse) bool { return s.Others || s.OK == 0 })
	if len(accepted) == 0 {
		return audit.Source{}
	}
	first := slices.MinFunc(accepted, func(a, b SourceUse) int {
		return cmp.Or(a.First.Compare(b.First), strings.Compare(a.IP, b.IP), strings.Compare(a.UserAgent, b.UserAgent))
	})
	const none = "\uFFFD" // in place of what no event can hold
	return audit.Source{IP: strings.ToValidUTF8(first.IP, none), UserAgent: strings.ToValidUTF8(first.UserAgent, none)}
}
