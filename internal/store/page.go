package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

const (
	maxPage = 200 // rows
	// maxSearched is longer than all that is searched for a part of it, and
	// shorter than the longest pattern that SQLite takes.
	maxSearched = 10_000 // bytes
)

// listing says how one noun is listed. The rows of a page are found first; only
// those are joined and counted, so that the work is that of one page.
type listing[T any] struct {
	nouns   string // what is listed, for errors
	columns string // what fields takes in
	tables  string // where columns come from, beginning with rows
	rows    string // the table that has a row for each, and an alias: "keys k"
	joined  string // what conditions need besides: "JOIN …", or nothing
	id      string // the column that ends every order: "k.id"
	orders  []order
	fields  fields[T]
}

// order is one that a list may be asked for; the first is the list's own. Its
// expression is never NULL.
type order struct {
	name       string // as callers write it
	expression string
	joined     string // what the expression needs besides: "LEFT JOIN …", or nothing
	number     bool   // BIGINT, not TEXT
	descending bool   // when it is the list's own
}

// page returns the part of a list that p asks for, of the rows that w lets
// through.
func (l listing[T]) page(ctx context.Context, r reader, w *where, p iam.Page) (iam.List[T], error) {
	by, descending, err := l.order(p.Sort)
	if err != nil {
		return iam.List[T]{}, err
	}
	direction, beyond := "ASC", ">"
	if descending {
		direction, beyond = "DESC", "<"
	}
	if p.After != nil {
		value, id, err := by.read(p.After)
		if err != nil {
			return iam.List[T]{}, err
		}
		w.add(fmt.Sprintf(`(%s, %s) %s (?, ?)`, by.expression, l.id, beyond), value, id)
	}
	limit := min(max(p.Limit, 1), maxPage)
	query := fmt.Sprintf(`
		SELECT page.id, CAST(page.value AS TEXT), %[1]s
		FROM (
			SELECT %[2]s AS id, %[3]s AS value FROM %[4]s %[5]s WHERE %[6]s
			ORDER BY value %[7]s, id %[7]s LIMIT %[8]s
		) page JOIN %[9]s ON %[2]s = page.id %[10]s
		ORDER BY page.value %[7]s, page.id %[7]s`,
		l.columns, l.id, by.expression, l.rows, l.joined+" "+by.joined, w, direction, w.arg(int64(limit+1)), l.rows, l.tables)
	found, err := collect(ctx, r, l.entry, query, w.args...)
	if err != nil {
		return iam.List[T]{}, fmt.Errorf("list %s: %w", l.nouns, err)
	}
	return cut(found, limit), nil
}

// count returns how many rows w lets through.
func (l listing[T]) count(ctx context.Context, r reader, w *where) (int64, error) {
	return number(ctx, r, "how many "+l.nouns, fmt.Sprintf(`SELECT COUNT(*) FROM %s %s WHERE %s`, l.rows, l.joined, w), w.args...)
}

// entry is a row of a page and its place in the order.
type entry[T any] struct {
	id, value string
	item      T
}

func (l listing[T]) entry(e *entry[T]) []any {
	return append([]any{&e.id, &e.value}, l.fields(&e.item)...)
}

// cut takes off the one row that was read to know whether there are more.
func cut[T any](found []entry[T], limit int) iam.List[T] {
	var list iam.List[T]
	if len(found) > limit {
		found = found[:limit]
		last := found[limit-1]
		list.Next = []string{last.value, last.id}
	}
	list.Items = make([]T, len(found))
	for i := range found {
		list.Items[i] = found[i].item
	}
	return list
}

// order returns the order that sort names, and whether it is descending.
func (l listing[T]) order(sort string) (by order, descending bool, err error) {
	if sort == "" {
		return l.orders[0], l.orders[0].descending, nil
	}
	name, descending := strings.CutPrefix(sort, "-")
	i := slices.IndexFunc(l.orders, func(o order) bool { return o.name == name })
	if i < 0 {
		var names []string
		for _, o := range l.orders {
			names = append(names, o.name)
		}
		return order{}, false, iam.Invalid("/sort", "not_a_sort", "%s are sorted by %s, with - before it for descending",
			l.nouns, strings.Join(names, ", "))
	}
	return l.orders[i], descending, nil
}

// read returns what an After stands for. What it holds may come from a caller.
func (o order) read(after []string) (value, id any, err error) {
	bad := iam.Errorf(iam.InvalidRequest, "the cursor does not belong to this list")
	if len(after) != 2 || !storable([]any{after[0], after[1]}) {
		return nil, nil, bad
	}
	if !o.number {
		return after[0], after[1], nil
	}
	n, err := strconv.ParseInt(after[0], 10, 64)
	if err != nil {
		return nil, nil, bad
	}
	return n, after[1], nil
}

// where gathers conditions, all of which must hold, and what their placeholders
// stand for.
type where struct {
	conditions []string
	args       []any
}

// arg keeps a value and returns the placeholder that stands for it.
func (w *where) arg(value any) string {
	w.args = append(w.args, value)
	return "$" + strconv.Itoa(len(w.args))
}

// add adds a condition, in which each ? stands for the next of values.
func (w *where) add(condition string, values ...any) {
	for _, v := range values {
		condition = strings.Replace(condition, "?", w.arg(v), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// match adds a condition with one ?, unless there is no value.
func match[S ~string](w *where, condition string, value S) {
	if value != "" {
		w.add(condition, string(value))
	}
}

// holds adds the condition that one of the expressions, which are lower case,
// holds a text. No character of it is a wildcard.
func (w *where) holds(text string, expressions ...string) {
	if text == "" {
		return
	}
	if len(text) > maxSearched {
		w.add(`1 = 0`)
		return
	}
	pattern := w.arg("%" + literal(strings.ToLower(text)) + "%")
	var either []string
	for _, e := range expressions {
		either = append(either, e+` LIKE `+pattern+` ESCAPE '\'`)
	}
	w.conditions = append(w.conditions, "("+strings.Join(either, " OR ")+")")
}

// literal escapes what LIKE would take for a wildcard.
func literal(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}

// String returns the conditions as they stand after WHERE.
func (w *where) String() string {
	if len(w.conditions) == 0 {
		return "1 = 1"
	}
	return strings.Join(w.conditions, " AND ")
}

// all returns every row that fulfils a condition, which may end in an order.
func (l listing[T]) all(ctx context.Context, r reader, condition string, args ...any) ([]T, error) {
	return collect(ctx, r, l.fields, l.query(condition), args...)
}

// one returns the row that fulfils a condition. noun names it.
func (l listing[T]) one(ctx context.Context, r reader, noun, condition string, args ...any) (T, error) {
	return find(ctx, r, noun, l.fields, l.query(condition), args...)
}

// query returns the one that reads the rows that fulfil a condition.
func (l listing[T]) query(condition string) string {
	return `SELECT ` + l.columns + ` FROM ` + l.rows + ` ` + l.tables + ` WHERE ` + condition
}
