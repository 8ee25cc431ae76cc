package storetest_test

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestPostgresGivesEachCallAnEmptyDatabaseOfItsOwn(t *testing.T) {
	first, second := connect(t, storetest.Postgres(t)), connect(t, storetest.Postgres(t))
	if _, err := first.Exec(t.Context(), `CREATE TABLE mine (n BIGINT)`); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Exec(t.Context(), `SELECT n FROM mine`); err == nil {
		t.Error("the second database has the first one's table")
	}
}

func TestPostgresGivesNothingOfAnEarlierTest(t *testing.T) {
	var earlier *pgx.Conn
	t.Run("Earlier", func(t *testing.T) {
		at, err := url.Parse(storetest.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		if earlier, err = pgx.Connect(t.Context(), at.String()); err != nil {
			t.Fatal(err)
		}
		for _, st := range []string{
			`ALTER DATABASE ` + strings.TrimPrefix(at.Path, "/") + ` SET work_mem = '77MB'`,
			`CREATE TABLE mine (n BIGINT)`, `CREATE SEQUENCE tries`, `SELECT pg_advisory_lock(1)`,
			`CREATE FUNCTION f() RETURNS BIGINT LANGUAGE sql AS 'SELECT 1'`,
		} {
			if _, err := earlier.Exec(t.Context(), st); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err := earlier.Ping(t.Context()); err == nil {
		t.Error("the earlier test is still connected")
	}
	later := connect(t, storetest.Postgres(t))
	for _, st := range []string{`SELECT n FROM mine`, `SELECT nextval('tries')`, `SELECT f()`} {
		if _, err := later.Exec(t.Context(), st); err == nil {
			t.Errorf("%s works in a later test", st)
		}
	}
	var memory string
	if err := later.QueryRow(t.Context(), `SHOW work_mem`).Scan(&memory); err != nil || memory == "77MB" {
		t.Errorf("work_mem is %s, %v: the earlier test's", memory, err)
	}
	var free bool
	if err := later.QueryRow(t.Context(), `SELECT pg_try_advisory_lock(1)`).Scan(&free); err != nil || !free {
		t.Errorf("the earlier test's lock: free %t, %v", free, err)
	}
}

func TestPostgresKeepsWhatItHasBeenAskedToKeep(t *testing.T) {
	conn := connect(t, storetest.Postgres(t))
	var fsync, commit string
	err := conn.QueryRow(t.Context(), `SELECT current_setting('fsync'), current_setting('synchronous_commit')`).Scan(&fsync, &commit)
	if err != nil || fsync != "on" || commit != "on" {
		t.Errorf("fsync %q, synchronous_commit %q, %v; want on, on", fsync, commit, err)
	}
}

// The process that started a cluster is killed without a chance to clean up.
func TestClusterEndsWithTheProcessThatStartedIt(t *testing.T) {
	if os.Getenv("STORETEST_HOLD_CLUSTER") != "" {
		holdCluster(t)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "STORETEST_HOLD_CLUSTER=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // open until the process is killed: it waits for it
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := readLine(t, out)
	conn := connect(t, url)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	// The server ends the connection when it ends; nothing else answers here.
	if _, err := conn.Exec(t.Context(), `SELECT pg_sleep(30)`); err == nil {
		t.Error("the cluster still runs 30 seconds after its process was killed")
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) }) // the server may be gone
	return conn
}

// holdCluster starts a cluster, says where, and waits to be killed.
func holdCluster(t *testing.T) {
	cluster, err := storetest.StartCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(cluster.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // not an empty select: where no goroutine is left that could run, Go ends the process
	t.Fatal("its input ended before it was killed")
}

func readLine(t *testing.T, r io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}
