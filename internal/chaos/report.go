package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what a run has shown.
type Report struct {
	Tally
	Seed   uint64
	Took   time.Duration
	Faults map[string]int
	Odds   map[string]int  // what nobody expects, and how often it was
	Held   int             // how often a node was seen to be away while it had the head row
	Back   []time.Duration // how long it took until every node was ready, each time that everything was mended
}

// Report returns what the run has shown so far.
func (r *Run) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report()
}

// report returns the same. r.mu is held.
func (r *Run) report() Report {
	return Report{r.tally, r.plan.Seed, r.clock.Now(), r.troubles.Count(), r.odds, r.held, r.back}
}

func (r Report) String() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("seed %d, %v", r.Seed, r.Took.Round(time.Second))
	say("verifications  %d, %.1f %% of them stale, %.1f %% without an answer", r.Readings, percent(r.Stale, r.Readings), percent(r.Silent, r.Readings))
	say("  that count   %d within ±%v of the return of a revocation of the key, %.0f %% on another node", r.Counted, around, percent(r.Elsewhere, r.Counted))
	say("  when calm    %d of valid keys, %.3f %% accepted", r.Calm, percent(r.CalmAccepted, r.Calm))
	say("revocations    %d confirmed (%s), %d of them of keys that had been accepted on %d nodes", r.Revocations, counts(r.By), r.Counting, witnesses)
	say("  when calm    %s", spread(r.Healthy))
	say("  others away  %s", spread(r.Away))
	say("other changes  %d pauses, %d roles narrowed; of all calls %d ended undecided and %d unanswered", r.Pauses, r.Narrowings, r.Undecided, r.Unanswered)
	say("faults         all nodes ready again after %s", spread(r.Back))
	say("               %d times a node was away and had the head row", r.Held)
	for _, kind := range kinds(r.Faults) {
		say("  %5d %s", r.Faults[kind], kind)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Doors)) {
		d := r.Doors[kind]
		say("at %-10s  %d verifications, %d accepted, %d just after a return, %d accepted after it; %d violations; %.1f %% stale, %.1f %% without an answer; when calm %.3f %% of %d accepted",
			kind, d.Readings, d.Accepted, d.After, d.Wrongly, d.Violating, percent(d.Stale, d.Readings), percent(d.Silent, d.Readings), percent(d.CalmAccepted, d.Calm), d.Calm)
	}
	say("violations     %d", r.Violating)
	for i, v := range r.Violations {
		if i == 10 {
			say("  and more")
			break
		}
		say("  %v", v)
	}
	for _, text := range kinds(r.Odds) {
		say("unexpected     %d × %s", r.Odds[text], text)
	}
	return b.String()
}

// counts lists how often there was what.
func counts(of map[string]int) string {
	var all []string
	for _, kind := range kinds(of) {
		all = append(all, fmt.Sprintf("%d %s", of[kind], kind))
	}
	return strings.Join(all, ", ")
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// spread describes how long something took.
func spread(took []time.Duration) string {
	if len(took) == 0 {
		return "never"
	}
	sorted := slices.Sorted(slices.Values(took))
	at := func(share float64) time.Duration {
		return sorted[int(share*float64(len(sorted)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, longest %v, of %d", at(0.5), at(0.99), at(1), len(sorted))
}
