package postern_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/standin"
	"github.com/posternhq/postern/internal/token"
	"github.com/posternhq/postern/posterntest"
)

// refused returns the refusal that an error is.
func refused(t *testing.T, err error) *postern.Denied {
	t.Helper()
	d, ok := errors.AsType[*postern.Denied](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	return d
}

func TestVerifierSaysWhoseKeyItIs(t *testing.T) {
	v := posterntest.NewVerifier(t)
	key := v.AddKey(posterntest.Key{Permissions: []string{"tickets:*"}, Account: "support-bot-prod", Name: "prod", ExpiresIn: time.Hour})
	id, err := v.Verify(t.Context(), key, "tickets:read", "tickets/42:write", "tickets:read")
	if err != nil {
		t.Fatal(err)
	}
	if id.Principal.Name != "support-bot-prod" || id.Principal.Type != "service_account" || !strings.HasPrefix(id.Principal.ID, "sa_") {
		t.Errorf("the principal is %+v", id.Principal)
	}
	if id.Key.Name != "prod" || !strings.HasPrefix(id.Key.ID.String(), "key_") || time.Until(id.Key.ExpiresAt) > time.Hour {
		t.Errorf("the key is %+v", id.Key)
	}
	if id.Workspace.Slug != "test-1" || id.Role.Name != "tested" || id.Revision != 1 {
		t.Errorf("got %+v", id)
	}
	if id.FreshFor <= 0 || id.FreshFor > 2*time.Second {
		t.Errorf("fresh for %v, want less than two seconds", id.FreshFor)
	}
}

func TestVerifierRefusesAsTheServerDoes(t *testing.T) {
	v := posterntest.NewVerifier(t)
	read := []string{"tickets:read"}
	good := v.Add("tickets:read")
	revoked, paused := v.Add("tickets:read"), v.Add("tickets:read")
	v.Revoke(revoked)
	v.Pause(paused)
	expired := v.AddKey(posterntest.Key{Permissions: read, ExpiresIn: time.Minute})
	both := v.AddKey(posterntest.Key{Permissions: read, ExpiresIn: time.Minute})
	v.Revoke(both)
	v.Advance(time.Hour)
	confined := v.AddKey(posterntest.Key{Permissions: read, Networks: []string{"192.0.2.0/24"}})
	limited := v.AddKey(posterntest.Key{Permissions: []string{"tickets:*"}, Limit: read})
	unknown, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key, ask   string
		code       string
		status     int
		permission string
	}{
		"a key that was revoked":     {key: revoked, code: "revoked", status: 401},
		"a key that is paused":       {key: paused, code: "paused", status: 401},
		"a key whose time is over":   {key: expired, code: "expired", status: 401},
		"a key revoked, and over":    {key: both, code: "revoked", status: 401},
		"a key from nowhere":         {key: confined, code: "network_denied", status: 401},
		"a key nobody made":          {key: unknown.Reveal(), code: "not_found", status: 401},
		"what is no key":             {key: "secret", code: "not_found", status: 401},
		"nothing":                    {key: "", code: "not_found", status: 401},
		"a key with a space":         {key: good + " ", code: "not_found", status: 401},
		"a permission it has not":    {key: good, ask: "tickets:write", code: "permission_denied", status: 403, permission: "tickets:write"},
		"a permission it is limited": {key: limited, ask: "tickets:write", code: "permission_denied", status: 403, permission: "tickets:write"},
		"one of two it has not":      {key: good, ask: "tickets:read agents:read", code: "permission_denied", status: 403, permission: "agents:read"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := v.Verify(t.Context(), c.key, strings.Fields(c.ask)...)
			d := refused(t, err)
			if d.Code != c.code || d.Status() != c.status || d.Permission != c.permission {
				t.Errorf("got %s, %d, %q; want %s, %d, %q", d.Code, d.Status(), d.Permission, c.code, c.status, c.permission)
			}
			if id != (postern.Identity{}) {
				t.Errorf("a refusal comes with the identity %+v", id)
			}
			if strings.Contains(err.Error(), c.code) || d.Reason() != "" {
				t.Errorf("it tells why: %q, %q", err, d.Reason())
			}
		})
	}
	from := postern.Source{Address: netip.MustParseAddr("::ffff:192.0.2.7")}
	if _, err := v.VerifyFrom(t.Context(), from, confined, "tickets:read"); err != nil {
		t.Errorf("a key from where it may be used: %v", err)
	}
	v.Resume(paused)
	if _, err := v.Verify(t.Context(), paused); err != nil {
		t.Errorf("a key whose pause has ended: %v", err)
	}
}

func TestReasonsAreToldWhereTheWorkspaceSaysSo(t *testing.T) {
	v := posterntest.NewVerifier(t)
	key := v.AddKey(posterntest.Key{Reveal: true})
	v.Revoke(key)
	_, err := v.Verify(t.Context(), key)
	if d := refused(t, err); d.Reason() != "revoked" || !strings.HasSuffix(err.Error(), ": revoked") {
		t.Errorf("got %q, %q", d.Reason(), err)
	}
}

func TestVerifierSaysWhatIsNoPermission(t *testing.T) {
	v := posterntest.NewVerifier(t)
	key := v.Add("tickets:*")
	many := make([]string, 65)
	for i := range many {
		many[i] = "tickets/" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ":read"
	}
	for name, asked := range map[string][]string{"a wildcard": {"tickets:*"}, "a key": {key}, "nothing": {""}, "too many": many} {
		_, err := v.Verify(t.Context(), key, asked...)
		if err == nil || errors.Is(err, postern.ErrStale) || strings.Contains(err.Error(), key) {
			t.Errorf("%s: got %v", name, err)
		}
		if d, ok := errors.AsType[*postern.Denied](err); ok {
			t.Errorf("%s: a mistake of the program is told as the refusal %+v", name, d)
		}
	}
	if _, err := v.Verify(t.Context(), key, many[:64]...); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
}

// A verifier that hears nothing answers while it may, and then refuses; it answers
// again when it hears.
// What was asked before is forgotten, also where it could not be read.
func TestEachVerificationAsksForItself(t *testing.T) {
	v := posterntest.NewVerifier(t)
	key := v.Add("tickets:read", "tickets/42:write")
	for range 2 {
		for _, c := range []struct {
			asked   []string
			missing string // empty: nothing is
		}{
			{[]string{"tickets:read"}, ""},
			{[]string{"tickets:write"}, "tickets:write"},
			{[]string{"tickets:read", "tickets/42:write"}, ""},
			{[]string{"tickets:read", "tickets/42:write", "tickets:delete"}, "tickets:delete"},
			{[]string{"tickets:read", "tickets"}, "not one"},
			{[]string{"tickets:read"}, ""},
			{[]string{"tickets"}, "not one"},
			{nil, ""},
		} {
			_, err := v.Verify(t.Context(), key, c.asked...)
			d, denied := errors.AsType[*postern.Denied](err)
			switch {
			case c.missing == "" && err != nil:
				t.Errorf("%v: %v", c.asked, err)
			case c.missing == "not one" && (err == nil || denied):
				t.Errorf("%v: %v, want that it is no permission", c.asked, err)
			case c.missing != "" && c.missing != "not one" && (!denied || d.Permission != c.missing):
				t.Errorf("%v: %v, want that %s is missing", c.asked, err, c.missing)
			}
		}
	}
}

func TestAVerifierThatIsCutOffRefuses(t *testing.T) {
	v := posterntest.NewVerifier(t)
	key := v.Add("tickets:read")
	v.Partition()
	if _, err := v.Verify(t.Context(), key); err != nil {
		t.Fatalf("just after it was cut off: %v", err)
	}
	v.Revoke(key)
	v.Advance(2 * time.Second)
	if _, err := v.Verify(t.Context(), key); !errors.Is(err, postern.ErrStale) {
		t.Errorf("two seconds later: got %v, want stale", err)
	}
	if _, err := v.Verify(t.Context(), "no key"); !errors.Is(err, postern.ErrStale) {
		t.Errorf("what is no key, meanwhile: got %v, want stale", err)
	}
	if err := v.Ready(t.Context()); !errors.Is(err, postern.ErrStale) {
		t.Errorf("ready: got %v, want stale", err)
	}
	v.Heal()
	if err := v.Ready(t.Context()); err != nil {
		t.Errorf("when it hears again: %v", err)
	}
	if _, err := v.Verify(t.Context(), key); refused(t, err).Code != "revoked" {
		t.Errorf("what was revoked meanwhile: got %v", err)
	}
}

// Once Revoke has returned no Verify that begins later accepts the key, whatever else
// goes on.
func TestRevokedMeansRefused(t *testing.T) {
	v := posterntest.NewVerifier(t)
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	other := v.Add("tickets:read")
	for range 2 {
		busy.Go(func() {
			for ctx.Err() == nil {
				if _, err := v.Verify(ctx, other, "tickets:read"); err != nil && !errors.Is(err, postern.ErrStale) {
					t.Errorf("a key that nobody touched: %v", err)
					return
				}
			}
		})
	}
	for range 50 {
		key := v.Add("tickets:read")
		if _, err := v.Verify(t.Context(), key, "tickets:read"); err != nil && !errors.Is(err, postern.ErrStale) {
			t.Fatalf("a new key: %v", err)
		}
		v.Revoke(key)
		if _, err := v.Verify(t.Context(), key, "tickets:read"); err == nil {
			t.Fatal("a revoked key was accepted")
		}
	}
}

func TestAClosedVerifierAnswersNothing(t *testing.T) {
	v := posterntest.NewVerifier(t)
	key := v.Add("tickets:read")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), key); !errors.Is(err, postern.ErrStale) {
		t.Errorf("verify: got %v, want stale", err)
	}
	if err := v.Ready(t.Context()); !errors.Is(err, postern.ErrStale) {
		t.Errorf("ready: got %v, want stale", err)
	}
	if err := v.Close(); err != nil {
		t.Errorf("closing it again: %v", err)
	}
}

// still is a parent that has one workspace and its keys, and never changes.
type still struct {
	records []iam.KeyRecord
	clock   fence.Clock
}

var (
	stillWorkspace = iam.WorkspaceRecord{ID: iam.WorkspaceID(iam.NewID(iam.WorkspacePrefix, time.Now())), Slug: "acme"}
	stillRole      = iam.RoleRecord{ID: iam.RoleID(iam.NewID(iam.RolePrefix, time.Now())), Workspace: stillWorkspace.ID, Name: "operator", Permissions: mustPermissions("tickets:*")}
	stillAccount   = iam.PrincipalRecord{
		ID: iam.PrincipalID(iam.NewID(iam.ServiceAccountPrefix, time.Now())), Type: iam.ServiceAccountType,
		Workspace: stillWorkspace.ID, Name: "support-bot-prod", State: iam.Active, Role: stillRole.ID,
	}
)

func mustPermissions(texts ...string) iam.Permissions {
	ps, err := iam.ParsePermissions("", texts)
	if err != nil {
		panic(err)
	}
	return ps
}

func (s *still) Changes(_ context.Context, after iam.Position, _ int) ([]iam.Change, iam.Position, error) {
	return nil, after, nil
}

func (s *still) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	err := errors.Join(sink.Workspace(stillWorkspace), sink.Role(stillRole), sink.Principal(stillAccount))
	for _, k := range s.records {
		err = errors.Join(err, sink.Key(k))
	}
	return iam.Position{Seq: 1}, err
}

func (s *still) Renew(_ context.Context, p replica.Ping) (replica.Grant, error) {
	return replica.Grant{N: p.N, At: iam.Position{Seq: 1}, For: p.Wanted, Time: time.Unix(0, int64(s.clock.Now().Wall))}, nil
}

func (*still) Acknowledge(iam.Position) error { return nil }

// reports keeps the uses that it is told of.
type reports struct {
	mu   sync.Mutex // guards what follows
	uses []iam.KeyUse
	last bool
}

func (*reports) Register(context.Context, iam.Reporter) (time.Time, error) { return time.Now(), nil }

func (r *reports) Report(_ context.Context, report iam.UsageReport) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range report.Keys {
		k.Minutes, k.Sources, k.Asks = slices.Clone(k.Minutes), slices.Clone(k.Sources), slices.Clone(k.Asks)
		r.uses = append(r.uses, k)
	}
	r.last = r.last || report.Last
	return time.Now(), nil
}

// newStill returns a verifier over one key, which counts uses, and the key.
func newStill(t *testing.T, r *reports) (*postern.Verifier, string) {
	t.Helper()
	secret, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	rec := iam.KeyRecord{ID: iam.KeyID(iam.NewID(iam.KeyPrefix, time.Now())), Principal: stillAccount.ID, Name: "prod", Hash: secret.Hash()}
	clock := fence.SystemClock()
	v, err := postern.New(standin.With(t.Context(), standin.Server{
		Parent: &still{[]iam.KeyRecord{rec}, clock}, Reports: r, Clock: clock,
		Scope: replica.OneWorkspace(stillWorkspace.ID), Prefixes: token.Prefixes{token.DefaultPrefix},
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() }) // a test that cares has closed it
	return v, secret.Reveal()
}

func TestVerifyDoesNotAllocate(t *testing.T) {
	if testing.Short() {
		t.Skip("under the race detector, which -short is for, pools forget on purpose")
	}
	v, key := newStill(t, new(reports))
	ctx, permission := t.Context(), "tickets/"+strings.Repeat("x", 10)+":read"
	from := postern.Source{Address: netip.MustParseAddr("192.0.2.1"), UserAgent: "curl/8.5.0"}
	for name, verify := range map[string]func() error{
		"a key":               func() error { _, err := v.Verify(ctx, key); return err },
		"a permission":        func() error { _, err := v.Verify(ctx, key, permission); return err },
		"several permissions": func() error { _, err := v.Verify(ctx, key, "tickets:read", "tickets:write", permission); return err },
		"with where it came from": func() error {
			_, err := v.VerifyFrom(ctx, from, key, "tickets:read")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := verify(); err != nil {
				t.Fatal(err)
			}
			failed := error(nil)
			n := testing.AllocsPerRun(1000, func() {
				if err := verify(); err != nil {
					failed = err
				}
			})
			if n != 0 || failed != nil {
				t.Errorf("%v allocations, %v; want none", n, failed)
			}
		})
	}
}

// What was accepted is reported before Close returns, all of it, also what is
// verified meanwhile.
func TestCloseReportsWhatWasCounted(t *testing.T) {
	r := new(reports)
	v, key := newStill(t, r)
	var accepted [2]int64
	var busy sync.WaitGroup
	started := make(chan struct{}, len(accepted))
	for i := range accepted {
		busy.Go(func() {
			for {
				_, err := v.VerifyFrom(t.Context(), postern.Source{UserAgent: "curl/8.5.0"}, key, "tickets:read")
				if err != nil {
					return
				}
				if accepted[i]++; accepted[i] == 100 {
					started <- struct{}{}
				}
			}
		})
	}
	for range accepted {
		<-started
	}
	if _, err := v.Verify(t.Context(), key, "agents:read"); refused(t, err).Code != "permission_denied" {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	busy.Wait()
	var ok, no int64
	for _, k := range r.uses {
		for _, m := range k.Minutes {
			ok, no = ok+m.OK, no+m.Refused
		}
		if len(k.Sources) == 0 || k.Principal != stillAccount.ID {
			t.Errorf("reported %+v", k)
		}
	}
	if want := accepted[0] + accepted[1]; ok < want || ok > want+2 || no != 1 || !r.last {
		t.Errorf("reported %d accepted and %d refused, last: %v; want %d and 1", ok, no, r.last, want)
	}
}
