package docs

import (
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	source "github.com/posternhq/postern/docs"
)

var (
	hrefs  = regexp.MustCompile(`(?:href|src)="([^"]*)"`)
	ids    = regexp.MustCompile(` id="([^"]*)"`)
	navs   = regexp.MustCompile(`(?s)<nav id="contents".*?</nav>`)
	inline = regexp.MustCompile(`<style|<script>| style=| on[a-z]+=|javascript:`)
)

// shown returns every page that links lead to from the first one, by address.
func shown(t *testing.T, d *Docs) map[string]string {
	t.Helper()
	pages, todo := map[string]string{}, []string{"/docs/"}
	for len(todo) > 0 {
		address := todo[0]
		todo = todo[1:]
		if _, seen := pages[address]; seen {
			continue
		}
		r := ask(t, d, http.MethodGet, address)
		html := body(t, r)
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s is linked, and got %d", address, r.StatusCode)
		}
		if r.Header.Get("Content-Type") == pictureType {
			continue
		}
		pages[address] = html
		for _, m := range hrefs.FindAllStringSubmatch(html, -1) {
			if to, _, _ := strings.Cut(m[1], "#"); strings.HasPrefix(to, "/docs/") && !strings.HasPrefix(to, "/docs/assets/") {
				todo = append(todo, to)
			}
		}
	}
	return pages
}

func TestEveryLinkAndAnchorLeadsSomewhere(t *testing.T) {
	pages := shown(t, New())
	others := []string{"/", "/icon.svg", "/v1/openapi.json"} // what the console and the API answer
	for address, html := range pages {
		for _, m := range hrefs.FindAllStringSubmatch(html, -1) {
			to, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", address, err)
				continue
			}
			there, known := pages[to.Path]
			if to.Path == "" {
				there, known = html, true
			}
			switch {
			case to.IsAbs() || slices.Contains(others, to.Path) || strings.HasPrefix(to.Path, "/docs/assets/"), strings.HasPrefix(to.Path, "/docs/pictures/"): // it answered
			case !known:
				t.Errorf("%s links to %s, which is no page", address, m[1])
			case to.Fragment != "" && !strings.Contains(there, ` id="`+to.Fragment+`"`):
				t.Errorf("%s links to %s, and that page has no such heading", address, m[1])
			}
		}
	}
}

func TestEveryDocumentIsReachedFromTheNavigation(t *testing.T) {
	pages := shown(t, New())
	nav := navs.FindString(pages["/docs/"])
	documents := 0
	err := fs.WalkDir(source.Files(), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(file) != ".md" {
			return err
		}
		documents++
		address := addressOf(file)
		folder := address[:strings.LastIndex(address, "/")+1]
		inList := strings.Contains(nav, `href="`+address+`"`)
		ofFolder := folder != "/docs/" && strings.Contains(nav, `href="`+folder+`"`) && strings.Contains(pages[folder], `href="`+address+`"`)
		if !inList && !ofFolder {
			t.Errorf("%s is reached neither from the navigation nor from the page of its folder", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if documents != len(pages) {
		t.Errorf("there are %d documents and %d pages", documents, len(pages))
	}
}

// The policy allows neither script nor style in a page.
func TestPagesNeedNothingThatThePolicyForbids(t *testing.T) {
	for address, html := range shown(t, New()) {
		if found := inline.FindAllString(html, -1); len(found) > 0 {
			t.Errorf("%s has %q", address, found)
		}
		seen := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(html, -1) {
			if seen[m[1]] {
				t.Errorf("%s has the id %q twice", address, m[1])
			}
			seen[m[1]] = true
		}
		if got := strings.Count(html, "<h1"); got != 1 {
			t.Errorf("%s has %d headings of the first level", address, got)
		}
	}
}
