package store

import (
	"context"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

var invitations = listing[iam.Invitation]{
	nouns: "invitations",
	rows:  "invitations i", id: "i.id",
	columns: `i.id, i.workspace_id, i.email, r.id, r.name, i.token_hash,
		i.invited_by_id, i.invited_by_type, i.invited_by_name, COALESCE(maker.state, 'active'), i.invited_by_key, i.invited_from,
		i.created_at, i.expires_at, i.accepted_at, i.cancelled_at, i.version`,
	tables: `JOIN roles r ON r.id = i.role_id LEFT JOIN principals maker ON maker.id = i.invited_by_id`,
	fields: func(i *iam.Invitation) []any {
		return slices.Concat([]any{
			text(&i.ID), text(&i.Workspace), &i.Email, text(&i.Role.ID), &i.Role.Name, hash(&i.TokenHash),
		}, actor(&i.InvitedBy), []any{
			text(&i.InvitedByKey), text(&i.InvitedFrom), instant{&i.CreatedAt}, instant{&i.ExpiresAt}, instant{&i.AcceptedAt},
			instant{&i.CancelledAt}, &i.Version,
		})
	},
	orders: []order{
		{name: "created_at", expression: "i.created_at", number: true, descending: true},
		{name: "email", expression: "i.email"},
		{name: "expires_at", expression: "i.expires_at", number: true},
	},
}

// Invitation implements [iam.Reader].
func (r reader) Invitation(ctx context.Context, ws iam.WorkspaceID, id iam.InvitationID) (iam.Invitation, error) {
	return invitations.one(ctx, r, "invitation", `i.workspace_id = $1 AND i.id = $2`, string(ws), string(id))
}

// InvitationByToken implements [iam.Reader].
func (r reader) InvitationByToken(ctx context.Context, hash token.Hash) (iam.Invitation, error) {
	return invitations.one(ctx, r, "invitation", `i.token_hash = $1`, hash.String())
}

// Invitations implements [iam.Reader].
func (r reader) Invitations(ctx context.Context, ws iam.WorkspaceID, f iam.InvitationFilter, p iam.Page) (iam.List[iam.Invitation], error) {
	w := &where{}
	w.add(`i.workspace_id = ?`, string(ws))
	match(w, `i.email = ?`, strings.ToLower(f.Email))
	switch f.State {
	case "":
	case iam.Accepted:
		w.add(`i.accepted_at IS NOT NULL`)
	case iam.Cancelled:
		w.add(`i.accepted_at IS NULL AND i.cancelled_at IS NOT NULL`)
	case iam.Expired:
		w.add(`i.accepted_at IS NULL AND i.cancelled_at IS NULL AND i.expires_at <= ?`, f.Now.UnixMicro())
	case iam.Pending:
		w.add(`i.accepted_at IS NULL AND i.cancelled_at IS NULL AND i.expires_at > ?`, f.Now.UnixMicro())
	default:
		w.add(`1 = 0`)
	}
	w.holds(f.Query, "i.email")
	return invitations.page(ctx, r, w, p)
}

// InsertInvitation implements [iam.Tx].
func (t *tx) InsertInvitation(_ context.Context, i iam.Invitation) error {
	return t.write(statement{
		text: `
			INSERT INTO invitations (
				id, workspace_id, email, role_id, token_hash, invited_by_id, invited_by_type, invited_by_name,
				invited_by_key, invited_from, created_at, expires_at, accepted_at, cancelled_at, version
			) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		args: []any{
			string(i.ID), string(i.Workspace), strings.ToLower(i.Email), string(i.Role.ID), i.TokenHash.String(),
			i.InvitedBy.ID, string(i.InvitedBy.Type), i.InvitedBy.Name, orNull(i.InvitedByKey), orNull(i.InvitedFrom),
			micros(i.CreatedAt), micros(i.ExpiresAt), micros(i.AcceptedAt), micros(i.CancelledAt), t.Seq(),
		},
	})
}

// UpdateInvitation implements [iam.Tx].
func (t *tx) UpdateInvitation(_ context.Context, i iam.Invitation) error {
	return t.write(statement{
		text: `
			UPDATE invitations SET email = $3, role_id = $4, expires_at = $5, accepted_at = $6, cancelled_at = $7, version = $8
			WHERE workspace_id = $1 AND id = $2`,
		args: []any{
			string(i.Workspace), string(i.ID),
			strings.ToLower(i.Email), string(i.Role.ID), micros(i.ExpiresAt), micros(i.AcceptedAt), micros(i.CancelledAt), t.Seq(),
		},
		missing: iam.Errorf(iam.NotFound, "there is no invitation %s", i.ID),
	})
}
