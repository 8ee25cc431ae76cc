package chaos

import (
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// lifeWith is a history of one key: made through node 0 by 10 ms, accepted on both
// others at 20 ms, and revoked through node 0 from 100 ms to 110 ms.
func lifeWith(readings ...Reading) *History {
	seen := []Reading{
		{Door: at(1), Begun: 19 * ms, Ended: 20 * ms, Code: Valid, Count: 1},
		{Door: at(2), Begun: 19 * ms, Ended: 20 * ms, Code: Valid, Count: 1},
	}
	return &History{
		Subject: "key_1",
		Changes: []Change{
			{What: "create", Reads: Valid, Called: 0, Returned: 10 * ms},
			{What: "revoke", Reads: Revoked, Ends: true, Called: 100 * ms, Returned: 110 * ms},
		},
		Readings: append(seen, readings...),
	}
}

// at is the API of a node.
func at(node int) Door { return Door{Server, node, node} }

func read(code Code, begun, ended time.Duration) Reading {
	return Reading{Door: at(1), Begun: begun, Ended: ended, Code: code, Count: 1}
}

func judge(h *History) *Tally {
	t := new(Tally)
	h.Judge(t, new(Troubles))
	return t
}

func TestTheJudgeKnowsWhatThePromiseRulesOut(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reading Reading
		why     string // empty: it is allowed
	}{
		{"accepted before it was taken", read(Valid, 50*ms, 51*ms), ""},
		{"accepted while it was taken", read(Valid, 105*ms, 106*ms), ""},
		{"accepted, asked before the return and answered after", read(Valid, 109*ms, 200*ms), ""},
		{"accepted, asked after the return", read(Valid, 110*ms, 111*ms), "accepted after it was taken"},
		{"accepted, asked much later", read(Valid, 5000*ms, 5001*ms), "accepted after it was taken"},
		{"refused while it was taken", read(Revoked, 101*ms, 102*ms), ""},
		{"refused after it was taken", read(Revoked, 110*ms, 111*ms), ""},
		{"refused before anybody took it", read(Revoked, 50*ms, 51*ms), "refused after it was given"},
		{"not found after it was given", read(NotFound, 10*ms, 11*ms), "refused after it was given"},
		{"not found after it was taken", read(NotFound, 120*ms, 121*ms), "refused for a reason that is over"},
		{"stale after it was given", read(Stale, 50*ms, 51*ms), ""},
		{"stale after it was taken", read(Stale, 120*ms, 121*ms), ""},
		{"turned away before anybody took it", read(TurnedAway, 50*ms, 51*ms), "refused after it was given"},
		{"turned away while it was taken", read(TurnedAway, 101*ms, 102*ms), ""},
		{"turned away after it was taken", read(TurnedAway, 120*ms, 121*ms), ""},
		{"no answer", read(Silent, 120*ms, 121*ms), ""},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, judge(lifeWith(tt.reading)), tt.why) })
	}
}

// expect fails the test unless a tally has the one violation, or none.
func expect(t *testing.T, tally *Tally, why string) {
	t.Helper()
	switch {
	case why == "" && len(tally.Violations) > 0:
		t.Errorf("got a violation: %v", tally.Violations)
	case why != "" && (len(tally.Violations) != 1 || tally.Violations[0].Why != why):
		t.Errorf("got %v, want one violation: %s", tally.Violations, why)
	}
}

func TestOfACallWhoseOutcomeIsNotKnownBothAreAllowed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		outcome Outcome
		resumed bool // through a call that returned at 160 ms
		code    Code
		why     string
	}{
		{"may be paused", Open, false, Paused, ""},
		{"may not be paused", Open, false, Valid, ""},
		{"an open pause is over when a later call has returned", Open, true, Paused, "refused after it was given"},
		{"a lost one may come late", Lost, true, Paused, ""},
		{"a refused one never happens", Refused, false, Paused, "refused after it was given"},
		{"a confirmed one holds", Confirmed, false, Valid, "accepted after it was taken"},
		{"until it is over", Confirmed, true, Valid, ""},
		{"and no longer", Confirmed, true, Paused, "refused after it was given"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := lifeWith(read(tt.code, 180*ms, 181*ms))
			h.Changes[1] = Change{What: "pause", Reads: Paused, Called: 100 * ms, Returned: 110 * ms, Outcome: tt.outcome}
			if tt.resumed {
				h.Changes = append(h.Changes, Change{What: "resume", Reads: Valid, Called: 150 * ms, Returned: 160 * ms})
			}
			expect(t, judge(h), tt.why)
		})
	}
}

func TestNothingComesAfterTheEnd(t *testing.T) {
	h := lifeWith(read(Paused, 120*ms, 121*ms))
	lost := Change{What: "pause", Reads: Paused, Called: 50 * ms, Returned: 60 * ms, Outcome: Lost}
	h.Changes = []Change{h.Changes[0], lost, h.Changes[1]}
	expect(t, judge(h), "refused for a reason that is over")
}

func TestABatchThatIsTornIsAViolation(t *testing.T) {
	torn := read(Valid, 105*ms, 106*ms)
	torn.Torn = true
	expect(t, judge(lifeWith(torn)), "one batch gave two answers about keys that were changed as one")
}

func TestEachKindOfDoorIsCountedByItself(t *testing.T) {
	own, wrong := read(Revoked, 115*ms, 116*ms), read(Valid, 120*ms, 121*ms)
	own.Door, wrong.Door = Door{Kind: Verifier, Node: 2}, Door{Kind: Nginx}
	got := judge(lifeWith(own, wrong, read(Stale, 130*ms, 131*ms)))
	want := map[Kind]Shown{
		Server:   {Readings: 3, Accepted: 2, Stale: 1, Counted: 2, Elsewhere: 2, Calm: 2, CalmAccepted: 2},
		Verifier: {Readings: 1, Counted: 1, After: 1, Elsewhere: 1},
		Nginx:    {Readings: 1, Accepted: 1, Counted: 1, After: 1, Violating: 1, Wrongly: 1},
	}
	for kind, want := range want {
		if *got.at(kind) != want {
			t.Errorf("%s: got %+v, want %+v", kind, *got.at(kind), want)
		}
	}
}

func TestOnlyVerdictsAroundTheReturnOfARevocationCount(t *testing.T) {
	own := read(Revoked, 115*ms, 116*ms)
	own.Door = at(0)
	got := judge(lifeWith(
		read(Revoked, 111*ms, 112*ms), own, read(Valid, 11*ms, 12*ms), // count, one on the node that revoked
		read(Revoked, 211*ms, 212*ms), read(Stale, 112*ms, 113*ms), read(Silent, 112*ms, 113*ms), // do not
	))
	// Those that it begins with are as near.
	if got.Readings != 8 || got.Counted != 5 || got.Elsewhere != 4 || got.Revocations != 1 || got.Counting != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestARevocationOfAKeyThatWasNotAcceptedDoesNotCount(t *testing.T) {
	h := lifeWith(read(Revoked, 111*ms, 112*ms))
	h.Readings = h.Readings[1:] // accepted on one node only
	if got := judge(h); got.Counted != 0 || got.Counting != 0 || got.Revocations != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestARunThatDidTooLittleIsNoPass(t *testing.T) {
	enough := func() *Tally {
		return &Tally{
			Shown: Shown{Counted: 100, Elsewhere: 50}, Counting: 10,
			Doors: map[Kind]*Shown{Server: {After: 10, Calm: 1000, CalmAccepted: 990}, Verifier: {After: 10, Calm: 1000, CalmAccepted: 500}},
		}
	}
	least := Volumes{Readings: 100, Revocations: 10, After: map[Kind]int{Server: 10, Verifier: 10}}
	if short := enough().Short(least); short != nil {
		t.Errorf("enough is short of %v", short)
	}
	for name, lessen := range map[string]func(*Tally){
		"verifications around the return": func(t *Tally) { t.Counted-- },
		"another node":                    func(t *Tally) { t.Elsewhere-- },
		"revocations":                     func(t *Tally) { t.Counting-- },
		"server: verifications just":      func(t *Tally) { t.Doors[Server].After-- },
		"verifier: verifications just":    func(t *Tally) { t.Doors[Verifier].After-- },
		"where nothing was wrong":         func(t *Tally) { t.Doors[Server].Calm, t.Doors[Server].CalmAccepted = 0, 0 },
		"server: of these accepted":       func(t *Tally) { t.Doors[Server].CalmAccepted-- },
		"verifier: of these accepted":     func(t *Tally) { t.Doors[Verifier].CalmAccepted-- },
	} {
		less := enough()
		lessen(less)
		if short := less.Short(least); len(short) != 1 || !strings.Contains(short[0], name) {
			t.Errorf("with fewer: got %v, want one about %q", short, name)
		}
	}
	if short := new(Tally).Short(least); len(short) == 0 {
		t.Error("a run that did nothing passes")
	}
}

func TestRefusingValidKeysIsNoPassUnlessSomethingWasWrong(t *testing.T) {
	clock, troubles := Clock(time.Now()), &Troubles{Settle: time.Second}
	calm := new(Tally)
	lifeWith(read(Stale, 50*ms, 51*ms)).Judge(calm, troubles)
	if calm.Calm != 3 || calm.CalmAccepted != 2 {
		t.Errorf("where nothing was wrong: %d of %d accepted, want 2 of 3", calm.CalmAccepted, calm.Calm)
	}
	troubles.Begin("kill", 1, clock)()
	troubled := new(Tally)
	lifeWith(read(Stale, 500*ms, 501*ms)).Judge(troubled, troubles)
	if troubled.Calm != 0 || len(troubled.Away) != 1 || len(calm.Healthy) != 1 {
		t.Errorf("beside a trouble: %+v", troubled)
	}
}
