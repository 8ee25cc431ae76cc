package store_test

import (
	"testing"
	"time"

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
