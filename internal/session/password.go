package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/posternhq/postern/internal/iam"
)

// Cost is what the hash of a password takes, by argon2id, RFC 9106. What is kept says
// what it was made with.
type Cost struct {
	Memory uint32 // KiB
	Passes uint32
}

// owasp is the cost that OWASP's cheat sheet on storing passwords gives.
var owasp = Cost{Memory: 19 << 10, Passes: 2}

const (
	hashThreads = 1
	saltLen     = 16
	hashLen     = 32
)

// What a password may be, in characters (OWASP ASVS 5.0, 6.2.1 and 6.2.9).
const (
	leastPassword = 12
	mostPassword  = 256
)

// checkPassword returns an error unless a password may be chosen.
func checkPassword(pointer, password, email string) error {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return iam.Invalid(pointer, "not_utf8", "is not valid UTF-8")
	case n < leastPassword:
		return iam.Invalid(pointer, "too_short", "has fewer than %d characters", leastPassword)
	case n > mostPassword:
		return iam.Invalid(pointer, "too_long", "has more than %d characters", mostPassword)
	case email != "" && strings.EqualFold(strings.TrimSpace(password), strings.TrimSpace(email)):
		return iam.Invalid(pointer, "is_the_address", "must not be the email address")
	case strings.Trim(password, password[:1]) == "":
		return iam.Invalid(pointer, "too_simple", "must not be one character over and over")
	}
	return nil
}

// hash returns a password as it is kept.
func (p *People) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the process instead
	sum, err := p.argon(ctx, password, salt, p.cost.Passes, p.cost.Memory, hashThreads, hashLen)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.cost.Memory, p.cost.Passes, hashThreads,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// argon hashes a password when it is its turn: each takes memory and a processor.
func (p *People) argon(ctx context.Context, password string, salt []byte, passes, memory uint32, threads uint8, length uint32) ([]byte, error) {
	select {
	case p.hashing <- struct{}{}:
		defer func() { <-p.hashing }()
		return argon2.IDKey([]byte(password), salt, passes, memory, threads, length), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errEncoded = errors.New("session: a password is not kept as argon2id writes it")

// matches reports whether a password is the one that is kept. When none is kept it
// takes as long.
func (p *People) matches(ctx context.Context, password, encoded string) (bool, error) {
	if len(password) > mostPassword*utf8.UTFMax {
		password = ""
	}
	if encoded == "" {
		_, err := p.argon(ctx, password, make([]byte, saltLen), p.cost.Passes, p.cost.Memory, hashThreads, hashLen)
		return false, err
	}
	parts := strings.Split(encoded, "$")
	var version int
	var memory, passes uint32
	var threads uint8
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errEncoded
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &threads); err != nil || version != argon2.Version {
		return false, errEncoded
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	want, failed := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || failed != nil || len(want) == 0 {
		return false, errEncoded
	}
	got, err := p.argon(ctx, password, salt, passes, memory, threads, uint32(len(want)))
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1, err
}

// When wrong passwords lock: those for one account, and those from one address,
// behind which there may be many people.
var (
	accountGuesses = iam.Guessing{Free: 4, First: 30 * time.Second, Most: time.Hour, Forget: 24 * time.Hour}
	addressGuesses = iam.Guessing{Free: 29, First: 30 * time.Second, Most: time.Hour, Forget: 24 * time.Hour}
)

// bucketBits bound how many buckets of guesses there are: a million of each sort.
const bucketBits = 20

// bucket returns the bucket that a name falls into. Nobody outside knows which others
// fall into it.
func (p *People) bucket(sort, name string) string {
	mac := hmac.New(sha256.New, p.keys.guess)
	mac.Write([]byte(sort + "\x00" + name))
	return fmt.Sprintf("%s:%05x", sort, binary.BigEndian.Uint32(mac.Sum(nil))>>(32-bucketBits))
}

// guess is one try of a password.
type guess struct{ account, address string }

// beginGuess counts a guess before anybody looks whether it is right, so that those
// made at once count too. It refuses it while the account or the address is locked.
// What somebody guesses who has signed in counts for their session: what others guess
// at the account locks nobody out of what gives power, nor out of another password.
func (p *People) beginGuess(ctx context.Context, c iam.Caller, email string) (guess, error) {
	g := guess{p.bucket("account", fold(email)), p.bucket("address", network(c.Source.IP))}
	if c.Session != "" {
		g.account = p.bucket("session", string(c.Session))
	}
	until, err := p.iam.Store.CountGuess(ctx, map[string]iam.Guessing{g.account: accountGuesses, g.address: addressGuesses})
	switch {
	case err != nil:
		return g, err
	case until.IsZero():
		return g, nil
	}
	return g, &Locked{Until: until, After: max(time.Second, until.Sub(p.now()))}
}

// right notes that a guess was right.
func (p *People) right(ctx context.Context, g guess) error {
	return p.iam.Store.ForgiveGuess(ctx, g.account, g.address)
}

// Locked says that there were too many wrong passwords.
type Locked struct {
	Until time.Time
	After time.Duration // from now
}

// Error implements error.
func (l *Locked) Error() string { return "locked until " + l.Until.UTC().Format(time.RFC3339) }

// Unwrap says it in words that its caller may hear.
func (l *Locked) Unwrap() error {
	return iam.Errorf(iam.RateLimited, "too many wrong passwords: try again at %s", l.Until.UTC().Truncate(time.Second).Format(time.RFC3339))
}

// RetryAfter returns for how long to wait.
func (l *Locked) RetryAfter() time.Duration { return l.After }

// fold returns an address in the one spelling that package iam keeps.
func fold(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// network returns what one client can be expected to have of a network: its IPv4
// address, or the 64 leading bits of its IPv6 one.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "none"
	}
	bits := addr.Unmap().BitLen()
	if addr.Unmap().Is6() {
		bits = 64
	}
	prefix, err := addr.Unmap().Prefix(bits)
	if err != nil {
		return "none"
	}
	return prefix.String()
}

// noPerson stands for whoever does not exist, so that looking for what they have
// takes as long.
const noPerson = iam.PersonID("usr_")

// byPassword checks an address and a password. All that is wrong is one answer, and
// takes as long.
func (p *People) byPassword(ctx context.Context, c iam.Caller, email, password string) (iam.Proof, error) {
	g, err := p.beginGuess(ctx, c, email)
	if err != nil {
		return iam.Proof{}, err
	}
	person, err := p.iam.Store.PersonByEmail(ctx, fold(email))
	if errors.Is(err, iam.NotFound) {
		person = iam.Person{ID: noPerson}
	} else if err != nil {
		return iam.Proof{}, err
	}
	kept, err := p.iam.Store.Password(ctx, person.ID)
	if err != nil && !errors.Is(err, iam.NotFound) {
		return iam.Proof{}, err
	}
	ok, err := p.matches(ctx, password, kept.Encoded)
	if err != nil {
		return iam.Proof{}, err
	}
	if !ok {
		return iam.Proof{}, iam.ErrNotSignedIn
	}
	return iam.Proof{Person: person.ID, Method: iam.ByPassword, Password: kept.Encoded}, p.right(ctx, g)
}
