package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// version is the version of the canonical form, its member "v". A later form
// gets another number; no form ever changes, for hashes were made over it.
const version = 1

// Encode returns the canonical form of e: the one sequence of bytes that the
// hash chain of the audit log is made over.
//
// It is JSON as RFC 8785 (JSON Canonicalization Scheme) writes it: members in
// the order of their names' UTF-16 code units, no white space, and nothing
// escaped but quotation marks, backslashes and U+0000 to U+001F. Times are in
// UTC with six digits of fraction; what is below a microsecond is cut off. The
// only numbers are integers, at most 2^53-1 from zero, so that every reader of
// JSON reads the same. A nil Key, Fields, list or map is null.
//
// What cannot be written so that it reads back is an error: text that is not
// UTF-8, a year beyond 9999, and a value in Fields of a type not listed there.
//
// How the actor's principal stands today is no part of an event; see [Exporter].
func Encode(e Event) ([]byte, error) {
	w := writer{buf: make([]byte, 0, 1024)}
	w.lit(`{"action":`).str(e.Action)
	w.lit(`,"actor":{"id":`).str(e.Actor.ID)
	w.lit(`,"name":`).str(e.Actor.Name)
	w.lit(`,"type":`).str(string(e.Actor.Type))
	w.lit(`},"after":`).fields(e.After)
	w.lit(`,"at":`).time(e.At)
	w.lit(`,"before":`).fields(e.Before)
	w.lit(`,"id":`).str(e.ID)
	w.lit(`,"key":`).ref(e.Key)
	w.lit(`,"outcome":`).str(string(e.Outcome))
	w.lit(`,"reason":`).str(e.Reason)
	w.lit(`,"request_id":`).str(e.RequestID)
	w.lit(`,"seq":`).int(e.Seq)
	w.lit(`,"source":{"ip":`).str(e.Source.IP)
	w.lit(`,"node":`).str(e.Source.Node)
	w.lit(`,"user_agent":`).str(e.Source.UserAgent)
	w.lit(`},"target":{"id":`).str(e.Target.ID)
	w.lit(`,"name":`).str(e.Target.Name)
	w.lit(`,"type":`).str(e.Target.Type)
	w.lit(`},"v":`).int(version)
	w.lit(`,"workspace":`).str(e.Workspace)
	w.lit(`}`)
	if w.err != nil {
		return nil, fmt.Errorf("audit: encode event %s: %w", e.ID, w.err)
	}
	return w.buf, nil
}

// canonical is the shape that [Encode] writes, for reading.
type canonical struct {
	Action    string
	Actor     Actor
	After     map[string]any
	At        time.Time
	Before    map[string]any
	ID        string
	Key       *Ref
	Outcome   Outcome
	Reason    string
	RequestID string `json:"request_id"`
	Seq       int64
	Source    struct {
		IP, Node  string
		UserAgent string `json:"user_agent"`
	}
	Target    Target
	V         int
	Workspace string
}

// Decode reads what [Encode] wrote, and nothing else: a member that is missing
// or not known, another order or another spelling of the same value are errors,
// so that no two texts are the same event.
//
// Values of Fields come back as nil for null, bool, int64, string, []string for
// every array and Fields for every object. A map[string]string thus comes back
// as Fields, whose encoding is the same.
func Decode(body []byte) (Event, error) {
	var c canonical
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&c); err != nil {
		return Event{}, fmt.Errorf("audit: read event: %w", err)
	}
	if c.V != version {
		return Event{}, fmt.Errorf("audit: read event: it is of version %d, this program reads %d", c.V, version)
	}
	e, err := c.event()
	if err != nil {
		return Event{}, fmt.Errorf("audit: read event: %w", err)
	}
	again, err := Encode(e)
	if err != nil {
		return Event{}, err
	}
	if !bytes.Equal(again, body) {
		return Event{}, errors.New("audit: read event: it is not in canonical form")
	}
	return e, nil
}

func (c canonical) event() (Event, error) {
	before, err := readFields(c.Before)
	if err != nil {
		return Event{}, fmt.Errorf("before: %w", err)
	}
	after, err := readFields(c.After)
	if err != nil {
		return Event{}, fmt.Errorf("after: %w", err)
	}
	return Event{
		ID: c.ID, Workspace: c.Workspace, Seq: c.Seq, At: c.At,
		Actor: c.Actor, Key: c.Key, Action: c.Action, Target: c.Target,
		Outcome: c.Outcome, Reason: c.Reason,
		Source:    Source{IP: c.Source.IP, UserAgent: c.Source.UserAgent, Node: c.Source.Node},
		RequestID: c.RequestID, Before: before, After: after,
	}, nil
}

// readFields gives the members of an object the types that [Decode] names.
func readFields(members map[string]any) (Fields, error) {
	if members == nil {
		return nil, nil
	}
	fields := make(Fields, len(members))
	for name, member := range members {
		value, err := readValue(member)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		fields[name] = value
	}
	return fields, nil
}

func readValue(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string:
		return v, nil
	case json.Number:
		return v.Int64()
	case map[string]any:
		return readFields(v)
	case []any:
		return readTexts(v)
	}
	return nil, fmt.Errorf("%T is no value of an event", v)
}

func readTexts(elements []any) ([]string, error) {
	texts := make([]string, len(elements))
	for i, element := range elements {
		text, ok := element.(string)
		if !ok {
			return nil, fmt.Errorf("element %d is not a text", i)
		}
		texts[i] = text
	}
	return texts, nil
}
