package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/store/storetest"
)

// The connection that holds the claim is cut, so that another process may take
// it: this one must not go on answering.
func TestServerThatLosesItsClaimEnds(t *testing.T) {
	url, dir := storetest.Postgres(t), t.TempDir()
	if out, err := onStore(dir, url, "postern init --workspace Acme --email owner@example.com --field value").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p, _, err := launch(onStore(dir, url, "exec postern serve"))
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	tag, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("cut %d connections, %v; want the one that holds the claim", tag.RowsAffected(), err)
	}
	select {
	case err := <-p.ended:
		if ended, ok := err.(*exec.ExitError); !ok || ended.ExitCode() != 1 {
			t.Errorf("ended with %v, want exit 1", err)
		}
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if !strings.Contains(p.stderr.String(), "claim on the store was lost") {
		t.Errorf("said %s", p.stderr)
	}
}

// onStore is shell for a store and a secret that are not the default ones.
func onStore(dir, url, line string) *exec.Cmd {
	cmd := shell(dir, line)
	cmd.Env = append(cmd.Env, "POSTERN_STORE_URL="+url, "POSTERN_SECRET_FILE="+dir+"/root.secret")
	return cmd
}
