package attacks_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

var durabilityAttacks = map[string]func(*testing.T, *world){
	"A19": aRevocationThatFailsIsNotReportedAsDone,
	"A21": aRevocationSurvivesTheProcess,
	"A22": aRevocationIsInTheDatabase,
}

// revocations are paths that end a key or its account.
var revocations = map[string]func(account, key string) string{
	"account": func(account, _ string) string { return in("-", "service_accounts/"+account+"/revoke") },
	"key":     func(_, key string) string { return in("-", "keys/"+key+"/revoke") },
}

func aRevocationThatFailsIsNotReportedAsDone(t *testing.T, w *world) {
	for name, path := range revocations {
		w.failEachCall(t, name, path)
		w.failEachTable(t, name, path)
	}
	w.failAfterTheCommit(t)
	w.failAtTheFence(t)
}

// failEachCall makes one call of the transaction after the other fail.
func (w *world) failEachCall(t *testing.T, name string, path func(account, key string) string) {
	for cause, err := range map[string]error{"error": errDatabase, "timeout": context.DeadlineExceeded} {
		bot := w.account("-", w.owner, "bot-"+name+"-"+cause, "operator")
		w.store.err = err
		failures := 0
		for at := int64(1); ; at++ {
			value := w.keyOf("-", w.owner, bot)
			key := w.idOf(value)
			before := w.store.failed.Load()
			w.store.failAt.Store(at)
			a := w.call("POST", path(bot, key), w.owner, nil, "Idempotency-Key", cause+"-at-"+name+itoa(int(at)))
			w.store.failAt.Store(0)
			if w.store.failed.Load() == before {
				w.wants(a, http.StatusOK, "")
				w.refuses(value, "revoked", "principal_inactive")
				break
			}
			failures++
			if a.status < 500 {
				t.Errorf("%s: call %d of the transaction failed (%s) and the answer is %d", name, at, cause, a.status)
			}
			w.accepts(value) // nothing was changed, and nobody was told otherwise
		}
		if failures < 4 {
			t.Errorf("%s: only %d places failed: the test does not reach the transaction", name, failures)
		}
	}
	w.store.err = errDatabase
}

// failEachTable makes the database itself fail, at each table that a revocation
// writes to.
func (w *world) failEachTable(t *testing.T, name string, path func(account, key string) string) {
	bot := w.account("-", w.owner, "bot-"+name+"-tables", "operator")
	value := w.keyOf("-", w.owner, bot)
	key, own := w.idOf(value), map[string]string{"account": "principals", "key": "keys"}[name]
	for _, table := range []string{"head", own, "audit_heads", "events", "replays", "changes"} {
		mend := w.breakTable(t, table)
		a := w.call("POST", path(bot, key), w.owner, nil, "Idempotency-Key", name+"-"+table)
		mend()
		if a.status < 500 {
			t.Errorf("%s: the table %s cannot be written and the answer is %d", name, table, a.status)
		}
		w.accepts(value)
	}
	w.must("POST", path(bot, key), w.owner, nil, "Idempotency-Key", name+"-changes")
	w.refuses(value, "revoked", "principal_inactive")
}

// failAfterTheCommit makes the outcome of the COMMIT unknown: it is not reported
// as done, and the same call with its Idempotency-Key finds out.
func (w *world) failAfterTheCommit(t *testing.T) {
	value := w.keyOf("-", w.owner, w.account("-", w.owner, "unknown", "operator"))
	path := in("-", "keys/"+w.idOf(value)+"/revoke")
	w.store.unknown.Store(true)
	a := w.call("POST", path, w.owner, nil, "Idempotency-Key", "unknown")
	w.store.unknown.Store(false)
	if a.status < 500 {
		t.Errorf("the outcome is unknown and the answer is %d", a.status)
	}
	w.must("POST", path, w.owner, nil, "Idempotency-Key", "unknown")
	w.refuses(value, "revoked")
}

// failAtTheFence records a revocation of which no node is known to have heard:
// neither the call nor its repetitions report it as done until one is.
func (w *world) failAtTheFence(t *testing.T) {
	value := w.keyOf("-", w.owner, w.account("-", w.owner, "unheard", "operator"))
	path := in("-", "keys/"+w.idOf(value)+"/revoke")
	w.service.Fence = deafFence{}
	for _, headers := range [][]string{{"Idempotency-Key", "unheard"}, {"Idempotency-Key", "unheard"}, nil} {
		a := w.call("POST", path, w.owner, nil, headers...)
		w.wants(a, http.StatusGatewayTimeout, "revocation_unconfirmed")
		if a.at("receipt.confirmed") != false {
			t.Errorf("the receipt of a revocation that nobody confirmed is %v", a.at("receipt"))
		}
	}
	w.service.Fence = w.replica
	if a := w.must("POST", path, w.owner, nil, "Idempotency-Key", "unheard"); a.at("receipt.confirmed") != true {
		t.Errorf("the receipt of a revocation that is confirmed is %v", a.at("receipt"))
	}
	w.refuses(value, "revoked")
}

// deafFence hears of no node that has confirmed anything.
type deafFence struct{}

// Begin implements [iam.Fence].
func (f deafFence) Begin(seq int64) iam.Waiting { return iam.WaitFunc(f.wait).Begin(seq) }

func (deafFence) wait(_ context.Context, seq int64) (iam.Receipt, error) {
	return iam.Receipt{ID: iam.ReceiptID(iam.NewID(iam.ReceiptPrefix, time.Now())), Revision: seq, By: "acked", Durability: "local"},
		iam.Errorf(iam.Unconfirmed, "nobody has confirmed revision %d", seq)
}

// aRevocationIsInTheDatabase takes power away in every way, and then starts a
// process that has only the database to go by.
func aRevocationIsInTheDatabase(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("POST", in("-", "roles"), b.owner, body{"name": "writer", "permissions": []string{"docs:read", "docs:write"}})
	jo, joID := w.member("-", b.owner, "jo@acme.example", "editor")
	other := w.newTenant("other")
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)
	type taken struct{ value, code string }
	all := []taken{{jo, "principal_inactive"}, {other.owner, "paused"}}
	for name, take := range map[string]struct {
		method, path string // of the account, or of its key
		in           any
		code         string
	}{
		"key-revoked":     {"POST", "key/revoke", nil, "revoked"},
		"key-paused":      {"POST", "key/pause", nil, "paused"},
		"account-revoked": {"POST", "account/revoke", nil, "principal_inactive"},
		"account-paused":  {"POST", "account/pause", nil, "paused"},
		"role-changed":    {"PATCH", "account", body{"role": "viewer"}, "permission_denied"},
		"limited":         {"PATCH", "key", body{"limit": []string{"docs:read"}}, "permission_denied"},
		"confined":        {"PATCH", "key", body{"allowed_networks": []string{"203.0.113.0/24"}}, "network_denied"},
		"shortened":       {"PATCH", "key", body{"expires_at": soon}, "expired"},
		"kept":            {"GET", "account", nil, "valid"},
	} {
		value := w.keyOf("-", b.owner, w.account("-", b.owner, name, "writer"))
		w.accepts(value, "docs:write")
		path := strings.Replace(take.path, "key", in("-", "keys/"+w.idOf(value)), 1)
		w.must(take.method, strings.Replace(path, "account", in("-", "service_accounts/"+name), 1), b.owner, take.in)
		all = append(all, taken{value, take.code})
	}
	w.must("DELETE", in("-", "members/"+joID), b.owner, nil)
	w.must("POST", "/v1/workspaces/other/pause", w.owner, nil)
	w.clock.advance(2 * time.Hour)
	w.start()
	for _, key := range all {
		if got := w.verdict(key.value, "docs:write"); got != key.code {
			t.Errorf("after a restart a key reads %s, want %s", got, key.code)
		}
	}
}

// aRevocationSurvivesTheProcess kills a server at some moment around the commit
// of a revocation. Whatever it had said must be true when it is back, and what
// was committed stays.
func aRevocationSurvivesTheProcess(t *testing.T, _ *world) {
	dir, store := t.TempDir(), freshURL(t)
	if code, _, stderr := program(t, dir, "", "init", "--workspace", "Acme", "--email", "a@example.com",
		"--store-url", store, "--secret-file", filepath.Join(dir, "secret"), "--out-header", filepath.Join(dir, "owner.h")); code != 0 {
		t.Fatalf("init: %d %s", code, stderr)
	}
	header, err := os.ReadFile(filepath.Join(dir, "owner.h"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, url: store, clock: new(clock), values: new(canaries)}
	w.owner = strings.TrimPrefix(strings.TrimSpace(string(header)), "Authorization: Bearer ")
	db := direct(t, store)
	var answered, committed int
	for i, moment := range []func(t *testing.T, name string){
		after(0), after(time.Millisecond), after(4 * time.Millisecond), after(50 * time.Millisecond),
		committedIn(db), committedIn(db),
	} {
		name := "bot-" + itoa(i)
		p := serve(t, dir, store)
		w.http = &httptest.Server{URL: p.url}
		value := w.keyOf("-", w.owner, w.account("-", w.owner, name, "operator"))
		said := make(chan bool, 1)
		go func() { said <- tryRevoke(p.url, w.owner, name) }()
		moment(t, name)
		p.kill()
		revoked := <-said
		inDatabase := stateOf(t, db, name) == "inactive"
		p = serve(t, dir, store)
		w.http = &httptest.Server{URL: p.url}
		state := w.must("GET", in("-", "service_accounts/"+name), w.owner, nil).str("state")
		works := w.call("GET", "/v1/whoami", value, nil).status == http.StatusOK
		if revoked {
			answered++
		}
		if inDatabase {
			committed++
		}
		if (revoked || inDatabase) && works || works != (state == "active") {
			t.Errorf("killed at moment %d: the revocation had returned: %v, was in the database: %v; the account is %s, its key works: %v",
				i, revoked, inDatabase, state, works)
		}
		p.kill()
	}
	if answered == 0 || committed < 2 {
		t.Errorf("%d revocations had returned before the kill, %d were committed: the test is blind", answered, committed)
	}
}

// after is the moment some time after the call was sent.
func after(d time.Duration) func(*testing.T, string) {
	return func(*testing.T, string) { time.Sleep(d) } // the moment of the power failure is the point
}

// committedIn is the moment at which others can see the revocation in the
// database, which is before or after the caller hears of it.
func committedIn(db *sql.DB) func(*testing.T, string) {
	return func(t *testing.T, name string) {
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			if stateOf(t, db, name) == "inactive" {
				return
			}
		}
		t.Fatal("the revocation was not committed")
	}
}

func stateOf(t *testing.T, db *sql.DB, account string) string {
	t.Helper()
	return strings.Join(texts(t, db, `SELECT state FROM principals WHERE name = '`+account+`'`), " ")
}

// tryRevoke reports whether a revocation returned success.
func tryRevoke(url, key, account string) bool {
	req, err := http.NewRequest("POST", url+in("-", "service_accounts/"+account+"/revoke"), nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
