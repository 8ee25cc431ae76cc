package chaos

import "time"

// Code is what a verification says of a key: the code of a verdict, or one of the
// two that say nothing of it.
type Code string

// The codes that a [Subject] can read.
const (
	Valid            Code = "valid"
	NotFound         Code = "not_found"
	Revoked          Code = "revoked"
	Inactive         Code = "principal_inactive"
	Paused           Code = "paused"
	PermissionDenied Code = "permission_denied"

	TurnedAway Code = "turned away" // any of the above but valid, of a door that does not say which

	Stale  Code = "stale"     // 503: the node cannot know
	Silent Code = "no answer" // the connection broke, or nothing came in time
)

// verdict reports whether the code says something of the key.
func (c Code) verdict() bool { return c != Stale && c != Silent }

// shows reports whether a door may say a code of keys that read another.
func (c Code) shows(said Code) bool { return c == said || said == TurnedAway && c != Valid }

// Outcome is what is known of a call that changes something.
type Outcome uint8

// What can be known of a call.
const (
	Confirmed Outcome = iota // it has returned success: it holds on every node
	Refused                  // it has not happened, and will not
	Open                     // it may have happened by the time that it was answered
	Lost                     // nobody answered: it may have happened, and still may
)

// Change is one call that changes what the keys of a subject read.
type Change struct {
	What     string
	Node     int  // the one that was called
	Reads    Code // what each of the keys reads when it is done
	Ends     bool // it takes for good: nothing else is read from then on
	Called   time.Duration
	Returned time.Duration
	Outcome  Outcome
	By       string // what its receipt rests on
}

// Reading is one verification of a key, or of Count keys of one subject that read
// the same in one batch.
type Reading struct {
	Door         Door
	Begun, Ended time.Duration
	Code         Code
	Count        int
	Torn         bool // the same batch read something else of the subject's other keys
}

// History is all that was done to the keys of one subject, one call after the
// other, and all that was read of them, in any order. The first change is the one
// that made them.
type History struct {
	Subject  string
	Changes  []Change
	Readings []Reading
}

// allows reports whether a reading is one that the promise leaves room for: what
// the last change that had returned when it began made of the keys, or what any
// later one makes of them that was called before it ended. A call that nobody
// answered may take effect at any time, but not after the end.
func (h *History) allows(r Reading) bool {
	for i := len(h.Changes) - 1; i >= 0; i-- {
		c := h.Changes[i]
		if c.Outcome != Refused && c.Called < r.Ended && c.Reads.shows(r.Code) {
			return true
		}
		if c.Outcome == Confirmed && c.Returned <= r.Begun {
			return !c.Ends && h.lost(i, r.Code)
		}
	}
	return false
}

// lost reports whether one of the first n changes may still make the keys read a
// code.
func (h *History) lost(n int, code Code) bool {
	for _, c := range h.Changes[:n] {
		if c.Outcome == Lost && c.Reads.shows(code) {
			return true
		}
	}
	return false
}

// latest returns the last change that had returned success when a reading began.
func (h *History) latest(r Reading) (last Change) {
	for _, c := range h.Changes {
		if c.Outcome == Confirmed && c.Returned <= r.Begun {
			last = c
		}
	}
	return last
}

// surely reports whether a reading can be nothing but a code, or stale.
func (h *History) surely(code Code, r Reading) bool {
	known := false
	for _, c := range h.Changes {
		switch {
		case c.Outcome == Confirmed && c.Returned <= r.Begun:
			known = c.Reads == code
		case c.Outcome != Refused && c.Called < r.Ended && c.Reads != code:
			return false
		}
	}
	return known
}

// end returns the change that took the keys away for good, once it was confirmed.
func (h *History) end() (Change, bool) {
	for _, c := range h.Changes {
		if c.Ends && c.Outcome == Confirmed {
			return c, true
		}
	}
	return Change{}, false
}

// acceptedOn returns on how many nodes the keys were seen to be valid before
// anybody called for their end.
func (h *History) acceptedOn() int {
	nodes := map[int]bool{}
	for _, r := range h.Readings {
		if r.Code == Valid && !h.endCalledBefore(r.Ended) {
			nodes[r.Door.Node] = true
		}
	}
	return len(nodes)
}

func (h *History) endCalledBefore(moment time.Duration) bool {
	for _, c := range h.Changes {
		if c.Ends && c.Called < moment {
			return true
		}
	}
	return false
}
