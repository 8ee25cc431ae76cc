package chaos

import (
	"testing"
	"time"
)

// good is a ledger with nothing wrong: an account that was made and described
// twice, a key that was made and revoked, and a call that nobody answered.
func good() Ledger {
	at := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return Ledger{
		Entries: []Entry{
			{"a", at(0), at(1), true}, {"b", at(2), at(3), true}, {"c", at(2), at(4), true},
			{"d", at(5), at(6), true}, {"e", at(7), at(8), true}, {"f", at(9), at(9), false},
		},
		Events: []Event{
			{1, "1", "a", "service_account.created", "sa", map[string]any{"description": ""}, "done", ""},
			{2, "2", "c", "service_account.updated", "sa", map[string]any{"description": "x"}, "done", ""},
			{3, "3", "b", "key.created", "k", nil, "done", ""},
			{4, "4", "d", "key.revoked", "k", map[string]any{"revoked": true}, "done", ""},
			{5, "5", "a", "service_account.created", "sa", nil, "done", repeated},
			{6, "6", "e", "service_account.updated", "sa", map[string]any{"description": "y"}, "done", ""},
		},
		Things: []Thing{{ID: "sa", Kind: "service_account", Description: "y"}, {ID: "k", Kind: "key", Ended: true}},
	}
}

func TestALogThatSaysWhatHappenedIsClean(t *testing.T) {
	if f := good().Judge(); !f.Clean() {
		t.Error(f)
	}
}

func TestWhatIsWrongWithALogIsFound(t *testing.T) {
	renumber := func(l *Ledger) {
		for i := range l.Events {
			l.Events[i].Seq = int64(i + 1)
		}
	}
	for name, tt := range map[string]struct {
		spoil func(l *Ledger)
		found func(f Finding) bool
	}{
		"an answered change has no event": {func(l *Ledger) {
			l.Events = append(l.Events[:1:1], l.Events[2:]...)
			renumber(l)
		}, func(f Finding) bool { return f.Lost == 1 }},
		"a change that nobody heard of has no event": {func(l *Ledger) {
			l.Things = append(l.Things, Thing{ID: "k2", Kind: "key"})
		}, func(f Finding) bool { return f.Lost == 1 }},
		"the last description has no event": {func(l *Ledger) {
			l.Events, l.Entries[4].Answered = l.Events[:5], false
		}, func(f Finding) bool { return f.Lost == 1 }},
		"the end of a key has no event": {func(l *Ledger) {
			l.Events = append(l.Events[:3:3], l.Events[4:]...)
			l.Entries[3].Answered = false
			renumber(l)
		}, func(f Finding) bool { return f.Lost == 1 }},
		"an event is there twice": {func(l *Ledger) {
			l.Events = append(l.Events, l.Events[5])
			renumber(l)
		}, func(f Finding) bool { return f.Doubled == 2 }},
		"a change has two events": {func(l *Ledger) {
			l.Events = append(l.Events, Event{7, "7", "d", "key.revoked", "k", nil, "done", ""})
		}, func(f Finding) bool { return f.Doubled == 2 }},
		"a number is missing": {func(l *Ledger) { l.Events[5].Seq = 7 }, func(f Finding) bool { return f.Reordered == 1 }},
		"two events stand the wrong way round": {func(l *Ledger) {
			l.Events[2], l.Events[3] = l.Events[3], l.Events[2]
			renumber(l)
		}, func(f Finding) bool { return f.Reordered == 1 }},
		"an event tells of a key that is not there": {func(l *Ledger) {
			l.Events = append(l.Events, Event{7, "7", "f", "key.created", "k2", nil, "done", ""})
		}, func(f Finding) bool { return f.Unfounded == 1 }},
		"an event tells of an end that did not come": {func(l *Ledger) { l.Things[1].Ended = false }, func(f Finding) bool { return f.Unfounded == 1 }},
	} {
		l := good()
		tt.spoil(&l)
		if f := l.Judge(); f.Clean() || !tt.found(f) {
			t.Errorf("%s: %v", name, f)
		}
	}
}
