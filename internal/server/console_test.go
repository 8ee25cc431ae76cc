package server_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/store/storetest"
)

func TestConsoleAndDocumentationAnswerOnlyWhatIsNotTheAPIs(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the page") })
	w := newWorld(t, storetest.SQLite(t))
	docs := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a document") })
	with := w.with(t, func(o *server.Options) { o.Console, o.Docs, o.Metrics = page, docs, nil })
	for _, c := range []struct {
		about, method, path string
		status              int
		shows               string // "" is neither the page nor a document
	}{
		{"the first page", http.MethodGet, "/", 200, "the page"},
		{"a place in the console", http.MethodGet, "/w/acme/settings/service-accounts", 200, "the page"},
		{"whether it is there", http.MethodHead, "/w/acme", 200, ""},
		{"what the API has not", http.MethodGet, "/v1/nothing", 404, ""},
		{"the API itself", http.MethodGet, "/v1", 404, ""},
		{"another method of an address of the API", http.MethodGet, "/v1/verify", 405, ""},
		{"the documentation", http.MethodGet, "/docs", 200, "a document"},
		{"a page of the documentation", http.MethodGet, "/docs/errors/gone", 200, "a document"},
		{"whether that is there", http.MethodHead, "/docs/", 200, ""},
		{"what is nearly the documentation", http.MethodGet, "/docs2", 200, "the page"},
		{"a document that is not clean", http.MethodGet, "/docs//errors", 404, ""},
		{"a change of a document", http.MethodDelete, "/docs/", 404, ""},
		{"what is not clean", http.MethodGet, "/w/../v1", 404, ""},
		{"a change", http.MethodPost, "/w/acme", 404, ""},
		{"the health of the process", http.MethodGet, "/healthz", 200, ""},
		{"a key in the address", http.MethodGet, "/w/acme?key=" + w.owner, 400, ""},
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
		shows := string(body)
		if shows != "the page" && shows != "a document" {
			shows = ""
		}
		if err != nil || answer.StatusCode != c.status || shows != c.shows {
			t.Errorf("%s (%s %s): got %d, %q (%v), want %d, %q", c.about, c.method, c.path, answer.StatusCode, shows, err, c.status, c.shows)
		}
		if answer.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: the answer has no request id", c.about)
		}
	}
}
