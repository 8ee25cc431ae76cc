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
	unique     bool   // no two rows have the same: the id adds nothing
}

// by returns what a page is sorted by, and the condition for what is beyond a row.
func (o order) by(id string, descending bool) (sorted func(value, id string) string, beyond string) {
	direction, than := "ASC", ">"
	if descending {
		direction, than = "DESC", "<"
	}
	if o.unique {
		return func(value, _ string) string { return value + " " + direction }, o.expression + " " + than + " ?"
	}
	return func(value, id string) string { return value + " " + direction + ", " + id + " " + direction },
		fmt.Sprintf("(%s, %s) %s (?, ?)", o.expression, id, than)
}

// page returns the part of a list that p asks for, of the rows that w lets
// through.
func (l listing[T]) page(ctx context.Context, r reader, w *where, p iam.Page) (iam.List[T], error) {
	by, descending, err := l.order(p.Sort)
	if err != nil {
		return iam.List[T]{}, err
	}
	sorted, beyond := by.by(l.id, descending)
	if p.After != nil {
		value, id, err := by.read(p.After)
		if err != nil {
			return iam.List[T]{}, err
		}
		w.add(beyond, []any{value, id}[:strings.Count(beyond, "?")]...)
	}
	limit := min(max(p.Limit, 1), maxPage)
	query := fmt.Sprintf(`SELECT page.id, CAST(page.value AS TEXT), %[1]s FROM (%[2]s) page JOIN %[3]s ON %[4]s = page.id %[5]s ORDER BY %[6]s`,
		l.columns, l.found(w, by, sorted("value", "id"), w.arg(int64(limit+1))), l.rows, l.id, l.tables, sorted("page.value", "page.id"))
	found, err := collect(ctx, r, l.entry, query, w.args...)
	if err != nil {
		return iam.List[T]{}, fmt.Errorf("list %s: %w", l.nouns, err)
	}
	return cut(found, limit), nil
}

// found is the query for the ids of a page. Of rows that are in one of several parts
// each part has its own, so that an index yields it in order.
func (l listing[T]) found(w *where, by order, sorted, limit string) string {
	of := func(condition string) string {
		return fmt.Sprintf(`SELECT %s AS id, %s AS value FROM %s %s WHERE %s ORDER BY %s LIMIT %s`,
			l.id, by.expression, l.rows, l.joined+" "+by.joined, condition, sorted, limit)
	}
	if len(w.parts) == 0 {
		return of(w.String())
	}
	parts := make([]string, len(w.parts))
	for i, condition := range w.parts {
		parts[i] = fmt.Sprintf(`SELECT id, value FROM (%s) part%d`, of(w.String()+" AND "+condition), i)
	}
	return fmt.Sprintf(`SELECT id, value FROM (%s) parts ORDER BY %s LIMIT %s`, strings.Join(parts, " UNION ALL "), sorted, limit)
}

// count returns how many rows w lets through, all of its parts together.
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
	parts      []string // conditions of which one holds besides, never two; none: nothing more is asked
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
// holds a text. No character of it is a wildcard. An expression may be a condition,
// in which %s stands for that it holds the text.
func (w *where) holds(text string, expressions ...string) {
	if text == "" {
		return
	}
	if len(text) > maxSearched {
		w.add(`1 = 0`)
		return
	}
	like := ` LIKE ` + w.arg("%"+literal(strings.ToLower(text))+"%") + ` ESCAPE '\'`
	var either []string
	for _, e := range expressions {
		if !strings.Contains(e, "%s") {
			e += "%s"
		}
		either = append(either, fmt.Sprintf(e, like))
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
