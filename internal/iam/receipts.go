package iam

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Receipt is the proof of a change: which number it has, which nodes confirmed
// that they know of it, and how long that took. It is a row of the change's own
// transaction, so that it outlives the process that made the change.
type Receipt struct {
	ID          ReceiptID
	Workspace   WorkspaceID // the maker's, where it is found; of a maker of none, what was worked in
	Maker       PrincipalID // empty: Postern itself
	Revision    int64
	DecidedAt   time.Time
	KeysStopped int64

	Confirmed  bool
	By         string // ByAcked, ByExpired or ByBounded; empty until it is confirmed
	Durability string // Quorum or Local; empty until somebody has looked
	Nodes      ReceiptNodes
	Took       time.Duration // from the commit to the confirmation, or until now
}

// What the confirmation of a change rests on.
const (
	ByAcked   = "acked"   // every node has applied the change
	ByExpired = "expired" // what was not heard of cannot answer any more
	ByBounded = "bounded" // a node may go on answering, and is named
)

// What a change that was confirmed survives.
const (
	Quorum = "quorum" // a failover, if the standby that takes over is one that had to hear
	Local  = "local"  // a crash of the one server; a failover can undo it
)

// ReceiptNodes says which nodes a receipt rests on.
type ReceiptNodes struct {
	Total     int64
	Confirmed int64
	Expired   []string
	Bounded   []string
	Waiting   []WaitingNode
}

// WaitingNode is a node that has not confirmed yet, and for how much longer it
// could still answer.
type WaitingNode struct {
	Name      string
	LeaseLeft time.Duration
}

// Preference is how a caller wants to wait until a change is confirmed.
type Preference struct {
	// Async asks for an answer that is not confirmed, rather than for none,
	// when Until has passed; without Until at once. Where a secret is shown,
	// nobody hears of it unconfirmed.
	Async bool
	// Until is when to stop waiting; zero: when the context ends.
	Until time.Time
}

// limit returns a context for waiting.
func (p Preference) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.Until.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, p.Until)
}

// insertReceipt adds the receipt of a change to its transaction.
func (w *work) insertReceipt() error {
	w.receipt = Receipt{
		ID: ReceiptID(NewID(ReceiptPrefix, w.Now())), Workspace: w.caller.Workspace.ID, Maker: w.caller.Principal.ID,
		Revision: w.Seq(), DecidedAt: w.Now(), KeysStopped: w.keysStopped,
	}
	if w.receipt.Workspace == "" {
		w.receipt.Workspace = w.ws.ID
	}
	if err := w.InsertReceipt(w.ctx, w.receipt); err != nil {
		return fmt.Errorf("add the receipt: %w", err)
	}
	return nil
}

// learn returns the receipt with what the fence says of it.
func (r Receipt) learn(heard Receipt) Receipt {
	r.Confirmed, r.By, r.Durability = heard.Confirmed, heard.By, heard.Durability
	r.Nodes, r.Took = heard.Nodes, heard.Took
	return r
}

// unconfirmed is the outcome of a wait that ended without any.
const unconfirmed = "unconfirmed"

// settle waits, on behalf of a caller, until a change that has just been committed
// is confirmed. Whoever does not wait to the end leaves the rest to
// [Service.AwaitReceipts].
func (s *Service) settle(ctx context.Context, r Receipt, p Preference) (Receipt, error) {
	w := s.receipts.begin(r, s.Fence.Begin(r.Revision))
	if p.Async && p.Until.IsZero() {
		w.uncounted = true
		s.receipts.leave(w)
		return r, nil
	}
	ctx, cancel := p.limit(ctx)
	defer cancel()
	heard, err := w.fence.Wait(ctx)
	r = r.learn(heard)
	if err == nil {
		s.waited(r)
		s.receipts.confirm(r)
		w.fence.Close()
		return r, nil
	}
	r.Confirmed = false
	s.waited(r)
	s.receipts.leave(w)
	if p.Async && errors.Is(err, Unconfirmed) {
		return r, nil
	}
	return r, err
}

func (s *Service) waited(r Receipt) {
	if s.Waited == nil {
		return
	}
	if !r.Confirmed {
		s.Waited(unconfirmed, r.Took)
		return
	}
	s.Waited(r.By, r.Took)
}

// aLook is how long a look at an unconfirmed receipt may take when its reader does
// not say: a few times what healthy nodes need.
const aLook = 150 * time.Millisecond

// Receipt returns the receipt of a change to whoever made it, or may read the
// audit log. One that is not known to be confirmed is waited for, for a moment or
// as the caller prefers, and is returned as it is then: in the process that made the
// change from the commit on, in another one anew.
func (s *Service) Receipt(ctx context.Context, c Caller, in string, id ReceiptID) (Receipt, error) {
	ws, err := c.resolve(in)
	if err != nil {
		return Receipt{}, err
	}
	known, w := s.receipts.find(id) // before its row is read: what is forgotten here is written there
	r, err := s.Store.Receipt(ctx, ws, id)
	switch {
	case err != nil:
		return Receipt{}, err
	case c.internal == "" && r.Maker != c.Principal.ID && !c.Permissions.Allow(ReadAudit):
		return Receipt{}, Errorf(NotFound, "there is no such receipt")
	case r.Confirmed:
		return r, nil
	case known != nil:
		return *known, nil
	case w != nil:
		return s.look(ctx, r, w.fence, c.Prefer)
	}
	anew := s.Fence.Begin(r.Revision) // its row was read, so that its change is committed
	defer anew.Close()
	r.Took = s.Now().Sub(r.DecidedAt) // nobody saw it earlier
	return s.look(ctx, r, anew, c.Prefer)
}

// look asks what is known of a receipt now.
func (s *Service) look(ctx context.Context, r Receipt, w Waiting, p Preference) (Receipt, error) {
	limited, cancel := context.WithTimeout(ctx, aLook)
	if !p.Until.IsZero() {
		cancel()
		limited, cancel = p.limit(ctx)
	}
	defer cancel()
	heard, err := w.Wait(limited)
	if err != nil && !errors.Is(err, Unconfirmed) {
		return Receipt{}, fmt.Errorf("look at a receipt, revision %d: %w", r.Revision, err)
	}
	least := r.Took
	r = r.learn(heard)
	r.Confirmed, r.Took = err == nil, max(r.Took, least)
	if r.Confirmed {
		s.receipts.confirm(r)
	}
	return r, nil
}

// AwaitReceipts waits for the changes whose callers did not wait to the end, until
// ctx ends. A process calls it once.
func (s *Service) AwaitReceipts(ctx context.Context) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for {
		left, more := s.receipts.take()
		for _, w := range left {
			waiting.Go(func() { s.await(ctx, w) })
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// await goes on waiting for one of them. When that fails, whoever asks for the
// receipt waits anew.
func (s *Service) await(ctx context.Context, w *begun) {
	heard, err := w.fence.Wait(ctx)
	r := w.receipt.learn(heard)
	r.Confirmed = err == nil
	if w.uncounted {
		s.waited(r)
	}
	if r.Confirmed {
		s.receipts.confirm(r)
	}
	s.receipts.ended(w)
}

// WriteReceipts writes down what the receipts of this process rest on, as far as
// it has become known since. Call it a few times a second, and at the end.
func (s *Service) WriteReceipts(ctx context.Context) error {
	known := s.receipts.all()
	if len(known) == 0 {
		return nil
	}
	err := s.Store.Note(ctx, func(tx NoteTx) error {
		for _, r := range known {
			if err := tx.ConfirmReceipt(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write down %d receipts: %w", len(known), err)
	}
	s.receipts.written(known)
	return nil
}
