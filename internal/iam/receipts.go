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

// settle waits, on behalf of a caller, until a change that is committed is
// confirmed. Whoever does not wait to the end leaves the rest to
// [Service.AwaitReceipts].
func (s *Service) settle(ctx context.Context, r Receipt, p Preference) (Receipt, error) {
	if p.Async && p.Until.IsZero() {
		s.receipts.leave(left{receipt: r, uncounted: true})
		return r, nil
	}
	ctx, cancel := p.limit(ctx)
	defer cancel()
	heard, err := s.Fence.Wait(ctx, r.Revision)
	r = r.learn(heard)
	if err == nil {
		s.waited(r)
		s.receipts.confirm(r)
		return r, nil
	}
	r.Confirmed = false
	s.waited(r)
	s.receipts.leave(left{receipt: r})
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

// look is how long a look at an unconfirmed receipt may take when its reader does
// not say: a few times what healthy nodes need.
const look = 150 * time.Millisecond

// Receipt returns the receipt of a change to whoever made it, or may read the
// audit log. One that is not known to be confirmed is waited for anew, for a
// moment or as the caller prefers, and is returned as it is then.
func (s *Service) Receipt(ctx context.Context, c Caller, in string, id ReceiptID) (Receipt, error) {
	ws, err := c.resolve(in)
	if err != nil {
		return Receipt{}, err
	}
	r, err := s.Store.Receipt(ctx, ws, id)
	switch {
	case err != nil:
		return Receipt{}, err
	case c.internal == "" && r.Maker != c.Principal.ID && !c.Permissions.Allow(ReadAudit):
		return Receipt{}, Errorf(NotFound, "there is no such receipt")
	case r.Confirmed:
		return r, nil
	}
	if known, ok := s.receipts.known(id); ok {
		return known, nil
	}
	return s.lookAfresh(ctx, r, c.Prefer)
}

// lookAfresh asks what is known of a receipt now. Its row was read, so that its
// change is committed.
func (s *Service) lookAfresh(ctx context.Context, r Receipt, p Preference) (Receipt, error) {
	limited, cancel := context.WithTimeout(ctx, look)
	if !p.Until.IsZero() {
		cancel()
		limited, cancel = p.limit(ctx)
	}
	defer cancel()
	heard, err := s.Fence.Wait(limited, r.Revision)
	if err != nil && !errors.Is(err, Unconfirmed) {
		return Receipt{}, fmt.Errorf("look at a receipt, revision %d: %w", r.Revision, err)
	}
	r = r.learn(heard)
	r.Confirmed = err == nil
	r.Took = max(r.Took, s.Now().Sub(r.DecidedAt)) // nobody saw it earlier
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
		for _, l := range left {
			waiting.Go(func() { s.await(ctx, l) })
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// await waits for one of them. When that fails, whoever asks for the receipt waits
// afresh.
func (s *Service) await(ctx context.Context, l left) {
	defer s.receipts.ended()
	heard, err := s.Fence.Wait(ctx, l.receipt.Revision)
	r := l.receipt.learn(heard)
	r.Took += l.receipt.Took // for as long as the caller waited
	r.Confirmed = err == nil
	if l.uncounted {
		s.waited(r)
	}
	if r.Confirmed {
		s.receipts.confirm(r)
	}
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
