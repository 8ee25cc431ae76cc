package store

import (
	"context"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// confirmation is what a receipt rests on, as it is stored.
type confirmation struct {
	By         string   `json:"by"`
	Durability string   `json:"durability"`
	Total      int64    `json:"total"`
	Confirmed  int64    `json:"confirmed"`
	Expired    []string `json:"expired,omitempty"`
	Bounded    []string `json:"bounded,omitempty"`
	TookUS     int64    `json:"took_us"`
}

func receiptFields(r *iam.Receipt) []any {
	outcome := column(func(value any) error {
		if value == nil {
			return nil
		}
		var c confirmation
		if err := decode(&c).Scan(value); err != nil {
			return err
		}
		r.Confirmed, r.By, r.Durability = true, c.By, c.Durability
		r.Nodes = iam.ReceiptNodes{Total: c.Total, Confirmed: c.Confirmed, Expired: c.Expired, Bounded: c.Bounded}
		r.Took = time.Duration(c.TookUS) * time.Microsecond
		return nil
	})
	return []any{text(&r.ID), text(&r.Workspace), text(&r.Maker), &r.Revision, instant{&r.DecidedAt}, &r.KeysStopped, outcome}
}

// Receipt implements [iam.Reader].
func (r reader) Receipt(ctx context.Context, ws iam.WorkspaceID, id iam.ReceiptID) (iam.Receipt, error) {
	return find(ctx, r, "receipt", receiptFields, `
		SELECT id, workspace_id, maker_id, revision, decided_at, keys_stopped, confirmation
		FROM receipts WHERE workspace_id = $1 AND id = $2`, string(ws), string(id))
}

// StoppingReceipts implements [iam.Reader]. Ids begin with their time, and have the
// only index there is.
func (r reader) StoppingReceipts(ctx context.Context, ws iam.WorkspaceID, after int64, since time.Time, most int) ([]iam.Receipt, error) {
	found, err := collect(ctx, r, receiptFields, `
		SELECT id, workspace_id, maker_id, revision, decided_at, keys_stopped, confirmation FROM receipts
		WHERE id >= $1 AND workspace_id = $2 AND revision > $3 AND keys_stopped > 0 AND confirmation IS NULL
		ORDER BY id DESC LIMIT $4`,
		iam.FirstID(iam.ReceiptPrefix, since), string(ws), after, int64(most))
	if err != nil {
		return nil, fmt.Errorf("look for changes that are not confirmed: %w", err)
	}
	return found, nil
}

// InsertReceipt implements [iam.Tx].
func (t *tx) InsertReceipt(_ context.Context, r iam.Receipt) error {
	return t.write(statement{
		text: `
			INSERT INTO receipts (id, workspace_id, maker_id, revision, decided_at, keys_stopped)
			VALUES ($1, $2, $3, $4, $5, $6)`,
		args: []any{string(r.ID), string(r.Workspace), string(r.Maker), t.Seq(), micros(r.DecidedAt), r.KeysStopped},
	})
}

// ConfirmReceipt implements [iam.NoteTx].
func (t *tx) ConfirmReceipt(_ context.Context, r iam.Receipt) error {
	outcome := confirmation{
		By: r.By, Durability: r.Durability, Total: r.Nodes.Total, Confirmed: r.Nodes.Confirmed,
		Expired: r.Nodes.Expired, Bounded: r.Nodes.Bounded, TookUS: r.Took.Microseconds(),
	}
	return t.write(statement{
		text: `UPDATE receipts SET confirmation = $2 WHERE id = $1 AND confirmation IS NULL`,
		args: []any{string(r.ID), asJSON(outcome)},
	})
}
