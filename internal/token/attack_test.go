package token_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/posternhq/postern/internal/token"
)

// TestAttacks holds what other systems fell to; each is named for its row in the
// list of attacks.
func TestAttacks(t *testing.T) {
	t.Run("F05", func(t *testing.T) {
		for _, prefix := range []string{"pst", "acme"} {
			for _, kind := range []token.Kind{token.ServiceAccount, token.Person} {
				t.Run(prefix+"_"+string(kind), func(t *testing.T) { oneSpelling(t, newKey(t, prefix, kind)) })
			}
		}
	})
	t.Run("F06", func(t *testing.T) {
		t.Run("failing randomness is refused", failingRandomness)
		t.Run("keys are uniform and differ", uniformKeys)
	})
}

// oneSpelling fails when a text near to a key is accepted too.
func oneSpelling(t *testing.T, key string) {
	accepted := token.Prefixes{"pst", "acme"}
	if _, err := accepted.Parse(key); err != nil {
		t.Fatal(err)
	}
	for _, others := range []func(string, func(how, text string)){otherBytes, otherLengths, otherCharacters, otherChecksums, otherOwners} {
		tried := 0
		others(key, func(how, text string) {
			if text == key {
				return
			}
			tried++
			if _, err := accepted.Parse(text); !errors.Is(err, token.ErrMalformed) {
				t.Errorf("%s: got %v for %q, want %v as it is not %q", how, err, text, token.ErrMalformed, key)
			}
		})
		if tried == 0 {
			t.Error("nothing was tried")
		}
	}
}

func otherBytes(key string, try func(how, text string)) {
	for i := range len(key) {
		for b := range 256 {
			try("another byte", key[:i]+string([]byte{byte(b)})+key[i+1:])
		}
		if i > 0 {
			try("neighbours swapped", key[:i-1]+key[i:i+1]+key[i-1:i]+key[i+1:])
		}
	}
}

func otherLengths(key string, try func(how, text string)) {
	for i := range len(key) {
		try("end cut off", key[:i])
		try("beginning cut off", key[i+1:])
		try("one left out", key[:i]+key[i+1:])
		try("one doubled", key[:i]+key[i:i+1]+key[i:])
	}
	try("twice", key+key)
	try("far too long", key+strings.Repeat("0", 1<<20))
}

func otherCharacters(key string, try func(how, text string)) {
	for i := range len(key) + 1 {
		for _, extra := range []string{" ", "\t", "\n", "\r\n", "\x00", "\u00a0", "\u200b", "\ufeff", "_", "-", "0", "٣", "３", "А", "%00", "\x7f", "\xff"} {
			inserted, replaced := key[:i]+extra+key[i:], key[:i]+extra+key[min(i+1, len(key)):]
			try("one put in", inserted)
			try("one put in the place of another", replaced)
			if i > strings.LastIndexByte(key, '_') && i < len(key)-6 && extra != "0" {
				try("one put in, checksum fitting", fit(inserted))
				try("one put in the place of another, checksum fitting", fit(replaced))
			}
		}
	}
	for i, r := range key {
		for fold := unicode.SimpleFold(r); fold != r; fold = unicode.SimpleFold(fold) {
			try("another case", key[:i]+string(fold)+key[i+1:])
		}
		try("full width", key[:i]+string(r+0xfee0)+key[i+1:])
	}
	try("upper case", strings.ToUpper(key))
	try("lower case", strings.ToLower(key))
	try("percent-encoded", strings.ReplaceAll(key, "_", "%5F"))
	try("quoted", strconv.Quote(key))
	try("with its scheme", "Bearer "+key)
}

// fit returns text with the checksum that fits what is before it.
func fit(text string) string {
	body := text[:len(text)-6]
	return body + slowChecksum(body)
}

func otherChecksums(key string, try func(how, text string)) {
	body, digits := key[:len(key)-6], key[len(key)-6:]
	var sum uint64
	for _, d := range digits {
		sum = sum*62 + uint64(strings.IndexRune(alphabet, d))
	}
	for round := range uint64(12) { // 62^6 is more than 13 times 2^32
		try("checksum beyond 32 bits", body+base62(sum+(round+1)<<32))
	}
	try("checksum inverted", body+base62(uint64(^uint32(sum))))
	try("checksum plus one", body+base62(uint64(uint32(sum)+1)))
	try("checksum of zeros", body+"000000")
	try("checksum in hexadecimal", body+fmt.Sprintf("%08x", sum))
	try("checksum of the random part", body+slowChecksum(body[strings.LastIndexByte(body, '_')+1:]))
	try("checksum first", digits+body)
}

func otherOwners(key string, try func(how, text string)) {
	prefix, rest, _ := strings.Cut(key, "_")
	kind, random, _ := strings.Cut(rest, "_")
	for _, owner := range []string{"pst_sa", "pst_usr", "acme_sa", "acme_usr"} { // each good in itself
		try("prefix or kind swapped", owner+"_"+random)
	}
	for _, owner := range []string{
		"live_" + kind, "x" + prefix + "_" + kind, strings.ToUpper(prefix) + "_" + kind, "_" + kind, prefix[1:] + "_" + kind,
		prefix + "_test", prefix + "_" + strings.ToUpper(kind), prefix + "_", prefix, prefix + "_" + kind + "_" + kind, prefix + "__" + kind,
	} {
		try("prefix or kind unknown", owner+"_"+random)
		try("prefix or kind unknown, checksum fitting", fit(owner+"_"+random))
	}
}

// endless reads as the same bytes again and again.
type endless string

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e[i%len(e)]
	}
	return len(p), nil
}

func failingRandomness(t *testing.T) {
	broken := errors.New("no entropy")
	for name, tt := range map[string]struct {
		source io.Reader
		want   error // nil: any
	}{
		"fails at once":              {iotest.ErrReader(broken), broken},
		"fails on the way":           {io.MultiReader(bytes.NewReader(counting(0, 1)[:63]), iotest.ErrReader(broken)), broken},
		"is empty":                   {strings.NewReader(""), io.EOF},
		"is short by one":            {bytes.NewReader(counting(0, 1)[:63]), io.ErrUnexpectedEOF},
		"times out":                  {iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(counting(0, 1)))), iotest.ErrTimeout},
		"is stuck at zero":           {endless("\x00"), nil},
		"is stuck at one value":      {endless("k"), nil},
		"is stuck at what is no use": {endless("\xff"), nil},
		"is mostly of no use":        {endless("\xf8\xfe\xfa\xff\x01"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			mint := token.Mint{Rand: tt.source}
			key, err := mint.New(token.Person)
			if err == nil || !key.IsZero() || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("New: got %q, %v, want nothing and %v", key.Reveal(), err, tt.want)
			}
			if s, err := mint.NewOpaque("inv"); err == nil || !s.IsZero() {
				t.Errorf("NewOpaque: got %q, %v, want nothing and an error", s.Reveal(), err)
			}
		})
	}
}

// uniformKeys makes enough keys to see any character at any place that comes up
// too often. Of a fair source, one run in 10^10 fails: 180 is what chi-squared of
// 61 degrees of freedom passes once in 10^12 times, and there are 33 places.
func uniformKeys(t *testing.T) {
	const keys, places, most = 200_000, 33, 180.0
	seen := make(map[string]struct{}, keys)
	var count [places][256]int
	for range keys {
		text := newKey(t, "pst", token.ServiceAccount)
		seen[text] = struct{}{}
		for place, c := range []byte(text[len("pst_sa_"):][:places]) {
			count[place][c]++
		}
	}
	if len(seen) != keys {
		t.Errorf("got %d different keys, want %d", len(seen), keys)
	}
	const want = float64(keys) / float64(len(alphabet))
	for place := range count {
		chi := 0.0
		for _, c := range []byte(alphabet) {
			off := float64(count[place][c]) - want
			chi += off * off / want
		}
		if chi > most {
			t.Errorf("place %d: got chi-squared %.1f, want at most %.1f", place, chi, most)
		}
	}
}

// FuzzParseAgreesWithTheGrammar compares Parse with the description of a key.
func FuzzParseAgreesWithTheGrammar(f *testing.F) {
	form := regexp.MustCompile(`\A(pst|acme)_(sa|usr)_[0-9A-Za-z]{39}\z`)
	accepted := token.Prefixes{"pst", "acme"}
	key := newKey(f, "pst", token.ServiceAccount)
	for _, seed := range []string{
		"", "_", "__", "pst_sa_", key, newKey(f, "acme", token.Person), newKey(f, "other", token.Person),
		key[:len(key)-1], key + "0", strings.ToLower(key), key + "\n", " " + key, strings.Replace(key, "_", "\x00", 1),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, fitting bool) {
		if fitting && len(text) >= 6 { // else the fuzzer would never meet a checksum that fits
			text = fit(text)
		}
		want := form.MatchString(text) && text == fit(text)
		hash, err := accepted.Parse(text)
		if got := err == nil; got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
		if wantHash := token.NewSecret(text).Hash(); err == nil && hash != wantHash {
			t.Errorf("%q: got hash %s, want %s", text, hash, wantHash)
		}
	})
}
