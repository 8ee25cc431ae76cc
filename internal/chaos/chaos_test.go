package chaos

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	_ "github.com/posternhq/postern/internal/cli" // what is tried: its changes outdate what go test remembers
)

var (
	seed    = flag.Uint64("seed", 0, "seed of a run of chaos; 0: another one each time")
	torture = flag.Bool("torture", false, "run until the full volumes are reached, for 40 minutes at most")
	longer  = flag.Duration("for", 0, "how long a run makes faults at most; 0: five minutes, or what torture says")
)

// TestMain has tests run beside each other: most of what they do is to wait, for
// leases to end and for what was broken to be mended.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0)+4)); err != nil {
		panic(err)
	}
	dir := ""
	program = sync.OnceValues(func() (path string, err error) {
		if dir, err = os.MkdirTemp("", "chaos-"); err != nil {
			return "", err
		}
		return Build(context.Background(), dir)
	})
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// program builds the program and the verifier beside it, once for all tests.
var program func() (string, error)

// built returns the path of the program.
func built(t *testing.T) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// deployment is held by the test whose deployment runs: two at once are too much for
// a small machine.
var deployment sync.Mutex

// most is for how long a run goes on at most, unless it is told otherwise: for far
// longer than it needs, also where the machine has much else to do.
const most = 5 * time.Minute

// plan is what a run does in some time, with a program. It leaves something of a
// small machine for other tests that run beside it.
func plan(t *testing.T, program string, d time.Duration, faults []Fault) Plan {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("run it again with: go test ./internal/chaos -run %s -v -args -seed %d", t.Name(), s)
	return Plan{
		Program: program, Outside: beside(program), Outsiders: 50, Recipes: "../../deploy/gateways", Dir: t.TempDir(), Seed: s, For: d, TTL: time.Second,
		Hunters: 8, Verifiers: 3, Pace: 10 * time.Millisecond, Account: 12, Faults: faults, Log: t.Logf,
	}
}

// do makes a run and returns its report.
func do(t *testing.T, p Plan) Report {
	t.Helper()
	deployment.Lock()
	defer deployment.Unlock()
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
	t.Parallel()
	p, least := plan(t, built(t), most, Faults()), Volumes{Readings: 5000, Revocations: 100, After: atEach(500)}
	plenty := Volumes{Readings: 30_000, Revocations: 150, After: atEach(2000)}
	p.Enough = func(r Report) bool {
		if r.Took > 90*time.Second { // the machine has more to do
			plenty = least
		}
		return len(r.Short(plenty)) == 0 && len(r.missing()) == 0
	}
	switch {
	case *torture:
		least = Volumes{Readings: 10_000_000, Revocations: 5000, After: atEach(100_000)}
		p.For, p.Hunters, p.Pace, p.Account = 40*time.Minute, 12, time.Millisecond, 40
		p.Enough = func(r Report) bool { return len(r.Short(least)) == 0 }
	case testing.Short():
		p.Outsiders, least = 12, Volumes{Readings: 100, Revocations: 5}
		p.Enough = func(r Report) bool { return len(r.Short(least)) == 0 }
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
	for _, what := range got.missing() {
		t.Error("it never happened:", what)
	}
}

// atEach is so many for each kind of door.
func atEach(n int) map[Kind]int {
	each := map[Kind]int{}
	for _, kind := range Kinds() {
		each[kind] = n
		if kind != Server && kind != Verifier {
			each[kind] = n / 50 // one at a time, and one key in each question
		}
	}
	return each
}

// missing returns what should have happened in a run, and has not.
func (r Report) missing() (what []string) {
	for _, f := range Faults() {
		if r.Faults[f.Kind] == 0 {
			what = append(what, f.Kind)
		}
	}
	for _, f := range OutsideFaults() {
		if r.Faults[f.Kind] == 0 {
			what = append(what, f.Kind)
		}
	}
	if r.Held == 0 {
		what = append(what, "a node that was away while it had the head row")
	}
	return what
}

// The same without the check that the lease lives must fail, or the run above
// shows nothing.
func TestWithoutLeasesTheSameFails(t *testing.T) {
	if testing.Short() {
		t.Skip("what it starts is built without the race detector, which -short is for")
	}
	t.Parallel()
	program, err := BuildWithoutLeases(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := plan(t, program, most, CutOffs())
	p.Enough = func(r Report) bool { return len(r.faithful()) == 0 }
	for _, kind := range do(t, p).faithful() {
		t.Errorf("%s: without leases, the promise was not seen to be broken", kind)
	}
}

// faithful returns the kinds of doors at which the promise was not broken, in taking or
// in giving: those that ask for one key at a time rarely meet both in a run.
func (r Report) faithful() (kinds []Kind) {
	for _, kind := range Kinds() {
		if d := r.Doors[kind]; d == nil || d.Violating == 0 {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
