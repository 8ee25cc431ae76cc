package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// joinReporter says of a reporter, named and of a kind, that it may accept keys
// from now on. Whoever found before that it has ended will find that it joined.
const joinReporter = `
	INSERT INTO usage_reporters (id, name, kind, number, covers, joins, registered_at)
	VALUES ($1, $2, $3, 0, 0, 1, ` + serverClock + `)
	ON CONFLICT (id) DO UPDATE SET joins = usage_reporters.joins + 1, ended_at = NULL`

// Register implements [iam.UsageStore].
func (s *Store) Register(ctx context.Context, r iam.Reporter) (now time.Time, err error) {
	err = s.again(ctx, func() error {
		now, err = s.register(ctx, r)
		return err
	})
	return now, err
}

func (s *Store) register(ctx context.Context, r iam.Reporter) (time.Time, error) {
	t, err := s.beginNote(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer t.tx.rollback()
	now := t.Now().UnixMicro()
	if s.words.alone && r.Kind != iam.VerifierNode { // or it would not have the claim
		err = t.write(statement{
			text: `UPDATE usage_reporters SET ended_at = $2 WHERE id <> $1 AND kind <> $3 AND ended_at IS NULL`, args: []any{r.ID, now, iam.VerifierNode},
		})
	}
	f, joins := r.Following, 0 // a server joins as a node; a verifier, by this
	if r.Kind == iam.VerifierNode {
		joins = 1
	}
	err = errors.Join(err, t.write(statement{
		text: `
			INSERT INTO usage_reporters (
				id, name, kind, number, covers, joins, registered_at, workspace_id, heard_at, home_id, connection, follows, acked, principal_id
			) VALUES ($1, $2, $3, 0, 0, $5, $4, $6, $4, $7, $8, $9, $10, $11)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, ended_at = NULL, heard_at = excluded.heard_at,
				joins = usage_reporters.joins + excluded.joins,
				workspace_id = CASE WHEN usage_reporters.workspace_id = excluded.workspace_id THEN excluded.workspace_id ELSE '' END,
				principal_id = excluded.principal_id, home_id = excluded.home_id, acked = excluded.acked, connection = excluded.connection,
				follows = CASE WHEN usage_reporters.connection = excluded.connection THEN usage_reporters.follows ELSE excluded.follows END,
				cut_at = CASE WHEN usage_reporters.connection = excluded.connection THEN usage_reporters.cut_at END`,
		args: []any{
			r.ID, plain(r.Name), r.Kind, now, joins, string(r.Workspace), string(f.Home.ID), f.Connection, f.Node, f.Acked, string(r.Principal),
		},
	}))
	if err != nil {
		return time.Time{}, err
	}
	if err := t.commit(ctx); err != nil {
		return time.Time{}, fmt.Errorf("register a reporter of use: %w", err)
	}
	return t.Now(), nil
}

// candidate is a reporter whose process may have ended, as it was found.
type candidate struct {
	id    string
	joins int64
	heard int64
}

func candidateFields(c *candidate) []any { return []any{&c.id, &c.joins, &c.heard} }

// endReporters ends the reporters whose process is no node any more: it left, or
// its row was removed when it could not answer by it any longer. The time is told
// after the look, so that nothing was accepted after it.
func (s *Store) endReporters(ctx context.Context) error {
	if err := s.endVerifiers(ctx); err != nil {
		return err
	}
	if s.words.alone {
		return nil // the next process will, when it registers
	}
	clock, args := s.clock()
	const starting = time.Minute // between registering and joining
	gone, err := collect(ctx, s.reader, candidateFields, fmt.Sprintf(`
		SELECT r.id, r.joins, r.heard_at FROM usage_reporters r
		WHERE r.ended_at IS NULL AND r.kind <> '`+iam.VerifierNode+`' AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.reporter = r.id)
			AND (r.joins > 0 OR r.registered_at < %s - %d)
		ORDER BY r.id`, clock, starting.Microseconds()), args...)
	if err != nil || len(gone) == 0 {
		return err
	}
	return s.end(ctx, gone)
}

// endVerifiers ends the verifiers that have not been heard of for so long that they
// cannot accept anything.
func (s *Store) endVerifiers(ctx context.Context) error {
	clock, args := s.clock()
	gone, err := collect(ctx, s.reader, candidateFields, fmt.Sprintf(`
		SELECT id, joins, heard_at FROM usage_reporters
		WHERE ended_at IS NULL AND kind = '`+iam.VerifierNode+`' AND heard_at < %s - %d ORDER BY id`, clock, iam.VerifierGone.Microseconds()), args...)
	if err != nil || len(gone) == 0 {
		return err
	}
	return s.end(ctx, gone)
}

// end ends reporters, but for those that have joined since they were found, and for
// verifiers that have been heard of. One that never joined, and never reported, has
// accepted nothing that could be lost.
func (s *Store) end(ctx context.Context, gone []candidate) error {
	return s.again(ctx, func() error {
		t, err := s.beginNote(ctx)
		if err != nil {
			return err
		}
		defer t.tx.rollback()
		for _, c := range gone {
			if err := t.write(statement{
				text: `
					UPDATE usage_reporters
					SET ended_at = $3, covers = CASE WHEN joins = 0 AND number = 0 THEN $3 ELSE covers END
					WHERE id = $1 AND joins = $2 AND ended_at IS NULL AND (heard_at = $4 OR kind <> '` + iam.VerifierNode + `')`,
				args: []any{c.id, c.joins, t.Now().UnixMicro(), c.heard},
			}); err != nil {
				return err
			}
		}
		return t.commit(ctx)
	})
}

// mostEnded is how many reporters that have ended are kept of the verifiers that one
// principal has in one workspace: whoever has a key can make as many as it likes.
const mostEnded = 1000

// dropEnded drops the oldest of those that are too many. Those go first that said all:
// until when something of a workspace may be unknown is told by the last of its own that
// did not, which stays. Of those from before principals were written down all stay.
func (s *Store) dropEnded(ctx context.Context) error {
	for {
		many, err := collect(ctx, s.reader, candidateFields, fmt.Sprintf(`
			SELECT id, joins, heard_at FROM (
				SELECT id, joins, heard_at, ROW_NUMBER() OVER (
					PARTITION BY principal_id, workspace_id ORDER BY CASE WHEN ended_at > covers THEN 0 ELSE 1 END, ended_at DESC, id
				) AS place
				FROM usage_reporters WHERE kind = '`+iam.VerifierNode+`' AND ended_at IS NOT NULL AND principal_id <> ''
			) r WHERE place > %d ORDER BY id LIMIT %d`, mostEnded, mostEnded))
		if err != nil || len(many) == 0 {
			return err
		}
		err = s.again(ctx, func() error {
			t, err := s.beginNote(ctx)
			if err != nil {
				return err
			}
			defer t.tx.rollback()
			for _, c := range many {
				if err := t.write(statement{
					text: `DELETE FROM usage_reporters WHERE id = $1 AND joins = $2 AND ended_at IS NOT NULL`, args: []any{c.id, c.joins},
				}); err != nil {
					return err
				}
			}
			return t.commit(ctx)
		})
		if err != nil || len(many) < mostEnded {
			return err
		}
	}
}
