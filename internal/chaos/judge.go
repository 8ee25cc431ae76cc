package chaos

import (
	"fmt"
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
	return fmt.Sprintf("%s: %s. Node %d read %s of %d keys, asked at %v and answered at %v; %s through node %d had returned at %v, %v before it was asked",
		v.Subject, v.Why, r.Node+1, r.Code, r.Count, r.Begun, r.Ended, v.After.What, v.After.Node+1, v.After.Returned, r.Begun-v.After.Returned)
}

// Tally is what many histories show together.
type Tally struct {
	Readings   int // of single keys, however they were asked for
	Counted    int // those that begin around the return of a revocation that counts, and have a verdict
	Elsewhere  int // of these, on another node than the one that revoked
	Stale      int
	Silent     int
	Violations []Violation
	Violating  int // readings that are violations; of very many, not all are kept

	Revocations int            // that were confirmed
	Counting    int            // of these, the ones of keys that had been seen to be accepted
	Pauses      int            // confirmed
	Narrowings  int            // confirmed
	By          map[string]int // what the receipts of revocations rest on
	Unanswered  int            // calls that change something, and never had an answer
	Undecided   int            // calls whose answer left open whether it was done

	Calm         int // readings of keys that were surely valid, where nothing was wrong
	CalmAccepted int

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
		t.read(r)
		if why := h.breach(r); why != "" {
			t.violate(Violation{h.Subject, r, h.latest(r), why}, r.Count)
		}
		if counts && r.Code.verdict() && (r.Begun-end.Returned).Abs() <= around {
			t.Counted += r.Count
			if r.Node != end.Node {
				t.Elsewhere += r.Count
			}
		}
		if h.surely(Valid, r) && troubles.Calm(r.Begun, r.Ended) {
			t.Calm += r.Count
			if r.Code == Valid {
				t.CalmAccepted += r.Count
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

func (t *Tally) read(r Reading) {
	t.Readings += r.Count
	switch r.Code {
	case Stale:
		t.Stale += r.Count
	case Silent:
		t.Silent += r.Count
	}
}

func (t *Tally) violate(v Violation, readings int) {
	t.Violating += readings
	if len(t.Violations) < keptViolations {
		t.Violations = append(t.Violations, v)
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
	Readings    int // that count
	Revocations int // that count
}

// accepted is the least share of verifications of valid keys that are accepted
// where nothing is wrong.
const accepted = 0.99

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
	need("verifications of valid keys where nothing was wrong", t.Calm, 1)
	need("of these accepted", t.CalmAccepted, int(accepted*float64(t.Calm)))
	return short
}
