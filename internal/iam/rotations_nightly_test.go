package iam_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

// fleet is some programs that use the same key, or the one that takes its place.
// Time passes in half hours, and the store knows of each use.
type fleet struct {
	*world
	number  int64 // of the last report
	old     iam.Key
	lastOld time.Time // when the old key was last used
	all     []*consumer
}

type consumer struct {
	agent  string
	hours  func(hour int) bool // in which it works
	key    iam.KeyID
	secret token.Secret
}

func newFleet(w *world) *fleet {
	w.t.Helper()
	f := &fleet{world: w}
	key, secret := w.key(w.account(iam.Operator), iam.NewKey{})
	f.old = key
	always := func(int) bool { return true }
	for _, agent := range []string{"one", "two", "three", "four"} {
		f.all = append(f.all, &consumer{agent, always, key.ID, secret})
	}
	f.all = append(f.all, &consumer{"nightly", func(hour int) bool { return hour == 3 }, key.ID, secret})
	if _, err := w.Store.Register(w.t.Context(), iam.Reporter{ID: "fleet", Name: "node-1", Kind: iam.ServerNode}); err != nil {
		w.t.Fatalf("register: %v", err)
	}
	return f
}

// works lets half an hour pass, in which everybody works as they do. Then the
// server does what is due.
func (f *fleet) works() {
	f.t.Helper()
	f.clock.advance(30 * time.Minute)
	now := f.clock.now()
	f.number++
	report := iam.UsageReport{Reporter: "fleet", Number: f.number, Covers: now}
	for _, c := range f.all {
		if !c.hours(now.Hour()) {
			continue
		}
		if code := f.verify(c.secret).Code; code != replica.Valid {
			f.t.Errorf("%s is refused at %s: %s", c.agent, now, code)
		}
		if c.key == f.old.ID {
			f.lastOld = now
		}
		report.Keys = f.add(report.Keys, c, now)
	}
	if _, err := f.Report(f.t.Context(), report); err != nil {
		f.t.Fatalf("report: %v", err)
	}
	if err := f.AdvanceRotations(f.t.Context(), "node-1", func(context.Context) error { return nil }); err != nil {
		f.t.Fatalf("advance: %v", err)
	}
	if _, err := iam.Await(f.t.Context(), f.Fence, f.head()); err != nil {
		f.t.Fatalf("wait: %v", err)
	}
}

// add adds a use of a consumer's key to those of a report.
func (f *fleet) add(uses []iam.KeyUse, c *consumer, now time.Time) []iam.KeyUse {
	i := slices.IndexFunc(uses, func(u iam.KeyUse) bool { return u.Key == c.key })
	if i < 0 {
		uses = append(uses, iam.KeyUse{
			Key: c.key, Principal: f.old.Principal.ID, Workspace: f.old.Workspace, LastOK: now, Minutes: []iam.UsePoint{{At: now.Truncate(time.Minute)}},
		})
		i = len(uses) - 1
	}
	uses[i].Minutes[0].OK++
	uses[i].Sources = append(uses[i].Sources, iam.SourceUse{IP: "10.0.0.1", UserAgent: c.agent, First: now, Last: now, LastOK: now, OK: 1})
	return uses
}

// laggards returns who is named as not having moved.
func laggards(r iam.JudgedRotation) (agents []string) {
	for _, b := range r.Judged.Blockers {
		if b.Code == iam.SourceNotMoved {
			agents = append(agents, b.Source.UserAgent)
		}
	}
	slices.Sort(agents)
	return agents
}

// A key that nobody uses all day long is no key that nobody uses. Here all is what
// it will be, but for the clock: the uses are in the store, and what is learnt of
// the night comes from there.
func TestRotationDoesNotForgetTheNightlyConsumer(t *testing.T) {
	storetest.Above(t, func(t *testing.T, url string) {
		f := newFleet(newWorld(t, url))
		for range 3 * 48 {
			f.works()
		}
		begun, fresh := issued(f.StartRotation(t.Context(), f.owner, "-", f.old.ID, iam.NewRotation{AutoRevoke: true}))(t)
		look := func() iam.JudgedRotation {
			r, err := f.Rotation(t.Context(), f.owner, "-", begun.Rotation.ID)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if got := look().Judged.QuietFor; got != 47*time.Hour { // its last use of a night to the first of the next
			t.Errorf("got a quiet period of %s, want twice the gap between two nights", got)
		}
		for i, c := range f.all[:4] {
			c.key, c.secret = begun.Key.ID, fresh
			for range 4 {
				f.works()
			}
			left := []string{"nightly"}
			for _, c := range f.all[i+1 : 4] {
				left = append(left, c.agent)
			}
			slices.Sort(left)
			if got := laggards(look()); !slices.Equal(got, left) {
				t.Errorf("got %v named, want %v", got, left)
			}
		}
		for range 3 * 48 { // for days only the nightly one is left, and nothing happens to it
			f.works()
			if r := look(); r.Judged.Ready() || !r.EndedAt.IsZero() || !strings.Contains(strings.Join(laggards(r), " "), "nightly") {
				t.Fatalf("at %s it is %s, and %v are named; the nightly one has not moved", f.clock.now(), r.Judged.State, laggards(r))
			}
		}
		f.all[4].key, f.all[4].secret = begun.Key.ID, fresh
		last := f.lastOld
		for look().EndedAt.IsZero() {
			if f.works(); f.clock.now().Sub(last) > 49*time.Hour {
				t.Fatalf("two days after the last use it is %s", look().Judged.State)
			}
		}
		r := look()
		if quiet := r.EndedAt.Sub(last); r.State != iam.Completed || quiet < 47*time.Hour || !f.lastOld.Equal(last) {
			t.Errorf("it is %s %s after the last use, want it completed by itself after 47 hours at least", r.State, quiet)
		}
		for range 48 {
			f.works() // nobody is refused, in the night neither
		}
	})
}
