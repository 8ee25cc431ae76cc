package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// members are listed and found with the time as $1.
var members = listing[iam.Member]{
	nouns: "members",
	rows:  "principals p", id: "p.id",
	joined: "JOIN roles r ON r.id = p.role_id JOIN persons h ON h.id = p.person_id",
	columns: `p.id, p.workspace_id, h.id, h.email, h.name, h.created_at, p.name, r.id, r.name,
		p.removed_at, p.created_at, p.version,` + keyCounts,
	tables: "JOIN roles r ON r.id = p.role_id JOIN persons h ON h.id = p.person_id",
	fields: func(m *iam.Member) []any {
		return []any{
			text(&m.ID), text(&m.Workspace), text(&m.Person.ID), &m.Person.Email, &m.Person.Name, instant{&m.Person.CreatedAt},
			&m.Name, text(&m.Role.ID), &m.Role.Name, instant{&m.RemovedAt}, instant{&m.CreatedAt}, &m.Version,
			&m.Keys.Active, &m.Keys.Total,
		}
	},
	orders: []order{
		{name: "name", expression: "p.name_folded"},
		{name: "email", expression: "h.email"},
		{name: "created_at", expression: "p.created_at", number: true},
	},
}

// Member implements [iam.Reader].
func (r reader) Member(ctx context.Context, ws iam.WorkspaceID, id iam.PrincipalID) (iam.Member, error) {
	return members.one(ctx, r, "member", `p.workspace_id = $2 AND p.type = 'member' AND p.id = $3`,
		r.clock().UnixMicro(), string(ws), string(id))
}

// Members implements [iam.Reader].
func (r reader) Members(ctx context.Context, ws iam.WorkspaceID, f iam.MemberFilter, p iam.Page) (iam.List[iam.Member], error) {
	w := &where{args: []any{r.clock().UnixMicro()}}
	w.add(`p.workspace_id = ? AND p.type = 'member'`, string(ws))
	match(w, `p.state = ?`, f.State)
	match(w, `h.email = ?`, strings.ToLower(f.Email))
	w.role(f.Role)
	w.holds(f.Query, "p.name_folded", "p.text_folded")
	return members.page(ctx, r, w, p)
}

// OwnersByEmail implements [iam.Reader].
func (r reader) OwnersByEmail(ctx context.Context, email string) ([]iam.Member, error) {
	owners, err := members.all(ctx, r, `
		h.email = $2 AND p.type = 'member' AND p.state = 'active' AND r.name = $3 AND r.built_in = 1
		ORDER BY p.created_at, p.id`,
		r.clock().UnixMicro(), strings.ToLower(email), iam.Owner)
	if err != nil {
		return nil, fmt.Errorf("find owners by address: %w", err)
	}
	return owners, nil
}

// ActiveOwners implements [iam.Reader].
func (r reader) ActiveOwners(ctx context.Context, ws iam.WorkspaceID) (int64, error) {
	return number(ctx, r, "number of owners", `
		SELECT COUNT(*) FROM principals p JOIN roles r ON r.id = p.role_id
		WHERE p.workspace_id = $1 AND p.type = 'member' AND p.state = 'active' AND r.name = $2 AND r.built_in = 1`,
		string(ws), iam.Owner)
}

// Seats implements [iam.Reader].
func (r reader) Seats(ctx context.Context, ws iam.WorkspaceID, now time.Time) (iam.Seats, error) {
	type seats struct {
		iam.Seats
		policy iam.Policy
	}
	found, err := find(ctx, r, "workspace", func(s *seats) []any { return []any{&s.Used, &s.Pending, decode(&s.policy)} }, `
		SELECT
			(SELECT COUNT(*) FROM principals p WHERE p.workspace_id = w.id AND p.type = 'member' AND p.state <> 'removed'),
			(SELECT COUNT(*) FROM invitations i WHERE i.workspace_id = w.id
				AND i.accepted_at IS NULL AND i.cancelled_at IS NULL AND i.expires_at > $2),
			w.policy
		FROM workspaces w WHERE w.id = $1`, string(ws), now.UnixMicro())
	found.Limit = found.policy.SeatLimit
	return found.Seats, err
}

// PersonByEmail implements [iam.Reader].
func (r reader) PersonByEmail(ctx context.Context, email string) (iam.Person, error) {
	return find(ctx, r, "person", personFields, `SELECT `+personColumns+` FROM persons h WHERE h.email = $1`, strings.ToLower(email))
}

// InsertPerson implements [iam.Tx].
func (t *tx) InsertPerson(_ context.Context, p iam.Person) error {
	return t.write(statement{
		text:  `INSERT INTO persons (id, email, name, created_at) VALUES ($1, $2, $3, $4)`,
		args:  []any{string(p.ID), strings.ToLower(p.Email), p.Name, micros(p.CreatedAt)},
		taken: iam.Errorf(iam.NameTaken, "there is already a person with the address %s", p.Email),
	})
}

// InsertMember implements [iam.Tx].
func (t *tx) InsertMember(_ context.Context, m iam.Member) error {
	return t.write(statement{
		text: `
			INSERT INTO principals (
				id, workspace_id, type, name, name_folded, text_folded, state, role_id, created_at, version, person_id, removed_at
			) VALUES ($1, $2, 'member', $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		args: []any{
			string(m.ID), string(m.Workspace), m.Name, strings.ToLower(m.Name), strings.ToLower(m.Person.Email),
			string(m.State()), string(m.Role.ID), micros(m.CreatedAt), t.Seq(), string(m.Person.ID), micros(m.RemovedAt),
		},
		taken: iam.Errorf(iam.AlreadyMember, "%s is a member already", m.Person.Email),
	})
}

// UpdateMember implements [iam.Tx].
func (t *tx) UpdateMember(_ context.Context, m iam.Member) error {
	return t.write(statement{
		text: `
			UPDATE principals SET name = $3, name_folded = $4, state = $5, role_id = $6, removed_at = $7, version = $8
			WHERE workspace_id = $1 AND id = $2 AND type = 'member'`,
		args: []any{
			string(m.Workspace), string(m.ID),
			m.Name, strings.ToLower(m.Name), string(m.State()), string(m.Role.ID), micros(m.RemovedAt), t.Seq(),
		},
		taken:   iam.Errorf(iam.AlreadyMember, "%s is a member already", m.Person.Email),
		missing: iam.Errorf(iam.NotFound, "there is no member %s", m.ID),
	})
}

// Principal implements [iam.Reader].
func (r reader) Principal(ctx context.Context, ws iam.WorkspaceID, ref string) (iam.Principal, error) {
	return find(ctx, r, "principal", principalFields, principalQuery(ref), string(ws), ref)
}

// principalQuery reads the principal $2 of the workspace $1, which is ref.
func principalQuery(ref string) string {
	condition := `p.workspace_id = $1 AND p.type = 'service_account' AND p.name = $2`
	if strings.HasPrefix(ref, iam.ServiceAccountPrefix) || strings.HasPrefix(ref, iam.MemberPrefix) {
		condition = `p.id = $2 AND p.workspace_id || '' = $1` // see keyByID
	}
	return `SELECT ` + principalColumns + ` FROM principals p JOIN roles r ON r.id = p.role_id WHERE ` + condition
}

const principalColumns = `p.id, p.type, p.workspace_id, p.name, p.state, r.id, r.name, r.permissions`

func principalFields(p *iam.Principal) []any {
	return []any{
		text(&p.ID), text(&p.Type), text(&p.Workspace), &p.Name, text(&p.State),
		text(&p.Role.ID), &p.Role.Name, decode(&p.Role.Permissions),
	}
}
