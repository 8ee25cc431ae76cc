package audit

import (
	"bufio"
	"fmt"
	"io"
)

// Exporter writes events as a stream, in memory that does not grow with their
// number. It is for one goroutine at a time.
type Exporter interface {
	// Write adds an event and the states that who acted and who was acted on have
	// now. An event that cannot be written is an error, for the reasons that
	// [Encode] gives, and leaves nothing of itself behind. An error of the
	// writer below ends the export: each later call returns it.
	Write(e Event, now States) error

	// Flush hands on what was written so far. Without a last Flush the end of
	// the export is missing.
	Flush() error
}

// States are those of the principals that an event names, as they are when it is
// read: they are no part of it. Target is empty for what is no principal.
type States struct{ Actor, Target string }

// NewJSONL returns an exporter that writes each event as one line of JSON, in
// the shape that the API gives an AuditEvent. Characters that are not printed,
// such as U+001B, U+202E or U+2028, are escaped: no line breaks before its end
// in any reader, and none acts on a terminal.
func NewJSONL(w io.Writer) Exporter { return &jsonl{out: bufio.NewWriter(w)} }

type jsonl struct {
	out  *bufio.Writer
	line []byte // kept for its memory
}

func (x *jsonl) Write(e Event, now States) error {
	w := writer{buf: x.line[:0], visible: true}
	w.lit(`{"id":`).str(e.ID)
	w.lit(`,"seq":`).int(e.Seq)
	w.lit(`,"at":`).time(e.At)
	w.lit(`,"actor":{"type":`).str(string(e.Actor.Type))
	w.lit(`,"id":`).str(e.Actor.ID)
	w.lit(`,"name":`).str(e.Actor.Name)
	w.lit(`,"state":`).str(now.Actor)
	w.lit(`},"key":`).ref(e.Key)
	w.lit(`,"action":`).str(e.Action)
	w.lit(`,"target":{"type":`).str(e.Target.Type)
	w.lit(`,"id":`).str(e.Target.ID)
	w.lit(`,"name":`).str(e.Target.Name)
	if now.Target != "" {
		w.lit(`,"state":`).str(now.Target)
	}
	w.lit(`},"outcome":`).str(string(e.Outcome))
	w.lit(`,"reason":`).str(e.Reason)
	w.lit(`,"source":{"ip":`).str(e.Source.IP)
	w.lit(`,"user_agent":`).str(e.Source.UserAgent)
	w.lit(`,"node":`).str(e.Source.Node)
	w.lit(`},"request_id":`).str(e.RequestID)
	w.lit(`,"before":`).fields(e.Before)
	w.lit(`,"after":`).fields(e.After)
	w.lit("}\n")
	x.line = w.buf
	if w.err != nil {
		return fmt.Errorf("audit: export event %s: %w", e.ID, w.err)
	}
	_, err := x.out.Write(x.line)
	return err
}

func (x *jsonl) Flush() error { return x.out.Flush() }
