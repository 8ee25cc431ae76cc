package docs

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// small is a documentation with a page of each sort.
func small() *Docs {
	return open(fstest.MapFS{
		"README.md":         {Data: []byte("# First\n\n## Start\n\n- [Begin](begin.md): at once\n- [Parts](parts/README.md)\n\nNot [in a list](odd.md).\n")},
		"begin.md":          {Data: []byte("# Begin\n\n## What it *costs*, and why\n\n[there](parts/one.md#a-b) [spec](../api/openapi.json) [law](../LICENSE#x)\n")},
		"odd.md":            {Data: []byte("# Odd\n\n<script>alert(1)</script>\n\n| a |\n|--:|\n| b |\n")},
		"parts/README.md":   {Data: []byte("# Parts\n\n[One](one.md) [home](../README.md) [self](#parts)\n")},
		"parts/one.md":      {Data: []byte("# One\n\n## A b\n\n![A b](../pictures/a.svg)\n\n## A b\n\n```console\n$ one \\\n    <two>\nthree\n$ four\n```\n\n```toml\nfive = \"<\"\n```\n")},
		"parts/picture.svg": {Data: []byte("<svg/>")},
		"pictures/a.svg":    {Data: []byte("<svg><style>text{}</style></svg>")},
		"pictures/a.png":    {Data: []byte("a")},
	})
}

// ask sends a request with headers, given in pairs.
func ask(t *testing.T, h http.Handler, method, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDocumentIsAPage(t *testing.T) {
	for target, want := range map[string]string{
		"/docs/":          "<h1 id=\"first\">First</h1>",
		"/docs/begin":     "<title>Begin · Postern</title>",
		"/docs/parts/":    "<h1 id=\"parts\">Parts</h1>",
		"/docs/parts/one": `<h2 id="a-b-1">A b <a class="anchor" href="#a-b-1"`,
	} {
		r := ask(t, small(), http.MethodGet, target)
		if got := body(t, r); r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(got, want) {
			t.Errorf("%s: got %d %q, want 200 and %s in\n%s", target, r.StatusCode, r.Header.Get("Content-Type"), want, got)
		}
	}
}

func TestLinksLeadWhereTheyDoInTheRepository(t *testing.T) {
	for target, links := range map[string][]string{
		"/docs/begin":  {"/docs/parts/one#a-b", "/v1/openapi.json", "https://github.com/posternhq/postern/blob/main/LICENSE", "#what-it-costs-and-why"},
		"/docs/parts/": {"/docs/parts/one", "/docs/", "#parts"},
	} {
		html := body(t, ask(t, small(), http.MethodGet, target))
		for _, to := range links {
			if !strings.Contains(html, `href="`+to+`"`) {
				t.Errorf("%s has no link to %s:\n%s", target, to, html)
			}
		}
	}
}

func TestDocumentThatCannotBeAPageIsAnError(t *testing.T) {
	for about, files := range map[string]fstest.MapFS{
		"no first page":                     {"a.md": {Data: []byte("# A")}},
		"no title":                          {"README.md": {Data: []byte("## A")}},
		"a link that leaves the repository": {"README.md": {Data: []byte("# A\n[b](../../b.md)")}},
	} {
		if _, err := build(files); err == nil {
			t.Errorf("%s: want an error", about)
		}
		if r := ask(t, open(files), http.MethodGet, "/docs/"); r.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: got %d, want 500", about, r.StatusCode)
		}
	}
}

func TestNavigationIsTheListsOfTheFirstPage(t *testing.T) {
	html := body(t, ask(t, small(), http.MethodGet, "/docs/begin"))
	_, rest, _ := strings.Cut(html, `<nav id="contents"`)
	nav, _, _ := strings.Cut(rest, "</nav>")
	got := regexp.MustCompile(`(?:<h2>|href="[^>]*>)[^<]*`).FindAllString(nav, -1)
	want := []string{
		`href="/docs/">Documentation`, `<h2>Start`, `href="/docs/begin" aria-current="page">Begin`, `href="/docs/parts/">Parts`,
		`<h2>More`, `href="/docs/odd">Odd`, // a page that the lists leave out
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	for _, step := range []string{`rel="prev" href="/docs/"`, `rel="next" href="/docs/parts/"`} {
		if !strings.Contains(html, step) {
			t.Errorf("there is no %s in\n%s", step, html)
		}
	}
}

func TestHTMLOfADocumentIsLeftOut(t *testing.T) {
	html := body(t, ask(t, small(), http.MethodGet, "/docs/odd"))
	if strings.Contains(html, "alert") || strings.Contains(html, " style=") {
		t.Errorf("the page has the document's script, or an inline style:\n%s", html)
	}
}

func TestConsoleTellsTypedFromPrinted(t *testing.T) {
	html := body(t, ask(t, small(), http.MethodGet, "/docs/parts/one"))
	for _, want := range []string{
		"<span class=\"prompt\">$ </span><span class=\"typed\">one \\\n</span><span class=\"typed\">    &lt;two&gt;\n</span><span class=\"printed\">three\n</span>" +
			"<span class=\"prompt\">$ </span><span class=\"typed\">four\n</span>",
		"<code data-language=\"toml\">five = &#34;&lt;&#34;\n</code>",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("there is no\n%s\nin\n%s", want, html)
		}
	}
}

func TestAnswersAreKeptAndAskedForAgain(t *testing.T) {
	d := small()
	first := ask(t, d, http.MethodGet, "/docs/begin")
	etag := first.Header.Get("ETag")
	if first.Header.Get("Cache-Control") != "no-cache" || etag == "" {
		t.Errorf("Cache-Control %q, ETag %q; want no-cache and a tag", first.Header.Get("Cache-Control"), etag)
	}
	if r := ask(t, d, http.MethodGet, "/docs/begin", "If-None-Match", etag); r.StatusCode != http.StatusNotModified || body(t, r) != "" {
		t.Errorf("what is known: got %d, want 304 without a body", r.StatusCode)
	}
	if r := ask(t, d, http.MethodGet, "/docs/odd", "If-None-Match", etag); r.StatusCode != http.StatusOK {
		t.Errorf("the tag of another page: got %d, want 200", r.StatusCode)
	}
	style := regexp.MustCompile(`/docs/assets/[0-9a-f]{16}\.(css|js)`).FindAllString(body(t, first), -1)
	if len(style) != 2 {
		t.Fatalf("the page names the files %q, want a stylesheet and a script", style)
	}
	for _, file := range style {
		if got := ask(t, d, http.MethodGet, file).Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
			t.Errorf("%s: Cache-Control is %q, want it kept for good", file, got)
		}
	}
}

func TestWhoTakesGzipGetsIt(t *testing.T) {
	d := small()
	plain := ask(t, d, http.MethodGet, "/docs/parts/one")
	packed := ask(t, d, http.MethodGet, "/docs/parts/one", "Accept-Encoding", "gzip")
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("Vary") != "Accept-Encoding" || packed.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Errorf("got %v, want gzip, its own tag, and Vary", packed.Header)
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(z); err != nil || text.String() != body(t, plain) {
		t.Errorf("what was packed is not the page: %v", err)
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	for _, target := range []string{"/docs/", "/docs/begin", "/docs/nothing"} {
		get, head := ask(t, small(), http.MethodGet, target), ask(t, small(), http.MethodHead, target)
		if got := body(t, head); got != "" || head.StatusCode != get.StatusCode || head.Header.Get("ETag") != get.Header.Get("ETag") {
			t.Errorf("%s: HEAD got %d and %d bytes, GET %d", target, head.StatusCode, len(got), get.StatusCode)
		}
	}
	if r := ask(t, small(), http.MethodPost, "/docs/begin"); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d, Allow %q, want 405 and GET, HEAD", r.StatusCode, r.Header.Get("Allow"))
	}
}

func TestPageMayDoLittle(t *testing.T) {
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; " +
			"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
	}
	for _, target := range []string{"/docs/", "/docs/begin", "/docs/nothing", "/docs/begin/"} {
		r := ask(t, small(), http.MethodGet, target)
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", target, name, got, value)
			}
		}
	}
}

func TestAddressThatMeansAPageLeadsToIt(t *testing.T) {
	for target, want := range map[string]string{
		"/docs":                 "/docs/",
		"/docs/begin/":          "/docs/begin",
		"/docs/begin.md":        "/docs/begin",
		"/docs/parts":           "/docs/parts/",
		"/docs/parts/README.md": "/docs/parts/",
		"/docs/README.md":       "/docs/",
	} {
		r := ask(t, small(), http.MethodGet, target)
		if got := r.Header.Get("Location"); r.StatusCode != http.StatusPermanentRedirect || got != want {
			t.Errorf("%s: got %d to %q, want 308 to %s", target, r.StatusCode, got, want)
		}
	}
}

func TestWhereThereIsNothingThereIsNothing(t *testing.T) {
	for _, target := range []string{
		"/docs/nothing", "/docs/nothing.md", "/docs/parts/one/two", "/docs/begin.html", "/docs//begin", "/docs//", "/docs/parts/../begin", "/docs/../begin",
		"/docs/..%2fbegin", "/docs/%2e%2e/begin", "/docs/Begin", "/docs/parts/picture.svg", "/docs/pictures/a.png", "/docs/files.go", "/docs/assets/", "/docs/assets/docs.css",
		"/docs/begin%00", "/docsbegin", `/docs/..\begin`, "/docs/begin//", "/docs///evil.example", "/docs//evil.example/", "/",
	} {
		r := ask(t, small(), http.MethodGet, target)
		if got := body(t, r); r.StatusCode != http.StatusNotFound || r.Header.Get("Cache-Control") != "no-store" || !strings.Contains(got, "There is no such page") {
			t.Errorf("%s: got %d to %q, Cache-Control %q; want 404 that nobody keeps", target, r.StatusCode, r.Header.Get("Location"), r.Header.Get("Cache-Control"))
		}
	}
}

func TestPageShowsItsPicture(t *testing.T) {
	if page, want := body(t, ask(t, small(), http.MethodGet, "/docs/parts/one")), `<img src="/docs/pictures/a.svg" alt="A b"`; !strings.Contains(page, want) {
		t.Errorf("the page has no %s:\n%s", want, page)
	}
	r := ask(t, small(), http.MethodGet, "/docs/pictures/a.svg")
	kind, policy := r.Header.Get("Content-Type"), r.Header.Get("Content-Security-Policy")
	if got := body(t, r); r.StatusCode != http.StatusOK || kind != "image/svg+xml" || !strings.Contains(policy, "default-src 'none'; style-src 'unsafe-inline'") || !strings.HasPrefix(got, "<svg>") {
		t.Errorf("got %d, %s with the policy %q: %s", r.StatusCode, kind, policy, got)
	}
}

func TestPictureOfAnotherFolderIsNoticed(t *testing.T) {
	d := open(fstest.MapFS{"README.md": {Data: []byte("# First\n\n![A](parts/picture.svg)\n")}})
	if r := ask(t, d, http.MethodGet, "/docs/"); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("a page with a picture of another folder: got %d, want 500", r.StatusCode)
	}
}

func TestColoursAreThoseOfTheConsole(t *testing.T) {
	ours, err := os.ReadFile("assets/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	consoles, err := os.ReadFile("../../web/src/styles/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, consoles) {
		t.Error("assets/tokens.css is not web/src/styles/tokens.css: copy it")
	}
	style, err := os.ReadFile("assets/docs.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range regexp.MustCompile(`#[0-9a-f]{3,8}\b|rgb\(|hsl\(|url\(`).FindAllString(string(style), -1) {
		t.Errorf("docs.css has a colour, or a file, of its own: %s", colour)
	}
}
