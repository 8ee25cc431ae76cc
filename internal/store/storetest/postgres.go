package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresEnv names a server whose superuser's URL it holds. Test binaries that
// find it set share that server, else each starts one of its own.
const PostgresEnv = "POSTERN_TEST_POSTGRES"

// shared is the cluster of this process, which starts when a test first needs
// it: a test binary has no other place to keep what its tests share.
var shared struct {
	once    sync.Once
	cluster *Cluster // nil when another process's is used
	url     string
	err     error
}

// Main runs a package's tests, then ends the cluster that they used. Call it as
// the whole of TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "storetest: stop PostgreSQL:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Each runs a test twice, as SQLite and as PostgreSQL, each time with the URL of
// a fresh database. It never skips one.
func Each(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns the URL of a database file that is not there yet and is removed
// with the test.
func SQLite(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "postern.db")
}

// Postgres returns the URL of an empty database on a real PostgreSQL server,
// which lasts as long as the test. Where there is no server to be had, the test
// fails.
func Postgres(t testing.TB) string {
	t.Helper()
	shared.once.Do(startShared)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	// The text sorts as a language does: a query that relies on the order of
	// bytes without saying so fails here instead of at somebody's.
	administer(t, t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' STRATEGY FILE_COPY")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own has ended
		defer cancel()
		administer(t, ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	})
	u, err := url.Parse(shared.url)
	if err != nil {
		t.Fatalf("%s: %v", PostgresEnv, err)
	}
	u.Path = "/" + name
	return u.String()
}

func startShared() {
	if shared.url = os.Getenv(PostgresEnv); shared.url != "" {
		return
	}
	// The cluster outlives the test that is the first to need it.
	shared.cluster, shared.err = StartCluster(context.Background())
	if shared.err == nil {
		shared.url = shared.cluster.URL
	}
}

// administer runs one statement as the superuser.
func administer(t testing.TB, ctx context.Context, statement string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, shared.url)
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
