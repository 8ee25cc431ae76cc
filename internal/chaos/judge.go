package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// around is how near to the return of a revocation a verification of that key
	// begins to count. Further away no node is likely to be wrong, so that any
	// number of verifications there shows nothing.
	around = 100 * time.Millisecond
	// witnesses is on how many nodes a key must have been accepted before its
	// revocation counts: who accepts nothing revokes easily.
	witnesses = 2
)

// Violation is an answer that the promise rules out.
type Violation struct {
	Subject string
	Reading Reading
	After   Change // the last change that had returned when the reading began
	Why     string
}

func (v Violation) String() string {
	r := v.Reading
	return fmt.Sprintf("%s: %s. %v read %s of %d keys, asked at %v and answered at %v; %s through node %d had returned at %v, %v before it was asked",
		v.Subject, v.Why, r.Door, r.Code, r.Count, r.Begun, r.Ended, v.After.What, v.After.Node+1, v.After.Returned, r.Begun-v.After.Returned)
}

// Shown is what verifications at some doors show. All are of single keys, however
// they were asked for.
type Shown struct {
	Readings  int
	Accepted  int
	Stale     int
	Silent    int
	Counted   int // those that begin around the return of a revocation that counts, and have a verdict
	After     int // of these, those that begin after it
	Elsewhere int // of those that count, on another node than the one that revoked
	Violating int // readings that the promise rules out
	Wrongly   int // of these, those that accepted what had been taken

	Calm         int // of keys that were surely valid, where nothing was wrong
	CalmAccepted int
}

// Tally is what many histories show together.
type Tally struct {
	Shown
	Doors      map[Kind]*Shown // the same of each kind of door
	Violations []Violation     // of very many, not all are kept

	Revocations int            // that were confirmed
	Counting    int            // of these, the ones of keys that had been seen to be accepted
	Pauses      int            // confirmed
	Narrowings  int            // confirmed
	By          map[string]int // what the receipts of revocations rest on
	Unanswered  int            // calls that change something, and never had an answer
	Undecided   int            // calls whose answer left open whether it was done

	Healthy []time.Duration // how long revocations took where nothing was wrong
	Away    []time.Duration // where another node than the one that was called was dead, stopped or cut off
}

// keptViolations is how many violations a tally keeps the details of.
const keptViolations = 50

// Judge compares all that was read with what the promise allows, and adds it to a
// tally. troubles say when something was wrong.
func (h *History) Judge(t *Tally, troubles *Troubles) {
	end, ended := h.end()
	counts := ended && h.acceptedOn() >= witnesses
	for _, r := range h.Readings {
		why := h.breach(r)
		if why != "" && len(t.Violations) < keptViolations {
			t.Violations = append(t.Violations, Violation{h.Subject, r, h.latest(r), why})
		}
		for _, s := range []*Shown{&t.Shown, t.at(r.Door.Kind)} {
			s.read(r, why != "")
			if counts {
				s.count(r, end)
			}
			if h.surely(Valid, r) && troubles.Calm(r.Begun, r.Ended) {
				s.calm(r)
			}
		}
	}
	for _, c := range h.Changes {
		t.changed(c, troubles)
	}
	if counts {
		t.Counting++
	}
}

// breach says in what a reading breaks the promise, or nothing.
func (h *History) breach(r Reading) string {
	switch {
	case r.Torn:
		return "one batch gave two answers about keys that were changed as one"
	case !r.Code.verdict() || h.allows(r):
		return ""
	case r.Code == Valid:
		return "accepted after it was taken"
	case h.latest(r).Reads == Valid:
		return "refused after it was given"
	}
	return "refused for a reason that is over"
}

// at returns what a kind of door shows.
func (t *Tally) at(kind Kind) *Shown {
	if t.Doors == nil {
		t.Doors = map[Kind]*Shown{}
	}
	if t.Doors[kind] == nil {
		t.Doors[kind] = new(Shown)
	}
	return t.Doors[kind]
}

func (s *Shown) read(r Reading, violating bool) {
	s.Readings += r.Count
	switch r.Code {
	case Valid:
		s.Accepted += r.Count
	case Stale:
		s.Stale += r.Count
	case Silent:
		s.Silent += r.Count
	}
	if violating {
		s.Violating += r.Count
		if r.Code == Valid {
			s.Wrongly += r.Count
		}
	}
}

// count adds a reading of keys whose end counts, if it is near its return.
func (s *Shown) count(r Reading, end Change) {
	if !r.Code.verdict() || (r.Begun-end.Returned).Abs() > around {
		return
	}
	s.Counted += r.Count
	if r.Begun >= end.Returned {
		s.After += r.Count
	}
	if r.Door.Node != end.Node {
		s.Elsewhere += r.Count
	}
}

// calm adds a reading of keys that were surely valid, where nothing was wrong.
func (s *Shown) calm(r Reading) {
	s.Calm += r.Count
	if r.Code == Valid {
		s.CalmAccepted += r.Count
	}
}

func (t *Tally) changed(c Change, troubles *Troubles) {
	switch c.Outcome {
	case Lost:
		t.Unanswered++
	case Open:
		t.Undecided++
	case Confirmed:
		switch {
		case c.Ends:
			t.Revocations++
			if t.By == nil {
				t.By = map[string]int{}
			}
			t.By[c.By]++
			t.time(c, troubles)
		case c.Reads == Paused:
			t.Pauses++
		case c.Reads == PermissionDenied:
			t.Narrowings++
		}
	}
}

func (t *Tally) time(c Change, troubles *Troubles) {
	took := c.Returned - c.Called
	switch {
	case troubles.Calm(c.Called, c.Returned):
		t.Healthy = append(t.Healthy, took)
	case troubles.Elsewhere(c.Node, c.Called, c.Returned):
		t.Away = append(t.Away, took)
	}
}

// Volumes are what a run must have done to show anything.
type Volumes struct {
	Readings    int          // that count
	Revocations int          // that count
	After       map[Kind]int // readings of each kind of door that count, and begin after the return
}

// The least share of verifications of valid keys that are accepted where nothing is
// wrong, by servers, and at each other kind of door: a verifier whose silence was waited
// for gets nothing for a while, also when nothing is wrong any more.
const (
	accepted        = 0.99
	acceptedOutside = 0.5
)

// Short says in what a tally shows too little, whatever it shows.
func (t *Tally) Short(least Volumes) (short []string) {
	need := func(what string, got, want int) {
		if got < want {
			short = append(short, fmt.Sprintf("%s: %d, and %d are needed", what, got, want))
		}
	}
	need("verifications around the return of a revocation", t.Counted, least.Readings)
	need("of these on another node than the one that revoked", t.Elsewhere, (t.Counted+1)/2)
	need("revocations of keys that had been accepted", t.Counting, least.Revocations)
	for _, kind := range slices.Sorted(maps.Keys(least.After)) {
		at, share := t.at(kind), acceptedOutside
		if kind == Server {
			share = accepted
		}
		at.need(need, kind, least.After[kind], share)
	}
	return short
}

// need says what a kind of door must have shown.
func (s *Shown) need(need func(what string, got, want int), kind Kind, after int, share float64) {
	need(string(kind)+": verifications just after the return of a revocation", s.After, after)
	need(string(kind)+": verifications of valid keys where nothing was wrong", s.Calm, 1)
	need(string(kind)+": of these accepted", s.CalmAccepted, int(share*float64(s.Calm)))
}
