package server_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/posternhq/postern/api"
)

func TestAdviceAndImpactSayWhatUseTells(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		var role api.CreatedRole
		c.post(here("/roles"), api.CreateRole{Name: "closer", Permissions: []string{"tickets:*"}}).want(http.StatusCreated, &role)
		account := c.account("closer")
		key := c.keyOf(account.ID, api.CreateKey{Name: "old"})
		w.used(t, 1, key.Key, c.workspace, 41, 2, "tickets:read")
		var rotation api.StartedRotation
		c.post(here("/keys/"+key.ID+"/rotations"), api.StartRotation{}).want(http.StatusCreated, &rotation)

		var advice api.Advice
		c.get(here("/service_accounts/"+account.Name+"/advice")).want(http.StatusOK, &advice)
		if advice.Silent == nil || *advice.Silent != "too_little_data" || advice.DataDays != 0 || advice.Role.Name != "closer" || len(advice.FromUse) != 0 {
			t.Errorf("advice on the first day: got %+v, want silence", advice)
		}

		var held api.List[api.HeldPermission]
		c.get(here("/service_accounts/"+account.ID+"/permissions")).want(http.StatusOK, &held)
		if len(held.Data) != 2 || held.Data[1].Permission != "tickets:read" || held.Data[1].From != "role closer, tickets:*" || held.Data[1].Uses30d != 41 || held.Data[1].LastUsedAt == nil {
			t.Errorf("held: got %+v, want tickets:*, and tickets:read below it with 41 uses", held.Data)
		}

		var impact api.AccountImpact
		c.get(here("/service_accounts/"+account.ID+"/impact")).want(http.StatusOK, &impact)
		want := []api.RotationRef{{
			ID: rotation.Rotation.ID, State: "waiting_for_first_use",
			OldKey: api.Ref{ID: key.ID, Name: "old"}, NewKey: api.Ref{ID: rotation.NewKey.ID, Name: rotation.NewKey.Name},
		}}
		if impact.ActiveKeys != 2 || impact.LastUsedAt == nil || len(impact.Sources) != 1 || impact.Sources[0].OK != 41 || !slices.Equal(impact.Rotations, want) {
			t.Errorf("impact: got %+v, want 2 keys, one source and the rotation", impact)
		}

		var then api.RoleImpact
		c.post(here("/roles/closer/impact"), api.RoleImpactOf{Permissions: []string{"tickets:write"}}).want(http.StatusOK, &then)
		if then.ServiceAccounts != 1 || then.WouldRefuse != 41 || then.Of != 41 || len(then.Affected) != 1 || then.Affected[0].Principal.ID != account.ID ||
			!slices.Equal(then.Removed, []string{"tickets:*"}) || !slices.Equal(then.Affected[0].Permissions, []string{"tickets:read"}) {
			t.Errorf("impact of the role: got %+v, want all 41 requests of the account refused", then)
		}
		c.post(here("/roles/closer/impact"), api.RoleImpactOf{Permissions: []string{"tickets"}}).
			problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, "/permissions/0")
		theirs := w.globex.in(t)
		for _, path := range []string{"/advice", "/permissions", "/impact"} {
			theirs.get(here("/service_accounts/"+account.ID+path)).wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
		theirs.post(here("/roles/"+role.ID+"/impact"), api.RoleImpactOf{Permissions: []string{"tickets:read"}}).wantProblem(http.StatusNotFound, api.CodeNotFound)
	})
}
