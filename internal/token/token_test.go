package token_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/token"
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newKey returns the text of a fresh key.
func newKey(t testing.TB, prefix string, kind token.Kind) string {
	t.Helper()
	s, err := token.Mint{Prefix: prefix}.New(kind)
	if err != nil {
		t.Fatal(err)
	}
	return s.Reveal()
}

// slowChecksum is the CRC-32 (IEEE) of body, bit by bit, as six digits of base 62.
func slowChecksum(body string) string {
	crc := ^uint32(0)
	for _, b := range []byte(body) {
		crc ^= uint32(b)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low == 1 {
				crc ^= 0xedb88320
			}
		}
	}
	return base62(uint64(^crc))
}

// base62 writes n as at least six digits.
func base62(n uint64) string {
	digits := ""
	for ; n > 0 || len(digits) < 6; n /= 62 {
		digits = string(alphabet[n%62]) + digits
	}
	return digits
}

// counting returns 64 bytes that begin with first and go on by step.
func counting(first, step byte) []byte {
	b := make([]byte, 64)
	for i := range b {
		b[i] = first + byte(i)*step
	}
	return b
}

// The texts were computed by another program, in another language.
func TestKeysHaveKnownTexts(t *testing.T) {
	for _, tt := range []struct {
		name, prefix string
		kind         token.Kind
		random       []byte
		want         string
	}{
		{"account", "", token.ServiceAccount, counting(0, 1), "pst_sa_0123456789ABCDEFGHIJKLMNOPQRSTUVW0g3fXf"},
		{"person, the first 8 bytes thrown away", "pst", token.Person, counting(255, 255), "pst_usr_zyxwvutsrqponmlkjihgfedcbaZYXWVUT3htisi"},
		{"longest prefix", "acme0123456", token.Person, counting(5, 7), "acme0123456_usr_5CJQXelsz6DKRYfmt07ELSZgnu18FMTah0hb9lv"},
		{"checksum with zeros in front", "pst", token.ServiceAccount, counting(27, 1), "pst_sa_RSTUVWXYZabcdefghijklmnopqrstuvwx00tkXu"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := token.Mint{Prefix: tt.prefix, Rand: bytes.NewReader(tt.random)}.New(tt.kind)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Reveal(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestParseAcceptsWhatNewMakes(t *testing.T) {
	former := token.Prefixes{"pst", "acme", "a1", "abcdefghij0"}
	for _, prefix := range former {
		for _, kind := range []token.Kind{token.ServiceAccount, token.Person} {
			for range 200 {
				s, err := token.Mint{Prefix: prefix}.New(kind)
				if err != nil {
					t.Fatal(err)
				}
				text := s.Reveal()
				if len(text) > 55 {
					t.Errorf("got %d bytes, want at most 55, which SHA-256 takes in one block", len(text))
				}
				if body := text[:len(text)-6]; text[len(body):] != slowChecksum(body) {
					t.Errorf("got checksum %s, want %s", text[len(body):], slowChecksum(body))
				}
				got, err := former.Parse(text)
				if err != nil {
					t.Errorf("parse %s: %v", text, err)
				}
				if want := s.Hash(); got != want {
					t.Errorf("got hash %s, want %s", got, want)
				}
			}
		}
	}
}

func TestParseRefusesPrefixesOfOthers(t *testing.T) {
	text := newKey(t, "acme", token.Person)
	for _, accepted := range []token.Prefixes{nil, {"pst"}, {"acm"}, {"acmee"}, {"ACME"}, {"acme_usr"}, {""}} {
		if _, err := accepted.Parse(text); err == nil {
			t.Errorf("accepted %s with the prefixes %q", text, accepted)
		}
	}
}

// A longer key would not fit into one block, and its end not into its hash.
func TestParseRefusesWhatIsTooLongWhateverItsPrefix(t *testing.T) {
	const prefix = "abcdefghijklm"
	body := prefix + "_sa_" + strings.Repeat("0", 33)
	text := fit(body + "000000")
	if got, err := (token.Prefixes{prefix}).Parse(text); err == nil {
		t.Errorf("got %s for %s of %d bytes, want an error", got, text, len(text))
	}
}

func TestNewRefusesWhatParseWould(t *testing.T) {
	for _, tt := range []struct {
		prefix string
		kind   token.Kind
	}{
		{"p", token.Person}, {"PST", token.Person}, {"1st", token.Person}, {"p_t", token.Person}, {"abcdefghij01", token.Person},
		{"pst", ""}, {"pst", "SA"}, {"pst", "sa_"}, {"pst", "bot"},
	} {
		if s, err := (token.Mint{Prefix: tt.prefix}).New(tt.kind); err == nil {
			t.Errorf("prefix %q, kind %q: got %s, want an error", tt.prefix, tt.kind, s.Reveal())
		}
	}
}

func TestPrefixIsALowerCaseLetterAndUpToTenMore(t *testing.T) {
	for _, good := range []string{"pst", "a1", "zz", "abcdefghijk", "a0123456789"} {
		if err := token.CheckPrefix(good); err != nil {
			t.Errorf("%q: got %v, want no error", good, err)
		}
	}
	for _, bad := range []string{"", "p", "1p", "Pst", "pSt", "p_t", "p-t", "pst ", "pst\n", "p\x00t", "pśt", "abcdefghijkl"} {
		if err := token.CheckPrefix(bad); err == nil {
			t.Errorf("%q: got no error, want one", bad)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	prefixes := token.Prefixes{"pst", "acme"}
	good := newKey(t, "acme", token.Person)
	for name, text := range map[string]string{
		"key": good, "wrong checksum": flip(good, len(good)-1), "long": strings.Repeat("a", 1<<20), "empty": "",
	} {
		if got := testing.AllocsPerRun(1000, func() { _, _ = prefixes.Parse(text) }); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}

// flip returns text with another character of the alphabet at i.
func flip(text string, i int) string {
	other := alphabet[(strings.IndexByte(alphabet, text[i])+1)%len(alphabet)]
	return text[:i] + string(other) + text[i+1:]
}

func TestHintShowsFourAndFour(t *testing.T) {
	for text, want := range map[string]string{
		"pst_sa_0123456789ABCDEFGHIJKLMNOPQRSTUVW0g3fXf": "pst_sa_0123…3fXf",
		"acme_usr_zyxwvutsrqponmlkjihgfedcbaZYXWVUT3hti": "acme_usr_zyxw…3hti",
		"pst_sa_12345678":  "", // would show all of it
		"pst_sa_123456789": "pst_sa_1234…6789",
		"no key":           "",
		"":                 "",
	} {
		if got := token.Hint(token.NewSecret(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestASecretIsSeenInOtherText(t *testing.T) {
	key := newKey(t, "acme", token.Person)
	invitation, err := token.Mint{}.NewOpaque("inv")
	if err != nil {
		t.Fatal(err)
	}
	withoutChecksum := key[:len(key)-6]
	for _, text := range []string{
		key, " " + key + "\n", "Bearer " + key, "?key=" + key + "&x", "key_" + key, "1" + key, "é" + key, key + "x", flip(key, 20),
		withoutChecksum, withoutChecksum + " " + key[len(key)-6:], invitation.Reveal(), "#" + invitation.Reveal() + ".",
	} {
		if !token.LooksLikeSecret(text) {
			t.Errorf("%q: got false, want true", text)
		}
	}
	for _, text := range []string{
		"", "acme_usr_", withoutChecksum[:len(withoutChecksum)-1], strings.ToUpper(key), strings.Replace(key, "usr", "org", 1), "pst_[hidden]",
		"inv_01jn8x0c2vf3hs5r6tq7w8y9za", // the id of an invitation
	} {
		if token.LooksLikeSecret(text) {
			t.Errorf("%q: got true, want false", text)
		}
	}
}

func TestHashReadsBack(t *testing.T) {
	want := token.NewSecret("abc").Hash()
	const text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, B.1
	if got := want.String(); got != text {
		t.Errorf("got %s, want %s", got, text)
	}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got token.Hash
	if err := json.Unmarshal(body, &got); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	for _, bad := range []string{"", text[1:], text + "0", text + "00", "g" + text[1:], strings.Repeat("é", 32)} {
		if err := new(token.Hash).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q: got no error, want one", bad)
		}
	}
}

func TestOpaqueSecretsNameTheirPurpose(t *testing.T) {
	s, err := token.Mint{Rand: bytes.NewReader(counting(0, 1))}.NewOpaque("inv")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Reveal(), "inv_0123456789ABCDEFGHIJKLMNOPQRSTUVW"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := (token.Prefixes{"inv"}).Parse(s.Reveal()); err == nil {
		t.Error("an invitation's token is accepted as a key")
	}
}

func BenchmarkParse(b *testing.B) {
	prefixes := token.Prefixes{"pst"}
	key := newKey(b, "pst", token.ServiceAccount)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := prefixes.Parse(key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (token.Mint{}).New(token.ServiceAccount); err != nil {
			b.Fatal(err)
		}
	}
}

// What Hash lets through and Parse does not has a hash that no key has.
func TestHashLeavesTheChecksumToALookUp(t *testing.T) {
	prefixes := token.Prefixes{token.DefaultPrefix}
	for range 200 {
		secret, err := token.Mint{}.New(token.ServiceAccount)
		if err != nil {
			t.Fatal(err)
		}
		key := secret.Reveal()
		if hash, err := prefixes.Hash(key); err != nil || hash != secret.Hash() {
			t.Fatalf("a key: got %v, %v; want %v", hash, err, secret.Hash())
		}
		last := byte('0')
		if key[len(key)-1] == last {
			last = '1'
		}
		wrong := key[:len(key)-1] + string(last)
		if _, err := prefixes.Parse(wrong); err == nil {
			t.Error("a wrong checksum is parsed")
		}
		if hash, err := prefixes.Hash(wrong); err != nil || hash == secret.Hash() {
			t.Errorf("a wrong checksum: got %v, %v; want another hash", hash, err)
		}
		for _, no := range []string{key[1:], key[:len(key)-1], key + "0", "other" + key[3:], key[:20] + "-" + key[21:], key[:20] + "\x80" + key[21:]} {
			if _, err := prefixes.Hash(no); err == nil {
				t.Error("what has not the form of a key is hashed")
			}
		}
	}
}
