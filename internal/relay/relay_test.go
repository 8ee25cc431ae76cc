package relay_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
)

var hello = relay.Hello{Child: "child-1", Node: "node-1", Any: true, HeartbeatMS: 1000, Prefixes: []string{"pst"}, Time: began}

func place(seq int64) iam.Position {
	return iam.Position{Seq: seq, Chain: iam.Chain{byte(seq), 1, 2}, Time: began.Add(time.Duration(seq) * time.Second)}
}

// written returns what a writer writes.
func written(t testing.TB, write func(w *relay.Writer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := write(relay.NewWriter(&out)); err != nil {
		t.Fatalf("write: %v", err)
	}
	return out.Bytes()
}

var permissions = rapid.Custom(func(t *rapid.T) iam.Permissions {
	grant := rapid.SampledFrom([]iam.Grant{
		{Type: "*", Action: "read"}, {Type: "agents", ID: "bot-1", Action: "execute"}, {Type: "agents", ID: "b", Prefix: true, Action: "*"},
	})
	return iam.NewPermissions(rapid.SliceOfN(grant, 0, 3).Draw(t, "grants")...)
})

var networks = rapid.SliceOfN(rapid.SampledFrom([]netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::ffff:1.2.3.4/128"),
}), 0, 3)

func drawKey(t *rapid.T, principals int) iam.KeyRecord {
	rec := keyRecord(rapid.IntRange(0, 1<<40).Draw(t, "number"), principals)
	rec.Name = rapid.String().Draw(t, "name")
	rec.Expires = rapid.Int64().Draw(t, "expires")
	rec.Paused, rec.Revoked = rapid.Bool().Draw(t, "paused"), rapid.Bool().Draw(t, "revoked")
	if rapid.Bool().Draw(t, "limited") {
		rec.Limit = new(permissions.Draw(t, "limit"))
	}
	if rapid.Bool().Draw(t, "confined") {
		rec.Networks = networks.Draw(t, "networks")
	}
	return rec
}

func TestSnapshotArrivesAsItWasPoured(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		principals := rapid.IntRange(1, 5).Draw(t, "principals")
		sent := &snapshot{workspaces: []iam.WorkspaceRecord{workspaceRecord()}, roles: []iam.RoleRecord{roleRecord()}}
		for n := range principals {
			sent.principals = append(sent.principals, principalRecord(n))
		}
		for range rapid.IntRange(0, 20).Draw(t, "keys") {
			sent.keys = append(sent.keys, drawKey(t, principals))
		}
		var out bytes.Buffer
		w := relay.NewWriter(&out)
		if err := errors.Join(w.Hello(hello), sent.pour(w), w.Loaded(place(7))); err != nil {
			t.Fatalf("write: %v", err)
		}
		r := relay.NewReader(&out)
		if _, err := r.Hello(iam.Position{}); err != nil {
			t.Fatalf("hello: %v", err)
		}
		got := new(snapshot)
		at, err := r.Snapshot(got)
		if err != nil {
			t.Fatalf("snapshot: %v", err)
		}
		if at != place(7) {
			t.Errorf("position %v, want %v", at, place(7))
		}
		if diff := cmp.Diff(sent, got, cmp.AllowUnexported(snapshot{}), cmp.Comparer(iam.Permissions.Equal), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("the snapshot changed on its way (-sent +got):\n%s", diff)
		}
	})
}

func TestChangesArriveWholeAndInOrderAndWithoutGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sent []iam.Change
		for seq := int64(8); seq < 8+int64(rapid.IntRange(1, 10).Draw(t, "changes")); seq++ {
			c := iam.Change{Seq: seq, Time: began.Add(time.Duration(seq))}
			for n := range rapid.SampledFrom([]int{0, 0, 0, 1, 300}).Draw(t, "keys") {
				c.Keys = append(c.Keys, keyRecord(n, 3))
			}
			if rapid.Bool().Draw(t, "with others") {
				c.Roles, c.Principals = []iam.RoleRecord{roleRecord()}, []iam.PrincipalRecord{principalRecord(1)}
				c.Workspaces = []iam.WorkspaceRecord{workspaceRecord()}
			}
			c.Reader = c.LowestReader()
			sent = append(sent, c)
		}
		at := place(sent[len(sent)-1].Seq)
		var out bytes.Buffer
		w := relay.NewWriter(&out)
		resumed := hello
		resumed.Resumed = true
		if err := errors.Join(w.Hello(resumed), w.Beat(), w.Changes(sent, at), w.End(relay.Shutdown)); err != nil {
			t.Fatalf("write: %v", err)
		}
		r := relay.NewReader(&out)
		if _, err := r.Hello(place(7)); err != nil {
			t.Fatalf("hello: %v", err)
		}
		if beat, err := r.Next(); err != nil || beat.At.Seq != 0 {
			t.Fatalf("a sign of life reads %v, %v", beat, err)
		}
		news, err := r.Next()
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		if news.At != at || len(news.Changes) != len(sent) {
			t.Fatalf("%d changes to %v, want %d to %v", len(news.Changes), news.At, len(sent), at)
		}
		for i, c := range news.Changes {
			want := sent[i]
			if len(want.Keys)+len(want.Roles) == 0 {
				want.Time = at.Time // it was not told
			}
			if diff := cmp.Diff(want, c, cmp.Comparer(iam.Permissions.Equal)); diff != "" {
				t.Errorf("change %d became another (-sent +got):\n%s", want.Seq, diff)
			}
		}
		var ended *relay.Ended
		if _, err := r.Next(); !errors.As(err, &ended) || ended.Reason != relay.Shutdown {
			t.Errorf("the end reads %v, want %s", err, relay.Shutdown)
		}
	})
}

// frame is one frame, as it is.
func frame(kind byte, payload string) []byte {
	return append(append(binary.AppendUvarint(nil, uint64(len(payload)+1)), kind), payload...)
}

func position(seq int64) string {
	text, _ := json.Marshal(map[string]any{"seq": seq, "chain": strings.Repeat("0", 64), "time": began})
	return string(text)
}

// drain reads a stream to its end, which is an error, and returns that.
func drain(r io.Reader) error {
	reader := relay.NewReader(r)
	h, err := reader.Hello(place(7))
	if err != nil {
		return err
	}
	if !h.Resumed {
		if _, err := reader.Snapshot(new(snapshot)); err != nil {
			return err
		}
	}
	for {
		if _, err := reader.Next(); err != nil {
			return err
		}
	}
}

func TestWhatAReaderDoesNotKnowEndsTheStream(t *testing.T) {
	begin := `{"child":"c","node":"n","any":true,"resumed":true,"reader":1,"heartbeat_ms":1000,"prefixes":["pst"],"time":"2026-11-01T00:00:00Z"`
	live := frame('H', begin+`}`)
	fresh := frame('H', strings.Replace(begin, `"resumed":true`, `"resumed":false`, 1)+`}`)
	with := func(first []byte, rest ...[]byte) []byte { return slices.Concat(first, slices.Concat(rest...)) }
	key := strings.Repeat("k", 48)
	tests := map[string][]byte{
		"an unknown kind":                        with(live, frame('X', "")),
		"an unknown kind in a snapshot":          with(fresh, frame('X', "")),
		"no hello":                               frame('B', ""),
		"a second hello":                         with(live, live),
		"a field of the hello":                   frame('H', begin+`,"more":1}`),
		"a higher version":                       frame('H', strings.Replace(begin, `"reader":1`, `"reader":2`, 1)+`}`),
		"no version":                             frame('H', strings.Replace(begin, `"reader":1`, `"reader":0`, 1)+`}`),
		"no prefixes":                            frame('H', strings.Replace(begin, `"prefixes":["pst"],`, "", 1)+`}`),
		"both one workspace and all":             frame('H', begin+`,"workspace":"ws_1"}`),
		"something after the hello's JSON":       frame('H', begin+`} {}`),
		"a field of a workspace":                 with(fresh, frame('W', `{"id":"ws_1","slug":"a","colour":"red"}`)),
		"a field of a role":                      with(fresh, frame('R', `{"id":"role_1","workspace":"ws_1","name":"a","permissions":[],"denies":[]}`)),
		"a permission":                           with(fresh, frame('R', `{"id":"role_1","workspace":"ws_1","name":"a","permissions":["a b"]}`)),
		"a field of a principal":                 with(fresh, frame('P', `{"id":"sa_1","more":1}`)),
		"a mark of a key":                        with(fresh, frame('P', `{"id":"sa_1"}`), frame('K', key+"\x40\x00\x00")),
		"a key of nobody":                        with(fresh, frame('K', key+"\x00\x00\x00")),
		"a key with more behind it":              with(fresh, frame('P', `{"id":"sa_1"}`), frame('K', key+"\x00\x00\x00\x00")),
		"a key cut short":                        with(fresh, frame('P', `{"id":"sa_1"}`), frame('K', key)),
		"a key with a name longer than itself":   with(fresh, frame('P', `{"id":"sa_1"}`), frame('K', key+"\x00\x00\xff\xff\x7fab")),
		"a key with more networks than it holds": with(fresh, frame('P', `{"id":"sa_1"}`), frame('K', key+"\x10\x00\x00\xff\xff\xff\xff\x7f")),
		"a key after the snapshot":               with(live, frame('K', key+"\x00\x00\x00")),
		"a change in the snapshot":               with(fresh, frame('C', `{"seq":8,"reader":1}`)),
		"a sign of life with something in it":    with(live, frame('B', "x")),
		"a sign of life between changes":         with(live, frame('C', `{"seq":8,"time":"2026-11-01T00:00:00Z","reader":1}`), frame('B', "")),
		"a field of a change":                    with(live, frame('C', `{"seq":8,"time":"2026-11-01T00:00:00Z","reader":1,"rules":[]}`)),
		"a change of a higher version":           with(live, frame('C', `{"seq":8,"time":"2026-11-01T00:00:00Z","reader":9}`)),
		"a change of no version":                 with(live, frame('C', `{"seq":8,"time":"2026-11-01T00:00:00Z"}`)),
		"a change that was told":                 with(live, frame('C', `{"seq":7,"time":"2026-11-01T00:00:00Z","reader":1}`)),
		"changes that lead to before them":       with(live, frame('C', `{"seq":9,"time":"2026-11-01T00:00:00Z","reader":1}`), frame('T', position(8))),
		"a position that was reached":            with(live, frame('T', position(7))),
		"a position too far ahead":               with(live, frame('T', position(8+relay.MostChanges))),
		"a negative position":                    with(fresh, frame('S', position(-1))),
		"a chain that is none":                   with(fresh, frame('S', `{"seq":1,"chain":"00","time":"2026-11-01T00:00:00Z"}`)),
		"a field of a position":                  with(fresh, frame('S', strings.Replace(position(1), "{", `{"more":1,`, 1))),
		"a field of the end":                     with(live, frame('E', `{"reason":"shutdown","more":1}`)),
		"a frame of nothing":                     with(live, []byte{0}),
		"a frame of 16 MiB and one":              with(live, binary.AppendUvarint(nil, 16<<20+1)),
		"a length that does not end":             with(live, bytes.Repeat([]byte{0xff}, 20)),
	}
	var ended *relay.Ended
	if err := drain(bytes.NewReader(with(live, frame('T', position(8)), frame('B', ""), frame('E', `{"reason":"shutdown"}`)))); !errors.As(err, &ended) {
		t.Fatalf("a good stream ends with %v", err)
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			err := drain(bytes.NewReader(append(text, frame('E', `{"reason":"shutdown"}`)...)))
			if errors.As(err, &ended) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("it is read to its end: %v", err)
			}
		})
	}
}

func TestStreamThatBreaksOffHasNotEnded(t *testing.T) {
	text := written(t, func(w *relay.Writer) error {
		return errors.Join(w.Hello(hello), w.Workspace(workspaceRecord()), w.Loaded(place(7)), w.Changes(nil, place(9)))
	})
	for n := range text {
		if err := drain(bytes.NewReader(text[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the first %d of %d bytes end with %v, want %v", n, len(text), err, io.ErrUnexpectedEOF)
		}
	}
}

func TestWriterRefusesWhatNoReaderMayHave(t *testing.T) {
	session := keyRecord(1, 1)
	session.Session = true
	w := relay.NewWriter(io.Discard)
	for name, err := range map[string]error{
		"a session":              w.Key(session),
		"a key of nobody":        w.Key(keyRecord(1, 1)),
		"more changes than read": relay.NewWriter(io.Discard).Changes(make([]iam.Change, relay.MostChanges+1), place(9)),
	} {
		if err == nil {
			t.Errorf("%s is written", name)
		}
	}
}

// endless says that a frame is long, and then nothing but that it goes on.
type endless struct {
	head *bytes.Reader
	most int
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.head.Len() > 0 {
		return e.head.Read(p)
	}
	n := min(len(p), e.most-e.read)
	if e.read += n; n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}

func TestLengthAloneTakesNoMemory(t *testing.T) {
	head := written(t, func(w *relay.Writer) error { return w.Hello(hello) })
	text := append(slices.Clone(head), binary.AppendUvarint(nil, 15<<20)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := drain(&endless{head: bytes.NewReader(text), most: 100}); err == nil {
		t.Fatal("it is read to its end")
	}
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(4<<20); got > most {
		t.Errorf("a frame of which 100 bytes came takes %d bytes, more than %d", got, most)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(written(f, func(w *relay.Writer) error {
		rec := keyRecord(0, 1)
		rec.Limit, rec.Networks = new(operator), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		return errors.Join(
			w.Hello(hello), w.Workspace(workspaceRecord()), w.Role(roleRecord()), w.Principal(principalRecord(0)), w.Key(rec), w.Loaded(place(7)),
			w.Changes([]iam.Change{{Seq: 9, Time: began, Keys: []iam.KeyRecord{rec}}}, place(9)), w.Beat(), w.End(relay.Shutdown),
		)
	}))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := drain(bytes.NewReader(text)); err == nil {
			t.Error("it ends without an error")
		}
	})
}

func TestPositionsReadBack(t *testing.T) {
	at := iam.Position{Seq: 42, Chain: iam.Chain{1, 2, 3}}
	got, err := relay.ParsePosition(relay.FormatPosition(at))
	if err != nil || got != at {
		t.Errorf("%v reads back as %v, %v", at, got, err)
	}
	for _, text := range []string{"", "42", "42.", "-1." + strings.Repeat("0", 64), "+1." + strings.Repeat("0", 64), "1." + strings.Repeat("g", 64), "1." + strings.Repeat("0", 65)} {
		if _, err := relay.ParsePosition(text); err == nil {
			t.Errorf("%q is a position", text)
		}
	}
}

func TestReportsReadBack(t *testing.T) {
	sent := iam.UsageReport{
		Reporter: "r", Number: 3, Covers: began, Last: true,
		Keys: []iam.KeyUse{{
			Key: "key_1", Principal: "sa_1", Workspace: "ws_1", LastOK: began, Minutes: []iam.UsePoint{{At: began, OK: 2, Refused: 1}},
			Sources: []iam.SourceUse{{IP: "10.0.0.1", UserAgent: "curl", First: began, Last: began, LastOK: began, OK: 2}, {Others: true, First: began, Last: began, Refused: 1}},
			Asks:    []iam.AskUse{{Ask: "agents:execute", Last: began, OK: 2}, {Ask: iam.AnyAsk, Others: true, Last: began, Refused: 1}},
		}, {Key: "key_2", Principal: "sa_1", Workspace: "ws_1", LastRefused: began}},
	}
	text, err := json.Marshal(relay.ReportText(sent))
	if err != nil {
		t.Fatal(err)
	}
	got := relay.ReportText(iam.UsageReport{})
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, relay.ReportOf("r", got)); diff != "" {
		t.Errorf("the report changed on its way (-sent +got):\n%s", diff)
	}
}
