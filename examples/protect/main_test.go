package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/posternhq/postern/posterntest"
)

func TestServiceLetsInWhoMayReadTickets(t *testing.T) {
	v := posterntest.NewVerifier(t)
	h := handler(v.Verifier)
	reader := v.AddKey(posterntest.Key{Permissions: []string{"tickets:read"}, Account: "support-bot"})
	writer := v.Add("tickets:write")
	want := func(path, key string, status int, body string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status || body != "" && w.Body.String() != body {
			t.Errorf("%s: got %d %q, want %d %q", path, w.Code, w.Body, status, body)
		}
	}
	want("/tickets", reader, http.StatusOK, "the tickets, for support-bot\n")
	want("/tickets", writer, http.StatusForbidden, "")
	want("/tickets", "unknown", http.StatusUnauthorized, "")
	v.Revoke(reader)
	want("/tickets", reader, http.StatusUnauthorized, "")
	want("/readyz", "", http.StatusOK, "")
	v.Partition()
	v.Advance(time.Minute)
	want("/tickets", writer, http.StatusServiceUnavailable, "")
	want("/readyz", "", http.StatusServiceUnavailable, "")
}
