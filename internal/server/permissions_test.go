package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/api"
)

func TestPermissionTypesAreReplacedAsAWhole(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		read := func(want ...api.PermissionType) {
			t.Helper()
			var list api.List[api.PermissionType]
			c.get(here("/permissions")).want(http.StatusOK, &list)
			if diff := cmp.Diff(api.List[api.PermissionType]{Data: append([]api.PermissionType{}, want...)}, list); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		read()
		var out api.UpdatedPermissionTypes
		c.call(http.MethodPut, here("/permissions"), `[{"type":"tickets","title":"Tickets","actions":["close","reopen"]},{"type":"agents","actions":[]}]`).
			want(http.StatusOK, &out)
		agents := api.PermissionType{Type: "agents", Actions: []string{}}
		tickets := api.PermissionType{Type: "tickets", Title: "Tickets", Actions: []string{"close", "reopen"}}
		if len(out.Data) != 2 || !out.Receipt.Confirmed || out.Revision == 0 {
			t.Errorf("got %+v", out)
		}
		read(agents, tickets)
		closer := c.role("tickets:close")
		for _, body := range []string{"", "{}", `{"data":[]}`, "null"} {
			r := c.call(http.MethodPut, here("/permissions"), body)
			if r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
				t.Errorf("%q: got %d, want a refusal: %s", body, r.status, r.body)
			}
		}
		read(agents, tickets)
		c.call(http.MethodPut, here("/permissions"), `[]`).want(http.StatusOK, nil)
		read()
		var kept api.Role
		c.get(here("/roles/"+closer.ID)).want(http.StatusOK, &kept)
		if len(kept.Permissions) != 1 || kept.Permissions[0] != "tickets:close" {
			t.Errorf("got %v: what a role holds changed with the types", kept.Permissions)
		}
		c.post(here("/roles"), `{"name":"x","permissions":["tickets:close"]}`).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/permissions/0")
	})
}

func TestPermissionTypesThatCannotBeUsedAreRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for body, pointer := range map[string]string{
			`[{"actions":["x"]}]`:                                                    "/0/type",
			`[{"type":"a"}]`:                                                         "/0/actions",
			`[{"type":"A","actions":[]}]`:                                            "/0/type",
			`[{"type":"iam","actions":[]}]`:                                          "/0/type",
			`[{"type":"iam.keys","actions":[]}]`:                                     "/0/type",
			`[{"type":"a","actions":[]},{"type":"a","actions":[]}]`:                  "/1/type",
			`[{"type":"a","actions":["close","close"]}]`:                             "/0/actions/1",
			`[{"type":"a","actions":["*"]}]`:                                         "/0/actions/0",
			`[{"type":"a","actions":"close"}]`:                                       "/0/actions",
			`[{"type":"a","title":"` + strings.Repeat("x", 129) + `","actions":[]}]`: "/0/title",
			manyTypes(501):                                                           "",
		} {
			c.call(http.MethodPut, here("/permissions"), body).problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
		}
		c.call(http.MethodPut, here("/permissions"), `[{"type":"a","actions":[],"id":1}]`).problemAt(http.StatusBadRequest, api.CodeUnknownField, "/0/id")
	})
}

func manyTypes(n int) string {
	types := make([]string, n)
	for i := range types {
		types[i] = fmt.Sprintf(`{"type":"t%d","actions":[]}`, i)
	}
	return "[" + strings.Join(types, ",") + "]"
}
