package attacks_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/posternhq/postern/internal/token"
)

// canaries are the secrets that a test has caused, to be searched wherever they
// must not be: by every piece of their random part, as it is and in other
// spellings, and by every piece of the hash that is kept of them.
type canaries struct {
	mu     sync.Mutex // guards the rest
	pieces spelling   // as they are
	digits spelling   // in hexadecimal
	base64 spelling
	hashes spelling
}

// spelling holds pieces of secrets, all of one length.
type spelling map[string]bool

// window is how many characters of a secret in a row count as a leak. A hint
// shows the first and the last four.
const window = 8

// plant notes a secret and returns it.
func (c *canaries) plant(value string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value == "" {
		return ""
	}
	if c.pieces == nil {
		c.pieces, c.digits, c.base64, c.hashes = spelling{}, spelling{}, spelling{}, spelling{}
	}
	random := random(value)
	c.pieces.add(random, window)
	c.digits.add(hex.EncodeToString([]byte(random)), 2*window)
	for i := range 3 { // wherever the secret begins in what is encoded
		c.base64.add(strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(random[i:])), "="), 12)
	}
	c.hashes.add(token.NewSecret(value).Hash().String(), 2*window)
	return value
}

// random returns the part of a secret that nobody can know.
func random(value string) string { return value[strings.LastIndexByte(value, '_')+1:] }

// add adds the pieces of a text that are of one length.
func (s spelling) add(text string, length int) {
	for i := 0; i+length <= len(text); i++ {
		s[text[i:i+length]] = true
	}
}

// in returns where a piece is in a text, or -1.
func (s spelling) in(text string) int {
	for piece := range s {
		for i := 0; i+len(piece) <= len(text); i++ {
			if s[text[i:i+len(piece)]] {
				return i
			}
		}
		break // the others are as long
	}
	return -1
}

// leaks says what of the planted secrets a text holds, and after which words.
func (c *canaries) leaks(text string) (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, in := range map[string]int{
		"a piece": c.pieces.in(text), "a piece in hexadecimal": c.digits.in(strings.ToLower(text)), "a piece in base 64": c.base64.in(text),
	} {
		if in >= 0 {
			all = append(all, name+before(text, in))
		}
	}
	return all
}

// search fails the test when text holds a piece of a planted secret, in any
// spelling, or of its hash.
func (c *canaries) search(t *testing.T, where, text string) {
	t.Helper()
	c.searchPieces(t, where, text)
	if i := c.hashes.in(text); i >= 0 {
		t.Errorf("%s holds the hash of a secret%s", where, before(text, i))
	}
}

// searchPieces is search without the hashes, for the database, which keeps them.
func (c *canaries) searchPieces(t *testing.T, where, text string) {
	t.Helper()
	if c.pieces == nil {
		t.Fatal("no secret was planted: there is nothing to search for")
	}
	for _, leak := range c.leaks(text) {
		t.Errorf("%s holds of a secret %s", where, leak)
	}
}

// before returns what stands before a place, and not what stands there.
func before(text string, at int) string {
	at = min(at, len(text)) // lower case may be shorter
	return fmt.Sprintf(" after %q", text[max(0, at-60):at])
}

func TestASecretIsFoundInEverySpelling(t *testing.T) {
	secret, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	value := secret.Reveal()
	c := new(canaries)
	c.plant("pst_sa_" + strings.Repeat("0", 39))
	c.plant(value)
	for name, text := range map[string]string{
		"as it is": value, "a part": "x" + value[20:28] + "x", "URL": url.QueryEscape("Bearer " + value), "JSON": `{"a":"` + value + `"}`,
		"hexadecimal": hex.EncodeToString([]byte(value)), "capitals": fmt.Sprintf("%X", value[12:22]),
		"base 64": base64.StdEncoding.EncodeToString([]byte(value)), "base 64, URL": base64.RawURLEncoding.EncodeToString([]byte("x" + value)),
		"basic": base64.StdEncoding.EncodeToString([]byte(":" + value[10:30])),
	} {
		if c.leaks(text) == nil {
			t.Errorf("%s: nothing was found", name)
		}
	}
	for _, text := range []string{"", token.Hint(secret), value[7:14], "pst_sa_", strings.Repeat("ab", 1000)} {
		if leaks := c.leaks(text); leaks != nil {
			t.Errorf("%q: got %v, want nothing", text, leaks)
		}
	}
}
