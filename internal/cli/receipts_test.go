package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
)

// A command that ends something says to the server for how long it waits.
func TestPatienceIsWhatTheFlagsSay(t *testing.T) {
	const path = W + "service_accounts/bot"
	for args, prefer := range map[string]string{
		"--wait 5s":                  "wait=5",
		"--wait 90s":                 "wait=90", // longer than --timeout
		"--wait 1500ms":              "wait=2",
		"--async":                    "respond-async",
		"--async --timeout 10s":      "respond-async",
		"--async --reason something": "respond-async",
	} {
		w := newWorld(t)
		w.answer("POST "+path+"/pause", api.ServiceAccountAnswer{ServiceAccount: account("bot"), Receipt: receipt()})
		w.must(append([]string{"sa", "pause", "bot"}, strings.Fields(args)...)...)
		if got := w.heard[0].prefer; got != prefer {
			t.Errorf("sa pause %s: got Prefer: %q, want %q", args, got, prefer)
		}
	}
}

func TestPatienceThatMakesNoSenseIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, args := range []string{"--wait 91s", "--wait -1s", "--wait 5s --async"} {
		w.run(append([]string{"sa", "pause", "bot"}, strings.Fields(args)...)...).wants(t, 2, "--wait")
	}
	if len(w.heard) > 0 {
		t.Errorf("the server heard %v", w.lines())
	}
}

func TestReceiptThatIsNotConfirmedExits8AndSaysHowToLookAgain(t *testing.T) {
	w := newWorld(t)
	open := api.Receipt{
		ID: "rcp_1", Revision: 7, DecidedAt: api.NewTime(time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)),
		Nodes: api.ReceiptNodes{Total: 3, Confirmed: 1, Waiting: []api.WaitingNode{{Name: "b", LeaseLeftMS: 3500}, {Name: "c\x1b[2J"}}},
	}
	w.answer("GET "+W+"receipts/rcp_1", open)
	r := w.run("receipt", "get", "rcp_1", "--wait", "5s")
	r.wants(t, 8, "revision 7 is recorded", "Not confirmed yet by b (may answer from before it for 3.5s), c\\u001b[2J. To look again: postern receipt get rcp_1")
	if !strings.Contains(r.stdout, "b (may answer from before it for 3.5s)") || w.heard[0].prefer != "wait=5" {
		t.Errorf("got %s, asked with Prefer: %q", r.stdout, w.heard[0].prefer)
	}
	w.answer("POST "+W+"service_accounts/bot/pause", api.ServiceAccountAnswer{ServiceAccount: account("bot"), Receipt: open})
	if r := w.must("sa", "pause", "bot", "--async"); !strings.Contains(r.stdout, "Paused bot. Not confirmed yet by b") || !strings.Contains(r.stdout, "postern receipt get rcp_1") {
		t.Errorf("got %s", r.stdout)
	}

	done := receipt()
	done.ID, done.Nodes = "rcp_1", api.ReceiptNodes{Total: 3, Confirmed: 1, Expired: []string{"b"}, Bounded: []string{"c"}}
	w.answer("GET "+W+"receipts/rcp_1", done)
	r = w.must("receipt", "get", "rcp_1")
	for _, want := range []string{"by 1 of 3 nodes in 2 ms", "Expired       b\n", "Bounded       c\n"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q does not say %q", r.stdout, want)
		}
	}
}
