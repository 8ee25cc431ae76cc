package cli_test

import (
	"database/sql"
	"net/http"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/store/storetest"
)

// healthy is a world whose server has nothing to complain about.
func healthy(t *testing.T) *world {
	w := newWorld(t)
	left := int64(4000)
	w.answer("GET /healthz", map[string]string{"status": "ok"})
	w.answer("GET /readyz", map[string]string{"status": "ok"})
	w.answer("GET /v1/whoami", api.Whoami{})
	w.answer("GET "+W+"nodes", list(api.Node{Name: "a", ID: "1", LeaseLeftMS: &left}, api.Node{Name: "b", ID: "2", LeaseLeftMS: &left}))
	return w
}

// metrics has the server answer with metrics.
func (w *world) metrics(lines ...string) {
	next := w.server.Config.Handler
	w.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			next.ServeHTTP(rw, r)
			return
		}
		if _, err := rw.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
			w.t.Error(err)
		}
	})
}

// finds fails the test unless the doctor says certain words about a check.
func (r result) finds(t *testing.T, code int, check string, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d", r.code, code)
	}
	for line := range strings.Lines(r.stdout) {
		if !strings.HasPrefix(line, check) {
			continue
		}
		for _, word := range words {
			if !strings.Contains(line, word) {
				t.Errorf("%q does not say %q", line, word)
			}
		}
		return
	}
	t.Errorf("it says nothing of %q:\n%s%s", check, r.stdout, r.stderr)
}

func TestDoctorIsContentWithWhatIsWell(t *testing.T) {
	w := healthy(t)
	w.metrics(`postern_node_alarms_total{alarm="clocks"} 0`, `postern_node_alarms_total{alarm="diverged"} 0`)
	r := w.run("doctor")
	r.finds(t, 0, "ok  nodes ", "2 nodes, none of which")
	r.finds(t, 0, "ok  alarms ", "none")
}

func TestDoctorPassesOverWhatTheKeyMayNotSee(t *testing.T) {
	w := healthy(t)
	w.answer("GET "+W+"nodes", &api.Problem{Status: 403, Code: api.CodePermissionDenied})
	r := w.run("doctor")
	r.finds(t, 0, "ok  nodes ", "iam.nodes:read")
	if strings.Contains(r.stdout, "alarm") {
		t.Errorf("it speaks of alarms that it cannot have seen:\n%s", r.stdout)
	}
}

func TestDoctorSaysWhichNodesKeepOthersWaiting(t *testing.T) {
	w := healthy(t)
	none, left := int64(0), int64(4000)
	looks := int64(0)
	w.answer("GET "+W+"nodes", func(asked) any {
		looks++
		return list(
			api.Node{Name: "busy", ID: "1", LeaseLeftMS: &left, Revision: looks, Lag: new(int64(3))},
			api.Node{Name: "dead", ID: "2", LeaseLeftMS: &none},
			api.Node{Name: "stuck", ID: "3", LeaseLeftMS: &left, Revision: 5, Lag: new(int64(3)), Version: "v1.2.3"},
		)
	})
	r := w.run("doctor")
	r.finds(t, 1, "NO  node dead ", "cut off from the database")
	r.finds(t, 1, "NO  node stuck ", "revision 5", "3 changes behind", "v1.2.3")
	if strings.Contains(r.stdout, "busy") {
		t.Errorf("it complains of a node that moves on:\n%s", r.stdout)
	}
}

func TestDoctorExplainsAlarms(t *testing.T) {
	w := healthy(t)
	w.metrics(`postern_node_alarms_total{alarm="clocks"} 2`, `postern_node_alarms_total{alarm="diverged"} 1`)
	r := w.run("doctor")
	r.finds(t, 1, "NO  alarm clocks ", "one source of time")
	r.finds(t, 1, "NO  alarm diverged ", "lost changes", "stays denied")
}

func TestDoctorWithoutAServerLooksAtTheStoreAlone(t *testing.T) {
	w := newWorld(t)
	delete(w.env, "POSTERN_SERVER")
	delete(w.env, "POSTERN_KEY")
	r := w.run("doctor", "--store-url", "sqlite:"+w.file("none.db"))
	r.finds(t, 1, "NO  store ", "no such file", "postern init")
	if strings.Contains(r.stdout, "  server  ") || len(w.heard) > 0 {
		t.Errorf("it looked for a server:\n%s", r.stdout)
	}
	if _, err := os.Stat(w.file("none.db")); err == nil {
		t.Error("it made the store")
	}
	w.run("doctor", "--store-url", "postgres://somebody:hunter2hunter2@127.0.0.1:1/postern", "--secret-file", "x").finds(t, 1, "NO  store ", "does not answer")
	w.run("doctor", "--store-url", "postgres://127.0.0.1:1/postern").finds(t, 1, "NO  settings ", "--secret-file")
	w.env["POSTERN_STOREURL"] = "sqlite:x.db"
	w.run("doctor").finds(t, 1, "NO  settings ", "did you mean POSTERN_STORE_URL")
}

func TestDoctorNamesTheSettingThatLosesWhatWasConfirmed(t *testing.T) {
	server := storetest.OwnServer(t)
	w := newWorld(t)
	delete(w.env, "POSTERN_SERVER")
	delete(w.env, "POSTERN_KEY")
	w.env["POSTERN_STORE_URL"], w.env["POSTERN_SECRET_FILE"] = server, w.file("root.secret")
	w.must("init", "--workspace", "Acme", "--email", "jo@example.com", "--field", "value", "--lease-ttl", "3s")
	w.run("doctor").finds(t, 0, "ok  durability ", "keeps what it confirms")
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{`ALTER SYSTEM SET full_page_writes = off`, `SELECT pg_reload_conf()`} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for setting := "on"; setting != "off"; { // it takes the server a moment
		if err := db.QueryRowContext(t.Context(), `SHOW full_page_writes`).Scan(&setting); err != nil {
			t.Fatal(err)
		}
	}
	w.run("doctor").finds(t, 1, "NO  durability ", "set full_page_writes = on")
	w.env["POSTERN_DURABILITY"] = "local"
	w.run("doctor").finds(t, 0, "ok  durability ", "can undo what was confirmed")
}
