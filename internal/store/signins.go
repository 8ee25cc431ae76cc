package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const signInColumns = `g.id, g.person_id, g.hash, g.method, g.workspace_id, g.created_at, g.seen_at, g.authenticated_at,
	g.expires_at, g.ended_at, g.ip, g.user_agent`

func signInFields(s *iam.SignIn) []any {
	return []any{
		text(&s.ID), text(&s.Person), hash(&s.Hash), &s.Method, text(&s.Workspace), instant{&s.CreatedAt}, instant{&s.SeenAt},
		instant{&s.AuthenticatedAt}, instant{&s.ExpiresAt}, instant{&s.EndedAt}, &s.Source.IP, &s.Source.UserAgent,
	}
}

// sessionQuery reads the session of the sign-in $2 in the workspace $1.
const sessionQuery = `SELECT ` + sessionColumns + sessionTables + ` WHERE s.workspace_id = $1 AND s.sign_in_id = $2`

const (
	sessionColumns = signInColumns + `, s.workspace_id, s.hash, ` + principalColumns
	sessionTables  = `
		FROM sessions s JOIN sign_ins g ON g.id = s.sign_in_id
		JOIN principals p ON p.id = s.principal_id JOIN roles r ON r.id = p.role_id`
)

func sessionFields(s *iam.Session) []any {
	return slices.Concat(signInFields(&s.SignIn), []any{text(&s.Workspace), hash(&s.Hash)}, principalFields(&s.Principal))
}

// SignIn implements [iam.PeopleReader].
func (r reader) SignIn(ctx context.Context, id iam.SignInID) (iam.SignIn, error) {
	return find(ctx, r, "session", signInFields, `SELECT `+signInColumns+` FROM sign_ins g WHERE g.id = $1`, string(id))
}

// SignInByHash implements [iam.PeopleReader].
func (r reader) SignInByHash(ctx context.Context, cookie token.Hash) (iam.SignIn, error) {
	return find(ctx, r, "session", signInFields, `SELECT `+signInColumns+` FROM sign_ins g WHERE g.hash = $1`, cookie.String())
}

// SignIns implements [iam.PeopleReader].
func (r reader) SignIns(ctx context.Context, person iam.PersonID, now time.Time) ([]iam.SignIn, error) {
	all, err := collect(ctx, r, signInFields, `
		SELECT `+signInColumns+` FROM sign_ins g
		WHERE g.person_id = $1 AND g.ended_at IS NULL AND g.expires_at > $2 AND g.seen_at > $3
		ORDER BY g.created_at DESC, g.id DESC`,
		string(person), now.UnixMicro(), now.Add(-iam.SignInIdle).UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("read the sign-ins of %s: %w", person, err)
	}
	return all, nil
}

// Sessions implements [iam.PeopleReader].
func (r reader) Sessions(ctx context.Context, id iam.SignInID) ([]iam.Session, error) {
	all, err := collect(ctx, r, sessionFields,
		`SELECT `+sessionColumns+sessionTables+` WHERE s.sign_in_id = $1 ORDER BY p.created_at, p.id`, string(id))
	if err != nil {
		return nil, fmt.Errorf("read the sessions of %s: %w", id, err)
	}
	return all, nil
}

// InsertSignIn implements [iam.PeopleTx]. It takes along what the person's sign-ins
// of long ago have left.
func (t *tx) InsertSignIn(_ context.Context, s iam.SignIn, in []iam.Session) error {
	const kept = 30 * 24 * time.Hour
	long := t.Now().Add(-kept).UnixMicro()
	errs := []error{t.write(statement{
		text: `DELETE FROM sessions WHERE sign_in_id IN (SELECT g.id FROM sign_ins g WHERE g.person_id = $1 AND g.expires_at < $2)`,
		args: []any{string(s.Person), long},
	}), t.write(statement{
		text: `DELETE FROM sign_ins WHERE person_id = $1 AND expires_at < $2`, args: []any{string(s.Person), long},
	}), t.write(statement{
		text: `
			INSERT INTO sign_ins (
				id, person_id, hash, method, workspace_id, created_at, seen_at, authenticated_at, expires_at, ended_at, ip, user_agent
			) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		args: []any{
			string(s.ID), string(s.Person), s.Hash.String(), s.Method, string(s.Workspace), micros(s.CreatedAt), micros(s.SeenAt),
			micros(s.AuthenticatedAt), micros(s.ExpiresAt), micros(s.EndedAt), s.Source.IP, s.Source.UserAgent,
		},
	})}
	for _, session := range in {
		errs = append(errs, t.write(statement{
			text: `INSERT INTO sessions (sign_in_id, workspace_id, principal_id, hash) VALUES ($1, $2, $3, $4)`,
			args: []any{string(s.ID), string(session.Workspace), string(session.Principal.ID), session.Hash.String()},
		}))
	}
	return errors.Join(errs...)
}

// UpdateSignIn implements [iam.PeopleTx].
func (t *tx) UpdateSignIn(_ context.Context, s iam.SignIn) error {
	return t.write(statement{
		text: `
			UPDATE sign_ins SET workspace_id = $2, authenticated_at = $3, expires_at = $4, ended_at = $5
			WHERE id = $1`,
		args:    []any{string(s.ID), string(s.Workspace), micros(s.AuthenticatedAt), micros(s.ExpiresAt), micros(s.EndedAt)},
		missing: iam.Errorf(iam.NotFound, "there is no session %s", s.ID),
	})
}

// SeeSignIn implements [iam.PeopleStore]. What has been idle for too long stays so.
func (s *Store) SeeSignIn(ctx context.Context, id iam.SignInID) error {
	return s.beside(ctx, "note the use of a session", func(t *tx) error {
		return t.write(statement{
			text: `UPDATE sign_ins SET seen_at = $2 WHERE id = $1 AND seen_at < $2 AND seen_at > $3 AND ended_at IS NULL`,
			args: []any{string(id), t.Now().UnixMicro(), t.Now().Add(-iam.SignInIdle).UnixMicro()},
		})
	})
}

// PlaceSignIn implements [iam.PeopleStore].
func (s *Store) PlaceSignIn(ctx context.Context, id iam.SignInID, ws iam.WorkspaceID) error {
	return s.beside(ctx, "note where a session works", func(t *tx) error {
		return t.write(statement{
			text:    `UPDATE sign_ins SET workspace_id = $2 WHERE id = $1`,
			args:    []any{string(id), string(ws)},
			missing: iam.Errorf(iam.NotFound, "there is no session %s", id),
		})
	})
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
