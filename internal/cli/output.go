package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf16"

	"github.com/posternhq/postern/api"
)

// column is one field of a noun as tables and CSV show it. The name is the one
// in the API; its heading is the same in capitals.
type column[T any] struct {
	name   string
	text   func(T) string
	detail bool // only where a single thing is shown
}

// show prints one thing: raw is the server's answer, as it is for -o json.
func show[T any](a *app, raw json.RawMessage, columns []column[T]) error {
	var item T
	if err := json.Unmarshal(raw, &item); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if a.global.field != "" || a.global.output == formatJSON {
		return a.showJSON(raw)
	}
	if a.global.output != formatTable {
		return showAll(a, []json.RawMessage{raw}, columns)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, c := range columns {
		if text := c.text(item); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", heading(c.name), safe(text))
		}
	}
	return w.Flush()
}

// showJSON prints an answer as JSON, or the one field of it that was asked for.
// What has no columns is JSON where CSV was asked for, too.
func (a *app) showJSON(raw json.RawMessage) error {
	if a.global.field != "" {
		return a.printField(raw)
	}
	if a.global.output != formatJSON && a.global.output != formatTable {
		return writeLine(a.Stdout, raw)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_, err := fmt.Fprintln(a.Stdout, safeJSON(b.String()))
	return err
}

// showAll prints a list.
func showAll[T any](a *app, items []json.RawMessage, columns []column[T]) error {
	switch {
	case a.global.field != "":
		for _, raw := range items {
			if err := a.printField(raw); err != nil {
				return err
			}
		}
		return nil
	case a.global.output == formatJSON:
		if items == nil {
			items = []json.RawMessage{}
		}
		raw, err := json.Marshal(items)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return a.showJSON(raw)
	case a.global.output == formatLines:
		for _, raw := range items {
			if err := writeLine(a.Stdout, raw); err != nil {
				return err
			}
		}
		return nil
	}
	return a.showRows(rows(items, columns))
}

// rows returns the heading and the lines of a table, or the error of an answer
// that cannot be read.
func rows[T any](items []json.RawMessage, columns []column[T]) ([][]string, error) {
	columns = slices.DeleteFunc(slices.Clone(columns), func(c column[T]) bool { return c.detail })
	lines := [][]string{nil}
	for _, c := range columns {
		lines[0] = append(lines[0], c.name)
	}
	for _, raw := range items {
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		var line []string
		for _, c := range columns {
			line = append(line, c.text(item))
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func (a *app) showRows(lines [][]string, err error) error {
	if err != nil {
		return err
	}
	if a.global.output == formatCSV {
		return a.writeCSV(lines)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for i, line := range lines {
		for j := range line {
			if line[j] = safe(line[j]); i == 0 {
				line[j] = strings.ToUpper(heading(line[j]))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(line, "\t"), "\t "))
	}
	return w.Flush()
}

// writeCSV writes lines as RFC 4180 has them. A cell that a spreadsheet would
// take for a formula gets an apostrophe in front.
func (a *app) writeCSV(lines [][]string) error {
	w := csv.NewWriter(a.Stdout)
	w.UseCRLF = true
	for _, line := range lines {
		for i, cell := range line {
			if trimmed := strings.TrimLeft(cell, " \t\r\n"); trimmed != "" && strings.ContainsRune("=+-@'", rune(trimmed[0])) {
				cell = "'" + cell
			}
			line[i] = safe(cell)
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// printField prints one field of an answer: a text as it is, all else as JSON.
func (a *app) printField(raw json.RawMessage) error {
	value, err := fieldOf(raw, a.global.field)
	if err != nil {
		return err
	}
	var text string
	switch {
	case string(value) == "null":
	case json.Unmarshal(value, &text) == nil:
		if a.Terminal(a.Stdout) {
			text = safe(text)
		}
	default:
		text = safeJSON(string(value))
	}
	_, err = fmt.Fprintln(a.Stdout, text)
	return err
}

// fieldOf follows a path such as role.name into an object.
func fieldOf(raw json.RawMessage, path string) (json.RawMessage, error) {
	for name := range strings.SplitSeq(path, ".") {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(raw, &object); err != nil {
			return nil, usagef("--field %s: there is nothing below %s", safe(path), safe(name))
		}
		below, ok := object[name]
		if !ok {
			return nil, usagef("--field: there is no field %s; there are %s", safe(name), strings.Join(sortedKeys(object), ", "))
		}
		raw = below
	}
	return raw, nil
}

// writeLine writes an answer as one line of JSON.
func writeLine(w io.Writer, raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_, err := fmt.Fprintln(w, safeJSON(b.String()))
	return err
}

// safeJSON writes what a terminal could obey as JSON escapes, so that the value
// stays the same.
func safeJSON(text string) string {
	if !strings.ContainsFunc(text, isUnsafe) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || !isUnsafe(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func heading(name string) string {
	name = strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(name[:1]) + name[1:]
}

// say prints what a command has done. Where data was asked for, it is that.
func (a *app) say(format string, args ...any) error {
	if a.global.quiet || a.global.field != "" || a.global.output != formatTable {
		return nil
	}
	_, err := fmt.Fprintln(a.Stdout, safe(fmt.Sprintf(format, args...)))
	return err
}

// note says something that is not data.
func (a *app) note(format string, args ...any) {
	if !a.global.quiet {
		fmt.Fprintln(a.Stderr, safeLines(fmt.Sprintf(format, args...)))
	}
}

// next proposes what to do now, to a person at a terminal.
func (a *app) next(format string, args ...any) {
	if a.Terminal(a.Stderr) {
		a.note("Next: "+format, args...)
	}
}

// when writes a time for people.
func when(t api.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// whenOr writes a time that may be missing.
func whenOr(t *api.Time, otherwise string) string {
	if t == nil {
		return otherwise
	}
	return when(*t)
}

func texts(list []string) string { return strings.Join(list, ", ") }
