package store

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
)

// Condition is how a database is, for whoever looks for what is wrong with it.
type Condition struct {
	Missing []string // what [Store.Migrate] would run; then the rest is not known
	Unknown []string // what a newer release has run; then the rest is not known

	Head   int64 // the number of the last change
	Last   int64 // of the last one that is in the log
	Broken bool  // the log does not end with what the head says
	Acked  int64 // the highest number that a node has acknowledged
}

// Lost reports whether changes that were made are gone, as after an older state
// was restored.
func (c Condition) Lost() bool { return c.Broken || c.Last != c.Head || c.Acked > c.Head }

// Condition looks at the database and changes nothing, not even its tables.
func (s *Store) Condition(ctx context.Context) (Condition, error) {
	var c Condition
	tables, err := s.texts(ctx, s.words.tables)
	if err != nil {
		return c, s.explain(ctx, fmt.Errorf("look for tables: %w", err))
	}
	var done []string
	if slices.Contains(tables, "migrations") {
		if done, err = s.texts(ctx, `SELECT name FROM migrations ORDER BY name`); err != nil {
			return c, s.explain(ctx, fmt.Errorf("look at the migrations: %w", err))
		}
	}
	known, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return c, err
	}
	c.Missing, c.Unknown = without(known, done), without(done, known)
	if c.Missing != nil || c.Unknown != nil {
		return c, nil
	}
	return s.logCondition(ctx)
}

// ending is what the head and the log say of the last change.
type ending struct {
	Condition
	headChain, lastChain string
}

func (s *Store) logCondition(ctx context.Context) (Condition, error) {
	e, err := find(ctx, s.reader, "head", func(e *ending) []any {
		return []any{&e.Head, &e.headChain, &e.Last, &e.lastChain, &e.Acked}
	}, `
		SELECT seq, chain, COALESCE((SELECT MAX(seq) FROM changes), 0),
			COALESCE((SELECT chain FROM changes WHERE seq = head.seq), ''), COALESCE((SELECT MAX(acked) FROM nodes), 0)
		FROM head`)
	e.Broken = e.Head > 0 && e.headChain != e.lastChain
	return e.Condition, s.explain(ctx, err)
}

func (s *Store) texts(ctx context.Context, query string) ([]string, error) {
	return collect(ctx, s.reader, func(t *string) []any { return []any{t} }, query)
}

// without returns the texts that are not among others.
func without(texts, others []string) (rest []string) {
	for _, t := range texts {
		if !slices.Contains(others, t) {
			rest = append(rest, t)
		}
	}
	return rest
}
