package attacks_test

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx; the driver sqlite comes with package store
)

// direct opens a database beside the program, as somebody does who has got hold
// of it, or a fault.
func direct(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing was written that is missed
	return db
}

// run runs statements one after the other.
func run(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, text := range statements {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// texts returns the first column of what a query finds.
func texts(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	found, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer found.Close()
	var all []string
	for found.Next() {
		var text string
		if err := found.Scan(&text); err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// breakTable makes the database fail whenever a row of a table is written, until
// mend is called.
func (w *world) breakTable(t *testing.T, table string) (mend func()) {
	t.Helper()
	db := direct(t, w.url)
	if strings.HasPrefix(w.url, "sqlite:") {
		for _, event := range []string{"INSERT", "UPDATE"} {
			run(t, db, `CREATE TRIGGER broken_`+event+` BEFORE `+event+` ON `+table+` BEGIN SELECT RAISE(ABORT, 'the disk said no'); END`)
		}
		return func() { run(t, db, `DROP TRIGGER broken_INSERT`, `DROP TRIGGER broken_UPDATE`) }
	}
	run(t, db,
		`CREATE OR REPLACE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk said no'; END $$`,
		`CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON `+table+` FOR EACH ROW EXECUTE FUNCTION broken()`)
	return func() { run(t, db, `DROP TRIGGER broken ON `+table) }
}

// rows returns all that the database holds, as text.
func (w *world) rows(t *testing.T) string {
	t.Helper()
	if path, ok := strings.CutPrefix(w.url, "sqlite:"); ok {
		var all strings.Builder
		for _, file := range []string{path, path + "-wal"} {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(content)
		}
		return all.String()
	}
	db := direct(t, w.url)
	tables := texts(t, db, `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'`)
	if len(tables) < 10 {
		t.Fatalf("the database has %d tables", len(tables))
	}
	var all strings.Builder
	for _, table := range tables {
		all.WriteString(strings.Join(texts(t, db, `SELECT row_to_json(r)::text FROM `+table+` r`), "\n"))
	}
	return all.String()
}
