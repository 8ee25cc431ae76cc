package server_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/posternhq/postern/api"
)

func TestOverviewIsWhatItsCallerMayRead(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		key := c.keyOf(account.ID, api.CreateKey{})
		idle := c.account("viewer")
		w.used(t, 1, key.Key, c.workspace, 41, 2, "tickets:read")
		var o api.Overview
		c.get(here("/overview")).want(http.StatusOK, &o)
		switch {
		case o.ServiceAccounts == nil || o.Keys == nil || o.Requests24h == nil || o.Seats == nil || len(o.Hidden) != 0:
			t.Fatalf("an owner got %+v, want all of it", o)
		case o.ServiceAccounts.Active != 2 || o.Keys.Active != 2 || o.Keys.NeverUsed != 1 || o.Seats.Used != 1:
			t.Errorf("got %+v, %+v and %+v, want 2 accounts, 2 keys, one of them never used, 1 seat", o.ServiceAccounts, o.Keys, o.Seats)
		case o.Requests24h.OK != 41 || o.Requests24h.Refused != 2 || len(o.Requests24h.Points) != 24:
			t.Errorf("got requests %+v, want 41 and 2 in 24 hours", o.Requests24h)
		}
		codes := map[string][]string{}
		for _, a := range o.Attention {
			for _, item := range a.Items {
				codes[a.Code] = append(codes[a.Code], item.Target.ID)
			}
		}
		if !slices.Equal(codes["account_without_keys"], []string{idle.ID}) || len(codes["account_without_owner"]) != 2 || len(codes) != 2 {
			t.Errorf("got attention %v, want one account without keys and two without owner", codes)
		}

		for need, want := range map[string][]string{"keys": {idle.ID}, "less_power": nil} {
			var list api.List[api.ServiceAccount]
			c.get(here("/service_accounts?need="+need)).want(http.StatusOK, &list)
			var ids []string
			for _, a := range list.Data {
				ids = append(ids, a.ID)
			}
			if !slices.Equal(ids, want) {
				t.Errorf("accounts that need %s: got %v, want %v", need, ids, want)
			}
		}

		weak := w.client(key.Value)
		weak.in(t).get(here("/overview")).want(http.StatusOK, &o)
		if o.ServiceAccounts != nil || o.Keys != nil || o.Requests24h != nil || o.Seats != nil || len(o.Attention) != 0 || len(o.Hidden) != 11 {
			t.Errorf("a viewer got %+v, want nothing but what is hidden", o)
		}
		c.get("/v1/workspaces/globex/overview").wantProblem(http.StatusNotFound, api.CodeNotFound)
	})
}
