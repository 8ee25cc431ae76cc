package clientgen_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/clientgen"
)

var update = flag.Bool("update", false, "write the generated files")

const root = "../.."

func openAPI(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "api/openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestGoldenClientIsWhatTheDocumentSays(t *testing.T) {
	files, err := clientgen.Generate(openAPI(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		path := filepath.Join(root, name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what api/openapi.json asks for (%v): make generate", name, err)
		}
	}
}

func TestWhatCannotBeSaidInGoIsAnError(t *testing.T) {
	good := string(openAPI(t))
	for name, change := range map[string][2]string{
		"a header that nobody knows":  {`"name": "If-Match"`, `"name": "If-Modified-Since"`},
		"a body without a name":       {`"$ref": "#/components/schemas/CreateKey"`, `"type": "object"`},
		"a parameter of another type": {`"type": "boolean"`, `"type": "number"`},
		"a cookie":                    {`"in": "header"`, `"in": "cookie"`},
	} {
		bad := strings.Replace(compact(good), compact(change[0]), compact(change[1]), -1)
		if bad == compact(good) {
			t.Fatalf("%s: the document has no %s", name, change[0])
		}
		if _, err := clientgen.Generate([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func compact(text string) string { return strings.ReplaceAll(text, `": `, `":`) }
