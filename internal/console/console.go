// Package console serves the web console: files that were built from web/ and are
// committed beside this package, so that building Postern needs no Node. It knows
// nothing of what the console shows; the page asks the HTTP API like everybody else.
package console

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed dist/index.html dist/assets dist/*.svg dist/*.webmanifest dist/*.br dist/*.gz
var built embed.FS

const (
	page   = "index.html"
	assets = "assets/" // their names hold hashes of what is in them
)

// policy is what the page may do: run and show what comes from here, and ask the
// API. Nothing may turn text into script (Trusted Types), and nobody may frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// kinds are the types of the files there are. Those of the system are not asked:
// they differ from machine to machine.
var kinds = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".svg":         "image/svg+xml",
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// encodings are the codings that files are kept in besides as they are, the best
// one first, and how the names of such files end.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// file is one file in every coding that there is of it.
type file struct {
	kind      string
	immutable bool
	forms     map[string]form // by coding; "" as it is
}

type form struct {
	body []byte
	etag string
}

// Console answers with the console's files. It is safe for concurrent use.
type Console struct{ files map[string]file }

// New reads the files that are built into the program. An error says that the
// program was built wrongly.
func New() (*Console, error) {
	root, err := fs.Sub(built, "dist")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return open(root)
}

// open reads the files of a built console.
func open(root fs.FS) (*Console, error) {
	c := &Console{files: map[string]file{}}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || encoded(name) {
			return err
		}
		f, err := read(root, name)
		c.files[name] = f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if _, there := c.files[page]; !there {
		return nil, fmt.Errorf("console: there is no %s: run make web", page)
	}
	return c, nil
}

// encoded reports whether a file is another one in some coding.
func encoded(name string) bool {
	for _, e := range encodings {
		if strings.HasSuffix(name, e.suffix) {
			return true
		}
	}
	return false
}

func read(root fs.FS, name string) (file, error) {
	f := file{kind: kinds[path.Ext(name)], immutable: strings.HasPrefix(name, assets), forms: map[string]form{}}
	if f.kind == "" {
		return f, fmt.Errorf("%s is of no kind that is served", name)
	}
	body, err := fs.ReadFile(root, name)
	if err != nil {
		return f, err
	}
	f.forms[""] = newForm(body)
	for _, e := range encodings {
		if body, err := fs.ReadFile(root, name+e.suffix); err == nil {
			f.forms[e.name] = newForm(body)
		}
	}
	return f, nil
}

func newForm(body []byte) form {
	sum := sha256.Sum256(body)
	return form{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`}
}

// ServeHTTP answers GET and HEAD. An address that is no file is a place within
// the console, which the page itself finds.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setHeaders(h)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "this address answers GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	f, found := c.find(strings.TrimPrefix(r.URL.Path, "/"))
	if !found {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "there is no such file; a page that was open while Postern was upgraded must be loaded again", http.StatusNotFound)
		return
	}
	f.serve(w, r)
}

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// find returns the file at a path, or the page for what is no file's path. A file
// that is gone is not the page: a script must not turn out to be HTML.
func (c *Console) find(name string) (file, bool) {
	if f, found := c.files[name]; found {
		return f, true
	}
	isFile := strings.HasPrefix(name, assets) || !strings.Contains(name, "/") && strings.Contains(name, ".")
	return c.files[page], !isFile
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache") // kept, and asked for again by its ETag
	if f.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	coding := ""
	if len(f.forms) > 1 {
		h.Set("Vary", "Accept-Encoding")
		coding = f.choose(r.Header.Values("Accept-Encoding"))
	}
	form := f.forms[coding]
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	h.Set("ETag", form.etag)
	if matches(r.Header.Values("If-None-Match"), form.etag) {
		h.Del("Content-Encoding")
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(form.body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(form.body) // who went away needs no answer
	}
}

// choose returns the best coding that a client takes and there is.
func (f file) choose(accepted []string) string {
	for _, e := range encodings {
		if _, there := f.forms[e.name]; there && accepts(accepted, e.name) {
			return e.name
		}
	}
	return ""
}

// accepts reports whether Accept-Encoding names a coding with a weight above 0
// (RFC 9110, section 12.5.3). "*" is not read: what it names may be had as it is.
func accepts(accepted []string, coding string) bool {
	for _, line := range accepted {
		for item := range strings.SplitSeq(line, ",") {
			name, weight, weighted := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(name), coding) {
				continue
			}
			_, q, _ := strings.Cut(weight, "=")
			value, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return !weighted || err == nil && value > 0
		}
	}
	return false
}

// matches reports whether If-None-Match names a tag, compared weakly (RFC 9110,
// section 13.1.2).
func matches(lines []string, etag string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item == "*" || strings.TrimPrefix(item, "W/") == etag {
				return true
			}
		}
	}
	return false
}
