// Package docs shows the documentation at /docs: the Markdown of the folder docs,
// which is built into the program. Its README.md is the first page, and the lists of
// that page are the navigation of all others.
package docs

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"

	source "github.com/posternhq/postern/docs"
	"github.com/posternhq/postern/internal/static"
)

//go:embed assets
var assets embed.FS

const root = "/docs/"

// policy is what a page may do: show itself, and run one script, which it does
// not need. Nothing may turn text into script (Trusted Types), and nobody may
// frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// picturePolicy is what a picture may do that is looked at by itself: nothing but set
// its own text.
const picturePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"

// Docs answers with the documentation. It is safe for concurrent use.
type Docs struct {
	site func() (*site, error) // made when somebody first asks: most servers are never asked
}

// New returns the documentation of this program.
func New() *Docs { return open(source.Files()) }

func open(pages fs.FS) *Docs {
	return &Docs{site: sync.OnceValues(func() (*site, error) { return build(pages) })}
}

// ServeHTTP answers GET and HEAD of /docs and of what is below it.
func (d *Docs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if static.OnlyRead(w, r) {
		return
	}
	s, err := d.site()
	if err != nil { // the program was built wrongly; a test of this package says so first
		http.Error(w, "the documentation of this build cannot be shown", http.StatusInternalServerError)
		return
	}
	if f, found := s.files[r.URL.Path]; found {
		if f.Kind == pictureType {
			h.Set("Content-Security-Policy", picturePolicy)
		}
		f.Serve(w, r)
		return
	}
	if to, found := s.elsewhere(r.URL.Path); found {
		http.Redirect(w, r, to, http.StatusPermanentRedirect)
		return
	}
	h.Set("Content-Type", htmlType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	if r.Method == http.MethodGet {
		_, _ = w.Write(s.missing) // who went away needs no answer
	}
}

// elsewhere returns the address of the page that is meant by another one: with a
// slash at its end or without, or named as its file is.
func (s *site) elsewhere(address string) (string, bool) {
	bare := strings.TrimSuffix(address, "/")
	if path.Clean(bare) != bare {
		return "", false
	}
	if strings.HasSuffix(bare, ".md") {
		bare = strings.TrimSuffix(addressOf(strings.TrimPrefix(bare, root)), "/")
	}
	for _, to := range []string{bare, bare + "/"} {
		if _, found := s.files[to]; found {
			return to, true
		}
	}
	return "", false
}

// addressOf returns the address of the page that is made of a file: a README.md is
// the page of its folder.
func addressOf(file string) string {
	if path.Base(file) == index {
		return root + strings.TrimSuffix(file, index)
	}
	return root + strings.TrimSuffix(file, ".md")
}
