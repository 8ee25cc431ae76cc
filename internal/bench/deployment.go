package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	permission     = "agents:execute" // what every call asks for, and every key may
	keysPerAccount = 100
	maxAsked       = 1_000_000 // keys that are asked about, of however many there are
)

// deployment is a workspace that operates the deployment, with one account that may
// verify and many whose keys are verified. It is made up from a seed, so that each of
// two processes knows the texts of its keys without being told, and it is the
// snapshot of itself.
//
// Of its keys at most [maxAsked] are asked about. The hashes of the others, which lie
// between them, are random: nobody knows a text for them, and in memory they are as
// any other.
type deployment struct {
	keys  int // in all
	every int // the first of as many keys is one that is asked about

	workspace iam.WorkspaceRecord
	roles     []iam.RoleRecord
}

func newDeployment(keys int) *deployment {
	d := &deployment{keys: keys, every: (keys + maxAsked - 1) / maxAsked}
	d.workspace = iam.WorkspaceRecord{ID: iam.WorkspaceID(numberedID(iam.WorkspacePrefix, 0)), Slug: "acme", System: true}
	for i, r := range iam.BuiltInRoles() {
		d.roles = append(d.roles, iam.RoleRecord{
			ID: iam.RoleID(numberedID(iam.RolePrefix, i)), Workspace: d.workspace.ID, Name: r.Name, Permissions: r.Permissions,
		})
	}
	return d
}

// began is when all of a deployment was made.
var began = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

func numberedID(prefix string, n int) string {
	var id [16]byte
	millis := uint64(began.UnixMilli())
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	id[6], id[8] = 0x70, 0x80
	for i := range 4 {
		id[15-i] = byte(n >> (8 * i))
	}
	return iam.FormatID(prefix, id)
}

// texts returns the key that asks, and those that are asked about.
func (d *deployment) texts() (caller string, asked []string, err error) {
	mint := token.Mint{Rand: rand.NewChaCha8([32]byte{1})}
	text := func() (string, error) {
		secret, err := mint.New(token.ServiceAccount)
		return secret.Reveal(), err
	}
	if caller, err = text(); err != nil {
		return "", nil, fmt.Errorf("make up a key: %w", err)
	}
	asked = make([]string, d.asked())
	for i := range asked {
		if asked[i], err = text(); err != nil {
			return "", nil, fmt.Errorf("make up a key: %w", err)
		}
	}
	return caller, asked, nil
}

// asked returns how many keys are asked about.
func (d *deployment) asked() int { return (d.keys + d.every - 1) / d.every }

// Changes implements replica.Feed: nothing ever changes.
func (d *deployment) Changes(context.Context, iam.Position, int) ([]iam.Change, iam.Position, error) {
	return nil, iam.Position{Seq: 1}, nil
}

// Snapshot implements replica.Feed.
func (d *deployment) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	at := iam.Position{Seq: 1, Time: began}
	if err := sink.Workspace(d.workspace); err != nil {
		return at, err
	}
	for _, r := range d.roles {
		if err := sink.Role(r); err != nil {
			return at, err
		}
	}
	caller, asked, err := d.texts()
	if err != nil {
		return at, err
	}
	if err := d.putAccount(sink, 0, "gateway", iam.Verifier); err != nil {
		return at, err
	}
	if err := d.putKey(sink, 0, 0, token.NewSecret(caller).Hash()); err != nil {
		return at, err
	}
	other := rand.NewChaCha8([32]byte{2})
	for n := range d.keys {
		account := 1 + n/keysPerAccount
		if n%keysPerAccount == 0 {
			if err := context.Cause(ctx); err != nil {
				return at, err
			}
			if err := d.putAccount(sink, account, fmt.Sprintf("support-bot-%d", account), iam.Operator); err != nil {
				return at, err
			}
		}
		var hash token.Hash
		if n%d.every == 0 {
			hash = token.NewSecret(asked[n/d.every]).Hash()
		} else {
			_, _ = other.Read(hash[:]) // it never fails
		}
		if err := d.putKey(sink, account, n+1, hash); err != nil {
			return at, err
		}
	}
	return at, nil
}

func (d *deployment) putAccount(sink iam.Sink, n int, name, role string) error {
	rec := iam.PrincipalRecord{
		ID: iam.PrincipalID(numberedID(iam.ServiceAccountPrefix, n)), Type: iam.ServiceAccountType,
		Workspace: d.workspace.ID, Name: name, State: iam.Active,
	}
	for _, r := range d.roles {
		if r.Name == role {
			rec.Role = r.ID
		}
	}
	return sink.Principal(rec)
}

// names are what keys are called: one for each month, as where they are rotated.
var names = [...]string{"prod-2026-09", "prod-2026-10", "prod-2026-11", "prod-2026-12"}

func (d *deployment) putKey(sink iam.Sink, account, n int, hash token.Hash) error {
	return sink.Key(iam.KeyRecord{
		ID: iam.KeyID(numberedID(iam.KeyPrefix, n)), Principal: iam.PrincipalID(numberedID(iam.ServiceAccountPrefix, account)),
		Name: names[n%len(names)], Hash: hash, Expires: began.AddDate(10, 0, 0).UnixMicro(),
	})
}
