package iam_test

import (
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

// elsewhere returns the same deployment as another process has it, with a store of
// its own.
func (w *world) elsewhere(t *testing.T, url string) *world {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	other := w.in(t)
	other.Service = &iam.Service{Store: faultyStore{db, w.faults}, Fence: w.Service.Fence, Now: time.Now}
	return other
}

// What a key asks of one process while another is about to revoke it gets its turn
// after that, and is refused.
func TestChangeQueuedInAnotherProcessBehindTheRevocationOfItsKeyIsRefused(t *testing.T) {
	url := storetest.Postgres(t)
	w := newWorld(t, url)
	other := w.elsewhere(t, url)
	for name, ch := range changes() {
		t.Run(name, func(t *testing.T) {
			w, other := w.in(t), other.in(t)
			k, revoker := w.admin(ch)
			queued := ch.ready(other, k)
			head := w.head()
			changed := w.behind(w.revoke(k), revoker, queued, k)
			want := iam.Unauthenticated
			if ch.caller == byNobody {
				want = iam.Gone // what whoever invited has not given
			}
			wantKind(t, changed.err, want)
			if got := w.head(); got != head+1 {
				t.Errorf("got revision %d, want %d: that of the revocation alone", got, head+1)
			}
		})
	}
}
