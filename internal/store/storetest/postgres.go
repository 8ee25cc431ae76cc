package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresEnv names a server whose superuser's URL it holds. Test binaries that
// find it set share that server, else each starts one of its own.
const PostgresEnv = "POSTERN_TEST_POSTGRES"

// shared is what the tests of this process share, and a test binary has no other
// place to keep: the cluster, which starts when a test first needs it, and its
// databases that no test uses at the moment. Making one takes ten times as long
// as emptying it.
var shared struct {
	once    sync.Once
	cluster *Cluster // nil when another process's is used
	url     string
	err     error

	mu   sync.Mutex // guards idle
	idle []string   // URLs of empty databases
}

// Main runs a package's tests, then ends the cluster that they used. Call it as
// the whole of TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if err := cleanUp(); err != nil {
		fmt.Fprintln(os.Stderr, "storetest: clean up PostgreSQL:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func cleanUp() error {
	if shared.cluster != nil {
		return shared.cluster.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var failed error
	for _, at := range shared.idle {
		failed = errors.Join(failed, drop(ctx, at))
	}
	return failed
}

// Each runs a test of a store twice, as SQLite and as PostgreSQL, each time with the
// URL of a fresh database. It never skips one.
func Each(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, Postgres(t)) })
}

// Databases returns how to make an empty database of each kind, by its name, for
// tests of what stands on a store. A run with -short, such as the race detector's,
// has PostgreSQL alone: who shares what in the code above is the same on both, and
// SQLite, which is Go here, takes most of such a run.
func Databases() map[string]func(testing.TB) string {
	if testing.Short() {
		return map[string]func(testing.TB) string{"PostgreSQL": Postgres}
	}
	return map[string]func(testing.TB) string{"SQLite": SQLite, "PostgreSQL": Postgres}
}

// Above is [Each] for tests of what stands on a store: on all [Databases].
func Above(t *testing.T, test func(t *testing.T, url string)) {
	databases := Databases()
	for _, name := range slices.Sorted(maps.Keys(databases)) {
		t.Run(name, func(t *testing.T) { test(t, databases[name](t)) })
	}
}

// SQLite returns the URL of a database file that is not there yet and is removed
// with the test.
func SQLite(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "postern.db")
}

// Postgres returns the URL of an empty database on a real PostgreSQL server,
// which is the test's own until it ends. Where there is no server to be had, the
// test fails.
func Postgres(t testing.TB) string {
	t.Helper()
	shared.once.Do(startShared)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	at, ok := takeIdle()
	if !ok {
		var err error
		if at, err = create(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own has ended
		defer cancel()
		if empty(ctx, at) != nil { // the test left it in a state that it cannot be used in
			if err := drop(ctx, at); err != nil {
				t.Error(err)
			}
			return
		}
		shared.mu.Lock()
		defer shared.mu.Unlock()
		shared.idle = append(shared.idle, at)
	})
	return at
}

// OwnServer starts a real PostgreSQL server for one test alone, which may change
// its settings, and returns the URL of its superuser.
func OwnServer(t testing.TB) string {
	t.Helper()
	cluster, err := StartCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cluster.URL
}

func takeIdle() (at string, ok bool) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if len(shared.idle) == 0 {
		return "", false
	}
	at = shared.idle[len(shared.idle)-1]
	shared.idle = shared.idle[:len(shared.idle)-1]
	return at, true
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

// create makes a database. Its text sorts as a language does: a query that relies
// on the order of bytes without saying so fails here instead of at somebody's.
func create(ctx context.Context) (string, error) {
	name := "test_" + strings.ToLower(rand.Text())
	u, err := url.Parse(shared.url)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", PostgresEnv, err)
	}
	u.Path = "/" + name
	return u.String(), run(ctx, shared.url,
		"CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' STRATEGY FILE_COPY")
}

// empty ends whatever still uses a database and takes all out of it.
func empty(ctx context.Context, at string) error {
	return run(ctx, at,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL', current_database()); END $$",
		"DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
}

func drop(ctx context.Context, at string) error {
	u, err := url.Parse(at)
	if err != nil {
		return err
	}
	return run(ctx, shared.url, "DROP DATABASE "+strings.TrimPrefix(u.Path, "/")+" WITH (FORCE)")
}

// run runs statements as the superuser.
func run(ctx context.Context, at string, statements ...string) error {
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // what matters has been answered
	for _, st := range statements {
		if _, err := conn.Exec(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", st, err)
		}
	}
	return nil
}
