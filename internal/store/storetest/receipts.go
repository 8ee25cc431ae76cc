package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// receipts outlive the process that made a change.
var receipts = []contract{
	{"ReceiptKeepsEveryField", testReceipt},
	{"AReceiptIsOfOneWorkspace", testReceiptOfAnother},
	{"AReceiptGoesWithItsChange", testReceiptOfFailedChange},
	{"TheFirstConfirmationStays", testConfirmedTwice},
	{"AFailedNoteConfirmsNothing", testFailedConfirmation},
}

// newReceipt returns the receipt of a change that is yet to be made.
func (w *world) newReceipt() iam.Receipt {
	return iam.Receipt{
		ID: iam.ReceiptID(w.id(iam.ReceiptPrefix)), Workspace: w.ws.ID, Maker: w.member.ID, DecidedAt: epoch, KeysStopped: 3,
	}
}

// recorded makes a change with a receipt, and returns that.
func (w *world) recorded() iam.Receipt {
	w.t.Helper()
	r := w.newReceipt()
	r.Revision = w.change(func(tx iam.Tx) error { return tx.InsertReceipt(w.t.Context(), r) }).Seq
	return r
}

func (w *world) receipt(id iam.ReceiptID) iam.Receipt {
	w.t.Helper()
	return must[iam.Receipt](w.t, "receipt")(w.s.Receipt(w.t.Context(), w.ws.ID, id))
}

// confirmed returns a receipt with what it rests on.
func confirmed(r iam.Receipt) iam.Receipt {
	r.Confirmed, r.By, r.Durability, r.Took = true, "bounded", "quorum", 1234*time.Microsecond
	r.Nodes = iam.ReceiptNodes{Total: 5, Confirmed: 2, Expired: []string{"a", `b"`}, Bounded: []string{"c"}}
	return r
}

func testReceipt(t *testing.T, open Open) {
	w := newWorld(t, open)
	want := w.recorded()
	equal(t, "as it was inserted", w.receipt(want.ID), want)
	other := w.recorded()

	want = confirmed(want)
	full(t, want)
	full(t, want.Nodes, "Waiting") // a receipt that is confirmed waits for nobody
	head := w.change(func(iam.Tx) error { return nil }).Seq
	note(t, w.s, func(tx iam.NoteTx) error { return tx.ConfirmReceipt(t.Context(), want) })
	equal(t, "confirmed", w.receipt(want.ID), want)
	equal(t, "another", w.receipt(other.ID), other)
	if seq := w.change(func(iam.Tx) error { return nil }).Seq; seq != head+1 {
		t.Errorf("the change after the confirmation has number %d, want %d", seq, head+1)
	}

	byPostern := w.newReceipt()
	byPostern.Maker, byPostern.KeysStopped = "", 0
	byPostern.Revision = w.change(func(tx iam.Tx) error { return tx.InsertReceipt(t.Context(), byPostern) }).Seq
	equal(t, "of Postern itself", w.receipt(byPostern.ID), byPostern)
}

func testReceiptOfAnother(t *testing.T, open Open) {
	w := newWorld(t, open)
	mine := w.recorded()
	ws, role, member := w.workspace("other")
	w.change(func(tx iam.Tx) error { return w.insertWorkspace(tx, ws, role, member) })
	for what, find := range map[string]func() (iam.Receipt, error){
		"of another workspace": func() (iam.Receipt, error) { return w.s.Receipt(t.Context(), ws.ID, mine.ID) },
		"of no workspace":      func() (iam.Receipt, error) { return w.s.Receipt(t.Context(), "", mine.ID) },
		"that is not there": func() (iam.Receipt, error) {
			return w.s.Receipt(t.Context(), w.ws.ID, iam.ReceiptID(w.id(iam.ReceiptPrefix)))
		},
		"that cannot be": func() (iam.Receipt, error) { return w.s.Receipt(t.Context(), w.ws.ID, "rcp_\x00") },
	} {
		_, err := find()
		isKind(t, what, err, iam.NotFound)
	}
}

func testReceiptOfFailedChange(t *testing.T, open Open) {
	w, boom := newWorld(t, open), errors.New("boom")
	r := w.newReceipt()
	_, err := tryChange(t, w.s, func(tx iam.Tx) error {
		if err := tx.InsertReceipt(t.Context(), r); err != nil {
			return err
		}
		if inside, err := tx.Receipt(t.Context(), w.ws.ID, r.ID); err != nil || inside.Revision != tx.Seq() {
			t.Errorf("inside the transaction: %+v, %v; want revision %d", inside, err, tx.Seq())
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("error %v, want fn's own", err)
	}
	_, err = w.s.Receipt(t.Context(), w.ws.ID, r.ID)
	isKind(t, "the receipt of a change that failed", err, iam.NotFound)
}

func testConfirmedTwice(t *testing.T, open Open) {
	w := newWorld(t, open)
	first := confirmed(w.recorded())
	second := first
	second.By, second.Durability, second.Took, second.Nodes = "acked", "local", time.Second, iam.ReceiptNodes{Total: 1, Confirmed: 1}
	for _, r := range []iam.Receipt{first, second} {
		note(t, w.s, func(tx iam.NoteTx) error { return tx.ConfirmReceipt(t.Context(), r) })
	}
	equal(t, "confirmed twice", w.receipt(first.ID), first)
}

func testFailedConfirmation(t *testing.T, open Open) {
	w, boom := newWorld(t, open), errors.New("boom")
	r := w.recorded()
	err := w.s.Note(t.Context(), func(tx iam.NoteTx) error {
		return errors.Join(tx.ConfirmReceipt(t.Context(), confirmed(r)), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("error %v, want fn's own", err)
	}
	equal(t, "the receipt", w.receipt(r.ID), r)
}
