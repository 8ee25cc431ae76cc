package iam

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// maxLedger is how many receipts a process keeps in memory for either reason.
// Beyond it they are let go: whoever asks for one waits afresh.
const maxLedger = 4096

// ledger is what a process knows of receipts and the store does not know yet. The
// zero value is ready.
type ledger struct {
	mu        sync.Mutex // guards what follows
	confirmed map[ReceiptID]Receipt
	left      []left
	awaiting  int           // how many of those left have been taken
	more      chan struct{} // closed when something is left
}

// left is a receipt that nobody waits for any more.
type left struct {
	receipt   Receipt
	uncounted bool // Waited has not heard of it
}

// confirm keeps what a receipt rests on until it is written down.
func (l *ledger) confirm(r Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.confirmed == nil {
		l.confirmed = map[ReceiptID]Receipt{}
	}
	if _, known := l.confirmed[r.ID]; !known && len(l.confirmed) < maxLedger {
		l.confirmed[r.ID] = r
	}
}

// known returns a receipt that is confirmed and not written down.
func (l *ledger) known(id ReceiptID) (Receipt, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.confirmed[id]
	return r, ok
}

// all returns those that are confirmed and not written down, in the order of their
// ids: two processes that write the same ones do not wait for each other.
func (l *ledger) all() []Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.confirmed), func(a, b Receipt) int { return cmp.Compare(a.ID, b.ID) })
}

// written forgets what the store knows.
func (l *ledger) written(known []Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range known {
		delete(l.confirmed, r.ID)
	}
}

// leave hands on a receipt that nobody waits for any more.
func (l *ledger) leave(r left) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left)+l.awaiting >= maxLedger {
		return
	}
	l.left = append(l.left, r)
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// take returns the receipts that were left, and a channel that is closed when
// there are more.
func (l *ledger) take() (taken []left, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken, l.left = l.left, nil
	l.awaiting += len(taken)
	l.more = make(chan struct{})
	return taken, l.more
}

// ended forgets one that was taken.
func (l *ledger) ended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaiting--
}
