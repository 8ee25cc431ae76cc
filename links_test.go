package postern_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)`)

// TestLinksBetweenDocumentsLeadSomewhere looks for each file and each heading that
// a document of the repository links to. It leaves out what is elsewhere, and paths
// of a server.
func TestLinksBetweenDocumentsLeadSomewhere(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	links := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			to := match[1]
			if strings.Contains(to, ":") || strings.HasPrefix(to, "/") {
				continue
			}
			links++
			if err := follow(document, to); err != nil {
				t.Errorf("%s links to %s: %v", document, to, err)
			}
		}
	}
	if links < 5 {
		t.Errorf("found %d links in %v, want more: the test does not see them", links, documents)
	}
}

// follow returns an error if a link of a document leads nowhere.
func follow(document, to string) error {
	path, anchor, _ := strings.Cut(to, "#")
	file := document
	if path != "" {
		file = filepath.Join(filepath.Dir(document), path)
	}
	if anchor == "" {
		_, err := os.Stat(file)
		return err
	}
	if filepath.Ext(file) != ".md" {
		return errors.New("an anchor in what is no document")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if have := anchors(string(text)); !slices.Contains(have, anchor) {
		return fmt.Errorf("it has no such heading, but %q", have)
	}
	return nil
}

// anchors returns the names by which a page links to the headings of a document:
// what GitHub makes of them.
func anchors(markdown string) []string {
	var names []string
	times := map[string]int{}
	inCode := false
	for line := range strings.Lines(markdown) {
		if strings.HasPrefix(line, "```") {
			inCode = !inCode
		}
		heading := strings.TrimLeft(line, "#")
		if inCode || heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		name := strings.Map(anchorRune, strings.TrimSpace(heading))
		if n := times[name]; n > 0 {
			names = append(names, fmt.Sprintf("%s-%d", name, n))
		} else {
			names = append(names, name)
		}
		times[name]++
	}
	return names
}

// anchorRune returns what a character of a heading is in its name, or -1 for what
// is left out.
func anchorRune(r rune) rune {
	switch {
	case r == ' ':
		return '-'
	case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
		return unicode.ToLower(r)
	}
	return -1
}

func TestAnchorsAreTheHeadingsOfADocument(t *testing.T) {
	const markdown = "# What it costs, and why\n\n```console\n# no heading\n```\n\n#no heading\n## `--lease-ttl`: 15 s\n## Twice\n### Twice\n"
	want := []string{"what-it-costs-and-why", "--lease-ttl-15-s", "twice", "twice-1"}
	if got := anchors(markdown); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
