package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/posternhq/postern/internal/static"
)

const (
	index       = "README.md"
	htmlType    = "text/html; charset=utf-8"
	pictureType = "image/svg+xml"
)

// site is all that there is, by address.
type site struct {
	files   map[string]static.File
	missing []byte // what is shown where there is nothing
}

// page is one document.
type page struct {
	Address  string
	Title    string
	Body     template.HTML
	Sections []section

	groups []group // of the lists, on the first page
}

// section is a heading of the second level, for the list beside the page.
type section struct{ Anchor, Title string }

// group is a part of the navigation.
type group struct {
	Title string
	Links []link
}

type link struct{ Address, Title string }

// view is what the template shows.
type view struct {
	*page
	Style, Script  string
	Groups         []group
	Previous, Next link
}

// Current is what a link of the navigation says of itself in a page.
func (v view) Current(address string) bool { return v.Address == address }

// build reads the documents and makes pages of them.
func build(documents fs.FS) (*site, error) {
	pages, err := readPages(documents)
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	s := &site{files: map[string]static.File{}}
	if err := s.addPictures(documents); err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	style, err := s.addAsset("text/css; charset=utf-8", "css", "tokens.css", "docs.css")
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	script, err := s.addAsset("text/javascript; charset=utf-8", "js", "docs.js")
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	layout, err := template.ParseFS(assets, "assets/page.html")
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	blank := view{Style: style, Script: script, Groups: navigation(pages)}
	for _, p := range pages {
		v := blank
		v.page = p
		v.Previous, v.Next = around(blank.Groups, p.Address)
		html, err := show(layout, v)
		if err == nil {
			err = s.add(p.Address, static.File{Kind: htmlType, Cache: static.Revalidate}, html)
		}
		if err != nil {
			return nil, fmt.Errorf("docs: %s: %w", p.Address, err)
		}
	}
	blank.page = &page{Title: "There is no such page", Body: "<h1>There is no such page</h1>\n<p>All pages are in the list of contents.</p>\n"}
	s.missing, err = show(layout, blank)
	return s, err
}

// readPages returns the pages by their addresses.
func readPages(documents fs.FS) (map[string]*page, error) {
	pages, render := map[string]*page{}, newRenderer()
	err := fs.WalkDir(documents, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != ".md" {
			return err
		}
		text, err := fs.ReadFile(documents, file)
		if err != nil {
			return err
		}
		p, err := render.page(file, text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		pages[p.Address] = p
		return nil
	})
	if err == nil && pages[root] == nil {
		err = errors.New("there is no " + index)
	}
	return pages, err
}

// navigation returns the lists of the first page. Pages that they leave out come
// last, so that none is out of reach; those of a folder whose own page is listed are
// reached from there.
func navigation(pages map[string]*page) []group {
	groups, listed := slices.Clone(pages[root].groups), map[string]bool{root: true}
	for _, g := range groups {
		for _, l := range g.Links {
			listed[l.Address] = true
		}
	}
	rest := group{Title: "More"}
	for _, address := range slices.Sorted(maps.Keys(pages)) {
		folder := path.Dir(address) + "/"
		if !listed[address] && (folder == root || !listed[folder]) {
			rest.Links = append(rest.Links, link{address, pages[address].Title})
		}
	}
	if len(rest.Links) > 0 {
		groups = append(groups, rest)
	}
	return groups
}

// around returns the pages before and after one in the navigation.
func around(groups []group, address string) (before, after link) {
	all := []link{{root, "Documentation"}}
	for _, g := range groups {
		all = append(all, g.Links...)
	}
	i := slices.IndexFunc(all, func(l link) bool { return l.Address == address })
	if i > 0 {
		before = all[i-1]
	}
	if i >= 0 && i+1 < len(all) {
		after = all[i+1]
	}
	return before, after
}

func show(layout *template.Template, v view) ([]byte, error) {
	var html bytes.Buffer
	err := layout.Execute(&html, v)
	return html.Bytes(), err
}

// addPictures adds the pictures that pages show.
func (s *site) addPictures(documents fs.FS) error {
	files, err := fs.Glob(documents, pictures+"*.svg")
	if err != nil {
		return err
	}
	for _, file := range files {
		body, err := fs.ReadFile(documents, file)
		if err == nil {
			err = s.add(root+file, static.File{Kind: pictureType, Cache: static.Revalidate}, body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addAsset adds a file that is made of others, under an address that holds a hash of
// them, and returns the address.
func (s *site) addAsset(kind, ending string, names ...string) (string, error) {
	var all []byte
	for _, name := range names {
		part, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return "", err
		}
		all = append(all, part...)
	}
	sum := sha256.Sum256(all)
	address := root + "assets/" + hex.EncodeToString(sum[:8]) + "." + ending
	return address, s.add(address, static.File{Kind: kind, Cache: static.Immutable}, all)
}

// add keeps a file as it is and in gzip.
func (s *site) add(address string, f static.File, body []byte) error {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(body)
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	f.Add("", body)
	f.Add("gzip", packed.Bytes())
	s.files[address] = f
	return nil
}
