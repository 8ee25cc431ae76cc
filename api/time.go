package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// TimeLayout is how a [Time] is written, in the terms of package time.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// Time is a moment as answers write it: RFC 3339 in UTC with exactly six digits
// of fraction, so that all have one length and sort as texts. What is below a
// microsecond is cut off. Any RFC 3339 time is read.
//
// A zero Time is the year 1, and is written so. What may be missing is a *Time,
// whose nil is null.
type Time struct{ time.Time }

// NewTime returns t as it reads back from an answer: in UTC and in microseconds.
func NewTime(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// String returns the time as it is written.
func (t Time) String() string { return t.UTC().Format(TimeLayout) }

// AppendText implements [encoding.TextAppender]. A year that has not four digits
// is an error.
func (t Time) AppendText(b []byte) ([]byte, error) {
	utc := t.UTC()
	if year := utc.Year(); year < 0 || year > 9999 {
		return b, fmt.Errorf("api: the year %d has not four digits", year)
	}
	return utc.AppendFormat(b, TimeLayout), nil
}

// MarshalText implements [encoding.TextMarshaler], as AppendText does.
func (t Time) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// MarshalJSON writes the text as a JSON string.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(`""`)+len(TimeLayout))
	b, err := t.AppendText(append(b, '"'))
	return append(b, '"'), err
}

// UnmarshalText reads an RFC 3339 time, of any offset and any number of digits.
func (t *Time) UnmarshalText(text []byte) error {
	var read time.Time
	// RFC 3339, section 5.6: T and Z may be lower case. Package time wants capitals.
	if err := read.UnmarshalText(bytes.ToUpper(text)); err != nil {
		return err
	}
	*t = NewTime(read)
	return nil
}

// UnmarshalJSON reads a JSON string as UnmarshalText does. Null changes nothing,
// as is the custom of package encoding/json.
func (t *Time) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil || text == nil {
		return err
	}
	return t.UnmarshalText([]byte(*text))
}
