// Package token makes, reads and hides the secrets that callers hold.
//
// A key's text is prefix, kind, 33 characters drawn uniformly from 0-9A-Za-z
// (196 bits) and a checksum of 6 characters:
//
//	pst_sa_7Qm2…   a service account's key
//	pst_usr_1fB9…  a person's key
//
// It is at most 55 bytes long, so that its SHA-256 is one block. No two texts
// are the same key: [Parse] accepts exactly one spelling.
package token

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strings"
)

// Kind says what sort of principal a key belongs to. It is part of the text, so
// that a reader of a leaked key knows at once whether a person is affected.
type Kind string

// The kinds of key.
const (
	ServiceAccount Kind = "sa"
	Person         Kind = "usr"
)

func (k Kind) known() bool { return k == ServiceAccount || k == Person }

// DefaultPrefix opens every key of a deployment that has not chosen its own.
const DefaultPrefix = "pst"

const (
	randomLen   = 33
	checksumLen = 6
	maxLen      = 55 // what SHA-256 takes in one block
	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Hash is the SHA-256 of a whole key text: all that is kept of a key. A plain
// hash is enough because the text holds 196 random bits (OWASP ASVS 5.0, 6.5.2).
type Hash [sha256.Size]byte

// Head returns the first 64 bits of the hash, for tables to go by: SHA-256 spreads
// evenly by itself.
func (h *Hash) Head() uint64 { return binary.BigEndian.Uint64(h[:]) }

// MarshalText writes the hash in lower-case hexadecimal, for the store and the
// change log. Answers of the API never hold one.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what [Hash.MarshalText] wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return errors.New("token: a hash has 64 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Secret is a key, or another credential, as its holder knows it. Printed,
// logged or marshalled it reads as a placeholder; only [Secret.Reveal] spells
// it out. The zero Secret is empty.
//
// Two Secrets do not compare with ==; compare their hashes.
type Secret struct {
	// text is held by a function, because printers that walk values by
	// reflection, past all methods, follow pointers and read what fields hold,
	// but cannot look into a function.
	text func() string
}

// NewSecret wraps text that must not be printed.
func NewSecret(text string) Secret { return Secret{func() string { return text }} }

// Reveal returns the text. Call it only where the secret is shown, once, to the
// one who asked for it, or where it is sent as a credential.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return s.text()
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Hash returns what is kept in place of the secret.
func (s Secret) Hash() Hash { return sha256.Sum256([]byte(s.Reveal())) }

const hidden = "pst_[hidden]"

// Format implements [fmt.Formatter], so that no verb prints the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) } // fmt.State keeps its own errors

// String implements [fmt.Stringer].
func (s Secret) String() string { return hidden }

// MarshalText implements [encoding.TextMarshaler] for every encoder that asks.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Mint makes keys with the prefix of one deployment. The zero Mint uses
// [DefaultPrefix] and [crypto/rand.Reader].
type Mint struct {
	Prefix string    // see [CheckPrefix]
	Rand   io.Reader // nil means crypto/rand; tests make it fail
}

var prefixForm = regexp.MustCompile(`^[a-z][a-z0-9]{1,10}$`)

// CheckPrefix returns an error unless p may open a key: a lower-case letter,
// then 1 to 10 lower-case letters or digits.
func CheckPrefix(p string) error {
	if !prefixForm.MatchString(p) {
		return fmt.Errorf("token: prefix %q is not a lower-case letter followed by 1 to 10 lower-case letters or digits", p)
	}
	return nil
}

// New returns a fresh key. It fails, and makes nothing, when randomness does, or
// when the result would be no key that [Prefixes.Parse] accepts.
func (m Mint) New(kind Kind) (Secret, error) {
	if err := CheckPrefix(m.prefix()); err != nil {
		return Secret{}, err
	}
	if !kind.known() {
		return Secret{}, fmt.Errorf("token: %q is no kind of key", string(kind))
	}
	body := make([]byte, 0, maxLen)
	body = append(body, m.prefix()...)
	body = append(body, '_')
	body = append(body, kind...)
	body = append(body, '_')
	body, err := appendRandom(body, m.source())
	if err != nil {
		return Secret{}, fmt.Errorf("token: new key: %w", err)
	}
	return NewSecret(string(appendChecksum(body))), nil
}

// NewOpaque returns a single-use secret of 196 random bits, such as the token
// of an invitation: purpose, an underscore and 33 characters.
func (m Mint) NewOpaque(purpose string) (Secret, error) {
	body, err := appendRandom([]byte(purpose+"_"), m.source())
	if err != nil {
		return Secret{}, fmt.Errorf("token: new %s: %w", purpose, err)
	}
	return NewSecret(string(body)), nil
}

func (m Mint) prefix() string {
	if m.Prefix == "" {
		return DefaultPrefix
	}
	return m.Prefix
}

func (m Mint) source() io.Reader {
	if m.Rand == nil {
		return rand.Reader
	}
	return m.Rand
}

// errNotRandom means that a source of randomness answers, but not with any.
var errNotRandom = errors.New("what was read is not random")

// appendRandom appends randomLen characters of the alphabet, each as likely as
// any other: a byte that 62 does not divide evenly is thrown away. It reads 64
// bytes; that so many of those are thrown away that too few are left happens
// once in 2^100 times, and that all are the same once in 2^504.
func appendRandom(dst []byte, src io.Reader) ([]byte, error) {
	const even = 256 - 256%len(alphabet)
	var buf [64]byte
	if _, err := io.ReadFull(src, buf[:]); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	if bytes.Count(buf[:], buf[:1]) == len(buf) {
		return nil, errNotRandom
	}
	want := len(dst) + randomLen
	for _, b := range buf {
		if int(b) < even && len(dst) < want {
			dst = append(dst, alphabet[int(b)%len(alphabet)])
		}
	}
	if len(dst) < want {
		return nil, errNotRandom
	}
	return dst, nil
}

// appendChecksum appends the CRC-32 (IEEE) of body as six digits of base 62.
func appendChecksum(body []byte) []byte {
	sum := checksum(string(body))
	return append(body, sum[:]...)
}

// checksum goes through the table by itself, because what package crc32 is given
// escapes to the heap.
func checksum(body string) (digits [checksumLen]byte) {
	n := ^uint32(0)
	for i := range len(body) {
		n = crc32.IEEETable[byte(n)^body[i]] ^ n>>8
	}
	n = ^n
	for i := checksumLen - 1; i >= 0; i-- {
		digits[i] = alphabet[n%62]
		n /= 62
	}
	return digits
}

// ErrMalformed means that a text is not a key: it has another shape, or its
// checksum is wrong. It never repeats the text.
var ErrMalformed = errors.New("token: not a key")

// Prefixes are the prefixes whose keys a deployment accepts: its own, and any
// it used before. Safe for concurrent use as long as nobody changes it.
type Prefixes []string

// Parse hashes text if it is a key, without looking anything up and without
// allocating. Exactly one spelling of a key passes: nothing is trimmed, folded
// or normalised.
func (ps Prefixes) Parse(text string) (Hash, error) {
	hash, err := ps.Hash(text)
	if err != nil {
		return Hash{}, err
	}
	sumAt := len(text) - checksumLen
	if sum := checksum(text[:sumAt]); string(sum[:]) != text[sumAt:] {
		return Hash{}, ErrMalformed
	}
	return hash, nil
}

// Hash hashes text if it has the form of a key, and leaves the checksum, which takes
// as long as the hash, to a look-up in memory: no key has the hash of a text whose
// checksum is wrong.
func (ps Prefixes) Hash(text string) (Hash, error) {
	if len(text) > maxLen {
		return Hash{}, ErrMalformed
	}
	end := len(text) - randomLen - checksumLen // what comes then is random and checksum
	if end <= 0 || !ps.open(text[:end]) || !isBase62(text[end:]) {
		return Hash{}, ErrMalformed
	}
	var buf [maxLen]byte // of fixed size, so that it stays on the stack
	return sha256.Sum256(buf[:copy(buf[:], text)]), nil
}

// open reports whether head is what a key begins with: a prefix, in which there is no
// underscore, and a kind, with an underscore after each.
func (ps Prefixes) open(head string) bool {
	for _, p := range ps {
		if rest, ok := strings.CutPrefix(head, p); ok && (rest == "_"+string(ServiceAccount)+"_" || rest == "_"+string(Person)+"_") {
			return true
		}
	}
	return false
}

// Hint returns what may be shown of a key for good: its prefix and kind, the
// first four and the last four characters.
func Hint(s Secret) string {
	text := s.Reveal()
	kindEnd := strings.LastIndexByte(text, '_')
	if kindEnd < 0 || len(text)-kindEnd <= 9 {
		return ""
	}
	return text[:kindEnd+5] + "…" + text[len(text)-4:]
}

// secretLike does without a key's checksum: who has the rest of a key can make it. The
// words stand before what [Mint.NewOpaque] makes: of invitations, setup links, sessions,
// devices and ceremonies.
var secretLike = regexp.MustCompile(`([a-z][a-z0-9]{1,10}_(sa|usr)|inv|setup|member|sess|dev|cer)_[0-9A-Za-z]{33}`)

// LooksLikeSecret reports whether text holds something shaped like a key of any
// deployment, with or without its checksum, or like another single-use secret, so
// that it can be refused where secrets must not appear. What stands around it does
// not hide it: "key_pst_sa_7Qm2…" holds one too.
func LooksLikeSecret(text string) bool { return secretLike.MatchString(text) }
