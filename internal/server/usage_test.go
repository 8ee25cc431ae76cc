package server_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// used reports that a key was used now, as a node does, under a number.
func (w *town) used(t *testing.T, number int64, k api.Key, ws string, ok, refused int64, ask string) {
	t.Helper()
	now := time.Now().UTC()
	if _, err := w.faults.Register(t.Context(), iam.Reporter{ID: "r1", Name: "test", Kind: iam.ServerNode}); err != nil {
		t.Fatal(err)
	}
	_, err := w.iam.Report(t.Context(), iam.UsageReport{Reporter: "r1", Number: number, Keys: []iam.KeyUse{{
		Key: iam.KeyID(k.ID), Principal: iam.PrincipalID(k.Principal.ID), Workspace: iam.WorkspaceID(ws),
		Minutes: []iam.UsePoint{{At: now.Truncate(time.Minute), OK: ok, Refused: refused}}, LastOK: now, LastRefused: now,
		Sources: []iam.SourceUse{{IP: "192.0.2.7", UserAgent: "curl/8.5", First: now, Last: now, LastOK: now, OK: ok, Refused: refused}},
		Asks:    []iam.AskUse{{Ask: ask, Last: now, OK: ok, Refused: refused}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUseIsShownWhereItIsLookedFor(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		key := c.keyOf(account.ID, api.CreateKey{})
		w.used(t, 1, key.Key, c.workspace, 41, 2, "tickets:read")

		var u api.KeyUsage
		c.get(here("/keys/"+key.ID+"/usage?step=1m")).want(http.StatusOK, &u)
		if n := len(u.Points); n != 60 || sum(u.Points) != "41/2" || u.Step != "1m" {
			t.Errorf("got %d points of %s, together %s; want 60 of 1m, 41/2", n, u.Step, sum(u.Points))
		}
		if len(u.Sources) != 1 || u.Sources[0].IP != "192.0.2.7" || u.Sources[0].Node != "test" || u.Sources[0].Via != iam.ServerNode || u.Sources[0].LastOK == nil || u.Sources[0].Refused != 2 {
			t.Errorf("got sources %+v, want one", u.Sources)
		}

		for query, id := range map[string]string{
			"?keys=" + key.ID + ",key_nobody": key.ID, "?service_accounts=" + account.ID: account.ID, "?days=7": c.workspace, "?step=1h&days=2": c.workspace,
		} {
			var all api.Usage
			c.get(here("/usage"+query)).want(http.StatusOK, &all)
			steps := map[string]int{"?days=7": 7, "?step=1h&days=2": 48}[query]
			if steps == 0 {
				steps = 30
			}
			if len(all.Data) != 1 || all.Data[0].ID != id || all.Data[0].OK != 41 || all.Data[0].Refused != 2 || len(all.Data[0].Points) != steps {
				t.Errorf("%s: got %+v, want %s with 41/2 in %d steps", query, all.Data, id, steps)
			}
		}
		for query, pointer := range map[string]string{
			"/usage?days=0": "days", "/usage?step=1m&days=30": "from", "/usage?keys=a&service_accounts=b": "service_accounts",
			"/usage?keys=": "keys", "/usage?service_accounts=&days=7": "service_accounts",
			"/keys/" + key.ID + "/usage?step=2h": "step", "/keys/" + key.ID + "/usage?from=soon": "from",
			"/keys/" + key.ID + "/usage?to=2020-01-01T00:00:00Z&from=2021-01-01T00:00:00Z": "from",
		} {
			c.get(here(query)).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		c.get(here("/keys/key_nobody/usage")).wantProblem(http.StatusNotFound, api.CodeNotFound)
	})
}

// sum adds points up.
func sum(points []api.UsagePoint) string {
	var ok, refused int64
	for _, p := range points {
		ok, refused = ok+p.OK, refused+p.Refused
	}
	return fmt.Sprintf("%d/%d", ok, refused)
}
