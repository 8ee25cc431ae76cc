package replica

import (
	"errors"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// machine is a pair of clocks that tests set.
type machine struct{ Instant }

func (m *machine) read() Instant { return m.Instant }

// pass lets time go by on both clocks.
func (m *machine) pass(d time.Duration) { m.Monotonic += d; m.Wall += d }

// leased is a small replica that answers only under a lease.
type leased struct {
	*small
	machine *machine
}

func newLeased(t testing.TB, publishing func()) *leased {
	t.Helper()
	s := newSmall(t)
	l := &leased{small: s, machine: &machine{Instant{Monotonic: time.Hour, Wall: time.Duration(epoch.UnixNano())}}}
	l.Replica = New(Options{Now: s.clock.Now, Clock: l.machine.read, Publishing: publishing})
	if err := l.Load(t.Context(), s.feed); err != nil {
		t.Fatalf("load: %v", err)
	}
	return l
}

// lease returns one of a node with a TTL of 5 seconds, sent now.
func (l *leased) lease() Lease {
	return Lease{Sent: l.machine.Instant, Strict: 4 * time.Second, Bounded: 4 * time.Second, Time: epoch}
}

func (l *leased) extend(t *testing.T, lease Lease) {
	t.Helper()
	s := l.Standing()
	if err := l.Extend(s.Epoch, lease, s.Position.Seq); err != nil {
		t.Fatalf("extend: %v", err)
	}
}

func TestWithoutALeaseNothingIsAnswered(t *testing.T) {
	l := newLeased(t, nil)
	l.expect(t, "loaded, without a lease", Stale)
	if err := l.Ready(); !errors.Is(err, iam.Stale) {
		t.Errorf("ready: got %v, want stale", err)
	}
	if _, ok := l.LeaseAge(); ok {
		t.Error("it tells the age of a lease that it does not have")
	}
	l.extend(t, l.lease())
	l.expect(t, "with a lease", Valid)
	if err := l.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
	l.machine.pass(4*time.Second - 1)
	l.expect(t, "at its last moment", Valid)
	if age, ok := l.LeaseAge(); age != 4*time.Second-1 || !ok {
		t.Errorf("age: got %v, %v", age, ok)
	}
	l.machine.pass(1)
	l.expect(t, "at its end", Stale)
}

func TestALeaseEndsByTheFasterClock(t *testing.T) {
	tests := map[string]struct {
		step func(*machine)
		want Code
	}{
		"the machine slept, and its monotonic clock too": {func(m *machine) { m.Wall += 4 * time.Second }, Stale},
		"somebody set the wall clock forward":            {func(m *machine) { m.Wall += 24 * time.Hour }, Stale},
		"somebody set the wall clock back":               {func(m *machine) { m.Wall -= 24 * time.Hour }, Valid},
		"set back, and the lease is over": {func(m *machine) {
			m.Wall -= 24 * time.Hour
			m.Monotonic += 4 * time.Second
		}, Stale},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLeased(t, nil)
			l.extend(t, l.lease())
			tt.step(l.machine)
			l.expect(t, "then", tt.want)
		})
	}
}

func TestAFenceVoidsWhatWasAskedForBefore(t *testing.T) {
	l := newLeased(t, nil)
	before := l.Standing()
	lease := l.lease()
	l.extend(t, lease)
	l.Fence()
	l.expect(t, "fenced", Stale)
	if err := l.Extend(before.Epoch, lease, 0); err == nil {
		t.Error("a lease was taken up that was asked for before the fence")
	}
	l.expect(t, "after the late answer", Stale)
	l.extend(t, l.lease())
	l.expect(t, "with a lease that was asked for after it", Valid)
}

func TestAnUnfitReplicaTakesUpNoLease(t *testing.T) {
	l := newLeased(t, nil)
	before := l.Standing()
	l.extend(t, l.lease())
	if err := l.Apply(iam.Change{Seq: 9}, iam.Position{Seq: 9}); err == nil {
		t.Fatal("a gap was applied")
	}
	for _, epoch := range []uint64{before.Epoch, l.Standing().Epoch} {
		if err := l.Extend(epoch, l.lease(), 0); err == nil {
			t.Errorf("a lease of epoch %d was taken up", epoch)
		}
	}
	if err := l.Load(t.Context(), l.feed); err != nil {
		t.Fatal(err)
	}
	l.expect(t, "loaded anew", Stale)
	if err := l.Extend(before.Epoch, l.lease(), 0); err == nil {
		t.Error("a lease was taken up that was asked for before")
	}
	l.extend(t, l.lease())
	l.expect(t, "with a new lease", Valid)
}

func TestALeaseIsTakenUpOnlyWithWhatItWasGivenOn(t *testing.T) {
	l := newLeased(t, nil)
	s := l.Standing()
	if err := l.Extend(s.Epoch, l.lease(), s.Position.Seq+1); err == nil {
		t.Error("a lease was taken up a change too early")
	}
	l.expect(t, "after it", Stale)
}

func TestAnEarlierLeaseDoesNotShortenALater(t *testing.T) {
	l := newLeased(t, nil)
	earlier := l.lease()
	l.machine.pass(time.Second)
	l.extend(t, l.lease())
	l.extend(t, earlier)
	l.machine.pass(4*time.Second - 1)
	l.expect(t, "at the end of the later lease", Valid)
}

func TestAChangeKeepsTheLease(t *testing.T) {
	l := newLeased(t, nil)
	l.extend(t, l.lease())
	l.machine.pass(3 * time.Second)
	l.apply(t, iam.Change{})
	l.expect(t, "after a change", Valid)
	l.machine.pass(time.Second)
	l.expect(t, "at the end of the lease that was there before", Stale)
}

func TestTheLastLookSeesAllThatHappenedSince(t *testing.T) {
	tests := map[string]struct {
		happens func(*testing.T, *leased)
		want    bool
	}{
		"nothing":            {func(*testing.T, *leased) {}, true},
		"a change":           {func(t *testing.T, l *leased) { l.apply(t, iam.Change{}) }, false},
		"a fence":            {func(_ *testing.T, l *leased) { l.Fence() }, false},
		"the lease ended":    {func(_ *testing.T, l *leased) { l.machine.pass(4 * time.Second) }, false},
		"it could not go on": {func(_ *testing.T, l *leased) { l.Fail(errors.New("for a test")) }, false},
		"a pause over the end, and a new lease": {func(t *testing.T, l *leased) {
			l.machine.pass(10 * time.Second)
			l.extend(t, l.lease())
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLeased(t, nil)
			l.extend(t, l.lease())
			v := l.View()
			tt.happens(t, l)
			if got := l.Still(v); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAnAnswerIsMadeAnewWhenSomethingWasPublished(t *testing.T) {
	l := newLeased(t, nil)
	l.extend(t, l.lease())
	var codes []Code
	err := l.Answer(t.Context(), func(v View) {
		codes = append(codes, v.Verify(l.key.Hash, Query{Scope: AnyWorkspace()}).Code)
		if len(codes) == 1 {
			l.key.Revoked = true
			l.apply(t, iam.Change{Keys: []iam.KeyRecord{l.key}})
		}
	})
	if err != nil || len(codes) != 2 || codes[0] != Valid || codes[1] != Revoked {
		t.Errorf("got %v, %v; want valid, then revoked", codes, err)
	}
	calls := 0
	err = l.Answer(t.Context(), func(View) { calls++; l.machine.pass(4 * time.Second) })
	if !errors.Is(err, iam.Stale) || calls != 1 {
		t.Errorf("the lease ended while it was encoded: got %v after %d calls", err, calls)
	}
}

func TestAnAnswerThatIsAlwaysOvertakenEnds(t *testing.T) {
	l := newLeased(t, nil)
	l.extend(t, l.lease())
	const step = 40 * time.Millisecond
	calls := 0
	err := l.Answer(t.Context(), func(View) {
		if calls++; calls > 100 {
			t.Fatal("it goes on for ever")
		}
		l.clock.now = l.clock.now.Add(step)
		l.apply(t, iam.Change{Keys: []iam.KeyRecord{l.key}})
	})
	if want := int(Patience/step) + 2; !errors.Is(err, iam.Stale) || calls != want {
		t.Errorf("got %v after %d calls, want stale after %d", err, calls, want)
	}
}

func TestABoundedNodeGoesOnWithTheKeysItKnows(t *testing.T) {
	l := newLeased(t, nil)
	lease := l.lease()
	lease.Bounded = time.Minute
	l.extend(t, lease)
	unknown := func() Code { return l.Verify(token.NewSecret("other").Hash(), Query{Scope: AnyWorkspace()}).Code }
	if got := unknown(); got != NotFound {
		t.Errorf("an unknown key in the strict part: got %s, want not_found", got)
	}
	l.machine.pass(time.Minute - 1)
	l.expect(t, "a key that is known", Valid)
	if got := unknown(); got != Stale {
		t.Errorf("an unknown key after it: got %s, want stale", got)
	}
	l.machine.pass(1)
	l.expect(t, "at the end", Stale)
}

func TestAKeyEndsAtTheLatestThatTheDatabasesTimeCanBe(t *testing.T) {
	l := newLeased(t, nil)
	l.key.Expires = epoch.Add(10 * time.Second).UnixMicro()
	l.apply(t, iam.Change{Keys: []iam.KeyRecord{l.key}})
	lease := l.lease()
	lease.Time = epoch.Add(8 * time.Second)
	l.extend(t, lease)
	l.machine.pass(1833 * time.Millisecond) // of which 1.999 may have passed elsewhere
	l.expect(t, "before it could have expired", Valid)
	l.machine.pass(2 * time.Millisecond)
	l.expect(t, "when it may have", Expired)
	lease = l.lease()
	lease.Time = epoch.Add(9 * time.Second)
	l.extend(t, lease)
	l.expect(t, "the database says that it has not", Valid)
	l.machine.Wall -= 24 * time.Hour
	l.machine.pass(time.Millisecond)
	lease.Sent, lease.Time = l.machine.Instant, epoch
	l.extend(t, lease)
	l.machine.pass(1001 * time.Millisecond)
	l.expect(t, "a database whose clock was set back", Valid)
	for range 10 { // each change of the log is a second later
		l.feed.commit(t, iam.Change{})
	}
	if err := l.CatchUp(t.Context(), l.feed); err != nil {
		t.Fatal(err)
	}
	l.expect(t, "the time of the log has come", Expired)
}

// A renewal is held back between reading the state and putting its own in its
// place, while a revocation is published.
func TestARenewalHeldBackDoesNotUndoARevocation(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	hold := false
	l := newLeased(t, func() {
		if hold {
			hold = false
			close(held)
			<-release
		}
	})
	l.extend(t, l.lease())
	s := l.Standing()
	hold = true
	done := make(chan error)
	go func() { done <- l.Extend(s.Epoch, l.lease(), s.Position.Seq) }()
	<-held
	l.key.Revoked = true
	l.apply(t, iam.Change{Keys: []iam.KeyRecord{l.key}})
	close(release)
	if err := <-done; err != nil {
		t.Errorf("extend: %v", err)
	}
	l.expect(t, "after the renewal", Revoked)
}

func TestWhatEndedInALostLogIsDeniedForGood(t *testing.T) {
	s := newSmall(t)
	s.key.Revoked, s.who.State = true, iam.Inactive
	s.apply(t, iam.Change{Principals: []iam.PrincipalRecord{s.who}, Keys: []iam.KeyRecord{s.key}})
	s.feed.log, s.feed.model = s.feed.log[:1], newModel() // a failover lost it
	s.key.Revoked, s.who.State = false, iam.Active
	first := iam.Change{
		Seq: 1, Workspaces: []iam.WorkspaceRecord{s.ws}, Roles: []iam.RoleRecord{s.role},
		Principals: []iam.PrincipalRecord{s.who}, Keys: []iam.KeyRecord{s.key},
	}
	s.feed.model.apply(first)
	if err := s.CatchUp(t.Context(), s.feed); !errors.Is(err, iam.Diverged) {
		t.Fatalf("catch up: got %v, want diverged", err)
	}
	if err := s.Load(t.Context(), s.feed); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "after a load that revives it", Revoked)
	s.key.Name = "renamed"
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{s.key}})
	s.expect(t, "after a change that names it", Revoked)
	other := s.key
	other.ID, other.Hash = iam.KeyID(testID(iam.KeyPrefix, 2)), token.NewSecret("two").Hash()
	s.apply(t, iam.Change{Principals: []iam.PrincipalRecord{s.who}, Keys: []iam.KeyRecord{other}})
	if got := s.Verify(other.Hash, Query{Scope: AnyWorkspace()}).Code; got != PrincipalInactive {
		t.Errorf("another key of the account: got %s, want principal_inactive", got)
	}
}

func TestVerifyingUnderALeaseDoesNotAllocate(t *testing.T) {
	l := newLeased(t, nil)
	l.extend(t, l.lease())
	q := Query{Permissions: []iam.Permission{execute}, Scope: AnyWorkspace()}
	if n := testing.AllocsPerRun(1000, func() {
		v := l.View()
		if v.Verify(l.key.Hash, q).Code != Valid || !l.Still(v) {
			t.Fatal("not valid")
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

// What was decided with a view may be told for as long as nothing was published since,
// and its lease lives.
func TestAViewStandsUntilSomethingIsPublished(t *testing.T) {
	l := newLeased(t, nil)
	l.extend(t, l.lease())
	v := l.View()
	l.machine.pass(time.Second)
	if fresh, still := l.StillFor(v); !still || fresh != 3*time.Second {
		t.Errorf("a second later: got %v, %t; want three seconds more", fresh, still)
	}
	l.key.Revoked = true
	l.apply(t, iam.Change{Keys: []iam.KeyRecord{l.key}})
	if fresh, still := l.StillFor(v); still || fresh != 0 || l.Still(v) {
		t.Errorf("after a revocation: got %v, %t; want that it does not stand", fresh, still)
	}
	v = l.View()
	l.machine.pass(3 * time.Second)
	if fresh, still := l.StillFor(v); still || fresh != 0 {
		t.Errorf("at the end of the lease: got %v, %t; want that it does not stand", fresh, still)
	}
}
