package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

const (
	every         = time.Second             // between the beginnings of two rounds of reports
	short         = 50 * time.Millisecond   // is a round that the database and the processors hardly notice, if it is
	few           = 256                     // of so many keys at most
	everyLong     = 1500 * time.Millisecond // as every, for other rounds: what they say is still known after two seconds
	knownAfter    = 1750 * time.Millisecond // the same, as long as they do not take longer than usual
	soonest       = 50 * time.Millisecond   // between two looks, however full a side is
	longestReport = 5 * time.Second         // that a report is waited for
	again         = 200 * time.Millisecond  // between two attempts at the last report
)

// attempt is a report that may have been sent, and has not been seen to be taken.
type attempt struct {
	report  iam.UsageReport
	covered moment // what its Covers means
	then    moment // with this report, all that was counted before it is reported; 0: not known
}

// Register makes the reporter known to the store, which must be before the first
// use is counted. It may be called again after an error.
func (g *Gatherer) Register(ctx context.Context) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	defer g.end()
	return g.register(ctx)
}

// Run reports once a second until ctx ends, or more seldom when it takes long, when
// there is something to report or the store has not heard of the reporter for a
// while. What fails is tried again.
func (g *Gatherer) Run(ctx context.Context) {
	next := time.NewTimer(every)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			began := g.moment()
			if keys, err := g.round(ctx); err != nil { // it is logged, and tried again soon
				next.Reset(every)
			} else {
				next.Reset(rest(time.Duration(g.moment()-began), keys))
			}
		case <-g.full:
			g.gather()
			pause(ctx, soonest)
		case <-ctx.Done():
			return
		}
	}
}

// rest returns for how long nothing is reported after a round of so many keys that
// took some time. The database has other things to do too, and most keys that are in
// use are in use all the time: the fewer rounds, the fewer rows. Reports never take
// more than half of the time, however many keys are in use.
func rest(took time.Duration, keys int) time.Duration {
	if took <= short && keys <= few {
		return every - took
	}
	return max(knownAfter-2*took, everyLong-took, took)
}

// round reports what there is, and writes down when that begins to fail and when
// it no longer does. It returns of how many keys that was.
func (g *Gatherer) round(ctx context.Context) (keys int, err error) {
	if err := g.begin(ctx); err != nil {
		return 0, err
	}
	defer g.end()
	if g.finished {
		return 0, nil
	}
	g.lately = 0
	err = g.all(ctx)
	if err == nil && g.heartbeat > 0 && g.moment()-g.reported >= moment(g.heartbeat) {
		err = g.nothing(ctx)
	}
	switch {
	case ctx.Err() != nil: // it says nothing about the store
	case err != nil && !g.failing:
		g.failing = true
		g.log.Warn("what was counted of the use of keys cannot be reported; it is kept and reported later", "error", err)
	case err == nil && g.failing:
		g.failing = false
		g.log.Info("the use of keys is reported again")
	}
	return g.lately, err
}

// Flush returns nil once everything that was counted before it was called is in
// the store, and the store knows that it is everything.
func (g *Gatherer) Flush(ctx context.Context) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	defer g.end()
	called := g.moment()
	if g.finished {
		return nil
	}
	if err := g.all(ctx); err != nil {
		return err
	}
	for g.told < called {
		if err := g.nothing(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Finish makes the last report. Nothing must be counted any more. It tries until
// ctx ends; what the store does not know then is lost.
func (g *Gatherer) Finish(ctx context.Context) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	defer g.end()
	if !g.begun || g.finished {
		return nil // or it never got so far that anything could be counted
	}
	for {
		err := g.all(ctx)
		if err == nil && !g.finished {
			err = g.last(ctx)
		}
		if err == nil {
			return nil
		}
		if pause(ctx, again); ctx.Err() != nil {
			return err
		}
	}
}

// all reports all that was counted before it was called.
func (g *Gatherer) all(ctx context.Context) error {
	g.gather()
	if err := g.drain(ctx); err != nil { // what is left of earlier
		return err
	}
	g.load()
	return g.drain(ctx)
}

// load makes what waits what goes out next.
func (g *Gatherer) load() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken = g.gathered
	g.done = 0
	if g.standing != nil {
		g.outgoing, g.standing = append(g.outgoing, g.standing), nil
	}
	if g.waiting.keys.used > 0 {
		if g.emptied == nil {
			g.emptied = newSums(g.limits)
		}
		g.outgoing, g.waiting, g.emptied = append(g.outgoing, g.waiting), g.emptied, nil
	}
	if len(g.outgoing) == 0 {
		g.reportedTo = g.taken
	}
}

// drain reports what is outgoing, a part at a time.
func (g *Gatherer) drain(ctx context.Context) error {
	for {
		if g.attempted == nil && len(g.outgoing) == 0 {
			return nil
		}
		if g.attempted == nil {
			g.cut()
		}
		if err := g.send(ctx); err != nil {
			return err
		}
	}
}

// cut makes the next report of what is outgoing.
func (g *Gatherer) cut() {
	a, from := g.prepare(), g.outgoing[0]
	a.report.Keys, g.done = g.cutter.cut(from, g.done, g.offset.Load())
	if g.done < from.last() {
		return
	}
	switch from := from.(type) {
	case *side:
		g.giveBack(from)
	case *sums:
		from.empty()
		g.emptied = from
	}
	g.outgoing, g.done = slices.Delete(g.outgoing, 0, 1), 0
	if len(g.outgoing) == 0 {
		a.then = g.taken
	}
}

// nothing reports that there is nothing to report.
func (g *Gatherer) nothing(ctx context.Context) error {
	g.prepare().then = g.taken
	return g.send(ctx)
}

// last reports that there will be nothing more to report.
func (g *Gatherer) last(ctx context.Context) error {
	a := g.prepare()
	a.report.Last, a.then = true, g.taken
	return g.send(ctx)
}

// prepare makes the next report, which is attempted until it is taken.
func (g *Gatherer) prepare() *attempt {
	g.attempted = &attempt{
		report:  iam.UsageReport{Reporter: g.reporter.ID, Number: g.number + 1, Covers: g.covers},
		covered: g.covered,
	}
	return g.attempted
}

// send makes the attempt. After an error nobody knows whether the report was
// taken, so that the same is sent again.
func (g *Gatherer) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, longestReport)
	defer cancel()
	if !g.known {
		if err := g.register(ctx); err != nil {
			return err
		}
	}
	a, sent := g.attempted, g.moment()
	now, err := g.store.Report(ctx, a.report)
	if err != nil {
		g.known = !errors.Is(err, iam.NotFound) // a failover can lose it
		g.watch(func(w *iam.Gathering) { w.Failures++ })
		return fmt.Errorf("report the use of keys: %w", err)
	}
	g.heard(now, sent)
	g.attempted, g.number, g.told, g.reported = nil, a.report.Number, a.covered, g.moment()
	g.finished = a.report.Last
	g.lately += len(a.report.Keys)
	if a.then > 0 {
		// The store read its clock before it answered, so that this is not after
		// the moment.
		g.covers, g.covered = now.Add(-time.Duration(g.reported-a.then)), a.then
	}
	g.watch(func(w *iam.Gathering) { w.Reports++ })
	return nil
}

func (g *Gatherer) register(ctx context.Context) error {
	sent := g.moment()
	now, err := g.store.Register(ctx, g.reporter)
	if err != nil {
		return fmt.Errorf("register as a reporter of the use of keys: %w", err)
	}
	g.heard(now, sent)
	g.begun, g.known = true, true
	return nil
}

// heard notes what time it is in the database, which read its clock after sent: so
// that no moment is taken for an earlier time than it was.
func (g *Gatherer) heard(now time.Time, sent moment) {
	g.offset.Store(now.UnixNano() - int64(sent))
}

// watch changes what there is to know about the gatherer.
func (g *Gatherer) watch(change func(*iam.Gathering)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.watched)
	g.reportedTo = max(g.reportedTo, g.covered)
}

// begin returns nil once nobody else reports.
func (g *Gatherer) begin(ctx context.Context) error {
	select {
	case g.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Gatherer) end() { <-g.turn }

// pause returns after a while, or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
