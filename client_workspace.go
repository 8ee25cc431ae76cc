package postern

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/posternhq/postern/api"
)

// WorkspaceClient manages one workspace. [Client.Workspace] makes one.
//
// Each operation of the API is a method, named as in the OpenAPI document: what
// create-key is there is CreateKey here. Service accounts and roles go by id or
// name, all else by id. What the server refuses is an *[api.Problem], which
// [HasCode] tells apart.
//
// A change returns when every node has confirmed it, unless an option such as
// [RespondAsync] says otherwise.
type WorkspaceClient struct {
	client    *Client
	workspace string
}

// Workspace returns what manages a workspace, by its id or slug; "-" is the one
// that the client's key belongs to.
func (c *Client) Workspace(idOrSlug string) WorkspaceClient {
	return WorkspaceClient{client: c, workspace: idOrSlug}
}

const receiptPause = 500 * time.Millisecond // before a receipt is looked at again

// AwaitReceipt waits until the change that a receipt is of has been confirmed by
// every node, and returns the receipt as it is then. It is for what was asked for
// with [RespondAsync], and after the problem revocation_unconfirmed.
func (w WorkspaceClient) AwaitReceipt(ctx context.Context, r api.Receipt) (api.Receipt, error) {
	for !r.Confirmed {
		next, err := w.GetReceipt(ctx, r.ID)
		if err != nil {
			return r, err
		}
		if r = next; !r.Confirmed && !sleep(ctx, receiptPause) {
			return r, fmt.Errorf("revision %d is recorded, and not yet confirmed: %w", r.Revision, ctx.Err())
		}
	}
	return r, nil
}

const mostOfAPage = 200 // that the server answers

// pages yields a list that comes in pages.
func pages[T any](first string, limit int, ask func(cursor string, limit int) (api.List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := first; ; {
			page, err := ask(cursor, cmp.Or(limit, mostOfAPage))
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range page.Data {
				if !yield(item, nil) {
					return
				}
			}
			if !page.HasMore || page.NextCursor == nil {
				return
			}
			cursor = *page.NextCursor
		}
	}
}
