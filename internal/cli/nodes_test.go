package cli_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/api"
)

// drilled is a world in which a drill succeeds, on three nodes of which two have
// the same name.
func drilled(t *testing.T) *world {
	w := newWorld(t)
	left := int64(0)
	w.answer("GET "+W+"nodes", list(api.Node{Name: "a", ID: "1", Self: true, LeaseLeftMS: &left}, api.Node{Name: "b", ID: "2"}, api.Node{Name: "b", ID: "3"}))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		if rest, ok := strings.CutPrefix(r.URL.Path, W+"service_accounts/drill-"); ok { // its end is random
			_, part, _ := strings.Cut(rest, "/")
			r.URL.Path = W + "service_accounts/drill/" + part
		}
		w.mu.Unlock()
		w.ServeHTTP(rw, r)
	})
	w.answer("POST "+W+"service_accounts", api.CreatedServiceAccount{ServiceAccount: account("drill")})
	w.answer("POST "+W+"service_accounts/drill/keys", api.CreatedKey{Key: key(keyID, "drill", "drill"), Value: newValue})
	w.answer("POST "+W+"service_accounts/drill/revoke", api.ServiceAccountAnswer{Receipt: api.Receipt{
		ID: "rcp_1", Confirmed: true, By: new("acked"), Nodes: api.ReceiptNodes{Total: 3, Confirmed: 3}, TookMS: 3,
	}})
	w.answer("GET /v1/whoami", func(asked) any {
		if slices.Contains(w.lines(), "POST "+W+"service_accounts/drill/revoke") {
			return &api.Problem{Status: 401, Code: api.CodeUnauthenticated}
		}
		return api.Whoami{}
	})
	return w
}

func TestDrillShowsWhatEachNodeSays(t *testing.T) {
	w := drilled(t)
	r := w.must("node", "drill")
	for _, want := range []string{"a     1   confirmed\n", "b     3   confirmed\n", "Confirmed by 3 of 3 nodes in 3 ms.", "is refused now"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q does not say %q", r.stdout, want)
		}
	}
	var keys []string
	for _, h := range w.heard {
		if h.line == "GET /v1/whoami" {
			keys = append(keys, h.key)
		}
	}
	if !slices.Equal(keys, []string{newValue, newValue}) {
		t.Errorf("tried with %v, want the new key before and after", keys)
	}
	if made := w.heard[slices.Index(w.lines(), "POST "+W+"service_accounts/drill/keys")].body; !strings.Contains(made, `"drill:read"`) || !strings.Contains(made, `"1h"`) {
		t.Errorf("the key was made with %s: want next to no power, and an end", made)
	}
}

func TestDrillThatIsNotConfirmedNamesTheNodesAndExits8(t *testing.T) {
	w := drilled(t)
	unconfirmed := &api.Problem{
		Status: 504, Code: api.CodeRevocationUnconfirmed, Detail: "not every node has confirmed", Revision: 7,
		Receipt: &api.Receipt{ID: "rcp_1", Nodes: api.ReceiptNodes{Total: 3, Confirmed: 1, Expired: []string{"b"}, Waiting: []api.WaitingNode{{Name: "b", LeaseLeftMS: 3000}}}},
	}
	w.answer("POST "+W+"service_accounts/drill/revoke", unconfirmed)
	r := w.run("node", "drill")
	r.wants(t, 8, "recorded as revision 7", "b (may answer from before it for 3s)")
	for _, want := range []string{"1   confirmed\n", "2   lease expired\n", "3   not confirmed\n"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q does not say %q", r.stdout, want)
		}
	}
	var d struct {
		Refused bool
		Receipt api.Receipt
	}
	w = drilled(t)
	w.answer("POST "+W+"service_accounts/drill/revoke", unconfirmed)
	if err := json.Unmarshal([]byte(w.run("node", "drill", "--json").stdout), &d); err != nil || d.Refused || d.Receipt.Confirmed {
		t.Errorf("as JSON: %+v, %v", d, err)
	}
}

func TestDrillSaysABoundedNode(t *testing.T) {
	w := drilled(t)
	w.answer("POST "+W+"service_accounts/drill/revoke", api.ServiceAccountAnswer{Receipt: api.Receipt{
		ID: "rcp_1", Confirmed: true, By: new("bounded"), Nodes: api.ReceiptNodes{Total: 3, Confirmed: 2, Bounded: []string{"a"}},
	}})
	if r := w.must("node", "drill"); !strings.Contains(r.stdout, "1   may still answer\n") || strings.Count(r.stdout, "confirmed\n") != 2 {
		t.Errorf("got %s", r.stdout)
	}
}

func TestDrillDoesNotSayThatANodeConfirmedThatIsGone(t *testing.T) {
	for name, tt := range map[string]struct {
		expired []string
		want    string
	}{
		"it was removed before": {nil, "4   gone meanwhile\n"},
		"it was waited for":     {[]string{"dead"}, "4   lease expired\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := drilled(t)
			looks := 0
			w.answer("GET "+W+"nodes", func(asked) any {
				if looks++; looks == 1 {
					return list(api.Node{Name: "a", ID: "1"}, api.Node{Name: "dead", ID: "4"})
				}
				return list(api.Node{Name: "a", ID: "1"})
			})
			w.answer("POST "+W+"service_accounts/drill/revoke", api.ServiceAccountAnswer{Receipt: api.Receipt{
				ID: "rcp_1", Confirmed: true, Nodes: api.ReceiptNodes{Total: 1, Confirmed: 1, Expired: tt.expired},
			}})
			if r := w.must("node", "drill"); !strings.Contains(r.stdout, tt.want) || !strings.Contains(r.stdout, "1   confirmed\n") {
				t.Errorf("got %s, want %s", r.stdout, tt.want)
			}
		})
	}
}

func TestDrillWhoseKeyIsStillAcceptedFails(t *testing.T) {
	w := drilled(t)
	w.answer("GET /v1/whoami", api.Whoami{})
	if r := w.run("node", "drill"); r.code != 1 || !strings.Contains(r.stderr, "still accepts it") || strings.Contains(r.stdout, "refused now") {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestDrillThatFailsLeavesNothing(t *testing.T) {
	denied := &api.Problem{Status: 403, Code: api.CodePermissionDenied, Detail: "it takes iam.keys:write"}
	for line, code := range map[string]int{
		"POST " + W + "service_accounts": 5, "POST " + W + "service_accounts/drill/keys": 5, "GET /v1/whoami": 5,
	} {
		t.Run(line, func(t *testing.T) {
			w := drilled(t)
			w.answer(line, denied)
			w.run("node", "drill").wants(t, code, "it takes iam.keys:write")
			if last := w.heard[len(w.heard)-1].line; last != "POST "+W+"service_accounts/drill/revoke" {
				t.Errorf("the last call was %s, want that it revokes what it may have made", last)
			}
		})
	}
}

func TestDrillThatCannotCleanUpSaysWhatIsLeft(t *testing.T) {
	w := drilled(t)
	w.answer("POST "+W+"service_accounts/drill/revoke", &api.Problem{Status: 503, Code: api.CodeUnavailable, Detail: "no database"})
	w.run("node", "drill").wants(t, 7, "no database", "postern sa revoke drill-")
}

func TestDrillThatIsInterruptedCleansUp(t *testing.T) {
	w := drilled(t)
	ctx, interrupt := context.WithCancel(t.Context())
	w.answer("GET /v1/whoami", func(asked) any { interrupt(); return &api.Problem{Status: 503, Code: api.CodeStale} })
	w.runUntil(ctx, "node", "drill")
	if !slices.Contains(w.lines(), "POST "+W+"service_accounts/drill/revoke") {
		t.Error("the account is left over")
	}
}

func TestDrillThatMayNotSeeTheNodesMakesNothing(t *testing.T) {
	w := drilled(t)
	w.answer("GET "+W+"nodes", &api.Problem{Status: 403, Code: api.CodePermissionDenied, Detail: "it takes iam.nodes:read"})
	w.run("node", "drill").wants(t, 5, "iam.nodes:read")
	if len(w.heard) != 1 {
		t.Errorf("it asked %v", w.lines())
	}
}

func TestListOfNodesShowsWhichIsCutOff(t *testing.T) {
	w := drilled(t)
	r := w.must("node", "list")
	if !strings.Contains(r.stdout, "a *") || !strings.Contains(r.stdout, " 0s ") || !strings.Contains(r.stdout, " not needed ") {
		t.Errorf("got %s", r.stdout)
	}
}
