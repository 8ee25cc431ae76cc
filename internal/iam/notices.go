package iam

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// Notice is due of keys that end at From or later, and not after To. Of those that
// end at From itself it is due of the ones whose ids are greater than FromKey.
type Notice struct {
	Days    int64 // before the end; 0: it came
	From    time.Time
	FromKey KeyID
	To      time.Time
}

const (
	// noticesAtOnce bounds a transaction: it holds up who writes to the audit log.
	noticesAtOnce = 200

	// noticeMargin is for keys whose change was decided before the last look, and
	// was committed after it. No transaction takes as long.
	noticeMargin = time.Hour
)

// noticeDays are how long before its end a key is said to be about to end.
func noticeDays() []int64 { return []int64{30, 14, 3, 1, 0} }

// dueNotices returns what is due now, when all was given that was due at since. Of
// several moments that have passed meanwhile only the last is told.
func dueNotices(since, now time.Time) (due []Notice) {
	if since.IsZero() {
		since = now
	}
	days := noticeDays()
	for i, d := range days {
		ahead := time.Duration(d) * day
		n := Notice{Days: d, From: since.Add(ahead - noticeMargin), To: now.Add(ahead)}
		if i+1 < len(days) {
			n.From = laterOf(n.From, now.Add(time.Duration(days[i+1])*day+time.Microsecond))
		}
		due = append(due, n)
	}
	return due
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// NoticeExpiries writes an event for each key whose end is 30, 14, 3 or 1 days
// away, and for each that has ended, once. Any number of processes may call it at
// once, each about once a minute; node is the name of this one. What was not
// written when it returns an error is written by the next call, of whichever.
func (s *Service) NoticeExpiries(ctx context.Context, node string) error {
	caller := Internal("expiry", audit.Source{Node: node})
	given := map[int64]Notice{} // by days: where to go on
	for more := true; more; {
		var page map[int64]Notice
		err := s.Store.Note(ctx, func(tx NoteTx) (err error) {
			page = maps.Clone(given)
			more, err = givePage(ctx, tx, caller, page)
			return err
		})
		if err != nil {
			return fmt.Errorf("write which keys are about to end: %w", err)
		}
		given = page
	}
	return nil
}

// givePage writes some of the events that are due, and reports whether there may
// be more.
func givePage(ctx context.Context, tx NoteTx, c Caller, given map[int64]Notice) (more bool, err error) {
	since, err := tx.TakeNotices(ctx)
	if err != nil {
		return false, err
	}
	left := noticesAtOnce
	for _, due := range dueNotices(since, tx.Now()) {
		if last := given[due.Days]; !last.From.Before(due.From) {
			due.From, due.FromKey = last.From, last.FromKey
		}
		keys, err := tx.NoticeKeys(ctx, due, left)
		if err != nil {
			return false, err
		}
		for _, k := range keys {
			if err := tx.AppendEvent(ctx, due.event(c, k, tx.Now())); err != nil {
				return false, err
			}
			due.From, due.FromKey = k.ExpiresAt, k.ID
		}
		given[due.Days] = due
		if left -= len(keys); left == 0 {
			return true, nil
		}
	}
	return false, tx.EndNotices(ctx, tx.Now(), tx.Now().Add(-noticeMargin))
}

func (n Notice) event(c Caller, k Key, now time.Time) audit.Event {
	e := audit.Event{
		Workspace: string(k.Workspace), Action: "key.expired", Outcome: audit.Done, Target: k.target(),
		After: audit.Fields{"principal": string(k.Principal.ID), "expires_at": k.ExpiresAt.UTC().Format(timeLayout)},
	}
	if n.Days > 0 {
		e.Action, e.After["days_left"] = "key.expiring", n.Days
	}
	c.sign(&e, now)
	return e
}
