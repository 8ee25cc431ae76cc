package postern_test

import (
	"context"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/posterntest"
)

func TestObserverHearsHowVerificationsEnd(t *testing.T) {
	var heard []postern.Observation
	v := posterntest.NewVerifier(t, postern.Observe(func(_ context.Context, o postern.Observation) { heard = append(heard, o) }))
	good, gone := v.Add("tickets:read"), v.Add("tickets:read")
	v.Revoke(gone)
	for _, c := range []struct{ key, permission, workspace, code string }{
		{good, "tickets:read", "test-1", api.VerdictValid},
		{good, "tickets:write", "test-1", api.VerdictPermissionDenied},
		{gone, "tickets:read", "test-2", api.VerdictRevoked},
		{"no key", "tickets:read", "", api.VerdictNotFound},
	} {
		heard = nil
		before := time.Now()
		_, err := v.Verify(t.Context(), c.key, c.permission)
		if len(heard) != 1 {
			t.Fatalf("%s: heard %d times, want once", c.code, len(heard))
		}
		got := heard[0]
		want := postern.Observation{Operation: "verify", Workspace: c.workspace, Code: c.code, Start: got.Start, Took: got.Took}
		if got != want || got.Start.Before(before) || got.Took > time.Since(before) {
			t.Errorf("heard %+v, want %+v; the answer was %v", got, want, err)
		}
	}
	heard = nil
	h := guarded(v, "tickets:read")
	for key, code := range map[string]string{good: api.VerdictValid, gone: api.VerdictRevoked} {
		request(h, "Authorization", "Bearer "+key)
		if len(heard) == 0 || heard[len(heard)-1].Code != code {
			t.Errorf("of a request that Require judged %+v was heard, want %s", heard, code)
		}
	}
	v.Partition()
	v.Advance(time.Minute)
	if _, err := v.Verify(t.Context(), good); err == nil || heard[len(heard)-1].Code != api.CodeStale {
		t.Errorf("heard %+v of %v, want stale", heard[len(heard)-1], err)
	}
}
