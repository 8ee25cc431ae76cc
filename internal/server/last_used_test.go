package server_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/server"
)

// accepted reports, as a node would, that a key was accepted at a time.
func (w *town) accepted(k api.CreatedKey, workspace string, number int64, at time.Time) {
	w.t.Helper()
	if _, err := w.iam.Store.Register(w.t.Context(), iam.Reporter{ID: "r1", Name: "node-1", Kind: iam.ServerNode}); err != nil {
		w.t.Fatal(err)
	}
	r := iam.UsageReport{Reporter: "r1", Number: number, Keys: []iam.KeyUse{{
		Key: iam.KeyID(k.ID), Principal: iam.PrincipalID(k.Principal.ID), Workspace: iam.WorkspaceID(workspace), LastOK: at,
		Minutes: []iam.UsePoint{{At: at.Truncate(time.Minute), OK: 1}},
		Sources: []iam.SourceUse{{IP: "192.0.2.7", UserAgent: "curl/8.5", First: at, Last: at, LastOK: at, OK: 1}},
	}}}
	if _, err := w.iam.Store.Report(w.t.Context(), r, func(iam.NoteTx, []iam.Key) error { return nil }); err != nil {
		w.t.Fatal(err)
	}
}

func TestLastUseIsShownAndFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		busy, rare := c.keyOf(account.ID, api.CreateKey{Name: "busy"}), c.keyOf(account.ID, api.CreateKey{Name: "rare", ExpiresAt: api.Null[api.Time]()})
		never := c.keyOf(account.ID, api.CreateKey{Name: "never"})
		now := time.Now().UTC().Truncate(time.Microsecond)
		w.accepted(rare, c.workspace, 1, now.Add(-48*time.Hour))
		w.accepted(busy, c.workspace, 2, now)

		var got api.Key
		c.get(here("/keys/"+busy.ID)).want(http.StatusOK, &got)
		from := api.Source{IP: "192.0.2.7", UserAgent: "curl/8.5", Node: "node-1"}
		if u := got.LastUsed; u == nil || !u.At.Equal(now) || u.Source != from || u.Key != nil {
			t.Errorf("last used %+v, want at %v from %+v", u, now, from)
		}
		c.get(here("/keys/"+never.ID)).want(http.StatusOK, &got)
		if got.LastUsed != nil {
			t.Errorf("last used %+v, want never", got.LastUsed)
		}
		var accounts api.List[api.ServiceAccount]
		c.get(here("/service_accounts?q="+account.Name)).want(http.StatusOK, &accounts)
		key := api.Ref{ID: busy.ID, Name: "busy"}
		if u := accounts.Data[0].LastUsed; u == nil || u.Key == nil || *u.Key != key || !u.At.Equal(now) {
			t.Errorf("account last used %+v, want at %v with %+v", u, now, key)
		}
		w.accepted(busy, c.workspace, 3, now.Add(47*time.Hour))
		later := w.with(t, func(o *server.Options) { o.Now = func() time.Time { return time.Now().Add(48 * time.Hour) } })
		for query, want := range map[string][]string{
			"sort=name&unused_for=1d":                    {"never", "rare"},
			"sort=name&unused_for=3d":                    {}, // none is as old as that
			"sort=name&unused_for=1d&never_used=true":    {"never"},
			"sort=name&never_used=true":                  {"never"},
			"sort=name&never_expires=true":               {"rare"},
			"sort=name&never_expires=false":              {"busy", "never", "rare"},
			"sort=last_used_at":                          {"never", "rare", "busy"},
			"sort=name&unused_for=1d&never_expires=true": {"rare"},
		} {
			var list api.List[api.Key]
			later.do(t, get(here("/service_accounts/"+account.ID+"/keys?"+query), c.key)).want(http.StatusOK, &list)
			names := []string{}
			for _, k := range list.Data {
				names = append(names, k.Name)
			}
			if !slices.Equal(names, want) {
				t.Errorf("%s: got %q, want %q", query, names, want)
			}
		}
	})
}

// A cursor is bound to the time asked for, not to when it was asked.
func TestCursorOfUnusedKeysLeadsOn(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		for _, name := range []string{"a", "b"} {
			c.keyOf(account.ID, api.CreateKey{Name: name})
		}
		path := "/service_accounts/" + account.ID + "/keys?sort=name&limit=1&unused_for="
		later := w.with(t, func(o *server.Options) { o.Now = func() time.Time { return time.Now().Add(48 * time.Hour) } })
		var list api.List[api.Key]
		later.do(t, get(here(path+"1d"), c.key)).want(http.StatusOK, &list)
		cursor := *list.NextCursor
		later.do(t, get(here(path+"1d&cursor="+cursor), c.key)).want(http.StatusOK, &list)
		if len(list.Data) != 1 || list.Data[0].Name != "b" {
			t.Errorf("second page %+v, want b", list.Data)
		}
		c.get(here(path+"2d&cursor="+cursor)).problemAt(http.StatusBadRequest, api.CodeInvalidRequest, "cursor")
		c.get(here(path+"1d&never_used=true&cursor="+cursor)).problemAt(http.StatusBadRequest, api.CodeInvalidRequest, "cursor")
	})
}
