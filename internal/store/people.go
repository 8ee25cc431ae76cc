package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// Person implements [iam.PeopleReader].
func (r reader) Person(ctx context.Context, id iam.PersonID) (iam.Person, error) {
	return find(ctx, r, "person", personFields, `SELECT `+personColumns+` FROM persons h WHERE h.id = $1`, string(id))
}

const personColumns = `h.id, h.email, h.name, h.created_at`

func personFields(p *iam.Person) []any {
	return []any{text(&p.ID), &p.Email, &p.Name, instant{&p.CreatedAt}}
}

// Memberships implements [iam.PeopleReader].
func (r reader) Memberships(ctx context.Context, person iam.PersonID) ([]iam.Membership, error) {
	all, err := collect(ctx, r, func(m *iam.Membership) []any {
		return append(workspaces.fields(&m.Workspace), principalFields(&m.Principal)...)
	}, `
		SELECT `+workspaces.columns+`, `+principalColumns+`
		FROM principals p JOIN roles r ON r.id = p.role_id JOIN workspaces w ON w.id = p.workspace_id
		WHERE p.person_id = $1 AND p.state = 'active' AND w.paused = 0
		ORDER BY p.created_at, p.id`, string(person))
	if err != nil {
		return nil, fmt.Errorf("read the memberships of %s: %w", person, err)
	}
	return all, nil
}

// IsMember implements [iam.PeopleReader].
func (r reader) IsMember(ctx context.Context, person iam.PersonID) (bool, error) {
	places, err := number(ctx, r, "the memberships of a person",
		`SELECT count(*) FROM principals p WHERE p.person_id = $1 AND p.state <> 'removed'`, string(person))
	return places > 0, err
}

// Password implements [iam.PeopleReader].
func (r reader) Password(ctx context.Context, person iam.PersonID) (iam.Password, error) {
	return find(ctx, r, "password", func(p *iam.Password) []any { return []any{&p.Encoded, instant{&p.ChangedAt}} },
		`SELECT encoded, changed_at FROM passwords WHERE person_id = $1`, string(person))
}

// PutPassword implements [iam.PeopleTx].
func (t *tx) PutPassword(_ context.Context, person iam.PersonID, p iam.Password) error {
	return t.write(statement{
		text: `
			INSERT INTO passwords (person_id, encoded, changed_at) VALUES ($1, $2, $3)
			ON CONFLICT (person_id) DO UPDATE SET encoded = excluded.encoded, changed_at = excluded.changed_at`,
		args: []any{string(person), p.Encoded, micros(p.ChangedAt)},
	})
}

const passkeyColumns = `k.id, k.person_id, k.credential, k.name, k.record, k.created_at, k.last_used_at`

func passkeyFields(p *iam.Passkey) []any {
	return []any{
		text(&p.ID), text(&p.Person), &p.Credential, &p.Name, &p.Record, instant{&p.CreatedAt}, instant{&p.LastUsedAt},
	}
}

// Passkeys implements [iam.PeopleReader].
func (r reader) Passkeys(ctx context.Context, person iam.PersonID) ([]iam.Passkey, error) {
	all, err := collect(ctx, r, passkeyFields,
		`SELECT `+passkeyColumns+` FROM passkeys k WHERE k.person_id = $1 ORDER BY k.created_at, k.id`, string(person))
	if err != nil {
		return nil, fmt.Errorf("read the passkeys of %s: %w", person, err)
	}
	return all, nil
}

// Passkey implements [iam.PeopleReader].
func (r reader) Passkey(ctx context.Context, credential string) (iam.Passkey, error) {
	return find(ctx, r, "passkey", passkeyFields, `SELECT `+passkeyColumns+` FROM passkeys k WHERE k.credential = $1`, credential)
}

// InsertPasskey implements [iam.PeopleTx].
func (t *tx) InsertPasskey(_ context.Context, p iam.Passkey) error {
	return t.write(statement{
		text: `
			INSERT INTO passkeys (id, person_id, credential, name, record, created_at, last_used_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		args: []any{
			string(p.ID), string(p.Person), p.Credential, p.Name, p.Record, micros(p.CreatedAt), micros(p.LastUsedAt),
		},
		taken: iam.Errorf(iam.NameTaken, "this passkey is known already"),
	})
}

// UpdatePasskey implements [iam.PeopleTx].
func (t *tx) UpdatePasskey(_ context.Context, p iam.Passkey) error {
	return t.write(statement{
		text:    `UPDATE passkeys SET name = $2, record = $3, last_used_at = $4 WHERE id = $1`,
		args:    []any{string(p.ID), p.Name, p.Record, micros(p.LastUsedAt)},
		missing: iam.Errorf(iam.NotFound, "there is no passkey %s", p.ID),
	})
}

// DeletePasskey implements [iam.PeopleTx].
func (t *tx) DeletePasskey(_ context.Context, id iam.PasskeyID) error {
	return t.write(statement{
		text: `DELETE FROM passkeys WHERE id = $1`, args: []any{string(id)},
		missing: iam.Errorf(iam.NotFound, "there is no passkey %s", id),
	})
}

// Identity implements [iam.PeopleReader].
func (r reader) Identity(ctx context.Context, issuer, subject string) (iam.Person, error) {
	return find(ctx, r, "person", personFields, `
		SELECT `+personColumns+` FROM identities i JOIN persons h ON h.id = i.person_id
		WHERE i.issuer = $1 AND i.subject = $2`, issuer, subject)
}

// InsertIdentity implements [iam.IdentityTx].
func (t *tx) InsertIdentity(_ context.Context, i iam.Identity) error {
	return t.write(statement{
		text:  `INSERT INTO identities (issuer, subject, person_id, linked_at) VALUES ($1, $2, $3, $4)`,
		args:  []any{i.Issuer, i.Subject, string(i.Person), micros(i.LinkedAt)},
		taken: iam.ErrNotSignedIn,
	})
}

// DropCredentials implements [iam.IdentityTx].
func (t *tx) DropCredentials(ctx context.Context, person iam.PersonID) error {
	var all []statement
	for _, table := range []string{"identities", "passwords", "passkeys"} {
		all = append(all, statement{
			text: `
				DELETE FROM ` + table + ` WHERE person_id = $1
				AND NOT EXISTS (SELECT 1 FROM principals p WHERE p.person_id = $1 AND p.state <> 'removed')`,
			args: []any{string(person)},
		})
	}
	return t.writeAll(ctx, all)
}

// Ticket implements [iam.PeopleReader].
func (r reader) Ticket(ctx context.Context, hash token.Hash) (iam.Ticket, error) {
	found, err := find(ctx, r, "ticket", func(t *iam.Ticket) []any {
		return []any{&t.Kind, text(&t.Person), &t.Data, instant{&t.CreatedAt}, instant{&t.ExpiresAt}}
	}, `SELECT kind, person_id, data, created_at, expires_at FROM tickets WHERE hash = $1`, hash.String())
	found.Hash = hash
	return found, err
}

var errTicketUsed = iam.Errorf(iam.Gone, "this was used before, or is over")

// TakeTicket implements [iam.PeopleTx].
func (t *tx) TakeTicket(_ context.Context, hash token.Hash) error {
	return t.write(statement{
		text: `DELETE FROM tickets WHERE hash = $1 AND expires_at > $2`,
		args: []any{hash.String(), t.Now().UnixMicro()}, missing: errTicketUsed,
	})
}

// beside runs fn in a transaction that takes no number.
func (s *Store) beside(ctx context.Context, what string, fn func(*tx) error) (err error) {
	defer func(began time.Time) { s.observe("note", time.Since(began), err) }(time.Now())
	err = s.again(ctx, func() error {
		t, err := s.beginNote(ctx)
		if err != nil {
			return err
		}
		defer t.tx.rollback()
		if err := t.outcome(fn(t)); err != nil {
			return err
		}
		return t.commit(ctx)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// KeepTicket implements [iam.PeopleStore].
func (s *Store) KeepTicket(ctx context.Context, k iam.Ticket, life time.Duration) (iam.Ticket, error) {
	err := s.beside(ctx, "keep a ticket", func(t *tx) error {
		k.CreatedAt, k.ExpiresAt = t.Now(), t.Now().Add(life)
		return errors.Join(t.write(statement{
			text: `DELETE FROM tickets WHERE expires_at <= $1`, args: []any{t.Now().UnixMicro()},
		}), t.write(statement{
			text: `INSERT INTO tickets (hash, kind, person_id, data, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			args: []any{k.Hash.String(), k.Kind, string(k.Person), k.Data, micros(k.CreatedAt), micros(k.ExpiresAt)},
		}))
	})
	return k, err
}

// DropTicket implements [iam.PeopleStore].
func (s *Store) DropTicket(ctx context.Context, hash token.Hash) error {
	return s.beside(ctx, "use up a ticket", func(t *tx) error { return t.TakeTicket(ctx, hash) })
}

// errLocked ends a transaction that found a lock, with nothing counted.
var errLocked = errors.New("guesses are locked")

// CountGuess implements [iam.PeopleStore].
func (s *Store) CountGuess(ctx context.Context, buckets map[string]iam.Guessing) (locked time.Time, err error) {
	err = s.beside(ctx, "count a guess", func(t *tx) error {
		locked = time.Time{}
		for _, bucket := range sortedNames(buckets) { // in one order, so that no two wait for each other
			until, err := t.countGuess(ctx, bucket, buckets[bucket])
			if err != nil {
				return err
			}
			if until.After(locked) {
				locked = until
			}
		}
		if !locked.IsZero() {
			return errLocked
		}
		return nil
	})
	if errors.Is(err, errLocked) {
		return locked, nil
	}
	return time.Time{}, err
}

// countGuess counts a guess in a bucket, or returns until when the bucket is locked.
func (t *tx) countGuess(ctx context.Context, bucket string, g iam.Guessing) (locked time.Time, err error) {
	now := t.Now()
	type row struct{ failures, until int64 }
	counted, err := find(ctx, t.reader, "bucket", func(r *row) []any { return []any{&r.failures, &r.until} }, `
		INSERT INTO guesses (bucket, failures, last_at, locked_until) VALUES ($1, 1, $2, 0)
		ON CONFLICT (bucket) DO UPDATE SET
			failures = CASE WHEN guesses.last_at < $3 THEN 1 ELSE guesses.failures + 1 END, last_at = $2
		RETURNING failures, locked_until`, bucket, now.UnixMicro(), now.Add(-g.Forget).UnixMicro())
	if err != nil {
		return time.Time{}, err
	}
	if until := time.UnixMicro(counted.until).UTC(); until.After(now) {
		return until, nil
	}
	lock := g.Lock(counted.failures)
	if lock == 0 {
		return time.Time{}, nil
	}
	return time.Time{}, t.write(statement{
		text: `UPDATE guesses SET locked_until = $2 WHERE bucket = $1`, args: []any{bucket, now.Add(lock).UnixMicro()},
	})
}

// ForgiveGuess implements [iam.PeopleStore].
func (s *Store) ForgiveGuess(ctx context.Context, account, address string) error {
	return s.beside(ctx, "forgive a guess", func(t *tx) error {
		return errors.Join(t.write(statement{
			text: `DELETE FROM guesses WHERE bucket = $1`, args: []any{account},
		}), t.write(statement{
			text: `UPDATE guesses SET failures = failures - 1, locked_until = 0 WHERE bucket = $1 AND failures > 0`, args: []any{address},
		}))
	})
}
