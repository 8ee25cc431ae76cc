package console

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// What may be loaded to show the list of accounts and then an account, in bytes
// after gzip.
const (
	mostScript = 230_000
	mostStyle  = 15_000
)

// chunk is what the manifest of the build says of a file.
type chunk struct {
	File    string   `json:"file"`
	Imports []string `json:"imports"`
	CSS     []string `json:"css"`
}

// load adds a chunk and all that it needs to files.
func load(t *testing.T, manifest map[string]chunk, name string, files map[string]bool) {
	t.Helper()
	c, there := manifest[name]
	if !there {
		t.Fatalf("the build has no %s", name)
	}
	if files[c.File] {
		return
	}
	files[c.File] = true
	for _, css := range c.CSS {
		files[css] = true
	}
	for _, other := range c.Imports {
		load(t, manifest, other, files)
	}
}

func TestListAndAccountPageAreSmall(t *testing.T) {
	text, err := os.ReadFile("dist/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]chunk
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for _, name := range []string{"index.html", "src/screens/accounts/list.tsx", "src/screens/accounts/account.tsx"} {
		load(t, manifest, name, files)
	}
	sizes := map[string]int64{}
	for name := range files {
		info, err := os.Stat(filepath.Join("dist", name+".gz"))
		if err != nil {
			t.Fatal(err)
		}
		sizes[filepath.Ext(name)] += info.Size()
	}
	t.Logf("in gzip: %d bytes of JavaScript, %d of CSS, in %d files", sizes[".js"], sizes[".css"], len(files))
	if got := sizes[".js"]; got == 0 || got > mostScript {
		t.Errorf("got %d bytes of JavaScript, want some, and %d at most", got, mostScript)
	}
	if got := sizes[".css"]; got == 0 || got > mostStyle {
		t.Errorf("got %d bytes of CSS, want some, and %d at most", got, mostStyle)
	}
}
