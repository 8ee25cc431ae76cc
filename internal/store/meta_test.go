package store_test

import (
	"testing"

	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

func TestTheFirstValueUnderANameStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got, err := s.Meta(t.Context(), "fingerprint"); got != "" || err != nil {
			t.Errorf("before anything was kept: %q, %v", got, err)
		}
		for _, value := range []string{"first", "second"} {
			if err := s.SetMeta(t.Context(), "fingerprint", value); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Meta(t.Context(), "fingerprint"); got != "first" || err != nil {
			t.Errorf("got %q, %v; want what was kept first", got, err)
		}
	})
}
