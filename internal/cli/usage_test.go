package cli_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
)

func TestUsageOfAKeyIsATableWithSumsAndSources(t *testing.T) {
	w := newWorld(t)
	at := api.NewTime(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
	w.answer("GET "+W+"keys/"+keyID+"/usage", api.KeyUsage{
		From: at, To: api.NewTime(at.Add(2 * time.Hour)), Step: "1h",
		Points:  []api.UsagePoint{{T: at, OK: 40, Refused: 2}, {T: api.NewTime(at.Add(time.Hour)), OK: 2}},
		Sources: []api.UsageSource{{IP: "192.0.2.7", UserAgent: "curl/8.5", Node: "node-1", LastSeen: at, OK: 40}, {Others: true, LastSeen: at, OK: 2, Refused: 2}},
	})
	got := w.must("key", "usage", keyID, "--from", "2h", "--step", "1h").stdout
	for _, want := range []string{
		"2026-11-23 02:00:00 UTC  40  2\n", "42 accepted, 2 refused from 2026-11-23 02:00:00 UTC to 2026-11-23 04:00:00 UTC.\n",
		"192.0.2.7  curl/8.5    node-1", "(others)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if q := w.heard[0].query; q != "from=2026-11-23T01%3A00%3A00.000000Z&step=1h" {
		t.Errorf("the server heard %s", q)
	}
	if got := w.must("key", "usage", keyID, "-o", "csv").stdout; got != "t,ok,refused\r\n2026-11-23 02:00:00 UTC,40,2\r\n2026-11-23 03:00:00 UTC,2,0\r\n" {
		t.Errorf("as CSV: got %q", got)
	}
	if got := w.must("key", "usage", keyID, "--json").stdout; !strings.Contains(got, `"sources"`) {
		t.Errorf("as JSON: got %s", got)
	}
}

func TestInventoryIsAskedForByFlags(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"keys", list[api.Key]())
	w.answer("GET "+W+"service_accounts", list[api.ServiceAccount]())
	for query, args := range map[string][]string{
		"never_expires=true&state=active&unused_for=90d": {"key", "list", "--state", "active", "--unused-for", "90d", "--never-expires"},
		"machine_like=true&never_used=true":              {"key", "list", "--machine-like", "--never-used"},
		"sort=last_used_at":                              {"key", "list", "--sort", "last_used_at"},
		"need=less_power":                                {"sa", "list", "--need", "less_power"},
	} {
		w.must(args...)
		if got := w.heard[len(w.heard)-1].query; !sameQuery(t, got, query) {
			t.Errorf("%v: the server heard %s, want %s", args, got, query)
		}
	}
}

// sameQuery reports whether a query asks for all that another does.
func sameQuery(t *testing.T, got, want string) bool {
	t.Helper()
	heard, err := url.ParseQuery(got)
	if err != nil {
		t.Fatal(err)
	}
	for pair := range strings.SplitSeq(want, "&") {
		if name, value, _ := strings.Cut(pair, "="); heard.Get(name) != value {
			return false
		}
	}
	return true
}
