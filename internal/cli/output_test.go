package cli_test

import (
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/api"
)

func TestListInEveryFormat(t *testing.T) {
	w := newWorld(t)
	a, b := account("alpha"), account("beta")
	b.Owner, b.Keys = "=cmd()", api.KeyCounts{Active: 1, Total: 2}
	w.answer("GET "+W+"service_accounts", list(a, b))

	table := w.must("sa", "list").stdout
	for i, want := range []string{"NAME", "alpha", "beta"} {
		if line := strings.Split(table, "\n")[i]; !strings.HasPrefix(line, want) {
			t.Errorf("line %d of the table is %q, want %q first", i, line, want)
		}
	}
	var got []api.ServiceAccount
	if err := json.Unmarshal([]byte(w.must("sa", "list", "--json").stdout), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]api.ServiceAccount{a, b}, got); d != "" {
		t.Errorf("-o json (-want +got):\n%s", d)
	}
	if lines := strings.Count(w.must("sa", "list", "-o", "jsonl").stdout, "\n"); lines != 2 {
		t.Errorf("-o jsonl has %d lines, want 2", lines)
	}
	records, err := csv.NewReader(strings.NewReader(w.must("sa", "list", "-o", "csv").stdout)).ReadAll()
	if err != nil || len(records) != 3 || records[0][0] != "name" || records[2][0] != "beta" {
		t.Errorf("-o csv: %v, %v", records, err)
	}
	if owner := records[2][5]; owner != "'=cmd()" {
		t.Errorf("a formula is written as %q", owner)
	}
	if got := w.must("sa", "list", "--field", "name").stdout; got != "alpha\nbeta\n" {
		t.Errorf("--field name: %q", got)
	}
}

// A caller of verify need not say where a request came from.
func TestLastUseFromNobodyKnowsWhereSaysOnlyWhen(t *testing.T) {
	w := newWorld(t)
	a, b := account("alpha"), account("beta")
	a.LastUsed, b.LastUsed = &api.LastUse{}, &api.LastUse{Source: api.Source{IP: "10.2.0.7"}}
	w.answer("GET "+W+"service_accounts", list(a, b))
	records, err := csv.NewReader(strings.NewReader(w.must("sa", "list", "-o", "csv").stdout)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(records[0], "last_used")
	if strings.Contains(records[1][at], "from") || !strings.HasSuffix(records[2][at], " from 10.2.0.7") {
		t.Errorf("got %q and %q, want a time, and one with the address", records[1][at], records[2][at])
	}
}

// The heading of a tail stands above what it is of, and so does each line.
func TestLinesOfATailStandBelowEachOther(t *testing.T) {
	w := newWorld(t)
	event := func(seq int64, actor, target string) api.AuditEvent {
		return api.AuditEvent{
			ID: "evt_1", Seq: seq, Actor: api.Actor{Name: actor}, Action: "key.created", Target: api.Target{Type: "key", Name: target}, Outcome: "done",
		}
	}
	w.answer("GET "+W+"audit_events", list(event(3, "jo", "prod"), event(2, "someone-longer", "p"), event(1, "jo", "a-long-name-of-a-key")))
	got := strings.Split(strings.TrimSuffix(w.must("audit", "tail").stdout, "\n"), "\n")
	if len(got) != 4 {
		t.Fatalf("got %d lines, want a heading and three", len(got))
	}
	for heading, cell := range map[string]string{"ACTION": "key.created", "TARGET": "key ", "OUTCOME": "done", "ID": "evt_1"} {
		column := strings.Index(got[0], heading)
		for _, line := range got[1:] {
			if !strings.HasPrefix(line[min(column, len(line)):], cell) {
				t.Errorf("%s does not stand above %q:\n%s\n%s", heading, cell, got[0], line)
			}
		}
	}
}

func TestEmptyListIsAnEmptyArray(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"roles", list[api.Role]())
	if got := w.must("role", "list", "--json").stdout; got != "[]\n" {
		t.Errorf("got %q, want []", got)
	}
}

func TestFieldFollowsAPath(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"service_accounts/bot", account("bot"))
	for field, want := range map[string]string{
		"name": "bot\n", "role.name": "operator\n", "keys.total": "0\n", "revoked": "\n", "keys": `{"active":0,"total":0}` + "\n",
	} {
		if got := w.must("sa", "get", "bot", "--field", field).stdout; got != want {
			t.Errorf("--field %s: %q, want %q", field, got, want)
		}
	}
	w.run("sa", "get", "bot", "--field", "colour").wants(t, 2, "there is no field colour", "name")
	w.run("sa", "get", "bot", "--field", "name.first").wants(t, 2, "nothing below")
}

func TestListStopsAtMaxAndSaysSo(t *testing.T) {
	w := newWorld(t)
	next := "more"
	w.answer("GET "+W+"roles", func(a asked) any {
		page := list(api.Role{Name: "a"}, api.Role{Name: "b"})
		if !strings.Contains(a.query, "cursor=more") {
			page.HasMore, page.NextCursor = true, &next
		}
		return page
	})
	w.run("role", "list", "--max", "2").wants(t, 0, "There are more")
	if r := w.must("role", "list", "--max", "0", "--field", "name"); r.stdout != "a\nb\na\nb\n" || r.stderr != "" {
		t.Errorf("--max 0: %q, %q", r.stdout, r.stderr)
	}
	if r := w.must("role", "list", "--max", "2", "-q"); r.stderr != "" {
		t.Errorf("-q says %q", r.stderr)
	}
}

// Attack H03: what others wrote does not reach the terminal as commands to it.
func TestNamesCannotControlTheTerminal(t *testing.T) {
	const evil = "\x1b[2J\u202egnp.exe\u0085\r\n"
	w := newWorld(t)
	a := account("bot")
	a.Description, a.Owner = evil, evil
	w.answer("GET "+W+"service_accounts", list(a))
	w.answer("GET "+W+"service_accounts/bot", a)
	w.answer("GET "+W+"seats", &api.Problem{Status: 403, Code: api.CodePermissionDenied, Detail: evil})
	w.looking = true
	for _, args := range [][]string{
		{"sa", "list"}, {"sa", "get", "bot"}, {"sa", "list", "--json"}, {"sa", "list", "-o", "jsonl"},
		{"sa", "list", "-o", "csv"}, {"sa", "get", "bot", "--field", "description"}, {"seat"}, {"sa", "get", evil},
	} {
		r := w.run(args...)
		if out := r.stdout + r.stderr; strings.ContainsAny(strings.ReplaceAll(out, "\r\n", "\n"), "\x1b\u202e\u0085\r") {
			t.Errorf("%q: %q", args, out)
		}
	}
	var back []api.ServiceAccount
	if err := json.Unmarshal([]byte(w.must("sa", "list", "--json").stdout), &back); err != nil || back[0].Owner != evil {
		t.Errorf("JSON means %+v, %v; want the text itself", back, err)
	}
}

func TestNextIsSaidOnATerminalOnly(t *testing.T) {
	w := newWorld(t)
	w.answer("POST "+W+"service_accounts", api.CreatedServiceAccount{ServiceAccount: account("bot")})
	if r := w.must("sa", "create", "bot"); strings.Contains(r.stderr+r.stdout, "Next:") {
		t.Errorf("off a terminal: %q", r.stderr)
	}
	w.looking = true
	w.run("sa", "create", "bot").wants(t, 0, "Next: postern key create bot --out-header bot.h\n")
	if r := w.must("sa", "create", "bot", "-q"); r.stderr != "" {
		t.Errorf("-q says %q", r.stderr)
	}
}

func TestActionSaysWhatTheConfirmationRestsOn(t *testing.T) {
	w := newWorld(t)
	out := api.ServiceAccountAnswer{ServiceAccount: account("bot"), Receipt: receipt()}
	w.answer("POST "+W+"service_accounts/bot/pause", out)
	if got, want := w.must("sa", "pause", "bot").stdout, "Paused bot. 1 key stopped. Confirmed by 1 of 1 nodes in 2 ms.\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := w.must("sa", "pause", "bot", "--field", "receipt.by").stdout; got != "acked\n" {
		t.Errorf("--field receipt.by: %q", got)
	}
	out.Receipt.Nodes = api.ReceiptNodes{Total: 3, Confirmed: 1, Expired: []string{"b"}, Bounded: []string{"c"}}
	w.answer("POST "+W+"service_accounts/bot/pause", out)
	if got := w.must("sa", "pause", "bot").stdout; !strings.Contains(got, "had ended: b.") || !strings.Contains(got, "from memory: c.") {
		t.Errorf("got %q", got)
	}
}
