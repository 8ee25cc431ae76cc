package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

// Position is how far a reader has come in the audit log of a workspace. The zero
// value is the beginning of every log.
type Position struct {
	Seq int64 // the number of the last event that it has

	// Event is that event's id. A number alone can mean two events: a database
	// that has lost changes gives their numbers again.
	Event iam.EventID
}

// PositionOf returns the position of a reader whose last event is e.
func PositionOf(e *iam.AuditEvent) Position { return Position{e.Seq, iam.EventID(e.ID)} }

// String writes a position as [ParsePosition] reads it.
func (p Position) String() string {
	if p.Event == "" {
		return strconv.FormatInt(p.Seq, 10)
	}
	return strconv.FormatInt(p.Seq, 10) + "." + string(p.Event)
}

// ParsePosition reads a position. There is one text of each; ok is false for any
// other.
func ParsePosition(text string) (p Position, ok bool) {
	number, event, _ := strings.Cut(text, ".")
	seq, err := strconv.ParseInt(number, 10, 64)
	p = Position{seq, iam.EventID(event)}
	if err != nil || p.String() != text {
		return p, false
	}
	if event == "" {
		return p, seq == 0
	}
	_, err = iam.ParseID(iam.EventPrefix, event)
	return p, err == nil && seq > 0
}

// Holds reports whether a position is one of a workspace's log, as that is now.
func (h *Hub) Holds(ctx context.Context, ws iam.WorkspaceID, p Position) (bool, error) {
	if p == (Position{}) {
		return true, nil
	}
	e, err := h.o.Event(ctx, ws, p.Event)
	switch {
	case errors.Is(err, iam.NotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for the event %s: %w", p.Event, err)
	}
	return e.Seq == p.Seq, nil
}
