package replica

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// followed is a small replica that follows its feed.
type followed struct {
	*small
	log  *logText
	stop func() // ends Follow and waits for it
}

// logText is what was logged so far.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// follow runs f in a bubble of its own time, with a replica that is up to date.
func follow(t *testing.T, f func(t *testing.T, r *followed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSmall(t)
		r := &followed{small: s, log: &logText{}}
		s.Replica = New(Options{Now: time.Now, Node: "n1", Log: slog.New(slog.NewTextHandler(r.log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Follow(ctx, s.feed) }()
		r.stop = func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("follow: %v", err)
			}
		}
		synctest.Wait()
		s.expect(t, "at the beginning", Valid)
		f(t, r)
		r.stop()
	})
}

// revoke commits the end of the key and returns its revision.
func (r *followed) revoke(t *testing.T) int64 {
	t.Helper()
	r.key.Revoked = true
	c, _ := r.feed.commit(t, iam.Change{Keys: []iam.KeyRecord{r.key}})
	return c.Seq
}

func TestNothingIsAnsweredBeforeTheFirstLoad(t *testing.T) {
	r := New(Options{})
	if got := r.Verify(token.NewSecret("one").Hash(), Query{Scope: AnyWorkspace()}); got != (Verdict{Code: Stale}) {
		t.Errorf("got %+v, want stale and nothing else", got)
	}
	if err := r.Ready(); !errors.Is(err, iam.Stale) {
		t.Errorf("ready: got %v, want stale", err)
	}
	if _, ok := r.ScopeOf("acme"); ok {
		t.Error("there is a workspace")
	}
	if err := r.Apply(iam.Change{Seq: 1}, iam.Position{Seq: 1}); !errors.Is(err, iam.Stale) {
		t.Errorf("apply: got %v, want stale", err)
	}
}

func TestFollowHearsOfChangesByItself(t *testing.T) {
	follow(t, func(t *testing.T, r *followed) {
		r.revoke(t)
		time.Sleep(pollEvery)
		synctest.Wait()
		r.expect(t, "one poll later", Revoked)
		if lag := r.Lag(); lag != 0 {
			t.Errorf("lag: got %v, want none", lag)
		}
		time.Sleep(pollEvery / 2)
		if lag := r.Lag(); lag != pollEvery/2 {
			t.Errorf("lag: got %v, want %v", lag, pollEvery/2)
		}
	})
}

func TestFollowTakesMoreThanOneBatch(t *testing.T) {
	follow(t, func(t *testing.T, r *followed) {
		for range 2*batchLen + 7 {
			r.feed.commit(t, iam.Change{})
		}
		r.revoke(t)
		time.Sleep(pollEvery)
		synctest.Wait()
		r.expect(t, "one poll later", Revoked)
	})
}

func TestTheFutureMakesAReplicaStale(t *testing.T) {
	for name, payload := range map[string]string{
		"a higher reader version":    `{"reader":3}`,
		"a field nobody knows":       `{"reader":1,"trusts":[]}`,
		"a record's unknown field":   `{"reader":1,"keys":[{"id":"key_1","uses_left":1}]}`,
		"no JSON at all":             `{`,
		"a principal nobody knows":   `{"reader":1,"keys":[{"id":"` + testID(iam.KeyPrefix, 3) + `","principal":"sa_x","name":"x","hash":"` + strings.Repeat("00", 32) + `"}]}`,
		"a state nobody knows":       `{"reader":1,"principals":[{"id":"sa_bot","type":"service_account","workspace":"ws_acme","state":"asleep"}]}`,
		"a permission of the future": `{"reader":1,"roles":[{"id":"role_op","permissions":["agents::execute"]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			follow(t, func(t *testing.T, r *followed) {
				before := r.feed.loaded()
				at := r.feed.commitPayload(payload)
				_, err := iam.Await(t.Context(), r, at.Seq)
				synctest.Wait()
				if !errors.Is(err, iam.Unconfirmed) {
					t.Errorf("wait: got %v, want unconfirmed", err)
				}
				r.expect(t, "after the change", Stale)
				if err := r.Ready(); !errors.Is(err, iam.Stale) {
					t.Errorf("ready: got %v, want stale", err)
				}
				if !strings.Contains(r.log.String(), "replica is stale") {
					t.Errorf("the log does not say so: %s", r.log)
				}
				time.Sleep(pollEvery)
				synctest.Wait()
				if r.feed.loaded() != before+1 {
					t.Errorf("it tried to load %d times, want once", r.feed.loaded()-before)
				}
				r.expect(t, "loaded at the position after it", Valid)
			})
		})
	}
}

func TestALogThatDivergedMakesAReplicaStale(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*small)
		want Code
	}{
		"key revoked":     {func(s *small) { s.key.Revoked = true }, Revoked},
		"account revoked": {func(s *small) { s.who.State = iam.Inactive }, PrincipalInactive},
	} {
		t.Run(name, func(t *testing.T) {
			follow(t, func(t *testing.T, r *followed) {
				was := iam.Change{Principals: []iam.PrincipalRecord{r.who}, Keys: []iam.KeyRecord{r.key}}
				tt.end(r.small)
				c, _ := r.feed.commit(t, iam.Change{Principals: []iam.PrincipalRecord{r.who}, Keys: []iam.KeyRecord{r.key}})
				if _, err := iam.Await(t.Context(), r, c.Seq); err != nil {
					t.Fatalf("wait: %v", err)
				}
				r.feed.lose(was) // a failover
				loads := r.feed.loaded()
				time.Sleep(pollEvery)
				synctest.Wait()
				r.expect(t, "once the log is shorter than what was applied", Stale)
				time.Sleep(pollEvery)
				synctest.Wait()
				if n := r.feed.loaded() - loads; n != 1 {
					t.Errorf("it loaded %d times, want once", n)
				}
				r.expect(t, "after a snapshot that has lost it", tt.want)
				if got := r.Position().Seq; got != 1 {
					t.Errorf("position: got %d, want that of the new log, 1", got)
				}
			})
		})
	}
}

func TestASnapshotOlderThanWhatWasSeenIsNotTaken(t *testing.T) {
	s := newSmall(t)
	older := snapshotOf{newModel()}
	older.seq = 1
	older.model.time = epoch
	if err := s.Load(t.Context(), older); err != nil {
		t.Errorf("load: %v", err)
	}
	s.expect(t, "a snapshot that is no newer", Valid)
	s.apply(t, iam.Change{})
	if err := s.Apply(iam.Change{Seq: 2}, iam.Position{Seq: 2}); err == nil || s.Position().Seq != 2 {
		t.Errorf("a change was applied twice: %v, position %d", err, s.Position().Seq)
	}
	s.expect(t, "after a repeated change", Valid)
	if err := s.Apply(iam.Change{Seq: 4}, iam.Position{Seq: 4}); err == nil {
		t.Error("a gap was applied")
	}
	if err := s.Load(t.Context(), older); err == nil {
		t.Error("a snapshot from before was loaded")
	}
	s.expect(t, "after it", Stale)
	if got := s.Position().Seq; got != 2 {
		t.Errorf("position: got %d, want 2", got)
	}
}

func TestTimeDoesNotGoBackWithALoad(t *testing.T) {
	s := newSmall(t)
	s.key.Expires = s.Position().Time.UnixMicro() + 500_000
	s.apply(t, iam.Change{Keys: []iam.KeyRecord{s.key}}) // a second later
	s.clock.now = epoch
	s.expect(t, "a clock that is behind the log", Expired)
	if err := s.Apply(iam.Change{Seq: 9}, iam.Position{Seq: 9}); err == nil {
		t.Fatal("a gap was applied")
	}
	s.feed.model.seq = 2
	back := snapshotOf{s.feed.model}
	back.model.time = epoch
	if err := s.Load(t.Context(), back); err != nil {
		t.Fatalf("load: %v", err)
	}
	s.expect(t, "a snapshot that says it is earlier", Expired)
}

func TestAFeedThatCannotBeAskedIsAskedAgain(t *testing.T) {
	follow(t, func(t *testing.T, r *followed) {
		r.feed.fail(iam.Errorf(iam.Unavailable, "no database"))
		seq := r.revoke(t)
		time.Sleep(10 * pollEvery)
		synctest.Wait()
		r.expect(t, "while nothing can be heard", Valid)
		if lag := r.Lag(); lag < 9*pollEvery {
			t.Errorf("lag: got %v, want all the time since", lag)
		}
		if n := strings.Count(r.log.String(), "cannot follow"); n != 1 {
			t.Errorf("the log says %d times that it cannot follow, want once:\n%s", n, r.log)
		}
		r.feed.fail(nil)
		if _, err := iam.Await(t.Context(), r, seq); err != nil {
			t.Errorf("wait: %v", err)
		}
		r.expect(t, "when it answers again", Revoked)
	})
}

func TestAFailedLoadIsTriedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeFeed()
		f.fail(iam.Errorf(iam.Unavailable, "no database"))
		r := New(Options{Now: time.Now})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Follow(ctx, f); err != nil {
			t.Errorf("follow: %v", err)
		}
		if f.loads < 10 || f.loads > 20 {
			t.Errorf("%d attempts in a minute, want one every 5 s in the end", f.loads)
		}
		if r.Ready() == nil {
			t.Error("it is ready")
		}
	})
}

func TestFollowGivesUpOnAFeedThatHangs(t *testing.T) {
	follow(t, func(t *testing.T, r *followed) {
		r.feed.hold()
		time.Sleep(2 * askFor)
		r.expect(t, "while the feed hangs", Valid)
		r.revoke(t)
		r.feed.forget()
		time.Sleep(askFor + pollEvery)
		synctest.Wait()
		r.expect(t, "when further calls do not hang", Revoked)
	})
}
