package server

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed pages/*.html
var pageFiles embed.FS

// errorPage is what a page says of one code.
type errorPage struct {
	Code    string
	Title   string
	Status  int
	Means   string
	Do      string
	Example string
}

// registerErrorPages serves a page for each code, at the address that problems
// carry as their type. They are for people, and stand outside the document.
func (s *Server) registerErrorPages() {
	pages, err := renderErrorPages()
	if err != nil {
		s.wrong = append(s.wrong, fmt.Errorf("write the pages of errors: %w", err))
		return
	}
	for path, page := range pages {
		s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			s.write(w, r, http.StatusOK, "text/html; charset=utf-8", page)
		})
	}
}

// renderErrorPages returns the pages by their paths.
func renderErrorPages() (map[string][]byte, error) {
	templates, err := template.ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string][]byte{}
	var all []errorPage
	for _, e := range explanations() {
		f, known := failureOf(e.code)
		if !known {
			return nil, fmt.Errorf("%s is explained and not in the table of failures", e.code)
		}
		example, err := json.MarshalIndent(newProblem(e.code, "req_01jn8x0c2vf3hs5r6tq7w8y9za", e.detail).Problem, "", "  ")
		if err != nil {
			return nil, err
		}
		page := errorPage{f.code, f.title, f.status, e.means, e.do, string(example)}
		all = append(all, page)
		var text bytes.Buffer
		if err := templates.ExecuteTemplate(&text, "error.html", page); err != nil {
			return nil, err
		}
		pages[errorPages+e.code] = text.Bytes()
	}
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, "index.html", all); err != nil {
		return nil, err
	}
	pages[errorPages+"{$}"] = text.Bytes()
	return pages, nil
}
