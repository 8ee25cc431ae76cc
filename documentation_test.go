package postern_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/store/storetest"
)

// TestEveryCommandOfTheDocumentationRuns runs the blocks of sh and console of each
// page from top to bottom, and compares what they print with what stands there. The
// how-tos are one story, told to one development server in the order of the list of
// contents; any other page begins with an empty home, and with a development server
// unless it starts a server of its own.
func TestEveryCommandOfTheDocumentationRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("what it starts is built without the race detector, which -short is for")
	}
	programs := build(t)
	var story []string
	for _, page := range pagesInOrder(t) {
		text := read(t, page)
		if !hasCommands(text) {
			continue
		}
		if strings.HasPrefix(page, "docs/how-to/") && !startsServer(text) {
			story = append(story, page)
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			tell(t, programs, page)
		})
	}
	t.Run("the how-tos", func(t *testing.T) {
		t.Parallel()
		tell(t, programs, story...)
	})
}

// tell runs pages one after the other in one terminal.
func tell(t *testing.T, programs string, pages ...string) {
	var all []string
	for _, page := range pages {
		all = append(all, read(t, page))
	}
	elsewhere := here(t, strings.Join(all, ""))
	term := openTerminal(t, programs, elsewhere[usual])
	for i, page := range pages {
		if i == 0 && !startsServer(all[i]) {
			if err := term.do(step{command: "postern dev"}, false); err != nil {
				t.Fatal(err)
			}
		}
		if !runPage(t, term, page, elsewhere.apply(all[i])) {
			return
		}
	}
}

// runPage runs the blocks of a page, and reports whether what follows makes sense.
func runPage(t *testing.T, term *terminal, page, text string) bool {
	for _, b := range blocks(text) {
		if !b.isCommands() || b.notRun != "" {
			continue
		}
		steps := b.steps()
		for i, s := range steps {
			mayFail := i+1 < len(steps) && steps[i+1].command == "echo $?"
			if err := term.do(s, mayFail); err != nil {
				t.Errorf("%s:%d: $ %s\n%v", page, s.line, s.command, err)
				if !errors.Is(err, errOutput) || servers.MatchString(s.command) {
					return false
				}
			}
		}
	}
	return true
}

func (b block) isCommands() bool { return b.language == "sh" || b.language == "console" }

func hasCommands(markdown string) bool {
	return slices.ContainsFunc(blocks(markdown), func(b block) bool { return b.isCommands() && b.notRun == "" })
}

func startsServer(markdown string) bool {
	return slices.ContainsFunc(blocks(markdown), func(b block) bool {
		return b.isCommands() && b.notRun == "" && slices.ContainsFunc(b.steps(), func(s step) bool { return servers.MatchString(s.command) })
	})
}

// places are what pages name and a test has elsewhere.
type places map[string]string

const (
	usual    = "localhost:7070"
	database = "postgres://postern@db.internal/postern"
)

var addresses = regexp.MustCompile(`localhost:70\d\d`)

// here returns where this test has the addresses and the database of pages.
func here(t *testing.T, text string) places {
	p := places{usual: freeAddress(t)}
	for _, address := range addresses.FindAllString(text, -1) {
		if p[address] == "" {
			p[address] = freeAddress(t)
		}
	}
	if strings.Contains(text, database) {
		p[database] = storetest.Postgres(t)
	}
	return p
}

func (p places) apply(text string) string {
	for from, to := range p {
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

var listed = regexp.MustCompile(`(?m)^- \[[^]]*\]\(([^)]+\.md)\)`)

// pagesInOrder returns the README and all documents: those of the list of contents
// first, and in its order.
func pagesInOrder(t *testing.T) []string {
	t.Helper()
	pages := []string{"README.md", "docs/README.md"}
	for _, match := range listed.FindAllStringSubmatch(read(t, "docs/README.md"), -1) {
		pages = append(pages, filepath.Join("docs", match[1]))
	}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range found {
			if !slices.Contains(pages, page) {
				pages = append(pages, page)
			}
		}
	}
	return pages
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWhatIsNotRunIsMarkedAndRare looks for commands that no test runs: in blocks
// that say so, which must be few, and in blocks that say to be something else.
func TestWhatIsNotRunIsMarkedAndRare(t *testing.T) {
	const most = 11
	other := []string{"text", "http", "json", "toml", "yaml", "go"}
	run, marked := 0, 0
	for _, page := range pagesInOrder(t) {
		for _, b := range blocks(read(t, page)) {
			text := strings.Join(b.lines, "\n")
			switch {
			case b.isCommands() && b.notRun != "":
				marked++
			case b.isCommands():
				run += len(b.steps())
			case b.language == "" && !strings.Contains(text, "postern ") && !strings.Contains(text, "$ "):
			case !slices.Contains(other, b.language) || strings.Contains(text, "$ "):
				t.Errorf("%s:%d: a block of %q looks like commands: make it one of sh or console", page, b.line, b.language)
			}
		}
	}
	if marked > most {
		t.Errorf("%d blocks are not run, want %d at most", marked, most)
	}
	if run < 20 {
		t.Errorf("there are %d commands, want more: the test does not see them", run)
	}
}

// The lines by which a Go service is protected stand in an example that compiles, as
// they are written.
func TestGoOfTheReadmeCompiles(t *testing.T) {
	_, block, found := strings.Cut(read(t, "README.md"), "```go\n")
	block, _, whole := strings.Cut(block, "```")
	if !found || !whole {
		t.Fatal("the README has no Go in it")
	}
	example := read(t, "example_test.go")
	for line := range strings.Lines(block) {
		if !strings.Contains(example, "\t"+line) {
			t.Errorf("no example has the line %q", line)
		}
	}
}
