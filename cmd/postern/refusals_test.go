package main

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/store/storetest"
)

// reload has the server read its files again, soon.
const reload = `SELECT CAST(pg_reload_conf() AS TEXT)`

// sql runs statements, and returns the first text that they give last.
func sql(t *testing.T, url string, statements ...string) (text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }() // what matters has been answered
	for _, st := range statements {
		rows, err := conn.Query(t.Context(), st)
		if err != nil {
			t.Fatalf("%s: %v", st, err)
		}
		if rows.Next() {
			if err := rows.Scan(&text); err != nil {
				t.Fatalf("%s: %v", st, err)
			}
		}
		if rows.Close(); rows.Err() != nil {
			t.Fatalf("%s: %v", st, rows.Err())
		}
	}
	return text
}

// with returns a URL with another user, password or database.
func with(t *testing.T, text, user, password, database string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	if database != "" {
		u.Path = "/" + database
	}
	return u.String()
}

// What waiting does not mend ends a server at its start, in words.
func TestAStartThatCannotSucceedEndsInWords(t *testing.T) {
	t.Parallel()
	const password, wrong = "correct-horse", "battery-staple"
	o := newOffice(t)
	o.store = storetest.OwnServer(t)
	hba := sql(t, o.store, `CREATE ROLE clerk LOGIN PASSWORD '`+password+`'`, `GRANT CREATE ON SCHEMA public TO clerk`, `SHOW hba_file`)
	rules, err := os.ReadFile(hba)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hba, append([]byte("host all clerk 127.0.0.1/32 scram-sha-256\n"), rules...), 0o600); err != nil {
		t.Fatal(err)
	}
	sql(t, o.store, reload)
	for end := time.Now().Add(patience); ; { // until it has
		conn, err := pgx.Connect(t.Context(), with(t, o.store, "clerk", wrong, ""))
		if err != nil {
			break
		}
		_ = conn.Close(t.Context()) // nothing was asked
		if time.Now().After(end) {
			t.Fatal("the server lets everybody in")
		}
	}
	for name, tt := range map[string]struct{ store, says string }{
		"a wrong password":       {with(t, o.store, "clerk", wrong, ""), "password authentication failed"},
		"a user that is not":     {with(t, o.store, "nobody", "", ""), `role "nobody" does not exist`},
		"a database that is not": {with(t, o.store, "", "", "nowhere"), `database "nowhere" does not exist`},
	} {
		stdout, stderr, code := o.runs(tt.store, "serve")
		if code == 0 || !strings.Contains(stderr, tt.says) {
			t.Errorf("%s: exit %d, %s; want it to say %q", name, code, stderr, tt.says)
		}
		if strings.Contains(stdout+stderr, wrong) {
			t.Errorf("%s: the password is told", name)
		}
	}
}

// A server that loses what it has confirmed is refused, unless the operator takes
// it as it is; then every receipt says so.
func TestADatabaseThatLosesCommitsIsRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.store = storetest.OwnServer(t)
	o.initialize()
	strict := o.serve(o.store)
	strict.becomes("/readyz", http.StatusOK, "ok")
	sql(t, o.store, `ALTER SYSTEM SET fsync = off`, reload)

	strict.becomes("/readyz", http.StatusServiceUnavailable, "stale")
	if code := strict.verify(o.owner, o.owner); code != "stale" {
		t.Errorf("a server that had begun before says %s, want stale", code)
	}
	if words := strict.words(); !strings.Contains(words, "set fsync = on") {
		t.Errorf("it does not say what to change:\n%s", words)
	}
	for _, command := range [][]string{{"serve"}, {"recover", "--email", "owner@example.com", "--field", "value"}} {
		_, stderr, code := o.runs(o.store, command...)
		if code == 0 || !strings.Contains(stderr, "set fsync = on") || !strings.Contains(stderr, "--durability local") {
			t.Errorf("%s: exit %d, %s; want it to say what to change", command[0], code, stderr)
		}
	}

	lenient := o.serve(o.store, "--durability", "local")
	lenient.becomes("/readyz", http.StatusOK, "ok")
	key := lenient.key(o.owner, "bot")
	if receipt := lenient.revoke(o.owner, "bot"); receipt["durability"] != "local" || receipt["confirmed"] != true {
		t.Errorf("the receipt %v does not say that this can be undone", receipt)
	}
	lenient.knows(o.owner, key, "principal_inactive")
	sql(t, o.store, `ALTER SYSTEM SET fsync = on`, reload)
	strict.becomes("/readyz", http.StatusOK, "ok")
}
