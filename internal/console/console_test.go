package console

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// small is a console with one file of each sort.
func small(t *testing.T) *Console {
	t.Helper()
	c, err := open(fstest.MapFS{
		"index.html":            {Data: []byte("the page")},
		"index.html.br":         {Data: []byte("the page in brotli")},
		"index.html.gz":         {Data: []byte("the page in gzip")},
		"icon.svg":              {Data: []byte("<svg/>")},
		"assets/index-1a2b.js":  {Data: []byte("let a")},
		"assets/font-1a2.woff2": {Data: []byte("font")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a request with headers, given in pairs.
func ask(t *testing.T, c *Console, method, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	c.ServeHTTP(rec, r)
	return rec.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryAddressThatIsNoFileIsThePage(t *testing.T) {
	c := small(t)
	for _, target := range []string{"/", "/signin", "/w/acme", "/w/acme/settings/service-accounts", "/w/acme/settings/roles/a.b", "/index.html"} {
		r := ask(t, c, http.MethodGet, target)
		if got := text(t, r); r.StatusCode != http.StatusOK || got != "the page" || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: got %d %q %q, want the page", target, r.StatusCode, r.Header.Get("Content-Type"), got)
		}
	}
}

func TestFileThatIsGoneIsNotThePage(t *testing.T) {
	c := small(t)
	for _, target := range []string{"/assets/index-of-the-last-release.js", "/assets/", "/favicon.ico", "/icon.svg.map"} {
		r := ask(t, c, http.MethodGet, target)
		if r.StatusCode != http.StatusNotFound || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d, Cache-Control %q, want 404 that nobody keeps", target, r.StatusCode, r.Header.Get("Cache-Control"))
		}
	}
}

func TestPageMayDoLittle(t *testing.T) {
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
			"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"Cross-Origin-Opener-Policy": "same-origin",
		"X-Content-Type-Options":     "nosniff",
		"Referrer-Policy":            "no-referrer",
	}
	for _, target := range []string{"/", "/w/acme", "/assets/index-1a2b.js", "/assets/gone.js"} {
		r := ask(t, small(t), http.MethodGet, target)
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", target, name, got, value)
			}
		}
	}
}

func TestWhatHasAHashInItsNameIsKeptForGood(t *testing.T) {
	c := small(t)
	for target, want := range map[string]string{
		"/assets/index-1a2b.js": "public, max-age=31536000, immutable",
		"/":                     "no-cache",
		"/w/acme":               "no-cache",
		"/icon.svg":             "no-cache",
	} {
		if got := ask(t, c, http.MethodGet, target).Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control is %q, want %q", target, got, want)
		}
	}
}

func TestClientGetsTheBestCodingThatItTakes(t *testing.T) {
	c := small(t)
	for accepted, want := range map[string]string{
		"":                       "",
		"gzip, deflate, br":      "br",
		"gzip":                   "gzip",
		"br;q=0, gzip;q=0.5":     "gzip",
		"BR":                     "br",
		"identity":               "",
		"br;q=nonsense, deflate": "",
	} {
		r := ask(t, c, http.MethodGet, "/", "Accept-Encoding", accepted)
		if got := r.Header.Get("Content-Encoding"); got != want || r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: got %q, Vary %q, want %q", accepted, got, r.Header.Get("Vary"), want)
		}
	}
}

func TestWhatIsKnownIsNotSentAgain(t *testing.T) {
	c := small(t)
	plain := ask(t, c, http.MethodGet, "/").Header.Get("ETag")
	br := ask(t, c, http.MethodGet, "/", "Accept-Encoding", "br").Header.Get("ETag")
	if plain == "" || plain == br {
		t.Fatalf("the tags of two codings are %q and %q, want two different ones", plain, br)
	}
	for _, known := range []string{plain, "W/" + plain, `"x", ` + plain, "*"} {
		r := ask(t, c, http.MethodGet, "/", "If-None-Match", known)
		if body := text(t, r); r.StatusCode != http.StatusNotModified || body != "" || r.Header.Get("ETag") != plain {
			t.Errorf("If-None-Match %s: got %d %q, want 304 without a body", known, r.StatusCode, body)
		}
	}
	if r := ask(t, c, http.MethodGet, "/", "If-None-Match", br); r.StatusCode != http.StatusOK {
		t.Errorf("the tag of another coding: got %d, want 200", r.StatusCode)
	}
}

func TestOnlyReadingIsAnswered(t *testing.T) {
	r := ask(t, small(t), http.MethodPost, "/w/acme")
	if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d, Allow %q, want 405 and GET, HEAD", r.StatusCode, r.Header.Get("Allow"))
	}
	r = ask(t, small(t), http.MethodHead, "/")
	if body := text(t, r); r.StatusCode != http.StatusOK || body != "" || r.Header.Get("Content-Length") != "8" {
		t.Errorf("HEAD: got %d %q of %s bytes, want 200, nothing, of 8", r.StatusCode, body, r.Header.Get("Content-Length"))
	}
}

func TestAllThatWasBuiltIsServed(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(os.DirFS("dist"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || encoded(name) || name == "manifest.json" {
			return err
		}
		want, err := os.ReadFile(path.Join("dist", name))
		if err != nil {
			return err
		}
		if got := text(t, ask(t, c, http.MethodGet, "/"+name)); got != string(want) {
			t.Errorf("/%s is not the file that was built", name)
		}
		if path.Ext(name) == ".woff2" {
			return nil
		}
		packed, err := gzip.NewReader(ask(t, c, http.MethodGet, "/"+name, "Accept-Encoding", "gzip").Body)
		if err != nil {
			t.Errorf("/%s in gzip: %v", name, err)
			return nil
		}
		if got, err := io.ReadAll(packed); err != nil || string(got) != string(want) {
			t.Errorf("/%s in gzip is not the file that was built: %v", name, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The policy allows neither; a build that came to need them would show nothing.
func TestPageHasNoInlineScriptOrStyle(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	html := text(t, ask(t, c, http.MethodGet, "/"))
	for _, part := range []string{"<style", " style=", "onload=", "javascript:", "http://", "https://"} {
		if strings.Contains(html, part) {
			t.Errorf("the page contains %q", part)
		}
	}
	if strings.Count(html, "<script") != strings.Count(html, `<script type="module" crossorigin src="/assets/`) {
		t.Errorf("the page has a script that is not one of its files:\n%s", html)
	}
}
