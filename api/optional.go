package api

import (
	"bytes"
	"encoding/json"
)

// Optional is a member of a patch that may be absent, null or a value. Absent
// leaves the field as it is; null takes the value away. Tag it omitzero.
type Optional[T any] struct {
	set   bool
	value *T
}

// Value returns an Optional that holds v.
func Value[T any](v T) Optional[T] { return Optional[T]{set: true, value: &v} }

// Null returns an Optional that is null.
func Null[T any]() Optional[T] { return Optional[T]{set: true} }

// Get returns the value, nil when it is null, and whether it is there at all.
func (o Optional[T]) Get() (value *T, set bool) { return o.value, o.set }

// IsZero reports whether the member is absent, for the tag omitzero.
func (o Optional[T]) IsZero() bool { return !o.set }

// MarshalJSON writes null or the value.
func (o Optional[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.value) }

// UnmarshalJSON reads null or a value.
func (o *Optional[T]) UnmarshalJSON(data []byte) error {
	*o = Optional[T]{set: true}
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	o.value = new(T)
	return json.Unmarshal(data, o.value)
}
