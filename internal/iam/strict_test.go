package iam_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store/storetest"
)

// inBubble runs a test in a world whose goroutines are all known to stand still
// when synctest.Wait returns. It is on SQLite: waiting for a server is no
// standing still.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, storetest.SQLite(t))) })
}

// outcome is how a call ended that ran beside the test.
type outcome struct {
	result
	err error
}

// start makes a call beside the test.
func (w *world) start(call call, c iam.Caller) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() {
		done, err := call(w.t.Context(), c)
		ended <- outcome{done, err}
	}()
	return ended
}

// running fails the test when a call that is held has ended.
func running(t tb, ended <-chan outcome, while string) {
	t.Helper()
	select {
	case o := <-ended:
		t.Fatalf("%s, the call returned %+v and error %v", while, o.result, o.err)
	default:
	}
}

// reach waits until a call that runs is at a point where it is held.
func reach(t tb, there <-chan struct{}, ended <-chan outcome) {
	t.Helper()
	select {
	case <-there:
	case o := <-ended:
		t.Fatalf("the call returned %+v and error %v, want it to come to where it is held", o.result, o.err)
	}
}

func TestNoChangeReturnsBeforeTheFenceConfirms(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for name, ch := range changes() {
			c, _ := w.admin(ch)
			call := ch.ready(w, c)
			there, release := w.hold(waiting)
			defer release()
			ended := w.start(call, c)
			reach(t, there, ended)
			synctest.Wait()
			running(t, ended, name+": while the fence has not confirmed")
			release()
			o := <-ended
			if o.err != nil || !o.receipt.Confirmed || o.receipt.Revision != o.revision {
				t.Errorf("%s: got %+v and error %v, want a confirmed receipt of revision %d", name, o.receipt, o.err, o.revision)
			}
			if seen := w.replica.Position().Seq; seen < w.head() {
				t.Errorf("%s: returned while the replica was at revision %d of %d", name, seen, w.head())
			}
		}
	})
}

func TestChangeIsNoSuccessWhenTheFenceFails(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		c, _ := w.admin(ch)
		call := ch.ready(w, c)
		head := w.head()
		w.fail(waiting, iam.Errorf(iam.Unconfirmed, "held back"))
		done, err := call(w.t.Context(), c)
		wantKind(w.t, err, iam.Unconfirmed)
		if !done.shown.IsZero() || done.receipt.Confirmed {
			w.t.Errorf("got %+v, want no secret and no confirmed receipt", done)
		}
		if got := w.head(); got != head+1 || done.receipt.Revision != got {
			w.t.Errorf("got revision %d and a receipt of %d, want both %d: the change is recorded", got, done.receipt.Revision, head+1)
		}
	})
}

func (w *world) head() int64 {
	w.t.Helper()
	at, err := w.Store.Snapshot(w.t.Context(), nothing{})
	if err != nil {
		w.t.Fatalf("read the position: %v", err)
	}
	return at.Seq
}

// revoke returns the call that revokes the key of k.
func (w *world) revoke(k iam.Caller) call {
	return func(ctx context.Context, c iam.Caller) (result, error) {
		return plain(w.RevokeKey(ctx, c, "-", k.Key.ID, iam.Why{Reason: "compromised"}))
	}
}

// What a key asked for before it was revoked, and gets its turn after, is refused.
func TestChangeQueuedBehindTheRevocationOfItsKeyIsRefused(t *testing.T) {
	eachChange(t, func(w *world, ch change) {
		k, revoker := w.admin(ch)
		queued := ch.ready(w, k)
		head := w.head()
		changed := w.behind(w.revoke(k), revoker, queued, k)
		want := iam.Unauthenticated
		if ch.caller == byNobody {
			want = iam.Gone // what whoever invited has not given
		}
		wantKind(w.t, changed.err, want)
		if got := w.head(); got != head+1 {
			w.t.Errorf("got revision %d, want %d: that of the revocation alone", got, head+1)
		}
	})
}

// behind makes two calls, the second of which is under way while the first is
// about to commit, and returns how the second ended. The first must succeed.
func (w *world) behind(first call, by iam.Caller, second call, k iam.Caller) outcome {
	w.t.Helper()
	there, release := w.hold(decided)
	defer release()
	ahead := w.start(first, by)
	reach(w.t, there, ahead)
	arrived, goOn := w.hold(beforeChange)
	goOn()
	queued := w.start(second, k)
	reach(w.t, arrived, queued)
	release()
	if o := <-ahead; o.err != nil {
		w.t.Fatalf("the first call: got error %v, want none", o.err)
	}
	return <-queued
}

func TestRepeatedRevocationWaitsForItsOwnNumber(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{
			"RevokeKey", "RevokeServiceAccount", "RemoveMember", "PauseKey", "PauseServiceAccount", "CancelInvitation", "PauseWorkspace",
		} {
			ch := changes()[name]
			c, _ := w.admin(ch)
			call := ch.ready(w, c)
			first := w.succeed(call, c)
			there, release := w.hold(waiting)
			defer release()
			again := w.start(call, c)
			reach(t, there, again)
			synctest.Wait()
			running(t, again, name+" again, while the fence has not confirmed")
			release()
			if o := <-again; o.err != nil || o.revision != first.revision+1 || o.receipt.Revision != o.revision || !o.receipt.Confirmed {
				t.Errorf("%s again: got %+v and error %v, want a confirmed receipt of revision %d", name, o.result, o.err, first.revision+1)
			}
		}
	})
}

// A19: whoever hears success can rely on it; whoever does not, asks again.
func TestUnknownOutcomeIsFoundOutByAskingAgain(t *testing.T) {
	for _, p := range []point{decided, committed} {
		t.Run("lost "+string(p), func(t *testing.T) {
			eachChange(t, func(w *world, ch change) {
				c, _ := w.admin(ch)
				call := ch.ready(w, c)
				c.Idempotency = &iam.Idempotency{Scope: w.name("scope"), Key: "once"}
				head := w.head()
				w.fail(p, iam.Errorf(iam.Unknown, "the connection went away"))
				lost, err := call(w.t.Context(), c)
				wantKind(w.t, err, iam.Unknown)
				if !lost.shown.IsZero() || lost.receipt.Confirmed {
					w.t.Errorf("got %+v, want no secret and no receipt", lost)
				}
				w.askAgain(ch, call, c, p == committed, head)
			})
		})
	}
}

// askAgain repeats a call whose outcome was unknown: persisted says which it is.
func (w *world) askAgain(ch change, call call, c iam.Caller, persisted bool, head int64) {
	w.t.Helper()
	again, err := call(w.t.Context(), c)
	switch {
	case persisted && ch.ends:
		wantKind(w.t, err, iam.Unauthenticated) // it is revoked, and may ask nothing
		return
	case persisted && ch.shows:
		wantKind(w.t, err, iam.ValueAlreadyIssued)
	case err != nil:
		w.t.Fatalf("asked again: got error %v, want none", err)
	}
	if !persisted && again.shown.IsZero() == ch.shows {
		w.t.Errorf("asked again when nothing had been done: got secret %t, want %t", !again.shown.IsZero(), ch.shows)
	}
	if again.revision != head+1 || !again.receipt.Confirmed {
		w.t.Errorf("asked again: got revision %d and %+v, want %d and confirmed", again.revision, again.receipt, head+1)
	}
}
