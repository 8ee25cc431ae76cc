package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func (s *Server) registerReceipts() {
	register(s, operation{
		id: "get-receipt", method: http.MethodGet, path: workspacePath + "/receipts/{id}", tag: "Receipts",
		summary: "Read the receipt of a change",
		description: "For whoever made the change, and for those who may read the audit log. A receipt that is not known to be " +
			"confirmed is waited for, for a moment or for as long as `Prefer: wait=N` says: on the node that made the change from the change on, " +
			"on another from the beginning. The answer is 200 either way: see `confirmed`.",
		access: holder, success: http.StatusOK, patient: true,
	}, s.getReceipt)
}

type getReceiptInput struct {
	InWorkspace
	ID string `path:"id" doc:"Id of the receipt." example:"rcp_01jn8x0c2vf3hs5r6tq7w8y9zd"`
}

func (s *Server) getReceipt(ctx context.Context, c iam.Caller, in *getReceiptInput) (*answer[api.Receipt], error) {
	r, err := s.iam.Receipt(ctx, c, in.Workspace, iam.ReceiptID(in.ID))
	if err != nil {
		return nil, err
	}
	return &answer[api.Receipt]{receipt(r)}, nil
}
