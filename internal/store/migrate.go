package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed schema/*.sql
var schema embed.FS

// Migrate brings the tables up to date: it runs the files of schema that have not
// run yet, in the order of their names, all in one transaction. Of several
// processes that start at once one does it and the others wait. A database that a
// newer release has changed is refused. The error is of kind [iam.Unavailable] when
// the database cannot be asked.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.again(ctx, func() error {
		tx, err := s.db.begin(ctx, noting, s.words.exclusive...)
		if err != nil {
			return fmt.Errorf("begin to migrate: %w", err)
		}
		defer tx.rollback()
		names, err := fs.Glob(schema, "schema/*.sql")
		if err != nil {
			return err
		}
		done, err := migrated(ctx, s, tx)
		if err != nil {
			return err
		}
		for _, name := range done {
			if !slices.Contains(names, name) {
				return fmt.Errorf("a newer release of Postern has changed this database (%s): run that release, or restore a backup from before", name)
			}
		}
		for _, name := range names {
			if slices.Contains(done, name) {
				continue
			}
			if err := s.runMigration(ctx, tx, name); err != nil {
				return fmt.Errorf("migrate, %s: %w", name, err)
			}
		}
		return tx.commit(ctx, nil)
	})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// migrated returns the names of the files that have run.
func migrated(ctx context.Context, s *Store, tx transaction) ([]string, error) {
	const create = `CREATE TABLE IF NOT EXISTS migrations (name TEXT NOT NULL PRIMARY KEY)`
	if err := tx.send(ctx, []statement{{text: s.words.schema(create)}}); err != nil {
		return nil, fmt.Errorf("make the table of migrations: %w", err)
	}
	r := reader{querier: tx, heard: unheard}
	return collect(ctx, r, func(name *string) []any { return []any{name} }, `SELECT name FROM migrations ORDER BY name`)
}

// runMigration runs the statements of a file one by one, for PostgreSQL looks at
// the tables that a statement names before it runs the one that makes them.
func (s *Store) runMigration(ctx context.Context, tx transaction, name string) error {
	text, err := schema.ReadFile(name)
	if err != nil {
		return err
	}
	for part := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		if err := tx.send(ctx, []statement{{text: s.words.schema(part)}}); err != nil {
			return err
		}
	}
	return tx.send(ctx, []statement{{text: `INSERT INTO migrations (name) VALUES ($1)`, args: []any{name}}})
}
