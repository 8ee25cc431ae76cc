package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestClientSecretIsOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sso.secret")
	for text, want := range map[string]string{
		"a secret":                       "",
		"a secret\n":                     "",
		"":                               "is empty",
		" \n":                            "is empty",
		"a secret\nand more":             "is not one line",
		strings.Repeat("x", 5000) + "\n": "is not one line",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		secret, err := clientSecret(path)
		if want == "" && (err != nil || secret.Reveal() != "a secret") {
			t.Errorf("%q: got %v", text, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "a secret")) {
			t.Errorf("%.20q: got %v, want %q", text, err, want)
		}
	}
	if _, err := clientSecret(path + ".not"); err == nil {
		t.Error("a file that is not there is a secret")
	}
}
