package server_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/server"
)

const errorPages = "../../docs/errors"

func TestGoldenPagesOfErrorsAreWhatTheTableSays(t *testing.T) {
	pages, err := server.ErrorPages()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		for name, text := range pages {
			if err := os.WriteFile(filepath.Join(errorPages, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	there, err := os.ReadDir(errorPages)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range there {
		text, err := os.ReadFile(filepath.Join(errorPages, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if pages[file.Name()] != string(text) {
			t.Errorf("docs/errors/%s is not what the table says, which is as follows; run make generate, or delete it:\n%s", file.Name(), pages[file.Name()])
		}
	}
	if len(there) != len(pages) {
		t.Errorf("docs/errors has %d files, want %d: run make generate", len(there), len(pages))
	}
}

func TestEveryCodeHasAPage(t *testing.T) {
	pages, err := server.ErrorPages()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, code := range codes(t) {
		names = append(names, code+".md")
		if !strings.Contains(pages[code+".md"], "Code `"+code+"`, status ") {
			t.Errorf("%s: its page does not name it", code)
		}
		if !strings.Contains(pages["README.md"], "]("+code+".md)") {
			t.Errorf("%s: the list of errors does not lead to its page", code)
		}
	}
	names = append(names, "README.md")
	if got := slices.Sorted(maps.Keys(pages)); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Errorf("there are pages %v, want one for each code and the list", got)
	}
}
