package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestSQLiteKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) iam.Store {
		return open(t, storetest.SQLite(t), store.Options{Now: now})
	})
}

func TestPostgresKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) iam.Store {
		return open(t, storetest.Postgres(t), store.Options{Now: now})
	})
}

func open(t testing.TB, url string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// raw gives the database behind a store to a test that has to disturb it.
func raw(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, name := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, name = "sqlite", path
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing is written at the end
	return db
}

func disturb(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, st := range statements {
		if _, err := db.ExecContext(t.Context(), st); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
	}
}

func empty(iam.Tx) (iam.Change, error) { return iam.Change{}, nil }

func changes(t testing.TB, s iam.Store, n int) {
	t.Helper()
	for range n {
		if _, err := s.Change(t.Context(), iam.First{}, empty); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProcessesThatStartAtOnceAllStart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				s, err := store.Open(t.Context(), url, store.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		changes(t, open(t, url, store.Options{}), 1)
	})
}

func TestWhatWasCommittedIsThereAfterARestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		first, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		changes(t, first, 3)
		for range 2 {
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
		}
		found, _, err := open(t, url, store.Options{}).Changes(t.Context(), iam.Position{}, 10)
		if err != nil || len(found) != 3 {
			t.Errorf("%d changes, %v; want 3", len(found), err)
		}
	})
}

func TestADatabaseOfANewerReleaseIsRefusedInWords(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		open(t, url, store.Options{})
		disturb(t, raw(t, url), `INSERT INTO migrations (name) VALUES ('schema/999_future.sql')`)
		_, err := store.Open(t.Context(), url, store.Options{})
		if err == nil || !strings.Contains(err.Error(), "newer release") {
			t.Errorf("error %v, want one that speaks of a newer release", err)
		}
	})
}

func TestChangesForANewerReaderAreNotRead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		changes(t, s, 1)
		disturb(t, raw(t, url), fmt.Sprintf(`UPDATE head SET reader = %d`, iam.ReaderVersion+1))
		if _, err := s.Snapshot(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "reader version") {
			t.Errorf("snapshot: error %v, want one that speaks of the reader version", err)
		}
	})
}

func TestALogThatWasTamperedWithIsNotRead(t *testing.T) {
	for what, tamper := range map[string]string{
		"payload": `UPDATE changes SET payload = '{"reader":1,"keys":[]}' WHERE seq = 3`,
		"chain":   `UPDATE changes SET chain = (SELECT chain FROM changes WHERE seq = 2) WHERE seq = 3`,
		"gap":     `DELETE FROM changes WHERE seq = 3`,
		"trimmed": `DELETE FROM changes WHERE seq <= 2`,
	} {
		t.Run(what, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, url string) {
				s := open(t, url, store.Options{})
				changes(t, s, 5)
				_, at, err := s.Changes(t.Context(), iam.Position{}, 1)
				if err != nil {
					t.Fatal(err)
				}
				disturb(t, raw(t, url), tamper)
				found, _, err := s.Changes(t.Context(), at, 10)
				if !errors.Is(err, iam.Diverged) || found != nil {
					t.Errorf("%v, %v; want Diverged", found, err)
				}
			})
		})
	}
}

// Who can write to the log can make the chain fit again, but not the numbers.
func TestAGapThatTheChainHidesIsSeen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s, db := open(t, url, store.Options{}), raw(t, url)
		changes(t, s, 4)
		_, second, err := s.Changes(t.Context(), iam.Position{}, 2)
		if err != nil {
			t.Fatal(err)
		}
		var payload string
		if err := db.QueryRowContext(t.Context(), `SELECT payload FROM changes WHERE seq = 4`).Scan(&payload); err != nil {
			t.Fatal(err)
		}
		forged := second.Chain.Next(4, payload)
		disturb(t, db, `DELETE FROM changes WHERE seq = 3`, fmt.Sprintf(`UPDATE changes SET chain = '%x' WHERE seq = 4`, forged))
		found, _, err := s.Changes(t.Context(), second, 10)
		if !errors.Is(err, iam.Diverged) || found != nil {
			t.Errorf("%v, %v; want Diverged", found, err)
		}
	})
}

func TestForeignKeysHold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		_, err := s.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
			return iam.Change{}, tx.InsertRole(t.Context(), iam.Role{ID: "role_1", Workspace: "ws_nowhere", Name: "x"})
		})
		if err == nil {
			t.Error("a role of a workspace that is not there was inserted")
		}
	})
}

func TestAURLOfNeitherDatabaseIsRefusedInWords(t *testing.T) {
	for _, url := range []string{"", "postern.db", "sqlite:", "mysql://x", "file:x.db", "/etc/passwd"} {
		_, err := store.Open(t.Context(), url, store.Options{})
		if err == nil || !strings.Contains(err.Error(), "sqlite:PATH") {
			t.Errorf("Open(%q): error %v, want one that says what a URL looks like", url, err)
		}
		if _, err := store.NewClaim(url); err == nil {
			t.Errorf("NewClaim(%q) gave a claim", url)
		}
	}
}

func TestOperationsAreObserved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		var mu sync.Mutex // guards seen
		seen, boom := map[string]int{}, errors.New("boom")
		s := open(t, url, store.Options{Observe: func(op string, took time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			if took <= 0 {
				t.Errorf("%s took %v", op, took)
			}
			if errors.Is(err, boom) {
				op += ", failed"
			}
			seen[op]++
		}})
		changes(t, s, 1)
		_, _ = s.Change(t.Context(), iam.First{}, func(iam.Tx) (iam.Change, error) { return iam.Change{}, boom })
		if err := s.Note(t.Context(), func(iam.NoteTx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Initialized(t.Context()); err != nil {
			t.Fatal(err)
		}
		for op, want := range map[string]int{"change": 1, "change, failed": 1, "note": 1, "commit": 2, "read": 1} {
			if seen[op] != want {
				t.Errorf("%s was observed %d times, want %d", op, seen[op], want)
			}
		}
	})
}

func TestOutcomesThatAreOverAreDropped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		now := time.Now()
		s, db := open(t, url, store.Options{Now: func() time.Time { return now }}), raw(t, url)
		remember := func(n int) {
			for i := range n {
				err := s.Note(t.Context(), func(tx iam.NoteTx) error {
					return tx.Remember(t.Context(), iam.Replay{Scope: "s", Key: fmt.Sprint(now, i), At: now})
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		remember(40)
		now = now.Add(iam.ReplayWindow)
		remember(40)
		var n int
		if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM replays`).Scan(&n); err != nil || n != 40 {
			t.Errorf("%d outcomes are kept, %v; want the 40 of this window", n, err)
		}
	})
}
