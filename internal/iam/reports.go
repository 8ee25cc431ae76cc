package iam

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// Report adds what a reporter counted to what is known, and writes down which keys
// were accepted for the first time ever, in the same transaction.
func (s *Service) Report(ctx context.Context, r UsageReport) (now time.Time, err error) {
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
