package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

const (
	// journalPause is how long at least lies between two events of one action about
	// nodes of one name: a database that comes and goes fills no log.
	journalPause = 30 * time.Second
	// maxJournal is how many actions and names a journal keeps apart. What is
	// beyond it is let go.
	maxJournal = 256
)

// Journal writes what happens to nodes to the audit log of the system workspace. It
// keeps what cannot be written yet: until the database is there, until somebody has
// initialised the store, and while the last such event was a moment ago, so that
// one then stands for all. What is kept ends with the process. An event whose commit
// has an unknown outcome is written again.
//
// It is safe for concurrent use. Its fields are set once, before the first call.
type Journal struct {
	Store Store
	Node  string // the name of the node that writes
	Now   func() time.Time

	mu      sync.Mutex // guards what follows
	system  WorkspaceID
	entries []*journalEntry // in the order in which their first events happened
}

// journalEntry is what happened to the nodes of one name, of one action.
type journalEntry struct {
	event   audit.Event // the last; a gap begins where the first began
	times   int64       // that were not written yet
	written time.Time   // when the last one was
}

// Joined keeps that a node has its first lease.
func (j *Journal) Joined(n NodeRow) {
	j.keep(audit.Event{Action: "node.joined", Target: n.target(), After: n.fields()})
}

// Stale keeps that a node answers again, after it had answered nothing for a while.
func (j *Journal) Stale(n NodeRow, from, to time.Time) {
	j.keep(audit.Event{
		Action: "node.stale", Target: n.target(), Reason: "it had no lease, and answered nothing",
		Before: audit.Fields{"answered_until": from.UTC().Format(timeLayout)},
		After:  audit.Fields{"answers_since": to.UTC().Format(timeLayout)},
	})
}

// Left keeps that the row of a node was removed, and why.
func (j *Journal) Left(n NodeRow, why string) {
	j.keep(audit.Event{Action: "node.left", Target: n.target(), Reason: why, Before: n.fields()})
}

func (n NodeRow) target() audit.Target {
	return audit.Target{Type: "node", ID: n.Incarnation, Name: n.Name}
}

// fields describes a node by the names that a list of nodes has for it.
func (n NodeRow) fields() audit.Fields {
	f := audit.Fields{
		"kind": n.Kind, "version": n.Version, "consistency": "strict", "lease_ttl_ms": nil,
		"started_at": n.StartedAt.UTC().Format(timeLayout),
	}
	if n.Bounded > 0 {
		f["consistency"] = "bounded"
	}
	if n.TTL > 0 {
		f["lease_ttl_ms"] = n.Lingers().Milliseconds()
	}
	return f
}

func (j *Journal) keep(e audit.Event) {
	e.Outcome = audit.Done
	j.mu.Lock()
	defer j.mu.Unlock()
	entry := j.entry(e)
	if entry == nil {
		return
	}
	if entry.times > 0 && e.Action == "node.stale" {
		e.Before = entry.event.Before
	}
	entry.event = e
	entry.times++
}

// entry returns the entry of an event, or nil when there are too many.
func (j *Journal) entry(e audit.Event) *journalEntry {
	for _, entry := range j.entries {
		if entry.event.Action == e.Action && entry.event.Target.Name == e.Target.Name {
			return entry
		}
	}
	if len(j.entries) >= maxJournal {
		return nil
	}
	entry := &journalEntry{event: e}
	j.entries = append(j.entries, entry)
	return entry
}

// Write writes down what may be. Call it about once a second.
func (j *Journal) Write(ctx context.Context) error { return j.write(ctx, journalPause) }

// Close writes down all that is left, at the end of a process.
func (j *Journal) Close(ctx context.Context) error { return j.write(ctx, 0) }

func (j *Journal) write(ctx context.Context, pause time.Duration) error {
	now := j.Now()
	due := j.due(now, pause)
	if len(due) == 0 {
		return nil
	}
	system, err := j.workspace(ctx)
	if errors.Is(err, NotFound) {
		return nil // nobody has initialised the store yet
	}
	if err == nil {
		err = j.Store.Note(ctx, func(tx NoteTx) error { return j.append(ctx, tx, system, due) })
	}
	if err != nil {
		return fmt.Errorf("write what happened to nodes: %w", err)
	}
	j.written(due, now)
	return nil
}

func (j *Journal) append(ctx context.Context, tx NoteTx, system WorkspaceID, due []dueEntry) error {
	writer := Internal("nodes", audit.Source{Node: j.Node})
	writer.Workspace.ID = system
	for _, d := range due {
		e := d.event
		if d.times > 1 {
			e.Reason = strings.TrimPrefix(fmt.Sprintf("%s; stands for %d events", e.Reason, d.times), "; ")
		}
		writer.sign(&e, tx.Now())
		if err := tx.AppendEvent(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// workspace returns the system workspace. There is one, and it stays.
func (j *Journal) workspace(ctx context.Context) (WorkspaceID, error) {
	j.mu.Lock()
	known := j.system
	j.mu.Unlock()
	if known != "" {
		return known, nil
	}
	found, err := j.Store.SystemWorkspace(ctx)
	if err != nil {
		return "", err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.system = found.ID
	return found.ID, nil
}

// dueEntry is an entry that is being written, as it was when that began.
type dueEntry struct {
	*journalEntry
	event audit.Event
	times int64
}

// due returns what may be written now, and forgets what is over.
func (j *Journal) due(now time.Time, pause time.Duration) (due []dueEntry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rested := func(entry *journalEntry) bool { return entry.written.IsZero() || now.Sub(entry.written) >= pause }
	j.entries = slices.DeleteFunc(j.entries, func(entry *journalEntry) bool { return entry.times == 0 && rested(entry) })
	for _, entry := range j.entries {
		if entry.times > 0 && rested(entry) {
			due = append(due, dueEntry{entry, entry.event, entry.times})
		}
	}
	return due
}

// written takes off what was written. More may have happened meanwhile.
func (j *Journal) written(due []dueEntry, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range due {
		d.journalEntry.times -= d.times
		d.journalEntry.written = now
	}
}
