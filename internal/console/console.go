// Package console serves the web console: files that were built from web/ and are
// committed beside this package, so that building Postern needs no Node. It knows
// nothing of what the console shows; the page asks the HTTP API like everybody else.
package console

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/static"
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

// Console answers with the console's files. It is safe for concurrent use.
type Console struct{ files map[string]static.File }

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
	c := &Console{files: map[string]static.File{}}
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
	return slices.ContainsFunc(static.Encodings(), func(e static.Encoding) bool { return strings.HasSuffix(name, e.Suffix) })
}

func read(root fs.FS, name string) (static.File, error) {
	f := static.File{Kind: kinds[path.Ext(name)], Cache: static.Revalidate}
	if strings.HasPrefix(name, assets) {
		f.Cache = static.Immutable
	}
	if f.Kind == "" {
		return f, fmt.Errorf("%s is of no kind that is served", name)
	}
	body, err := fs.ReadFile(root, name)
	if err != nil {
		return f, err
	}
	f.Add("", body)
	for _, e := range static.Encodings() {
		if body, err := fs.ReadFile(root, name+e.Suffix); err == nil {
			f.Add(e.Name, body)
		}
	}
	return f, nil
}

// ServeHTTP answers GET and HEAD. An address that is no file is a place within
// the console, which the page itself finds.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setHeaders(h)
	if static.OnlyRead(w, r) {
		return
	}
	f, found := c.find(strings.TrimPrefix(r.URL.Path, "/"))
	if !found {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "there is no such file; a page that was open while Postern was upgraded must be loaded again", http.StatusNotFound)
		return
	}
	f.Serve(w, r)
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
func (c *Console) find(name string) (static.File, bool) {
	if f, found := c.files[name]; found {
		return f, true
	}
	isFile := strings.HasPrefix(name, assets) || !strings.Contains(name, "/") && strings.Contains(name, ".")
	return c.files[page], !isFile
}
