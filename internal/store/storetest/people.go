package storetest

import (
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// people are the promises of [iam.PeopleStore].
var people = []contract{
	{"GuessesLockLongerAndLonger", guessesLock},
	{"ManyNamesPushNoLockOut", locksStay},
	{"TicketWorksOnce", ticketWorksOnce},
	{"TicketOfLongAgoDoesNotWork", ticketEnds},
}

var guessing = iam.Guessing{Free: 2, First: time.Minute, Most: 3 * time.Minute, Forget: time.Hour}

func guessesLock(t *testing.T, open Open) {
	now := epoch
	s := open(t, func() time.Time { return now })
	guess := func() time.Duration {
		until := must[time.Time](t, "guess")(s.CountGuess(t.Context(), map[string]iam.Guessing{"a": guessing}))
		if until.IsZero() {
			return 0
		}
		return until.Sub(now)
	}
	equal(t, "the first", guess(), time.Duration(0))
	equal(t, "the second", guess(), time.Duration(0))
	equal(t, "the third, after which it is locked", guess(), time.Duration(0))
	equal(t, "the fourth", guess(), time.Minute)
	now = now.Add(time.Minute)
	equal(t, "after the lock", guess(), time.Duration(0))
	equal(t, "then", guess(), 2*time.Minute)
	now = now.Add(2 * time.Minute)
	equal(t, "after the second lock", guess(), time.Duration(0))
	equal(t, "the longest", guess(), 3*time.Minute)
	if err := s.ForgiveGuess(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	equal(t, "when they are forgotten", guess(), time.Duration(0))
	equal(t, "the second", guess(), time.Duration(0))
	now = now.Add(2 * time.Hour)
	equal(t, "after a while", guess(), time.Duration(0))
	equal(t, "they begin anew", guess(), time.Duration(0))
}

func locksStay(t *testing.T, open Open) {
	s := open(t, func() time.Time { return epoch })
	both := map[string]iam.Guessing{"name": guessing, "address": {Free: 1 << 20, First: time.Minute, Most: time.Minute, Forget: time.Hour}}
	for range 3 {
		must[time.Time](t, "guess")(s.CountGuess(t.Context(), both))
	}
	for i := range 200 {
		must[time.Time](t, "guess")(s.CountGuess(t.Context(), map[string]iam.Guessing{"other" + string(rune('a'+i%26)): guessing}))
	}
	until := must[time.Time](t, "guess")(s.CountGuess(t.Context(), both))
	equal(t, "the lock", until.UTC(), epoch.Add(time.Minute).Truncate(time.Microsecond))
}

func ticketWorksOnce(t *testing.T, open Open) {
	s := open(t, nil)
	hash := token.NewSecret("a ticket").Hash()
	kept := must[iam.Ticket](t, "keep")(s.KeepTicket(t.Context(), iam.Ticket{Hash: hash, Kind: "kind", Data: "{}"}, time.Minute))
	equal(t, "the ticket", must[iam.Ticket](t, "read")(s.Ticket(t.Context(), hash)), kept)
	const tries = 8
	used := make(chan error, tries)
	for range tries {
		go func() { used <- s.DropTicket(t.Context(), hash) }()
	}
	good := 0
	for range tries {
		if err := <-used; err == nil {
			good++
		} else {
			isKind(t, "again", err, iam.Gone)
		}
	}
	equal(t, "uses", good, 1)
}

func ticketEnds(t *testing.T, open Open) {
	now := epoch
	s := open(t, func() time.Time { return now })
	hash := token.NewSecret("a ticket").Hash()
	must[iam.Ticket](t, "keep")(s.KeepTicket(t.Context(), iam.Ticket{Hash: hash, Kind: "kind"}, time.Minute))
	now = now.Add(time.Minute)
	_, err := tryChange(t, s, func(tx iam.Tx) error { return tx.TakeTicket(t.Context(), hash) })
	isKind(t, "use", err, iam.Gone)
}
