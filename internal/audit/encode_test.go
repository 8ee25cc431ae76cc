package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/audit"
)

// The files in testdata are what events were written as, byte for byte, and the
// hash chain of every audit log in use is made over such bytes. A change that
// makes this test fail breaks the check of all of them: give the new form a new
// version instead. That is why no flag rewrites the files.
func TestEncodingNeverChanges(t *testing.T) {
	for name, e := range events() {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := audit.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			back, err := audit.Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decoded(e), back); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryGoldenFileHasItsEvent(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(files), len(events()); got != want {
		t.Errorf("got %d golden files, want %d: one for each event", got, want)
	}
}

// at is the time of every event in these tests.
var at = time.Date(2026, 3, 1, 23, 59, 58, 120_000_000, time.UTC)

// events are the events of the golden files, by file name.
func events() map[string]audit.Event {
	return map[string]audit.Event{
		"member": {
			ID: "evt_01jn8x0c2vf3hs5r6tq7w8y9za", Workspace: "ws_01jn8x0c2vf3hs5r6tq7w8y9zb", Seq: 7, At: at,
			Actor:  audit.Actor{Type: audit.Member, ID: "mem_01jn8x0c2vf3hs5r6tq7w8y9zc", Name: "Jo Park"},
			Key:    &audit.Ref{ID: "key_01jn8x0c2vf3hs5r6tq7w8y9zd", Name: "laptop"},
			Action: "service_account.created",
			Target: audit.Target{Type: "service_account", ID: "sa_01jn8x0c2vf3hs5r6tq7w8y9ze", Name: "support-bot-prod"},

			Outcome: audit.Done,
			Source:  audit.Source{IP: "192.0.2.7", UserAgent: "postern/1.0", Node: "node-1"}, RequestID: "req_01jn8x0c2vf3hs5r6tq7w8y9zf",
			After: audit.Fields{
				"name": "support-bot-prod", "description": "", "owner": "Support",
				"role": audit.Fields{"id": "role_01jn8x0c2vf3hs5r6tq7w8y9zg", "name": "operator"}, "metadata": map[string]string{},
			},
		},
		"service_account": {
			ID: "evt_01jn8x0c2vf3hs5r6tq7w8y9zh", Workspace: "ws_01jn8x0c2vf3hs5r6tq7w8y9zb", Seq: 8, At: at.Add(time.Microsecond),
			Actor:  audit.Actor{Type: audit.ServiceAccount, ID: "sa_01jn8x0c2vf3hs5r6tq7w8y9ze", Name: "support-bot-prod"},
			Key:    &audit.Ref{ID: "key_01jn8x0c2vf3hs5r6tq7w8y9zj", Name: "k8s"},
			Action: "key.updated",
			Target: audit.Target{Type: "key", ID: "key_01jn8x0c2vf3hs5r6tq7w8y9zk", Name: "k8s-2"},

			Outcome: audit.Done, Reason: "narrowed after the review",
			Source: audit.Source{IP: "2001:db8::7", UserAgent: "Go-http-client/2.0", Node: "node-2"}, RequestID: "req_01jn8x0c2vf3hs5r6tq7w8y9zm",
			Before: audit.Fields{"limit": []string(nil), "allowed_networks": nil, "expires_at": nil, "paused": false},
			After: audit.Fields{
				"limit": []string{"agents/bot-1:execute", "agents:read"}, "allowed_networks": []string{"10.2.0.0/16"},
				"expires_at": "2026-06-01T00:00:00.000000Z", "paused": true,
			},
		},
		"system": {
			ID: "evt_01jn8x0c2vf3hs5r6tq7w8y9zn", Workspace: "ws_01jn8x0c2vf3hs5r6tq7w8y9zb", Seq: 1, At: at.Truncate(time.Second),
			Actor:  audit.Actor{Type: audit.System, ID: "system", Name: "init"},
			Action: "workspace.created",
			Target: audit.Target{Type: "workspace", ID: "ws_01jn8x0c2vf3hs5r6tq7w8y9zb", Name: "acme"},

			Outcome: audit.Done,
			After:   audit.Fields{"policy": audit.Fields{"seat_limit": nil, "usage_days": int64(90), "least": int64(-1<<53 + 1), "most": int64(1<<53 - 1)}},
		},
		"refused": {
			ID: "evt_01jn8x0c2vf3hs5r6tq7w8y9zp", Workspace: "ws_01jn8x0c2vf3hs5r6tq7w8y9zb", Seq: 9007199254740991, At: at,
			Actor:  audit.Actor{Type: audit.Anonymous, ID: "anonymous", Name: "Anonymous"},
			Action: "invitation.accepted",

			Outcome: audit.Refused, Reason: "the invitation has ended",
			Source: audit.Source{IP: "198.51.100.1", UserAgent: "curl/8.12.1", Node: "node-1"}, RequestID: "req_01jn8x0c2vf3hs5r6tq7w8y9zq",
		},
		"strange_names": strangelyNamed(),
	}
}

// strangelyNamed is an event whose texts a careless encoder would write wrongly.
func strangelyNamed() audit.Event {
	return audit.Event{
		ID: "evt_01jn8x0c2vf3hs5r6tq7w8y9zr", Workspace: "ws_01jn8x0c2vf3hs5r6tq7w8y9zb", Seq: 10, At: at.In(time.FixedZone("", 3600)),
		Actor:  audit.Actor{Type: audit.Member, ID: "mem_01jn8x0c2vf3hs5r6tq7w8y9zs", Name: `"Jo" \ <img onerror=alert(1)> & 名前 🤖👩‍🔬`},
		Key:    &audit.Ref{ID: "key_01jn8x0c2vf3hs5r6tq7w8y9zt", Name: "a\u2028b\u2029c\u00a0d\u007fe\u0085f\ufeffg\u202eh"},
		Action: "key.created",
		Target: audit.Target{Type: "key", ID: "key_01jn8x0c2vf3hs5r6tq7w8y9zv", Name: "=cmd|'/C calc'!A0"},

		Outcome: audit.Done, Reason: "\x00\x01\b\t\n\v\f\r\x1b\x1f /\ufffd\U0010ffff",
		Source: audit.Source{IP: "192.0.2.7", UserAgent: "\\u0041", Node: "node-1"}, RequestID: "req_01jn8x0c2vf3hs5r6tq7w8y9zw",
		// The names are those of RFC 8785, section 3.2.3, whose order is not that of their bytes.
		After: audit.Fields{"metadata": map[string]string{
			"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
			"\U0001f600": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis", "": "nothing",
		}},
	}
}

// decoded returns e as [audit.Decode] promises to read it back.
func decoded(e audit.Event) audit.Event {
	e.At = e.At.UTC().Truncate(time.Microsecond)
	e.Before, e.After = decodedFields(e.Before), decodedFields(e.After)
	return e
}

func decodedFields(f audit.Fields) audit.Fields {
	if f == nil {
		return nil
	}
	out := audit.Fields{}
	for name, value := range f {
		out[name] = decodedValue(value)
	}
	return out
}

func decodedValue(v any) any {
	switch v := v.(type) {
	case []string:
		if v == nil {
			return nil
		}
	case map[string]string:
		if v == nil {
			return nil
		}
		out := audit.Fields{}
		for name, value := range v {
			out[name] = value
		}
		return out
	case audit.Fields:
		if v == nil {
			return nil
		}
		return decodedFields(v)
	}
	return v
}

func TestWhatWasEncodedReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		body, err := audit.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := audit.Decode(body)
		if err != nil {
			t.Fatalf("decode %s: %v", body, err)
		}
		if diff := cmp.Diff(decoded(e), back); diff != "" {
			t.Fatalf("decoded (-want +got):\n%s", diff)
		}
		again, err := audit.Encode(back)
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("encoded again: got %s, %v\nwant %s", again, err, body)
		}
	})
}

func TestEncodingIsRFC8785(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got, err := audit.Encode(drawEvent(t))
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(got))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("not JSON: %v\n%s", err, got)
		}
		if want := slowCanonical(v); string(got) != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// slowCanonical writes a value by the letter of RFC 8785, as far as events need it.
func slowCanonical(v any) string {
	switch v := v.(type) {
	case string:
		return slowText(v)
	case []any:
		var elements []string
		for _, element := range v {
			elements = append(elements, slowCanonical(element))
		}
		return "[" + strings.Join(elements, ",") + "]"
	case map[string]any:
		names := slices.SortedFunc(maps.Keys(v), func(a, b string) int {
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		})
		var members []string
		for _, name := range names {
			members = append(members, slowText(name)+":"+slowCanonical(v[name]))
		}
		return "{" + strings.Join(members, ",") + "}"
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

func slowText(s string) string {
	escapes := []string{`"`, `\"`, `\`, `\\`, "\b", `\b`, "\t", `\t`, "\n", `\n`, "\f", `\f`, "\r", `\r`}
	for c := range 0x20 {
		escapes = append(escapes, string(rune(c)), fmt.Sprintf(`\u%04x`, c))
	}
	return `"` + strings.NewReplacer(escapes...).Replace(s) + `"`
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	for name, e := range map[string]audit.Event{
		"name that is not UTF-8":          {Actor: audit.Actor{Name: "a\xffb"}},
		"half of a surrogate pair":        {Reason: "\xed\xa0\x80"},
		"member name that is not UTF-8":   {After: audit.Fields{"a\xff": nil}},
		"number beyond 2^53-1":            {Seq: 1 << 53},
		"number beyond -(2^53-1)":         {Before: audit.Fields{"n": int64(-1 << 53)}},
		"greatest number":                 {Before: audit.Fields{"n": int64(math.MaxInt64)}},
		"fraction":                        {After: audit.Fields{"n": 0.5}},
		"int, whose size varies":          {After: audit.Fields{"n": 1}},
		"time":                            {After: audit.Fields{"t": at}},
		"unlisted type, deep inside":      {After: audit.Fields{"a": audit.Fields{"b": []any{"c"}}}},
		"year of five digits":             {At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"year of five digits, in UTC":     {At: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))},
		"year before the first":           {At: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)},
		"text in a list that is no UTF-8": {After: audit.Fields{"l": []string{"\x80"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if body, err := audit.Encode(e); err == nil {
				t.Errorf("got %s, want an error", body)
			}
		})
	}
}

func TestOnlyTheCanonicalFormIsRead(t *testing.T) {
	body, err := audit.Encode(events()["member"])
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) string {
		if !strings.Contains(string(body), from) {
			t.Fatalf("%s is not in %s", from, body)
		}
		return strings.Replace(string(body), from, to, 1)
	}
	for name, text := range map[string]string{
		"nothing":                "",
		"empty object":           "{}",
		"unknown member":         change(`"v":1`, `"v":1,"z":2`),
		"unknown member inside":  change(`"type":"member"}`, `"type":"member","z":2}`),
		"member missing":         change(`"reason":"",`, ``),
		"member twice":           change(`"reason":"",`, `"reason":"","reason":"",`),
		"name in another case":   change(`"reason"`, `"Reason"`),
		"members in other order": change(`"action":"service_account.created","actor":`, `"actor":`),
		"white space":            change(`"v":1`, `"v": 1`),
		"line end":               string(body) + "\n",
		"more after it":          string(body) + "{}",
		"escape without need":    change(`Jo Park`, `\u004ao Park`),
		"another version":        change(`"v":1`, `"v":2`),
		"version as text":        change(`"v":1`, `"v":"1"`),
		"number with exponent":   change(`"seq":7`, `"seq":7e0`),
		"number with fraction":   change(`"seq":7`, `"seq":7.0`),
		"minus zero":             change(`"seq":7`, `"seq":-0`),
		"time without fraction":  change(`.120000Z`, `Z`),
		"time of milliseconds":   change(`.120000Z`, `.120Z`),
		"time of nanoseconds":    change(`.120000Z`, `.120000000Z`),
		"time of another zone":   change(`.120000Z`, `.120000+00:00`),
		"null for a text":        change(`"reason":""`, `"reason":null`),
		"number among texts":     change(`"description":""`, `"description":["a",1]`),
		"fraction in a field":    change(`"description":""`, `"description":1.5`),
		"text that is not UTF-8": change(`Jo Park`, "Jo\xff"),
		"lone surrogate":         change(`Jo Park`, `\ud800`),
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := audit.Decode([]byte(text)); err == nil {
				t.Errorf("got %+v, want an error", e)
			}
		})
	}
}

func TestALaterVersionIsRefusedByItsNumber(t *testing.T) {
	_, err := audit.Decode([]byte(`{"v":2,"what_v2_adds":true}`))
	if err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v, want an error that names version 2", err)
	}
}

func FuzzDecodeAcceptsOneSpelling(f *testing.F) {
	for _, e := range events() {
		body, err := audit.Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := audit.Decode(body)
		if err != nil {
			return
		}
		again, err := audit.Encode(e)
		if err != nil || !bytes.Equal(again, body) {
			t.Errorf("got %s, %v, want %s", again, err, body)
		}
	})
}

func FuzzEveryTextReadsBack(f *testing.F) {
	f.Add("", "a", int64(0), int64(0))
	f.Add(`"\`+"\x00\u2028🤖", "é", int64(-1<<53+1), int64(253402300799_999_999))
	f.Add("\xff", "\xed\xa0\x80", int64(1<<53), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, text, name string, n, micros int64) {
		e := audit.Event{Seq: n, At: time.UnixMicro(micros), Reason: text, After: audit.Fields{name: text, "n": n}}
		body, err := audit.Encode(e)
		writable := utf8.ValidString(text) && utf8.ValidString(name) && -1<<53 < n && n < 1<<53 &&
			e.At.UTC().Year() >= 0 && e.At.UTC().Year() <= 9999
		if (err == nil) != writable {
			t.Fatalf("got error %v, want one: %t", err, !writable)
		}
		if err != nil {
			return
		}
		back, err := audit.Decode(body)
		if err != nil {
			t.Fatalf("decode %s: %v", body, err)
		}
		if diff := cmp.Diff(decoded(e), back); diff != "" {
			t.Errorf("decoded (-want +got):\n%s", diff)
		}
	})
}

// drawEvent draws an event of which every part varies.
func drawEvent(t *rapid.T) audit.Event {
	text := rapid.String()
	draw := func(what string) string { return text.Draw(t, what) }
	e := audit.Event{
		ID: draw("id"), Workspace: draw("workspace"), Seq: drawInt(t),
		At:     time.UnixMicro(rapid.Int64Range(-62135596800_000_000, 253402300799_999_999).Draw(t, "at")),
		Actor:  audit.Actor{Type: audit.ActorType(draw("actor type")), ID: draw("actor id"), Name: draw("actor name")},
		Action: draw("action"), Target: audit.Target{Type: draw("target type"), ID: draw("target id"), Name: draw("target name")},
		Outcome: audit.Outcome(draw("outcome")), Reason: draw("reason"),
		Source:    audit.Source{IP: draw("ip"), UserAgent: draw("user agent"), Node: draw("node")},
		RequestID: draw("request id"), Before: drawFields(t, 2), After: drawFields(t, 2),
	}
	if rapid.Bool().Draw(t, "key") {
		e.Key = &audit.Ref{ID: draw("key id"), Name: draw("key name")}
	}
	return e
}

func drawInt(t *rapid.T) int64 { return rapid.Int64Range(-1<<53+1, 1<<53-1).Draw(t, "number") }

func drawFields(t *rapid.T, depth int) audit.Fields {
	if rapid.Bool().Draw(t, "nil") {
		return nil
	}
	f := audit.Fields{}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		f[rapid.String().Draw(t, "name")] = drawValue(t, depth)
	}
	return f
}

func drawValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(1, kinds).Draw(t, "kind") {
	case 1:
		return nil
	case 2:
		return rapid.Bool().Draw(t, "bool")
	case 3:
		return drawInt(t)
	case 4:
		return rapid.String().Draw(t, "text")
	case 5:
		return rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "texts")
	case 6:
		return rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "map")
	}
	return drawFields(t, depth-1)
}
