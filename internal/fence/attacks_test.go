package fence_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// due are the attacks on the promise that each need a test of their own.
var due = []string{
	"answer-kept", "repeat-elsewhere", "queued-behind", "unequal-leases", "told-to-stop", "clock-set",
	"long-stream", "second-process", "future-change", "stopped-writer", "slow-snapshot", "inviter-revoked",
}

// The page for operators says which test tries which attack. What it names is there.
func TestEveryAttackOnThePromiseIsTried(t *testing.T) {
	tests := documentedAttacks(t)
	for _, attack := range due {
		if len(tests[attack]) == 0 {
			t.Errorf("nothing tries %q", attack)
		}
	}
	for attack, named := range tests {
		if !slices.Contains(due, attack) {
			t.Errorf("%q is not among those that are due", attack)
		}
		for _, test := range named {
			if !test.exists(t) {
				t.Errorf("%q: there is no %s in %s", attack, test.name, test.folder)
			}
		}
	}
}

// named is a test as the page names it: a function, or a story.
type named struct{ folder, name string }

// documentedAttacks reads the table of docs/consistency.md.
func documentedAttacks(t *testing.T) map[string][]named {
	t.Helper()
	text, err := os.ReadFile("../../docs/consistency.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| attack |")
	if !found {
		t.Fatal("the page has no table of attacks")
	}
	attacks := map[string][]named{}
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(line, "|---") {
			continue
		}
		attack, folder := strings.TrimSpace(cells[1]), ""
		for word := range strings.FieldsSeq(cells[3]) {
			switch {
			case strings.HasPrefix(word, "`"):
				folder = strings.Trim(word, "`")
			case word != "·":
				attacks[attack] = append(attacks[attack], named{folder, word})
			}
		}
	}
	return attacks
}

func (n named) exists(t *testing.T) bool {
	t.Helper()
	dir := filepath.Join("../..", n.folder)
	if strings.HasSuffix(n.name, ".txtar") {
		_, err := os.Stat(filepath.Join(dir, "testdata/script", n.name))
		return err == nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == n.name {
				return true
			}
		}
	}
	return false
}
