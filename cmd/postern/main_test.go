package main

import (
	"flag"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/posternhq/postern/internal/store/storetest"
)

// TestMain makes this test binary the command postern for the scripts. A
// PostgreSQL server that the tests started ends with the process.
func TestMain(m *testing.M) {
	// Most of what is tested here waits: for a lease to end, or for a period to pass.
	if err := flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0)+4)); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"postern": main})
}

// Each of testdata/script/*.txtar is a story of how Postern is used, told with
// the real program, on each database.
func TestStories(t *testing.T) {
	t.Parallel()
	for name, store := range storetest.Databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tell(t, strings.ToLower(name), store)
		})
	}
}

func tell(t *testing.T, kind string, store func(testing.TB) string) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "stop": stop, "signal": sendSignal, "exits": exits, "get": get, "keep": keep, "sql": runSQL, "eventually": eventually,
		},
		Condition: func(condition string) (bool, error) { return condition == kind, nil },
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("STORE", store(t))
			e.Setenv("POSTERN_STORE_URL", e.Getenv("STORE"))
			e.Setenv("POSTERN_SECRET_FILE", filepath.Join(e.WorkDir, "root.secret"))
			e.Setenv("POSTERN_LISTEN", "localhost:0")
			e.Setenv("POSTERN_LEASE_TTL", "1s") // for which the first change of a process waits
			e.Values[servers{}] = map[string]*process{}
			return nil
		},
	})
}
