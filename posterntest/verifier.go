// Package posterntest is for tests of programs that use Postern: a [Verifier] that
// decides offline, over what a test says there is, and a real [Server] in one line.
package posterntest

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/standin"
	"github.com/posternhq/postern/internal/token"
)

// Verifier is a [postern.Verifier] that follows no server but what its methods say:
// give it to whatever takes one. All else is as in production, the memory, the
// sub-leases and the clock that ends them too.
//
// Its methods return when the verifier answers accordingly, as calls of the API do. It
// is safe for concurrent use; a mistake in its use fails the test.
type Verifier struct {
	*postern.Verifier
	t     testing.TB
	world *world
}

// Key describes a key that a test makes up.
type Key struct {
	Permissions []string      // that its account's role allows, such as tickets:read or tickets:*
	Limit       []string      // empty: all that the role allows
	Networks    []string      // such as 192.0.2.0/24; empty: it may be used from anywhere
	ExpiresIn   time.Duration // zero: never
	Account     string        // its holder's name; empty: one is made up
	Name        string        // empty: one is made up
	Reveal      bool          // the policy of its workspace lets holders hear why
}

// NewVerifier returns a verifier that knows no key, and closes with the test. Options
// such as [postern.BehindProxy] apply.
func NewVerifier(t testing.TB, opts ...postern.Option) *Verifier {
	t.Helper()
	w := newWorld()
	v, err := postern.New(standin.With(t.Context(), standin.Server{
		Parent: w, Clock: w.clock, Scope: replica.AnyWorkspace(), Prefixes: token.Prefixes{token.DefaultPrefix}, Began: w.began,
	}), opts...)
	if err != nil {
		t.Fatalf("posterntest: %v", err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("posterntest: close the verifier: %v", err)
		}
	})
	return &Verifier{Verifier: v, t: t, world: w}
}

// Add makes a key whose account may do what the permissions say, and returns its
// value.
func (v *Verifier) Add(permissions ...string) string {
	v.t.Helper()
	return v.AddKey(Key{Permissions: permissions})
}

// AddKey makes a key and returns its value.
func (v *Verifier) AddKey(k Key) string {
	v.t.Helper()
	secret, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		v.t.Fatalf("posterntest: %v", err)
	}
	made, err := v.world.newKey(k, secret.Hash())
	if err != nil {
		v.t.Fatalf("posterntest: %v", err)
	}
	v.apply(made)
	return secret.Reveal()
}

// Revoke ends a key for good. While the verifier is cut off it returns at once, where
// a server's call would go on until the verifier cannot answer any more.
func (v *Verifier) Revoke(key string) {
	v.t.Helper()
	v.change(key, func(k *iam.KeyRecord) { k.Revoked = true })
}

// Pause stops a key until Resume.
func (v *Verifier) Pause(key string) {
	v.t.Helper()
	v.change(key, func(k *iam.KeyRecord) { k.Paused = true })
}

// Resume ends a pause.
func (v *Verifier) Resume(key string) {
	v.t.Helper()
	v.change(key, func(k *iam.KeyRecord) { k.Paused = false })
}

// change changes what there is to know of a key.
func (v *Verifier) change(key string, how func(*iam.KeyRecord)) {
	v.t.Helper()
	rec, known := v.world.key(token.NewSecret(key).Hash())
	if !known {
		v.t.Fatal("posterntest: this is no key of the verifier")
	}
	how(&rec)
	v.apply(iam.Change{Keys: []iam.KeyRecord{rec}})
}

// longest is how long a verifier may take that is not cut off.
const longest = 30 * time.Second

func (v *Verifier) apply(c iam.Change) {
	v.t.Helper()
	v.world.write(c)
	v.settle()
}

// settle waits until the verifier is as it is to be.
func (v *Verifier) settle() {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	if err := v.world.settle(ctx); err != nil {
		v.t.Fatalf("posterntest: %v", err)
	}
}

// Partition cuts the verifier off: it hears of nothing any more, and answers for as
// long as it may, which is less than two seconds. Then it is stale.
func (v *Verifier) Partition() { v.world.cut(true) }

// Heal ends a partition.
func (v *Verifier) Heal() {
	v.t.Helper()
	v.world.cut(false)
	v.settle()
}

// Advance moves the verifier's clock forward, and what it knows of time with it. The
// time of the test itself goes on as well.
func (v *Verifier) Advance(d time.Duration) {
	v.t.Helper()
	if d < 0 {
		v.t.Fatalf("posterntest: time does not go back, by %v", d)
	}
	v.world.clock.advance(d)
	v.settle()
}

// newKey returns the change that makes a key, with an account and a role of its own.
func (w *world) newKey(k Key, hash token.Hash) (iam.Change, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	id := func(prefix string) string { return iam.NewID(prefix, w.now()) }
	grants, err := iam.ParsePermissions("/permissions", k.Permissions)
	if err != nil {
		return iam.Change{}, fmt.Errorf("a permission %w", err)
	}
	ws := iam.WorkspaceRecord{ID: iam.WorkspaceID(id(iam.WorkspacePrefix)), Slug: fmt.Sprintf("test-%d", w.made), Reveal: k.Reveal}
	role := iam.RoleRecord{ID: iam.RoleID(id(iam.RolePrefix)), Workspace: ws.ID, Name: "tested", Permissions: grants}
	account := iam.PrincipalRecord{
		ID: iam.PrincipalID(id(iam.ServiceAccountPrefix)), Type: iam.ServiceAccountType, Workspace: ws.ID,
		Name: named(k.Account, "account", w.made), State: iam.Active, Role: role.ID,
	}
	rec := iam.KeyRecord{ID: iam.KeyID(id(iam.KeyPrefix)), Principal: account.ID, Name: named(k.Name, "key", w.made), Hash: hash}
	if k.ExpiresIn != 0 {
		rec.Expires = w.now().Add(k.ExpiresIn).UnixMicro()
	}
	if len(k.Limit) > 0 {
		limit, err := iam.ParsePermissions("/limit", k.Limit)
		if err != nil {
			return iam.Change{}, fmt.Errorf("a limit %w", err)
		}
		rec.Limit = &limit
	}
	for _, text := range k.Networks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return iam.Change{}, fmt.Errorf("a network: %w", err)
		}
		rec.Networks = append(rec.Networks, network.Masked())
	}
	return iam.Change{
		Workspaces: []iam.WorkspaceRecord{ws}, Roles: []iam.RoleRecord{role},
		Principals: []iam.PrincipalRecord{account}, Keys: []iam.KeyRecord{rec},
	}, nil
}

func named(name, kind string, n int) string {
	if name == "" {
		return fmt.Sprintf("%s-%d", kind, n)
	}
	return name
}
