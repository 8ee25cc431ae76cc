package audit

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// csvHeader grows at its end, for readers that go by the place of a column.
const csvHeader = "id,seq,at,actor_type,actor_id,actor_name,actor_state,key_id,key_name," +
	"action,target_type,target_id,target_name,outcome,reason," +
	"source_ip,source_user_agent,source_node,request_id,before,after,target_state\r\n"

// NewCSV returns an exporter that writes a line of column names and then a line
// for each event, as RFC 4180 has it, every cell in quotation marks. Cells of a
// key that was not used are empty; before and after are JSON in canonical form.
//
// No cell is a formula to the spreadsheet that opens it, in whatever country:
// where a reader could see the beginning of a cell, an apostrophe stands before
// a character that opens a formula, and before an apostrophe, so that taking
// each of them away again gives the text as it was. See [appendInert].
func NewCSV(w io.Writer) Exporter {
	out := bufio.NewWriter(w)
	_, _ = out.WriteString(csvHeader) // out keeps its error for the next call
	return &csv{out: out}
}

type csv struct {
	out  *bufio.Writer
	line []byte // kept for its memory
	json []byte // likewise
}

func (x *csv) Write(e Event, now States) error {
	cells, err := x.cells(e, now)
	if err != nil {
		return fmt.Errorf("audit: export event %s: %w", e.ID, err)
	}
	line := x.line[:0]
	for i, cell := range cells {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, '"')
		line = appendInert(line, cell)
		line = append(line, '"')
	}
	x.line = append(line, "\r\n"...)
	_, err = x.out.Write(x.line)
	return err
}

func (x *csv) Flush() error { return x.out.Flush() }

// cells returns the cells of a line in the order of [csvHeader].
func (x *csv) cells(e Event, now States) ([]string, error) {
	w := writer{buf: x.json[:0]}
	w.fields(e.Before)
	mid := len(w.buf)
	w.fields(e.After)
	x.json = w.buf
	before, after := string(w.buf[:mid]), string(w.buf[mid:])
	var key Ref
	if e.Key != nil {
		key = *e.Key
	}
	cells := []string{
		e.ID, strconv.FormatInt(e.Seq, 10), e.At.UTC().Format(timeLayout),
		string(e.Actor.Type), e.Actor.ID, e.Actor.Name, now.Actor,
		key.ID, key.Name, e.Action,
		e.Target.Type, e.Target.ID, e.Target.Name,
		string(e.Outcome), e.Reason,
		e.Source.IP, e.Source.UserAgent, e.Source.Node,
		e.RequestID, before, after, now.Target,
	}
	if slices.ContainsFunc(cells, func(cell string) bool { return !utf8.ValidString(cell) }) {
		w.fail(errNotUTF8)
	}
	return cells, w.err
}

const (
	// opensFormula holds what a spreadsheet may read as the beginning of a
	// formula: what OWASP lists under CSV injection, the full-width and small
	// forms of it, and the minus sign.
	opensFormula = "=+-@\t\r\n" + "\uff1d\uff0b\uff0d\uff20" + "\ufe66\ufe62\ufe63\ufe6b" + "\u2212"

	// endsCell holds what ends a cell for a reader that goes by another locale
	// than RFC 4180. Having lost count of the quotation marks at the first
	// comma, it sees these inside a cell of ours.
	endsCell = ";\t\r\n"
)

// appendInert appends the text of a cell, its quotation marks doubled, with an
// apostrophe before each character that opens a formula, or is an apostrophe,
// and stands where a cell may begin: at the front and after [endsCell], with or
// without characters between that are not seen.
func appendInert(dst []byte, cell string) []byte {
	atFront := true
	for _, r := range cell {
		if atFront && (r == '\'' || strings.ContainsRune(opensFormula, r)) {
			dst = append(dst, '\'')
			atFront = false
		}
		switch {
		case strings.ContainsRune(endsCell, r):
			atFront = true
		case !isBlank(r):
			atFront = false
		}
		if r == '"' {
			dst = append(dst, '"')
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// isBlank reports whether a spreadsheet may drop r from the front of a cell: a
// space, a control or format character, a quotation mark.
func isBlank(r rune) bool {
	return r == '"' || unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}
