package iam

import (
	"context"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// IDs of what people sign in with.
type (
	SignInID  string // ses_
	PasskeyID string // pky_
)

// The prefixes of their ids.
const (
	SignInPrefix  = "ses_"
	PasskeyPrefix = "pky_"
)

const (
	// SignInLife is how long a sign-in works at most.
	SignInLife = 7 * day
	// SignInIdle is how long a sign-in works that nobody uses.
	SignInIdle = 12 * time.Hour
	// StepUpLife is how long after somebody proved who they are they may do what
	// gives others power.
	StepUpLife = 15 * time.Minute
)

// The methods by which somebody signs in.
const (
	ByPassword = "password"
	ByPasskey  = "passkey"
	BySSO      = "sso"
)

// SignIn is one time that a person signed in, on one browser. In each workspace
// that the person was a member of it is a [Session].
type SignIn struct {
	ID              SignInID
	Person          PersonID
	Hash            token.Hash `json:"-"` // of the cookie, under the root secret
	Method          string
	Workspace       WorkspaceID // where its holder works now
	CreatedAt       time.Time
	SeenAt          time.Time // at most a minute behind
	AuthenticatedAt time.Time // when its holder last proved who they are
	ExpiresAt       time.Time
	EndedAt         time.Time // zero: nobody ended it
	Source          audit.Source
}

// Works reports whether the sign-in may be used at a time: nobody ended it, it is
// not over, and it has been used of late.
func (s SignIn) Works(now time.Time) bool {
	return s.EndedAt.IsZero() && now.Before(s.ExpiresAt) && now.Before(s.SeenAt.Add(SignInIdle))
}

// Fresh reports whether its holder proved who they are a short while ago.
func (s SignIn) Fresh(now time.Time) bool { return now.Before(s.AuthenticatedAt.Add(StepUpLife)) }

// Session is a sign-in as the credential of a member of one workspace. Its hash is
// of a text that nobody sends: the cookie and the workspace, under the root secret.
type Session struct {
	SignIn    SignIn
	Workspace WorkspaceID
	Principal Principal
	Hash      token.Hash `json:"-"`
}

func (s Session) record() KeyRecord {
	return KeyRecord{
		ID: KeyID(s.SignIn.ID), Principal: s.Principal.ID, Hash: s.Hash, Session: true,
		Expires: s.SignIn.ExpiresAt.UnixMicro(), Revoked: !s.SignIn.EndedAt.IsZero(),
	}
}

// Membership is a person's place in one workspace.
type Membership struct {
	Workspace Workspace
	Principal Principal
}

// Password is what is kept of a password.
type Password struct {
	Encoded   string // as argon2 writes it (RFC 9106)
	ChangedAt time.Time
}

// Passkey is the public half of a credential that an authenticator holds
// (WebAuthn, level 3).
type Passkey struct {
	ID         PasskeyID
	Person     PersonID
	Credential string // its id, in base64
	Name       string
	Record     string `json:"-"` // what is needed to check an assertion, as JSON
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
}

// Ticket works once, until a time, for whoever shows the secret that it is the
// hash of.
type Ticket struct {
	Hash      token.Hash
	Kind      string   // what it is for
	Person    PersonID // empty: it is nobody's yet
	Data      string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Guessing says when wrong passwords lock.
type Guessing struct {
	Free   int64         // how many may be wrong before the first lock
	First  time.Duration // for which the first one locks; each further one twice as long
	Most   time.Duration
	Forget time.Duration // after which none are remembered
}

// Lock returns for how long the n-th wrong password in a row locks.
func (g Guessing) Lock(n int64) time.Duration {
	if n <= g.Free {
		return 0
	}
	lock := g.First
	for range min(n-g.Free-1, 32) {
		lock = min(2*lock, g.Most)
	}
	return min(lock, g.Most)
}

// PeopleReader looks up what people sign in with. Its methods are those of a
// [Reader].
type PeopleReader interface {
	Person(ctx context.Context, id PersonID) (Person, error)
	// Memberships returns the places of a person in workspaces that are not
	// paused, as long as they are not removed, oldest first.
	Memberships(ctx context.Context, person PersonID) ([]Membership, error)
	// IsMember reports whether a person is a member of anything, paused workspaces
	// included.
	IsMember(ctx context.Context, person PersonID) (bool, error)
	Password(ctx context.Context, person PersonID) (Password, error)
	Passkeys(ctx context.Context, person PersonID) ([]Passkey, error) // oldest first
	Passkey(ctx context.Context, credential string) (Passkey, error)
	Identity(ctx context.Context, issuer, subject string) (Person, error)

	SignIn(ctx context.Context, id SignInID) (SignIn, error)
	SignInByHash(ctx context.Context, cookie token.Hash) (SignIn, error)
	SignIns(ctx context.Context, person PersonID, now time.Time) ([]SignIn, error) // that work, newest first
	Sessions(ctx context.Context, id SignInID) ([]Session, error)                  // of a sign-in, oldest membership first

	Ticket(ctx context.Context, hash token.Hash) (Ticket, error) // whether or not it is over
	Device(ctx context.Context, hash token.Hash) (Device, error)
	DeviceByCode(ctx context.Context, userCode string) (Device, error)
}

// PeopleTx changes what people sign in with.
type PeopleTx interface {
	InsertSignIn(ctx context.Context, s SignIn, in []Session) error
	UpdateSignIn(ctx context.Context, s SignIn) error // all but its hash, its person and when it began
	PutPassword(ctx context.Context, person PersonID, p Password) error
	InsertPasskey(ctx context.Context, p Passkey) error // [NameTaken]: the credential is somebody's already
	UpdatePasskey(ctx context.Context, p Passkey) error // its name, its record and its last use
	DeletePasskey(ctx context.Context, id PasskeyID) error
	IdentityTx
	// TakeTicket uses a ticket up, or returns an error of kind [Gone].
	TakeTicket(ctx context.Context, hash token.Hash) error
	UpdateDevice(ctx context.Context, d Device) error
}

// PeopleStore is what a [Store] writes beside the change log: it gives nobody any
// power by itself. Each method is one transaction.
type PeopleStore interface {
	// SeeSignIn notes that a sign-in that works is being used.
	SeeSignIn(ctx context.Context, id SignInID) error
	// PlaceSignIn notes in which workspace the holder of a sign-in works now.
	PlaceSignIn(ctx context.Context, id SignInID, ws WorkspaceID) error
	// KeepTicket adds a ticket that works for as long as life, and forgets those
	// that are over.
	KeepTicket(ctx context.Context, t Ticket, life time.Duration) (Ticket, error)
	// DropTicket uses up a ticket that no change rests on, or returns an error of
	// kind [Gone]. Of several that ask at once one succeeds.
	DropTicket(ctx context.Context, hash token.Hash) error
	// CountGuess counts one guess in each bucket, before anybody looks whether it
	// is right. When one of them is locked it counts nothing, and returns until when.
	CountGuess(ctx context.Context, buckets map[string]Guessing) (locked time.Time, err error)
	// ForgiveGuess takes back a guess that was right: it forgets all of the bucket
	// of the account, and one in that of the address.
	ForgiveGuess(ctx context.Context, account, address string) error
	// KeepDevice adds a device that asks, and forgets those that are over. The
	// error is [NameTaken] when another that asks has its user code.
	KeepDevice(ctx context.Context, d Device, life time.Duration) (Device, error)
	// PollDevice notes that a device asked how it stands, and returns when it last
	// did before.
	PollDevice(ctx context.Context, hash token.Hash) (d Device, before, now time.Time, err error)
}
