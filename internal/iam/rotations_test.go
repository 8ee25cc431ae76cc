package iam_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

// swap is a rotation under way, and what is known of its keys' use.
type swap struct {
	*world
	id        iam.RotationID
	old       iam.Key
	oldSecret token.Secret
	fresh     iam.Key
	newSecret token.Secret
	known     iam.Evidence
}

// rotating starts a rotation of a new key of an operator's account.
func (w *world) rotating(in iam.NewRotation) *swap {
	w.t.Helper()
	s := &swap{world: w}
	s.old, s.oldSecret = w.key(w.account(iam.Operator), iam.NewKey{})
	begun, shown := issued(w.StartRotation(w.t.Context(), w.owner, "-", s.old.ID, in))(w.t)
	s.id, s.fresh, s.newSecret = begun.Rotation.ID, begun.Key, shown
	s.known = iam.Evidence{KnownTo: w.clock.now()}
	w.know(s.known)
	return s
}

// passes lets time pass, in which everybody reports.
func (s *swap) passes(d time.Duration) {
	s.clock.advance(d)
	s.known.KnownTo = s.clock.now()
	s.know(s.known)
}

// use has both keys be used now, from an address each.
func (s *swap) use(oldFrom, newFrom string) {
	now := s.clock.now()
	if oldFrom != "" {
		s.known.OldLastOK = now
		used(&s.known.OldSources, oldFrom, now)
	}
	if newFrom != "" {
		if s.known.NewFirstOK.IsZero() {
			s.known.NewFirstOK = now
		}
		s.known.NewLastOK = now
		used(&s.known.NewSources, newFrom, now)
	}
	s.know(s.known)
}

// used notes a use from an address, with its user agent after a space.
func used(sources *[]iam.KeySource, from string, at time.Time) {
	ip, agent, _ := strings.Cut(from, " ")
	all := slices.Clone(*sources)
	i := slices.IndexFunc(all, func(s iam.KeySource) bool { return s.IP == ip && s.UserAgent == agent })
	if i < 0 {
		all = append(all, iam.KeySource{Node: "node-1", SourceUse: iam.SourceUse{IP: ip, UserAgent: agent, Via: iam.Gateway, First: at}})
		i = len(all) - 1
	}
	all[i].Last, all[i].LastOK, all[i].OK = at, at, all[i].OK+1
	*sources = all
}

// look returns the rotation as anybody sees it.
func (s *swap) look() iam.JudgedRotation {
	s.t.Helper()
	r, err := s.Rotation(s.t.Context(), s.owner, "-", s.id)
	if err != nil {
		s.t.Fatalf("read the rotation: %v", err)
	}
	return r
}

// advance lets the server do what is due, and returns the actions of what it did.
func (s *swap) advance() []string {
	s.t.Helper()
	var actions []string
	for _, e := range s.since(func() {
		if err := s.AdvanceRotations(s.t.Context(), "node-1", func(context.Context) error { return nil }); err != nil {
			s.t.Fatalf("advance: %v", err)
		}
	}) {
		if e.Actor.Type != audit.System {
			s.t.Errorf("%s was done by %s, want the system", e.Action, e.Actor.Type)
		}
		actions = append(actions, e.Action)
	}
	if _, err := iam.Await(s.t.Context(), s.Fence, s.head()); err != nil {
		s.t.Fatalf("wait: %v", err)
	}
	return actions
}

// does lets the server do what is due, which must be this, and then nothing more.
func (s *swap) does(state iam.State, actions ...string) {
	s.t.Helper()
	if got := s.advance(); !slices.Equal(got, actions) {
		s.t.Errorf("got the events %v, want %v", got, actions)
	}
	if r := s.look(); r.State != state || r.Judged.State != state {
		s.t.Errorf("got the states %s and %s (judged), want %s", r.State, r.Judged.State, state)
	}
}

// rest lets the server find nothing to do.
func (s *swap) rest() {
	s.t.Helper()
	head := s.head()
	if got := s.advance(); got != nil || s.head() != head {
		s.t.Errorf("got the events %v and revision %d, want none and %d", got, s.head(), head)
	}
}

func (s *swap) codes() (old, fresh replica.Code) {
	return s.verify(s.oldSecret).Code, s.verify(s.newSecret).Code
}

// wantCodes fails the test unless the two keys are what they must be.
func (s *swap) wantCodes(old, fresh replica.Code) {
	s.t.Helper()
	if o, n := s.codes(); o != old || n != fresh {
		s.t.Errorf("the old key is %s and the new one %s, want %s and %s", o, n, old, fresh)
	}
}

// wantBlockers fails the test unless just this is in the way.
func (s *swap) wantBlockers(codes ...iam.BlockerCode) []iam.Blocker {
	s.t.Helper()
	r := s.look()
	var got []iam.BlockerCode
	for _, b := range r.Judged.Blockers {
		got = append(got, b.Code)
		if b.Detail == "" {
			s.t.Errorf("%s says nothing in words", b.Code)
		}
	}
	if !slices.Equal(got, codes) {
		s.t.Errorf("got the blockers %v, want %v", got, codes)
	}
	return r.Judged.Blockers
}

// The course of a rotation: nobody has moved, one has, all have, it has been quiet.
func TestRotationGoesFromFirstUseToReady(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		s := w.rotating(iam.NewRotation{QuietFor: time.Minute})
		s.wantCodes(replica.Valid, replica.Valid)
		s.use("10.0.0.1 curl", "")
		s.wantBlockers(iam.NewKeyUnused, iam.SourceNotMoved, iam.NotQuiet)
		s.rest()

		s.passes(time.Second)
		s.use("10.0.0.2 curl", "10.0.0.1 curl")
		s.does(iam.Overlapping, "rotation.first_use")
		blockers := s.wantBlockers(iam.SourceNotMoved, iam.NotQuiet)
		if src := blockers[0].Source; src == nil || src.IP != "10.0.0.2" || src.Node != "node-1" || src.Via != iam.Gateway || !strings.Contains(blockers[0].Detail, "10.0.0.2 (curl)") {
			t.Errorf("got the laggard %+v, %q; want 10.0.0.2 (curl), seen by node-1", src, blockers[0].Detail)
		}
		s.rest()

		s.passes(time.Second)
		s.use("", "10.0.0.2 curl")
		s.wantBlockers(iam.NotQuiet)
		s.passes(58 * time.Second)
		s.rest()
		s.passes(time.Second)
		s.wantBlockers()
		s.does(iam.Ready, "rotation.ready")
		s.rest()
		s.wantCodes(replica.Valid, replica.Valid)

		s.use("10.0.0.2 curl", "") // somebody has been overlooked
		s.does(iam.Overlapping, "rotation.overlapping")
		s.passes(time.Minute)
		s.does(iam.Ready, "rotation.ready")

		done, err := w.FinishRotation(t.Context(), w.owner, "-", s.id, false)
		if err != nil || !done.Receipt.Confirmed || done.Receipt.KeysStopped != 1 || done.Value.State != iam.Completed {
			t.Errorf("finish: got %+v, %v; want it completed, and one key stopped", done, err)
		}
		s.wantCodes(replica.Revoked, replica.Valid)
		s.rest()
		if key := w.row(w.caller(s.newSecret)); key.Replaces != s.old.ID || key.Rotation != "" {
			t.Errorf("got a new key that replaces %q in rotation %q, want %q in none", key.Replaces, key.Rotation, s.old.ID)
		}
	})
}

// S8: nothing is revoked that may be in use.
func TestFinishNamesWhatIsInTheWay(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		s := w.rotating(iam.NewRotation{QuietFor: time.Minute})
		s.use("10.0.0.1", "10.0.0.2")
		_, err := w.FinishRotation(t.Context(), w.owner, "-", s.id, false)
		wantKind(t, err, iam.NotReady)
		shown := asError(err)
		if len(shown.Fields) != 2 || shown.Fields[0].Code != "source_not_moved" || !strings.Contains(shown.Fields[0].Detail, "10.0.0.1") {
			t.Errorf("got %+v, want it to name 10.0.0.1", shown)
		}
		s.wantCodes(replica.Valid, replica.Valid)

		made(w.FinishRotation(t.Context(), w.owner, "-", s.id, true))(t)
		s.wantCodes(replica.Revoked, replica.Valid)
		again, err := w.FinishRotation(t.Context(), w.owner, "-", s.id, true)
		if err != nil || !again.Receipt.Confirmed || again.Receipt.KeysStopped != 0 {
			t.Errorf("the second time: got %+v, %v; want a confirmed receipt of no key", again.Receipt, err)
		}
		_, err = w.CancelRotation(t.Context(), w.owner, "-", s.id, iam.KeepBoth)
		wantKind(t, err, iam.Gone)
	})
}

// Unknown is in use, whatever it is that is not known.
func TestQuietIsProvedNotAssumed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		s := w.rotating(iam.NewRotation{QuietFor: time.Minute, AutoRevoke: true})
		s.use("10.0.0.1", "10.0.0.1")
		s.does(iam.Overlapping, "rotation.first_use")

		s.clock.advance(time.Hour) // nobody has reported since
		if r := s.look(); !r.Judged.QuietSince.IsZero() {
			t.Errorf("got quiet since %s, want the old key in use as far as anybody knows", r.Judged.QuietSince)
		}
		s.wantBlockers(iam.SourceNotMoved, iam.NotQuiet)
		s.rest()

		s.known.Silent = []string{"fra-3"}
		s.known.KnownTo = s.clock.now()
		s.know(s.known)
		if b := s.wantBlockers(iam.NodeSilent); len(b) == 1 && b[0].Node != "fra-3" {
			t.Errorf("got %+v, want fra-3 named", b[0])
		}
		s.rest()

		s.known.Silent, s.known.UnknownUntil = nil, s.clock.now() // it has ended, with what it had counted
		s.know(s.known)
		s.passes(59 * time.Second)
		b := s.wantBlockers(iam.UsesUnknown, iam.NotQuiet)
		if want := s.clock.now().Add(time.Second); len(b) == 2 && (!b[0].Until.Equal(want) || !b[1].Until.Equal(want)) {
			t.Errorf("got %+v, want both over at %s", b, want)
		}
		s.rest()
		s.passes(time.Second)
		s.does(iam.Ready, "rotation.ready")
		s.does(iam.Completed, "rotation.completed", "key.revoked")
		s.wantCodes(replica.Revoked, replica.Valid)
	})
}

// A key that nobody used for an hour is no key that nobody uses, when it is used
// once a night.
func TestQuietPeriodDoesNotForgetTheNight(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.know(iam.Evidence{KnownTo: w.clock.now(), LongestGap: 24 * time.Hour})
		s := w.rotating(iam.NewRotation{AutoRevoke: true})
		if got := s.look().Judged.QuietFor; got != 48*time.Hour {
			t.Errorf("got a quiet period of %s, want twice the day between two uses", got)
		}
		s.use("", "10.0.0.1 daily") // the nightly job has been forgotten
		s.does(iam.Overlapping, "rotation.first_use")
		for range 3 {
			s.passes(24 * time.Hour)
			s.rest()
			s.use("10.0.0.9 nightly", "")
			s.wantBlockers(iam.SourceNotMoved, iam.NotQuiet)
			s.rest()
		}
		s.passes(48 * time.Hour)
		s.does(iam.Ready, "rotation.ready")
	})
}

// A rotation whose new key has ended is over, even before anybody has written that
// down: to finish it would leave the consumers with no key.
func TestFinishDoesNotEndTheLastKey(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		s := w.rotating(iam.NewRotation{QuietFor: time.Second})
		s.use("", "10.0.0.1")
		s.passes(time.Minute)
		made(s.RevokeKey(t.Context(), s.owner, "-", s.fresh.ID, iam.Why{}))(t)
		for _, force := range []bool{false, true} {
			_, err := s.FinishRotation(t.Context(), s.owner, "-", s.id, force)
			wantKind(t, err, iam.Gone)
		}
		s.wantCodes(replica.Valid, replica.Revoked)
	})
}

// What is learnt meanwhile counts too: here the first gap is seen only during the
// rotation. The time since the last use is no gap, or nothing would ever be quiet.
func TestQuietPeriodLearns(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		s := w.rotating(iam.NewRotation{})
		s.use("10.0.0.9", "10.0.0.1")
		s.known.OldSources[0].LongestGap = 3 * time.Hour
		s.known.LongestGap = 1000 * time.Hour
		s.passes(5 * time.Hour)
		s.does(iam.Overlapping, "rotation.first_use")
		s.passes(time.Hour)
		s.does(iam.Ready, "rotation.ready")

		explicit := w.rotating(iam.NewRotation{QuietFor: time.Second})
		explicit.use("10.0.0.9", "10.0.0.1")
		explicit.known.OldSources[0].LongestGap = 3 * time.Hour
		explicit.passes(time.Second)
		if got := explicit.look().Judged; !got.Ready() || got.QuietFor != time.Second {
			t.Errorf("got %+v, want it ready after the second that was asked for", got)
		}
	})
}

// "Never while it is in use": a deadline makes no exception.
func TestAutoRevokeWaitsForQuietBeyondTheDeadline(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		s := w.rotating(iam.NewRotation{QuietFor: 10 * time.Minute, AutoRevoke: true, Deadline: w.clock.now().Add(time.Hour)})
		for range 61 {
			s.use("10.0.0.1", "")
			s.passes(time.Minute)
			s.use("10.0.0.1", "")
		}
		s.does(iam.Overdue, "rotation.overdue")
		s.rest()
		s.use("", "10.0.0.1")
		s.does(iam.Overdue, "rotation.first_use")
		s.passes(10 * time.Minute)
		s.does(iam.Ready, "rotation.ready")
		s.use("10.0.0.1", "")
		s.does(iam.Overdue, "rotation.overlapping") // late twice is told once
		s.wantCodes(replica.Valid, replica.Valid)
		s.passes(10 * time.Minute)
		s.does(iam.Ready, "rotation.ready")
		s.does(iam.Completed, "rotation.completed", "key.revoked")
		s.wantCodes(replica.Revoked, replica.Valid)
	})
}

// Nobody can use what is paused. That it is not used proves nothing, as long as it
// is paused and for the quiet period after.
func TestPauseProvesNothing(t *testing.T) {
	for name, turn := range map[string]struct{ pause, resume func(s *swap) }{
		"of the key": {
			func(s *swap) { made(s.PauseKey(s.t.Context(), s.owner, "-", s.old.ID, iam.Why{}))(s.t) },
			func(s *swap) { made(s.ResumeKey(s.t.Context(), s.owner, "-", s.old.ID, iam.Why{}))(s.t) },
		},
		"of the account": {
			func(s *swap) {
				made(s.PauseServiceAccount(s.t.Context(), s.owner, "-", string(s.old.Principal.ID), ""))(s.t)
			},
			func(s *swap) {
				made(s.ResumeServiceAccount(s.t.Context(), s.owner, "-", string(s.old.Principal.ID), ""))(s.t)
			},
		},
		"of the workspace": {
			func(s *swap) { made(s.PauseWorkspace(s.t.Context(), s.system, "acme", ""))(s.t) },
			func(s *swap) { made(s.ResumeWorkspace(s.t.Context(), s.system, "acme", ""))(s.t) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.SQLite(t))
			s := w.rotating(iam.NewRotation{QuietFor: time.Minute, AutoRevoke: true})
			s.use("10.0.0.1", "10.0.0.1")
			s.does(iam.Overlapping, "rotation.first_use")
			turn.pause(s)
			s.passes(time.Hour)
			s.rest()
			turn.resume(s)
			if b := s.wantBlockers(iam.NotQuiet); len(b) == 1 && !b[0].Until.Equal(s.clock.now().Add(time.Minute)) {
				t.Errorf("got %+v, want it over a minute after the end of the pause", b[0])
			}
			s.rest()
			s.passes(time.Minute)
			s.does(iam.Ready, "rotation.ready")
			s.does(iam.Completed, "rotation.completed", "key.revoked")
		})
	}
}

// While the new key is paused the old one is all that the consumers have.
func TestPausedSuccessorTakesNoPlace(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	s := w.rotating(iam.NewRotation{QuietFor: time.Minute, AutoRevoke: true})
	s.use("", "10.0.0.1")
	s.does(iam.Overlapping, "rotation.first_use")
	made(s.PauseKey(t.Context(), s.owner, "-", s.fresh.ID, iam.Why{}))(t)
	s.passes(time.Hour)
	s.wantBlockers(iam.NewKeyPaused)
	s.rest()
	made(s.ResumeKey(t.Context(), s.owner, "-", s.fresh.ID, iam.Why{}))(t)
	s.does(iam.Ready, "rotation.ready")
}

// A trial is a pause that ends by itself. Whom it turns away still uses the key.
func TestTrialEndsByItself(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		s := w.rotating(iam.NewRotation{QuietFor: time.Minute, AutoRevoke: true})
		s.use("10.0.0.1", "10.0.0.2")
		s.does(iam.Overlapping, "rotation.first_use")
		tried := made(s.TryWithout(t.Context(), s.owner, "-", s.id, 5*time.Minute))(t)
		if !tried.Trial.Until.Equal(s.clock.now().Add(5 * time.Minute)) {
			t.Errorf("got a trial until %s, want five minutes from now", tried.Trial.Until)
		}
		s.wantCodes(replica.Paused, replica.Valid)
		s.passes(4*time.Minute + 30*time.Second)
		s.known.OldSources[0].Refused, s.known.OldSources[0].Last = 3, s.clock.now()
		s.know(s.known)
		if got := s.look().Judged.Refused; len(got) != 1 || got[0].IP != "10.0.0.1" || got[0].Refused != 3 {
			t.Errorf("got %+v, want three refusals of 10.0.0.1", got)
		}
		s.wantBlockers(iam.NotQuiet) // though it was accepted four minutes ago
		s.rest()
		s.passes(30 * time.Second)
		s.wantCodes(replica.Paused, replica.Valid) // nobody has looked
		s.does(iam.Overlapping, "rotation.try_without", "key.resumed")
		s.wantCodes(replica.Valid, replica.Valid)
		if r := s.look(); r.Trial.EndedAt.IsZero() || r.Old.Pauses != "" {
			t.Errorf("got the trial %+v and the pauses %q, want it over", r.Trial, r.Old.Pauses)
		}
		s.rest()
		s.passes(30 * time.Second)
		s.does(iam.Ready, "rotation.ready") // a minute after the last refusal
		s.does(iam.Completed, "rotation.completed", "key.revoked")
	})
}

// What a process cannot report keeps nobody out: the old key works again when its
// trial is over. Whoever judges the rest knows up to when uses are known.
func TestTrialEndsThoughNothingCanBeReported(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	s := w.rotating(iam.NewRotation{})
	made(s.TryWithout(t.Context(), s.owner, "-", s.id, time.Minute))(t)
	s.wantCodes(replica.Paused, replica.Valid)
	s.clock.advance(time.Minute)
	broken := errors.New("broken")
	if err := s.AdvanceRotations(t.Context(), "node-1", func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got error %v, want what was wrong", err)
	}
	if _, err := iam.Await(t.Context(), s.Fence, s.head()); err != nil {
		t.Fatal(err)
	}
	s.wantCodes(replica.Valid, replica.Valid)
}

// A rotation ends with its keys, whoever ended them and how.
func TestRotationEndsWithItsKeys(t *testing.T) {
	for name, end := range map[string]struct {
		end    func(s *swap)
		state  iam.State
		action string
	}{
		"old key revoked": {func(s *swap) { made(s.RevokeKey(s.t.Context(), s.owner, "-", s.old.ID, iam.Why{}))(s.t) },
			iam.Completed, "rotation.completed"},
		"new key revoked": {func(s *swap) { made(s.RevokeKey(s.t.Context(), s.owner, "-", s.fresh.ID, iam.Why{}))(s.t) },
			iam.Cancelled, "rotation.cancelled"},
		"account revoked": {func(s *swap) {
			made(s.RevokeServiceAccount(s.t.Context(), s.owner, "-", string(s.old.Principal.ID), ""))(s.t)
		}, iam.Cancelled, "rotation.cancelled"},
		"both expired": {func(s *swap) { s.clock.advance(400 * 24 * time.Hour) }, iam.Cancelled, "rotation.cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.SQLite(t))
			s := w.rotating(iam.NewRotation{QuietFor: time.Minute})
			end.end(s)
			if got := s.look().Judged.State; got != end.state {
				t.Errorf("at once: got %s, want %s", got, end.state)
			}
			if got := s.advance(); !slices.Equal(got, []string{end.action}) {
				t.Errorf("got the events %v, want %s", got, end.action)
			}
			s.rest()
		})
	}
}
