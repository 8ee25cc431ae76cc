package chaos

import (
	"cmp"
	"errors"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	_ "github.com/posternhq/postern/internal/cli" // what is tried: its changes outdate what go test remembers
)

var (
	seed    = flag.Uint64("seed", 0, "seed of a run of chaos; 0: another one each time")
	torture = flag.Bool("torture", false, "run until the full volumes are reached, for 40 minutes at most")
	longer  = flag.Duration("for", 0, "how long a run makes faults at most; 0: two minutes, or what torture says")
)

// plan is what a run does in some time, with a program. It leaves something of a
// small machine for other tests that run beside it.
func plan(t *testing.T, program string, d time.Duration, faults []Fault) Plan {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("run it again with: go test ./internal/chaos -run %s -v -args -seed %d", t.Name(), s)
	return Plan{
		Program: program, Dir: t.TempDir(), Seed: s, For: d, TTL: time.Second,
		Hunters: 8, Verifiers: 3, Pace: 5 * time.Millisecond, Account: 12, Faults: faults, Log: t.Logf,
	}
}

// do makes a run and returns its report.
func do(t *testing.T, p Plan) Report {
	t.Helper()
	r, err := Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, n := range r.nodes {
			if t.Failed() {
				t.Logf("the last words of %s:\n%s", n.Name, n.LastWords(60))
			}
		}
	})
	failed := r.Do(t.Context())
	report := r.Report()
	t.Logf("\n%v", report)
	if err := errors.Join(failed, r.Close()); err != nil {
		t.Error(err)
	}
	return report
}

func TestWhatWasTakenIsNeverAcceptedWhateverHappens(t *testing.T) {
	program, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, least := plan(t, program, 2*time.Minute, Faults()), Volumes{Readings: 5000, Revocations: 100}
	switch {
	case *torture:
		least = Volumes{Readings: 10_000_000, Revocations: 5000}
		p.For, p.Enough, p.Hunters, p.Pace, p.Account = 40*time.Minute, least, 12, time.Millisecond, 40
	case testing.Short():
		p.For, least = 20*time.Second, Volumes{Readings: 100, Revocations: 5}
	}
	p.For = cmp.Or(*longer, p.For)
	got := do(t, p)
	if got.Violating > 0 {
		t.Errorf("the promise was broken %d times", got.Violating)
	}
	for _, short := range got.Short(least) {
		t.Error("the run shows too little:", short)
	}
	if len(got.Odds) > 0 {
		t.Errorf("%d things that nobody expects", len(got.Odds))
	}
	if testing.Short() {
		return
	}
	for _, f := range Faults() {
		if got.Faults[f.Kind] == 0 {
			t.Errorf("it never happened: %s", f.Kind)
		}
	}
	if got.Held == 0 {
		t.Error("no node was ever away while it had the head row")
	}
}

// The same without the check that the lease lives must fail, or the run above
// shows nothing.
func TestWithoutLeasesTheSameFails(t *testing.T) {
	if testing.Short() {
		t.Skip("what it starts is built without the race detector, which -short is for")
	}
	program, err := BuildWithoutLeases(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got := do(t, plan(t, program, 20*time.Second, CutOffs()))
	if got.Violating == 0 {
		t.Error("nodes that answer without a lease were not seen to break the promise")
	}
}
