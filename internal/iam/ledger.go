package iam

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// maxLedger is how many receipts a process keeps in memory for either reason.
// Beyond it they are let go: whoever asks for one waits anew.
const maxLedger = 4096

// ledger is what a process knows of receipts and the store does not know yet. The
// zero value is ready.
type ledger struct {
	mu        sync.Mutex // guards what follows
	confirmed map[ReceiptID]Receipt
	open      map[ReceiptID]*begun // those whose change somebody waits for, or is to
	left      []*begun
	awaiting  int           // how many of those left have been taken
	more      chan struct{} // closed when something is left
}

// begun is a receipt that is not confirmed, with what has been seen since its
// change was committed.
type begun struct {
	receipt   Receipt // as it was then
	fence     Waiting
	uncounted bool // Waited has not heard of it
}

// begin keeps what a change waits with, for all who ask for its receipt.
func (l *ledger) begin(r Receipt, fence Waiting) *begun {
	w := &begun{receipt: r, fence: fence}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[ReceiptID]*begun{}
	}
	l.open[r.ID] = w
	return w
}

// confirm keeps what a receipt rests on until it is written down.
func (l *ledger) confirm(r Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, r.ID)
	if l.confirmed == nil {
		l.confirmed = map[ReceiptID]Receipt{}
	}
	if _, known := l.confirmed[r.ID]; !known && len(l.confirmed) < maxLedger {
		l.confirmed[r.ID] = r
	}
}

// find returns a receipt that is confirmed and not written down, or else what its
// change waits with. Both are nil when this process knows neither.
func (l *ledger) find(id ReceiptID) (*Receipt, *begun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, known := l.confirmed[id]; known {
		return &r, nil
	}
	return nil, l.open[id]
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

// leave hands on a receipt that its caller waits for no more.
func (l *ledger) leave(w *begun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left)+l.awaiting >= maxLedger {
		l.drop(w)
		return
	}
	l.left = append(l.left, w)
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// take returns the receipts that were left, and a channel that is closed when
// there are more.
func (l *ledger) take() (taken []*begun, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken, l.left = l.left, nil
	l.awaiting += len(taken)
	l.more = make(chan struct{})
	return taken, l.more
}

// ended forgets one that was taken.
func (l *ledger) ended(w *begun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaiting--
	l.drop(w)
}

// drop ends the wait for a change; l.mu is held.
func (l *ledger) drop(w *begun) {
	delete(l.open, w.receipt.ID)
	w.fence.Close()
}
