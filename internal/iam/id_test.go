package iam_test

import (
	"bytes"
	"encoding/hex"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
)

// The vectors of TypeID 0.3 (spec/valid.yml), whose prefixes end in an underscore
// here.
func TestIDsHaveTheTextsOfTypeID(t *testing.T) {
	for _, tt := range []struct{ name, prefix, text, uuid string }{
		{"nil", "", "00000000000000000000000000", "00000000-0000-0000-0000-000000000000"},
		{"one", "", "00000000000000000000000001", "00000000-0000-0000-0000-000000000001"},
		{"ten", "", "0000000000000000000000000a", "00000000-0000-0000-0000-00000000000a"},
		{"sixteen", "", "0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"},
		{"thirty-two", "", "00000000000000000000000010", "00000000-0000-0000-0000-000000000020"},
		{"max-valid", "", "7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
		{"valid-alphabet", "prefix_", "prefix_0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"},
		{"valid-uuidv7", "prefix_", "prefix_01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"},
		{"prefix-underscore", "pre_fix_", "pre_fix_00000000000000000000000000", "00000000-0000-0000-0000-000000000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := uuid(t, tt.uuid)
			if got := iam.FormatID(tt.prefix, want); got != tt.text {
				t.Errorf("got %s, want %s", got, tt.text)
			}
			if got := string(iam.AppendID([]byte("x"), tt.prefix, want)); got != "x"+tt.text {
				t.Errorf("got %s appended to x, want %s", got, tt.text)
			}
			if got, err := iam.ParseID(tt.prefix, tt.text); err != nil || got != want {
				t.Errorf("got %x, %v, want %x", got, err, want)
			}
		})
	}
}

func uuid(t *testing.T, text string) [16]byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	return [16]byte(b)
}

// Most are from TypeID 0.3 (spec/invalid.yml).
func TestAnIDHasOneSpelling(t *testing.T) {
	const good = "key_01h455vb4pex5vsknk084sn02q"
	if _, err := iam.ParseID(iam.KeyPrefix, good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":                "",
		"prefix alone":           "key_",
		"no prefix":              good[4:],
		"another prefix":         "sa_" + good[4:],
		"another of the length":  "inv_" + good[4:],
		"prefix in capitals":     "KEY_" + good[4:],
		"no underscore":          "key" + good[4:],
		"two underscores":        "key__" + good[4:],
		"short":                  good[:len(good)-1],
		"long":                   good + "0",
		"capitals":               "key_" + strings.ToUpper(good[4:]),
		"one capital":            "key_01h455vb4pex5vsknk084sn02Q",
		"space in front":         " " + good,
		"space at the end":       good[:len(good)-1] + " ",
		"hyphens":                "key_01h455vb-pex5vsknk084sn02q",
		"line end":               good[:len(good)-1] + "\n",
		"NUL":                    good[:len(good)-1] + "\x00",
		"not of the alphabet: i": "key_01h455vb4pex5vsknk084sn0iq",
		"not of the alphabet: l": "key_01h455vb4pex5vsknk084sn0lq",
		"not of the alphabet: o": "key_01h455vb4pex5vsknk084sn0oq",
		"not of the alphabet: u": "key_01h455vb4pex5vsknk084sn0uq",
		"digit of another kind":  "key_01h455vb4pex5vsknk084sn\u0663q",
		"129 bits":               "key_8zzzzzzzzzzzzzzzzzzzzzzzzz",
		"130 bits":               "key_zzzzzzzzzzzzzzzzzzzzzzzzzz",
		"before the digits":      "key_/1h455vb4pex5vsknk084sn02q",
		"very long":              strings.Repeat(good, 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			if id, err := iam.ParseID(iam.KeyPrefix, text); err == nil {
				t.Errorf("%q: got %x, want an error", text, id)
			}
		})
	}
}

func TestEveryIDReadsBack(t *testing.T) {
	prefixes := []string{
		iam.WorkspacePrefix, iam.PersonPrefix, iam.MemberPrefix, iam.ServiceAccountPrefix, iam.RolePrefix,
		iam.KeyPrefix, iam.InvitationPrefix, iam.EventPrefix, iam.ReceiptPrefix, iam.RequestPrefix,
	}
	rapid.Check(t, func(t *rapid.T) {
		want := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		prefix := rapid.SampledFrom(prefixes).Draw(t, "prefix")
		text := iam.FormatID(prefix, want)
		got, err := iam.ParseID(prefix, text)
		if err != nil || got != want {
			t.Fatalf("%s: got %x, %v, want %x", text, got, err, want)
		}
		for _, other := range prefixes {
			if _, err := iam.ParseID(other, text); err == nil && other != prefix {
				t.Fatalf("%s is taken for one of %s", text, other)
			}
		}
	})
}

func TestTextsOfIDsSortAsTheIDsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "a"))
		b := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "b"))
		if got, want := strings.Compare(iam.FormatID("sa_", a), iam.FormatID("sa_", b)), bytes.Compare(a[:], b[:]); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

func TestNewIDsAreUUIDv7OfTheirTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		millis := rapid.Int64Range(0, 1<<48-1).Draw(t, "milliseconds")
		text := iam.NewID(iam.EventPrefix, time.UnixMilli(millis))
		id, err := iam.ParseID(iam.EventPrefix, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var got int64
		for _, b := range id[:6] {
			got = got<<8 | int64(b)
		}
		if got != millis || id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("%x: got time %d, version %d, variant %b, want %d, 7, 10", id, got, id[6]>>4, id[8]>>6, millis)
		}
	})
}

func TestNewIDsSortByTimeAndDiffer(t *testing.T) {
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var byTime []string
	seen := map[string]bool{}
	for i := range 1000 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		byTime = append(byTime, iam.NewID(iam.KeyPrefix, now))
		for range 10 {
			seen[iam.NewID(iam.KeyPrefix, start)] = true
		}
	}
	if !slices.IsSorted(byTime) {
		t.Error("ids of later milliseconds do not sort behind those before")
	}
	if got, want := len(seen), 10_000; got != want {
		t.Errorf("got %d different ids in one millisecond, want %d", got, want)
	}
}

func TestNewIDsHaveSeventyFourRandomBits(t *testing.T) {
	var ever, always [16]byte
	for i := range always {
		always[i] = 0xff
	}
	for range 1000 { // a bit that is drawn shows one value alone once in 2^999 times
		id, err := iam.ParseID(iam.KeyPrefix, iam.NewID(iam.KeyPrefix, time.UnixMilli(0)))
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range id {
			ever[i] |= b
			always[i] &= b
		}
	}
	drawn := 0
	for i := range ever {
		drawn += bits.OnesCount8(ever[i] &^ always[i])
	}
	if drawn != 74 {
		t.Errorf("got %d bits that vary, want 74 (RFC 9562, section 5.7)", drawn)
	}
}

func FuzzParseIDAcceptsOneSpelling(f *testing.F) {
	for _, text := range []string{"", "key_", "key_01h455vb4pex5vsknk084sn02q", "key_7zzzzzzzzzzzzzzzzzzzzzzzzz", "key_8zzzzzzzzzzzzzzzzzzzzzzzzz", "key_0123456789ABCDEFGHJKMNPQRS"} {
		f.Add("key_", text)
		f.Add("", text)
	}
	f.Fuzz(func(t *testing.T, prefix, text string) {
		id, err := iam.ParseID(prefix, text)
		if err != nil {
			return
		}
		if got := iam.FormatID(prefix, id); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	})
}
