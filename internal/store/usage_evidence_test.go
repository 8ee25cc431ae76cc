package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

var morning = time.Date(2026, 3, 4, 10, 20, 30, 0, time.UTC)

// witness is a store with reporters of the use of two keys, and a clock.
type witness struct {
	*seeded
	t       *testing.T
	s       *store.Store
	url     string
	now     time.Time
	numbers map[string]int64
	old     iam.Key
}

func eachWitness(t *testing.T, test func(t *testing.T, w *witness)) {
	storetest.Each(t, func(t *testing.T, url string) { test(t, newWitness(t, url)) })
}

func newWitness(t *testing.T, url string) *witness {
	t.Helper()
	w := &witness{t: t, now: morning, numbers: map[string]int64{}, url: url}
	w.s = open(t, url, store.Options{Now: func() time.Time { return w.now }})
	w.seeded = seed(t, w.s)
	w.old = w.key
	return w
}

func (w *witness) register(id string) {
	w.t.Helper()
	if _, err := w.s.Register(w.t.Context(), iam.Reporter{ID: id, Name: "node " + id, Kind: iam.ServerNode}); err != nil {
		w.t.Fatal(err)
	}
}

// report sends the next report of a reporter.
func (w *witness) report(id string, r iam.UsageReport) {
	w.t.Helper()
	w.numbers[id]++
	r.Reporter, r.Number = id, w.numbers[id]
	if _, err := w.s.Report(w.t.Context(), r, func(iam.NoteTx, []iam.Key) error { return nil }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *witness) covers(id string, at time.Time) {
	w.t.Helper()
	w.report(id, iam.UsageReport{Covers: at})
}

// use reports that the old key was accepted from a source.
func (w *witness) use(id, ip string, first, last time.Time) {
	w.t.Helper()
	w.report(id, iam.UsageReport{Keys: []iam.KeyUse{{
		Key: w.old.ID, Principal: w.account.ID, Workspace: w.ws.ID, LastOK: last,
		Minutes: []iam.UsePoint{{At: last.Truncate(time.Minute), OK: 1}},
		Sources: []iam.SourceUse{{IP: ip, First: first, Last: last, LastOK: last, OK: 1}},
	}}})
}

func (w *witness) evidence() iam.Evidence {
	w.t.Helper()
	e, err := w.s.Evidence(w.t.Context(), w.ws.ID, w.old.ID, "key_new")
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// known fails the test unless just this is known, and nothing more.
func (w *witness) known(what string, to, unknownUntil time.Time, silent ...string) {
	w.t.Helper()
	e := w.evidence()
	if !e.KnownTo.Equal(to) || !e.UnknownUntil.Equal(unknownUntil) || !slices.Equal(e.Silent, silent) {
		w.t.Errorf("%s: known to %v, unknown until %v, silent %q; want %v, %v and %q",
			what, e.KnownTo, e.UnknownUntil, e.Silent, to, unknownUntil, silent)
	}
}

// Unknown is in use: until a reporter has said what it covers nothing is known.
func TestUseIsKnownAsFarAsItIsReported(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		none := time.Time{}
		w.known("nobody counts", none, none)
		w.register("a")
		w.known("registered", none, none)
		w.covers("a", none)
		w.known("said nothing of what it covers", none, none)
		covered := w.now.Add(-time.Second)
		w.covers("a", covered)
		w.known("covered", covered, none)
		w.covers("a", covered.Add(-time.Minute))
		w.known("covers less, as it says late", covered, none)
		w.register("a")
		w.known("registered again", covered, none)
		w.covers("a", w.now.Add(time.Hour))
		w.known("covers what is to come", w.now, none)
		then := w.now
		w.now = w.now.Add(5 * time.Second)
		w.known("for some seconds", then, none)
		w.now = w.now.Add(time.Second)
		w.known("silent", then, none, "node a")
	})
}

func TestAReporterThatHasSaidAllLeavesNothingUnknown(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		w.register("a")
		w.covers("a", w.now.Add(-time.Second))
		w.report("a", iam.UsageReport{Last: true})
		w.known("ended", time.Time{}, time.Time{})
		w.now = w.now.Add(time.Hour)
		w.register("b")
		w.covers("b", w.now)
		w.known("the next one", w.now, time.Time{})
	})
}

// Whoever begins to answer from an SQLite file is the only one that does.
func TestRegisteringOnSQLiteEndsWhoWasThereBefore(t *testing.T) {
	w := newWitness(t, storetest.SQLite(t))
	w.register("a")
	w.covers("a", w.now)
	w.now = w.now.Add(time.Hour)
	killed := w.now
	w.register("b")
	w.known("not a word yet", time.Time{}, killed)
	w.now = w.now.Add(time.Minute)
	w.covers("b", w.now)
	if err := w.s.TendUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.known("what a did not report is lost", w.now, killed)
	w.covers("a", killed.Add(-time.Second))
	w.known("a reports late, and not all", w.now, killed)
	w.covers("a", killed)
	w.known("a has said all", w.now, time.Time{})
}

func TestGapsAreThoseBetweenUsesOfOneSource(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		w.register("a")
		at := func(h, m int) time.Time {
			return morning.Truncate(24*time.Hour).AddDate(0, 0, 1).Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
		}
		gap := func(what string, ip string, want, evidence time.Duration) {
			t.Helper()
			e := w.evidence()
			i := slices.IndexFunc(e.OldSources, func(s iam.KeySource) bool { return s.IP == ip })
			if i < 0 || e.OldSources[i].LongestGap != want || e.LongestGap != evidence {
				t.Errorf("%s: sources %+v, longest %v; want a gap of %v of %s, %v in all", what, e.OldSources, e.LongestGap, want, ip, evidence)
			}
		}
		w.now = at(8, 0)
		w.use("a", "1", at(8, 0), at(8, 0))
		gap("one use", "1", 0, 0)
		w.now = at(9, 0)
		gap("one use, an hour ago", "1", 0, time.Hour)
		w.use("a", "1", at(8, 30), at(9, 0))
		gap("two", "1", 30*time.Minute, 30*time.Minute)
		w.use("a", "1", at(8, 40), at(8, 50))
		gap("late, in between", "1", 30*time.Minute, 30*time.Minute)
		w.use("a", "1", at(8, 50), at(9, 0))
		gap("late, at the end", "1", 30*time.Minute, 30*time.Minute)
		w.use("a", "2", at(3, 0), at(3, 0))
		gap("another source", "2", 0, 6*time.Hour)
		gap("another source", "1", 30*time.Minute, 6*time.Hour)
		w.use("a", "2", at(1, 0), at(2, 0))
		gap("wholly before", "2", time.Hour, 6*time.Hour)
		w.now = at(10, 0)
		w.use("a", "2", at(10, 0), at(10, 0))
		w.use("a", "2", at(10, 0), at(10, 0))
		gap("another source, again", "2", 7*time.Hour, 7*time.Hour)
	})
}

// A consumer that comes every night is remembered for thirty days, also when it
// comes more often later, and is forgotten in the end.
func TestANightlyConsumerIsRememberedForThirtyDays(t *testing.T) {
	const day = 24 * time.Hour
	eachWitness(t, func(t *testing.T, w *witness) {
		w.register("a")
		began := w.now
		w.use("a", "1", w.now, w.now)
		w.now = w.now.Add(day)
		w.use("a", "1", w.now, w.now)
		for w.now.Before(began.Add(100 * day)) {
			w.now = w.now.Add(6 * time.Hour)
			w.use("a", "1", w.now, w.now)
			since, got := w.now.Sub(began.Add(day)), w.evidence().LongestGap
			if since <= 30*day && got != day || since > 61*day && got != 6*time.Hour {
				t.Fatalf("%v after its last night: longest gap %v", since, got)
			}
		}
		w.now = w.now.Add(29 * day)
		if got := w.evidence().LongestGap; got != 29*day {
			t.Errorf("silent for 29 days: longest gap %v", got)
		}
		w.now = w.now.Add(100 * day)
		if got := w.evidence().LongestGap; got != 0 {
			t.Errorf("gone for 129 days: longest gap %v, want none", got)
		}
		w.use("a", "1", w.now, w.now)
		if got := w.evidence().LongestGap; got != 30*day {
			t.Errorf("back after 129 days: longest gap %v, want at most 30 days", got)
		}
	})
}

// Evidence is of one moment: whenever it is read, what is said to be known is there.
func TestEvidenceIsNeverAheadOfWhatItKnows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		w := newWitness(t, url)
		w.register("a")
		w.covers("a", w.now)
		w.now = morning.Add(24 * time.Hour)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := range int64(150) {
				at := morning.Add(time.Duration(n) * time.Minute)
				r := iam.UsageReport{Reporter: "a", Number: n + 2, Covers: at.Add(time.Microsecond), Keys: []iam.KeyUse{{
					Key: w.old.ID, Principal: w.account.ID, Workspace: w.ws.ID, LastOK: at,
					Sources: []iam.SourceUse{{IP: fmt.Sprint(n % 7), First: at, Last: at, LastOK: at, OK: 1}},
				}}}
				if _, err := w.s.Report(t.Context(), r, func(iam.NoteTx, []iam.Key) error { return nil }); err != nil {
					t.Error(err)
				}
			}
		}()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			e := w.evidence()
			if e.OldLastOK.IsZero() {
				continue
			}
			if want := e.OldLastOK.Add(time.Microsecond); !e.KnownTo.Equal(want) || !e.OldSources[0].Last.Equal(e.OldLastOK) {
				t.Fatalf("known to %v, last accepted %v, from %+v", e.KnownTo, e.OldLastOK, e.OldSources[0])
			}
		}
	})
}

// A failover, or an older copy of the database, takes back reports that were taken.
// What they said may be any use of any key.
func TestWhatTheDatabaseLostOfReportsIsUnknown(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		w.register("a")
		w.covers("a", w.now)
		w.known("nothing is lost", w.now, time.Time{})
		w.covers("a", w.now)
		w.covers("a", w.now)
		disturb(t, raw(t, w.url), `UPDATE usage_reporters SET number = 2`)
		w.covers("a", w.now) // the fourth
		w.known("the third report is lost", w.now, w.now)
		lost := w.now
		w.now = w.now.Add(time.Minute)
		w.covers("a", w.now)
		w.known("later", w.now, lost)
	})
}

// Nothing is known of a time that is yet to come by a clock that was set back.
func TestClockThatIsSetBackTakesBackWhatIsCovered(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		w.register("a")
		w.now = w.now.Add(3 * time.Hour)
		w.covers("a", w.now)
		w.now = w.now.Add(-2 * time.Hour)
		w.covers("a", w.now)
		w.known("two hours earlier", w.now, time.Time{})
	})
}
