package audit_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/audit"
)

var update = flag.Bool("update", false, "rewrite the reference of events")

func TestGoldenReferenceOfEventsIsTheListOfKinds(t *testing.T) {
	const path = "../../docs/reference/events.md"
	got := audit.Reference()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not the list; run make generate:\n%s", path, got)
	}
}

// An action is named where it is done. This reads the code of those who do something
// and compares what they name with the list.
func TestEveryActionThatTheCodeNamesIsListed(t *testing.T) {
	listed, named := map[string]bool{}, map[string]bool{}
	types := map[string]bool{}
	for _, k := range audit.Kinds() {
		if listed[k.Action] || k.Means == "" {
			t.Errorf("%s is listed twice, or nothing is said of it", k.Action)
		}
		listed[k.Action] = true
		typ, _, _ := strings.Cut(k.Action, ".")
		types[typ] = true
	}
	action := regexp.MustCompile(`^([a-z_]+)\.[a-z_]+$`)
	for text := range literals(t, "../iam") {
		match := action.FindStringSubmatch(text)
		if match == nil || !types[match[1]] || isRead(text) {
			continue
		}
		named[text] = true
		if !listed[text] {
			t.Errorf("internal/iam names the action %s, which Kinds does not explain", text)
		}
	}
	for _, state := range []string{"overlapping", "ready", "overdue", "first_use"} {
		named["rotation."+state] = true // put together from the rotation's state
	}
	for name := range listed {
		if !named[name] {
			t.Errorf("Kinds lists %s, which internal/iam does not name", name)
		}
	}
}

// isRead reports whether an action stands for looking at something, which is an
// event when it is refused and none when it is done.
func isRead(action string) bool {
	return strings.HasSuffix(action, ".read") || action == "key.verify" || action == "export.export"
}

// literals returns the texts in the code of a package.
func literals(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					texts[text] = true
				}
			}
			return true
		})
	}
	return texts
}
