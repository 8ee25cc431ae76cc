package chaos

import (
	"fmt"
	"slices"
	"time"
)

// Entry is one change that was asked for, and what was heard of it.
type Entry struct {
	Request  string        // the id that it was sent with
	Begun    time.Duration // before its first byte was sent
	Ended    time.Duration // after all of the answer was read
	Answered bool          // with success
}

// Event is an event of the audit log, as far as it matters here.
type Event struct {
	Seq     int64
	ID      string
	Request string
	Action  string
	Target  string
	After   map[string]any
	Outcome string // refused: it tells of an attempt, and nothing was changed
	Reason  string
}

// repeated is the reason of an event that tells of a call that was made again after
// it had been done: it has an event of its own, and changes nothing.
const repeated = "repeated with the same Idempotency-Key; nothing changed"

// changed reports whether the event tells of a change.
func (e Event) changed() bool { return e.Outcome == "done" && e.Reason != repeated }

// Thing is a key or an account as it is in the end.
type Thing struct {
	ID          string
	Kind        string // key or service_account
	Ended       bool
	Description string // of accounts
}

// Ledger is all that is known of what was asked for, what the audit log says, and
// what there is. Nothing else may have changed anything that Things lists.
type Ledger struct {
	Entries []Entry
	Events  []Event // in the order of the log
	Things  []Thing
}

// Finding counts what is wrong with an audit log, and gives examples.
type Finding struct {
	Lost      int // changes without their event
	Doubled   int // changes with more than one
	Reordered int // events in another order than their changes, or with a gap before them
	Unfounded int // events of changes that were not made
	Examples  []string
}

func (f Finding) String() string {
	return fmt.Sprintf("%d lost, %d doubled, %d reordered, %d without their change %q", f.Lost, f.Doubled, f.Reordered, f.Unfounded, f.Examples)
}

// Clean reports whether nothing is wrong.
func (f Finding) Clean() bool { return f.Lost+f.Doubled+f.Reordered+f.Unfounded == 0 }

func (f *Finding) add(count *int, format string, args ...any) {
	*count++
	if len(f.Examples) < 5 {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// Judge holds the log to what was answered and to what there is.
func (l Ledger) Judge() (f Finding) {
	l.numbers(&f)
	l.answers(&f)
	l.order(&f)
	l.things(&f)
	return f
}

// numbers are 1, 2, 3 and so on, and no event is there twice.
func (l Ledger) numbers(f *Finding) {
	seen := map[string]bool{}
	for i, e := range l.Events {
		if e.Seq != int64(i+1) {
			f.add(&f.Reordered, "the event %d of the log has the number %d", i+1, e.Seq)
			return // so do all that follow
		}
		if seen[e.ID] {
			f.add(&f.Doubled, "the event %s is there twice", e.ID)
		}
		seen[e.ID] = true
	}
}

// answers: what was answered with success has its event, and nothing has two.
func (l Ledger) answers(f *Finding) {
	found := map[string][]Event{}
	for _, e := range l.Events {
		if e.changed() {
			found[e.Request] = append(found[e.Request], e)
		}
	}
	for _, e := range l.Entries {
		switch events := found[e.Request]; {
		case len(events) > 1:
			f.add(&f.Doubled, "%s has %d events, %+v", e.Request, len(events), events)
		case len(events) == 0 && e.Answered:
			f.add(&f.Lost, "%s was answered and has no event", e.Request)
		}
	}
}

// order: what was answered before something else was begun stands before it.
func (l Ledger) order(f *Finding) {
	entries := map[string]Entry{}
	for _, e := range l.Entries {
		if e.Answered {
			entries[e.Request] = e
		}
	}
	var next Entry // of those that stand later, the one that was answered first
	for _, e := range slices.Backward(l.Events) {
		entry, known := entries[e.Request]
		if !known || !e.changed() {
			continue
		}
		if next.Answered && next.Ended < entry.Begun {
			f.add(&f.Reordered, "%s was answered before %s was begun, and stands after it", next.Request, e.Request)
		}
		if !next.Answered || entry.Ended < next.Ended {
			next = entry
		}
	}
}

// things: what there is, is what the events say, and the other way round.
func (l Ledger) things(f *Finding) {
	type said struct {
		made, ended int
		description string
	}
	told := map[string]*said{}
	for _, e := range l.Events {
		if !e.changed() {
			continue
		}
		s := told[e.Target]
		if s == nil {
			s = &said{}
			told[e.Target] = s
		}
		switch e.Action {
		case "key.created", "service_account.created":
			s.made++
		case "key.revoked":
			s.ended++
		}
		if d, ok := e.After["description"].(string); ok {
			s.description = d
		}
	}
	for _, t := range l.Things {
		s := told[t.ID]
		if s == nil {
			s = &said{}
		}
		delete(told, t.ID)
		f.hold(t, t.Kind+".created", true, s.made)
		if t.Kind == "key" {
			f.hold(t, "key.revoked", t.Ended, s.ended)
		}
		if t.Description != s.description {
			f.add(&f.Lost, "%s is described as %q, its last event says %q", t.ID, t.Description, s.description)
		}
	}
	for id, s := range told {
		if s.made > 0 {
			f.add(&f.Unfounded, "%s was made, says the log, and is not there", id)
		}
	}
}

// hold holds the number of events of one sort to whether it happened.
func (f *Finding) hold(t Thing, action string, happened bool, events int) {
	switch {
	case happened && events == 0:
		f.add(&f.Lost, "%s has no event %s", t.ID, action)
	case !happened && events > 0:
		f.add(&f.Unfounded, "%s has an event %s, which did not happen", t.ID, action)
	case events > 1:
		f.add(&f.Doubled, "%s has %d events %s", t.ID, events, action)
	}
}
