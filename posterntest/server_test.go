package posterntest_test

import (
	"testing"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/posterntest"
)

func TestServerServes(t *testing.T) {
	s := posterntest.NewServer(t)
	id, key := s.NewAccountKey("tickets:read")
	verdict := func() string {
		t.Helper()
		v, err := s.Client.Verify(t.Context(), api.Verify{Key: key, Permissions: []string{"tickets:read"}})
		if err != nil {
			t.Fatal(err)
		}
		return v.Code
	}
	if got := verdict(); got != api.VerdictValid {
		t.Errorf("a new key is %s", got)
	}
	url := s.URL
	s.Stop()
	s.Start()
	if got := verdict(); got != api.VerdictValid || s.URL != url {
		t.Errorf("started again at %s: the key is %s; want it valid, at %s", s.URL, got, url)
	}
	s.Revoke(id)
	if got := verdict(); got != api.VerdictRevoked {
		t.Errorf("a revoked key is %s", got)
	}
}
