package replica

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

var _ iam.Fence = (*Replica)(nil)

// waiting calls Wait and returns where its outcome will be found.
func (r *followed) waiting(ctx context.Context, seq int64) <-chan waited {
	done := make(chan waited, 1)
	go func() {
		receipt, err := iam.Await(ctx, r, seq)
		done <- waited{receipt, err}
	}()
	return done
}

type waited struct {
	receipt iam.Receipt
	err     error
}

func TestWaitReturnsOnceTheChangeIsPublished(t *testing.T) {
	follow(t, func(t *testing.T, r *followed) {
		seq := r.revoke(t)
		release := r.feed.hold()
		done := r.waiting(t.Context(), seq)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		select {
		case w := <-done:
			t.Fatalf("it returned %+v, %v while the change was held back", w.receipt, w.err)
		default:
		}
		r.expect(t, "while the change is held back", Valid)
		release()
		synctest.Wait()
		w := <-done
		if w.err != nil {
			t.Fatalf("wait: %v", w.err)
		}
		r.expect(t, "once it returned", Revoked)
		got := w.receipt
		if !got.Confirmed || got.By != "acked" || got.Durability != "local" || got.Revision != seq ||
			got.Nodes.Total != 1 || got.Nodes.Confirmed != 1 || got.Nodes.Waiting != nil || got.Took != 3*time.Second {
			t.Errorf("receipt: %+v", got)
		}
	})
}

func TestWaitDoesNotWaitForTheNextPoll(t *testing.T) {
	follow(t, func(t *testing.T, r *followed) {
		begun := time.Now()
		if _, err := iam.Await(t.Context(), r, r.revoke(t)); err != nil {
			t.Fatalf("wait: %v", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWaitForWhatIsPublishedAsksNobody(t *testing.T) {
	follow(t, func(t *testing.T, r *followed) {
		r.feed.hold()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if receipt, err := iam.Await(ctx, r, 1); err != nil || !receipt.Confirmed {
			t.Errorf("got %+v, %v; want it confirmed", receipt, err)
		}
	})
}

func TestWaitEndsUnconfirmed(t *testing.T) {
	tests := map[string]struct {
		hinder func(*followed)
		cause  error
	}{
		"with the caller's patience": {func(r *followed) { r.feed.hold() }, context.DeadlineExceeded},
		"when the feed fails":        {func(r *followed) { r.feed.fail(iam.Unavailable) }, context.DeadlineExceeded},
		"when the log diverges":      {func(r *followed) { r.feed.fail(iam.Diverged) }, iam.Diverged},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			follow(t, func(t *testing.T, r *followed) {
				tt.hinder(r)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				receipt, err := iam.Await(ctx, r, r.revoke(t))
				if !errors.Is(err, iam.Unconfirmed) || !errors.Is(err, tt.cause) {
					t.Errorf("got %v, want unconfirmed because of %v", err, tt.cause)
				}
				if e, ok := errors.AsType[*iam.Error](err); !ok || e.Reason == "" {
					t.Errorf("%v cannot be shown to the caller", err)
				}
				if receipt.Confirmed || receipt.Nodes.Confirmed != 0 || len(receipt.Nodes.Waiting) != 1 || receipt.Nodes.Waiting[0].Name != "n1" {
					t.Errorf("receipt: %+v", receipt)
				}
			})
		})
	}
}

func TestManyWaitForManyChanges(t *testing.T) {
	follow(t, func(t *testing.T, r *followed) {
		release := r.feed.hold()
		var outcomes []<-chan waited
		for range 50 {
			c, _ := r.feed.commit(t, iam.Change{})
			outcomes = append(outcomes, r.waiting(t.Context(), c.Seq))
		}
		synctest.Wait()
		release()
		for i, done := range outcomes {
			if w := <-done; w.err != nil || w.receipt.Revision != int64(i)+2 {
				t.Errorf("waiter %d: %+v, %v", i, w.receipt, w.err)
			}
		}
	})
}
