package server_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/store/storetest"
)

func TestConsoleAnswersOnlyWhatIsNotTheAPIs(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the page") })
	w := newWorld(t, storetest.SQLite(t))
	with := w.with(t, func(o *server.Options) { o.Console, o.Metrics = page, nil })
	for _, c := range []struct {
		about, method, path string
		status              int
		page                bool
	}{
		{"the first page", http.MethodGet, "/", 200, true},
		{"a place in the console", http.MethodGet, "/w/acme/settings/service-accounts", 200, true},
		{"whether it is there", http.MethodHead, "/w/acme", 200, false},
		{"what the API has not", http.MethodGet, "/v1/nothing", 404, false},
		{"the API itself", http.MethodGet, "/v1", 404, false},
		{"another method of an address of the API", http.MethodGet, "/v1/verify", 405, false},
		{"a page of documentation that is not there", http.MethodGet, "/docs/errors/none", 404, false},
		{"what is not clean", http.MethodGet, "/w/../v1", 404, false},
		{"a change", http.MethodPost, "/w/acme", 404, false},
		{"the health of the process", http.MethodGet, "/healthz", 200, false},
		{"a key in the address", http.MethodGet, "/w/acme?key=" + w.owner, 400, false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, with.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawPath = r.URL.Path
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if isPage := string(body) == "the page"; err != nil || answer.StatusCode != c.status || isPage != c.page {
			t.Errorf("%s (%s %s): got %d, the page: %v (%v), want %d, %v", c.about, c.method, c.path, answer.StatusCode, isPage, err, c.status, c.page)
		}
		if answer.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: the answer has no request id", c.about)
		}
	}
}
