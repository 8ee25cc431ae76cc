package iam_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// tb is what the helpers need of a test; rapid's have it too.
type tb interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// world is a deployment of one node, with one tenant in it: a store, a replica
// that follows it and is its fence, and the service on both. Its clock stands
// still, and a test may step in between the service and what it rests on.
type world struct {
	*iam.Service
	*faults

	t       tb
	db      *store.Store
	clock   *clock
	names   *atomic.Int64
	reports *atomic.Int64 // of the use of keys
	replica *replica.Replica
	ending  *func()    // of what keeps the replica up to date
	system  iam.Caller // an owner of the system workspace
	owner   iam.Caller // an owner of the tenant
}

// clock is a clock that only a test moves.
type clock struct{ micros atomic.Int64 }

var began = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func (c *clock) now() time.Time          { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

// eachWorld runs a test in a world on SQLite and in one on PostgreSQL.
func eachWorld(t *testing.T, test func(t *testing.T, w *world)) {
	storetest.Above(t, func(t *testing.T, url string) { test(t, newWorld(t, url)) })
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	w := emptyWorld(t, url)
	begun, secret, err := w.Initialize(t.Context(), iam.Initialization{
		Workspace: "Operations", Email: "ops@example.com", KeyName: "first",
	})
	if err != nil {
		t.Fatalf("initialize: %v", err)
	}
	if begun.Value.Key.ID == "" {
		t.Fatalf("initialize: got %+v, want a key", begun.Value)
	}
	w.system = w.caller(secret)
	w.owner = w.tenant("acme")
	return w
}

// emptyWorld returns a world in which nothing has been made yet.
func emptyWorld(t *testing.T, url string) *world {
	t.Helper()
	w := &world{t: t, faults: &faults{}, clock: &clock{}, names: &atomic.Int64{}, reports: &atomic.Int64{}, ending: new(func())}
	w.clock.micros.Store(began.UnixMicro())
	db, err := store.Open(t.Context(), url, store.Options{Now: w.clock.now})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	w.db, w.replica = db, replica.New(replica.Options{Now: w.clock.now, Node: "node-1"})
	w.Service = &iam.Service{
		Store: faultyStore{db, w.faults}, Fence: faultyFence{w.replica, w.faults}, Roster: w.replica, Now: w.clock.now,
	}
	if err := w.replica.Load(t.Context(), db); err != nil {
		t.Fatalf("load the replica: %v", err)
	}
	w.follow()
	t.Cleanup(func() {
		w.unfollow()
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return w
}

// follow has the replica follow the store, until unfollow.
func (w *world) follow() {
	ctx, stop := context.WithCancel(context.Background()) // the test's own ends before its cleanups
	ended := make(chan error, 1)
	go func() { ended <- w.replica.Follow(ctx, w.db) }()
	*w.ending = func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Errorf("follow: %v", err)
		}
	}
}

// unfollow lets the replica stand still.
func (w *world) unfollow() {
	(*w.ending)()
	*w.ending = func() {}
}

// in returns the same world for another test, such as one of its parts.
func (w *world) in(t tb) *world {
	other := *w
	other.t = t
	return &other
}

// name returns a name that nothing has yet.
func (w *world) name(of string) string { return fmt.Sprintf("%s-%d", of, w.names.Add(1)) }

// made returns what a call made or changed. The call must have succeeded.
func made[T any](d iam.Done[T], err error) func(tb) T {
	return func(t tb) T {
		t.Helper()
		if err != nil {
			t.Fatalf("got error %v, want none", err)
		}
		return d.Value
	}
}

// issued returns what a call made and the secret that it showed.
func issued[T any](d iam.Done[T], secret token.Secret, err error) func(tb) (T, token.Secret) {
	return func(t tb) (T, token.Secret) {
		t.Helper()
		return made(d, err)(t), secret
	}
}

// whence is where calls come from in these tests.
var (
	whence  = audit.Source{IP: "192.0.2.7", UserAgent: "tests/1.0", Node: "node-1"}
	address = netip.MustParseAddr(whence.IP)
)

// verify asks the replica about a key.
func (w *world) verify(secret token.Secret, ps ...iam.Permission) replica.Verdict {
	return w.verifyHash(secret.Hash(), ps...)
}

func (w *world) verifyHash(h token.Hash, ps ...iam.Permission) replica.Verdict {
	return w.replica.Verify(h, replica.Query{Permissions: ps, IP: address, Scope: replica.AnyWorkspace()})
}

// caller returns who holds a key, as a door would: from the replica's verdict.
func (w *world) caller(secret token.Secret) iam.Caller {
	w.t.Helper()
	v := w.verify(secret)
	if v.Code != replica.Valid {
		w.t.Fatalf("the key is %s, want valid", v.Code)
	}
	c := v.Caller()
	c.Source, c.RequestID = whence, w.name("req")
	return c
}

// anonymous is a caller without a credential.
func (w *world) anonymous() iam.Caller { return iam.Caller{Source: whence, RequestID: w.name("req")} }

// tenant makes a workspace and returns its owner.
func (w *world) tenant(slug string) iam.Caller {
	w.t.Helper()
	ctx := w.t.Context()
	_, invitation := issued(w.CreateWorkspace(ctx, w.system, iam.NewWorkspace{
		Name: "Tenant " + slug, Slug: slug, OwnerEmail: "owner@" + slug + ".example",
	}))(w.t)
	_, secret := issued(w.AcceptInvitation(ctx, w.anonymous(), iam.Acceptance{
		Token: invitation, Name: "Owner of " + slug, KeyName: "first",
	}))(w.t)
	return w.caller(secret)
}

// by returns the same world with another owner, whose workspace the helpers
// below then work in.
func (w *world) by(owner iam.Caller) *world {
	other := *w
	other.owner = owner
	return &other
}

func (w *world) role(permissions ...string) iam.Role {
	w.t.Helper()
	return made(w.CreateRole(w.t.Context(), w.owner, "-", iam.NewRole{Name: w.name("role"), Permissions: permissions}))(w.t)
}

func (w *world) account(role string) iam.ServiceAccount {
	w.t.Helper()
	return made(w.CreateServiceAccount(w.t.Context(), w.owner, "-", iam.NewServiceAccount{Name: w.name("bot"), Role: role}))(w.t)
}

func (w *world) key(a iam.ServiceAccount, in iam.NewKey) (iam.Key, token.Secret) {
	w.t.Helper()
	if in.Name == "" {
		in.Name = w.name("key")
	}
	return issued(w.CreateKey(w.t.Context(), w.owner, "-", string(a.ID), in))(w.t)
}

// holder returns the holder of a new key, of a new account with a role.
func (w *world) holder(role string, limit ...string) iam.Caller {
	w.t.Helper()
	in := iam.NewKey{}
	if limit != nil {
		in.Limit = &limit
	}
	_, secret := w.key(w.account(role), in)
	return w.caller(secret)
}

// holding returns the holder of a key that can do exactly what is listed.
func (w *world) holding(permissions ...string) iam.Caller {
	w.t.Helper()
	return w.holder(w.role(permissions...).Name)
}

func (w *world) invitation(role string) (iam.Invitation, token.Secret) {
	w.t.Helper()
	return issued(w.Invite(w.t.Context(), w.owner, "-", iam.NewInvitation{Email: w.name("p") + "@example.com", Role: role}))(w.t)
}

// member returns a new member with a role, and the holder of their key.
func (w *world) member(role string) (iam.Member, iam.Caller) {
	w.t.Helper()
	_, invitation := w.invitation(role)
	joined, secret := issued(w.AcceptInvitation(w.t.Context(), w.anonymous(), iam.Acceptance{
		Token: invitation, Name: w.name("Person"), KeyName: "laptop",
	}))(w.t)
	return joined.Member, w.caller(secret)
}

// row returns a key as the rows have it.
func (w *world) row(c iam.Caller) iam.Key {
	w.t.Helper()
	key, err := w.Store.Key(w.t.Context(), c.Workspace.ID, c.Key.ID)
	if err != nil {
		w.t.Fatalf("read key %s: %v", c.Key.ID, err)
	}
	return key
}

// works reports whether the key of a caller may be used, as this node knows it.
func (w *world) works(c iam.Caller) bool {
	w.t.Helper()
	return w.verifyHash(w.row(c).Hash).Code == replica.Valid
}
