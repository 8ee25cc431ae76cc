package server

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/posternhq/postern/internal/iam"
)

func TestBodyWithOneMeaningIsAccepted(t *testing.T) {
	for _, body := range []string{
		`{}`, ` {"a" : [1, -2.5e+10, true, false, null, "x"] } `, `"\u00e9\ud83d\ude00\n"`, `0`, `[]`, `[[],{}]`,
		`{"a":{"a":{"a":1}},"b":{"a":1}}`, `{"é":1,"e\u0301":2}`, deep("[", "]", maxDepth),
	} {
		if err := checkJSON([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestBodyWithoutOneMeaningIsRefusedAtItsPlace(t *testing.T) {
	tests := map[string]struct{ body, code, pointer string }{
		"nothing":                   {``, "not_json", ""},
		"two values":                {`{} {}`, "not_json", ""},
		"a comma too many":          {`{"a":1,}`, "not_json", ""},
		"a comma too many in array": {`{"a":[1,]}`, "not_json", "/a"},
		"no colon":                  {`{"a" 1}`, "not_json", ""},
		"a comment":                 {`{/**/}`, "not_json", ""},
		"single quotes":             {`{'a':1}`, "not_json", ""},
		"a leading zero":            {`[01]`, "not_json", ""},
		"a plus":                    {`{"a":[0,+1]}`, "not_json", "/a/1"},
		"NaN":                       {`[NaN]`, "not_json", "/0"},
		"a bare point":              {`[1.]`, "not_json", "/0"},
		"no exponent":               {`[1e]`, "not_json", "/0"},
		"a string that goes on":     {`{"a":"x`, "not_json", "/a"},
		"a raw line end":            {"{\"a\":\"x\n\"}", "not_json", "/a"},
		"an unknown escape":         {`["\x41"]`, "not_json", "/0"},
		"half a surrogate pair":     {`["\ud83d"]`, "not_json", "/0"},
		"the wrong half first":      {`["\ude00\ud83d"]`, "not_json", "/0"},
		"not UTF-8":                 {"{\"a\":\"\xff\"}", "not_utf8", "/a"},
		"overlong UTF-8":            {"[\"\xc0\xaf\"]", "not_utf8", "/0"},
		"a member twice":            {`{"a":{"b":1,"c":2,"b":3}}`, "duplicate", "/a/b"},
		"a member twice, escaped":   {`{"ab":1,"\u0061b":2}`, "duplicate", "/ab"},
		"a member twice among many": {`{` + members(100) + `"m7":0}`, "duplicate", "/m7"},
		"too deep":                  {deep("[", "]", maxDepth+1), "too_deep", strings.Repeat("/0", maxDepth)},
		"too deep in objects":       {deep(`{"a":`, "}", maxDepth+1), "too_deep", strings.Repeat("/a", maxDepth)},
		"too many members":          {`{` + members(maxMembers) + `"z":0}`, "too_many", ""},
		"a NUL":                     {`{"name":"a\u0000b"}`, "control_character", "/name"},
		"a key as a name":           {`{"pst_sa_000000000000000000000000000000000123456":1,}`, "not_json", ""},
		"a value under a key":       {`{"pst_sa_000000000000000000000000000000000123456":[}`, "not_json", "/[hidden]/0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, ok := errors.AsType[*iam.Error](checkJSON([]byte(tt.body)))
			if !ok || len(e.Fields) != 1 {
				t.Fatalf("got %+v, want an error about one place", e)
			}
			if got := e.Fields[0]; got.Code != tt.code || got.Pointer != tt.pointer {
				t.Errorf("got %s at %q, want %s at %q", got.Code, got.Pointer, tt.code, tt.pointer)
			}
		})
	}
}

// The bodies of I01, each of the greatest size that is read at all. Where even
// encoding/json needs long for a harmless one, because of the race detector or of
// whoever else uses the machine, what it needs is the measure.
func TestHostileBodyCostsLittle(t *testing.T) {
	harmless := []byte("[" + strings.Repeat("0,", maxBody/2-1) + "0]")
	for name, body := range hostileBodies() {
		t.Run(name, func(t *testing.T) {
			// What grows faster than the body would take hundreds of times as long.
			allowed := max(10*time.Millisecond, 10*quickest(func() { _ = json.Valid(harmless) }))
			if took := quickest(func() { _ = checkJSON(body) }); took > allowed { // refused or not
				t.Errorf("%d bytes took %v, want at most %v", len(body), took, allowed)
			}
		})
	}
}

// quickest returns the least that something took of a few times.
func quickest(do func()) time.Duration {
	best := time.Hour
	for range 5 {
		begun := time.Now()
		do()
		best = min(best, time.Since(begun))
	}
	return best
}

func hostileBodies() map[string][]byte {
	fill := func(begin, part, end string) []byte {
		n := (maxBody - len(begin) - len(end)) / len(part)
		return []byte(begin + strings.Repeat(part, n) + end)
	}
	distinct := []byte("{")
	for n := 0; len(distinct) < maxBody-32; n++ {
		distinct = append(distinct, members1(n)...)
	}
	return map[string][]byte{
		"depth":                fill("", "[", ""),
		"objects in depth":     fill("", `{"a":`, ""),
		"distinct members":     append(distinct, `"z":0}`...),
		"one member again":     fill("{", `"a":0,`, `"z":0}`),
		"elements":             fill("[", "0,", "0]"),
		"empty objects":        fill("[", "{},", "0]"),
		"objects of 16":        fill("[", "{"+strings.TrimSuffix(members(16), ",")+"},", "0]"),
		"escapes":              fill(`["`, `\u00e9`, `"]`),
		"numbers":              fill("[", "1e308,", "0]"),
		"one number":           fill("", "9", ""),
		"white space":          fill("", " ", "{}"),
		"multi-byte":           fill(`["`, "é", `"]`),
		"not UTF-8 at the end": fill(`["`, "a", "\xff\"]"),
	}
}

func deep(begin, end string, n int) string {
	return strings.Repeat(begin, n) + `0` + strings.Repeat(end, n)
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(members1(i))
	}
	return b.String()
}

func members1(n int) string {
	name := strconv.Quote("m" + strconv.Itoa(n))
	return name + ":0,"
}

// What is accepted, encoding/json accepts as well; what is refused as no JSON, it
// refuses too, or reads as something that the text does not say.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5e-3,{"b":null}],"c":"\u00e9\ud83d\ude00"}`, `{"a":1,"a":2}`, `["\ud800"]`, `[[[[]]]]`, "\"\xff\"", `{"a":1}x`, ` `, `-`, `"\u0000"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := checkJSON(body)
		valid := json.Valid(body)
		if err == nil {
			if !valid || !utf8.Valid(body) {
				t.Fatalf("%q was accepted, and encoding/json refuses it", body)
			}
			if repeated(body) {
				t.Fatalf("%q was accepted with a member twice", body)
			}
			return
		}
		e, ok := errors.AsType[*iam.Error](err)
		if !ok || len(e.Fields) != 1 {
			t.Fatalf("%q: got %v, want an error about one place", body, err)
		}
		switch code := e.Fields[0].Code; code {
		case "not_json":
			if valid && !strings.Contains(e.Fields[0].Detail, "surrogate") {
				t.Fatalf("%q was refused: %s; encoding/json accepts it", body, e.Fields[0].Detail)
			}
		case "not_utf8":
			if utf8.Valid(body) {
				t.Fatalf("%q was refused as not UTF-8", body)
			}
		case "duplicate", "too_deep", "too_many", "control_character":
		default:
			t.Fatalf("%q: unknown code %s", body, code)
		}
	})
}

// repeated reports whether an object of a valid text has a member twice.
func repeated(body []byte) bool {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	var open []map[string]bool // nil for an array
	wantName := false
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) || err != nil {
			return false
		}
		switch v := tok.(type) {
		case json.Delim:
			switch v {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			wantName = len(open) > 0 && open[len(open)-1] != nil
			continue
		case string:
			if wantName {
				if open[len(open)-1][v] {
					return true
				}
				open[len(open)-1][v] = true
				wantName = false
				continue
			}
		}
		wantName = len(open) > 0 && open[len(open)-1] != nil
	}
}
