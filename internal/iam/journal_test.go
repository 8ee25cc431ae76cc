package iam_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store/storetest"
)

func (w *world) journal() *iam.Journal {
	return &iam.Journal{Store: w.Store, Node: "node-1", Now: w.clock.now}
}

func nodeNamed(name string) iam.NodeRow {
	return iam.NodeRow{Incarnation: "of-" + name, Name: name, Kind: iam.ServerNode, Version: "1.2.3", TTL: 5 * time.Second, StartedAt: began}
}

// nodeEvents returns the events about nodes, oldest first, in short.
func (w *world) nodeEvents() (found []string) {
	w.t.Helper()
	page := iam.Page{Limit: 200, Sort: "seq"}
	for {
		list, err := w.Events(w.t.Context(), w.system, "-", iam.EventFilter{}, page)
		if err != nil {
			w.t.Fatalf("read the log: %v", err)
		}
		for _, e := range list.Items {
			if e.Target.Type == "node" {
				found = append(found, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Action, e.Target.Name, e.Reason)))
			}
		}
		if page.After = list.Next; page.After == nil {
			return found
		}
	}
}

func (w *world) wantNodeEvents(when string, want ...string) {
	w.t.Helper()
	if got := w.nodeEvents(); !slices.Equal(got, want) {
		w.t.Errorf("%s: got %q, want %q", when, got, want)
	}
}

func wrote(t *testing.T, j *iam.Journal) {
	t.Helper()
	if err := j.Write(t.Context()); err != nil {
		t.Errorf("write: %v", err)
	}
}

func TestWhatHappensToNodesIsInTheSystemWorkspacesLog(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	j := w.journal()
	wantNothing(t, w.changed(func() {
		j.Joined(nodeNamed("a"))
		j.Stale(nodeNamed("a"), began, began.Add(time.Minute))
		j.Left(nodeNamed("b"), "nothing was heard of it for 5s")
		wrote(t, j)
		wrote(t, j)
	}))
	w.wantNodeEvents("all", "node.joined a", "node.stale a it had no lease, and answered nothing", "node.left b nothing was heard of it for 5s")
	list, err := w.Events(t.Context(), w.system, "-", iam.EventFilter{Action: "node.stale"}, iam.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := list.Items[0]
	if e.Actor.Type != audit.System || e.Source.Node != "node-1" || e.Target.ID != "of-a" || e.Outcome != audit.Done {
		t.Errorf("got %s", text(e))
	}
	from, until := fmt.Sprint(e.Before["answered_until"]), fmt.Sprint(e.After["answers_since"])
	if a, err := time.Parse(time.RFC3339, from); err != nil || !a.Equal(began) {
		t.Errorf("from %s, want %v", from, began)
	}
	if b, err := time.Parse(time.RFC3339, until); err != nil || !b.Equal(began.Add(time.Minute)) {
		t.Errorf("until %s, want a minute later", until)
	}
}

// Nobody has a log before the store is initialised, and nothing is lost until then.
func TestWhatHappensToNodesWaitsForTheSystemWorkspace(t *testing.T) {
	w := emptyWorld(t, storetest.SQLite(t))
	j := w.journal()
	j.Joined(nodeNamed("a"))
	wrote(t, j)
	_, secret, err := w.Initialize(t.Context(), iam.Initialization{Workspace: "Operations", Email: "ops@example.com", KeyName: "first"})
	if err != nil {
		t.Fatal(err)
	}
	w.system = w.caller(secret)
	wrote(t, j)
	w.wantNodeEvents("afterwards", "node.joined a")
}

func TestWhatCannotBeWrittenIsWrittenLater(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	j := w.journal()
	j.Joined(nodeNamed("a"))
	gone := errors.New("gone")
	w.fail(beforeNote, gone)
	if err := j.Write(t.Context()); !errors.Is(err, gone) {
		t.Errorf("got %v, want what went wrong", err)
	}
	j.Left(nodeNamed("a"), "it was stopped")
	wrote(t, j)
	w.wantNodeEvents("when it can", "node.joined a", "node.left a it was stopped")
}

// A database that comes and goes each second for an hour fills no log.
func TestANodeThatFlapsWritesAFewEventsAMinute(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	j := w.journal()
	start := w.clock.now()
	for range 3600 {
		now := w.clock.now()
		j.Stale(nodeNamed("a"), now, now.Add(500*time.Millisecond))
		j.Joined(nodeNamed("a"))
		wrote(t, j)
		w.clock.advance(time.Second)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := w.nodeEvents()
	if minutes := w.clock.now().Sub(start).Minutes(); float64(len(got)) > 4*minutes+4 || len(got) < 100 {
		t.Errorf("%d events in %v minutes, want at most four in each", len(got), minutes)
	}
	sum := 0
	for _, words := range got {
		var n int
		if _, after, summed := strings.Cut(words, "stands for "); summed {
			if _, err := fmt.Sscanf(after, "%d events", &n); err != nil {
				t.Fatal(words, err)
			}
		}
		sum += max(n, 1)
	}
	if sum != 7200 {
		t.Errorf("they stand for %d, want 7200", sum)
	}
}

// Names that nobody has heard of before, without end, and nobody who writes.
func TestAJournalIsBounded(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	j := w.journal()
	for i := range 10_000 {
		j.Left(nodeNamed(fmt.Sprint("n", i)), "it was stopped")
	}
	wrote(t, j)
	if n := len(w.nodeEvents()); n < 100 || n > 1000 {
		t.Errorf("%d events, want some hundreds at most", n)
	}
	w.clock.advance(time.Minute)
	j.Left(nodeNamed("later"), "it was stopped")
	wrote(t, j) // forgets what is over
	j.Left(nodeNamed("later"), "it was stopped")
	wrote(t, j)
	if last := w.nodeEvents(); !strings.Contains(last[len(last)-1], "later") {
		t.Errorf("got %q last, want what came later", last[len(last)-1])
	}
}
