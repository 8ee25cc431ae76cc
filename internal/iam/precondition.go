package iam

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/audit"
)

// matches returns an error when the caller requires a version of the target that
// is no longer the present one. It says what changed since, and who did it.
func (w *work) matches(version int64, target string) error {
	if w.caller.IfMatch == nil || *w.caller.IfMatch == version {
		return nil
	}
	events, err := w.EventsAbout(w.ctx, w.ws.ID, target, *w.caller.IfMatch)
	if err != nil {
		return fmt.Errorf("read what changed since: %w", err)
	}
	return &Error{Kind: PreconditionFailed, Reason: describeChanges(events)}
}

// describeChanges says who changed what, for a caller whose If-Match failed.
func describeChanges(events []audit.Event) string {
	if len(events) == 0 {
		return "it changed since it was read"
	}
	var said []string
	for _, e := range events {
		what := "did " + e.Action
		if len(e.Before) > 0 {
			what = "changed " + strings.Join(slices.Sorted(maps.Keys(e.After)), ", ")
		}
		said = append(said, fmt.Sprintf("%s %s at %s", e.Actor.Name, what, e.At.UTC().Format("2006-01-02T15:04:05Z")))
	}
	const most = 5
	if len(said) > most {
		said = append(said[:most], fmt.Sprintf("and %d more changes", len(said)-most))
	}
	return "it changed since it was read: " + strings.Join(said, "; ")
}
