package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// reader is the part of a [Store] and of a transaction that looks things up.
type reader struct {
	querier
	// heard is told how each read ended, and returns what its caller is told.
	heard func(ctx context.Context, began time.Time, err error) error
	// clock says what is over by now, for counts of what is usable.
	clock func() time.Time
	// asked returns an expression for the database's time, and what stands for $1
	// in it.
	asked func() (expression string, args []any)
	words words
}

func unheard(_ context.Context, _ time.Time, err error) error { return err }

// fields returns where the columns of a row go, in the order of the list of
// columns that stands next to it.
type fields[T any] func(*T) []any

// collect returns all rows of a query, which are none when args cannot be stored.
func collect[T any](ctx context.Context, r reader, f fields[T], query string, args ...any) ([]T, error) {
	if !storable(args) {
		return nil, nil
	}
	began := time.Now()
	all, err := collectRows(ctx, r, f, query, args)
	return all, r.heard(ctx, began, err)
}

func collectRows[T any](ctx context.Context, r reader, f fields[T], query string, args []any) (all []T, err error) {
	found, err := r.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		all = append(all, *new(T))
		if err := found.Scan(f(&all[len(all)-1])...); err != nil {
			return nil, err
		}
	}
	return all, found.Err()
}

// find returns the one row of a query. noun names it for the error when there is
// none.
func find[T any](ctx context.Context, r reader, noun string, f fields[T], query string, args ...any) (T, error) {
	var none T
	all, err := collect(ctx, r, f, query, args...)
	switch {
	case err != nil:
		return none, fmt.Errorf("read %s: %w", noun, err)
	case len(all) == 0:
		return none, iam.Errorf(iam.NotFound, "there is no such %s", noun)
	}
	return all[0], nil
}

// number returns the one number that a query yields.
func number(ctx context.Context, r reader, what, query string, args ...any) (int64, error) {
	return find(ctx, r, what, func(n *int64) []any { return []any{n} }, query, args...)
}

// The types below take in a column as it is stored. Both drivers hand them int64,
// string or nil.

// instant takes in a time; NULL is the zero time.
type instant struct{ to *time.Time }

func (c instant) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*c.to = time.Time{}
	case int64:
		*c.to = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time is a %T", value)
	}
	return nil
}

// yes takes in 1 or 0.
type yes struct{ to *bool }

func (c yes) Scan(value any) error {
	v, ok := value.(int64)
	if !ok {
		return fmt.Errorf("a yes or no is a %T", value)
	}
	*c.to = v != 0
	return nil
}

// text takes in a text of any such type; NULL is the empty one.
func text[S ~string](to *S) textColumn[S] { return textColumn[S]{to} }

type textColumn[S ~string] struct{ to *S }

func (c textColumn[S]) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*c.to = ""
	case string:
		*c.to = S(v)
	case []byte:
		*c.to = S(v)
	default:
		return fmt.Errorf("a text is a %T", value)
	}
	return nil
}

// decode takes in JSON; NULL leaves the zero value.
func decode[T any](to *T) jsonColumn[T] { return jsonColumn[T]{to} }

type jsonColumn[T any] struct{ to *T }

func (c jsonColumn[T]) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), c.to)
	case []byte:
		return json.Unmarshal(v, c.to)
	default:
		return fmt.Errorf("JSON is a %T", value)
	}
}

// revocation takes in the end of something, whose columns are at, by (as actor
// has them), reason and note. NULL as its time means that it has not ended.
func revocation(to **iam.Revocation) []any {
	var r iam.Revocation
	at := column(func(value any) error {
		if value != nil {
			*to = &r
		}
		return instant{&r.At}.Scan(value)
	})
	return append(append([]any{at}, actor(&r.By)...), text(&r.Reason), text(&r.Note))
}

// actor takes in who did something: id, type and name as they were, and the
// state as it is.
func actor(to *iam.Actor) []any {
	return []any{text(&to.ID), text(&to.Type), text(&to.Name), text(&to.State)}
}

// column takes in a column with a function.
type column func(value any) error

// Scan implements [sql.Scanner].
func (c column) Scan(value any) error { return c(value) }

// The functions below write a value as it is stored.

func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// orNull stores nothing for an empty text.
func orNull[S ~string](s S) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// asJSON encodes what cannot fail to: texts, numbers, and lists and maps of them.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: encode %T: %v", v, err))
	}
	return string(text)
}

// metadata returns a map that is nil when it is empty, as it is read back.
func metadata(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// hash takes in a hash in hexadecimal.
func hash(to *token.Hash) column {
	return func(value any) error {
		var digits string
		if err := text(&digits).Scan(value); err != nil {
			return err
		}
		return to.UnmarshalText([]byte(digits))
	}
}
