package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/store/storetest"
)

func TestPostgresConnectionsHaveTheirSettings(t *testing.T) {
	db, err := openPostgres(t.Context(), storetest.Postgres(t)+"&synchronous_commit=off")
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	for name, want := range map[string]string{
		"synchronous_commit": "on", "idle_in_transaction_session_timeout": "1s", "lock_timeout": "2s", "statement_timeout": "30s",
		"application_name": "postern", "tcp_keepalives_idle": "3", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "2",
		"transaction_isolation": "read committed",
	} {
		got, err := collect(t.Context(), reader{querier: db, heard: unheard}, func(s *string) []any { return []any{s} },
			`SELECT current_setting($1)`, name)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, %v; want %s", name, got, err, want)
		}
	}
}

func TestSQLiteRefusesSettingsThatLoseWrites(t *testing.T) {
	for name, pragma := range map[string]string{
		"synchronous": "synchronous = NORMAL", "journal_mode": "journal_mode = DELETE", "foreign_keys": "foreign_keys = 0",
	} {
		db, err := openSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"))
		if err != nil {
			t.Fatal(err)
		}
		ses, err := db.writer.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ses.conn.ExecContext(t.Context(), "PRAGMA "+pragma); err != nil {
			t.Fatal(err)
		}
		db.writer.give(ses)
		if err := db.checkPragmas(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one that names it", name, err)
		}
		if err := db.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSQLiteReadersCannotWrite(t *testing.T) {
	db, err := openSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	rs, err := db.query(t.Context(), `CREATE TABLE x (a TEXT)`)
	if err == nil {
		rs.Next()
		err = errors.Join(rs.Err(), rs.Close())
	}
	if err == nil {
		t.Error("a reader made a table")
	}
}

func TestTheDatabasesFilesAreItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder", "100% ?#.db")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), "sqlite:"+path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", path+suffix, info, err)
		}
	}
}
